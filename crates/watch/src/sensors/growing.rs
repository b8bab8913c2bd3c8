//! A file of lines that grows: the whole lines that came since the last reading, over rotations.

use crate::sensors::content::{Facts, facts_of};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// So much is read at the first reading, from the end, and at each later one.
const READ_MAX: u64 = 1 << 20;

/// Where the last reading ended.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    place: Option<(u64, u64)>,
    at: u64,
    /// A line that is not whole yet.
    rest: Vec<u8>,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) facts: Facts,
    pub(crate) lines: Vec<String>,
}

impl Growing {
    /// Reads on. A file that is another one, or shorter, is read from its beginning.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Lines> {
        let mut file = File::open(path)?;
        let facts = facts_of(&file)?;
        let is_same = self.place == Some((facts.dev, facts.ino)) && facts.size >= self.at;
        if !is_same {
            self.at = if self.place.is_none() { facts.size.saturating_sub(READ_MAX) } else { 0 };
            self.place = Some((facts.dev, facts.ino));
            self.rest.clear();
        }
        let is_cut = !is_same && self.at > 0;
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = std::mem::take(&mut self.rest);
        self.at += file.take(READ_MAX).read_to_end(&mut bytes)? as u64;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.rest = bytes.split_off(whole);
        if self.rest.len() as u64 > READ_MAX {
            self.rest.clear();
        }
        let text = String::from_utf8_lossy(&bytes);
        // What stands before the first line break of a cut beginning is no whole line.
        let lines = text.lines().skip(usize::from(is_cut)).map(str::to_owned).collect();
        Ok(Lines { facts, lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn whole_lines_are_read_once_over_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stats");
        fs::write(&path, "a\nb\nc").unwrap();
        let mut growing = Growing::default();
        assert_eq!(growing.read(&path).unwrap().lines, ["a", "b"]);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"d\n").unwrap();
        assert_eq!(growing.read(&path).unwrap().lines, ["cd"]);
        assert!(growing.read(&path).unwrap().lines.is_empty());
        fs::rename(&path, directory.path().join("stats.1")).unwrap();
        fs::write(&path, "e\n").unwrap();
        assert_eq!(growing.read(&path).unwrap().lines, ["e"]);
    }
}
