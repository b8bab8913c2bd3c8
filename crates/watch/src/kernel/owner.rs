//! `kernel.owner`: whether a daemon takes the kernel's records, by a table that everybody may read. `AUDIT_GET` alone would
//! not tell: it names a dead daemon until the next record.

use super::{START, Settings};
use crate::audit::record::Record;
use crate::audit::rows::Row;
use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::{log_end, process};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// In so many looks without a daemon it is gone: one may be between the end of a daemon and the start of the next.
const ABSENT_LOOKS: u32 = 2;

/// Another program must hold a socket so long to be taken for the owner: `auditctl` holds one for a moment.
const STRANGER_LOOKS: u32 = 3;

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Owner(pub(crate) Settings);

impl Plan for Owner {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let kept = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default();
        Box::new(OwnerWatcher { settings: self.0.clone(), detector: Detector { kept, ..Detector::default() } })
    }
}

struct OwnerWatcher {
    settings: Settings,
    detector: Detector,
}

/// A socket and its process's name, where that can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) row: Row,
    pub(crate) name: Option<String>,
}

/// The sockets that could be a daemon's; none where the kernel has no audit at all.
pub(crate) fn holders(rows: &[Row], own: u64, name: impl Fn(u64) -> Option<String>) -> Option<Vec<Holder>> {
    rows.iter().find(|row| row.port == 0)?;
    let others = rows.iter().filter(|row| row.port != 0 && row.port != own && row.groups == 0);
    Some(others.map(|row| Holder { row: row.clone(), name: name(row.port) }).collect())
}

/// The one of them that is the daemon. A process that is hidden from us is taken for it, where it is the only one.
pub(crate) fn daemon<'a>(holders: &'a [Holder], expected: &str) -> Option<&'a Holder> {
    let is_it = |holder: &&Holder| holder.name.as_deref() == Some(expected);
    holders.iter().find(is_it).or_else(|| match holders {
        [only] if only.name.is_none() && u32::try_from(only.row.port).is_ok_and(|port| port < 1 << 22) => Some(only),
        _ => None,
    })
}

impl Watcher for OwnerWatcher {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        if process::is_contained() {
            return Look::blind(
                "this is a container: the audit sockets of the machine are not in its /proc/net/netlink",
                "run it on the machine itself, or with the machine's namespaces of processes and network",
            );
        }
        let rows = match process::audit_rows() {
            Ok(rows) => rows,
            Err(error) => return Look::blind(format!("read /proc/net/netlink: {error}"), "a /proc that can be read"),
        };
        let reading = Reading {
            holders: holders(&rows, process::own(), process::name),
            log: log_end::size(&self.settings.log),
            last: || last_kind(&self.settings.log),
            is_told: around.plugin_told(),
        };
        self.detector.judge(now, &self.settings.expect_owner, &reading)
    }

    fn memory(&self) -> Option<Value> {
        serde_json::to_value(&self.detector.kept).ok()
    }
}

/// The type of the last record, where the log can be read.
fn last_kind(path: &Path) -> Option<String> {
    let end = log_end::end(path)?;
    Some(Record::parse(end.lines().next_back()?)?.kind.to_owned())
}

struct Reading<F> {
    holders: Option<Vec<Holder>>,
    /// The length of the log and which file it is.
    log: Option<(u64, u64)>,
    last: F,
    /// auditd's plugin has just said that auditd is gone; what becomes of that is told here.
    is_told: bool,
}

/// What a restart must know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The failure that was told, and the log as it was then.
    lost: Option<(Failure, Option<(u64, u64)>)>,
}

#[derive(Clone, Debug, Default)]
struct Detector {
    kept: Kept,
    absent: u32,
    strange: u32,
    present: u32,
    last_seen: Option<Moment>,
}

impl Detector {
    fn judge(&mut self, now: Moment, expected: &str, reading: &Reading<impl Fn() -> Option<String>>) -> Look {
        let Some(holders) = &reading.holders else {
            let summary = "the kernel has no audit: booted with audit=0, or built without it";
            let failure = Failure::new("audit.unavailable", Severity::High, summary);
            let cure = "remove audit=0 from the kernel's command line (cat /proc/cmdline) and start the machine again";
            return Sight::Failing(vec![failure.cured_by(cure)]).into();
        };
        match daemon(holders, expected) {
            Some(found) => {
                let is_back = reading.is_told && self.kept.lost.is_none();
                let events = if is_back { vec![back(expected)] } else { Vec::new() };
                self.present(now, found, reading.log).with(events)
            }
            None => self.absent(now, expected, (holders, reading)),
        }
    }

    fn present(&mut self, now: Moment, found: &Holder, log: Option<(u64, u64)>) -> Look {
        (self.absent, self.strange) = (0, 0);
        self.present += 1;
        self.last_seen = Some(now);
        let name = found.name.as_deref().unwrap_or("a process that is hidden");
        let row = format!("{name} holds the audit socket (process {})", found.row.port);
        let Some((failure, before)) = &self.kept.lost else { return Look::ok(row) };
        let proof = match (before, log) {
            _ if self.present < ABSENT_LOOKS => None,
            // auditd writes a record when it starts: that it is there and that it writes are two things.
            (Some(before), Some(log)) if *before == log => None,
            (Some(_), Some(_)) => Some(format!("{row}, and its log has grown since")),
            _ => Some(format!("{row}; its log cannot be seen")),
        };
        match proof {
            Some(proof) => {
                self.kept.lost = None;
                Look::ok(proof)
            }
            None => Sight::Failing(vec![failure.clone()]).into(),
        }
    }

    fn absent(
        &mut self,
        now: Moment,
        expected: &str,
        (holders, reading): (&[Holder], &Reading<impl Fn() -> Option<String>>),
    ) -> Look {
        self.present = 0;
        self.absent += 1;
        self.strange = if holders.is_empty() { 0 } else { self.strange + 1 };
        if let Some((failure, _)) = &self.kept.lost {
            return Sight::Failing(vec![failure.clone()]).into();
        }
        let is_starting = self.last_seen.is_none() && now.boot < START;
        let is_seen = self.absent >= ABSENT_LOOKS || reading.is_told;
        if !is_seen || is_starting || !holders.is_empty() && self.strange < STRANGER_LOOKS {
            return Look::unknown(format!("{expected} holds no audit socket; looking again"));
        }
        let failure = match holders {
            [] => lost(expected, (reading.last)().as_deref()),
            holders => changed(expected, holders),
        };
        let failure = match self.last_seen {
            Some(seen) => failure.since(seen.wall),
            None => failure,
        };
        self.kept.lost = Some((failure.clone(), reading.log));
        Sight::Failing(vec![failure]).into()
    }
}

fn lost(expected: &str, last: Option<&str>) -> Failure {
    let (how, cause) = match last {
        Some("DAEMON_END") => ("stopped", "the last record of its log is DAEMON_END: it was stopped in good order"),
        Some("DAEMON_ABORT") => ("aborted", "the last record of its log is DAEMON_ABORT: it gave up by itself"),
        Some(_) => ("killed", "its log ends without DAEMON_END: it was killed, or it crashed"),
        None => ("gone", "its log cannot be read here, which would say whether it was stopped or killed"),
    };
    let summary = format!("no daemon takes the kernel's audit records: {expected} is {how}");
    Failure::new("audit.owner_lost", Severity::Critical, summary)
        .caused_by(cause)
        .cured_by(format!("systemctl status {expected}; systemctl start {expected}; then see that its log grows"))
        .labelled("audit_end", how)
}

/// It was gone for so short a time that only its plugin has seen it.
fn back(expected: &str) -> Failure {
    let summary =
        format!("{expected} was gone for a moment: its plugin says that it ended, and a daemon is there again");
    Failure::new("audit.owner_lost", Severity::High, summary)
        .caused_by("it was restarted, or it started its plugins anew, or it crashed and was started again")
        .cured_by(format!("systemctl status {expected}; ausearch -m DAEMON_START,DAEMON_END,DAEMON_ABORT -ts recent"))
}

fn changed(expected: &str, holders: &[Holder]) -> Failure {
    let name = |holder: &Holder| {
        let name = holder.name.as_deref().unwrap_or("a process that is hidden");
        format!("{} ({})", balefire_model::text::one_line(name), holder.row.port)
    };
    let names: Vec<String> = holders.iter().take(4).map(name).collect();
    let summary = format!("not {expected} but {} holds the kernel's audit socket", names.join(", "));
    Failure::new("audit.owner_changed", Severity::High, summary)
        .caused_by("another program has taken the kernel's audit, or is the only one left with a socket of it")
        .cured_by(format!("auditctl -s; stop that program, then systemctl restart {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    fn held(name: &str, port: u64) -> Holder {
        Holder { row: Row { port, groups: 0, waiting: 0, drops: 0 }, name: Some(name.to_owned()) }
    }

    struct Seen(Detector, u64, bool);

    impl Seen {
        fn new() -> Seen {
            Seen(Detector::default(), 0, false)
        }

        /// A look a second later: who holds sockets, how long the log is, and its last record.
        fn look(&mut self, holders: &[Holder], log: Option<u64>, last: Option<&str>) -> Look {
            self.1 += 1;
            let reading = Reading {
                holders: Some(holders.to_vec()),
                log: log.map(|size| (size, 1)),
                last: || last.map(str::to_owned),
                is_told: std::mem::take(&mut self.2),
            };
            self.0.judge(at(self.1), "auditd", &reading)
        }
    }

    fn failing(look: &Look) -> Option<&str> {
        match &look.sight {
            Sight::Failing(failures) => Some(failures[0].id.as_str()),
            _ => None,
        }
    }

    fn is_ok(look: &Look) -> bool {
        matches!(look.sight, Sight::Ok { .. })
    }

    #[test]
    fn what_its_plugin_says_is_told_at_once_and_never_lost() {
        let mut seen = Seen::new();
        seen.look(&[held("auditd", 105)], Some(10), None);
        seen.2 = true;
        assert_eq!(failing(&seen.look(&[], Some(10), None)), Some("audit.owner_lost"), "one look is enough then");
        let mut seen = Seen::new();
        seen.look(&[held("auditd", 105)], Some(10), None);
        seen.2 = true;
        let look = seen.look(&[held("auditd", 300)], Some(10), None);
        assert!(is_ok(&look));
        assert_eq!((look.events[0].id.as_str(), look.events[0].severity), ("audit.owner_lost", Severity::High));
        assert!(seen.look(&[held("auditd", 300)], Some(10), None).events.is_empty());
    }

    #[test]
    fn a_daemon_that_is_gone_is_found_in_two_looks_and_is_back_when_it_writes() {
        let mut seen = Seen::new();
        assert!(is_ok(&seen.look(&[held("auditd", 105)], Some(10), None)));
        assert_eq!(failing(&seen.look(&[], Some(10), Some("SYSCALL"))), None);
        let lost = seen.look(&[], Some(10), Some("SYSCALL"));
        assert_eq!(failing(&lost), Some("audit.owner_lost"));
        let Sight::Failing(failures) = &lost.sight else { unreachable!() };
        assert_eq!((failures[0].labels["audit_end"].as_str(), failures[0].first_bad), ("killed", Some(at(1).wall)));
        for _ in 0..5 {
            assert_eq!(failing(&seen.look(&[held("auditd", 300)], Some(10), None)), Some("audit.owner_lost"));
        }
        assert!(is_ok(&seen.look(&[held("auditd", 300)], Some(11), None)));
    }

    #[test]
    fn a_restart_between_two_looks_is_no_alarm() {
        let mut seen = Seen::new();
        seen.look(&[held("auditd", 105)], Some(10), None);
        assert_eq!(failing(&seen.look(&[], Some(10), None)), None);
        assert!(is_ok(&seen.look(&[held("auditd", 300)], Some(10), None)));
    }

    #[test]
    fn a_tool_that_asks_for_a_moment_is_neither_the_daemon_nor_its_successor() {
        let mut seen = Seen::new();
        assert!(is_ok(&seen.look(&[held("auditctl", 9), held("auditd", 105)], None, None)));
        assert_eq!(failing(&seen.look(&[held("auditctl", 9)], None, None)), None);
        assert_eq!(failing(&seen.look(&[], None, Some("DAEMON_END"))), Some("audit.owner_lost"));
    }

    #[test]
    fn another_program_that_stays_is_told_by_its_name() {
        let mut seen = Seen::new();
        let osquery = [held("osqueryd", 500)];
        assert_eq!(failing(&seen.look(&osquery, None, None)), None);
        assert_eq!(failing(&seen.look(&osquery, None, None)), None);
        let look = seen.look(&osquery, None, None);
        assert_eq!(failing(&look), Some("audit.owner_changed"));
    }

    #[test]
    fn a_kernel_without_audit_says_so_and_a_reader_of_the_multicast_is_no_daemon() {
        let row = |port, groups| Row { port, groups, waiting: 0, drops: 0 };
        assert_eq!(holders(&[], 1, |_| None), None);
        let found = holders(&[row(0, 0), row(77, 1), row(1, 0), row(105, 0)], 1, |_| None).unwrap();
        assert_eq!(found.len(), 1, "not the kernel, not the multicast, not ourselves");
        assert_eq!(daemon(&found, "auditd").map(|holder| holder.row.port), Some(105));
        let none: Reading<fn() -> Option<String>> = Reading { holders: None, log: None, last: || None, is_told: false };
        assert_eq!(failing(&Detector::default().judge(at(1), "auditd", &none)), Some("audit.unavailable"));
    }

    #[test]
    fn nothing_is_expected_in_the_first_minute_of_a_machine() {
        let mut detector = Detector::default();
        let reading = Reading { holders: Some(Vec::new()), log: None, last: || None, is_told: false };
        for second in 0..59 {
            let now = Moment { boot: Duration::from_secs(second), ..at(0) };
            assert_eq!(failing(&detector.judge(now, "auditd", &reading)), None);
        }
        assert_eq!(failing(&detector.judge(at(0), "auditd", &reading)), Some("audit.owner_lost"));
    }
}
