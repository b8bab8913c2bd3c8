//! Where to start looking for a record in a segment: one mark for every 32 KiB, 8 bytes each, so that 100 GB of journal
//! cost 25 MB of memory. Knows no file.

use super::format::SEGMENT_HEADER_BYTES;
use balefire_model::Position;

/// The distance between marks: what a lookup walks over at most before it comes to its record.
const MARK_EVERY_BYTES: u64 = 32 << 10;

/// The marks of one segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Position relative to the segment's first, and offset in the file; both rise.
    marks: Vec<(u32, u32)>,
}

impl Index {
    /// Learns of a record, in order. Most are not remembered.
    pub(crate) fn note(&mut self, base: Position, position: Position, offset: u64) {
        let last = self.marks.last().map_or(SEGMENT_HEADER_BYTES as u64, |mark| u64::from(mark.1));
        if offset < last + MARK_EVERY_BYTES {
            return;
        }
        // Segments stay far below 4 GiB; beyond, a lookup only takes longer.
        if let (Ok(record), Ok(offset)) = (u32::try_from(position.0 - base.0), u32::try_from(offset)) {
            self.marks.push((record, offset));
        }
    }

    /// Forgets the records from `position` on.
    pub(crate) fn forget_from(&mut self, base: Position, position: Position) {
        let keep = self.marks.partition_point(|mark| base.plus(u64::from(mark.0)) < position);
        self.marks.truncate(keep);
    }

    /// A record at or before `position`, near it, and its offset.
    pub(crate) fn near(&self, base: Position, position: Position) -> (Position, u64) {
        let after = self.marks.partition_point(|mark| base.plus(u64::from(mark.0)) <= position);
        match after.checked_sub(1).map(|at| self.marks[at]) {
            Some((record, offset)) => (base.plus(u64::from(record)), u64::from(offset)),
            None => (base, SEGMENT_HEADER_BYTES as u64),
        }
    }
}
