//! The kind `source`: whether those who send events still do. Reads the list of what is expected; how silence is judged
//! stands in the files beside, one for each way: a heartbeat, a timetable, a cadence that was learned.

mod beat;
pub(crate) mod cadence;
mod learned;
mod pulse;
mod slot;
mod strangers;

pub use pulse::{Pulse, Sign};

use crate::watcher::{Kind, Plan, Watched};
use balefire_model::Severity;
use balefire_model::calendar::Timetable;
use balefire_model::settings::{Node, Reader, Value};
use cadence::Bounds;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "source", read };

/// What Balefire itself tells comes from this source; nobody expects it.
const OWN: &str = "balefire";

/// A heartbeat or a timetable is looked at so often.
const EVERY: Duration = Duration::from_secs(1);
/// A learned cadence counts in minutes at the least.
const EVERY_LEARNED: Duration = Duration::from_secs(10);

/// Whoever has not looked for so long has slept, and accuses nobody of its own sleep.
pub(crate) const ASLEEP: Duration = Duration::from_secs(90);

const ZONE_FORM: &str = "a time zone that this machine knows (see /usr/share/zoneinfo), such as Europe/Berlin; UTC";

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let named: Arc<[String]> = named(reader).into();
    let doc = "Sources that are expected to send: the name of a token or an input. What is said of one by `schedule` counts \
               before `heartbeat`, and both before `learned`.";
    let found = reader.sections("source", doc, |reader| read_one(reader, &named)).optional().unwrap_or_default();
    let watched: Vec<Watched> = found.into_iter().flatten().collect();
    for (index, one) in watched.iter().enumerate() {
        if watched[..index].iter().any(|other| other.name == one.name) {
            reader.reject("source", format!("{} stands there twice", one.target), "each id and each match once");
        }
    }
    watched
}

/// The sources that the list names one by one: no pattern is about them.
fn named(reader: &Reader<'_>) -> Vec<String> {
    let Some(Node { value: Value::List(items), .. }) = reader.node("source") else { return Vec::new() };
    let id = |item: &Node| match item.get("id").map(|node| &node.value) {
        Some(Value::Scalar { text, .. }) => Some(text.clone()),
        _ => None,
    };
    items.iter().filter_map(id).collect()
}

/// `None` where what is wrong was reported.
fn read_one(reader: &Reader<'_>, named: &Arc<[String]>) -> Option<Watched> {
    let id = reader.text("id", "One source: the name of a token or an input.").optional();
    let doc = "Sources by a pattern, where `*` stands for anything: all that were heard and that no `id` names.";
    let pattern = reader.text("match", doc).optional();
    let doc = "It sends at least so often: an event of any kind, such as `balefire send` from a timer.";
    let beat = reader.section("heartbeat", doc, read_beat).optional();
    let doc = "It sends by a timetable: a job that tells when it runs.";
    let slot = reader.section("schedule", doc, read_slot).optional().flatten();
    let doc = "How often it sends was learned, by the hour of the week.";
    let learned = reader.section("learned", doc, read_learned).optional();
    let doc =
        "`false`: whoever matches and is named by no other entry is not expected, and is told as `source.unknown`.";
    let is_expected = reader.bool("expected", doc).default(true);
    let doc = "How bad its silence is: `high` if not set, and `medium` where the cadence was learned.";
    let severity = reader.parsed("severity", doc, Severity::ALLOWED, Severity::parse).optional();
    let doc = "Sources that match and are not expected any more.";
    let except = reader.texts("except", doc).optional().unwrap_or_default();
    let waits_for = reader.node("schedule").is_some();
    let plan: (Arc<dyn Plan>, Duration) = match (&id, &pattern, beat, waits_for, learned, is_expected) {
        (Some(id), None, Some((every, grace)), false, None, true) => {
            let severity = severity.unwrap_or(Severity::High);
            (Arc::new(beat::Settings { id: id.clone(), every, grace, severity }), EVERY)
        }
        (Some(id), None, None, true, None, true) => {
            let severity = severity.unwrap_or(Severity::High);
            let settings = slot?;
            (Arc::new(slot::Settings { id: id.clone(), severity, ..settings }), EVERY)
        }
        (None, Some(pattern), None, false, None, false) => {
            let severity = severity.unwrap_or(Severity::Medium);
            let named = named.clone();
            (Arc::new(strangers::Settings { pattern: pattern.clone(), except, named, severity }), EVERY_LEARNED)
        }
        (Some(own), None, None, false, Some(settings), true) | (None, Some(own), None, false, Some(settings), true) => {
            let severity = severity.unwrap_or(Severity::Medium);
            let named = if id.is_some() { Arc::default() } else { named.clone() };
            (Arc::new(learned::Settings { pattern: own.clone(), except, named, severity, ..settings }), EVERY_LEARNED)
        }
        _ => {
            let allowed = "`id` and one of heartbeat, schedule, learned; or `match` and `learned`; or `match` and \
                           `expected: false`";
            reader.reject("id", "the entry does not say whom to expect and how", allowed);
            return None;
        }
    };
    let target = id.or(pattern).unwrap_or_default();
    let name = if is_expected { format!("source:{target}") } else { format!("source:unknown:{target}") };
    Some(Watched { name, kind: KIND.key, target, every: plan.1, under: Vec::new(), plan: plan.0 })
}

fn read_beat(reader: &Reader<'_>) -> (Duration, Duration) {
    let every = reader.duration("every", "How often it sends.").default_shown(Duration::from_secs(60), "60s");
    let doc = "How much later it may be.";
    let grace = reader.duration("grace", doc).default_shown(Duration::from_secs(30), "30s");
    if every.is_zero() {
        reader.reject("every", "found 0", "more than nothing");
    }
    (every, grace)
}

/// `None` where what is wrong was reported. Whose it is, the caller knows.
fn read_slot(reader: &Reader<'_>) -> Option<slot::Settings> {
    let doc = "When it runs: five fields as in crontab, such as `0 2 * * *`, or `@daily`.";
    let cron = reader.text("cron", doc).required(String::new());
    let doc = "The clock by which it runs.";
    let zone = reader.parsed("tz", doc, ZONE_FORM, |name| TimeZone::get(name).ok()).default_shown(TimeZone::UTC, "UTC");
    let doc = "How late its event may be; then it is told as `source.late`. Where the job tells only its end, this is as long \
               as it may run.";
    let start_grace = reader.duration("start_grace", doc).default_shown(Duration::from_secs(600), "10m");
    let doc = "How long it may run beyond that: then it counts as missed, with the entry's own severity. Where the job tells that \
               it begins, how long that run may take.";
    let run_max = reader.duration("run_max", doc).default_shown(Duration::from_secs(4 * 3600), "4h");
    let doc = "How much too early an event may be and still count.";
    let early_tolerance = reader.duration("early_tolerance", doc).default_shown(Duration::from_secs(300), "5m");
    if reader.is_describing() || cron.is_empty() {
        return None;
    }
    match Timetable::cron(&cron, zone) {
        Ok(timetable) => Some(slot::Settings {
            id: String::new(),
            timetable,
            start_grace,
            run_max,
            early_tolerance,
            severity: Severity::High,
        }),
        Err(error) => {
            reader.reject("cron", error.what, error.allowed);
            None
        }
    }
}

/// Whose it is, the caller knows.
fn read_learned(reader: &Reader<'_>) -> learned::Settings {
    let (bounds, zone) = read_bounds(reader);
    learned::Settings {
        pattern: String::new(),
        except: Vec::new(),
        named: Arc::default(),
        severity: Severity::Medium,
        bounds,
        zone,
    }
}

/// How a cadence is learned where nothing is set.
pub(crate) fn usual_bounds() -> (Bounds, TimeZone) {
    let (min, floor, cap) = (Duration::from_secs(14 * 86_400), Duration::from_secs(300), Duration::from_secs(86_400));
    (Bounds { min, floor, cap }, TimeZone::UTC)
}

/// How a cadence is learned, of sources and of files.
pub(crate) fn read_bounds(reader: &Reader<'_>) -> (Bounds, TimeZone) {
    let doc = "How many days are listened to before a silence is judged.";
    let (usual, utc) = usual_bounds();
    let min_days = reader.integer("min_days", doc, 1, 365).default(14);
    let doc = "No silence that is shorter is told.";
    let floor = reader.duration("floor", doc).default_shown(usual.floor, "5m");
    let doc = "A silence that is longer is told, unless one was learned that was two thirds of it.";
    let cap = reader.duration("cap", doc).default_shown(usual.cap, "24h");
    let doc = "The clock by which the hours of the week are told apart: that of the people behind the sources.";
    let zone = reader.parsed("tz", doc, ZONE_FORM, |name| TimeZone::get(name).ok()).default_shown(utc, "UTC");
    let min = Duration::from_secs(u64::try_from(min_days).unwrap_or(14) * 86_400);
    (Bounds { min, floor, cap }, zone)
}

/// The hour of the week, from Monday's first, that a clock shows.
pub(crate) fn hour_of_week(zone: &TimeZone, wall: Timestamp) -> usize {
    let wall = zone.to_datetime(wall);
    let day = usize::try_from(wall.date().weekday().to_monday_zero_offset()).unwrap_or(0);
    (day * 24 + usize::try_from(wall.hour()).unwrap_or(0)).min(cadence::HOURS - 1)
}

/// Whether a name fits a pattern in which `*` stands for anything.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// A span of time for people: its two largest units.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, does_fit) in [
            ("*", "", true),
            ("syslog-*", "syslog-1", true),
            ("syslog-*", "my-syslog-1", false),
            ("*-fw", "a-fw", true),
            ("*-fw", "a-fw-2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("fw-01", "fw-01", true),
            ("fw-01", "fw-010", false),
        ] {
            assert_eq!(fits(pattern, name), does_fit, "{pattern} {name}");
        }
    }
}
