//! The journal's directory: how its files are called, listed, locked and made durable. Knows nothing of what is in them.
//!
//! | file | what |
//! |---|---|
//! | `lock` | held by the one process that may write; holds its id |
//! | `POSITION.seg` | a segment; named by the position of its first record, in 20 digits |
//! | `POSITION.doubt` | a write or a sync of that segment failed: how many bytes of it can be believed |
//! | `cut-POSITION.bin` | what was cut off a torn tail, for a person to look at |

use super::OpenError;
use balefire_model::Position;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// How many bytes of a torn tail are kept, and of how many tails: for forensics, not for repair.
const CUT_BYTES_MAX: u64 = 16 << 20;
const CUT_FILES_MAX: usize = 8;

pub(crate) fn segment_name(base: Position) -> String {
    format!("{:020}.seg", base.0)
}

fn doubt_name(base: Position) -> String {
    format!("{:020}.doubt", base.0)
}

/// The first positions of all segments, in order.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<Position>> {
    let mut bases = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let name = file?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".seg")).filter(|digits| digits.len() == 20);
        bases.extend(digits.and_then(|digits| digits.parse().ok()).map(Position));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Makes the directory's own entries durable.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes the directory if there is none.
pub(crate) fn create(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => sync(Path::new(".")),
    }
}

/// Takes the lock, for as long as the file stays open.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let failed = |source| OpenError::Failed { place: path.display().to_string(), source };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // A number of at most 10 digits; whoever wrote something else into the file shall not fill our memory.
            (&file).take(10).read_to_string(&mut holder).map_err(failed)?;
            return Err(OpenError::Locked { place: dir.display().to_string(), holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// Notes that of a segment only the first `bytes` can be believed.
pub(crate) fn mark_doubt(dir: &Path, base: Position, bytes: u64) -> io::Result<()> {
    let mut file = File::create(dir.join(doubt_name(base)))?;
    write!(file, "{bytes}")?;
    file.sync_all()?;
    sync(dir)
}

/// How many bytes of a segment can be believed, where a write or a sync of it has failed.
pub(crate) fn doubt(dir: &Path, base: Position) -> io::Result<Option<u64>> {
    match std::fs::read_to_string(dir.join(doubt_name(base))) {
        // A mark that was torn itself says no number; then the checksums have to tell.
        Ok(text) => Ok(Some(text.trim().parse().unwrap_or(u64::MAX))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the mark of doubt, durably; it must never be found beside a new segment of the same name.
pub(crate) fn clear_doubt(dir: &Path, base: Position) -> io::Result<()> {
    match std::fs::remove_file(dir.join(doubt_name(base))) {
        Ok(()) => sync(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Copies what is about to be cut off a segment into a file beside it; the oldest such files give way.
pub(crate) fn keep_cut(dir: &Path, segment: &File, from: u64, position: Position) -> io::Result<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let file = file?;
        if file.file_name().to_str().is_some_and(|name| name.starts_with("cut-") && name.ends_with(".bin")) {
            kept.push(file.path());
        }
    }
    kept.sort();
    for path in kept.iter().take((kept.len() + 1).saturating_sub(CUT_FILES_MAX)) {
        std::fs::remove_file(path)?;
    }
    let path = dir.join(format!("cut-{:020}.bin", position.0));
    let mut source = segment;
    io::Seek::seek(&mut source, io::SeekFrom::Start(from))?;
    io::copy(&mut source.take(CUT_BYTES_MAX), &mut File::create(&path)?)?;
    Ok(path)
}
