//! The view: what people ask of the journal's records (history, search, stories, counts), kept in SQLite. Derived: it
//! may be deleted at any time and built again. Knows neither how records come about nor how the journal keeps them.
//!
//! One database file per UTC day (`2026-11-22.sqlite`), the day of the incident's id, so that everything about one
//! incident is in one file and retention is an unlink. Beside them `position.sqlite` says how far the journal was
//! applied, and keeps the engine's own records (started, configured, stopped).
//!
//! # Why a position can be believed
//!
//! Commits are not synced (WAL, `synchronous=NORMAL`): after a power cut each file falls back to one of its earlier
//! commits. A day's own position is written in the transaction that writes its rows, so that the two agree in every such
//! state, and records before it are skipped. The position at which a start resumes is another one, `durable`: it is
//! written only after every day changed since the last time was synced, and it is synced itself. It is therefore never
//! ahead of any day's rows, and what lies between it and the crash is applied again: each day takes what it lost and
//! skips what it has.

mod care;
mod database;
mod day;
mod error;
mod extract;
mod many;
mod query;
mod read;
mod stats;
mod summary;
mod write;

pub use care::{Assignment, Note, Report};
pub use error::ViewError;
pub use many::{Page, RULES_SHOWN_MAX, Rule, Rules};
pub use query::{Counts, LIMIT_DEFAULT, LIMIT_MAX, Query, Row, TITLE_BYTES_MAX, Whose, at_least};
pub use read::{PREFIX_DIGITS_MIN, StoryLine, ViewReader};
pub use stats::{Measure, Measured, OfRule, OfSeverity, RULES_MAX, ReportCounts, Response, Spread, Stats};
pub use summary::{Change, DeliveryStatus, DeliveryView, IncidentView};
pub use write::{DURABLE_EVERY, View};
