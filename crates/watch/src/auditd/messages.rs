//! `auditd.messages`: what auditd and the kernel say of audit in the system's log. Words begin a failure; they end one only where
//! nothing better can be seen: any program may write to that log under any name.

use super::Settings;
use super::words::{failure, shown};
use crate::audit::said::{Said, said};
use crate::audit::state_file::state_file;
use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::log_end;
use crate::sensors::log_tail::{Fate, LogTail, Mark};
use crate::sensors::space::space;
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::text::{cut, one_line};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// As much is read in one look.
const LOOK_BYTES_MAX: usize = 2 << 20;

/// As many failures are kept apart: plugins are few.
const CASES_MAX: usize = 24;

/// As much of a line is shown.
const TEXT_BYTES_MAX: usize = 300;

/// So much emptier (in percent) the file system must be until it counts as having room again.
const HYSTERESIS: u64 = 5;

/// Where the system's log is.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    /// The first of these that is there.
    pub(crate) paths: Vec<PathBuf>,
    /// Somebody has named it: then it is an alert that it cannot be read.
    pub(crate) is_named: bool,
    /// For how long nothing may be lost until a loss is over.
    pub(crate) calm: Duration,
}

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Hears(pub(crate) Settings, pub(crate) Messages);

impl Plan for Hears {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let kept: Kept = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default();
        let mut watcher = HearsWatcher {
            settings: self.0.clone(),
            messages: self.1.clone(),
            tail: None,
            detector: Detector { cases: kept.cases, ..Detector::default() },
            has_more: false,
        };
        watcher.find(kept.mark);
        Box::new(watcher)
    }
}

/// What a restart must know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    mark: Option<Mark>,
    cases: Vec<Case>,
}

struct HearsWatcher {
    settings: Settings,
    messages: Messages,
    tail: Option<(PathBuf, LogTail)>,
    detector: Detector,
    has_more: bool,
}

impl Watcher for HearsWatcher {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        self.find(None);
        let Some((path, tail)) = &mut self.tail else {
            let paths: Vec<String> = self.messages.paths.iter().map(|path| path.display().to_string()).collect();
            return Look::unknown(format!("{} is not there", paths.join(" or ")));
        };
        let path = path.display().to_string();
        let grown = match tail.read(LOOK_BYTES_MAX) {
            Ok(grown) => grown,
            Err(error) if self.messages.is_named => {
                return Look::blind(format!("read {path}: {error}"), format!("the right to read {path}: group adm"));
            }
            Err(error) => {
                return Look::unknown(format!("read {path}: {error}; with auditd.messages set this is an alert"));
            }
        };
        self.has_more = grown.has_more;
        if grown.fate == Fate::Missing && self.messages.is_named {
            return Look::unknown(format!("{path} is not there"));
        }
        let log = &self.settings.log;
        let room = space(log.parent().unwrap_or(log)).ok();
        let state = self.settings.state().ok().flatten();
        let reading = Reading {
            path: &path,
            log: log_end::size(log),
            room: room.map(|room| (room.bytes_free, room.bytes)),
            flows: state
                .filter(|(text, _)| {
                    let state = state_file(text);
                    state.has_overflow == Some(false) && state.is_queueing_suspended != Some(true)
                })
                .and_then(|(_, version)| Timestamp::from_nanosecond(version.0).ok()),
        };
        self.detector.judge(now, self.messages.calm, (&String::from_utf8_lossy(&grown.lines), &reading))
    }

    fn memory(&self) -> Option<Value> {
        let mark = self.tail.as_ref().and_then(|(_, tail)| tail.mark());
        serde_json::to_value(Kept { mark, cases: self.detector.cases.clone() }).ok()
    }

    fn next(&self) -> Option<Duration> {
        self.has_more.then_some(Duration::from_millis(50))
    }
}

impl HearsWatcher {
    /// The log that is followed; the first that is there, if none is yet.
    fn find(&mut self, kept: Option<Mark>) {
        if self.tail.is_some() {
            return;
        }
        let paths = &self.messages.paths;
        let found = paths.iter().find(|path| self.messages.is_named || path.exists());
        self.tail = found.map(|path| (path.clone(), LogTail::begin(path, kept)));
    }
}

/// How things stand beside the lines.
#[derive(Clone, Copy, Debug)]
struct Reading<'a> {
    path: &'a str,
    /// The length of auditd's log, and which file it is.
    log: Option<(u64, u64)>,
    /// Bytes that are free where that is, of all.
    room: Option<(u64, u64)>,
    /// When auditd last said in its state file that nothing overflowed.
    flows: Option<Timestamp>,
}

/// A failure that was said, and by what its end is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Case {
    failure: Failure,
    log: Option<(u64, u64)>,
    free: Option<u64>,
    /// When it was last said, by the wall clock, as which a state file has its time.
    said: Timestamp,
    /// auditd will say no more of it, so that neither silence nor a plugin that it claims to have started again means anything.
    #[serde(default)]
    is_silenced: bool,
    /// The same for this run.
    #[serde(skip)]
    last: Option<Moment>,
    /// The first count of lost records.
    #[serde(default)]
    lost: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Detector {
    cases: Vec<Case>,
    lines: u64,
    /// auditd said that it began, or that it tries again, with this look.
    has_started: bool,
    is_resuming: bool,
}

impl Detector {
    fn judge(&mut self, now: Moment, calm: Duration, (lines, reading): (&str, &Reading<'_>)) -> Look {
        let mut events = Vec::new();
        (self.has_started, self.is_resuming) = (false, false);
        let before: Vec<(String, String)> = self.cases.iter().map(Case::key).collect();
        for line in lines.lines() {
            self.lines += 1;
            let Some(word) = said(line) else { continue };
            events.extend(self.take(now, (word, line), reading, &before));
        }
        let (has_started, is_resuming) = (self.has_started, self.is_resuming);
        let mut proofs = Vec::new();
        self.cases.retain_mut(|case| match case.over(now, calm, reading, (has_started, is_resuming)) {
            Some(proof) => {
                proofs.push(proof);
                false
            }
            None => true,
        });
        let look = match (&self.cases[..], self.lines) {
            ([], 0) if proofs.is_empty() && before.is_empty() => {
                Look::unknown(format!("waits for a line in {}", reading.path))
            }
            ([], lines) if proofs.is_empty() => {
                Look::ok(format!("{lines} lines of {} tell of no failure", reading.path))
            }
            ([], _) => Look::ok(proofs.join("; ")),
            (cases, _) => Sight::Failing(cases.iter().map(|case| case.failure.clone()).collect()).into(),
        };
        look.with(events)
    }

    fn take(
        &mut self,
        now: Moment,
        (word, line): (Said<'_>, &str),
        reading: &Reading<'_>,
        before: &[(String, String)],
    ) -> Option<Failure> {
        match word {
            Said::Started => {
                self.has_started = true;
                // What a daemon said before it began anew is of the daemon before.
                self.cases.retain(|case| !case.ends_with_start());
            }
            Said::Resuming => self.is_resuming = true,
            Said::PluginBack(name) => {
                let key = ("audit.plugin_dead".to_owned(), shown(name));
                // auditd 3.0.9 says this also right after it has given a plugin up.
                let ended = |case: &Case| case.key() == key && !case.is_silenced;
                let place = self.cases.iter().position(ended)?;
                let case = self.cases.remove(place);
                return (!before.contains(&key)).then(|| restarted(case.failure));
            }
            _ => {
                let text = format!("{} says: {}", reading.path, cut(&one_line(line), TEXT_BYTES_MAX));
                self.begin(now, (failure(word)?.caused_by(text), word), reading);
            }
        }
        None
    }

    fn begin(&mut self, now: Moment, (failure, word): (Failure, Said<'_>), reading: &Reading<'_>) {
        let is_worse = |case: &Case| {
            matches!(
                (word, case.failure.id.as_str()),
                (Said::Full | Said::SpaceAdmin, "audit.space_low") | (Said::Full, "audit.space_admin")
            )
        };
        self.cases.retain(|case| !is_worse(case));
        let place = self.cases.iter().position(|case| case.failure.key() == failure.key());
        let count = match word {
            Said::Lost(count) => count,
            _ => None,
        };
        if place.is_none() && self.cases.len() >= CASES_MAX {
            return;
        }
        let before = place.map(|place| self.cases.remove(place));
        // What was given up stays so, whatever smaller thing is said of it then.
        let worse = before.as_ref().map(|case| &case.failure).filter(|before| before.severity > failure.severity);
        let failure = worse.cloned().unwrap_or(failure);
        let lost = before.as_ref().and_then(|case| case.lost).or(count);
        let failure = match (lost, count) {
            (Some(first), Some(count)) if count > first => failure.losing(count - first, "records"),
            _ => Failure { loss: before.as_ref().and_then(|case| case.failure.loss.clone()), ..failure },
        };
        let first_bad = before.as_ref().and_then(|case| case.failure.first_bad).unwrap_or(now.wall);
        let is_silenced = matches!(word, Said::QueueSilent | Said::QueueSuspended | Said::PluginGivenUp(_));
        self.cases.push(Case {
            failure: failure.since(first_bad),
            log: reading.log,
            free: reading.room.map(|(free, _)| free),
            said: now.wall,
            is_silenced: is_silenced || before.is_some_and(|case| case.is_silenced),
            last: Some(now),
            lost,
        });
    }
}

impl Case {
    fn key(&self) -> (String, String) {
        (self.failure.id.clone(), self.failure.of.clone())
    }

    /// Whether a daemon that begins anew ends it: it is about the one before.
    fn ends_with_start(&self) -> bool {
        matches!(self.failure.id.as_str(), "audit.plugin_dead" | "audit.queue_overflow" | "audit.halt_pending")
    }

    /// What proves that it is over.
    fn over(
        &mut self,
        now: Moment,
        calm: Duration,
        reading: &Reading<'_>,
        (has_started, is_resuming): (bool, bool),
    ) -> Option<String> {
        // After a restart of ours silence begins anew.
        let quiet = now.since(*self.last.get_or_insert(now));
        let by_word = || {
            (has_started || is_resuming).then(|| "auditd says that it writes again; its log cannot be seen".to_owned())
        };
        match self.failure.id.as_str() {
            "audit.suspended" | "audit.write_error" | "audit.full" => match (self.log, reading.log) {
                (_, None) => by_word(),
                (Some((size, file)), Some((length, same))) if file != same && length > 0 || length > size => {
                    Some(format!("auditd's log has grown to {length} bytes"))
                }
                (_, log) => {
                    // It may have been cut meanwhile, or not have been visible.
                    self.log = log;
                    None
                }
            },
            "audit.space_low" | "audit.space_admin" => match (self.free, reading.room) {
                (Some(before), Some((free, all))) if free > before.saturating_add(all / 100 * HYSTERESIS) => {
                    Some(format!("{} MiB are free again", free >> 20))
                }
                (_, None) => by_word(),
                (before, Some((free, _))) => {
                    self.free = Some(before.map_or(free, |before| before.min(free)));
                    None
                }
            },
            "audit.queue_overflow" if reading.flows.is_some_and(|at| at > self.said) => {
                Some("auditd's state file says that nothing overflows".to_owned())
            }
            "audit.queue_overflow" | "audit.lost" if !self.is_silenced && quiet >= calm => {
                Some(format!("nothing more was lost for {} s, of which each would be said", quiet.as_secs()))
            }
            _ => None,
        }
    }
}

/// A plugin that was back within the same look.
fn restarted(failure: Failure) -> Failure {
    let summary = format!("{}; auditd has started it again", failure.summary);
    Failure { summary, ..failure }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
