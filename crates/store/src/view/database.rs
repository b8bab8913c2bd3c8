//! One SQLite file: its settings, its schema and the check that it is ours. Does not know what the rows mean.

use super::error::ViewError;
use rusqlite::{Connection, OpenFlags};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Written to `user_version` of every file. A change of any schema below raises it, and the view is then rebuilt.
pub(crate) const SCHEMA: i64 = 2;

/// Keys grow with time in every table and there is no other index, so that each write lands at the right edge of its
/// tree. `incidents` is narrow, so that a scan for a rare state or source does not read the bodies. `repeats` has a row for
/// each incident that repeats another one, and one for each that was repeated, which changes once in a batch.
pub(crate) const DAY_SCHEMA: &str = "
    CREATE TABLE applied (one INTEGER PRIMARY KEY CHECK (one = 0), position INTEGER NOT NULL, syncs INTEGER NOT NULL);
    INSERT INTO applied VALUES (0, 0, 0);
    CREATE TABLE incidents (
        id BLOB PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL, severity INTEGER NOT NULL,
        state INTEGER NOT NULL, cui INTEGER NOT NULL, source TEXT NOT NULL, detected_by TEXT NOT NULL,
        title TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE repeats (id BLOB PRIMARY KEY, of_id BLOB, count INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE bodies (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, json BLOB NOT NULL);
    CREATE TABLE story (
        id BLOB NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, kind INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (id, seq)
    ) WITHOUT ROWID;";

/// `applied` is for people; `durable` is where a start resumes.
pub(crate) const POSITION_SCHEMA: &str = "
    CREATE TABLE applied (one INTEGER PRIMARY KEY CHECK (one = 0), position INTEGER NOT NULL, durable INTEGER NOT NULL,
        syncs INTEGER NOT NULL);
    INSERT INTO applied VALUES (0, 0, 0, 0);
    CREATE TABLE engine (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind INTEGER NOT NULL, body BLOB NOT NULL);";

// A few MiB hold the right edge of every tree; the rest of a transaction spills to the WAL. The checkpoint after 16 MiB
// of WAL writes an edge page once instead of once per commit. Pages of 16 KiB split less often: a fifth less work for the
// same rows than 4 KiB. They hold for new files; older ones keep theirs.
const WRITE_PRAGMAS: &str = "
    PRAGMA page_size = 16384;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA cache_size = -4096;
    PRAGMA wal_autocheckpoint = 1000;
    PRAGMA journal_size_limit = 16777216;
    PRAGMA temp_store = MEMORY;";

const READ_PRAGMAS: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY;";

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A database that is open for writing.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    identity: (u64, u64),
}

impl Database {
    /// Opens the file, and creates it with `schema` where there is none.
    pub(crate) fn open(path: PathBuf, schema: &str) -> Result<Database, ViewError> {
        let fail = |source| ViewError::of(&path, source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(fail)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
        // SQLite opens a file that it may not write for reading, and would say so only at the first row.
        if connection.is_readonly("main").map_err(fail)? {
            let read_only = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
            return Err(fail(rusqlite::Error::SqliteFailure(read_only, None)));
        }
        // The version comes before the settings: a file that is not ours to use stays as it is.
        if version(&connection).map_err(fail)? != 0 {
            check_version(&path, &connection)?;
        }
        connection.execute_batch(WRITE_PRAGMAS).map_err(fail)?;
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(fail)?;
        // In one transaction, so that a reader finds either an empty file or a whole schema.
        if version(&transaction).map_err(fail)? == 0 {
            transaction.execute_batch(schema).map_err(fail)?;
            transaction.pragma_update(None, "user_version", SCHEMA).map_err(fail)?;
        }
        transaction.commit().map_err(fail)?;
        let identity = identity(&path).map_err(|source| ViewError::directory(&path, source))?;
        Ok(Database { path, connection, identity })
    }

    /// Whether the path still leads to the file that is open: a file that somebody unlinked takes writes without a word.
    pub(crate) fn is_in_place(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }

    /// Commits with a sync, which makes all earlier commits durable too. `update` must change a row: SQLite does not
    /// sync for a transaction that leaves every page as it was.
    pub(crate) fn commit_synced(&self, update: &str, parameters: &[i64]) -> Result<(), ViewError> {
        let fail = |source| ViewError::of(&self.path, source);
        self.connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        let committed = self.connection.execute(update, rusqlite::params_from_iter(parameters));
        self.connection.pragma_update(None, "synchronous", "NORMAL").map_err(fail)?;
        committed.map_err(fail)?;
        Ok(())
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let metadata = path.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Opens a file for reading, also while another process writes it; `None` where there is none (yet).
pub(crate) fn open_to_read(path: &Path) -> Result<Option<Connection>, ViewError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match readable(Connection::open_with_flags(path, flags)) {
        // A WAL database wants a file beside it, which a read-only directory does not take. Without a WAL nobody writes,
        // and the file can be read as it is.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) && !wal_of(path).exists() => {
            readable(Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI))
        }
        opened => opened,
    };
    match opened {
        Ok((_, 0)) => Ok(None),
        Ok((connection, _)) => {
            check_version(path, &connection)?;
            connection.execute_batch(READ_PRAGMAS).map_err(|source| ViewError::of(path, source))?;
            Ok(Some(connection))
        }
        // Retention may have unlinked it between the two looks.
        Err(_) if !path.exists() => Ok(None),
        Err(source) => Err(ViewError::of(path, source)),
    }
}

fn readable(opened: rusqlite::Result<Connection>) -> rusqlite::Result<(Connection, i64)> {
    let connection = opened?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version = version(&connection)?;
    Ok((connection, version))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn check_version(path: &Path, connection: &Connection) -> Result<(), ViewError> {
    let found = version(connection).map_err(|source| ViewError::of(path, source))?;
    let path = path.to_owned();
    match found.cmp(&SCHEMA) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(ViewError::Newer { path, found, known: SCHEMA }),
        std::cmp::Ordering::Less => Err(ViewError::Older { path, found, known: SCHEMA }),
    }
}

fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

fn immutable_uri(path: &Path) -> PathBuf {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut uri = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02x}").bytes()),
            _ => uri.push(byte),
        }
    }
    uri.extend(b"?immutable=1");
    PathBuf::from(std::ffi::OsString::from_vec(uri))
}
