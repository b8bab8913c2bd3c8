//! The list `time_intervals`, and which of them a route names. Parses ranges and reports where they are wrong; whether a
//! moment lies in an interval is not its business.

use super::Config;
use super::findings::Finding;
use super::named::{NAME_FORM, is_name, report, report_repeated, report_unknown, texts_of};
use balefire_model::calendar::{
    CalendarError, DayRange, Interval, MonthRange, TimeInterval, TimeOfDay, TimeRange, WeekdayRange, YearRange,
};
use balefire_model::settings::{Node, Place, Reader, Value};
use balefire_model::text;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// The parts of an interval; at least one of them must be set.
const PARTS: [&str; 5] = ["times", "weekdays", "days_of_month", "months", "years"];

/// A time interval and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct ConfiguredInterval {
    /// It, with its name.
    pub(crate) interval: Arc<TimeInterval>,
    /// Where it begins.
    pub(crate) place: Place,
}

/// Reads `time_intervals`; `local` is the machine's own zone.
pub(crate) fn read_intervals(reader: &Reader<'_>, local: &TimeZone) -> Vec<ConfiguredInterval> {
    let doc = "Named sets of moments, such as office hours, for `active_time_intervals` and `mute_time_intervals` of \
               routes; as in Alertmanager.";
    let intervals = reader.sections("time_intervals", doc, |reader| read_named(reader, local));
    report_repeated(reader, "time_intervals", "time interval");
    intervals.optional().unwrap_or_default()
}

fn read_named(reader: &Reader<'_>, local: &TimeZone) -> ConfiguredInterval {
    let doc = "Its name, as routes and `balefire why` call it.";
    let name = reader.parsed("name", doc, NAME_FORM, |name| is_name(name).then(|| name.to_owned()));
    let name = name.required(String::new());
    let doc = "A moment lies in the time interval where it lies in one of these; in each, every part that is set must \
               hold, and at least one part must be set.";
    let intervals = reader.sections("intervals", doc, |reader| read_interval(reader, local)).required(Vec::new());
    report_empty(reader, "intervals");
    ConfiguredInterval { interval: Arc::new(TimeInterval { name, intervals }), place: reader.place().clone() }
}

fn read_interval(reader: &Reader<'_>, local: &TimeZone) -> Interval {
    let doc = "Times of day, on the clock of the location.";
    let times = reader.sections("times", doc, read_times).optional().unwrap_or_default();
    let doc = "Weekdays, such as `saturday` or `monday:friday`; weeks begin on sunday.";
    let weekdays = read_ranges(reader, "weekdays", doc, WeekdayRange::parse);
    let doc = "Days of the month from 1 to 31, or from its end from -1 to -31, such as `15`, `1:7` or `-3:-1`; days that \
               a month does not have are left out.";
    let days_of_month = read_ranges(reader, "days_of_month", doc, DayRange::parse);
    let doc = "Months by name or number, such as `december` or `1:3`.";
    let months = read_ranges(reader, "months", doc, MonthRange::parse);
    let years = read_ranges(reader, "years", "Years, such as `2026` or `2026:2027`.", YearRange::parse);
    let form = "a time zone that this machine knows (see /usr/share/zoneinfo), such as Europe/Berlin; UTC; Local";
    let doc = "The time zone of the clock: a name such as `Europe/Berlin`, `UTC`, or `Local` for the machine's own. An \
               hour that comes twice when clocks are set back counts both times.";
    let zone = reader.parsed("location", doc, form, |name| match name {
        "Local" => Some(local.clone()),
        name => TimeZone::get(name).ok(),
    });
    let zone = zone.default_shown(TimeZone::UTC, "UTC");
    for part in PARTS {
        report_empty(reader, part);
    }
    let is_set = |part: &&str| reader.node(part).is_some_and(|node| node.value != Value::Null);
    if !PARTS.iter().any(is_set) {
        let what = "no part is set, so that every moment would lie in it";
        let allowed = "at least one of times, weekdays, days_of_month, months, years; for every moment \
                       times: [{start_time: \"00:00\", end_time: \"24:00\"}]";
        reader.reject("times", what, allowed);
    }
    Interval { times: times.into_iter().flatten().collect(), weekdays, days_of_month, months, years, zone }
}

/// A part without a range: in Alertmanager it would hold never, and nobody writes it to say so.
fn report_empty(reader: &Reader<'_>, part: &'static str) {
    if matches!(reader.node(part), Some(Node { value: Value::List(items), .. }) if items.is_empty()) {
        reader.reject(part, "is empty", "at least one entry, or leave it out");
    }
}

/// `None` where it was reported.
fn read_times(reader: &Reader<'_>) -> Option<TimeRange> {
    let time = |text: &str| TimeOfDay::parse(text).map(Some);
    let doc = "The first minute that lies in it.";
    let start = reader.parsed("start_time", doc, TimeOfDay::FORM, time).required(None);
    let doc = "The first minute after it; `24:00` is the end of the day.";
    let end = reader.parsed("end_time", doc, TimeOfDay::FORM, time).required(None);
    match TimeRange::new(start?, end?) {
        Ok(range) => Some(range),
        Err(CalendarError { what, allowed }) => {
            reader.reject("end_time", what, allowed);
            None
        }
    }
}

fn read_ranges<R>(
    reader: &Reader<'_>,
    name: &'static str,
    doc: &'static str,
    parse: impl Fn(&str) -> Result<R, CalendarError>,
) -> Vec<R> {
    // That some item is no text is reported here, and that it is no range below.
    reader.texts(name, doc).optional();
    let mut ranges = Vec::new();
    for (node, text) in texts_of(reader, name) {
        match parse(text) {
            Ok(range) => ranges.push(range),
            Err(CalendarError { what, allowed }) => {
                report(reader.session(), node, &reader.path_of(name), what, allowed);
            }
        }
    }
    ranges
}

/// The intervals that a route names in `setting`.
pub(super) fn read_interval_names(
    reader: &Reader<'_>,
    setting: &'static str,
    doc: &'static str,
    intervals: &[ConfiguredInterval],
) -> Vec<Arc<TimeInterval>> {
    reader.texts(setting, doc).optional();
    let mut named = Vec::new();
    for (node, name) in texts_of(reader, setting) {
        match intervals.iter().find(|known| known.interval.name == name) {
            Some(known) => named.push(known.interval.clone()),
            None => {
                let what = format!("there is no time interval {:?}", text::cut(name, 80));
                let known = intervals.iter().map(|known| known.interval.name.clone());
                // A name that was no good has been reported, and is empty here.
                let mut known: Vec<String> = known.filter(|name| !name.is_empty()).collect();
                known.dedup();
                report_unknown(reader.session(), node, &reader.path_of(setting), what, &known);
            }
        }
    }
    report_empty(reader, setting);
    named
}

/// The intervals that nothing names.
pub(super) fn unused(config: &Config) -> Vec<Finding> {
    let named = |name: &str| {
        let routes = config.routing.routes.iter().flat_map(|route| route.active.iter().chain(&route.mute));
        routes.chain(&config.internal_scan.windows).any(|interval| interval.name == name)
    };
    let unused = config.intervals.iter().filter(|configured| !named(&configured.interval.name));
    let found = |ConfiguredInterval { interval, place }: &ConfiguredInterval| Finding {
        code: "interval-unused",
        subject: interval.name.clone(),
        text: "no route names this time interval in `active_time_intervals` or `mute_time_intervals`, nor does \
               `internal_scan`"
            .to_owned(),
        place: Some(place.clone()),
    };
    unused.map(found).collect()
}
