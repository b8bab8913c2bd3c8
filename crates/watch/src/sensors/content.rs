//! What a file is and what stands at its beginning and its end, and the files beside it. Reads little: a few pages of a file
//! that has changed, whatever its size.

use crate::sensors::child::Child;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, stat};
use rustix::io::pread;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So much is read of a beginning and of an end.
pub(crate) const PAGE: usize = 4096;

/// As many entries of a directory are looked through, and as many files of the right name are kept.
const ENTRIES_MAX: usize = 100_000;
const SIBLINGS_MAX: usize = 256;

/// So much is unpacked to compare a packed copy.
const UNPACKED_MAX: u64 = 1 << 20;

/// So long may unpacking take.
const UNPACKING_MAX: Duration = Duration::from_millis(700);

/// What `stat(2)` says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    /// The permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// When it was last written, in seconds.
    pub(crate) written: i64,
    /// When anything of it last changed, which nobody sets: seconds and nanoseconds.
    pub(crate) changed: (i64, u64),
    /// It is a file, not a directory or a pipe.
    pub(crate) is_file: bool,
}

/// What was read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) facts: Facts,
    /// The first bytes.
    pub(crate) head: Vec<u8>,
    /// The last bytes.
    pub(crate) tail: Vec<u8>,
    /// What stands at the places that were asked for; shorter where the file ends before.
    pub(crate) asked: Vec<Vec<u8>>,
}

/// Where something stands in a file: how many bytes from where.
pub(crate) type Place = (u64, usize);

/// Asks for no right but to reach the path.
pub(crate) fn facts(path: &Path) -> io::Result<Facts> {
    Ok(of(&stat(path)?))
}

/// The same of an open file.
pub(crate) fn facts_of(file: impl AsFd) -> io::Result<Facts> {
    Ok(of(&fstat(file)?))
}

fn of(stat: &Stat) -> Facts {
    Facts {
        dev: stat.st_dev,
        ino: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        written: stat.st_mtime,
        changed: (stat.st_ctime, stat.st_ctime_nsec),
        is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
    }
}

/// Reads a file's ends and the places that are asked for.
///
/// # Errors
/// Where it cannot be read; `Interrupted` where it became shorter while it was read.
pub(crate) fn sample(path: &Path, places: &[Place]) -> io::Result<Sample> {
    let file = opened(path)?;
    let facts = facts_of(&file)?;
    let length = usize::try_from(facts.size).unwrap_or(usize::MAX).min(PAGE);
    let asked = places.iter().map(|place| read_at(file.as_fd(), *place)).collect::<io::Result<_>>()?;
    let head = read_at(file.as_fd(), (0, length))?;
    let tail = read_at(file.as_fd(), (facts.size - length as u64, length))?;
    let is_whole = head.len() == length && tail.len() == length && facts_of(&file)?.size >= facts.size;
    if !is_whole {
        return Err(io::Error::new(io::ErrorKind::Interrupted, "it became shorter while it was read"));
    }
    Ok(Sample { facts, head, tail, asked })
}

/// Opens a file so that a pipe of the same name stops nobody.
fn opened(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?)
}

fn read_at(file: BorrowedFd<'_>, (at, length): Place) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        match pread(file, &mut bytes[done..], at + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// The files beside `path` that are named after it (`auth.log.1`, `auth.log-20260101.gz`, `auth-20260101.log`), and those in
/// `elsewhere`, which are files or directories; the newest first.
pub(crate) fn siblings(path: &Path, elsewhere: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(directory) = path.parent() {
        named_after(&name, directory, &mut found)?;
    }
    for place in elsewhere {
        match fs::metadata(place) {
            Ok(metadata) if metadata.is_dir() => named_after(&name, place, &mut found)?,
            Ok(_) => found.push(place.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    // One that went away meanwhile is found again under its next name when this is asked again.
    let mut dated: Vec<_> = found.into_iter().filter_map(|path| Some((facts(&path).ok()?.changed, path))).collect();
    dated.sort_by(|a, b| b.cmp(a));
    dated.truncate(SIBLINGS_MAX);
    Ok(dated.into_iter().map(|(_, path)| path).collect())
}

fn named_after(name: &str, directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = if stem.is_empty() { name } else { stem };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    for entry in fs::read_dir(directory)?.take(ENTRIES_MAX) {
        let entry = entry?;
        let other = entry.file_name();
        let other = other.to_string_lossy();
        let is_after = other.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '-', '_']));
        if is_after && other != name && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// What a packed file begins with when it is unpacked, and how long it is then where that can be told; none where it is not
/// packed in a way that a program of this machine unpacks.
pub(crate) fn unpacked(path: &Path, length: u64) -> io::Result<Option<(Vec<u8>, Option<u64>)>> {
    let mut file = File::from(opened(path)?);
    let mut magic = [0; 6];
    let read = file.read(&mut magic)?;
    let program = match &magic[..read] {
        [0x1f, 0x8b, ..] => "gzip",
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [b'B', b'Z', b'h', ..] => "bzip2",
        _ => return Ok(None),
    };
    let size = file.metadata()?.len();
    let whole = if program == "gzip" && size >= 8 {
        let end = read_at(file.as_fd(), (size - 4, 4))?;
        <[u8; 4]>::try_from(end).ok().map(|end| u64::from(u32::from_le_bytes(end)))
    } else {
        None
    };
    let start = File::from(opened(path)?);
    let length = usize::try_from(length.min(UNPACKED_MAX)).unwrap_or(PAGE);
    let child = Child::begin(program, &["-dc"], Some(start), length)?;
    match child.finish(UNPACKING_MAX) {
        Ok(said) => Ok(Some((said.out, whole))),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_after_a_file_is_found_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["auth.log", "auth.log.1", "auth.log.2.gz", "auth-20260101.log", "author.log", "kern.log.1"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let found = siblings(&directory.path().join("auth.log"), &[]).unwrap();
        let mut names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["auth-20260101.log", "auth.log.1", "auth.log.2.gz"]);
    }

    #[test]
    fn ends_and_places_are_read_and_a_packed_copy_is_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log.1");
        let text: String = (0..2000).map(|line| format!("line {line}\n")).collect();
        fs::write(&path, &text).unwrap();
        let sample = sample(&path, &[(5, 4), (1 << 40, 9)]).unwrap();
        assert_eq!((sample.head.len(), sample.tail.len()), (PAGE, PAGE));
        assert_eq!((sample.asked[0].as_slice(), sample.asked[1].as_slice()), (&b"0\nli"[..], &b""[..]));
        assert!(sample.tail.ends_with(b"line 1999\n"));
        assert_eq!(unpacked(&path, 100).unwrap(), None);
        assert!(std::process::Command::new("gzip").arg(&path).status().unwrap().success());
        let packed = directory.path().join("a.log.1.gz");
        let found = unpacked(&packed, 100).unwrap();
        assert_eq!(found, Some((text.as_bytes()[..100].to_vec(), Some(text.len() as u64))));
    }
}
