//! Alternate logging (AU-5(5)): the kernel's records on disk while auditd does not write them. Two files, so that what is kept
//! stays below its bound; what does not fit is counted. Does not know why auditd does not write.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

/// The file that is written, and the one before it.
const FILE: &str = "audit-alternate.log";
const BEFORE: &str = "audit-alternate.log.1";

/// Records kept while auditd does not write.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    /// The bytes of one of the two files.
    max: u64,
    open: Option<(File, u64)>,
    /// How many were kept since it began.
    pub(crate) kept: u64,
    /// How many found no room.
    pub(crate) refused: u64,
}

impl Spool {
    /// In this directory, with so many bytes. Nothing is written yet.
    pub(crate) fn new(dir: PathBuf, max: u64) -> Spool {
        Spool { dir, max: max / 2, open: None, kept: 0, refused: 0 }
    }

    /// Where the records are.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Keeps these lines. They are on the disk when this returns.
    pub(crate) fn keep<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let mut text = String::new();
        let mut count = 0;
        if self.open.is_none() {
            self.open = Some(self.begin()?);
        }
        let Some((file, length)) = &mut self.open else { return Ok(()) };
        for line in lines {
            if *length + (text.len() + line.len() + 1) as u64 > self.max {
                self.refused += 1;
                continue;
            }
            text.push_str(line);
            text.push('\n');
            count += 1;
        }
        if count > 0 {
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            *length += text.len() as u64;
            self.kept += count;
        }
        Ok(())
    }

    /// Ends it: how many were kept, and how many found no room.
    pub(crate) fn end(&mut self) -> (u64, u64) {
        self.open = None;
        (std::mem::take(&mut self.kept), std::mem::take(&mut self.refused))
    }

    /// Goes on with the file that is there, or with a new one where that is half full.
    fn begin(&self) -> io::Result<(File, u64)> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let path = self.path();
        if fs::metadata(&path).is_ok_and(|meta| meta.len() > self.max / 2) {
            fs::rename(&path, self.dir.join(BEFORE))?;
        }
        let file = File::options().create(true).append(true).mode(0o600).open(&path)?;
        let length = file.metadata()?.len();
        File::open(&self.dir)?.sync_all()?;
        Ok((file, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_the_room_is_never_exceeded() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(dir.path().join("spool"), 40);
        spool.keep(["0123456789"; 3].into_iter()).unwrap();
        assert_eq!((spool.kept, spool.refused), (1, 2));
        assert_eq!(spool.end(), (1, 2));
        spool.keep(["abc"].into_iter()).unwrap();
        assert_eq!(fs::read_to_string(spool.path()).unwrap(), "abc\n");
        assert_eq!(fs::read_to_string(dir.path().join("spool").join(BEFORE)).unwrap(), "0123456789\n");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_and_not_a_loss_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let mut spool = Spool::new(dir.path().join("file"), 1000);
        assert!(spool.keep(["a"].into_iter()).is_err());
    }
}
