//! The seam of the journal: what every journal can do, whatever it is made of. Implemented by segment files
//! (`balefire-store`) and by the simulator's disk (`balefire-sim`); both pass the same contract tests.

use crate::id::Position;
use jiff::Timestamp;

/// A record in its stored form: the kind's number and the canonical payload. The journal looks into neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The kind's number, see [`crate::record::Record`].
    pub kind: u16,
    /// When the record was decided; microseconds are kept.
    pub at: Timestamp,
    /// Canonical bytes: stored, hashed and read back as they are.
    pub payload: Vec<u8>,
}

/// An entry that was read back, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub position: Position,
    /// What stands there.
    pub entry: Entry,
}

/// An append-only sequence of entries, durable when `append` returns.
pub trait Journal {
    /// The position of the next record, which is also the number of records.
    fn position(&self) -> Position;

    /// Appends all entries, or none, with one sync for all of them, and returns the position after them.
    ///
    /// When it returns `Ok`, the entries survive a crash and a power cut. After an error they may or may not be there:
    /// the caller must read the journal again before it goes on.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] where `expected` is not the journal's position: somebody else has written. Nothing was
    /// appended. The others say what failed below.
    fn append(&mut self, expected: Position, entries: &[Entry]) -> Result<Position, AppendError>;

    /// Calls `each` for the durable entries from `from` on, in order, until the end or until it returns `false`.
    ///
    /// # Errors
    /// [`ReadError`] where an entry cannot be read; the entries before it have been passed to `each`.
    fn read(&self, from: Position, each: &mut dyn FnMut(Stored) -> bool) -> Result<(), ReadError>;
}

/// Why an append failed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another writer came first.
    #[error("journal is at position {actual}, not at {expected}: another writer has appended")]
    Conflict {
        /// What the caller believed.
        expected: Position,
        /// What is so.
        actual: Position,
    },
    /// No room; nothing was appended, and the same append may succeed later.
    #[error("no space for the journal in {place}")]
    Full {
        /// The file or directory.
        place: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A write or a sync failed. What was written since the last good sync is in doubt.
    #[error("cannot write the journal at {place}")]
    Failed {
        /// The file.
        place: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An entry is larger than any journal takes.
    #[error("record of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its payload's size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Bytes that were durable are not what was written.
    #[error("journal is damaged in {segment} at byte {offset}, record {position}: {what}")]
    Damaged {
        /// The segment's file.
        segment: String,
        /// Where in the file.
        offset: u64,
        /// Which record should stand there.
        position: Position,
        /// What was found.
        what: String,
    },
    /// The system would not let us read.
    #[error("cannot read the journal at {place}")]
    Failed {
        /// The file.
        place: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
