//! Follows a log: the complete lines that have come, over rotations, and what became of the file meanwhile. Decides nothing.

use serde::{Deserialize, Serialize};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A longer line is no record, and is passed over.
const LINE_BYTES_MAX: usize = 256 << 10;

/// As much is read at once.
const PIECE: usize = 64 << 10;

/// Where reading stands: what a restart must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    /// What was read of it.
    pub(crate) offset: u64,
}

/// What became of the file since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The same file, as long as before or longer.
    Same,
    /// Another file has its name, and the one before still has one: a rotation.
    Rotated,
    /// Another file has its name, and the one before has none.
    Replaced,
    /// The same file, but shorter: so many bytes before, so many now.
    Truncated(u64, u64),
    /// Nothing has its name.
    Missing,
}

/// What a look brings.
#[derive(Debug)]
pub(crate) struct Grown {
    /// Complete lines, with their line breaks.
    pub(crate) lines: Vec<u8>,
    /// What became of the file.
    pub(crate) fate: Fate,
    /// There is more to read at once.
    pub(crate) has_more: bool,
}

/// A log that is followed.
#[derive(Debug)]
pub(crate) struct LogTail {
    path: PathBuf,
    open: Option<(File, Mark)>,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// A line was too long: what comes until its end is passed over.
    skips: bool,
}

impl LogTail {
    /// Follows it from where it was left, or from the end it has now. A file that is not there yet is read from its beginning.
    pub(crate) fn begin(path: &Path, kept: Option<Mark>) -> LogTail {
        let mut tail = LogTail { path: path.to_owned(), open: None, begun: Vec::new(), skips: false };
        let Ok(file) = File::open(path) else { return tail };
        let Ok(meta) = file.metadata() else { return tail };
        let end = Mark { offset: meta.len(), ..mark(&meta) };
        tail.open = Some(match kept {
            Some(kept) if is_same(&kept, &meta) => (file, kept),
            // It was rotated meanwhile: the rest of the one before comes first.
            Some(kept) => rotated(path, kept).map_or((file, end), |before| (before, kept)),
            None => (file, end),
        });
        tail
    }

    /// Where reading stands.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.open
            .as_ref()
            .map(|(_, mark)| Mark { offset: mark.offset.saturating_sub(self.begun.len() as u64), ..*mark })
    }

    /// Reads on, at most about so many bytes.
    pub(crate) fn read(&mut self, max: usize) -> io::Result<Grown> {
        let mut fate = Fate::Same;
        let mut bytes = std::mem::take(&mut self.begun);
        let begun = bytes.len();
        let mut is_at_end = self.read_open(&mut bytes, max)?;
        if is_at_end {
            fate = self.see()?;
            if matches!(fate, Fate::Rotated | Fate::Replaced | Fate::Truncated(..)) {
                let left = max.saturating_sub(bytes.len() - begun).max(PIECE);
                is_at_end = self.read_open(&mut bytes, left)?;
            }
        }
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        self.begun = bytes.split_off(complete);
        if std::mem::take(&mut self.skips) {
            let rest = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |place| place + 1);
            self.skips = bytes.is_empty();
            bytes.drain(..rest);
        }
        if self.begun.len() > LINE_BYTES_MAX {
            self.begun.clear();
            self.skips = true;
        }
        Ok(Grown { lines: bytes, fate, has_more: !is_at_end })
    }

    /// Whether the end was reached.
    fn read_open(&mut self, bytes: &mut Vec<u8>, max: usize) -> io::Result<bool> {
        let Some((file, mark)) = &mut self.open else { return Ok(true) };
        let mut piece = vec![0; PIECE];
        let mut read = 0;
        while read < max {
            let length = file.read_at(&mut piece, mark.offset)?;
            if length == 0 {
                return Ok(true);
            }
            mark.offset += length as u64;
            read += length;
            bytes.extend_from_slice(&piece[..length]);
        }
        Ok(false)
    }

    /// Looks what has the name now, and follows that.
    fn see(&mut self) -> io::Result<Fate> {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fate::Missing),
            Err(error) => return Err(error),
        };
        let Some((file, before)) = &mut self.open else {
            let file = File::open(&self.path)?;
            let meta = file.metadata()?;
            self.open = Some((file, Mark { offset: 0, ..mark(&meta) }));
            return Ok(Fate::Replaced);
        };
        if !is_same_file(before, &meta) {
            let has_name = file.metadata()?.nlink() > 0;
            let file = File::open(&self.path)?;
            let meta = file.metadata()?;
            self.open = Some((file, Mark { offset: 0, ..mark(&meta) }));
            return Ok(if has_name { Fate::Rotated } else { Fate::Replaced });
        }
        if meta.len() < before.offset {
            let was = std::mem::take(&mut before.offset);
            return Ok(Fate::Truncated(was, meta.len()));
        }
        Ok(Fate::Same)
    }
}

fn mark(meta: &Metadata) -> Mark {
    Mark { device: meta.dev(), inode: meta.ino(), offset: 0 }
}

fn is_same_file(mark: &Mark, meta: &Metadata) -> bool {
    (mark.device, mark.inode) == (meta.dev(), meta.ino())
}

fn is_same(mark: &Mark, meta: &Metadata) -> bool {
    is_same_file(mark, meta) && mark.offset <= meta.len()
}

/// The file of a mark under the name that auditd and logrotate give it.
fn rotated(path: &Path, kept: Mark) -> Option<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    let file = File::open(name).ok()?;
    let meta = file.metadata().ok()?;
    is_same(&kept, &meta).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Log {
        dir: tempfile::TempDir,
    }

    impl Log {
        fn new() -> Log {
            Log { dir: tempfile::tempdir().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn add(&self, text: &str) {
            let mut file = File::options().create(true).append(true).open(self.path("log")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
    }

    fn read(tail: &mut LogTail) -> (String, Fate) {
        let grown = tail.read(1 << 20).unwrap();
        (String::from_utf8(grown.lines).unwrap(), grown.fate)
    }

    #[test]
    fn only_complete_lines_that_are_new_are_given() {
        let log = Log::new();
        log.add("old\n");
        let mut tail = LogTail::begin(&log.path("log"), None);
        assert_eq!(read(&mut tail), (String::new(), Fate::Same));
        log.add("one\ntw");
        assert_eq!(read(&mut tail).0, "one\n");
        log.add("o\n");
        assert_eq!(read(&mut tail).0, "two\n");
    }

    #[test]
    fn a_rotation_loses_no_line_and_is_not_taken_for_a_loss() {
        let log = Log::new();
        log.add("");
        let mut tail = LogTail::begin(&log.path("log"), None);
        log.add("a\n");
        fs::rename(log.path("log"), log.path("log.1")).unwrap();
        log.add("b\n");
        assert_eq!(read(&mut tail), ("a\nb\n".to_owned(), Fate::Rotated));
    }

    #[test]
    fn a_file_that_goes_or_shrinks_is_told() {
        let log = Log::new();
        log.add("abc\n");
        let mut tail = LogTail::begin(&log.path("log"), None);
        File::create(log.path("log")).unwrap();
        assert_eq!(read(&mut tail).1, Fate::Truncated(4, 0));
        log.add("d\n");
        assert_eq!(read(&mut tail), ("d\n".to_owned(), Fate::Same));
        fs::remove_file(log.path("log")).unwrap();
        assert_eq!(read(&mut tail).1, Fate::Missing);
        log.add("e\n");
        assert_eq!(read(&mut tail), ("e\n".to_owned(), Fate::Replaced));
    }

    #[test]
    fn a_restart_reads_on_where_it_was_also_after_a_rotation() {
        let log = Log::new();
        log.add("a\n");
        let kept = LogTail::begin(&log.path("log"), None).mark();
        log.add("b\n");
        assert_eq!(read(&mut LogTail::begin(&log.path("log"), kept)).0, "b\n");
        fs::rename(log.path("log"), log.path("log.1")).unwrap();
        log.add("c\n");
        assert_eq!(read(&mut LogTail::begin(&log.path("log"), kept)).0, "b\nc\n");
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_hides_nothing_after_it() {
        let log = Log::new();
        log.add("");
        let mut tail = LogTail::begin(&log.path("log"), None);
        log.add(&"x".repeat(LINE_BYTES_MAX + 10));
        assert_eq!(read(&mut tail).0, "");
        assert!(tail.begun.is_empty());
        log.add("xxx\nnext\n");
        assert_eq!(read(&mut tail).0, "next\n");
    }

    #[test]
    fn a_piece_that_is_too_large_is_read_in_parts() {
        let log = Log::new();
        log.add("");
        let mut tail = LogTail::begin(&log.path("log"), None);
        log.add(&"a line\n".repeat(PIECE));
        let first = tail.read(PIECE).unwrap();
        assert!(first.has_more);
        let mut lines = first.lines.len();
        while lines < 7 * PIECE {
            lines += tail.read(PIECE).unwrap().lines.len();
        }
        assert_eq!(lines, 7 * PIECE);
    }
}
