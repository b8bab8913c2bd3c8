//! `auditd.writing`: whether auditd writes what it takes. A suspended auditd lives, holds its socket, loses nothing by the
//! kernel's count, and throws every record away; what gives it away is a log that stands while records come.

use super::Settings;
use super::beside::Beside;
use super::spool::Spool;
use crate::audit::conf::conf;
use crate::audit::record::{Record, stamp};
use crate::audit::state_file::state_file;
use crate::audit::types::{END_OF_EVENT, FIRST_RECORD, line};
use crate::kernel::{daemon, holders};
use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::log_end::{self, Version};
use crate::sensors::log_tail::{Fate, LogTail, Mark};
use crate::sensors::netlink::Stream;
use crate::sensors::{process, readable};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// As much of the log is read in one look.
const LOOK_BYTES_MAX: usize = 4 << 20;

/// As many records are taken from the kernel in one look, and as many wait to be seen in the log: so what one look takes is kept
/// whole where it must be kept.
const RECORDS_MAX: usize = 16_384;

/// So long records come and the log stands.
const STALL: Duration = Duration::from_secs(7);

/// So long the log may be without a name: a rotation takes a moment.
const MISSING: Duration = Duration::from_secs(5);

/// The stream is emptied so often: the room at its socket is small where nobody may make it larger.
const DRAIN: Duration = Duration::from_millis(250);

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Writing(pub(crate) Settings);

impl Plan for Writing {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let kept: Kept = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default();
        let settings = self.0.clone();
        let spool = settings.spool.clone().map(|(dir, max)| Spool::new(dir, max));
        Box::new(WritingWatcher {
            tail: LogTail::begin(&settings.log, kept.mark),
            stream: Stream::open().ok(),
            beside: Beside::new(RECORDS_MAX),
            dropped: 0,
            spool,
            is_spooling: false,
            detector: Detector { open: kept.open, ..Detector::default() },
            settings,
        })
    }
}

/// What a restart must know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    mark: Option<Mark>,
    open: BTreeMap<String, Failure>,
}

struct WritingWatcher {
    settings: Settings,
    tail: LogTail,
    /// All records beside auditd, where we may have them.
    stream: Option<Stream>,
    /// What of it the log does not have.
    beside: Beside,
    /// How often some found no room at our socket.
    dropped: u64,
    spool: Option<Spool>,
    is_spooling: bool,
    detector: Detector,
}

impl Watcher for WritingWatcher {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        let text = log_end::whole(&self.settings.conf).ok().flatten();
        if text.is_some_and(|(text, _)| conf(&text).writes_none) {
            return Look::blind("auditd.conf says write_logs = no: there is no log to look at", "write_logs = yes");
        }
        self.drain(now);
        // Before the log is read: what came while it was known to stand may be passed over by what it has now.
        let kept = if self.is_spooling { self.keep_all() } else { Ok(()) };
        let path = self.settings.log.display().to_string();
        let grown = match self.tail.read(LOOK_BYTES_MAX) {
            Ok(grown) => grown,
            Err(error) => return Look::blind(format!("read {path}: {error}"), readable::right(&self.settings.log)),
        };
        self.compare(&grown.lines, now);
        let rows = process::audit_rows().unwrap_or_default();
        let has_owner = holders(&rows, process::own(), process::name)
            .is_some_and(|holders| daemon(&holders, &self.settings.owner).is_some());
        let state = self.settings.state().ok().flatten();
        let reading = Reading {
            path: &path,
            bytes: grown.lines.len(),
            fate: grown.fate,
            waits_since: self.beside.since(),
            waiting: self.beside.count(),
            has_owner,
            state,
        };
        let look = self.detector.judge(now, &reading);
        let is_failing = !self.detector.open.is_empty() || self.detector.ownerless >= 2;
        let kept = kept.and_then(|()| self.keep(now, is_failing));
        self.say_kept(look, kept, is_failing)
    }

    fn memory(&self) -> Option<Value> {
        serde_json::to_value(Kept { mark: self.tail.mark(), open: self.detector.open.clone() }).ok()
    }

    fn next(&self) -> Option<Duration> {
        self.stream.is_some().then_some(DRAIN)
    }
}

impl WritingWatcher {
    /// Takes what the kernel has sent.
    fn drain(&mut self, now: Moment) {
        let Some(stream) = &self.stream else { return };
        let beside = &mut self.beside;
        let drained = stream.drain(RECORDS_MAX, |kind, content| {
            if kind < FIRST_RECORD || kind == END_OF_EVENT {
                return;
            }
            let text = String::from_utf8_lossy(content);
            if let Some((_, serial, _)) = stamp(&text) {
                beside.came(serial, now, line(kind, content));
            }
        });
        match drained {
            Ok(true) => self.dropped += 1,
            Ok(false) => {}
            // A socket that fails is of no more use; the next start of the watcher opens another.
            Err(_) => self.stream = None,
        }
    }

    /// Holds what came against what the log has now.
    fn compare(&mut self, lines: &[u8], now: Moment) {
        let lines = String::from_utf8_lossy(lines);
        let records = lines.lines().filter_map(Record::parse);
        let serials = records.filter_map(|record| match record.kind {
            "DAEMON_START" => Some(None),
            _ => (!record.is_of_daemon()).then_some(Some(record.serial)),
        });
        self.beside.written(serials, now);
    }

    /// Keeps all records that wait. Where that fails they go on waiting.
    fn keep_all(&mut self) -> io::Result<()> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        spool.keep(self.beside.lines())?;
        self.beside.kept();
        Ok(())
    }

    /// Keeps what the log does not get: everything while auditd does not write, and what it has passed over when it does, as
    /// where it was dead for a moment only.
    fn keep(&mut self, now: Moment, is_failing: bool) -> io::Result<()> {
        let lost = self.beside.passed_over(now);
        let Some(spool) = self.spool.as_mut().filter(|_| self.stream.is_some()) else { return Ok(()) };
        self.is_spooling |= is_failing || !lost.is_empty();
        spool.keep(lost.iter().map(String::as_str))?;
        if is_failing { self.keep_all() } else { Ok(()) }
    }

    /// Says what could not be kept, and what became of the records when auditd writes again.
    fn say_kept(&mut self, look: Look, kept: io::Result<()>, is_failing: bool) -> Look {
        let Look { sight, mut events } = look;
        let is_over = self.is_spooling && !is_failing && self.beside.is_settled();
        if let Some(spool) = self.spool.as_mut().filter(|_| is_over) {
            let path = spool.path().display().to_string();
            let lacks = std::mem::take(&mut self.dropped) + self.beside.forgotten();
            events.push(alternate(spool.end(), lacks, &path));
            self.is_spooling = false;
        }
        let sight = match (kept, sight) {
            (Ok(()), sight) => sight,
            (Err(error), Sight::Failing(mut failures)) => {
                failures.push(no_alternate(&error));
                Sight::Failing(failures)
            }
            (Err(error), _) => Sight::Failing(vec![no_alternate(&error)]),
        };
        Look { sight, events }
    }
}

fn alternate((kept, refused): (u64, u64), dropped: u64, path: &str) -> Failure {
    let rest = match (refused, dropped) {
        (0, 0) => String::new(),
        (0, _) => "; some came too fast to be taken".to_owned(),
        (refused, 0) => format!("; {refused} more found no room"),
        (refused, _) => format!("; {refused} more found no room, and some came too fast to be taken"),
    };
    let summary = format!("while auditd did not write, {kept} audit records were kept in {path}{rest}");
    Failure::new("audit.alternate", Severity::Info, summary)
        .cured_by(format!("ausearch -if {path} reads them; keep them with the audit logs of that time"))
        .labelled("audit_kept", kept.to_string())
}

fn no_alternate(error: &io::Error) -> Failure {
    let summary = format!("auditd does not write, and its records cannot be kept elsewhere either: {error}");
    Failure::new("audit.alternate_failed", Severity::High, summary).cured_by("see the setting watch.auditd.spool")
}

/// One look at the log and its daemon.
#[derive(Clone, Debug)]
struct Reading<'a> {
    path: &'a str,
    /// How many bytes of complete lines have come.
    bytes: usize,
    fate: Fate,
    /// Since when the oldest record waits that the log does not have.
    waits_since: Option<Moment>,
    waiting: usize,
    has_owner: bool,
    state: Option<(String, Version)>,
}

#[derive(Clone, Debug, Default)]
struct Detector {
    /// What is wrong until the log grows.
    open: BTreeMap<String, Failure>,
    /// When the log last grew.
    grew: Option<Moment>,
    missing: Option<Moment>,
    state: Option<Version>,
    ownerless: u32,
    bytes: u64,
}

impl Detector {
    fn judge(&mut self, now: Moment, reading: &Reading<'_>) -> Look {
        let was_missing = self.missing.is_some();
        let is_missing = reading.fate == Fate::Missing;
        self.ownerless = if reading.has_owner { 0 } else { self.ownerless + 1 };
        self.missing = if is_missing { self.missing.or(Some(now)) } else { None };
        // Recovery is growth under its own name, and nothing else.
        if reading.bytes > 0 && !is_missing {
            self.open.clear();
            self.grew = Some(now);
            self.bytes += reading.bytes as u64;
        }
        let events = match reading.fate {
            Fate::Replaced if !was_missing && self.grew.is_some() => vec![replaced(reading.path)],
            _ => Vec::new(),
        };
        self.truncated(reading);
        self.missing(now, reading);
        self.stalled(now, reading);
        self.said(now, reading);
        if !self.open.is_empty() {
            return Look::from(Sight::Failing(self.open.values().cloned().collect())).with(events);
        }
        let look = match self.grew {
            Some(grew) => Look::ok(format!("{} bytes more, the last {} s ago", self.bytes, now.since(grew).as_secs())),
            None => Look::unknown(format!("waits for a record in {}", reading.path)),
        };
        look.with(events)
    }

    fn tell(&mut self, failure: Failure) {
        let failure = match self.grew {
            Some(grew) => failure.since(grew.wall),
            None => failure,
        };
        self.open.entry(failure.id.clone()).or_insert(failure);
    }

    fn truncated(&mut self, reading: &Reading<'_>) {
        let Fate::Truncated(before, after) = reading.fate else { return };
        let summary = format!("{} was cut from {before} to {after} bytes", reading.path);
        let failure = Failure::new("file.truncated", Severity::High, summary)
            .caused_by("somebody emptied or cut the audit log; auditd itself never does")
            .cured_by("ausearch for who opened it; restore the log from where it is sent to or backed up")
            .losing(before.saturating_sub(after), "bytes");
        self.tell(failure);
    }

    fn missing(&mut self, now: Moment, reading: &Reading<'_>) {
        if self.missing.is_none_or(|since| now.since(since) < MISSING) {
            return;
        }
        let failure = Failure::new("file.missing", Severity::High, format!("{} is gone", reading.path))
            .caused_by("somebody removed or renamed it; auditd goes on writing into a file that has no name any more")
            .cured_by("auditctl --signal rotate (SIGUSR1) makes auditd open a new one; SIGHUP does not");
        self.tell(failure);
    }

    /// Records come, somebody takes them, and nothing is written.
    fn stalled(&mut self, now: Moment, reading: &Reading<'_>) {
        let since = |moment: Option<Moment>| moment.is_none_or(|moment| now.since(moment) >= STALL);
        let waits = reading.waits_since.is_some_and(|since| now.since(since) >= STALL);
        if !waits || !since(self.grew) || !reading.has_owner || self.missing.is_some() {
            return;
        }
        let summary =
            format!("auditd takes records and writes none: {} stands while {} came", reading.path, reading.waiting);
        self.tell(suspended(summary, "a log that stands while the kernel sends records"));
    }

    /// What auditd itself says, as often as it says it.
    fn said(&mut self, _: Moment, reading: &Reading<'_>) {
        let Some((text, version)) = &reading.state else { return };
        if self.state.replace(*version) == Some(*version) || reading.bytes > 0 {
            return;
        }
        let state = state_file(text);
        if state.is_suspended == Some(true) {
            let summary = "auditd has suspended its log: it takes records and writes none".to_owned();
            self.tell(suspended(summary, "its state file says: logging suspended = yes"));
        }
        if state.has_disk_error == Some(true) {
            let failure = Failure::new("audit.write_error", Severity::Critical, "auditd cannot write its log")
                .caused_by("its state file says: disk error detected = yes")
                .cured_by("dmesg; df; then auditctl --signal resume");
            self.tell(failure);
        }
    }
}

pub(super) fn suspended(summary: String, cause: &str) -> Failure {
    Failure::new("audit.suspended", Severity::Critical, summary)
        .caused_by(cause)
        .cured_by("make room (df), then auditctl --signal resume (SIGUSR2): room alone does not resume it")
}

fn replaced(path: &str) -> Failure {
    Failure::new(
        "file.replaced",
        Severity::High,
        format!("{path} is another file now, and the one before has no name any more"),
    )
    .cured_by("ausearch for who removed it; restore the log from where it is sent to or backed up")
}

#[cfg(test)]
#[path = "writing_tests.rs"]
mod tests;
