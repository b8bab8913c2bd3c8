//! The journal as segment files: the append-only log that everything else is derived from. Knows records only as bytes,
//! and reads no clock: a segment carries the time of its first record.
//!
//! One batch is one write and one sync, and all or nothing after a crash. What no crash explains is never repaired: the
//! journal then refuses to open and says where and why.

mod cursor;
mod directory;
mod format;
mod index;
mod inspect;
mod open;
mod reader;
mod scan;
mod survey;
mod writer;

pub use format::{FORMAT_VERSION, RECORD_BYTES_MAX};
pub use inspect::{JournalReader, SegmentStat, Stat};
pub use open::{Cut, OpenError, Opened};
pub use reader::Reader;
pub use writer::{BATCH_BYTES_MAX, FileJournal, JournalOptions};
