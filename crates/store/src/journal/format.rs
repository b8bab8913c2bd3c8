//! The bytes of a segment, format version 1: how its header and its records are laid out, written and recognised.
//! Knows no file: what to do about bytes that do not fit is decided elsewhere.
//!
//! All numbers are little-endian; every byte is covered by a checksum (CRC-32, IEEE).
//!
//! | segment header, at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | format version |
//! | 12 | 4 | checksum over all the other bytes of the header |
//! | 16 | 8 | position of the first record |
//! | 24 | 8 | created: microseconds since 1970, the time of the first record written |
//!
//! | record, at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic: control characters, which cannot stand in JSON text |
//! | 4 | 4 | checksum over bytes 8 to 47 |
//! | 8 | 4 | payload's length |
//! | 12 | 4 | payload's checksum |
//! | 16 | 8 | position |
//! | 24 | 8 | time: microseconds since 1970 |
//! | 32 | 8 | position of the first record of the same batch |
//! | 40 | 4 | number of records in the batch |
//! | 44 | 2 | kind |
//! | 46 | 2 | zero |
//! | 48 | | payload |
//!
//! The header has a checksum of its own, so that a record whose payload was torn still tells its batch.

use balefire_model::{Entry, Position};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The largest payload, in bytes.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 32;
pub(crate) const RECORD_HEADER_BYTES: usize = 48;
pub(crate) const RECORD_MAGIC: [u8; 4] = [0x01, 0x1e, 0x02, 0x1f];
const SEGMENT_MAGIC: [u8; 8] = *b"\x89BFJRNL\n";

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) base: Position,
    pub(crate) created_us: i64,
}

/// Why bytes are no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Where in the file, and what is wrong there.
    Damaged(u64, &'static str),
    /// Written by a version of the format that we do not know.
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[24..].copy_from_slice(&self.created_us.to_le_bytes());
        let sum = segment_sum(&bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<SegmentHeader, HeaderFault> {
        if bytes[..8] != SEGMENT_MAGIC {
            return Err(HeaderFault::Damaged(0, "this is no journal segment"));
        }
        // Before the checksum: a later version may place it elsewhere.
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(HeaderFault::Version(version));
        }
        if u32_at(bytes, 12) != segment_sum(bytes) {
            return Err(HeaderFault::Damaged(12, "the segment's header does not match its checksum"));
        }
        Ok(SegmentHeader { base: Position(u64_at(bytes, 16)), created_us: u64_at(bytes, 24).cast_signed() })
    }
}

fn segment_sum(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[..12]);
    sum.update(&bytes[16..]);
    sum.finalize()
}

/// Which records were written together: all of them are in the journal, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) first: Position,
    pub(crate) records: u32,
}

impl Batch {
    /// The position after its last record.
    pub(crate) fn end(self) -> Position {
        self.first.plus(u64::from(self.records))
    }
}

/// What stands before a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) payload_bytes: usize,
    pub(crate) payload_sum: u32,
    pub(crate) position: Position,
    pub(crate) at_us: i64,
    pub(crate) batch: Batch,
    pub(crate) kind: u16,
}

impl RecordHeader {
    /// Reads a header, or says what stands there instead.
    pub(crate) fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> Result<RecordHeader, &'static str> {
        if bytes[..4] != RECORD_MAGIC {
            return Err("no record starts here");
        }
        if u32_at(bytes, 4) != crc32fast::hash(&bytes[8..]) {
            return Err("the record's header does not match its checksum");
        }
        let header = RecordHeader {
            payload_bytes: usize::try_from(u32_at(bytes, 8)).unwrap_or(usize::MAX),
            payload_sum: u32_at(bytes, 12),
            position: Position(u64_at(bytes, 16)),
            at_us: u64_at(bytes, 24).cast_signed(),
            batch: Batch { first: Position(u64_at(bytes, 32)), records: u32_at(bytes, 40) },
            kind: u16::from_le_bytes([bytes[44], bytes[45]]),
        };
        if header.payload_bytes > RECORD_BYTES_MAX {
            return Err("the record is longer than any record may be");
        }
        Ok(header)
    }

    /// The record's length in the file.
    pub(crate) fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload_bytes
    }
}

/// Adds a record to what will be written. The payload must not be longer than [`RECORD_BYTES_MAX`].
pub(crate) fn push_record(buffer: &mut Vec<u8>, position: Position, batch: Batch, entry: &Entry) {
    let payload_bytes = u32::try_from(entry.payload.len()).expect("the limit on records is far below 4 GiB");
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..4].copy_from_slice(&RECORD_MAGIC);
    header[8..12].copy_from_slice(&payload_bytes.to_le_bytes());
    header[12..16].copy_from_slice(&crc32fast::hash(&entry.payload).to_le_bytes());
    header[16..24].copy_from_slice(&position.0.to_le_bytes());
    header[24..32].copy_from_slice(&entry.at.as_microsecond().to_le_bytes());
    header[32..40].copy_from_slice(&batch.first.0.to_le_bytes());
    header[40..44].copy_from_slice(&batch.records.to_le_bytes());
    header[44..46].copy_from_slice(&entry.kind.to_le_bytes());
    let sum = crc32fast::hash(&header[8..]);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    buffer.extend_from_slice(&header);
    buffer.extend_from_slice(&entry.payload);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
