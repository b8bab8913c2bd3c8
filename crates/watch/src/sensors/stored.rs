//! What the files below a directory take, and how old the oldest is.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As many files are counted, and so deep below the directory: journald keeps its own one level down.
const FILES_MAX: u32 = 50_000;
const DEPTH_MAX: u32 = 3;

/// What is stored below a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// All bytes.
    pub(crate) bytes: u64,
    /// When the file that was not written for the longest was written, in seconds.
    pub(crate) oldest: Option<i64>,
    /// How many files that are.
    pub(crate) files: u32,
}

/// Counts it; of a file, that file alone.
///
/// # Errors
/// Where a directory cannot be read, or has more files than are counted.
pub(crate) fn stored(path: &Path) -> io::Result<Stored> {
    let mut stored = Stored::default();
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        stored.walk(path, DEPTH_MAX)?;
    } else {
        stored.add(&metadata)?;
    }
    Ok(stored)
}

impl Stored {
    fn walk(&mut self, directory: &Path, depth: u32) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // One that a rotation has just removed takes nothing any more.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && depth > 0 {
                self.walk(&entry.path(), depth - 1)?;
            } else if metadata.is_file() {
                self.add(&metadata)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, metadata: &Metadata) -> io::Result<()> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(io::Error::other(format!("it has more than {FILES_MAX} files")));
        }
        self.bytes = self.bytes.saturating_add(metadata.len());
        if metadata.len() > 0 {
            self.oldest = Some(self.oldest.map_or(metadata.mtime(), |oldest| oldest.min(metadata.mtime())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_below_a_directory_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("machine")).unwrap();
        fs::write(directory.path().join("machine/system.journal"), "12345").unwrap();
        fs::write(directory.path().join("audit.log"), "123").unwrap();
        let found = stored(directory.path()).unwrap();
        assert_eq!((found.bytes, found.files, found.oldest.is_some()), (8, 2, true));
        assert_eq!(stored(&directory.path().join("audit.log")).unwrap().bytes, 3);
    }
}
