//! How long a log is, and how it ends.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// As much of the end is read.
const END_BYTES: u64 = 16 << 10;

/// Its length and its inode; none where it is not there or cannot be seen.
pub(crate) fn size(path: &Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.len(), meta.ino()))
}

/// Its end; none where it cannot be read.
pub(crate) fn end(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let from = length.saturating_sub(END_BYTES);
    let mut bytes = vec![0; usize::try_from(length - from).ok()?];
    file.read_exact_at(&mut bytes, from).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Which version of a file: when it was written, in nanoseconds, its length and its inode.
pub(crate) type Version = (i128, u64, u64);

/// A small file as it is now; none where it is not there.
pub(crate) fn whole(path: &Path) -> std::io::Result<Option<(String, Version)>> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    File::open(path)?.take(END_BYTES).read_to_end(&mut bytes)?;
    let written = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), (written, meta.len(), meta.ino()))))
}
