//! Reads a whole segment and says how far it holds, and what is wrong after that. Changes nothing; what follows from it
//! is decided by who opens the journal.

use super::cursor::{Cursor, Fault, Found};
use super::format::{
    Batch, HeaderFault, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::index::Index;
use balefire_model::Position;
use balefire_model::record::kind;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// One read of the system while scanning. Larger ones were not faster.
const CHUNK_BYTES: usize = 256 << 10;

/// What is known of a segment before it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// The position that its name says.
    pub(crate) base: Position,
    /// The next segment's first position: here this one must end. `None` for the last segment.
    pub(crate) until: Option<Position>,
    /// How many of its bytes can be believed, where a write or a sync of it has failed.
    pub(crate) believed: Option<u64>,
}

/// What a segment turned out to hold.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) created_us: Option<i64>,
    /// The position after the last complete batch.
    pub(crate) end: Position,
    /// The byte after it.
    pub(crate) end_offset: u64,
    /// Where the last complete batch starts.
    pub(crate) last_batch_offset: u64,
    /// The file's length.
    pub(crate) file_bytes: u64,
    /// Whether what follows the last batch is reserved for the next ones: zeros, and nothing else.
    pub(crate) is_reserved: bool,
    pub(crate) index: Index,
    /// The last snapshot.
    pub(crate) snapshot: Option<Position>,
    /// Why it ends there, unless it is in order.
    pub(crate) stop: Option<Stop>,
}

/// Why a segment does not hold up to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The process or the machine stopped while the last segment was made; it never had a record.
    NoHeader,
    /// A format that we do not know.
    Version(u32),
    /// The last batch was not written completely: nobody was told that it was durable.
    Torn(Flaw),
    /// It ends in good order, but before the next segment begins.
    Short,
    /// Something that no crash explains.
    Damaged(Flaw),
}

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) offset: u64,
    /// The record that should stand there.
    pub(crate) position: Position,
    pub(crate) what: String,
}

/// Reads and checks every record of a segment.
pub(crate) fn scan(file: &File, expected: Expected) -> io::Result<Scanned> {
    let file_bytes = file.metadata()?.len();
    let mut scanned = Scanned {
        created_us: None,
        end: expected.base,
        end_offset: SEGMENT_HEADER_BYTES as u64,
        last_batch_offset: SEGMENT_HEADER_BYTES as u64,
        file_bytes,
        is_reserved: false,
        index: Index::default(),
        snapshot: None,
        stop: None,
    };
    match segment_header(file, file_bytes, expected)? {
        Ok(header) => scanned.created_us = Some(header.created_us),
        Err(stop) => {
            scanned.stop = Some(stop);
            return Ok(scanned);
        }
    }
    let limit = expected.believed.unwrap_or(u64::MAX).min(file_bytes);
    let mut cursor = Cursor::new(file, SEGMENT_HEADER_BYTES as u64, limit, CHUNK_BYTES);
    let mut walk = Walk { next: expected.base, open: None, snapshot: None };
    scanned.stop = loop {
        if walk.open.is_none() && Some(walk.next) == expected.until {
            break None;
        }
        let offset = cursor.offset();
        let fault = match cursor.next() {
            Ok(Some(found)) => match walk.step(&found, expected.until) {
                Ok(()) => {
                    scanned.index.note(expected.base, found.header.position, found.offset);
                    if walk.open.is_none() {
                        scanned.commit(&mut walk, cursor.offset());
                    }
                    continue;
                }
                Err(what) => what,
            },
            Ok(None) if walk.open.is_none() => break expected.until.map(|_| Stop::Short),
            Ok(None) => "the batch of which this is a part is not complete".to_owned(),
            Err(Fault::Bad(what)) => what,
            Err(Fault::Io(error)) => return Err(error),
        };
        if walk.open.is_none() && expected.until.is_none() && is_zero(file, offset, limit)? {
            scanned.is_reserved = expected.believed.is_none();
            break None;
        }
        let flaw = Flaw { offset, position: walk.next, what: fault };
        break Some(judge(file, limit, walk.torn_batch(), flaw, expected.until)?);
    };
    scanned.index.forget_from(expected.base, scanned.end);
    Ok(scanned)
}

impl Scanned {
    /// The file's length, without what is reserved.
    pub(crate) fn held_bytes(&self) -> u64 {
        if self.is_reserved { self.end_offset } else { self.file_bytes }
    }

    /// Takes a batch that is complete.
    fn commit(&mut self, walk: &mut Walk, end_offset: u64) {
        self.last_batch_offset = self.end_offset;
        self.end = walk.next;
        self.end_offset = end_offset;
        self.snapshot = walk.snapshot.take().or(self.snapshot);
    }
}

fn segment_header(file: &File, file_bytes: u64, expected: Expected) -> io::Result<Result<SegmentHeader, Stop>> {
    // A header is synced before the first record is written: only without records can it be unfinished.
    let unfinished = file_bytes <= SEGMENT_HEADER_BYTES as u64 && expected.until.is_none();
    let damaged = |offset, what: String| Ok(Err(Stop::Damaged(Flaw { offset, position: expected.base, what })));
    if file_bytes < SEGMENT_HEADER_BYTES as u64 {
        if unfinished {
            return Ok(Err(Stop::NoHeader));
        }
        return damaged(file_bytes, "the segment's header is not complete".into());
    }
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    match SegmentHeader::decode(&bytes) {
        Ok(header) if header.base == expected.base => Ok(Ok(header)),
        Ok(header) => damaged(16, format!("the header says that the segment begins with record {}", header.base)),
        Err(HeaderFault::Version(version)) => Ok(Err(Stop::Version(version))),
        Err(HeaderFault::Damaged(..)) if unfinished => Ok(Err(Stop::NoHeader)),
        Err(HeaderFault::Damaged(offset, what)) => damaged(offset, what.into()),
    }
}

/// Checks that records follow each other and that batches are complete.
struct Walk {
    next: Position,
    /// The batch of which records are still to come.
    open: Option<Batch>,
    snapshot: Option<Position>,
}

impl Walk {
    fn step(&mut self, found: &Found<'_>, until: Option<Position>) -> Result<(), String> {
        let header = &found.header;
        if header.position != self.next {
            return Err(format!("record {} stands here", header.position));
        }
        let batch = match self.open {
            Some(open) => open,
            None => Batch { first: self.next, records: header.batch.records.max(1) },
        };
        if header.batch != batch {
            return Err(format!("the record belongs to another batch, that of record {}", header.batch.first));
        }
        if until.is_some_and(|until| until < batch.end()) {
            return Err("the batch reaches into the next segment".into());
        }
        self.next = self.next.plus(1);
        self.open = (self.next < batch.end()).then_some(batch);
        if header.kind == kind::SNAPSHOT {
            self.snapshot = Some(header.position);
        }
        Ok(())
    }

    /// The first record of the batch that a crash could have torn here.
    fn torn_batch(&self) -> Position {
        self.open.map_or(self.next, |batch| batch.first)
    }
}

/// Tells a torn tail from damage: a batch is written only when the one before it is durable, so that whatever follows a
/// torn batch can only be a part of the same batch.
fn judge(file: &File, end: u64, torn: Position, flaw: Flaw, until: Option<Position>) -> io::Result<Stop> {
    if until.is_some() {
        return Ok(Stop::Damaged(flaw));
    }
    Ok(match other_batch(file, flaw.offset, end, torn)? {
        None => Stop::Torn(flaw),
        Some((offset, position)) => {
            let what = format!("{}; this is no torn tail, for record {position} follows at byte {offset}", flaw.what);
            Stop::Damaged(Flaw { what, ..flaw })
        }
    })
}

/// Whether nothing but zeros stands there.
fn is_zero(file: &File, from: u64, end: u64) -> io::Result<bool> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = from;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        file.read_exact_at(&mut buffer[..wanted], at)?;
        if buffer[..wanted].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += wanted as u64;
    }
    Ok(true)
}

/// Searches for the header of a record that does not belong to the batch that begins with `torn`.
fn other_batch(file: &File, from: u64, end: u64, torn: Position) -> io::Result<Option<(u64, Position)>> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = from;
    while at + RECORD_HEADER_BYTES as u64 <= end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        file.read_exact_at(&mut buffer[..wanted], at)?;
        for start in 0..=wanted - RECORD_HEADER_BYTES {
            if buffer[start] != RECORD_MAGIC[0] {
                continue;
            }
            let header = buffer[start..].first_chunk().map(RecordHeader::decode);
            if let Some(Ok(header)) = header
                && header.batch.first != torn
            {
                return Ok(Some((at + start as u64, header.position)));
            }
        }
        // The last bytes may be the beginning of a header.
        at += (wanted - RECORD_HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}
