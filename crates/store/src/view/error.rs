//! What can be wrong with the view, by what the caller does about it. None of it concerns what was accepted: that is in
//! the journal.

use balefire_model::record::DecodeError;
use balefire_model::{IncidentId, Position};
use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

/// Why the view cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is no view at this place.
    #[error("no view in {}: check the data directory; `balefire serve` and `balefire rebuild` create it", .path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// A newer balefire wrote it.
    #[error(
        "{} has schema {found}, and this version of balefire knows up to {known}: run the newer version, or \
         `balefire rebuild` to build the view again with this one", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// An older balefire wrote it.
    #[error("{} has schema {found}, and this version of balefire needs {known}: run `balefire rebuild`", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file's content is not what was written.
    #[error("{} is damaged: run `balefire rebuild`; the journal has everything", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No room. The same call may succeed later.
    #[error("no space for the view in {}", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The system does not let us open or write it.
    #[error("no permission to open or write {}, or its directory is read-only", .path.display())]
    Denied {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process holds it for longer than we wait. The same call may succeed later.
    #[error("{} is held by another process", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite failed in another way.
    #[error("cannot use {}", .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The directory cannot be listed, made or cleared.
    #[error("cannot use {}", .path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The caller left records out.
    #[error("view is at position {expected} and was given record {found}: the records between are missing")]
    Gap {
        /// The record that should have come.
        expected: Position,
        /// The record that came.
        found: Position,
    },
    /// A record is not what this version knows; nothing of the call was applied, and the view stays before it.
    #[error("record {position} cannot be read for the view")]
    Unreadable {
        /// Where it stands in the journal.
        position: Position,
        /// What did not fit.
        #[source]
        source: DecodeError,
    },
    /// A text is no beginning of an incident's id.
    #[error(
        "{text:?} is no incident id: allowed are the id, or at least its first {min} hexadecimal digits",
        min = super::read::PREFIX_DIGITS_MIN
    )]
    NotAnId {
        /// What was given, cut.
        text: String,
    },
    /// More than one incident's id begins so.
    #[error("{prefix} is the beginning of more than one incident's id: {}", list(.ids))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Some of them, at most ten.
        ids: Vec<IncidentId>,
    },
}

fn list(ids: &[IncidentId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl ViewError {
    /// Sorts what SQLite said about a file by what can be done about it.
    pub(crate) fn of(path: &Path, source: rusqlite::Error) -> ViewError {
        let path = path.to_owned();
        match &source {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows => ViewError::damaged(path, source),
            _ => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => ViewError::Full { path, source },
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ViewError::damaged(path, source),
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                    ViewError::Denied { path, source }
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ViewError::Busy { path, source },
                _ => ViewError::Failed { path, source },
            },
        }
    }

    pub(crate) fn damaged(
        path: impl Into<PathBuf>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ViewError {
        ViewError::Damaged { path: path.into(), source: source.into() }
    }

    pub(crate) fn directory(path: &Path, source: std::io::Error) -> ViewError {
        ViewError::Directory { path: path.to_owned(), source }
    }

    /// Whether `balefire rebuild` (wipe, and apply the journal from its start) is the answer.
    #[must_use]
    pub fn wants_rebuild(&self) -> bool {
        matches!(self, ViewError::Newer { .. } | ViewError::Older { .. } | ViewError::Damaged { .. })
    }
}
