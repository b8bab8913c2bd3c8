//! Appends batches: one buffer, one write, one sync. Decides nothing about what is in them.

use super::directory;
use super::format::{Batch, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, push_record};
use super::index::Index;
use super::reader::{Reader, Segment, Shared};
use balefire_model::{AppendError, Entry, Journal, Position, ReadError, Stored};
use jiff::Timestamp;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The largest batch, in bytes with its records' headers.
pub const BATCH_BYTES_MAX: usize = 1 << 30;
/// The longest segment, apart from its last batch: offsets in the index have 32 bits.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// How much is reserved at a time.
const RESERVE_BYTES: u64 = 256 << 10;
/// The largest batch that reserves.
const RESERVING_BATCH_BYTES: usize = 64 << 10;
/// A larger buffer is given back after use.
const BUFFER_BYTES_KEPT: usize = 8 << 20;

/// Linux: the system, or this process, has too many files open (errno(3)); the standard library has no name for it.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// A new segment is begun when a batch does not fit into this many bytes: 64 MiB unless told otherwise, at most 1
    /// GiB. A batch that is larger has a segment for itself.
    pub segment_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions { segment_bytes: 64 << 20 }
    }
}

/// A journal in segment files. The only writer of its directory.
#[derive(Debug)]
pub struct FileJournal {
    shared: Arc<Shared>,
    reader: Reader,
    segment_bytes: u64,
    /// The segment that is written; `None` where the next batch begins a new one.
    tail: Option<Tail>,
    buffer: Vec<u8>,
    /// The file of which a write or sync failed. Nothing is written any more.
    given_up: Option<String>,
    /// Locked as long as it is open.
    _lock: File,
}

/// The segment that is written.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) base: Position,
    pub(crate) file: File,
    /// Up to where it holds durable records.
    pub(crate) bytes: u64,
    /// The file's length. Between the two are zeros.
    pub(crate) reserved: u64,
}

impl Tail {
    /// Writes a batch, and behind it zeros for those that follow where it is small: while a file does not grow, a sync
    /// writes its data only, which takes half as long. A large batch pays for its sync by itself.
    fn write(&mut self, batch: &mut Vec<u8>, segment_bytes: u64) -> io::Result<()> {
        let length = batch.len();
        let end = self.bytes + length as u64;
        let reserves = end > self.reserved && length <= RESERVING_BATCH_BYTES && end + RESERVE_BYTES <= segment_bytes;
        if reserves {
            batch.resize(length + RESERVE_BYTES as usize, 0);
        }
        let written = self.file.write_all_at(batch, self.bytes);
        self.reserved = self.reserved.max(self.bytes + batch.len() as u64);
        batch.truncate(length);
        match written {
            // The batch alone may still fit.
            Err(error) if reserves && is_full(&error) => {
                self.trim()?;
                self.file.write_all_at(batch, self.bytes)
            }
            written => written,
        }
    }

    /// Gives back what was reserved.
    fn trim(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.reserved = self.bytes;
        Ok(())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if self.reserved > self.bytes && self.trim().is_err() {
            // Zeros stay behind, as after a kill; whoever opens the segment next knows what they are.
        }
    }
}

impl FileJournal {
    pub(crate) fn new(shared: Arc<Shared>, options: JournalOptions, tail: Option<Tail>, lock: File) -> FileJournal {
        FileJournal {
            reader: Reader::new(Arc::clone(&shared)),
            shared,
            segment_bytes: options.segment_bytes.min(SEGMENT_BYTES_MAX),
            tail,
            buffer: Vec::new(),
            given_up: None,
            _lock: lock,
        }
    }

    /// A handle for other threads that reads what is durable.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Lays the batch out as it will stand in the file.
    fn encode(&mut self, first: Position, entries: &[Entry]) -> Result<(), AppendError> {
        let mut bytes = 0;
        for entry in entries {
            if entry.payload.len() > RECORD_BYTES_MAX {
                return Err(AppendError::TooLarge { bytes: entry.payload.len(), limit: RECORD_BYTES_MAX });
            }
            bytes += RECORD_HEADER_BYTES + entry.payload.len();
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes, limit: BATCH_BYTES_MAX });
        }
        let records = u32::try_from(entries.len()).expect("a batch of at most 1 GiB has less than 4 G records");
        let batch = Batch { first, records };
        self.buffer.clear();
        self.buffer.reserve(bytes);
        for (entry, at) in entries.iter().zip(0..) {
            push_record(&mut self.buffer, first.plus(at), batch, entry);
        }
        Ok(())
    }

    /// Begins a new segment where the batch does not fit into the current one.
    fn make_room(&mut self, first: Position, at: Timestamp) -> Result<(), AppendError> {
        let fits = |tail: &Tail| {
            tail.bytes == SEGMENT_HEADER_BYTES as u64 || tail.bytes + self.buffer.len() as u64 <= self.segment_bytes
        };
        if self.tail.as_ref().is_some_and(fits) {
            return Ok(());
        }
        let path = self.shared.dir.join(directory::segment_name(first));
        match self.create_segment(first, at) {
            Ok(tail) => {
                let end_offset = tail.bytes;
                self.tail = Some(tail);
                self.shared.publish(first, |segments| {
                    segments.push(Segment { base: first, end_offset, index: Index::default() });
                });
                Ok(())
            }
            // Nothing was there to lose: without the file the journal is what it was.
            Err(source) if (is_full(&source) || lacks_descriptors(&source)) && is_gone(std::fs::remove_file(&path)) => {
                Err(AppendError::Full { place: path.display().to_string(), source })
            }
            Err(source) => Err(self.give_up(path.display().to_string(), source)),
        }
    }

    fn create_segment(&self, base: Position, at: Timestamp) -> io::Result<Tail> {
        let dir = &self.shared.dir;
        directory::clear_doubt(dir, base)?;
        let path = dir.join(directory::segment_name(base));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let header = SegmentHeader { base, created_us: at.as_microsecond() };
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        directory::sync(dir)?;
        let bytes = SEGMENT_HEADER_BYTES as u64;
        Ok(Tail { base, file, bytes, reserved: bytes })
    }

    /// Writes the buffer and syncs it.
    fn write(&mut self) -> Result<(), AppendError> {
        let tail = self.tail.as_mut().expect("room was made before");
        let place = self.shared.dir.join(directory::segment_name(tail.base)).display().to_string();
        match tail.write(&mut self.buffer, self.segment_bytes) {
            Ok(()) => {}
            Err(source) if is_full(&source) && tail.trim().is_ok() => return Err(AppendError::Full { place, source }),
            Err(source) => return Err(self.doubt(place, source)),
        }
        // One try. After a failed sync the kernel may drop what it could not write, and the next sync reports success.
        if let Err(source) = tail.file.sync_data() {
            return Err(self.doubt(place, source));
        }
        tail.bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Gives the journal up because a segment is in doubt, and tells the next process.
    fn doubt(&mut self, place: String, source: io::Error) -> AppendError {
        let marked = match &mut self.tail {
            Some(tail) => {
                // What the file holds is not touched any more.
                tail.reserved = tail.bytes;
                directory::mark_doubt(&self.shared.dir, tail.base, tail.bytes)
            }
            None => Ok(()),
        };
        let source = match marked {
            Ok(()) => source,
            // The next start is safe without the mark: it writes the last batch again before it believes it.
            Err(error) => io::Error::new(source.kind(), format!("{source}; nor could this be noted: {error}")),
        };
        self.give_up(place, source)
    }

    fn give_up(&mut self, place: String, source: io::Error) -> AppendError {
        self.given_up = Some(place.clone());
        AppendError::Failed { place, source }
    }

    /// Shows the batch to readers.
    fn publish(&self, first: Position, entries: &[Entry]) -> Position {
        let end = first.plus(entries.len() as u64);
        let bytes = self.buffer.len() as u64;
        self.shared.publish(end, |segments| {
            let segment = segments.last_mut().expect("the segment that was just written");
            let mut offset = segment.end_offset;
            for (entry, at) in entries.iter().zip(0..) {
                segment.index.note(segment.base, first.plus(at), offset);
                offset += (RECORD_HEADER_BYTES + entry.payload.len()) as u64;
            }
            segment.end_offset += bytes;
        });
        end
    }
}

/// Whether the system has no room, as opposed to a fault: the same append may succeed later.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether a file cannot be opened because too many are: it passes, as a full disk does.
fn lacks_descriptors(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| [EMFILE, ENFILE].contains(&number))
}

/// Whether a file is not there after its removal; it may never have come to be.
fn is_gone(removed: io::Result<()>) -> bool {
    removed.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

impl Journal for FileJournal {
    fn position(&self) -> Position {
        self.shared.position()
    }

    fn append(&mut self, expected: Position, entries: &[Entry]) -> Result<Position, AppendError> {
        if let Some(place) = &self.given_up {
            let source = io::Error::other("an earlier write or sync failed here; the journal must be opened again");
            return Err(AppendError::Failed { place: place.clone(), source });
        }
        let actual = self.position();
        if expected != actual {
            return Err(AppendError::Conflict { expected, actual });
        }
        let Some(first) = entries.first() else { return Ok(actual) };
        self.encode(actual, entries)?;
        self.make_room(actual, first.at)?;
        self.write()?;
        let end = self.publish(actual, entries);
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        Ok(end)
    }

    fn read(&self, from: Position, each: &mut dyn FnMut(Stored) -> bool) -> Result<(), ReadError> {
        self.reader.read(from, self.position(), each).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    //! Faults that only a device can give: `/dev/null` takes every write and refuses every sync, `/dev/full` refuses
    //! the write and the truncation after it.

    use super::*;
    use std::path::Path;

    fn entry(text: &str) -> Entry {
        Entry { kind: 3, at: Timestamp::UNIX_EPOCH, payload: text.as_bytes().to_vec() }
    }

    fn open(dir: &Path) -> (FileJournal, super::super::Opened) {
        FileJournal::open(dir, JournalOptions::default()).unwrap()
    }

    fn texts(journal: &FileJournal) -> Vec<String> {
        let mut texts = Vec::new();
        let each = &mut |stored: Stored| {
            texts.push(String::from_utf8(stored.entry.payload).unwrap());
            true
        };
        journal.read(Position(0), each).unwrap();
        texts
    }

    fn replace_file(journal: &mut FileJournal, device: &str) {
        journal.tail.as_mut().unwrap().file = OpenOptions::new().write(true).open(device).unwrap();
    }

    fn is_failed(result: Result<Position, AppendError>) -> bool {
        matches!(result, Err(AppendError::Failed { .. }))
    }

    #[test]
    fn after_a_failed_write_or_sync_nothing_is_appended_until_the_journal_is_opened_again() {
        for device in ["/dev/null", "/dev/full"] {
            let dir = tempfile::tempdir().unwrap();
            let (mut journal, _) = open(dir.path());
            journal.append(Position(0), &[entry("one")]).unwrap();
            replace_file(&mut journal, device);
            for _ in 0..2 {
                assert!(is_failed(journal.append(Position(1), &[entry("doubtful")])), "{device}");
                assert_eq!(journal.position(), Position(1));
            }
            assert_eq!(texts(&journal), ["one"]);
            drop(journal);

            let (mut journal, opened) = open(dir.path());
            assert_eq!(opened.position, Position(1));
            journal.append(Position(1), &[entry("two")]).unwrap();
            assert_eq!(directory::segments(dir.path()).unwrap(), [Position(0), Position(1)], "a new segment");
            assert_eq!(texts(&journal), ["one", "two"]);
        }
    }

    #[test]
    fn a_batch_whose_sync_failed_is_not_believed_although_it_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(directory::segment_name(Position(0)));
        let (mut journal, _) = open(dir.path());
        journal.append(Position(0), &[entry("one")]).unwrap();
        let believed = journal.tail.as_ref().unwrap().bytes;
        journal.append(Position(1), &[entry("doubtful")]).unwrap();
        drop(journal);
        let with_doubtful = std::fs::read(&path).unwrap();
        directory::mark_doubt(dir.path(), Position(0), believed).unwrap();

        let (mut journal, opened) = open(dir.path());
        assert_eq!(opened.position, Position(1));
        assert_eq!(opened.cut.unwrap().offset, believed);
        journal.append(Position(1), &[entry("two")]).unwrap();
        drop(journal);

        // The power is cut, and the disk has not kept the truncation.
        std::fs::write(&path, with_doubtful).unwrap();
        let (journal, opened) = open(dir.path());
        assert!(opened.cut.is_none());
        assert_eq!(texts(&journal), ["one", "two"]);
    }

    #[test]
    fn a_first_segment_in_doubt_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path());
        journal.make_room(Position(0), Timestamp::UNIX_EPOCH).unwrap();
        replace_file(&mut journal, "/dev/null");
        assert!(is_failed(journal.append(Position(0), &[entry("doubtful")])));
        drop(journal);
        let (mut journal, opened) = open(dir.path());
        assert_eq!((opened.position, opened.segments), (Position(0), 0));
        assert_eq!(directory::doubt(dir.path(), Position(0)).unwrap(), None);
        journal.append(Position(0), &[entry("one")]).unwrap();
        drop(journal);
        assert_eq!(texts(&open(dir.path()).0), ["one"]);
    }
}
