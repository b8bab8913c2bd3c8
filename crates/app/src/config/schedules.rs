//! The mapping `runs.schedules`: commands that are started by a timetable, and what is taken from them. Starts nothing.

use super::named::{Named, items_of, read_named, report, report_own_source, text_of};
use balefire_engine::schedule::{Overlap, Rules};
use balefire_model::calendar::{CalendarError, TimeOfDay, Timetable};
use balefire_model::settings::{Node, Reader, Shape, Value};
use balefire_model::text::Secret;
use jiff::tz::TimeZone;
use std::path::PathBuf;
use std::time::Duration;

/// A command and when it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Its name, and the source of its records.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Where it runs; in our own directory if not set.
    pub(crate) directory: Option<PathBuf>,
    /// Variables that it gets.
    pub(crate) env: Vec<(String, Secret)>,
    /// Variables of ours that it gets, too.
    pub(crate) env_from: Vec<String>,
    /// When it is started.
    pub(crate) rules: Rules,
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// What is taken from it.
    pub(crate) records: Records,
}

/// Where a command leaves its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    /// It sends them itself, if it has any.
    None,
    /// On its standard output, one JSON object a line.
    Stdout,
    /// In `.json` files of this directory, which are read when it has ended.
    Files(PathBuf),
}

const ZONE_FORM: &str =
    "a time zone that this machine knows (see /usr/share/zoneinfo), such as Europe/Berlin; UTC; Local";
const RECORDS_FORM: &str = "`none`, `stdout`, or `{files: DIRECTORY}` with the path of one directory";
/// [`TimeOfDay::FORM`] without the end of the day, at which nothing is started.
const TIME_FORM: &str = "HH:MM from 00:00 to 23:59, two digits each, such as \"09:00\"";

/// Reads `schedules`; `local` is the machine's own zone.
pub(super) fn read_schedules(reader: &Reader<'_>, local: &TimeZone) -> Vec<Schedule> {
    let doc = "Commands that are started by a timetable, such as `cloudmarker -n`: a name of your own, which is the source \
               of their records. See docs/schedules.md.";
    let describe = |sample: &Reader<'_>| drop(read_schedule(sample, String::new(), local));
    let schedules = read_named(reader, "schedules", doc, describe, |Named { key, reader }| {
        report_own_source(reader.session(), key, "runs.schedules");
        let schedule = read_schedule(&reader, key.name.clone(), local);
        reader.finish();
        schedule
    });
    schedules.into_iter().flatten().collect()
}

/// `None` where what is wrong was reported.
fn read_schedule(reader: &Reader<'_>, name: String, local: &TimeZone) -> Option<Schedule> {
    let command = reader.command("a list such as [cloudmarker, -n]");
    let doc = "The directory in which the command runs; that of Balefire if not set.";
    let directory = reader.text("cwd", doc).optional();
    if directory.as_deref().is_some_and(|path| !is_path(path)) {
        reader.reject("cwd", "is no path of a directory", "a path such as /srv/audit");
    }
    let directory = directory.map(PathBuf::from);
    let doc = "Variables of the command. Of ours it gets PATH, HOME and LANG, those of `env_from`, and no others.";
    let env = reader.variables(doc);
    let doc = "Names of variables that the command gets with the values that they have for Balefire.";
    let env_from = reader.variable_names("env_from", doc);
    let timetable = read_timetable(reader, local);
    let doc = "How late a run may begin that could not begin in time because Balefire was down: within this time it begins \
               once, however many were missed; later it is told as missed. `0s` for never.";
    let catch_up = reader.duration("catch_up", doc).default_shown(Duration::from_secs(6 * 3600), "6h");
    let policies = [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("kill-previous", Overlap::KillPrevious)];
    let doc = "What happens where a run is due while the one before still runs: it is left out, or waits for its end, or \
               ends it. Each is told.";
    let overlap = reader.one_of("overlap", doc, &policies).default_shown(Overlap::Skip, "skip");
    let doc = "How long the command may run; then it is ended with everything that it started.";
    let timeout = reader.duration("timeout", doc).default_shown(Duration::from_secs(12 * 3600), "12h");
    if timeout.is_zero() {
        reader.reject("timeout", "found 0", "more than nothing");
    }
    let records = read_records(reader);
    let rules = Rules { timetable: timetable?, catch_up, overlap };
    Some(Schedule { name, command, directory, env, env_from, rules, timeout, records })
}

fn is_path(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

/// `None` where it was reported.
fn read_timetable(reader: &Reader<'_>, local: &TimeZone) -> Option<Timetable> {
    let doc = "One or more times of day, such as \"00:00\": the command is started daily.";
    let daily = reader.texts("at", doc).optional().is_some();
    let doc = "In place of `at`: five fields as in crontab, minute hour day-of-month month day-of-week, such as \
               `30 2 * * mon-fri`, or `@hourly`, `@daily`, `@weekly`, `@monthly`.";
    let cron = reader.text("cron", doc).optional();
    let doc = "The clock by which `at` and `cron` go: a name such as `Europe/Berlin`, `UTC`, or `Local` for the machine's \
               own.";
    let zone = reader.parsed("timezone", doc, ZONE_FORM, |name| match name {
        "Local" => Some(local.clone()),
        name => TimeZone::get(name).ok(),
    });
    let zone = zone.default_shown(local.clone(), "Local");
    if reader.is_describing() {
        return None;
    }
    match (daily, cron) {
        (true, None) => read_daily(reader, zone),
        (false, Some(expression)) => match Timetable::cron(&expression, zone) {
            Ok(timetable) => Some(timetable),
            Err(CalendarError { what, allowed }) => {
                reader.reject("cron", what, allowed);
                None
            }
        },
        (true, Some(_)) => {
            reader.reject("cron", "stands beside `at`", "one of `at` and `cron`");
            None
        }
        (false, None) => {
            reader.reject("at", "nothing says when the command is started", "one of `at` and `cron`");
            None
        }
    }
}

fn read_daily(reader: &Reader<'_>, zone: TimeZone) -> Option<Timetable> {
    let mut times = Vec::new();
    for node in items_of(reader, "at") {
        match text_of(node).and_then(TimeOfDay::parse) {
            Some(time) => times.push(time),
            None => {
                let found = text_of(node).unwrap_or("something else");
                let what = format!("found {:?}", balefire_model::text::cut(found, 80));
                report(reader.session(), node, &reader.path_of("at"), what, TIME_FORM);
            }
        }
    }
    match Timetable::daily(&times, zone) {
        Ok(timetable) => Some(timetable),
        // A time that is none has been told; that none is left is not another mistake.
        Err(_) if times.len() < items_of(reader, "at").len() => None,
        Err(CalendarError { what, allowed }) => {
            reader.reject("at", what, allowed);
            None
        }
    }
}

fn read_records(reader: &Reader<'_>) -> Records {
    let doc = "The records that are taken: `none`, where the command sends them itself; `stdout`, one JSON object a line; \
               `{files: DIRECTORY}`, the `.json` files that the command has written there, when it has ended. What names \
               no run becomes part of one, with marks at its begin and end.";
    let records = reader.field("records", doc, Shape::Any, |node| match &node.value {
        Value::Scalar { text, .. } if text == "none" => Ok(Records::None),
        Value::Scalar { text, .. } if text == "stdout" => Ok(Records::Stdout),
        Value::Map(entries) => match &entries[..] {
            [(key, Node { value: Value::Scalar { text, .. }, .. })] if key.name == "files" && is_path(text) => {
                Ok(Records::Files(PathBuf::from(text)))
            }
            _ => Err(RECORDS_FORM.to_owned()),
        },
        _ => Err(RECORDS_FORM.to_owned()),
    });
    records.default_shown(Records::None, "none")
}
