//! Incidents by their position, for those who send them: from memory where they came in a moment ago or stand near one
//! that was read, from the journal otherwise. What it holds is bounded.

use crate::transport::Subject;
use balefire_model::record::kind;
use balefire_model::{Entry, Incident, Position};
use balefire_store::journal::Reader;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many incidents are kept. With those of ordinary size this is a megabyte or two.
const RECENT_MAX: usize = 1024;

/// Larger ones are not kept: a few of them would fill the memory.
const RECENT_BYTES_MAX: usize = 8 * 1024;

/// How many records, and bytes of incidents, are read at once: a backlog goes out mostly in the order it came in.
const AHEAD_RECORDS: u64 = 512;
const AHEAD_BYTES: usize = 128 * 1024;

pub(crate) struct Incidents {
    journal: Reader,
    recent: HashMap<Position, Arc<Incident>>,
    order: VecDeque<Position>,
    /// What stood behind the record that was read last, still encoded.
    ahead: HashMap<Position, Entry>,
}

impl Incidents {
    pub(crate) fn new(journal: Reader) -> Incidents {
        Incidents { journal, recent: HashMap::new(), order: VecDeque::new(), ahead: HashMap::new() }
    }

    /// Remembers an incident that has just become durable.
    pub(crate) fn insert(&mut self, position: Position, incident: Arc<Incident>) {
        let extra: usize = incident.extra.0.iter().map(|(_, value)| value.get().len()).sum();
        let events: usize = incident.events.iter().map(|event| event.get().len()).sum();
        if incident.title.len() + incident.description.len() + extra + events > RECENT_BYTES_MAX {
            return;
        }
        self.recent.insert(position, incident);
        self.order.push_back(position);
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }

    /// The incident at a position, which must be durable; the error says in words why it cannot be had.
    pub(crate) fn get(&mut self, position: Position) -> Result<Subject, String> {
        if let Some(incident) = self.recent.get(&position) {
            return Ok(Subject::Known(incident.clone()));
        }
        let entry = match self.ahead.remove(&position) {
            Some(entry) => entry,
            None => self.read(position)?,
        };
        Ok(Subject::Stored(entry))
    }

    /// Reads a record, and the incidents behind it.
    fn read(&mut self, position: Position) -> Result<Entry, String> {
        self.ahead.clear();
        let mut wanted = None;
        let mut bytes = 0;
        let read = self.journal.read(position, position.plus(AHEAD_RECORDS), &mut |stored| {
            bytes += stored.entry.payload.len();
            if stored.position == position {
                wanted = Some(stored.entry);
            } else if stored.entry.kind == kind::ACCEPTED {
                self.ahead.insert(stored.position, stored.entry);
            }
            bytes < AHEAD_BYTES
        });
        // What is wrong behind the record is found by who asks for it.
        match (wanted, read) {
            (Some(entry), _) => Ok(entry),
            (None, Err(error)) => Err(format!("cannot read the incident back: {error}")),
            (None, Ok(_)) => Err(format!("cannot read the incident back: the journal ends before record {position}")),
        }
    }
}
