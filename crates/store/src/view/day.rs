//! Days: which day's file an incident is in, and which files there are. Does not open any.

use super::error::ViewError;
use balefire_model::IncidentId;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};

const MS_PER_DAY: u64 = 24 * 60 * 60 * 1000;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
const SUFFIX: &str = ".sqlite";

/// The name of the database that says how far the journal was applied.
pub(crate) const POSITION_FILE: &str = "position.sqlite";

/// A UTC day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(u32);

impl Day {
    /// The day on which an incident was taken in, by its id.
    pub(crate) fn of(id: IncidentId) -> Day {
        Day::of_ms(id.unix_ms())
    }

    /// The day of a time; the last day that has a name for those beyond it (an id has room for the year 10889).
    pub(crate) fn of_ms(ms: u64) -> Day {
        let last = u64::try_from(Timestamp::MAX.as_second() / SECONDS_PER_DAY).expect("the last day is after 1970");
        Day(u32::try_from((ms / MS_PER_DAY).min(last)).expect("the last day is below 2^22"))
    }

    fn date(self) -> Date {
        let start = Timestamp::from_second(i64::from(self.0) * SECONDS_PER_DAY).expect("days end with Timestamp::MAX");
        start.to_zoned(TimeZone::UTC).date()
    }

    /// The day's file in the view's directory.
    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}{SUFFIX}", self.date()))
    }

    fn of_file_name(name: &str) -> Option<Day> {
        let date: Date = name.strip_suffix(SUFFIX)?.parse().ok()?;
        let seconds = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        let day = Day(u32::try_from(seconds / SECONDS_PER_DAY).ok()?);
        // Dates can be written in several ways; only one of them is our file.
        (format!("{}{SUFFIX}", day.date()) == name).then_some(day)
    }
}

/// The days that have a file, newest first.
pub(crate) fn days_in(dir: &Path) -> Result<Vec<Day>, ViewError> {
    let mut days = Vec::new();
    for entry in dir.read_dir().map_err(|source| ViewError::directory(dir, source))? {
        let entry = entry.map_err(|source| ViewError::directory(dir, source))?;
        days.extend(entry.file_name().to_str().and_then(Day::of_file_name));
    }
    days.sort_unstable_by(|a, b| b.cmp(a));
    Ok(days)
}

/// Unlinks a database and what SQLite keeps beside it. What is not there is no error.
pub(crate) fn unlink(path: &Path) -> Result<(), ViewError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ViewError::directory(Path::new(&name), source)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(ms: u64) -> String {
        Day::of_ms(ms).path(Path::new("")).display().to_string()
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(name(0), "1970-01-01.sqlite");
        assert_eq!(name(1_795_305_599_999), "2026-11-21.sqlite");
        assert_eq!(name(1_795_305_600_000), "2026-11-22.sqlite");
    }

    #[test]
    fn every_time_that_an_id_can_carry_has_a_file_and_the_files_sort_by_time() {
        assert_eq!(name((1 << 48) - 1), "9999-12-30.sqlite");
        assert!(name(1_795_305_600_000) < name((1 << 48) - 1));
    }

    #[test]
    fn only_our_own_names_are_days() {
        assert_eq!(Day::of_file_name("2026-11-22.sqlite"), Some(Day::of_ms(1_795_305_600_000)));
        for other in
            ["2026-11-22.sqlite-wal", "20261122.sqlite", "2026-13-01.sqlite", POSITION_FILE, "1969-12-31.sqlite"]
        {
            assert_eq!(Day::of_file_name(other), None, "{other}");
        }
    }
}
