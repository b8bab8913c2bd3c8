//! The records of a run for a channel that takes them together: read from the journal page by page, in their order, and the
//! same ones for every attempt. Decides nothing: which records are collected for whom stands in the journal.

use balefire_channels::{RunRecords, TakesRuns};
use balefire_model::record::{Routed, RunEnded, kind};
use balefire_model::run::{RunMark, RunPage};
use balefire_model::{Entry, Position, Record, Stored};
use balefire_store::journal::Reader;
use std::sync::Arc;

/// Where the records of a run come from.
#[derive(Clone, Debug)]
pub(crate) struct RunSource {
    /// The journal that holds them.
    pub(crate) journal: Reader,
    /// Where the incident stands that tells of the run's end.
    pub(crate) accepted_at: Position,
    /// The channel that collected them.
    pub(crate) collector: String,
    /// How the channel takes them.
    pub(crate) takes: TakesRuns,
}

impl RunSource {
    /// The pages, from the first one on.
    pub(super) fn pages(&self) -> Pages {
        Pages { source: self.clone(), ended: None, at: Position(0), before: 0, counts: [0; 5] }
    }
}

/// The pages of one attempt.
pub(super) struct Pages {
    source: RunSource,
    /// The record of the run's end; read with the first page.
    ended: Option<RunEnded>,
    /// Where to read on.
    at: Position,
    before: u64,
    counts: [u64; 5],
}

impl Pages {
    /// The next page; the error says in words why it cannot be had. Reads the disk: not for a thread of the runtime.
    pub(super) fn next(&mut self) -> Result<RunPage, String> {
        let ended = match self.ended.take() {
            Some(ended) => ended,
            None => {
                let ended = self.source.ended()?;
                self.at = ended.from;
                ended
            }
        };
        let mut filling = Filling { pages: self, ended: &ended, held: None, page: Vec::new(), bytes: 0, left_out: 0 };
        let is_last = filling.fill()?;
        let Filling { page: records, left_out, .. } = filling;
        let before = self.before;
        self.before += records.len() as u64;
        let (id, counts) = (ended.id.clone(), self.counts);
        self.ended = Some(ended);
        Ok(RunPage { id, records, before, is_last, left_out, counts })
    }
}

impl RunSource {
    fn ended(&self) -> Result<RunEnded, String> {
        let at = self.accepted_at.plus(1);
        let stored = self.journal.get(at).map_err(|error| format!("cannot read the end of the run back: {error}"))?;
        match Record::decode(&stored.entry) {
            Ok(Record::RunEnded(ended)) => Ok(ended),
            Ok(_) => Err(format!("cannot read the end of the run back: another record stands at {at}")),
            Err(error) => Err(format!("cannot read the end of the run back: {error}")),
        }
    }
}

/// One page while it is filled.
struct Filling<'a> {
    pages: &'a mut Pages,
    ended: &'a RunEnded,
    /// The incident that was read last: what is decided on it stands right behind.
    held: Option<(Position, Entry)>,
    page: Vec<Arc<balefire_model::Incident>>,
    bytes: usize,
    left_out: u64,
}

impl Filling<'_> {
    /// Fills the page; true where there is no other one behind it.
    fn fill(&mut self) -> Result<bool, String> {
        let (from, until) = (self.pages.at, self.ended.to.plus(2));
        let journal = self.pages.source.journal.clone();
        let mut failed = None;
        let mut is_full = false;
        let read = journal.read(from, until, &mut |stored| {
            match self.take(stored) {
                Ok(full) => is_full = full,
                Err(why) => failed = Some(why),
            }
            failed.is_none() && !is_full
        });
        read.map_err(|error| format!("cannot read the run's records back: {error}"))?;
        failed.map_or(Ok(!is_full), Err)
    }

    /// Takes a record of the journal; true where the page is full and the record belongs on the next one.
    fn take(&mut self, stored: Stored) -> Result<bool, String> {
        let Stored { position, entry } = stored;
        match entry.kind {
            kind::ACCEPTED => {
                self.held = Some((position, entry));
                Ok(false)
            }
            kind::ROUTED => match self.held.take() {
                Some((at, incident)) => self.decided(at, incident, &entry),
                None => Ok(false),
            },
            _ => Ok(false),
        }
    }

    fn decided(&mut self, at: Position, incident: Entry, decision: &Entry) -> Result<bool, String> {
        let unreadable = |error| format!("cannot read a record of the run back: {error}");
        let Some((severity, mark)) = self.is_wanted(decision)? else { return Ok(false) };
        let takes = self.pages.source.takes;
        let has_room = self.page.is_empty()
            || (self.page.len() < takes.page_records_max
                && self.bytes + incident.payload.len() <= takes.page_bytes_max);
        if !has_room && takes.records == RunRecords::All {
            self.pages.at = at;
            return Ok(true);
        }
        if mark == RunMark::Record {
            self.pages.counts[severity] += 1;
        }
        // After one that does not fit no smaller one is shown: what is left out is the end.
        if !has_room || self.left_out > 0 {
            self.left_out += 1;
            return Ok(false);
        }
        self.bytes += incident.payload.len();
        match Record::decode(&incident).map_err(unreadable)? {
            Record::Accepted(incident) => self.page.push(incident),
            _ => return Err("cannot read a record of the run back: another record stands there".to_owned()),
        }
        Ok(false)
    }

    /// The severity's number and the mark of an incident, where it was collected for this channel in this run.
    fn is_wanted(&self, decision: &Entry) -> Result<Option<(usize, RunMark)>, String> {
        // Most records between those of a run are of no run, and are not worth decoding.
        if !contains(&decision.payload, b"\"collected\"") {
            return Ok(None);
        }
        let unreadable = |error| format!("cannot read a decision on the run back: {error}");
        let Record::Routed(Routed { severity, run, collected, .. }) = Record::decode(decision).map_err(unreadable)?
        else {
            return Ok(None);
        };
        let step = run.filter(|step| step.id == self.ended.id && collected.contains(&self.pages.source.collector));
        Ok(step.map(|step| (severity as usize, step.mark)))
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
