//! The spool: a directory in which incidents wait for the server as one file each. A file is there when all of it is
//! durable, and not before. Whoever may not use the socket may still be allowed to write here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where the spool is if nobody says.
pub(crate) const DEFAULT_PATH: &str = "/var/spool/balefire";

/// The largest file that is taken; an incident may have a megabyte.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// As many files are taken at once.
const FILES_AT_ONCE: usize = 64;

/// As many names of a directory are looked at at once: it may be anybody's to write.
const NAMES_AT_ONCE: usize = 10_000;

/// What is not finished after this time never will be.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(3600);

/// As many files that cannot be taken in are kept.
const BAD_FILES_MAX: usize = 1_000;

/// The directory of those files.
const BAD: &str = "bad";

/// The owner writes, the directory's group reads.
const FILE_MODE: u32 = 0o640;

/// Puts a body under a key into the spool. Returns when it would survive a power cut.
pub(crate) fn put(spool: &Path, key: &str, body: &[u8]) -> io::Result<()> {
    let unfinished = spool.join(format!(".{key}.unfinished"));
    let written = put_as(spool, key, body, &unfinished);
    if written.is_err() {
        // The failure matters, and not what is left of the file; the server removes it, too.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn put_as(spool: &Path, key: &str, body: &[u8], unfinished: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(unfinished)?;
    // The caller's mask may forbid the server to read.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(FILE_MODE))?;
    file.write_all(body)?;
    file.sync_all()?;
    fs::rename(unfinished, spool.join(format!("{key}.json")))?;
    match File::open(spool) {
        Ok(directory) => directory.sync_all(),
        // Who may only write in a directory cannot sync it, but its whole file system.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(rustix::fs::syncfs(&file)?),
        Err(error) => Err(error),
    }
}

/// Makes the directory where it is missing, for this user alone. Its parent must be there.
pub(crate) fn make(spool: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(spool) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// A file of the spool.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// It.
    pub(crate) path: PathBuf,
    /// Under which key it was put.
    pub(crate) key: String,
    /// What it holds, or why it cannot be taken.
    pub(crate) body: Result<Vec<u8>, String>,
}

/// What waits, the oldest first, as far as it is taken at once; and what was never finished is removed.
pub(crate) fn waiting(spool: &Path, now: SystemTime) -> io::Result<Vec<Waiting>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(spool)?.take(NAMES_AT_ONCE) {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') && name.ends_with(".unfinished") {
            remove_old(&path, now);
        } else if let Some(key) = name.strip_suffix(".json").filter(|key| !key.starts_with('.')) {
            names.push((key.to_owned(), path.clone()));
        }
    }
    names.sort();
    names.truncate(FILES_AT_ONCE);
    Ok(names.into_iter().map(|(key, path)| Waiting { body: body(&path, &key), key, path }).collect())
}

/// The content of a regular file of its own: no link and no pipe leads to what its writer may not read.
fn body(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    if key.is_empty() || key.len() > 100 || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err("its name is no key; allowed: letters, digits and dashes before .json".to_owned());
    }
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| format!("it cannot be read: {error}"))?;
    let about = file.metadata().map_err(|error| format!("it cannot be read: {error}"))?;
    if !about.is_file() || about.nlink() != 1 {
        return Err("it is no regular file with one name".to_owned());
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes; allowed: {FILE_BYTES_MAX}", about.len()));
    }
    let mut body = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut body);
    read.map(|_| body).map_err(|error| format!("it cannot be read: {error}"))
}

fn remove_old(path: &Path, now: SystemTime) {
    let age = fs::symlink_metadata(path).and_then(|about| about.modified()).map(|then| now.duration_since(then));
    if matches!(age, Ok(Ok(age)) if age > UNFINISHED_AGE_MAX)
        && let Err(error) = fs::remove_file(path)
    {
        tracing::warn!(path = %path.display(), %error, "what was never finished cannot be removed from the spool");
    }
}

/// Removes a file that was taken in.
pub(crate) fn done(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Sets a file aside that cannot be taken in, and says where it is now; none where there is no room for more of them.
pub(crate) fn set_aside(spool: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let bad = spool.join(BAD);
    make(&bad)?;
    if fs::read_dir(&bad)?.take(BAD_FILES_MAX).count() >= BAD_FILES_MAX {
        fs::remove_file(path)?;
        return Ok(None);
    }
    let place = bad.join(path.file_name().unwrap_or_default());
    fs::rename(path, &place)?;
    Ok(Some(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(spool: &Path) -> Vec<(String, Result<Vec<u8>, String>)> {
        let found = waiting(spool, SystemTime::UNIX_EPOCH).unwrap();
        found.into_iter().map(|waiting| (waiting.key, waiting.body)).collect()
    }

    #[test]
    fn what_was_put_waits_in_order_until_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        for key in ["b-2", "a-1"] {
            put(dir.path(), key, key.as_bytes()).unwrap();
        }
        assert_eq!(bodies(dir.path()), [("a-1".into(), Ok(b"a-1".to_vec())), ("b-2".into(), Ok(b"b-2".to_vec()))]);
        assert!(put(dir.path(), "a-1", b"other").is_ok(), "the same key is the same file");
        done(&dir.path().join("a-1.json")).unwrap();
        assert_eq!(bodies(dir.path()).len(), 1);
    }

    #[test]
    fn links_pipes_and_strange_names_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, "{}").unwrap();
        std::os::unix::fs::symlink(&secret, dir.path().join("a.json")).unwrap();
        fs::hard_link(&secret, dir.path().join("b.json")).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("c.json"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        fs::write(dir.path().join("d_e.json"), "{}").unwrap();
        fs::create_dir(dir.path().join("f.json")).unwrap();
        File::create(dir.path().join("g.json")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        let found = bodies(dir.path());
        assert_eq!(found.len(), 6);
        assert!(found.iter().all(|(_, body)| body.is_err()), "{found:?}");
    }

    #[test]
    fn what_cannot_be_taken_in_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "a", b"no").unwrap();
        let place = set_aside(dir.path(), &dir.path().join("a.json")).unwrap().unwrap();
        assert_eq!(fs::read(place).unwrap(), b"no");
        assert_eq!(bodies(dir.path()), []);
    }

    #[test]
    fn what_is_not_finished_is_removed_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".a.unfinished");
        fs::write(&path, "half").unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(waiting(dir.path(), written + Duration::from_secs(60)).unwrap().is_empty() && path.exists());
        assert!(waiting(dir.path(), written + Duration::from_secs(3700)).unwrap().is_empty() && !path.exists());
    }
}
