//! `auditd.remote`: what audisp-remote, which sends records to another machine, says of itself: whether it gets through, and how
//! much waits. Only where its state file is named.

use crate::audit::state_file::{RemoteState, remote_state};
use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::log_end::{self, Version};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use serde_json::Value;
use std::path::PathBuf;

/// As much of the queue may be used (percent) before it is medium, and before it is high.
const HALF: u64 = 50;
const MOST: u64 = 80;

/// So much emptier (in percent of the whole) it must be until it is over.
const HYSTERESIS: u64 = 10;

/// The settings: the state file.
#[derive(Clone, Debug)]
pub(crate) struct Remote(pub(crate) PathBuf);

impl Plan for Remote {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(RemoteWatcher { path: self.0.clone(), version: None, level: 0 })
    }
}

struct RemoteWatcher {
    path: PathBuf,
    version: Option<Version>,
    /// The percentage that was told.
    level: u64,
}

impl Watcher for RemoteWatcher {
    fn look(&mut self, _: Moment, _: &dyn Around) -> Look {
        let path = self.path.display().to_string();
        match log_end::whole(&self.path) {
            // What it said once is no news: whatever stands stays until it says something again.
            Ok(Some((_, version))) if self.version == Some(version) => {
                Look::unknown(format!("{path} was not written again"))
            }
            Ok(Some((text, version))) => {
                self.version = Some(version);
                judge(&remote_state(&text), &mut self.level)
            }
            Ok(None) => Look::unknown(format!("{path} is not there: audisp-remote writes it from 4.1.2 on")),
            Err(error) => Look::blind(format!("read {path}: {error}"), format!("the right to read {path}: group adm")),
        }
    }
}

fn judge(state: &RemoteState, level: &mut u64) -> Look {
    let percent = match (state.queue_length, state.queue_depth) {
        (Some(length), Some(depth)) if depth > 0 => length.saturating_mul(100) / depth,
        _ => 0,
    };
    let before = std::mem::take(level);
    *level = [MOST, HALF]
        .into_iter()
        .find(|limit| percent >= limit.saturating_sub(if *limit <= before { HYSTERESIS } else { 0 }))
        .unwrap_or(0);
    let faults: Vec<&str> = [
        (state.is_transport_ok == Some(false), "its connection does not work"),
        (state.has_ended == Some(true), "the other side has ended"),
        (state.is_suspended == Some(true), "it has suspended sending"),
    ]
    .into_iter()
    .filter_map(|(is_so, what)| is_so.then_some(what))
    .collect();
    let queue = match (state.queue_length, state.queue_depth) {
        (Some(length), Some(depth)) => format!("{length} of {depth} records wait"),
        _ => "it does not say how many records wait".to_owned(),
    };
    if faults.is_empty() && *level == 0 {
        return match state.is_transport_ok {
            Some(true) => Look::ok(format!("audisp-remote gets through; {queue}")),
            _ => Look::unknown("the file does not say whether audisp-remote gets through"),
        };
    }
    let severity = if *level == MOST { Severity::High } else { Severity::Medium };
    let what = if faults.is_empty() { "its queue fills".to_owned() } else { faults.join(", and ") };
    let failure = Failure::new("audit.remote_down", severity, format!("audisp-remote does not get its records through: {what}; {queue}"))
        .caused_by("its state file says so")
        .cured_by("see that the other side can be reached (remote_server and port of /etc/audit/audisp-remote.conf), and its disk");
    Sight::Failing(vec![failure]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watcher::Nobody;

    fn look(text: &str, level: &mut u64) -> Option<(Severity, String)> {
        match judge(&remote_state(text), level).sight {
            Sight::Failing(failures) => Some((failures[0].severity, failures[0].summary.clone())),
            _ => None,
        }
    }

    fn waits(length: u64, level: &mut u64) -> Option<Severity> {
        let text = format!(
            "suspend = no\nremote_ended = no\ntransport_ok = yes\nqueue_length = {length}\nqueue_depth = 200\n"
        );
        look(&text, level).map(|(severity, _)| severity)
    }

    #[test]
    fn a_connection_that_does_not_work_is_told() {
        let text = "suspend = no\nremote_ended = no\ntransport_ok = no\nqueue_length = 7\nmax_queued_length = 9\nqueue_depth = 200\n";
        let (severity, summary) = look(text, &mut 0).unwrap();
        assert_eq!(severity, Severity::Medium);
        assert!(summary.ends_with("its connection does not work; 7 of 200 records wait"), "{summary}");
        assert!(look(&text.replace("transport_ok = no", "transport_ok = yes"), &mut 0).is_none());
    }

    #[test]
    fn a_queue_that_fills_is_told_by_two_levels_and_over_when_it_has_fallen() {
        let mut level = 0;
        assert_eq!(waits(99, &mut level), None);
        assert_eq!(waits(100, &mut level), Some(Severity::Medium));
        assert_eq!(waits(160, &mut level), Some(Severity::High));
        assert_eq!(waits(141, &mut level), Some(Severity::High));
        assert_eq!(waits(139, &mut level), Some(Severity::Medium));
        assert_eq!(waits(80, &mut level), Some(Severity::Medium));
        assert_eq!(waits(79, &mut level), None);
    }

    #[test]
    fn a_file_that_says_nothing_proves_nothing() {
        assert!(matches!(judge(&remote_state("queue_length = many\n"), &mut 0).sight, Sight::Unknown { .. }));
    }

    #[test]
    fn only_what_is_written_anew_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("remote.state");
        let mut watcher = Remote(path.clone()).begin(None);
        let now = Moment { boot: std::time::Duration::ZERO, wall: jiff::Timestamp::UNIX_EPOCH };
        assert!(matches!(watcher.look(now, &Nobody).sight, Sight::Unknown { .. }));
        std::fs::write(&path, "transport_ok = no\n").unwrap();
        assert!(matches!(watcher.look(now, &Nobody).sight, Sight::Failing(_)));
        assert!(matches!(watcher.look(now, &Nobody).sight, Sight::Unknown { .. }));
        std::fs::write(&path, "transport_ok = yes\n").unwrap();
        assert!(matches!(watcher.look(now, &Nobody).sight, Sight::Ok { .. }));
    }
}
