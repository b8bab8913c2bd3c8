//! Applies records to the view's files, in order, each once. Does not read the journal and does not answer questions.

use super::database::{DAY_SCHEMA, Database, POSITION_SCHEMA};
use super::day::{Day, POSITION_FILE, days_in, unlink};
use super::error::ViewError;
use super::extract::{Extract, Matter};
use super::query::{TITLE_BYTES_MAX, severity_number, state_number};
use balefire_model::incident::State;
use balefire_model::record::RepeatOf;
use balefire_model::{IncidentId, Position, Stored, text};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// After how many records [`View::apply`] makes its files durable by itself; what a power cut or a kill can make us
/// apply again. Half a second's work, against one sync for each open day.
pub const DURABLE_EVERY: u64 = 65_536;

/// How many days' files are open at once: today, yesterday around midnight, and two older ones that somebody works on.
const OPEN_DAYS_MAX: usize = 4;

const SYNC_DAY: &str = "UPDATE applied SET syncs = syncs + 1";
const SYNC_POSITION: &str = "UPDATE applied SET position = ?1, durable = ?1, syncs = syncs + 1";

/// The view, open for writing. One at a time: the caller holds the lock of the data directory.
#[derive(Debug)]
pub struct View {
    dir: PathBuf,
    position_file: Database,
    /// The one used last is at the end.
    days: Vec<OpenDay>,
    applied: Position,
    durable: Position,
}

#[derive(Debug)]
struct OpenDay {
    day: Day,
    database: Database,
    position: Position,
    is_dirty: bool,
}

impl View {
    /// Opens the view, and creates an empty one where there is none.
    ///
    /// # Errors
    /// [`ViewError::Newer`], [`ViewError::Older`] and [`ViewError::Damaged`] ask for a rebuild
    /// ([`ViewError::wants_rebuild`]); a day's file is looked at when a record first concerns it, so that
    /// [`View::apply`] may give them too. The others are about the directory.
    pub fn open(dir: &Path) -> Result<View, ViewError> {
        std::fs::create_dir_all(dir).map_err(|source| ViewError::directory(dir, source))?;
        let position_file = Database::open(dir.join(POSITION_FILE), POSITION_SCHEMA)?;
        let durable = position_file
            .connection
            .query_row("SELECT durable FROM applied", [], |row| row.get(0))
            .map_err(|source| ViewError::of(&position_file.path, source))
            .and_then(|number| position_of(&position_file.path, number))?;
        Ok(View { dir: dir.to_owned(), position_file, days: Vec::new(), applied: durable, durable })
    }

    /// Removes all of the view's files, and nothing else, from the directory. No view may be open there for writing.
    ///
    /// # Errors
    /// [`ViewError::Directory`] where a file cannot be removed.
    pub fn wipe(dir: &Path) -> Result<(), ViewError> {
        if !dir.exists() {
            return Ok(());
        }
        // The position goes first: interrupted here, the next start applies the journal from its beginning.
        unlink(&dir.join(POSITION_FILE))?;
        sync_directory(dir)?;
        for day in days_in(dir)? {
            unlink(&day.path(dir))?;
        }
        sync_directory(dir)
    }

    /// The record that [`View::apply`] wants next. After [`View::open`] it can be up to [`DURABLE_EVERY`] records (and
    /// what the last call held) before what is in the files: those are skipped when they come again.
    #[must_use]
    pub fn position(&self) -> Position {
        self.applied
    }

    /// Applies records, which must follow each other and be durable in the journal. Those before [`View::position`] are
    /// skipped; an empty view takes any first record. One transaction for each day that is concerned: a few thousand
    /// records a call are fastest.
    ///
    /// Records about an incident whose day has no file any more (retention) are skipped.
    ///
    /// # Errors
    /// [`ViewError::Gap`] where records are missing, [`ViewError::Unreadable`] where one has an unknown kind or not its
    /// fields: nothing was applied. After any other error, give the same records again: what was applied of them is
    /// skipped then.
    pub fn apply(&mut self, records: &[Stored]) -> Result<(), ViewError> {
        let records = self.unapplied(records)?;
        let Some(last) = records.last() else { return Ok(()) };
        let end = last.position.plus(1);
        let records = records.iter().map(Extract::of).collect::<Result<Vec<_>, _>>()?;
        for (day, records) in by_day(&records) {
            let creates = records.iter().any(|record| matches!(record.matter, Matter::Accepted(_)));
            if let Some(open) = self.day(day, creates)? {
                open.apply(&records, end)?;
            }
        }
        self.write_position(&records, end)?;
        self.applied = end;
        if end.0 - self.durable.0 >= DURABLE_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes everything applied durable, and the place at which the next start resumes. For quiet moments and the stop;
    /// [`View::apply`] calls it by itself now and then.
    ///
    /// # Errors
    /// What a commit can meet. The place did not move; it is tried again by the next call.
    pub fn sync(&mut self) -> Result<(), ViewError> {
        if self.durable == self.applied {
            return Ok(());
        }
        for open in &mut self.days {
            open.sync()?;
        }
        let position = number_of(self.applied);
        self.position_file()?.commit_synced(SYNC_POSITION, &[position])?;
        self.durable = self.applied;
        Ok(())
    }

    /// Retention: unlinks the files of all days that ended before `time`, and says which.
    ///
    /// # Errors
    /// Those of [`View::sync`], which comes first so that no restart brings a removed day back, and
    /// [`ViewError::Directory`] where a file cannot be removed.
    pub fn remove_days_before(&mut self, time: Timestamp) -> Result<Vec<PathBuf>, ViewError> {
        self.sync()?;
        let first_kept = Day::of_ms(u64::try_from(time.as_millisecond()).unwrap_or(0));
        self.days.retain(|open| open.day >= first_kept);
        let mut removed = Vec::new();
        for day in days_in(&self.dir)?.into_iter().filter(|day| *day < first_kept) {
            let path = day.path(&self.dir);
            unlink(&path)?;
            removed.push(path);
        }
        Ok(removed)
    }

    fn unapplied<'a>(&self, records: &'a [Stored]) -> Result<&'a [Stored], ViewError> {
        let mut expected = match records.first() {
            Some(first) if self.applied == Position(0) || first.position < self.applied => first.position,
            _ => self.applied,
        };
        for record in records {
            let found = record.position;
            if found != expected {
                return Err(ViewError::Gap { expected, found });
            }
            expected = expected.plus(1);
        }
        let applied = records.partition_point(|record| record.position < self.applied);
        Ok(&records[applied..])
    }

    /// The day's file, opened if need be; `None` where there is none and none is to be made.
    fn day(&mut self, day: Day, creates: bool) -> Result<Option<&mut OpenDay>, ViewError> {
        if let Some(index) = self.days.iter().position(|open| open.day == day) {
            let open = self.days.remove(index);
            if open.database.is_in_place() {
                self.days.push(open);
                return Ok(self.days.last_mut());
            }
        }
        let path = day.path(&self.dir);
        if !creates && !path.exists() {
            return Ok(None);
        }
        if self.days.len() >= OPEN_DAYS_MAX {
            // Synced before it is forgotten: `sync` only knows the files that are open.
            self.days[0].sync()?;
            self.days.remove(0);
        }
        self.days.push(OpenDay::open(day, path)?);
        Ok(self.days.last_mut())
    }

    fn position_file(&mut self) -> Result<&mut Database, ViewError> {
        if !self.position_file.is_in_place() {
            self.position_file = Database::open(self.position_file.path.clone(), POSITION_SCHEMA)?;
        }
        Ok(&mut self.position_file)
    }

    fn write_position(&mut self, records: &[Extract<'_>], end: Position) -> Result<(), ViewError> {
        let file = self.position_file()?;
        let fail = |source| ViewError::of(&file.path, source);
        let transaction = file.connection.unchecked_transaction().map_err(fail)?;
        for record in records.iter().filter(|record| matches!(record.matter, Matter::Engine)) {
            let seq = number_of(record.position);
            transaction
                .prepare_cached("INSERT OR IGNORE INTO engine VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut insert| {
                    insert.execute(params![seq, record.at.as_microsecond(), record.kind, record.payload])
                })
                .map_err(fail)?;
        }
        transaction.execute("UPDATE applied SET position = ?1", [number_of(end)]).map_err(fail)?;
        transaction.commit().map_err(fail)
    }
}

impl OpenDay {
    fn open(day: Day, path: PathBuf) -> Result<OpenDay, ViewError> {
        let database = Database::open(path, DAY_SCHEMA)?;
        let position = database
            .connection
            .query_row("SELECT position FROM applied", [], |row| row.get(0))
            .map_err(|source| ViewError::of(&database.path, source))
            .and_then(|number| position_of(&database.path, number))?;
        // What an earlier process committed and did not sync must be synced before we say that it is durable.
        Ok(OpenDay { day, database, position, is_dirty: true })
    }

    /// Writes those records that the file does not have, and that all up to `end` were applied, in one transaction.
    fn apply(&mut self, records: &[&Extract<'_>], end: Position) -> Result<(), ViewError> {
        let missing = records.partition_point(|record| record.position < self.position);
        if missing == records.len() {
            return Ok(());
        }
        let fail = |source| ViewError::of(&self.database.path, source);
        self.is_dirty = true;
        let transaction = self.database.connection.unchecked_transaction().map_err(fail)?;
        write_records(&transaction, self.day, &records[missing..]).map_err(fail)?;
        transaction.execute("UPDATE applied SET position = ?1", [number_of(end)]).map_err(fail)?;
        transaction.commit().map_err(fail)?;
        self.position = end;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), ViewError> {
        if self.is_dirty && self.database.is_in_place() {
            self.database.commit_synced(SYNC_DAY, &[])?;
        }
        self.is_dirty = false;
        Ok(())
    }
}

fn write_records(connection: &Connection, day: Day, records: &[&Extract<'_>]) -> rusqlite::Result<()> {
    // Ids are unique; should one come twice, its first record stands, and the view goes on.
    let mut incident =
        connection.prepare_cached("INSERT OR IGNORE INTO incidents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    let mut body = connection.prepare_cached("INSERT OR IGNORE INTO bodies VALUES (?1, ?2, ?3)")?;
    let mut story = connection.prepare_cached("INSERT OR IGNORE INTO story VALUES (?1, ?2, ?3, ?4, ?5)")?;
    // Over is over, also for who takes note of it later.
    let mut state = connection.prepare_cached("UPDATE incidents SET state = ?2 WHERE id = ?1 AND state <> ?3")?;
    let mut repeat = connection.prepare_cached("INSERT OR IGNORE INTO repeats VALUES (?1, ?2, 0, 0)")?;
    // How often an incident came again is written once for all these records.
    let mut repeated: BTreeMap<IncidentId, (u64, i64)> = BTreeMap::new();
    for record in records {
        if let Matter::Repeat(_, RepeatOf { of, number }) = &record.matter
            && Day::of(*of) == day
        {
            repeated.insert(*of, (*number, record.at.as_microsecond()));
        }
        let Some(id) = record.incident().filter(|id| Day::of(*id) == day) else { continue };
        let (id, seq, at) = (id.0.as_bytes(), number_of(record.position), record.at.as_microsecond());
        if let Matter::Accepted(accepted) = &record.matter {
            incident.execute(params![
                id,
                seq,
                accepted.received_at.as_microsecond(),
                severity_number(accepted.severity),
                state_number(State::Open),
                accepted.cui_involved,
                accepted.source,
                text::cut(&accepted.detected_by, TITLE_BYTES_MAX),
                text::cut(&accepted.title, TITLE_BYTES_MAX),
            ])?;
            body.execute(params![seq, at, record.payload])?;
            continue;
        }
        if let Matter::Changed(change) = &record.matter {
            state.execute(params![id, state_number(change.state), state_number(State::Resolved)])?;
        }
        if let Matter::Repeat(_, RepeatOf { of, .. }) = &record.matter {
            repeat.execute(params![id, of.0.as_bytes()])?;
        }
        story.execute(params![id, seq, at, record.kind, record.payload])?;
    }
    let mut count = connection.prepare_cached(
        "INSERT INTO repeats VALUES (?1, NULL, ?2, ?3) ON CONFLICT (id) DO UPDATE SET count = ?2, last = ?3",
    )?;
    for (first, (number, at)) in repeated {
        count.execute(params![first.0.as_bytes(), i64::try_from(number).unwrap_or(i64::MAX), at])?;
    }
    Ok(())
}

/// The records that concern an incident, by its day, in their order; a repeat concerns the incident that it repeats, too.
fn by_day<'a, 'p>(records: &'a [Extract<'p>]) -> BTreeMap<Day, Vec<&'a Extract<'p>>> {
    let mut days: BTreeMap<Day, Vec<&Extract<'_>>> = BTreeMap::new();
    for record in records {
        if let Some(id) = record.incident() {
            days.entry(Day::of(id)).or_default().push(record);
            if let Matter::Repeat(_, RepeatOf { of, .. }) = &record.matter
                && Day::of(*of) != Day::of(id)
            {
                days.entry(Day::of(*of)).or_default().push(record);
            }
        }
    }
    days
}

pub(crate) fn number_of(position: Position) -> i64 {
    i64::try_from(position.0).expect("no journal reaches 2^63 records")
}

pub(crate) fn position_of(path: &Path, number: i64) -> Result<Position, ViewError> {
    u64::try_from(number).map(Position).map_err(|_| ViewError::damaged(path, format!("position {number} is below 0")))
}

fn sync_directory(dir: &Path) -> Result<(), ViewError> {
    std::fs::File::open(dir).and_then(|file| file.sync_all()).map_err(|source| ViewError::directory(dir, source))
}
