//! Opens a journal for writing: locks it, checks every byte, cuts what a crash left unfinished, and refuses what no
//! crash explains.

use super::directory;
use super::format::FORMAT_VERSION;
use super::reader::{Reader, Segment, Shared};
use super::scan::{Scanned, Stop};
use super::survey::{Surveyed, survey};
use super::writer::{FileJournal, JournalOptions, Tail};
use balefire_model::{Position, ReadError, Stored};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};

/// What was found when a journal was opened.
#[derive(Debug)]
pub struct Opened {
    /// The position of the next record.
    pub position: Position,
    /// How many segments there are.
    pub segments: usize,
    /// Their length, all together.
    pub bytes: u64,
    /// The unfinished batch that was cut off, if there was one. Nobody was told that it was durable.
    pub cut: Option<Cut>,
    /// The last record of kind [`balefire_model::record::kind::SNAPSHOT`].
    pub snapshot: Option<Stored>,
}

/// What was cut off the last segment.
#[derive(Debug)]
pub struct Cut {
    /// The segment's file name.
    pub segment: String,
    /// From which byte on.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The position that the first record of the batch would have had.
    pub position: Position,
    /// What showed that the batch is unfinished.
    pub what: String,
    /// The file that holds a copy of (at most 16 MiB of) these bytes, or why there is none.
    pub kept: io::Result<PathBuf>,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error(
        "journal in {place} is in use by process {holder}; one process at a time may write it: stop the other one, or \
         give this one its own --data directory"
    )]
    Locked {
        /// The journal's directory.
        place: String,
        /// The other process's id, as it wrote it down.
        holder: String,
    },
    /// Bytes that were durable are not what was written.
    #[error(
        "journal segment {segment} is damaged at byte {offset}, where record {position} should stand: {what}; restore \
         this file from a backup, or run `balefire journal stat --data {data}` to see what is readable"
    )]
    Damaged {
        /// The segment's file.
        segment: String,
        /// Where in the file.
        offset: u64,
        /// Which record should stand there.
        position: Position,
        /// What was found.
        what: String,
        /// The data directory.
        data: String,
    },
    /// Records are missing between two segments, or before the first.
    #[error(
        "journal records {from} to {last} are missing before segment {segment}; restore the segment that begins at or \
         before record {from} from a backup, or run `balefire journal stat --data {data}` to see what is readable"
    )]
    Missing {
        /// The segment behind the gap.
        segment: String,
        /// The first missing record.
        from: Position,
        /// The last one.
        last: Position,
        /// The data directory.
        data: String,
    },
    /// Written by a later version.
    #[error(
        "journal segment {segment} has format version {found} at byte 8; this version of balefire reads {known}: start \
         the version that wrote it, or restore the file from a backup if it was damaged"
    )]
    Version {
        /// The segment's file.
        segment: String,
        /// Its version.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// A record that was sound a moment ago cannot be read.
    #[error("cannot read the last snapshot")]
    Snapshot(#[source] ReadError),
    /// The system refused.
    #[error("cannot open the journal at {place}")]
    Failed {
        /// The file or directory.
        place: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn failed(place: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Failed { place: place.display().to_string(), source }
}

impl FileJournal {
    /// Opens the journal in `dir`, makes it if there is none, and locks it as long as it lives.
    ///
    /// Reads and checks every record. A batch that a crash left unfinished is cut off and reported. The last batch is
    /// written and synced once more before it is believed.
    ///
    /// # Errors
    /// [`OpenError`] where another process has it, where it is damaged, and where the system refuses. Nothing was
    /// changed then, unless it is the system that refused.
    pub fn open(dir: &Path, options: JournalOptions) -> Result<(FileJournal, Opened), OpenError> {
        directory::create(dir).map_err(failed(dir))?;
        let lock = directory::lock(dir)?;
        let mut surveyed = survey(dir)?;
        refuse_damage(dir, &surveyed)?;
        let (tail, cut) = match surveyed.last_mut() {
            Some(last) => repair(dir, last)?,
            None => (None, None),
        };
        let position = surveyed.last().map_or(Position::default(), |last| last.scanned.end);
        if surveyed.last().is_some_and(|last| last.scanned.end == last.expected.base) {
            surveyed.pop();
        }
        let snapshot = surveyed.iter().rev().find_map(|segment| segment.scanned.snapshot);
        let opened_bytes = surveyed.iter().map(|segment| segment.scanned.held_bytes()).sum();
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            durable: AtomicU64::new(position.0),
            segments: RwLock::new(surveyed.into_iter().map(Segment::from).collect()),
        });
        let reader = Reader::new(Arc::clone(&shared));
        let opened = Opened {
            position,
            segments: shared.count(),
            bytes: opened_bytes,
            cut,
            snapshot: snapshot.map(|at| reader.get(at)).transpose().map_err(OpenError::Snapshot)?,
        };
        Ok((FileJournal::new(shared, options, tail, lock), opened))
    }
}

/// Lets only that pass which a crash can leave behind.
fn refuse_damage(dir: &Path, surveyed: &[Surveyed]) -> Result<(), OpenError> {
    let data = dir.parent().unwrap_or(dir).display().to_string();
    let mut next = Position::default();
    for Surveyed { path, expected, scanned } in surveyed {
        let segment = path.display().to_string();
        if expected.base > next {
            let last = Position(expected.base.0 - 1);
            return Err(OpenError::Missing { segment, from: next, last, data });
        }
        match &scanned.stop {
            None | Some(Stop::Torn(_) | Stop::NoHeader | Stop::Short) => {}
            Some(Stop::Version(found)) => {
                return Err(OpenError::Version { segment, found: *found, known: FORMAT_VERSION });
            }
            Some(Stop::Damaged(flaw)) => {
                let (offset, position, what) = (flaw.offset, flaw.position, flaw.what.clone());
                return Err(OpenError::Damaged { segment, offset, position, what, data });
            }
        }
        // A segment that ends too early leaves a gap before the next one, which is found there.
        next = scanned.end;
    }
    Ok(())
}

/// Brings the last segment into order, and says whether it can be written on.
fn repair(dir: &Path, last: &mut Surveyed) -> Result<(Option<Tail>, Option<Cut>), OpenError> {
    let failed = failed(&last.path);
    let base = last.expected.base;
    let scanned = &mut last.scanned;
    let file = OpenOptions::new().read(true).write(true).open(&last.path).map_err(&failed)?;
    let cut = cut_tail(dir, base, &file, scanned).map_err(&failed)?;
    if scanned.end == base {
        // Made anew with the first record: then its header is durable before it is used, whatever happened to this one.
        directory::clear_doubt(dir, base).map_err(&failed)?;
        std::fs::remove_file(&last.path).and_then(|()| directory::sync(dir)).map_err(&failed)?;
        return Ok((None, cut));
    }
    write_again(&file, scanned).map_err(&failed)?;
    // After a failed sync nothing about a segment is certain but what was certain before: the next record begins a new one.
    let (bytes, reserved) = (scanned.end_offset, scanned.file_bytes);
    Ok((last.expected.believed.is_none().then(|| Tail { base, file, bytes, reserved }), cut))
}

/// Cuts off what follows the last batch that is complete and believed.
fn cut_tail(dir: &Path, base: Position, file: &File, scanned: &mut Scanned) -> io::Result<Option<Cut>> {
    let what = match &scanned.stop {
        Some(Stop::Torn(flaw)) => flaw.what.clone(),
        None if !scanned.is_reserved && scanned.file_bytes > scanned.end_offset => {
            "an earlier write or sync of these bytes failed".to_owned()
        }
        _ => return Ok(None),
    };
    let cut = Cut {
        segment: directory::segment_name(base),
        offset: scanned.end_offset,
        bytes: scanned.file_bytes - scanned.end_offset,
        position: scanned.end,
        what,
        kept: directory::keep_cut(dir, file, scanned.end_offset, scanned.end),
    };
    file.set_len(scanned.end_offset)?;
    file.sync_all()?;
    scanned.file_bytes = scanned.end_offset;
    Ok(Some(cut))
}

/// Writes the last batch once more and syncs it. We may have read it from the kernel's memory only: the process before
/// us may have been killed between write and sync, or its sync may have failed, after which the kernel counts the pages
/// as clean although the disk does not have them. Earlier batches were durable before this one was begun.
fn write_again(file: &File, scanned: &Scanned) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut at = scanned.last_batch_offset;
    while at < scanned.end_offset {
        let bytes = usize::try_from(scanned.end_offset - at).unwrap_or(usize::MAX).min(chunk.len());
        file.read_exact_at(&mut chunk[..bytes], at)?;
        file.write_all_at(&chunk[..bytes], at)?;
        at += bytes as u64;
    }
    file.sync_all()
}
