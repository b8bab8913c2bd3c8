//! Walks over the records of one open segment with large positioned reads. Checks each record by itself; whether the
//! records belong together is not its business.

use super::format::{RECORD_HEADER_BYTES, RecordHeader};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Why there is no next record.
pub(crate) enum Fault {
    /// The system would not let us read.
    Io(io::Error),
    /// The bytes are no record.
    Bad(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

/// A record in the cursor's buffer.
pub(crate) struct Found<'a> {
    pub(crate) offset: u64,
    pub(crate) header: RecordHeader,
    pub(crate) payload: &'a [u8],
}

/// A place in a segment, between two records.
pub(crate) struct Cursor<'f> {
    file: &'f File,
    /// Nothing is read from here on.
    end: u64,
    /// Where the next record starts.
    offset: u64,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    /// Which part of the buffer holds bytes of the file, from `offset` on.
    filled: std::ops::Range<usize>,
}

impl<'f> Cursor<'f> {
    /// Starts at `offset`, which must be a record's start, and never reads at or beyond `end`.
    pub(crate) fn new(file: &'f File, offset: u64, end: u64, chunk_bytes: usize) -> Cursor<'f> {
        Cursor { file, end, offset, chunk_bytes, buffer: Vec::new(), filled: 0..0 }
    }

    /// Where the next record starts.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record, or `None` at the end. After a fault the cursor has not moved.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'_>>, Fault> {
        let Some(header) = self.peek()? else { return Ok(None) };
        let total = header.record_bytes();
        let have = self.fill(total)?;
        if have < total {
            return Err(Fault::Bad(format!("the record of {total} bytes ends after {have}")));
        }
        let start = self.filled.start;
        if crc32fast::hash(&self.buffer[start + RECORD_HEADER_BYTES..start + total]) != header.payload_sum {
            return Err(Fault::Bad("the payload does not match its checksum".into()));
        }
        let offset = self.offset;
        self.advance(total);
        Ok(Some(Found { offset, header, payload: &self.buffer[start + RECORD_HEADER_BYTES..start + total] }))
    }

    /// Reads the next record's header without moving, or `None` at the end.
    pub(crate) fn peek(&mut self) -> Result<Option<RecordHeader>, Fault> {
        let have = self.fill(RECORD_HEADER_BYTES)?;
        if have == 0 {
            return Ok(None);
        }
        let start = self.filled.start;
        let Some(header) = self.buffer[start..self.filled.end].first_chunk() else {
            return Err(Fault::Bad(format!("{have} bytes where a record's header has {RECORD_HEADER_BYTES}")));
        };
        RecordHeader::decode(header).map(Some).map_err(|what| Fault::Bad(what.into()))
    }

    /// Moves over the record whose header was just read, without looking at its payload.
    pub(crate) fn skip(&mut self, header: &RecordHeader) {
        self.advance(header.record_bytes());
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        let start = self.filled.start + bytes;
        self.filled = if start <= self.filled.end { start..self.filled.end } else { 0..0 };
    }

    /// Makes `bytes` bytes from the current offset on available, or as many as there are before the end; returns how
    /// many are there.
    fn fill(&mut self, bytes: usize) -> Result<usize, io::Error> {
        if self.filled.len() >= bytes {
            return Ok(self.filled.len());
        }
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let wanted = bytes.max(self.chunk_bytes).min(left);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.filled.len() < wanted {
            let at = self.offset + self.filled.len() as u64;
            match self.file.read_at(&mut self.buffer[self.filled.end..wanted], at) {
                Ok(0) => break,
                Ok(read) => self.filled.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.filled.len())
    }
}
