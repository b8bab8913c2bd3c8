//! Looks at a journal without touching it, also while it is written and also when it is damaged, for
//! `balefire journal cat` and `stat`.

use super::OpenError;
use super::reader::{Reader, Segment, Shared};
use super::scan::Stop;
use super::survey::{Surveyed, survey};
use balefire_model::{Position, ReadError, Stored};
use jiff::Timestamp;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};

/// A journal as it was when it was opened.
#[derive(Debug)]
pub struct JournalReader {
    reader: Reader,
    stat: Stat,
}

/// What a journal consists of.
#[derive(Debug)]
pub struct Stat {
    /// The position after the last record that can be read.
    pub position: Position,
    /// The length of all segments together.
    pub bytes: u64,
    /// In order.
    pub segments: Vec<SegmentStat>,
}

/// One segment.
#[derive(Debug)]
pub struct SegmentStat {
    /// The file's name.
    pub file: String,
    /// Its first record's position.
    pub from: Position,
    /// The position after its last record that can be read.
    pub upto: Position,
    /// The file's length, without what is reserved for records to come.
    pub bytes: u64,
    /// When it was begun.
    pub created: Option<Timestamp>,
    /// What is wrong with it, in words that name the place.
    pub problem: Option<String>,
}

impl JournalReader {
    /// Reads and checks the journal in `dir` without a lock. Damage is no error here: it is told by
    /// [`JournalReader::stat`], and what stands before and, in other segments, behind it can be read.
    ///
    /// # Errors
    /// [`OpenError::Failed`] where the system would not let us read.
    pub fn open(dir: &Path) -> Result<JournalReader, OpenError> {
        let surveyed = survey(dir)?;
        let segments: Vec<SegmentStat> = surveyed.iter().map(stat).collect();
        let position = segments.iter().map(|segment| segment.upto).max().unwrap_or_default();
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        let shared = Shared {
            dir: dir.to_owned(),
            durable: AtomicU64::new(position.0),
            segments: RwLock::new(surveyed.into_iter().map(Segment::from).collect()),
        };
        Ok(JournalReader { reader: Reader::new(Arc::new(shared)), stat: Stat { position, bytes, segments } })
    }

    /// What it consists of.
    #[must_use]
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Fetches one record; see [`Reader::get`].
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn get(&self, position: Position) -> Result<Stored, ReadError> {
        self.reader.get(position)
    }

    /// Passes on records in order; see [`Reader::read`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read(
        &self,
        from: Position,
        upto: Position,
        each: &mut dyn FnMut(Stored) -> bool,
    ) -> Result<Position, ReadError> {
        self.reader.read(from, upto, each)
    }
}

impl From<Surveyed> for Segment {
    fn from(surveyed: Surveyed) -> Segment {
        let Surveyed { expected, scanned, .. } = surveyed;
        Segment { base: expected.base, end_offset: scanned.end_offset, index: scanned.index }
    }
}

fn stat(surveyed: &Surveyed) -> SegmentStat {
    let scanned = &surveyed.scanned;
    let problem = scanned.stop.as_ref().map(|stop| match stop {
        Stop::NoHeader => "holds no record; removed at the next start".to_owned(),
        Stop::Version(version) => format!("has format version {version}, which this version does not know"),
        Stop::Torn(flaw) => {
            format!("torn tail from byte {} on ({}); cut at the next start", scanned.end_offset, flaw.what)
        }
        Stop::Short => format!("records from {} on are missing", scanned.end),
        Stop::Damaged(flaw) => format!("damaged at byte {}, record {}: {}", flaw.offset, flaw.position, flaw.what),
    });
    SegmentStat {
        file: surveyed.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        from: surveyed.expected.base,
        upto: scanned.end,
        bytes: scanned.held_bytes(),
        created: scanned.created_us.and_then(|us| Timestamp::from_microsecond(us).ok()),
        problem,
    }
}
