//! The kind `bt08`: the signals by which an application's own audit log is known to fail. No row has come for too long in the
//! hours of business, or the application says in a log file that it could not write one. What the
//! database answers comes from outside; judged is here.

use crate::look::{Failure, Look, Moment};
use crate::sensors::readable;
use crate::sensors::tail::{Place, Tail};
use crate::watcher::{Around, Kind, Plan, Rows, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::calendar::{Interval, TimeOfDay, TimeRange, WeekdayRange};
use balefire_model::settings::{FieldDoc, Reader, Shape};
use balefire_model::text::{cut, one_line};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "bt08", read };

/// The watcher that needs to be told what the database answers.
pub const AUDIT_ROWS: &str = "bt08.rows";

/// As much of a line is shown.
const TEXT_BYTES_MAX: usize = 300;
/// An answer that is older than so many times the asking is none.
const ANSWERS_MISSED: u32 = 5;

/// What the application says, and what that is called.
const SIGNALS: [(&str, &str, &str); 3] = [
    ("AUDIT_FAILURE:", "bt08.audit_failure", "the application could not write an audit record"),
    ("AUDIT_DB_FAILURE:", "bt08.audit_db_failure", "the application does not reach the database of its audit records"),
    ("AuditLogger FAILURE:", "bt08.logger_failure", "the application's audit logger has failed"),
];

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "Signs that an application's own audit log fails.";
    let mut watched = Vec::new();
    let section = |reader: &Reader<'_>| {
        let doc = "A PostgreSQL table into which audit rows must keep coming.";
        let rows = reader.section("audit_rows", doc, read_rows).optional();
        watched.extend(rows.filter(|_| !reader.is_describing()).map(|settings| Watched {
            name: AUDIT_ROWS.to_owned(),
            kind: KIND.key,
            target: settings.table.clone(),
            every: Duration::from_secs(1),
            under: Vec::new(),
            plan: Arc::new(settings),
        }));
        let doc = "Log files in which the application says `AUDIT_FAILURE:`, `AUDIT_DB_FAILURE:` (syslog) or `AuditLogger \
                   FAILURE:` (PHP).";
        watched.extend(reader.sections("lines", doc, read_lines).optional().unwrap_or_default());
    };
    reader.section("bt08", doc, section).optional();
    watched
}

fn read_lines(reader: &Reader<'_>) -> Watched {
    let path = reader.text("path", "The file; it need not be there yet.").required(String::new());
    let doc = "The program whose lines count, as syslog names it; what others write is not its word.";
    let ident = reader.text("ident", doc).default("eqmon-audit".to_owned());
    let doc = "How long no such line may come until the failure is over.";
    let quiet = reader.duration("quiet", doc).default_shown(Duration::from_secs(900), "15m");
    Watched {
        name: format!("bt08.lines:{path}"),
        kind: KIND.key,
        target: path.clone(),
        every: Duration::from_secs(1),
        under: Vec::new(),
        plan: Arc::new(Lines { path: PathBuf::from(path), ident, quiet }),
    }
}

/// The table of audit rows, for whoever asks the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The column with the time of each row.
    pub column: String,
    /// How often it is asked.
    pub every: Duration,
}

/// Reads it from the section `audit_rows`.
pub fn read_audit_table(reader: &Reader<'_>) -> AuditTable {
    let form = "NAME or SCHEMA.NAME, of letters, digits, _ $ and -, each at most 63 bytes";
    let table = reader.parsed("table", "The table, with its schema.", form, |text| {
        let (schema, name) = text.split_once('.').unwrap_or(("public", text));
        (is_name(schema) && is_name(name)).then(|| (schema.to_owned(), name.to_owned()))
    });
    let usual = ("public".to_owned(), "audit_events".to_owned());
    let (schema, name) = table.default_shown(usual, "public.audit_events");
    let doc = "Its column with the time of each row, a `timestamptz` with an index.";
    let form = "the name of a column, of letters, digits, _ $ and -, at most 63 bytes";
    let column = reader.parsed("column", doc, form, |text| is_name(text).then(|| text.to_owned()));
    let column = column.default("created_at".to_owned());
    let every = reader.duration("every", "How often the table is asked.").default_shown(Duration::from_secs(15), "15s");
    if every.is_zero() {
        reader.reject("every", "found 0", "more than nothing");
    }
    AuditTable { schema, name, column, every }
}

/// PostgreSQL's limit for a name is NAMEDATALEN - 1.
fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || "_$-".contains(c))
}

fn read_rows(reader: &Reader<'_>) -> RowSettings {
    // The application reads it, as it reads the channel kind of that name.
    let doc =
        "The database: `url` and the other connection settings of the channel kind `postgres` (docs/postgres.md).";
    reader.known(FieldDoc { name: "postgres", doc, shape: Shape::Any, required: true, default: None });
    let AuditTable { schema, name, every, .. } = read_audit_table(reader);
    let table = format!("{schema}.{name}");
    let doc = "How long, in the hours of business, no row may come.";
    let within = reader.duration("within", doc).default_shown(Duration::from_secs(300), "5m");
    let doc = "When rows are expected; always if not set.";
    let hours = reader.section("business_hours", doc, read_hours).optional();
    RowSettings { table, within, every, hours }
}

fn read_hours(reader: &Reader<'_>) -> Interval {
    let form = "HH:MM-HH:MM, the end after the start, such as \"08:00-18:00\"";
    let times = reader.parsed("times", "From when to when.", form, |text| {
        let (start, end) = text.split_once('-')?;
        TimeRange::new(TimeOfDay::parse(start.trim())?, TimeOfDay::parse(end.trim())?).ok()
    });
    let times = times.optional();
    let form = "a weekday or a range such as monday:friday";
    let weekdays =
        reader.parsed("weekdays", "On which days; all if not set.", form, |text| WeekdayRange::parse(text).ok());
    let weekdays = weekdays.optional();
    let form = "a time zone that this machine knows (see /usr/share/zoneinfo), such as Europe/Berlin; UTC";
    let zone = reader.parsed("tz", "Whose clock.", form, |name| TimeZone::get(name).ok());
    let zone = zone.default_shown(TimeZone::UTC, "UTC");
    let (times, weekdays) = (times.into_iter().collect(), weekdays.into_iter().collect());
    Interval { times, weekdays, ..Interval::always(zone) }
}

#[derive(Clone, Debug)]
struct RowSettings {
    table: String,
    within: Duration,
    every: Duration,
    hours: Option<Interval>,
}

impl Plan for RowSettings {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(RowWatch { settings: self.clone(), first: None, open: None })
    }
}

struct RowWatch {
    settings: RowSettings,
    first: Option<Moment>,
    /// Since when it is the time of business.
    open: Option<Moment>,
}

impl Watcher for RowWatch {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        self.judge(now, around.rows(AUDIT_ROWS))
    }
}

impl RowWatch {
    fn judge(&mut self, now: Moment, rows: Option<Rows>) -> Look {
        let first = *self.first.get_or_insert(now);
        let RowSettings { table, within, every, hours } = &self.settings;
        let is_open = hours.as_ref().is_none_or(|hours| hours.contains(now.wall));
        self.open = self.open.filter(|_| is_open).or(is_open.then_some(now));
        let patience = every.saturating_mul(ANSWERS_MISSED).max(Duration::from_secs(60));
        let cure = "a database that can be reached, and a role that may read the table";
        let Some(Rows { asked, age }) = rows.filter(|rows| now.since(rows.asked) <= patience) else {
            return match now.since(first) > patience {
                true => Look::blind(format!("{table}: no answer for {} s", patience.as_secs()), cure),
                false => Look::unknown(format!("waits for the first answer about {table}")),
            };
        };
        let age = match age {
            Ok(age) => age.map(|age| age.saturating_add(now.since(asked))),
            Err(why) => return Look::blind(format!("{table}: {}", cut(&one_line(&why), TEXT_BYTES_MAX)), cure),
        };
        // Nobody works at night: silence counts from the begin of business at the earliest.
        let Some(open) = self.open else { return Look::unknown("it is not the time of business") };
        let silent = age.unwrap_or(Duration::MAX).min(now.since(open));
        if silent <= *within {
            return match age {
                Some(age) if age <= *within => Look::ok(format!("{table}: the newest row is {} s old", age.as_secs())),
                _ => Look::unknown(format!("{table}: waits for the first row of this time of business")),
            };
        }
        let newest =
            age.map_or("the table is empty".to_owned(), |age| format!("the newest is {} s old", age.as_secs()));
        let limit = within.as_secs();
        let summary = format!("{table}: no audit row for more than {limit} s in the hours of business; {newest}");
        let failure = Failure::new("bt08.no_rows", Severity::Critical, summary)
            .caused_by("the application does not log, or its database does not take what it logs")
            .cured_by("see the application's error log; act in the application and look for the row");
        Look::of(vec![failure], "")
    }
}

#[derive(Clone, Debug)]
struct Lines {
    path: PathBuf,
    ident: String,
    quiet: Duration,
}

impl Plan for Lines {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What cannot be read is as if it were not there: then what is there now is old.
        let Kept { place, said } = kept.and_then(|kept| Kept::deserialize(kept).ok()).unwrap_or_default();
        let tail = Tail::new(&self.path, place);
        Box::new(LineWatch { settings: self.clone(), tail, seen: BTreeMap::new(), said, count: 0 })
    }
}

/// What a restart must know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    place: Option<Place>,
    #[serde(default)]
    said: Vec<KeptSaid>,
}

/// What was said of one failure that was not over: which, since when, how often, and the last words.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptSaid(usize, Timestamp, u64, String);

/// What was said of one failure.
struct Said {
    first: Moment,
    last: Moment,
    count: u64,
    text: String,
}

struct LineWatch {
    settings: Lines,
    tail: Tail,
    /// By the place in [`SIGNALS`].
    seen: BTreeMap<usize, Said>,
    /// What was not over when we stopped. Nobody looked meanwhile, so that the quiet begins anew.
    said: Vec<KeptSaid>,
    count: u64,
}

impl Watcher for LineWatch {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        let path = self.settings.path.display().to_string();
        match self.tail.lines() {
            Ok(lines) => self.judge(now, &lines),
            Err(error) => Look::blind(format!("read {path}: {error}"), readable::right(&self.settings.path)),
        }
    }

    fn memory(&self) -> Option<Value> {
        let keep = |(signal, said): (&usize, &Said)| KeptSaid(*signal, said.first.wall, said.count, said.text.clone());
        let said = if self.said.is_empty() { self.seen.iter().map(keep).collect() } else { self.said.clone() };
        // It has no map with keys that are no text, so that nothing can go wrong.
        serde_json::to_value(Kept { place: self.tail.place().cloned(), said }).ok()
    }
}

impl LineWatch {
    fn judge(&mut self, now: Moment, lines: &[String]) -> Look {
        for KeptSaid(signal, first, count, text) in std::mem::take(&mut self.said) {
            if signal < SIGNALS.len() {
                self.seen.insert(signal, Said { first: Moment { wall: first, ..now }, last: now, count, text });
            }
        }
        let Lines { path, ident, quiet } = &self.settings;
        self.count += lines.len() as u64;
        for line in lines {
            let Some((signal, text)) = signal(line, ident) else { continue };
            let text = cut(&one_line(text), TEXT_BYTES_MAX).into_owned();
            let said = self.seen.entry(signal).or_insert(Said { first: now, last: now, count: 0, text: String::new() });
            (said.last, said.count, said.text) = (now, said.count + 1, text);
        }
        self.seen.retain(|_, said| now.since(said.last) < *quiet);
        let failure = |(signal, said): (&usize, &Said)| {
            let (_, id, what) = SIGNALS[*signal];
            Failure::new(id, Severity::Critical, format!("{what}: {} ({})", said.text, path.display()))
                .caused_by(format!("{}: {}", path.display(), said.text))
                .cured_by("mend what the line names; then act in the application and look for the audit record")
                .since(said.first.wall)
                .losing(said.count, "records")
        };
        let failures: Vec<Failure> = self.seen.iter().map(failure).collect();
        if failures.is_empty() && self.tail.place().is_none() {
            return Look::unknown(format!("{} is not there yet", path.display()));
        }
        let quiet = quiet.as_secs();
        Look::of(failures, format!("no such line for {quiet} s or since the start, of {} lines", self.count))
    }
}

/// Which signal a line is, and what it says. It must be the program's own line: a name that somebody types into another
/// program's log is not.
fn signal<'a>(line: &'a str, ident: &str) -> Option<(usize, &'a str)> {
    SIGNALS.iter().enumerate().find_map(|(index, (mark, _, _))| {
        let (before, text) = line.split_once(mark)?;
        let is_own = match mark.starts_with("AUDIT") {
            true => is_tag(before, ident),
            false => is_php(before),
        };
        is_own.then(|| (index, text.trim()))
    })
}

/// Whether a line begins with its time, its host and this program: `Nov 22 08:00:00 web eqmon-audit[812]: `.
fn is_tag(before: &str, ident: &str) -> bool {
    let Some(tag) = before.strip_suffix(": ") else { return false };
    let tag = match tag.strip_suffix(']').and_then(|tag| tag.rsplit_once('[')) {
        Some((tag, pid)) if pid.bytes().all(|byte| byte.is_ascii_digit()) => tag,
        Some(_) => return false,
        None => tag,
    };
    let Some(header) = tag.strip_suffix(ident) else { return false };
    (header.is_empty() || header.ends_with(' ')) && !header.contains(": ")
}

/// Whether a line begins as those of PHP's error log do: `[22-Nov-2026 08:00:00 UTC] `, or as what FPM hands on.
fn is_php(before: &str) -> bool {
    let (before, is_handed_on) = match before.strip_suffix("PHP message: ") {
        Some(before) => (before, true),
        None => (before, false),
    };
    // nginx and Apache write what PHP says on its standard error into their own logs, behind words of theirs.
    let nginx = before.strip_suffix(" FastCGI sent in stderr: \"").filter(|_| is_handed_on);
    if let Some(before) = nginx {
        return before.starts_with(|c: char| c.is_ascii_digit())
            && before.contains(" [error] ")
            && !before.contains('"');
    }
    let before = match before.strip_suffix("AH01071: Got error '") {
        Some(before) if is_handed_on => before,
        _ => before,
    };
    before.is_empty() || is_in_brackets(before)
}

/// Whether a text is only parts in brackets, each with a blank behind it: `[22-Nov-2026 08:00:00 UTC] [php:notice] `.
fn is_in_brackets(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix("] "));
    inner.is_some_and(|inner| inner.split("] [").all(|part| !part.contains(['[', ']'])))
}

#[cfg(test)]
#[path = "bt08/tests.rs"]
mod tests;
