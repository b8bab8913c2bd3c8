//! New lines of a file that grows, over rotation and truncation: what was written into the old file before it was moved away is
//! read to its end. Bounded; keeps the place for a restart.

use rustix::fs::fstat;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// As much is read at once; the rest waits for the next look.
const READ_MAX: u64 = 1 << 20;
/// As much of a line is kept until its end comes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// So many bytes before the place tell whether the file was cut and written anew meanwhile.
const BEFORE_BYTES: u64 = 64;
/// As many files of a directory are looked through for one that was moved away.
const ENTRIES_MAX: usize = 10_000;

/// Where reading goes on after a restart: behind the last whole line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    device: u64,
    inode: u64,
    at: u64,
    /// What stood before it, as a sum.
    #[serde(default)]
    before: String,
}

/// A file and how far it is read.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    file: Option<File>,
    place: Option<Place>,
    /// There was a look before: a file that comes later is new from its first line on.
    has_looked: bool,
    line: Vec<u8>,
    /// How many bytes were read behind the last whole line.
    pending: u64,
}

impl Tail {
    /// Goes on at a place, if that is still the file; else what is there now is old.
    pub(crate) fn new(path: &Path, place: Option<Place>) -> Tail {
        Tail { path: path.to_owned(), file: None, place, has_looked: false, line: Vec::new(), pending: 0 }
    }

    /// Where reading goes on.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The lines that are new, without their ends; none where the file is not there.
    pub(crate) fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        if self.file.is_none() {
            self.open()?;
        }
        let all_read = self.read(&mut lines)?;
        if all_read && self.has_moved()? {
            // The line that had no end gets none any more.
            self.forget_line();
            (self.file, self.has_looked) = (None, true);
            self.open()?;
            self.read(&mut lines)?;
        }
        self.has_looked = true;
        Ok(lines)
    }

    fn open(&mut self) -> io::Result<()> {
        let mut file = match self.moved_away() {
            // It was rotated while nobody looked: what was written into it before comes first.
            Some(file) => file,
            None => match File::open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => opened?,
            },
        };
        let stat = fstat(&file)?;
        let (device, inode, size) = (stat.st_dev, stat.st_ino, u64::try_from(stat.st_size).unwrap_or(0));
        let is_known = |place: &&Place| (place.device, place.inode) == (device, inode) && place.at <= size;
        let (at, before) = match self.place.as_ref().filter(is_known) {
            Some(place) => (place.at, place.before.clone()),
            // One that has another place than the one we knew has come meanwhile.
            None if self.has_looked || self.place.is_some() => (0, String::new()),
            None => (size, before(&file, size)?),
        };
        file.seek(SeekFrom::Start(at))?;
        (self.file, self.place) = (Some(file), Some(Place { device, inode, at, before }));
        Ok(())
    }

    /// After a restart: the file that we read, where it is now under another name beside its own.
    fn moved_away(&self) -> Option<File> {
        let place = self.place.as_ref().filter(|_| !self.has_looked)?;
        let is_it = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino()) == (place.device, place.inode);
        if fs::metadata(&self.path).is_ok_and(|metadata| is_it(&metadata)) {
            return None;
        }
        let entries = fs::read_dir(self.path.parent()?).ok()?.take(ENTRIES_MAX).filter_map(Result::ok);
        let found =
            entries.filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.is_file() && is_it(&metadata)));
        found.filter_map(|entry| File::open(entry.path()).ok()).next()
    }

    fn forget_line(&mut self) {
        self.line.clear();
        self.pending = 0;
    }

    /// Whether everything that is there was read.
    fn read(&mut self, lines: &mut Vec<String>) -> io::Result<bool> {
        let (Some(file), Some(place)) = (&mut self.file, &mut self.place) else { return Ok(true) };
        let is_cut = u64::try_from(fstat(&*file)?.st_size).unwrap_or(0) < place.at + self.pending;
        if is_cut || !place.before.is_empty() && before(file, place.at)? != place.before {
            (place.at, self.pending) = (0, 0);
            self.line.clear();
            file.seek(SeekFrom::Start(0))?;
        }
        let mut bytes = Vec::new();
        let count = file.take(READ_MAX).read_to_end(&mut bytes)? as u64;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            self.pending += part.len() as u64;
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                place.at += std::mem::take(&mut self.pending);
                lines.push(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
        }
        if count > 0 {
            place.before = before(file, place.at)?;
        }
        Ok(count < READ_MAX)
    }

    /// Whether another file has the path now.
    fn has_moved(&self) -> io::Result<bool> {
        match rustix::fs::stat(&self.path) {
            Ok(stat) => {
                Ok(self.place.as_ref().is_none_or(|place| (place.device, place.inode) != (stat.st_dev, stat.st_ino)))
            }
            // Moved away, and nothing there yet: the old one may still be written.
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What stands before a place in a file, as a sum; nothing where nothing does.
fn before(file: &File, at: u64) -> io::Result<String> {
    let length = at.min(BEFORE_BYTES);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = file.read_at(&mut bytes, at - length)?;
    let sum = Sha256::digest(&bytes[..read]);
    Ok(if at == 0 { String::new() } else { sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    fn add(path: &Path, text: &str) {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn every_line_is_read_once_over_rotation_and_truncation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        add(&path, "old\n");
        let mut tail = Tail::new(&path, None);
        assert!(tail.lines().unwrap().is_empty(), "what was there is old");
        add(&path, "a\nb");
        assert_eq!(tail.lines().unwrap(), ["a"]);
        add(&path, "b\n");
        add(&path, "c\n");
        fs::rename(&path, directory.path().join("log.1")).unwrap();
        add(&path, "d\n");
        assert_eq!(tail.lines().unwrap(), ["bb", "c", "d"], "the end of the old one, then the new one");
        fs::write(&path, "").unwrap();
        assert!(tail.lines().unwrap().is_empty());
        add(&path, "e\r\n");
        assert_eq!(tail.lines().unwrap(), ["e"]);
    }

    #[test]
    fn a_restart_goes_on_at_the_place_and_a_file_that_comes_later_is_new() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut tail = Tail::new(&path, None);
        assert!(tail.lines().unwrap().is_empty() && tail.place().is_none());
        add(&path, "a\n");
        assert_eq!(tail.lines().unwrap(), ["a"]);
        add(&path, "b\n");
        assert_eq!(Tail::new(&path, tail.place().cloned()).lines().unwrap(), ["b"]);
    }

    #[test]
    fn a_file_that_is_cut_and_longer_again_at_once_is_read_from_its_begin() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        add(&path, "old\n");
        let mut tail = Tail::new(&path, None);
        tail.lines().unwrap();
        fs::write(&path, "new, and longer\n").unwrap();
        assert_eq!(tail.lines().unwrap(), ["new, and longer"]);
        let place = tail.place().cloned();
        fs::write(&path, "another one that is longer still\n").unwrap();
        assert_eq!(Tail::new(&path, place).lines().unwrap(), ["another one that is longer still"]);
    }

    #[test]
    fn a_restart_misses_neither_a_half_line_nor_the_end_of_what_was_rotated_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut tail = Tail::new(&path, None);
        tail.lines().unwrap();
        add(&path, "a\nhalf");
        assert_eq!(tail.lines().unwrap(), ["a"]);
        add(&path, " line\nlast\n");
        fs::rename(&path, directory.path().join("log.1")).unwrap();
        add(&path, "first\n");
        let mut next = Tail::new(&path, tail.place().cloned());
        assert_eq!(next.lines().unwrap(), ["half line", "last", "first"]);
        add(&path, "second\n");
        assert_eq!(next.lines().unwrap(), ["second"]);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut tail = Tail::new(&path, None);
        tail.lines().unwrap();
        add(&path, &"x".repeat(3 << 20));
        for _ in 0..4 {
            assert!(tail.lines().unwrap().is_empty());
        }
        add(&path, "\nnext\n");
        let lines = tail.lines().unwrap();
        assert_eq!((lines[0].len(), lines[1].as_str()), (LINE_BYTES_MAX, "next"));
    }
}
