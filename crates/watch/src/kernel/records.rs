//! `kernel.records`: what the audit log says of audit itself: switched off, rules and limits changed, attempts on a locked
//! audit, and events that are missing by their serials.

use super::Settings;
use crate::audit::config_change::{Act, act, told};
use crate::audit::listener::{Listener, listener};
use crate::audit::record::Record;
use crate::audit::serials::Serials;
use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::log_tail::{Fate, LogTail, Mark};
use crate::sensors::{netlink, process, readable};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// As much is read in one look: half a second's work on a slow disk.
const LOOK_BYTES_MAX: usize = 4 << 20;

/// As many changes of one look are told; more of them are the same story.
const ACTS_MAX: usize = 1000;

/// Rules that are loaded so soon after the daemon started are its own.
const LOADING: Duration = Duration::from_secs(30);

/// As many programs that listen are remembered, and as much of a name is shown.
const LISTENERS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 200;

/// What listens on most machines and is no news.
const JOURNALD: [&str; 2] = ["/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald"];

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Records(pub(crate) Settings);

impl Plan for Records {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let kept: Kept = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default();
        let tail = LogTail::begin(&self.0.log, kept.mark);
        let boot = process::boot();
        let (serials, off, listeners) = (kept.serials, kept.off, kept.listeners);
        let mut detector = Detector { serials, off, listeners, own: process::program(), ..Detector::default() };
        if kept.boot != boot {
            detector.serials.reset();
        }
        Box::new(RecordsWatcher { settings: self.0.clone(), tail, boot, detector, has_more: false })
    }
}

struct RecordsWatcher {
    settings: Settings,
    tail: LogTail,
    boot: String,
    detector: Detector,
    has_more: bool,
}

/// What a restart must know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    boot: String,
    mark: Option<Mark>,
    serials: Serials,
    off: Option<Failure>,
    #[serde(default)]
    listeners: BTreeSet<String>,
}

impl Watcher for RecordsWatcher {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        let path = self.settings.log.display();
        let grown = match self.tail.read(LOOK_BYTES_MAX) {
            Ok(grown) => grown,
            Err(error) => return Look::blind(format!("read {path}: {error}"), readable::right(&self.settings.log)),
        };
        self.has_more = grown.has_more;
        if grown.fate == Fate::Missing {
            return Look::unknown(format!("{path} is not there"));
        }
        // Who may ask the kernel for the counter is told of a reset by that.
        let tells_reset = netlink::ask().is_err();
        self.detector.judge(now, &String::from_utf8_lossy(&grown.lines), tells_reset)
    }

    fn memory(&self) -> Option<Value> {
        let kept = Kept {
            boot: self.boot.clone(),
            mark: self.tail.mark(),
            serials: self.detector.serials.clone(),
            off: self.detector.off.clone(),
            listeners: self.detector.listeners.clone(),
        };
        serde_json::to_value(kept).ok()
    }

    fn next(&self) -> Option<Duration> {
        self.has_more.then_some(Duration::from_millis(50))
    }
}

#[derive(Clone, Debug, Default)]
struct Detector {
    serials: Serials,
    /// Audit was switched off, and no record of the kernel came in a later look.
    off: Option<Failure>,
    started: Option<Moment>,
    count: u64,
    /// Programs that were told as listening to the kernel's records.
    listeners: BTreeSet<String>,
    /// Our own program, which listens, too.
    own: Option<String>,
}

impl Detector {
    fn judge(&mut self, now: Moment, lines: &str, tells_reset: bool) -> Look {
        let was_off = self.off.is_some();
        let mut acts: Vec<(Act, String)> = Vec::new();
        let mut listens: Vec<Failure> = Vec::new();
        let mut of_kernel = 0;
        for line in lines.lines() {
            let Some(record) = Record::parse(line) else { continue };
            if record.is_of_daemon() {
                self.daemon(now, &record);
                continue;
            }
            of_kernel += 1;
            self.serials.take(record.serial, now.boot);
            listens.extend(listener(&record).and_then(|found| self.listens(found, line)));
            let Some(found) = act(&record) else { continue };
            let is_own = found == Act::RuleAdded && self.started.is_some_and(|started| now.since(started) < LOADING);
            if is_own || matches!(found, Act::LostReset(_)) && !tells_reset {
                continue;
            }
            match found {
                Act::Disabled => self.off = Some(disabled(line)),
                _ if acts.len() < ACTS_MAX => acts.push((found, line.to_owned())),
                _ => {}
            }
        }
        self.count += of_kernel;
        // Records of one moment may stand behind the one that says "off"; those of a later look came after it.
        if was_off && of_kernel > 0 && !lines.contains("audit_enabled=0 old=") {
            self.off = None;
        }
        let mut events = told(&acts);
        events.extend(listens);
        events.extend(self.gap(now));
        let look = match &self.off {
            Some(failure) => Sight::Failing(vec![failure.clone()]).into(),
            None if self.count == 0 => Look::unknown("no record of the kernel has come since the start"),
            None => {
                Look::ok(format!("{} records, the last with serial {}", self.count, self.serials.last().unwrap_or(0)))
            }
        };
        look.with(events)
    }

    fn daemon(&mut self, now: Moment, record: &Record<'_>) {
        if record.kind == "DAEMON_START" {
            self.started = Some(now);
            self.serials.daemon_started();
        }
    }

    /// Tells of a program that listens, once.
    fn listens(&mut self, found: Listener<'_>, line: &str) -> Option<Failure> {
        if JOURNALD.contains(&found.program) || self.own.as_deref() == Some(found.program) {
            return None;
        }
        let program = cut(&one_line(found.program), NAME_BYTES_MAX).into_owned();
        if self.listeners.len() >= LISTENERS_MAX || !self.listeners.insert(program.clone()) {
            return None;
        }
        let Listener { process, user, .. } = found;
        let summary = format!("{program} (process {process}, user {user}) reads all audit records beside the daemon");
        let event = Failure::new("audit.listener_new", Severity::Low, summary)
            .caused_by(format!("the audit log says: {}", cut(&one_line(line), 400)))
            .cured_by(format!("see whether {program} is meant to (CAP_AUDIT_READ); it is told once"))
            .labelled("audit_listener", program);
        Some(event)
    }

    fn gap(&mut self, now: Moment) -> Option<Failure> {
        let missing = self.serials.settle(now.boot);
        let (first, last) = missing.span?;
        let summary =
            format!("{} audit events are missing in the log, with serials from {first} to {last}", missing.count);
        let event = Failure::new("audit.serial_gap", Severity::High, summary)
            .caused_by(
                "a rate limit, a suspended log, or no daemon: the kernel counted them, and the log does not have them",
            )
            .cured_by(format!("ausearch -a {} and -a {} for what stands around it", first.saturating_sub(1), last + 1))
            .losing(missing.count, "events");
        Some(event)
    }
}

fn disabled(line: &str) -> Failure {
    Failure::new("audit.disabled", Severity::Critical, "the kernel's audit was switched off")
        .caused_by(format!("the audit log says: {}", cut(&one_line(line), 400)))
        .cured_by("auditctl -e 1; Audit=keep in journald.conf, where journald did it; ask who did it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    fn syscall(serial: u64) -> String {
        format!("type=SYSCALL msg=audit(1732305600.123:{serial}): arch=c000003e syscall=83\n")
    }

    fn change(serial: u64, body: &str) -> String {
        format!("type=CONFIG_CHANGE msg=audit(1732305600.123:{serial}): {body}\n")
    }

    fn summaries(look: &Look) -> Vec<&str> {
        look.events.iter().map(|event| event.summary.as_str()).collect()
    }

    fn fails(look: &Look) -> bool {
        matches!(look.sight, Sight::Failing(_))
    }

    #[test]
    fn switched_off_lasts_until_the_kernel_writes_again() {
        let mut detector = Detector::default();
        let off = change(7, "op=set audit_enabled=0 old=1 auid=4294967295 ses=4294967295 res=1");
        assert!(fails(&detector.judge(at(0), &format!("{}{off}{}", syscall(6), syscall(8)), true)));
        assert!(fails(&detector.judge(at(1), "", true)));
        let daemon = "type=DAEMON_START msg=audit(1732305600.123:4713): op=start\n";
        assert!(fails(&detector.judge(at(2), daemon, true)), "the daemon's own record proves nothing of the kernel");
        assert!(!fails(&detector.judge(at(3), &syscall(9), true)));
    }

    #[test]
    fn missing_serials_are_told_once_with_their_number() {
        let mut detector = Detector::default();
        let daemon = "type=DAEMON_CONFIG msg=audit(1732305600.123:4713): op=reconfigure\n";
        detector.judge(at(0), &format!("{}{daemon}{}", syscall(104), syscall(754)), true);
        let look = detector.judge(at(3), "", true);
        assert_eq!(summaries(&look), ["649 audit events are missing in the log, with serials from 105 to 753"]);
        assert_eq!(look.events[0].loss.as_ref().unwrap().count, 649);
        assert!(detector.judge(at(9), "", true).events.is_empty());
    }

    #[test]
    fn a_quiet_log_with_every_serial_tells_nothing() {
        let mut detector = Detector::default();
        let lines: String = (2..=110).map(syscall).collect();
        assert!(detector.judge(at(0), &lines, true).events.is_empty());
        let look = detector.judge(at(9), "", true);
        assert_eq!(look, Look::ok("109 records, the last with serial 110"));
    }

    #[test]
    fn rules_that_a_starting_daemon_loads_are_not_told_but_rules_that_go_are() {
        let mut detector = Detector::default();
        let start = "type=DAEMON_START msg=audit(1732305600.123:4713): op=start\n";
        let added = change(5, "auid=0 ses=1 op=add_rule key=\"gen\" list=4 res=1");
        let removed = change(6, "auid=0 ses=1 op=remove_rule key=\"gen\" list=4 res=1");
        let look = detector.judge(at(0), &format!("{start}{added}{removed}"), true);
        assert_eq!(summaries(&look), ["an audit rule was removed"]);
        let look = detector.judge(at(60), &change(7, "auid=0 op=add_rule key=\"gen\" list=4 res=1"), true);
        assert_eq!(summaries(&look), ["an audit rule was added"]);
    }

    #[test]
    fn a_reset_of_the_counter_is_told_here_only_where_the_kernel_cannot_be_asked() {
        let reset = change(5, "op=set lost=0 old=600 auid=0 res=1");
        assert_eq!(Detector::default().judge(at(0), &reset, true).events[0].id, "audit.lost_reset");
        assert!(Detector::default().judge(at(0), &reset, false).events.is_empty());
    }

    #[test]
    fn a_program_that_listens_is_told_once_and_journald_and_we_are_not() {
        let mut detector = Detector { own: Some("/usr/bin/balefire".to_owned()), ..Detector::default() };
        let listens = |serial: u64, program: &str| {
            format!(
                "type=EVENT_LISTENER msg=audit(1732305600.123:{serial}): pid=88 uid=0 auid=1 tty=(none) ses=1 comm=\"x\" \
                 exe=\"{program}\" nl-mcgrp=1 op=connect res=1\n"
            )
        };
        let lines = listens(2, "/usr/bin/balefire")
            + &listens(3, "/usr/lib/systemd/systemd-journald")
            + &listens(4, "/tmp/spy");
        let look = detector.judge(at(0), &lines, true);
        assert_eq!(summaries(&look), ["/tmp/spy (process 88, user 0) reads all audit records beside the daemon"]);
        assert_eq!((look.events[0].id.as_str(), look.events[0].severity), ("audit.listener_new", Severity::Low));
        assert!(detector.judge(at(1), &listens(5, "/tmp/spy"), true).events.is_empty());
        let many: String = (6..200).map(|serial| listens(serial, &format!("/tmp/{serial}"))).collect();
        assert_eq!(detector.judge(at(2), &many, true).events.len(), LISTENERS_MAX - 1);
    }

    #[test]
    fn no_line_of_a_log_makes_it_panic() {
        let lines = "type=\ntype=CONFIG_CHANGE msg=audit(0.0:18446744073709551615): op=set res=0\n\u{0}\ntype=A msg=audit(9.9:0): x\n";
        assert!(Detector::default().judge(at(0), lines, true).events.is_empty());
    }
}
