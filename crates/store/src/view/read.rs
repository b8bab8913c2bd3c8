//! Answers questions from the view's files, also while another process writes them. Changes nothing, and keeps nothing
//! open between questions: a file may be unlinked or made anew at any time.

use super::care::Care;
use super::database::open_to_read;
use super::day::{Day, POSITION_FILE, days_in};
use super::error::ViewError;
use super::query::{Counts, LIMIT_MAX, Needle, Query, Row, TITLE_BYTES_MAX, severity_of, state_number, state_of};
use super::summary::IncidentView;
use super::write::position_of;
use balefire_model::id::hex;
use balefire_model::record::kind;
use balefire_model::{Entry, IncidentId, Position, Record, dfars, text};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};

/// How many hexadecimal digits of an id are needed to look an incident up: eight say the minute.
pub const PREFIX_DIGITS_MIN: usize = 8;

const ID_DIGITS: usize = 32;
const AMBIGUOUS_SHOWN_MAX: u8 = 10;

const ROW: &str = "incidents.id, seq, at, severity, state, cui, source, detected_by, title, of_id, count, last";
const ROWS: &str = "incidents LEFT JOIN repeats ON repeats.id = incidents.id";

/// The view, for questions. Cheap to make and to share; every call opens what it needs, blocks on the disk, and is
/// consistent within each day.
#[derive(Clone, Debug)]
pub struct ViewReader {
    dir: PathBuf,
}

/// One record in a story.
#[derive(Clone, Debug)]
pub struct StoryLine {
    /// Where it stands in the journal.
    pub position: Position,
    /// When it was decided.
    pub at: Timestamp,
    /// What it says.
    pub record: Record,
}

impl ViewReader {
    /// A reader of the view in this directory.
    ///
    /// # Errors
    /// [`ViewError::Missing`] where there is no such directory. The files are looked at by the questions: each of them
    /// can give [`ViewError::Newer`], [`ViewError::Older`], [`ViewError::Damaged`] and [`ViewError::Denied`].
    pub fn open(dir: &Path) -> Result<ViewReader, ViewError> {
        if !dir.is_dir() {
            return Err(ViewError::Missing { path: dir.to_owned() });
        }
        Ok(ViewReader { dir: dir.to_owned() })
    }

    /// How many of the journal's records can be seen here.
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn position(&self) -> Result<Position, ViewError> {
        let path = self.dir.join(POSITION_FILE);
        let Some(connection) = open_to_read(&path)? else { return Ok(Position(0)) };
        let number = connection
            .query_row("SELECT position FROM applied", [], |row| row.get(0))
            .map_err(|source| ViewError::of(&path, source))?;
        position_of(&path, number)
    }

    /// The incidents that meet the query, newest first (by id). The next page is the same query with
    /// [`Query::before`] set to the last row's id.
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn list(&self, query: &Query) -> Result<Vec<Row>, ViewError> {
        let mut page = Page::new(query);
        for day in self.days(&page.ids)? {
            self.in_day(day, |path, connection| page.fill(path, connection))?;
            if page.is_full() {
                break;
            }
        }
        Ok(page.rows)
    }

    /// One incident with all that became of it; `None` where the view does not have it.
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn incident(&self, id: IncidentId) -> Result<Option<IncidentView>, ViewError> {
        let found = self.in_day(Day::of(id), |path, connection| incident_of(path, connection, id))?;
        Ok(found.flatten())
    }

    /// All records about one incident, in order, beginning with the incident itself. Empty where the view has none.
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn story(&self, id: IncidentId) -> Result<Vec<StoryLine>, ViewError> {
        let found = self.in_day(Day::of(id), |path, connection| {
            let mut lines = Vec::new();
            if let Some((_, seq)) = row_of(path, connection, id)? {
                let (at, json) = body(connection, seq).map_err(|source| ViewError::of(path, source))?;
                lines.push(line(path, seq, at, kind::ACCEPTED, json)?);
            }
            lines.extend(story_of(path, connection, id)?);
            Ok(lines)
        })?;
        Ok(found.unwrap_or_default())
    }

    /// The incident whose id is, or begins with, this text; hyphens and case do not matter.
    ///
    /// # Errors
    /// [`ViewError::NotAnId`] for a text that is no such beginning or shorter than [`PREFIX_DIGITS_MIN`] digits,
    /// [`ViewError::Ambiguous`] where several incidents begin so; else see [`ViewReader::open`].
    pub fn find(&self, prefix: &str) -> Result<Option<IncidentId>, ViewError> {
        let ids = Ids::beginning_with(prefix)?;
        let mut found = Vec::new();
        for day in self.days(&ids)? {
            self.in_day(day, |path, connection| {
                let fail = |source| ViewError::of(path, source);
                let mut select = connection
                    .prepare("SELECT id FROM incidents WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")
                    .map_err(fail)?;
                let mut rows = select.query(params![ids.start, ids.end, AMBIGUOUS_SHOWN_MAX]).map_err(fail)?;
                while let Some(row) = rows.next().map_err(fail)? {
                    let bytes: [u8; 16] = row.get(0).map_err(fail)?;
                    found.push(id_of(bytes));
                }
                Ok(())
            })?;
        }
        found.truncate(usize::from(AMBIGUOUS_SHOWN_MAX));
        match found.len() {
            0 => Ok(None),
            1 => Ok(found.pop()),
            _ => Err(ViewError::Ambiguous { prefix: text::cut(prefix.trim(), 64).into_owned(), ids: found }),
        }
    }

    /// How many incidents were taken in from `since` on and before `until`, by severity and present state.
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn counts(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Result<Counts, ViewError> {
        let ids = Ids::taken_in(since, until);
        let mut counts = Counts::default();
        for day in self.days(&ids)? {
            self.in_day(day, |path, connection| {
                let fail = |source| ViewError::of(path, source);
                let mut select = connection
                    .prepare("SELECT severity, state, count(*) FROM incidents WHERE id >= ?1 AND id < ?2 GROUP BY 1, 2")
                    .map_err(fail)?;
                let mut rows = select.query(params![ids.start, ids.end]).map_err(fail)?;
                while let Some(row) = rows.next().map_err(fail)? {
                    let severity = severity_of(row.get(0).map_err(fail)?);
                    let state = state_of(row.get(1).map_err(fail)?);
                    let (Some(severity), Some(state)) = (severity, state) else {
                        return Err(ViewError::damaged(path, "a severity or a state has an unknown number"));
                    };
                    let count: i64 = row.get(2).map_err(fail)?;
                    counts.add(severity, state, count.unsigned_abs());
                }
                Ok(())
            })?;
        }
        Ok(counts)
    }

    /// The last `limit` records about the engine itself (started, configured, stopped), newest first.
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn engine_records(&self, limit: u32) -> Result<Vec<StoryLine>, ViewError> {
        let path = self.dir.join(POSITION_FILE);
        let Some(connection) = open_to_read(&path)? else { return Ok(Vec::new()) };
        let select = "SELECT seq, at, kind, body FROM engine ORDER BY seq DESC LIMIT ?1";
        lines(&path, &connection, select, params![limit])
    }

    /// The days that have a file and can have such ids, newest first.
    pub(super) fn days(&self, ids: &Ids) -> Result<Vec<Day>, ViewError> {
        let mut days = days_in(&self.dir)?;
        let (first, last) = ids.days();
        days.retain(|day| *day >= first && *day <= last);
        Ok(days)
    }

    /// Asks one day's file, in one read transaction; `None` where there is no such file.
    pub(super) fn in_day<T>(
        &self,
        day: Day,
        ask: impl FnOnce(&Path, &Connection) -> Result<T, ViewError>,
    ) -> Result<Option<T>, ViewError> {
        let path = day.path(&self.dir);
        let Some(connection) = open_to_read(&path)? else { return Ok(None) };
        let transaction = connection.unchecked_transaction().map_err(|source| ViewError::of(&path, source))?;
        ask(&path, &transaction).map(Some)
    }
}

/// A range of ids, as bytes: at or after `start`, before `end`.
pub(super) struct Ids {
    pub(super) start: Vec<u8>,
    pub(super) end: Vec<u8>,
}

impl Ids {
    pub(super) fn taken_in(since: Option<Timestamp>, until: Option<Timestamp>) -> Ids {
        Ids {
            start: since.map_or_else(Vec::new, first_id_at),
            // Longer than any id of the same bytes, and so after all of them.
            end: until.map_or_else(|| vec![0xff; 17], first_id_at),
        }
    }

    fn beginning_with(prefix: &str) -> Result<Ids, ViewError> {
        let not_an_id = || ViewError::NotAnId { text: text::cut(prefix, 64).into_owned() };
        let digits: String = prefix.trim().chars().filter(|c| *c != '-').collect();
        let is_id = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id || !(PREFIX_DIGITS_MIN..=ID_DIGITS).contains(&digits.len()) {
            return Err(not_an_id());
        }
        let filled = |fill: &str| -> Result<Vec<u8>, ViewError> {
            let id: IncidentId =
                format!("{digits}{}", fill.repeat(ID_DIGITS - digits.len())).parse().map_err(|_| not_an_id())?;
            Ok(id.0.as_bytes().to_vec())
        };
        let mut end = filled("f")?;
        // One byte more: after the last id that begins so.
        end.push(0);
        Ok(Ids { start: filled("0")?, end })
    }

    fn days(&self) -> (Day, Day) {
        (Day::of_ms(ms_of(&self.start)), Day::of_ms(ms_of(&self.end)))
    }
}

/// The milliseconds at the head of an id of version 7.
fn ms_of(bytes: &[u8]) -> u64 {
    (0..6).fold(0, |ms, index| ms << 8 | u64::from(bytes.get(index).copied().unwrap_or(0)))
}

/// The bytes at or after which the ids of this time and later are: the next whole millisecond, as ids have no finer one.
fn first_id_at(time: Timestamp) -> Vec<u8> {
    let ms = time.as_nanosecond().div_euclid(1_000_000) + i128::from(time.as_nanosecond().rem_euclid(1_000_000) != 0);
    let ms = u64::try_from(ms.max(0)).expect("the year 9999 is below 2^64 ms");
    ms.to_be_bytes()[2..].to_vec()
}

/// The page of a list that is being filled.
struct Page<'a> {
    query: &'a Query,
    ids: Ids,
    needle: Option<Needle>,
    rows: Vec<Row>,
}

impl Page<'_> {
    fn new(query: &Query) -> Page<'_> {
        let mut ids = Ids::taken_in(query.since, query.until);
        if let Some(before) = query.before {
            ids.end = ids.end.min(before.0.as_bytes().to_vec());
        }
        Page { query, ids, needle: Needle::new(query.text.as_deref()), rows: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.query.limit.clamp(1, LIMIT_MAX)
    }

    /// Adds a day's incidents, newest first, until the page is full.
    fn fill(&mut self, path: &Path, connection: &Connection) -> Result<(), ViewError> {
        let fail = |source| ViewError::of(path, source);
        let mut select = connection
            .prepare(&format!(
                "SELECT {ROW} FROM {ROWS} WHERE incidents.id >= ?1 AND incidents.id < ?2 AND (?3 >> severity) & 1
                 AND (?4 IS NULL OR (state = ?4 AND of_id IS NULL)) AND (?5 IS NULL OR source = ?5)
                 AND (?6 IS NULL OR detected_by = ?6) AND cui >= ?7 ORDER BY incidents.id DESC"
            ))
            .map_err(fail)?;
        let mut bodies = connection.prepare("SELECT json FROM bodies WHERE seq = ?1").map_err(fail)?;
        let (ids, query) = (&self.ids, self.query);
        let (mask, state) = (query.severity_mask(), query.state.map(state_number));
        let rule = query.rule.as_deref().map(|rule| text::cut(rule, TITLE_BYTES_MAX));
        let is_cui = query.is_cui || query.is_reportable;
        let wanted = params![ids.start, ids.end, mask, state, query.source, rule, is_cui];
        let mut rows = select.query(wanted).map_err(fail)?;
        while !self.is_full()
            && let Some(row) = rows.next().map_err(fail)?
        {
            if let Some(needle) = &self.needle {
                let seq: i64 = row.get(1).map_err(fail)?;
                let is_in = bodies
                    .query_row([seq], |row| Ok(needle.is_in_incident(row.get_ref(0)?.as_blob()?)))
                    .map_err(fail)?
                    .map_err(|source| ViewError::damaged(path, source))?;
                if !is_in {
                    continue;
                }
            }
            let row = row_from(path, connection, row)?;
            if query.assigned_to.as_ref().is_none_or(|whose| whose.takes(row.assigned_to.as_deref())) {
                self.rows.push(row);
            }
        }
        Ok(())
    }
}

/// All that is known of one incident.
pub(super) fn incident_of(
    path: &Path,
    connection: &Connection,
    id: IncidentId,
) -> Result<Option<IncidentView>, ViewError> {
    let Some((row, seq)) = row_of(path, connection, id)? else { return Ok(None) };
    let (_, json) = body(connection, seq).map_err(|source| ViewError::of(path, source))?;
    let mut view = IncidentView::new(row, position_of(path, seq)?, json);
    for line in story_of(path, connection, id)? {
        view.add(line);
    }
    Ok(Some(view))
}

/// Whose an incident is, and how it stands with its report.
fn care_of(path: &Path, connection: &Connection, id: IncidentId, mut care: Care) -> Result<Care, ViewError> {
    let select = "SELECT seq, at, kind, body FROM story WHERE id = ?1 AND kind IN (?2, ?3) ORDER BY seq";
    for line in lines(path, connection, select, params![id.0.as_bytes(), kind::ASSIGNED, kind::REPORTING])? {
        match line.record {
            Record::Assigned(assigned) => care.assigned(assigned),
            Record::Reporting(reporting) => care.reporting(line.at, reporting),
            other => {
                return Err(ViewError::damaged(path, format!("a record of kind {} stands among others", other.kind())));
            }
        }
    }
    Ok(care)
}

fn row_of(path: &Path, connection: &Connection, id: IncidentId) -> Result<Option<(Row, i64)>, ViewError> {
    let fail = |source| ViewError::of(path, source);
    let mut select = connection.prepare(&format!("SELECT {ROW} FROM {ROWS} WHERE incidents.id = ?1")).map_err(fail)?;
    let mut rows = select.query([id.0.as_bytes()]).map_err(fail)?;
    let Some(row) = rows.next().map_err(fail)? else { return Ok(None) };
    Ok(Some((row_from(path, connection, row)?, row.get(1).map_err(fail)?)))
}

fn row_from(path: &Path, connection: &Connection, row: &rusqlite::Row<'_>) -> Result<Row, ViewError> {
    let fail = |source| ViewError::of(path, source);
    let (severity, state): (i64, i64) = (row.get(3).map_err(fail)?, row.get(4).map_err(fail)?);
    let (Some(severity), Some(state)) = (severity_of(severity), state_of(state)) else {
        return Err(ViewError::damaged(path, "a severity or a state has an unknown number"));
    };
    let id = id_of(row.get(0).map_err(fail)?);
    let (received_at, cui_involved) = (time_of(path, row.get(2).map_err(fail)?)?, row.get(5).map_err(fail)?);
    let care = care_of(path, connection, id, Care::of_new(severity, cui_involved, received_at))?;
    let repeat_of: Option<[u8; 16]> = row.get(9).map_err(fail)?;
    let repeats: Option<i64> = row.get(10).map_err(fail)?;
    let last_seen: Option<i64> = row.get(11).map_err(fail)?;
    let last_seen = last_seen.filter(|last| *last != 0).map(|last| time_of(path, last)).transpose()?;
    Ok(Row {
        id,
        received_at,
        severity,
        state,
        cui_involved,
        dfars_reportable: dfars::is_reportable(severity, cui_involved),
        report: care.report,
        assigned_to: care.assigned_to,
        source: row.get(6).map_err(fail)?,
        detected_by: row.get(7).map_err(fail)?,
        title: row.get(8).map_err(fail)?,
        repeat_of: repeat_of.map(id_of),
        repeats: repeats.map_or(0, i64::unsigned_abs),
        last_seen,
    })
}

fn body(connection: &Connection, seq: i64) -> rusqlite::Result<(i64, Vec<u8>)> {
    connection.query_row("SELECT at, json FROM bodies WHERE seq = ?1", [seq], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn story_of(path: &Path, connection: &Connection, id: IncidentId) -> Result<Vec<StoryLine>, ViewError> {
    let select = "SELECT seq, at, kind, body FROM story WHERE id = ?1 ORDER BY seq";
    lines(path, connection, select, params![id.0.as_bytes()])
}

fn lines(
    path: &Path,
    connection: &Connection,
    select: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<StoryLine>, ViewError> {
    let fail = |source| ViewError::of(path, source);
    let mut select = connection.prepare_cached(select).map_err(fail)?;
    let mut rows = select.query(parameters).map_err(fail)?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let (seq, at) = (row.get(0).map_err(fail)?, row.get(1).map_err(fail)?);
        lines.push(line(path, seq, at, row.get(2).map_err(fail)?, row.get(3).map_err(fail)?)?);
    }
    Ok(lines)
}

fn line(path: &Path, seq: i64, at: i64, kind: u16, payload: Vec<u8>) -> Result<StoryLine, ViewError> {
    let at = time_of(path, at)?;
    let record = Record::decode(&Entry { kind, at, payload }).map_err(|source| ViewError::damaged(path, source))?;
    Ok(StoryLine { position: position_of(path, seq)?, at, record })
}

pub(super) fn time_of(path: &Path, micros: i64) -> Result<Timestamp, ViewError> {
    Timestamp::from_microsecond(micros).map_err(|source| ViewError::damaged(path, source))
}

pub(super) fn id_of(bytes: [u8; 16]) -> IncidentId {
    hex(&bytes).parse().expect("32 hexadecimal digits are a UUID")
}
