//! New lines of a file that grows, over rotation and truncation: what was written into the old file before it was moved away is
//! read to its end. Bounded; keeps the place for a restart.

use rustix::fs::fstat;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// As much is read at once; the rest waits for the next look.
const READ_MAX: u64 = 1 << 20;
/// As much of a line is kept until its end comes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Where reading goes on after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    device: u64,
    inode: u64,
    at: u64,
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
}

impl Tail {
    /// Goes on at a place, if that is still the file; else what is there now is old.
    pub(crate) fn new(path: &Path, place: Option<Place>) -> Tail {
        Tail { path: path.to_owned(), file: None, place, has_looked: false, line: Vec::new() }
    }

    /// Where reading goes on.
    pub(crate) fn place(&self) -> Option<Place> {
        self.place
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
            self.line.clear();
            self.file = None;
            self.open()?;
            self.read(&mut lines)?;
        }
        self.has_looked = true;
        Ok(lines)
    }

    fn open(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let stat = fstat(&file)?;
        let (device, inode, size) = (stat.st_dev, stat.st_ino, u64::try_from(stat.st_size).unwrap_or(0));
        let known = self.place.filter(|place| (place.device, place.inode) == (device, inode) && place.at <= size);
        let at = match known {
            Some(place) => place.at,
            // One that has another place than the one we knew has come meanwhile.
            None if self.has_looked || self.place.is_some() => 0,
            None => size,
        };
        file.seek(SeekFrom::Start(at))?;
        (self.file, self.place) = (Some(file), Some(Place { device, inode, at }));
        Ok(())
    }

    /// Whether everything that is there was read.
    fn read(&mut self, lines: &mut Vec<String>) -> io::Result<bool> {
        let (Some(file), Some(place)) = (&mut self.file, &mut self.place) else { return Ok(true) };
        if u64::try_from(fstat(&*file)?.st_size).unwrap_or(0) < place.at {
            place.at = 0;
            self.line.clear();
            file.seek(SeekFrom::Start(0))?;
        }
        let mut bytes = Vec::new();
        let count = file.take(READ_MAX).read_to_end(&mut bytes)? as u64;
        place.at += count;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                lines.push(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
        }
        Ok(count < READ_MAX)
    }

    /// Whether another file has the path now.
    fn has_moved(&self) -> io::Result<bool> {
        match rustix::fs::stat(&self.path) {
            Ok(stat) => Ok(self.place.is_none_or(|place| (place.device, place.inode) != (stat.st_dev, stat.st_ino))),
            // Moved away, and nothing there yet: the old one may still be written.
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
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
        assert_eq!(Tail::new(&path, tail.place()).lines().unwrap(), ["b"]);
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
