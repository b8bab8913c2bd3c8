//! Reads durable records, beside the writer and without ever waiting for it. Never reads what is not yet synced.

use super::cursor::{Cursor, Fault, Found};
use super::directory;
use super::index::Index;
use balefire_model::{Entry, Position, ReadError, Stored};
use jiff::Timestamp;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// One read of the system while reading many records.
const CHUNK_BYTES: usize = 64 << 10;
/// One read of the system while looking for a single record. Two or three of them are faster than a larger one.
const LOOKUP_BYTES: usize = 8 << 10;

/// What the writer shows to the readers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    /// The position after the last durable record.
    pub(crate) durable: AtomicU64,
    /// Ordered by `base`. Locked for a lookup or an update of one element, never over a read or a write.
    pub(crate) segments: RwLock<Vec<Segment>>,
}

/// A segment as readers need it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) base: Position,
    /// The byte after its last durable record.
    pub(crate) end_offset: u64,
    pub(crate) index: Index,
}

impl Shared {
    pub(crate) fn position(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// How many segments there are.
    pub(crate) fn count(&self) -> usize {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes in a batch that is durable: first where it stands, then that it is there.
    pub(crate) fn publish(&self, end: Position, update: impl FnOnce(&mut Vec<Segment>)) {
        // A panic elsewhere cannot have left the list half changed: an update is a push or a few assignments.
        update(&mut self.segments.write().unwrap_or_else(PoisonError::into_inner));
        self.durable.store(end.0, Ordering::Release);
    }

    /// Where to read from to come to a record.
    fn place(&self, position: Position) -> Option<Place> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.base <= position);
        let segment = &segments[after.checked_sub(1)?];
        let (near, offset) = segment.index.near(segment.base, position);
        let next_base = segments.get(after).map(|next| next.base);
        Some(Place { base: segment.base, near, offset, end_offset: segment.end_offset, next_base })
    }
}

struct Place {
    base: Position,
    /// A record at or before the one that was asked for, and its offset.
    near: Position,
    offset: u64,
    end_offset: u64,
    /// The next segment's first record.
    next_base: Option<Position>,
}

/// Reads a journal from any thread, while it is written and after its writer is gone. Clones are cheap and independent.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    /// The segment that was read last: one open file, however many segments there are.
    open: Mutex<Option<(Position, Arc<File>)>>,
}

impl Clone for Reader {
    fn clone(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Reader {
        Reader { shared, open: Mutex::new(None) }
    }

    /// The position after the last durable record. Rises while the journal is written.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.position()
    }

    /// Fetches one record; costs reading at most 32 KiB beside the record itself.
    ///
    /// # Errors
    /// [`ReadError::Failed`] where there is no such record yet or the system would not let us read,
    /// [`ReadError::Damaged`] where the record is not what was written.
    pub fn get(&self, position: Position) -> Result<Stored, ReadError> {
        let durable = self.position();
        let mut found = None;
        if position < durable {
            self.walk(position, position.plus(1), LOOKUP_BYTES, &mut |stored| {
                found = Some(stored);
                false
            })?;
        }
        found.ok_or_else(|| ReadError::Failed {
            place: self.shared.dir.display().to_string(),
            source: io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no record {position} yet: the journal ends before {durable}"),
            ),
        })
    }

    /// Calls `each` for the durable records from `from` up to, but not including, `upto`, in order, until it returns
    /// `false`. What becomes durable meanwhile is not read. Returns the position after the last record passed on.
    ///
    /// # Errors
    /// As [`Reader::get`], except that a range beyond the end is merely empty. The records before have been passed on.
    pub fn read(
        &self,
        from: Position,
        upto: Position,
        each: &mut dyn FnMut(Stored) -> bool,
    ) -> Result<Position, ReadError> {
        self.walk(from, upto.min(self.position()), CHUNK_BYTES, each)
    }

    fn walk(
        &self,
        from: Position,
        upto: Position,
        chunk_bytes: usize,
        each: &mut dyn FnMut(Stored) -> bool,
    ) -> Result<Position, ReadError> {
        let mut next = from;
        while next < upto {
            let Some(place) = self.shared.place(next) else {
                return Err(self.damaged(next, 0, next, "no segment holds this record"));
            };
            let file = self.file(place.base)?;
            let mut cursor = Cursor::new(&file, place.offset, place.end_offset, chunk_bytes);
            let end = place.next_base.map_or(upto, |base| base.min(upto));
            self.pass_over(&mut cursor, &place, next)?;
            while next < end {
                let offset = cursor.offset();
                let found = match cursor.next() {
                    Ok(Some(found)) if found.header.position == next => found,
                    Ok(Some(found)) => {
                        let what = format!("record {} stands here", found.header.position);
                        return Err(self.damaged(place.base, offset, next, &what));
                    }
                    Ok(None) => return Err(self.damaged(place.base, offset, next, "the segment ends here")),
                    Err(fault) => return Err(self.fault(place.base, offset, next, fault)),
                };
                let stored = self.stored(place.base, &found)?;
                next = next.plus(1);
                if !each(stored) {
                    return Ok(next);
                }
            }
        }
        Ok(next)
    }

    /// Moves from the index's mark to the record that is wanted.
    fn pass_over(&self, cursor: &mut Cursor<'_>, place: &Place, wanted: Position) -> Result<(), ReadError> {
        let mut at = place.near;
        while at < wanted {
            let offset = cursor.offset();
            match cursor.peek() {
                Ok(Some(header)) if header.position == at => cursor.skip(&header),
                Ok(_) => return Err(self.damaged(place.base, offset, at, "another record stands here, or none")),
                Err(fault) => return Err(self.fault(place.base, offset, at, fault)),
            }
            at = at.plus(1);
        }
        Ok(())
    }

    fn stored(&self, base: Position, found: &Found<'_>) -> Result<Stored, ReadError> {
        let header = &found.header;
        let at = Timestamp::from_microsecond(header.at_us).map_err(|error| {
            self.damaged(base, found.offset, header.position, &format!("the record's time is no time: {error}"))
        })?;
        let entry = Entry { kind: header.kind, at, payload: found.payload.to_vec() };
        Ok(Stored { position: header.position, entry })
    }

    fn file(&self, base: Position) -> Result<Arc<File>, ReadError> {
        // The slot is replaced as a whole, so that a panic elsewhere leaves it sound.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, file)) = &*open
            && *of == base
        {
            return Ok(Arc::clone(file));
        }
        let path = self.shared.dir.join(directory::segment_name(base));
        let file =
            File::open(&path).map_err(|source| ReadError::Failed { place: path.display().to_string(), source })?;
        let file = Arc::new(file);
        *open = Some((base, Arc::clone(&file)));
        Ok(file)
    }

    fn fault(&self, base: Position, offset: u64, position: Position, fault: Fault) -> ReadError {
        match fault {
            Fault::Bad(what) => self.damaged(base, offset, position, &what),
            Fault::Io(source) => ReadError::Failed { place: self.path(base), source },
        }
    }

    fn damaged(&self, base: Position, offset: u64, position: Position, what: &str) -> ReadError {
        ReadError::Damaged { segment: self.path(base), offset, position, what: what.to_owned() }
    }

    fn path(&self, base: Position) -> String {
        self.shared.dir.join(directory::segment_name(base)).display().to_string()
    }
}
