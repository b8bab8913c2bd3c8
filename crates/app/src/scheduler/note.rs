//! What the journal keeps of a schedule, so that a restart starts no run twice and forgets none. Opaque to the engine.

use balefire_model::IncidentId;
use balefire_model::calendar::Timetable;
use balefire_model::record::InputRead;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// No input has such a name: a slash is not allowed in names.
const PREFIX: &str = "schedules/";

/// As many incidents as are resolved by the next good run; older ones stay open for a person.
const TOLD_MAX: usize = 100;

/// Where a schedule stands. Its form in the journal is JSON in the `file` of an `InputRead`, whose offset is `settled`: up
/// to which time, in Unix milliseconds, its timetable has been read, so to speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// By which timetable it was settled: another one begins anew.
    pub(super) timetable: String,
    /// Every time up to this one was started, or left out and told so.
    #[serde(skip)]
    pub(super) settled: Timestamp,
    /// What is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) under_way: Option<UnderWay>,
    /// The last run that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<LastRun>,
    /// When the last good run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) succeeded: Option<Timestamp>,
    /// Incidents that told of failures since the last good run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) told: Vec<IncidentId>,
}

/// A run that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnderWay {
    /// When it was started; which run it is.
    pub(super) started: Timestamp,
    /// How the command ended, where it has: its files are being taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Ended>,
}

/// The end of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// When.
    pub(super) at: Timestamp,
    /// What brought it about.
    pub(super) by: EndedBy,
    /// What was wrong, in words; none where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
    /// Its exit code, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
    /// What it said last on its standard error, harmless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) last_lines: Vec<String>,
}

/// What ended a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndedBy {
    /// It ended by itself, well or not.
    Itself,
    /// It was not started at all.
    NoStart,
    /// It ran for longer than it may.
    Timeout,
    /// Its next run was due.
    NextRun,
    /// Balefire stopped, in good order or not.
    Stop,
}

impl EndedBy {
    /// One word, for a label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            EndedBy::Itself => "exit",
            EndedBy::NoStart => "start",
            EndedBy::Timeout => "timeout",
            EndedBy::NextRun => "overlap",
            EndedBy::Stop => "interrupted",
        }
    }
}

impl Ended {
    /// An end that is known by its fault only.
    pub(super) fn without_status(at: Timestamp, by: EndedBy, fault: String) -> Ended {
        Ended { at, by, fault: Some(fault), exit_code: None, last_lines: Vec::new() }
    }
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastRun {
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
    /// What was wrong, in words; none where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
    /// How many records were taken.
    pub(super) accepted: u64,
}

impl Note {
    /// Of a schedule that nobody has seen before `now`: what was due earlier is none of its business.
    pub(super) fn new(timetable: &Timetable, now: Timestamp) -> Note {
        let (under_way, last, succeeded) = (None, None, None);
        Note { timetable: timetable.text(), settled: now, under_way, last, succeeded, told: Vec::new() }
    }

    /// What the journal says; an error where it is not what we write.
    pub(super) fn read(file: &str, offset: u64) -> Result<Note, String> {
        let mut note: Note = serde_json::from_str(file).map_err(|error| error.to_string())?;
        let ms = i64::try_from(offset).map_err(|error| error.to_string())?;
        note.settled = Timestamp::from_millisecond(ms).map_err(|error| error.to_string())?;
        // Notes from before that was kept.
        let good = note.last.as_ref().filter(|last| last.fault.is_none()).map(|last| last.ended);
        note.succeeded = note.succeeded.or(good);
        Ok(note)
    }

    /// The record.
    pub(super) fn write(&self, name: &str) -> InputRead {
        let file = serde_json::to_string(self).expect("a note has no failing serialisers");
        InputRead { input: key(name), file, offset: u64::try_from(self.settled.as_millisecond()).unwrap_or(0) }
    }

    /// Remembers an incident until a run succeeds.
    pub(super) fn tell(&mut self, incident: IncidentId) {
        if self.told.len() == TOLD_MAX {
            self.told.remove(0);
        }
        self.told.push(incident);
    }
}

/// Under which name the journal has the schedule's note.
pub(super) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn a_note_comes_back_from_the_journal_as_it_was() {
        let now: Timestamp = "2026-11-22T02:00:00.5Z".parse().unwrap();
        let mut note = Note::new(&Timetable::cron("@daily", TimeZone::UTC).unwrap(), now);
        let ended = Ended { exit_code: Some(3), ..Ended::without_status(now, EndedBy::Itself, "exit code 3".into()) };
        note.under_way = Some(UnderWay { started: now, ended: Some(ended) });
        note.last = Some(LastRun { started: now, ended: now, fault: None, accepted: 3 });
        note.succeeded = Some(now);
        note.tell(IncidentId::derive(now, "one"));
        let InputRead { input, file, offset } = note.write("nightly");
        assert_eq!((input.as_str(), offset), ("schedules/nightly", 1_795_312_800_500));
        assert_eq!(Note::read(&file, offset), Ok(note));
    }

    #[test]
    fn a_note_that_does_not_know_when_the_last_good_run_ended_learns_it_from_the_last_run() {
        let note = |fault: &str| {
            let last = format!(
                "{{\"started\":\"2026-11-22T02:00:00Z\",\"ended\":\"2026-11-22T02:01:00Z\",{fault}\"accepted\":3}}"
            );
            Note::read(&format!("{{\"timetable\":\"cron @daily (UTC)\",\"last\":{last}}}"), 0).unwrap()
        };
        assert_eq!(note("").succeeded, Some("2026-11-22T02:01:00Z".parse().unwrap()));
        assert_eq!(note("\"fault\":\"exit code 3\",").succeeded, None);
    }

    #[test]
    fn what_is_no_note_is_an_error() {
        assert!(Note::read("12:34", 5).is_err());
        assert!(Note::read("{\"timetable\":\"daily\"}", u64::MAX).is_err());
    }

    #[test]
    fn incidents_are_remembered_up_to_a_bound_the_latest_of_them() {
        let mut note = Note::new(&Timetable::cron("@daily", TimeZone::UTC).unwrap(), Timestamp::UNIX_EPOCH);
        let ids: Vec<_> = (0..150).map(|n| IncidentId::derive(Timestamp::UNIX_EPOCH, &n.to_string())).collect();
        ids.iter().for_each(|id| note.tell(*id));
        assert_eq!(note.told, ids[50..]);
    }
}
