//! What the journal keeps of a watcher, so that a restart tells nothing twice and forgets nothing. Opaque to the engine.

use balefire_model::IncidentId;
use balefire_model::record::InputRead;
use balefire_watch::Standing;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// No input has such a name: a slash is not allowed in names.
const PREFIX: &str = "watch/";

/// As many incidents about one failure are ended with it; the oldest stay open for a person.
const TOLD_MAX: usize = 16;

/// One line of the register of what is expected. Its form in the journal is JSON in the `file` of an `InputRead`, whose
/// offset is the time of the note in Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The watcher's kind.
    pub(super) kind: String,
    /// What it watches.
    pub(super) target: String,
    /// Since when it is expected.
    pub(super) expected: Timestamp,
    /// Where it stands.
    pub(super) standing: Standing,
    /// The incidents that told of each failure that is not over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) told: BTreeMap<String, Vec<IncidentId>>,
    /// What it asked to be told at its next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Value>,
    /// The drill that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) drill: Option<Drill>,
    /// When the last drill began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) drilled: Option<Timestamp>,
    /// That it is not expected any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retired: Option<Retired>,
}

/// A drill that has begun and is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drill {
    pub(super) incident: IncidentId,
    pub(super) began: Timestamp,
    pub(super) by: String,
}

/// Somebody said that a watcher is not expected any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retired {
    pub(super) at: Timestamp,
    pub(super) by: String,
    pub(super) comment: String,
}

impl Note {
    /// Of a watcher that nobody has heard of before.
    pub(super) fn new(now: Timestamp) -> Note {
        Note { expected: now, ..Note::default() }
    }

    /// The record.
    pub(super) fn write(&self, name: &str, now: Timestamp) -> InputRead {
        let file = serde_json::to_string(self).expect("a note has string keys and no failing serialisers");
        InputRead { input: format!("{PREFIX}{name}"), file, offset: u64::try_from(now.as_millisecond()).unwrap_or(0) }
    }

    /// Remembers that an incident told of a failure.
    pub(super) fn tell(&mut self, failure: &str, incident: IncidentId) {
        let told = self.told.entry(failure.to_owned()).or_default();
        if told.len() == TOLD_MAX {
            told.remove(0);
        }
        told.push(incident);
    }
}

/// All notes that the journal has, by the watchers' names. One that is not understood is told, and its watcher begins anew.
pub(super) fn read(known: &HashMap<String, (String, u64)>) -> BTreeMap<String, Note> {
    let ours = known.iter().filter_map(|(input, (file, _))| Some((input.strip_prefix(PREFIX)?, file)));
    let notes = ours.filter_map(|(name, file)| match serde_json::from_str(file) {
        Ok(note) => Some((name.to_owned(), note)),
        Err(error) => {
            tracing::error!(watcher = name, %error, "its note in the journal is not understood; it begins anew");
            None
        }
    });
    notes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_from_the_journal_as_it_was() {
        let now: Timestamp = "2026-11-22T02:00:00.5Z".parse().unwrap();
        let mut note = Note { kind: "file".to_owned(), target: "/var/log/auth.log".to_owned(), ..Note::new(now) };
        note.tell("file.missing", IncidentId::derive(now, "one"));
        note.memory = Some(serde_json::json!({ "inode": 7 }));
        note.retired = Some(Retired { at: now, by: "anna".to_owned(), comment: "moved\nto web-2".to_owned() });
        let InputRead { input, file, offset } = note.write("file:/var/log/auth.log", now);
        assert_eq!((input.as_str(), offset), ("watch/file:/var/log/auth.log", 1_795_312_800_500));
        let known = [(input, (file, offset)), ("falco".to_owned(), ("12:34".to_owned(), 5))].into_iter().collect();
        assert_eq!(read(&known), [("file:/var/log/auth.log".to_owned(), note)].into_iter().collect());
    }

    #[test]
    fn what_is_no_note_is_left_out_and_does_not_stop_the_start() {
        let known = [("watch/a".to_owned(), ("12:34".to_owned(), 5))].into_iter().collect();
        assert!(read(&known).is_empty());
    }

    #[test]
    fn incidents_are_remembered_up_to_a_bound_the_latest_of_them() {
        let mut note = Note::new(Timestamp::UNIX_EPOCH);
        let ids: Vec<_> = (0..40).map(|n| IncidentId::derive(Timestamp::UNIX_EPOCH, &n.to_string())).collect();
        ids.iter().for_each(|id| note.tell("x", *id));
        assert_eq!(note.told["x"], ids[24..]);
    }
}
