//! `kernel.stuck`: whether the daemon reads what the kernel sends. A frozen one still has its process, its socket and its place
//! in `AUDIT_GET`; what gives it away is what waits at its socket, and its state.

use super::Settings;
use super::owner::{daemon, holders};
use crate::audit::status::Status;
use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::{netlink, process};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use serde_json::Value;
use std::time::Duration;

/// The socket is full from here on (percent of its room), and has room again below [`ROOM`].
const FULL: u64 = 75;
const ROOM: u64 = 25;

/// The kernel's own queue is nearly full (percent of its limit).
const BACKLOG: u64 = 80;

/// In so many looks in a row it must be so: a burst fills a socket for a moment.
const FULL_LOOKS: u32 = 3;
const STOPPED_LOOKS: u32 = 2;
/// A daemon that syncs each record waits for the disk all the time, but not for so long.
const WAITING_LOOKS: u32 = 5;

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Stuck(pub(crate) Settings);

impl Plan for Stuck {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(StuckWatcher { settings: self.0.clone(), detector: Detector::default() })
    }
}

struct StuckWatcher {
    settings: Settings,
    detector: Detector,
}

impl Watcher for StuckWatcher {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        let rows = match process::audit_rows() {
            Ok(rows) => rows,
            Err(error) => return Look::blind(format!("read /proc/net/netlink: {error}"), "a /proc that can be read"),
        };
        let holders = holders(&rows, process::own(), process::name).unwrap_or_default();
        let Some(found) = daemon(&holders, &self.settings.expect_owner) else {
            return Look::unknown("there is no daemon to look at");
        };
        let reading = Reading {
            port: found.row.port,
            waiting: found.row.waiting,
            drops: found.row.drops,
            room: process::socket_room(),
            state: process::state(found.row.port),
            // Only with the right to ask; what it adds is the kernel's own queue.
            status: netlink::ask().ok(),
        };
        self.detector.judge(now, (&self.settings.expect_owner, self.settings.stuck_calm), &reading)
    }
}

/// One look at the daemon.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    port: u64,
    waiting: u64,
    drops: u64,
    room: Option<u64>,
    state: Option<char>,
    status: Option<Status>,
}

#[derive(Clone, Debug, Default)]
struct Detector {
    /// The daemon and its drops at the last look.
    before: Option<(u64, u64)>,
    full: u32,
    stopped: u32,
    waiting: u32,
    queue: u32,
    /// What was told, and when it was last so.
    told: Option<(Failure, Moment)>,
    /// Dropped since it was told.
    dropped: u64,
}

impl Detector {
    fn judge(&mut self, now: Moment, (name, calm): (&str, Duration), reading: &Reading) -> Look {
        let dropped = match self.before {
            Some((port, drops)) if port == reading.port => reading.drops.saturating_sub(drops),
            // Drops of a daemon that is seen for the first time are of before.
            _ => 0,
        };
        self.before = Some((reading.port, reading.drops));
        self.dropped += dropped;
        let wrong = self.wrong(name, reading, dropped);
        if let Some(cause) = wrong {
            let summary = format!("{name} does not take the kernel's records in time: {cause}");
            let mut failure = Failure::new("audit.stuck", Severity::High, summary).caused_by(cause).cured_by(format!(
                "cat /proc/{pid}/status; kill -CONT {pid}, or systemctl restart {name}; then auditctl -s for what was lost",
                pid = reading.port
            ));
            if self.dropped > 0 {
                failure = failure.losing(self.dropped, "records");
            }
            self.told = Some((failure, now));
        }
        let proof = format!("{} bytes wait, {} records dropped since it started", reading.waiting, reading.drops);
        match &self.told {
            Some((failure, last)) if now.since(*last) < calm || !self.has_room(reading) => {
                Sight::Failing(vec![failure.clone()]).into()
            }
            _ => {
                (self.told, self.dropped) = (None, 0);
                Look::ok(proof)
            }
        }
    }

    fn wrong(&mut self, name: &str, reading: &Reading, dropped: u64) -> Option<String> {
        let count = |counter: &mut u32, is_so: bool| {
            *counter = if is_so { *counter + 1 } else { 0 };
            *counter
        };
        let percent = reading.room.filter(|room| *room > 0).map_or(0, |room| reading.waiting * 100 / room);
        let full = count(&mut self.full, percent >= FULL);
        let stopped = count(&mut self.stopped, matches!(reading.state, Some('T' | 't')));
        let waiting = count(&mut self.waiting, reading.state == Some('D'));
        let queue =
            reading.status.map_or((0, 0), |status| (u64::from(status.backlog), u64::from(status.backlog_limit)));
        let queued = count(&mut self.queue, queue.1 > 0 && queue.0 * 100 >= queue.1 * BACKLOG);
        if dropped > 0 {
            return Some(format!("{dropped} records found no room at its socket"));
        }
        if stopped >= STOPPED_LOOKS {
            return Some(format!("{name} is stopped (state T)"));
        }
        if waiting >= WAITING_LOOKS {
            return Some(format!("{name} has waited for the disk for {waiting} s (state D)"));
        }
        if full >= FULL_LOOKS {
            return Some(format!("{} bytes wait at its socket, {percent} % of its room", reading.waiting));
        }
        (queued >= FULL_LOOKS).then(|| format!("{} of {} records wait in the kernel", queue.0, queue.1))
    }

    fn has_room(&self, reading: &Reading) -> bool {
        let is_empty = reading.room.is_none_or(|room| reading.waiting * 100 <= room * ROOM);
        is_empty && self.stopped + self.waiting == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    /// The looks a second apart: whether each fails, and the last cause.
    fn judge(readings: &[Reading]) -> (Vec<bool>, String) {
        let mut detector = Detector::default();
        let mut cause = String::new();
        let fails = readings.iter().zip(0..).map(|(reading, second)| {
            match detector.judge(at(second), ("auditd", Duration::from_secs(5)), reading).sight {
                Sight::Failing(failures) => {
                    cause.clone_from(&failures[0].cause);
                    true
                }
                _ => false,
            }
        });
        (fails.collect(), cause)
    }

    fn well() -> Reading {
        Reading { port: 105, room: Some(212_992), state: Some('S'), ..Reading::default() }
    }

    #[test]
    fn a_frozen_daemon_is_found_by_its_state_in_two_looks() {
        let frozen = Reading { state: Some('T'), ..well() };
        assert_eq!(
            judge(&[well(), frozen, frozen]),
            (vec![false, false, true], "auditd is stopped (state T)".to_owned())
        );
    }

    #[test]
    fn a_full_socket_and_drops_are_found_also_where_the_state_is_hidden() {
        let full = Reading { waiting: 212_736, state: None, ..well() };
        assert_eq!(judge(&[full, full, full]).0, [false, false, true]);
        let dropping = Reading { drops: 227, ..full };
        assert_eq!(judge(&[well(), dropping]).1, "227 records found no room at its socket");
        assert_eq!(judge(&[dropping]).0, [false], "what was dropped before the first look is not new");
    }

    #[test]
    fn it_is_over_when_nothing_was_wrong_for_long_and_the_socket_is_empty() {
        let dropping = Reading { drops: 5, ..well() };
        let mut readings = vec![well(), dropping];
        readings.extend([dropping; 5]);
        assert_eq!(judge(&readings).0, [false, true, true, true, true, true, false]);
        let half = Reading { waiting: 100_000, drops: 5, ..well() };
        readings.truncate(2);
        readings.extend([half; 6]);
        assert!(judge(&readings).0[7], "records still wait");
    }

    #[test]
    fn a_burst_and_a_daemon_that_syncs_are_no_alarm() {
        let burst = Reading { waiting: 200_000, ..well() };
        let syncs = Reading { state: Some('D'), ..well() };
        assert_eq!(judge(&[burst, well(), burst, burst, well(), syncs, syncs, syncs, well()]).0, [false; 9]);
    }

    #[test]
    fn another_daemon_begins_with_drops_of_its_own() {
        let next = Reading { port: 300, drops: 9, ..well() };
        assert_eq!(judge(&[well(), next]).0, [false, false]);
    }

    #[test]
    fn the_kernels_own_queue_counts_where_it_may_be_asked() {
        let status = Status { backlog: 60, backlog_limit: 64, ..Status::default() };
        let queued = Reading { status: Some(status), ..well() };
        assert_eq!(judge(&[queued; 3]), (vec![false, false, true], "60 of 64 records wait in the kernel".to_owned()));
    }
}
