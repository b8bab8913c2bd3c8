//! The simulator's disk with a journal on it. What is written is not there before it is synced: a crash keeps as much of
//! it as chance wants. Knows nothing of records, as the segment files do not.

use balefire_model::{AppendError, Entry, Journal, Position, ReadError, Stored};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// The largest record, as for the segment files.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// Length and checksum.
const HEADER_BYTES: usize = 16;

/// What the disk does to the next appends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskFault {
    /// It works.
    #[default]
    None,
    /// It has no room, for every append until it is told otherwise.
    Full,
    /// The sync of the next append fails; after it nothing works until [`SimJournal::recover`].
    Sync,
}

/// What of the bytes that were not synced is on the disk after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// The first bytes, at most as many as were written, and after them bytes that nobody wrote.
    Torn {
        /// How many, in thousandths.
        per_mille: u64,
        /// What follows them.
        garbage: Vec<u8>,
    },
    /// All of them, although nobody was told.
    Everything,
}

/// A journal on a simulated disk: batches with a checksum each, so that a batch is there whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct SimJournal {
    /// What is durable.
    entries: Vec<Entry>,
    /// What was written since, and was not synced.
    written: Vec<u8>,
    fault: DiskFault,
    broken: bool,
}

impl SimJournal {
    /// Decides what becomes of the next appends.
    pub fn set_fault(&mut self, fault: DiskFault) {
        self.fault = fault;
    }

    /// Writes a batch without a sync: what a process leaves behind that dies during an append.
    pub fn write_unsynced(&mut self, entries: &[Entry]) {
        self.written.extend(frame(entries));
    }

    /// Ends the process that had the journal open, and lets `survival` decide on what was not synced. Returns how many
    /// bytes were cut off as a torn end.
    pub fn recover(&mut self, survival: &Survival) -> usize {
        // Only the bytes after the last sync are read: those before it are sound, and stay as they are.
        let mut left = std::mem::take(&mut self.written);
        match survival {
            Survival::Nothing => left.clear(),
            Survival::Everything => {}
            Survival::Torn { per_mille, garbage } => {
                let kept = left.len() * usize::try_from((*per_mille).min(1000)).expect("at most 1000") / 1000;
                left.truncate(kept);
                left.extend(garbage);
            }
        }
        let (entries, sound) = parse(&left);
        self.entries.extend(entries);
        self.broken = false;
        self.fault = DiskFault::None;
        left.len() - sound
    }

    /// The durable entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Journal for SimJournal {
    fn position(&self) -> Position {
        Position(self.entries.len() as u64)
    }

    fn append(&mut self, expected: Position, entries: &[Entry]) -> Result<Position, AppendError> {
        let actual = self.position();
        if expected != actual {
            return Err(AppendError::Conflict { expected, actual });
        }
        if let Some(large) = entries.iter().map(|entry| entry.payload.len()).find(|bytes| *bytes > RECORD_BYTES_MAX) {
            return Err(AppendError::TooLarge { bytes: large, limit: RECORD_BYTES_MAX });
        }
        let place = || "the simulated disk".to_owned();
        if self.broken || self.fault == DiskFault::Sync {
            if !self.broken {
                self.written.extend(frame(entries));
            }
            self.broken = true;
            return Err(AppendError::Failed { place: place(), source: std::io::Error::other("the sync failed") });
        }
        if self.fault == DiskFault::Full {
            return Err(AppendError::Full { place: place(), source: std::io::ErrorKind::StorageFull.into() });
        }
        self.entries.extend_from_slice(entries);
        Ok(self.position())
    }

    fn read(&self, from: Position, each: &mut dyn FnMut(Stored) -> bool) -> Result<(), ReadError> {
        let start = usize::try_from(from.0).unwrap_or(usize::MAX).min(self.entries.len());
        for (offset, entry) in (0..).zip(&self.entries[start..]) {
            if !each(Stored { position: Position(start as u64 + offset), entry: entry.clone() }) {
                break;
            }
        }
        Ok(())
    }
}

fn frame(entries: &[Entry]) -> Vec<u8> {
    let mut body = Vec::new();
    for entry in entries {
        body.extend(entry.kind.to_le_bytes());
        body.extend(entry.at.as_microsecond().to_le_bytes());
        body.extend((entry.payload.len() as u64).to_le_bytes());
        body.extend(&entry.payload);
    }
    let mut bytes = (body.len() as u64).to_le_bytes().to_vec();
    bytes.extend(&Sha256::digest(&body)[..8]);
    bytes.extend(body);
    bytes
}

/// The entries of the sound batches that the bytes begin with, and how many bytes those are.
fn parse(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    let mut sound = 0;
    while let Some(body) = sound_batch(&bytes[sound..]) {
        let mut rest = body;
        while let Some((entry, after)) = split_entry(rest) {
            entries.push(entry);
            rest = after;
        }
        sound += HEADER_BYTES + body.len();
    }
    (entries, sound)
}

fn sound_batch(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk::<8>()?;
    let body = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    // An empty batch is never written; a run of zeros must not look like one.
    (!body.is_empty() && Sha256::digest(body)[..8] == *checksum).then_some(body)
}

fn split_entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (kind, rest) = bytes.split_first_chunk()?;
    let (at, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (payload, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let at = Timestamp::from_microsecond(i64::from_le_bytes(*at)).ok()?;
    Some((Entry { kind: u16::from_le_bytes(*kind), at, payload: payload.to_vec() }, rest))
}
