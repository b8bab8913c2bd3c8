//! Questions about many incidents at once: what they come to, which rules found them, and all that is known of each, page
//! by page. Changes nothing.

use super::day::Day;
use super::error::ViewError;
use super::extract::Changed;
use super::query::{Query, Row, severity_of, state_of};
use super::read::{Ids, ViewReader, id_of, incident_of, time_of};
use super::stats::{Counting, Measure, Stats, Way};
use super::summary::IncidentView;
use balefire_model::record::{ReportStep, Reporting, kind};
use balefire_model::{IncidentId, Severity, State};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// How many rules an answer has; the incidents of further ones are counted together.
pub const RULES_SHOWN_MAX: usize = 10_000;

/// How many incidents a page of [`ViewReader::export`] has at most.
const PAGE_ROWS_MAX: usize = 200;

/// A rule that has found something: a value of `detected_by`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name, as its incidents say: not safe for a terminal.
    pub rule: String,
    /// How many incidents it has found.
    pub incidents: u64,
    /// How many of them are open.
    pub open: u64,
    /// How bad the worst one is.
    pub worst: Severity,
    /// When the last one was taken in.
    pub last_at: Timestamp,
}

/// All rules that have found something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// The most incidents first.
    pub rules: Vec<Rule>,
    /// How many incidents are of further rules, beyond [`RULES_SHOWN_MAX`].
    pub of_other_rules: u64,
}

/// Some incidents with all that is known of them.
#[derive(Clone, Debug)]
pub struct Page {
    /// They, newest first.
    pub incidents: Vec<IncidentView>,
    /// What [`Query::before`] has to be for the next page; `None`: there is none.
    pub next: Option<IncidentId>,
}

impl ViewReader {
    /// What the incidents come to that were taken in from `since` on and before `until`.
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn stats(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        measure: Measure,
    ) -> Result<Stats, ViewError> {
        let ids = Ids::taken_in(since, until);
        let mut counting = Counting::new(measure);
        for day in self.days(&ids)? {
            self.in_day(day, |path, connection| count_day(path, connection, &ids, &mut counting))?;
        }
        Ok(counting.stats())
    }

    /// The rules that found something that was taken in from `since` on and before `until`.
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn rules(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Result<Rules, ViewError> {
        let ids = Ids::taken_in(since, until);
        let mut found: BTreeMap<String, Rule> = BTreeMap::new();
        let mut of_other_rules = 0;
        for day in self.days(&ids)? {
            self.in_day(day, |path, connection| {
                of_other_rules += rules_of_day(path, connection, &ids, &mut found)?;
                Ok(())
            })?;
        }
        let mut rules: Vec<Rule> = found.into_values().collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.incidents));
        Ok(Rules { rules, of_other_rules })
    }

    /// The incidents that meet the query, newest first, each with all that is known of it: as many as the limit and
    /// `bytes_max` allow, and at least one. The next page is the same query with [`Query::before`] set to
    /// [`Page::next`].
    ///
    /// # Errors
    /// See [`ViewReader::open`].
    pub fn export(&self, query: &Query, bytes_max: usize) -> Result<Page, ViewError> {
        let limit = query.limit.clamp(1, PAGE_ROWS_MAX);
        let rows = self.list(&Query { limit, ..query.clone() })?;
        let mut page = Page { incidents: Vec::with_capacity(rows.len()), next: None };
        if rows.len() == limit {
            page.next = rows.last().map(|row| row.id);
        }
        let mut bytes = 0;
        for of_day in rows.chunk_by(|one, other| Day::of(one.id) == Day::of(other.id)) {
            let is_full = self.in_day(Day::of(of_day[0].id), |path, connection| {
                fill(path, connection, of_day, (&mut page, &mut bytes, bytes_max))
            })?;
            if is_full == Some(true) {
                break;
            }
        }
        Ok(page)
    }
}

/// Adds a day's incidents until the page is full; says whether it is.
fn fill(
    path: &Path,
    connection: &Connection,
    rows: &[Row],
    (page, bytes, bytes_max): (&mut Page, &mut usize, usize),
) -> Result<bool, ViewError> {
    for row in rows {
        let Some(incident) = incident_of(path, connection, row.id)? else { continue };
        let size = incident.json.len() + incident.notes.iter().map(|note| note.text.len()).sum::<usize>();
        if *bytes + size > bytes_max
            && let Some(last) = page.incidents.last()
        {
            page.next = Some(last.row.id);
            return Ok(true);
        }
        *bytes += size;
        page.incidents.push(incident);
    }
    Ok(false)
}

const WAYS: &str = "
    SELECT i.id, i.at, i.severity, i.state, i.cui, i.detected_by, s.at, s.kind, s.body
    FROM incidents i LEFT JOIN story s ON s.id = i.id AND s.kind IN (?3, ?4)
    LEFT JOIN repeats r ON r.id = i.id
    WHERE i.id >= ?1 AND i.id < ?2 AND r.of_id IS NULL ORDER BY i.id, s.seq";

fn count_day(path: &Path, connection: &Connection, ids: &Ids, counting: &mut Counting) -> Result<(), ViewError> {
    let fail = |source| ViewError::of(path, source);
    let mut select = connection.prepare(WAYS).map_err(fail)?;
    let mut rows = select.query(params![ids.start, ids.end, kind::STATE_CHANGED, kind::REPORTING]).map_err(fail)?;
    let mut current: Option<(IncidentId, Way)> = None;
    while let Some(row) = rows.next().map_err(fail)? {
        let id = id_of(row.get(0).map_err(fail)?);
        if current.as_ref().is_none_or(|(known, _)| *known != id)
            && let Some((_, way)) = current.replace((id, way_of(path, row)?))
        {
            counting.add(&way);
        }
        if let Some((_, way)) = &mut current {
            go_on(path, row, way)?;
        }
    }
    if let Some((_, way)) = current {
        counting.add(&way);
    }
    Ok(())
}

fn way_of(path: &Path, row: &rusqlite::Row<'_>) -> Result<Way, ViewError> {
    let fail = |source| ViewError::of(path, source);
    let (severity, state) = (severity_of(row.get(2).map_err(fail)?), state_of(row.get(3).map_err(fail)?));
    let (Some(severity), Some(state)) = (severity, state) else {
        return Err(ViewError::damaged(path, "a severity or a state has an unknown number"));
    };
    Ok(Way {
        severity,
        state,
        cui_involved: row.get(4).map_err(fail)?,
        rule: row.get(5).map_err(fail)?,
        received_at: time_of(path, row.get(1).map_err(fail)?)?,
        taken_at: None,
        resolved_at: None,
        report_due: None,
        reported_at: None,
    })
}

/// Takes in the record that a row ends with, if it ends with one.
fn go_on(path: &Path, row: &rusqlite::Row<'_>, way: &mut Way) -> Result<(), ViewError> {
    let fail = |source| ViewError::of(path, source);
    let Some(at) = row.get::<_, Option<i64>>(6).map_err(fail)? else { return Ok(()) };
    let at = time_of(path, at)?;
    let body = row.get_ref(8).map_err(fail)?;
    let body = body.as_blob().map_err(|source| ViewError::damaged(path, source))?;
    let damaged = |source: serde_json::Error| ViewError::damaged(path, source);
    if row.get::<_, u16>(7).map_err(fail)? == kind::REPORTING {
        let reporting: Reporting = serde_json::from_slice(body).map_err(damaged)?;
        match reporting.step {
            ReportStep::Due { due, .. } => way.report_due = Some(due),
            ReportStep::Reported { .. } => _ = way.reported_at.get_or_insert(at),
            ReportStep::Reminded { .. } | ReportStep::Overdue { .. } => {}
        }
        return Ok(());
    }
    let change: Changed = serde_json::from_slice(body).map_err(damaged)?;
    match change.state {
        State::Open => {}
        State::Acked => _ = way.taken_at.get_or_insert(at),
        // Who says so once more changes nothing.
        State::Resolved => {
            way.taken_at.get_or_insert(at);
            way.resolved_at.get_or_insert(at);
        }
    }
    Ok(())
}

const RULES: &str = "
    SELECT detected_by, count(*), sum(state = 0 AND of_id IS NULL), max(severity), max(at)
    FROM incidents LEFT JOIN repeats ON repeats.id = incidents.id
    WHERE incidents.id >= ?1 AND incidents.id < ?2 GROUP BY 1";

/// Adds a day's rules, and says how many incidents are of rules for which there is no room.
fn rules_of_day(
    path: &Path,
    connection: &Connection,
    ids: &Ids,
    found: &mut BTreeMap<String, Rule>,
) -> Result<u64, ViewError> {
    let fail = |source| ViewError::of(path, source);
    let mut select = connection.prepare(RULES).map_err(fail)?;
    let mut rows = select.query(params![ids.start, ids.end]).map_err(fail)?;
    let mut left_out = 0;
    while let Some(row) = rows.next().map_err(fail)? {
        let name: String = row.get(0).map_err(fail)?;
        let (count, open): (i64, i64) = (row.get(1).map_err(fail)?, row.get(2).map_err(fail)?);
        let Some(worst) = severity_of(row.get(3).map_err(fail)?) else {
            return Err(ViewError::damaged(path, "a severity has an unknown number"));
        };
        let last_at = time_of(path, row.get(4).map_err(fail)?)?;
        if found.len() >= RULES_SHOWN_MAX && !found.contains_key(&name) {
            left_out += count.unsigned_abs();
            continue;
        }
        let new = || Rule { rule: name.clone(), incidents: 0, open: 0, worst, last_at };
        let rule = found.entry(name.clone()).or_insert_with(new);
        rule.incidents += count.unsigned_abs();
        rule.open += open.unsigned_abs();
        rule.worst = rule.worst.max(worst);
        rule.last_at = rule.last_at.max(last_at);
    }
    Ok(left_out)
}
