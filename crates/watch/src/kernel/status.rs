//! `kernel.status`: what the kernel itself says of its audit, for those who may ask (`CAP_AUDIT_CONTROL`): switched off, records
//! lost, the counter reset, the wrong process.

use super::Settings;
use crate::audit::status::Status;
use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::netlink::NetlinkError;
use crate::sensors::{log_end, netlink, process};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;

/// More lost records a minute than these are critical.
const LOST_PER_MINUTE_MAX: u64 = 1000;

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Standing(pub(crate) Settings);

impl Plan for Standing {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let boot = process::boot();
        let kept: Option<Kept> = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok());
        let kept = kept.filter(|kept| kept.boot == boot).unwrap_or(Kept { boot, ..Kept::default() });
        Box::new(StatusWatcher { settings: self.0.clone(), detector: Detector { kept, ..Detector::default() } })
    }
}

struct StatusWatcher {
    settings: Settings,
    detector: Detector,
}

impl Watcher for StatusWatcher {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        match netlink::ask() {
            Ok(status) => {
                let pid = u64::from(status.pid);
                let reading = Reading { status, owner: process::name(pid), log: log_end::size(&self.settings.log) };
                self.detector.judge(now, &self.settings, &reading)
            }
            Err(error) => refused(error),
        }
    }

    fn memory(&self) -> Option<Value> {
        serde_json::to_value(&self.detector.kept).ok()
    }
}

/// What an error says: the number tells the place.
pub(crate) fn refused(error: NetlinkError) -> Look {
    let cure = match error.error {
        Errno::PROTONOSUPPORT => {
            let summary = format!("the kernel has no audit ({error}): booted with audit=0, or built without it");
            let failure = Failure::new("audit.unavailable", Severity::High, summary);
            return Sight::Failing(vec![
                failure.cured_by("remove audit=0 from the kernel's command line; start again"),
            ])
            .into();
        }
        Errno::PERM => "CAP_AUDIT_CONTROL, in the machine's own namespace of processes",
        Errno::CONNREFUSED => "to run outside the user namespace (container) that it is in",
        Errno::AFNOSUPPORT => "AF_NETLINK in RestrictAddressFamilies of the unit, and CAP_AUDIT_CONTROL",
        _ => "the error above removed",
    };
    Look::blind(error.to_string(), cure)
}

/// One answer of the kernel, the name of the process in it, and the log.
#[derive(Clone, Debug)]
struct Reading {
    status: Status,
    owner: Option<String>,
    log: Option<(u64, u64)>,
}

/// What a restart must know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    boot: String,
    /// The counter of lost records as it was last.
    lost: Option<u32>,
    /// Audit was off, and the log was so then.
    off: Option<Option<(u64, u64)>>,
}

#[derive(Clone, Debug, Default)]
struct Detector {
    kept: Kept,
    /// Losses of the last minute.
    losses: VecDeque<(Moment, u64)>,
    /// Lost since it was told, and when last.
    open: Option<(u64, Moment)>,
    /// Looks in a row in which the kernel named another process.
    strange: u32,
    waited: Option<u32>,
}

impl Detector {
    fn judge(&mut self, now: Moment, settings: &Settings, reading: &Reading) -> Look {
        let status = &reading.status;
        let mut failures = Vec::new();
        let mut events = Vec::new();
        failures.extend(self.disabled(settings, reading));
        failures.extend(self.lost(now, settings, status.lost, &mut events));
        failures.extend(self.owner(settings, reading));
        failures.extend(posture(settings, status));
        let held_up = self.waited.zip(status.waited).map_or(0, |(before, now)| now.saturating_sub(before));
        self.waited = status.waited;
        let slowed = if held_up > 0 { "; processes wait for audit" } else { "" };
        let proof = format!(
            "enabled {}, process {}, {} lost since the counter began, {} of {} wait{slowed}",
            status.enabled, status.pid, status.lost, status.backlog, status.backlog_limit
        );
        Look::of(failures, proof).with(events)
    }

    fn disabled(&mut self, settings: &Settings, reading: &Reading) -> Option<Failure> {
        let enabled = reading.status.enabled;
        let is_off = !settings.expect_enabled.contains(&enabled);
        if is_off {
            self.kept.off = Some(reading.log);
        } else {
            let before = self.kept.off?;
            // The switch is no proof: something must have been written since. Where the log cannot be seen the switch is all.
            if before.is_none() || reading.log.is_none() || reading.log != before {
                self.kept.off = None;
                return None;
            }
        }
        let summary = match is_off {
            true => format!("the kernel's audit is not on: enabled is {enabled}"),
            false => {
                format!("the kernel's audit is on again (enabled {enabled}), but no record has been written since")
            }
        };
        let failure = Failure::new("audit.disabled", Severity::Critical, summary)
            .caused_by("somebody ran auditctl -e 0, or a program did the same: systemd-journald does when it starts with Audit=no")
            .cured_by("auditctl -e 1; ausearch -m CONFIG_CHANGE -ts recent; Audit=keep in journald.conf");
        Some(failure)
    }

    fn lost(&mut self, now: Moment, settings: &Settings, lost: u32, events: &mut Vec<Failure>) -> Option<Failure> {
        let before = self.kept.lost.replace(lost).unwrap_or(lost);
        if lost < before {
            let summary = format!("the kernel's counter of lost records was reset from {before} to {lost}");
            let event = Failure::new("audit.lost_reset", Severity::Medium, summary);
            events.push(event.cured_by("ausearch -m CONFIG_CHANGE -ts recent: who ran auditctl --reset-lost, and why"));
        }
        let more = u64::from(lost.saturating_sub(before));
        if more > 0 {
            self.losses.push_back((now, more));
        }
        while self.losses.front().is_some_and(|(at, _)| now.since(*at) > Duration::from_secs(60)) {
            self.losses.pop_front();
        }
        let in_minute: u64 = self.losses.iter().map(|(_, count)| count).sum();
        let (count, last) = match self.open {
            Some((count, _)) if more > 0 => (count + more, now),
            Some(open) => open,
            None if in_minute > u64::from(settings.lost_threshold) => (in_minute, now),
            None => return None,
        };
        if now.since(last) >= settings.lost_calm {
            self.open = None;
            // What is over must not begin again by what is still within its minute.
            self.losses.clear();
            return None;
        }
        self.open = Some((count, last));
        let severity = if in_minute > LOST_PER_MINUTE_MAX { Severity::Critical } else { Severity::High };
        let failure = Failure::new("audit.lost", severity, format!("the kernel lost {count} audit records"))
            .caused_by(
                "the backlog or the rate limit was exceeded, or no daemon took them: dmesg | grep audit says which",
            )
            .cured_by("auditctl -s; raise the limit (auditctl -b 8192), find what floods (aureport --summary)")
            .losing(count, "records");
        Some(failure)
    }

    /// Another process than the daemon: only the kernel knows whom it really sends to.
    fn owner(&mut self, settings: &Settings, reading: &Reading) -> Option<Failure> {
        let other = reading.owner.as_ref().filter(|name| **name != settings.expect_owner && reading.status.pid != 0);
        self.strange = if other.is_some() { self.strange + 1 } else { 0 };
        let name = balefire_model::text::one_line(other.filter(|_| self.strange >= 2)?).into_owned();
        let expected = &settings.expect_owner;
        let summary =
            format!("the kernel sends its audit records to {name} (process {}), not to {expected}", reading.status.pid);
        let failure = Failure::new("audit.owner_changed", Severity::High, summary);
        Some(failure.cured_by(format!("stop that program, then systemctl restart {expected}")))
    }
}

fn posture(settings: &Settings, status: &Status) -> Option<Failure> {
    let expected = settings.expect_failure.filter(|expected| *expected != status.failure)?;
    let summary = format!("the kernel's audit has failure mode {}, expected is {expected}", status.failure);
    let failure = Failure::new("audit.posture", Severity::Medium, summary);
    Some(failure.cured_by(format!("auditctl -f {expected}, and the same in /etc/audit/rules.d")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    fn reading(enabled: u32, lost: u32, log: u64) -> Reading {
        let status = Status { enabled, failure: 1, pid: 105, backlog_limit: 8192, lost, ..Status::default() };
        Reading { status, owner: Some("auditd".to_owned()), log: Some((log, 1)) }
    }

    fn ids(look: &Look) -> Vec<&str> {
        match &look.sight {
            Sight::Failing(failures) => failures.iter().map(|failure| failure.id.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn audit_that_is_off_is_on_again_only_when_something_is_written() {
        let (mut detector, settings) = (Detector::default(), super::super::settings());
        assert!(ids(&detector.judge(at(0), &settings, &reading(1, 0, 10))).is_empty());
        assert_eq!(ids(&detector.judge(at(1), &settings, &reading(0, 0, 20))), ["audit.disabled"]);
        assert_eq!(ids(&detector.judge(at(2), &settings, &reading(1, 0, 20))), ["audit.disabled"]);
        assert!(ids(&detector.judge(at(3), &settings, &reading(1, 0, 21))).is_empty());
    }

    #[test]
    fn lost_records_are_told_with_their_number_until_none_was_lost_for_long() {
        let (mut detector, settings) = (Detector::default(), super::super::settings());
        assert!(ids(&detector.judge(at(0), &settings, &reading(1, 600, 0))).is_empty(), "they were lost before");
        let look = detector.judge(at(1), &settings, &reading(1, 605, 0));
        let Sight::Failing(failures) = &look.sight else { panic!("{look:?}") };
        assert_eq!((failures[0].severity, failures[0].loss.as_ref().unwrap().count), (Severity::High, 5));
        let look = detector.judge(at(2), &settings, &reading(1, 4698, 0));
        let Sight::Failing(failures) = &look.sight else { panic!("{look:?}") };
        assert_eq!((failures[0].severity, failures[0].loss.as_ref().unwrap().count), (Severity::Critical, 4098));
        assert_eq!(ids(&detector.judge(at(901), &settings, &reading(1, 4698, 0))), ["audit.lost"]);
        assert!(ids(&detector.judge(at(902), &settings, &reading(1, 4698, 0))).is_empty());
    }

    #[test]
    fn a_loss_that_is_over_begins_again_only_with_another() {
        let (mut detector, mut settings) = (Detector::default(), super::super::settings());
        settings.lost_calm = Duration::from_secs(10);
        detector.judge(at(0), &settings, &reading(1, 0, 0));
        assert_eq!(ids(&detector.judge(at(1), &settings, &reading(1, 611, 0))), ["audit.lost"]);
        for second in 11..20 {
            assert!(ids(&detector.judge(at(second), &settings, &reading(1, 611, 0))).is_empty());
        }
        assert_eq!(ids(&detector.judge(at(20), &settings, &reading(1, 612, 0))), ["audit.lost"]);
    }

    #[test]
    fn a_reset_of_the_counter_is_told_and_hides_nothing() {
        let (mut detector, settings) = (Detector::default(), super::super::settings());
        detector.judge(at(0), &settings, &reading(1, 600, 0));
        let look = detector.judge(at(1), &settings, &reading(1, 0, 0));
        assert_eq!(look.events[0].id, "audit.lost_reset");
        assert_eq!(ids(&detector.judge(at(2), &settings, &reading(1, 1, 0))), ["audit.lost"]);
    }

    #[test]
    fn a_threshold_holds_for_a_minute() {
        let (mut detector, mut settings) = (Detector::default(), super::super::settings());
        settings.lost_threshold = 10;
        detector.judge(at(0), &settings, &reading(1, 0, 0));
        assert!(ids(&detector.judge(at(1), &settings, &reading(1, 10, 0))).is_empty());
        assert!(ids(&detector.judge(at(100), &settings, &reading(1, 20, 0))).is_empty());
        assert_eq!(ids(&detector.judge(at(101), &settings, &reading(1, 21, 0))), ["audit.lost"]);
    }

    #[test]
    fn a_process_that_took_the_place_of_the_daemon_is_told_and_one_that_is_gone_is_not() {
        let (mut detector, settings) = (Detector::default(), super::super::settings());
        let other = Reading { owner: Some("osqueryd".to_owned()), ..reading(1, 0, 0) };
        assert!(ids(&detector.judge(at(0), &settings, &other)).is_empty());
        assert_eq!(ids(&detector.judge(at(1), &settings, &other)), ["audit.owner_changed"]);
        let gone = Reading { owner: None, ..reading(1, 0, 0) };
        assert!(ids(&detector.judge(at(2), &settings, &gone)).is_empty());
    }

    #[test]
    fn a_failure_mode_that_policy_does_not_want_is_told() {
        let (mut detector, mut settings) = (Detector::default(), super::super::settings());
        settings.expect_failure = Some(2);
        assert_eq!(ids(&detector.judge(at(0), &settings, &reading(1, 0, 0))), ["audit.posture"]);
    }

    #[test]
    fn the_number_of_the_error_says_which_right_is_missing() {
        let look = |error| refused(NetlinkError { doing: "AUDIT_GET", error });
        assert_eq!(ids(&look(Errno::PROTONOSUPPORT)), ["audit.unavailable"]);
        let Sight::Blind { why, cure } = look(Errno::PERM).sight else { panic!("it cannot be seen") };
        assert!(why.starts_with("AUDIT_GET: ") && cure.starts_with("CAP_AUDIT_CONTROL"), "{why}: {cure}");
        assert!(matches!(look(Errno::CONNREFUSED).sight, Sight::Blind { cure, .. } if cure.contains("user namespace")));
    }
}
