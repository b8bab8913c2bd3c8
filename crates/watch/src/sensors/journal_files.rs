//! The files of a journal, by their headers (systemd's "Journal File Format"): what is in each, and how much. Reads no message.

use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::pread;
use std::fs;
use std::io;
use std::path::Path;

/// As many files are looked at, and so deep below the directory: one level for each machine.
const FILES_MAX: usize = 2000;
const DEPTH_MAX: u32 = 1;

/// So often they are read again, until nothing changes meanwhile.
const READINGS_MAX: u32 = 5;

/// As much of a file is its header, as far as it is of use.
const HEADER: usize = 208;

/// How a journal file begins.
const SIGNATURE: &[u8] = b"LPKSHHRH";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalFile {
    /// The directory that it is in, and its name there.
    pub(crate) directory: String,
    pub(crate) name: String,
    /// What it keeps over its renaming.
    pub(crate) id: String,
    pub(crate) state: FileState,
    pub(crate) entries: u64,
    /// The numbers of its first and its last entry.
    pub(crate) head: u64,
    pub(crate) tail: u64,
    /// The times of the same, in microseconds.
    pub(crate) head_time: i64,
    pub(crate) tail_time: i64,
    /// What it takes of the disk.
    pub(crate) bytes: u64,
}

/// What its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    Offline,
    Online,
    Archived,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JournalFiles {
    pub(crate) files: Vec<JournalFile>,
    /// Directories in which a file could not be read, with the first error.
    pub(crate) unread: Vec<(String, String)>,
    /// All of it was so at one moment.
    pub(crate) is_steady: bool,
}

/// Reads them all.
pub(crate) fn journal_files(root: &Path) -> io::Result<JournalFiles> {
    let mut before = read(root)?;
    for _ in 1..READINGS_MAX {
        let after = read(root)?;
        if after == before {
            return Ok(JournalFiles { is_steady: true, ..after });
        }
        before = after;
    }
    Ok(before)
}

fn read(root: &Path) -> io::Result<JournalFiles> {
    let mut all = JournalFiles::default();
    walk(root, DEPTH_MAX, &mut all)?;
    all.files.sort_by(|a, b| (&a.directory, &a.name).cmp(&(&b.directory, &b.name)));
    Ok(all)
}

fn walk(directory: &Path, depth: u32, all: &mut JournalFiles) -> io::Result<()> {
    let shown = directory.to_string_lossy().into_owned();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        // What came from other machines has limits of its own.
        if kind.is_dir() && depth > 0 && name != "remote" {
            match walk(&entry.path(), depth - 1, all) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => all.unread.push((entry.path().to_string_lossy().into_owned(), error.to_string())),
                Ok(()) => {}
            }
            continue;
        }
        if !kind.is_file() || !(name.ends_with(".journal") || name.ends_with(".journal~")) {
            continue;
        }
        if all.files.len() >= FILES_MAX {
            return Err(io::Error::other(format!("it has more than {FILES_MAX} journal files")));
        }
        match header(&entry.path()) {
            Ok(Some((bytes, blocks))) => all.files.push(journal_file((shown.clone(), name), &bytes, blocks)),
            // It is being made, or is gone again.
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if all.unread.iter().any(|(place, _)| *place == shown) => drop(error),
            Err(error) => all.unread.push((shown.clone(), format!("open {shown}/{name}: {error}"))),
        }
    }
    Ok(())
}

/// The header, and how many bytes of the disk the file takes; none where it has no header yet.
fn header(path: &Path) -> io::Result<Option<([u8; HEADER], u64)>> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let mut bytes = [0; HEADER];
    let read = pread(&file, &mut bytes[..], 0)?;
    let blocks = u64::try_from(fstat(&file)?.st_blocks).unwrap_or(0);
    if read == HEADER && !bytes.starts_with(SIGNATURE) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no journal file"));
    }
    Ok((read == HEADER).then_some((bytes, blocks.saturating_mul(512))))
}

fn journal_file((directory, name): (String, String), header: &[u8; HEADER], bytes: u64) -> JournalFile {
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    let time = |at| i64::try_from(number(at)).unwrap_or(i64::MAX);
    JournalFile {
        directory,
        name,
        id: header[24..32].iter().map(|byte| format!("{byte:02x}")).collect(),
        state: match header[16] {
            1 => FileState::Online,
            2 => FileState::Archived,
            _ => FileState::Offline,
        },
        entries: number(152),
        tail: number(160),
        head: number(168),
        head_time: time(184),
        tail_time: time(192),
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_one_level_down_and_what_is_no_journal_is_told() {
        let root = tempfile::tempdir().unwrap();
        let machine = root.path().join("0123");
        fs::create_dir_all(root.path().join("remote")).unwrap();
        fs::create_dir(&machine).unwrap();
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(SIGNATURE);
        (header[16], header[24], header[152], header[160], header[168]) = (2, 0xab, 5, 9, 4);
        fs::write(machine.join("system@1.journal"), header).unwrap();
        fs::write(root.path().join("remote/system.journal"), header).unwrap();
        fs::write(machine.join("new.journal"), "").unwrap();
        let found = journal_files(root.path()).unwrap();
        let file = &found.files[0];
        assert_eq!((found.files.len(), found.is_steady, found.unread.len()), (1, true, 0));
        assert_eq!((file.id.as_str(), file.state), ("ab00000000000000", FileState::Archived));
        assert_eq!((file.entries, file.head, file.tail), (5, 4, 9));
        fs::write(machine.join("other.journal"), [b'x'; HEADER]).unwrap();
        assert_eq!(journal_files(root.path()).unwrap().unread.len(), 1);
    }
}
