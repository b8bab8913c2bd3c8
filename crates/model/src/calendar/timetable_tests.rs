//! The laws of timetables: data for each field, the days on which clocks are moved, and a walk over minutes as reference.

use super::timetable::Timetable;
use super::{CalendarError, TimeOfDay};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

/// Forward from 02:00 to 03:00 on 29 March 2026, back from 03:00 to 02:00 on 25 October.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// Forward at midnight, as in Beirut, and back at midnight: the hour before it comes twice.
const BEIRUT: &str = "EET-2EEST,M3.5.0/0,M10.5.0/0";
/// Half an hour only.
const LORD_HOWE: &str = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";
const UTC: &str = "UTC0";

fn zone(rule: &str) -> TimeZone {
    TimeZone::posix(rule).unwrap()
}

fn cron(expression: &str, rule: &str) -> Timetable {
    Timetable::cron(expression, zone(rule)).unwrap()
}

fn daily(times: &[&str], rule: &str) -> Timetable {
    let times: Vec<TimeOfDay> = times.iter().map(|time| TimeOfDay::parse(time).unwrap()).collect();
    Timetable::daily(&times, zone(rule)).unwrap()
}

/// The moments after `since`, in order.
#[track_caller]
fn check(timetable: &Timetable, since: &str, expected: &[&str]) {
    let mut at: Timestamp = since.parse().unwrap();
    for expected in expected {
        let next = timetable.next(at).unwrap();
        assert_eq!(next, expected.parse().unwrap(), "after {at} by {}", timetable.text());
        assert_eq!(timetable.last(at, next), Some((next, 1)), "{next}");
        at = next;
    }
}

#[test]
fn a_day_has_its_times_in_order_each_once() {
    let twice = daily(&["18:30", "06:00", "06:00"], UTC);
    check(&twice, "2026-11-22T06:00:00Z", &["2026-11-22T18:30:00Z", "2026-11-23T06:00:00Z", "2026-11-23T18:30:00Z"]);
    assert_eq!(twice.text(), "daily at 06:00, 18:30 (the machine's own time zone)");
    let refused = |times: &[&str]| {
        let times: Vec<_> = times.iter().map(|time| TimeOfDay::parse(time).unwrap()).collect();
        Timetable::daily(&times, TimeZone::UTC).map_err(|CalendarError { what, .. }| what)
    };
    assert_eq!(refused(&[]), Err("names no time".to_owned()));
    assert_eq!(refused(&["24:00"]), Err("found 24:00".to_owned()));
}

#[test]
fn every_field_narrows_and_both_kinds_of_day_widen() {
    check(&cron("*/20 9-10 * * *", UTC), "2026-11-22T09:20:00Z", &["2026-11-22T09:40:00Z", "2026-11-22T10:00:00Z"]);
    check(&cron("5/25 0 * * *", UTC), "2026-11-22T00:00:00Z", &["2026-11-22T00:05:00Z", "2026-11-22T00:30:00Z"]);
    check(&cron("0 0 1,15 jan-mar *", UTC), "2026-03-02T00:00:00Z", &["2026-03-15T00:00:00Z", "2027-01-01T00:00:00Z"]);
    // 22 November 2026 is a Sunday.
    for sunday in ["0 8 * * sun", "0 8 * * 0", "0 8 * * 7", "0 8 * * SUN", "@weekly"] {
        let next = cron(sunday, UTC).next("2026-11-16T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(next.to_string()[..10], *"2026-11-22", "{sunday}");
    }
    check(&cron("0 0 13 * fri", UTC), "2026-11-11T00:00:00Z", &["2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"]);
    check(&cron("0 0 29 2 *", UTC), "2096-03-01T00:00:00Z", &["2104-02-29T00:00:00Z"]);
    check(&cron("0 0 29 2 */7", UTC), "2026-01-01T00:00:00Z", &["2032-02-29T00:00:00Z", "2060-02-29T00:00:00Z"]);
}

#[test]
fn what_is_no_expression_is_told_with_the_field() {
    let cases = [
        ("", "found \"\", which has 0 fields"),
        ("0 0 * * * *", "found \"0 0 * * * *\", which has 6 fields"),
        ("@reboot", "found \"@reboot\", which has 1 fields"),
        ("60 0 * * *", "found \"60\" as the minute, which is from 0 to 59"),
        ("0 24 * * *", "found \"24\" as the hour, which is from 0 to 23"),
        ("0 0 0 * *", "found \"0\" as the day of month, which is from 1 to 31"),
        ("0 0 * foo *", "found \"foo\" as the month, which is from 1 to 12"),
        ("0 0 * * 8", "found \"8\" as the day of week, which is from 0 to 7"),
        ("0 0 * * 5-1", "found \"5-1\" as the day of week, which is from 0 to 7"),
        ("*/0 0 * * *", "found \"*/0\" as the minute, which is from 0 to 59"),
        ("+1 0 * * *", "found \"+1\" as the minute, which is from 0 to 59"),
        ("1, 0 * * *", "found \"1,\" as the minute, which is from 0 to 59"),
        ("0 0 30 2 *", "\"0 0 30 2 *\" means a day that no month has"),
        ("0 0 31 4,6 *", "\"0 0 31 4,6 *\" means a day that no month has"),
    ];
    for (expression, expected) in cases {
        let error = Timetable::cron(expression, TimeZone::UTC).unwrap_err();
        assert_eq!(error.what, expected);
    }
}

#[test]
fn a_time_that_the_clock_leaves_out_is_due_when_it_is_moved() {
    let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    check(&daily(&["02:30"], BERLIN), "2026-03-27T12:00:00Z", &expected);
    check(&cron("30 2 * * *", BERLIN), "2026-03-27T12:00:00Z", &expected);
    // Several of them are one run, and so is one at the end of the gap.
    check(
        &daily(&["02:00", "02:15", "02:45", "03:00"], BERLIN),
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
    );
    // Midnight itself: 00:00 is left out where the clock goes from 00:00 to 01:00.
    check(&daily(&["00:00"], BEIRUT), "2026-03-28T12:00:00Z", &["2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"]);
}

#[test]
fn a_time_that_comes_twice_is_due_the_first_time() {
    check(&daily(&["02:30"], BERLIN), "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    check(&daily(&["23:30"], BEIRUT), "2026-10-24T12:00:00Z", &["2026-10-24T20:30:00Z", "2026-10-25T21:30:00Z"]);
    check(&daily(&["01:45"], LORD_HOWE), "2026-04-04T00:00:00Z", &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]);
}

#[test]
fn a_rhythm_goes_by_the_time_that_passes() {
    check(&cron("30 * * * *", BERLIN), "2026-03-29T00:00:00Z", &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    check(
        &cron("30 * * * *", BERLIN),
        "2026-10-25T00:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
    );
    check(
        &cron("0 * * * *", BEIRUT),
        "2026-10-24T19:30:00Z",
        &["2026-10-24T20:00:00Z", "2026-10-24T21:00:00Z", "2026-10-24T22:00:00Z"],
    );
}

#[test]
fn a_day_has_one_run_however_the_clock_is_moved() {
    for rule in [BERLIN, BEIRUT, LORD_HOWE, UTC] {
        for time in ["00:00", "00:30", "01:45", "02:00", "02:30", "03:00", "23:30"] {
            let since: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
            let (_, count) = daily(&[time], rule).last(since, since + SignedDuration::from_hours(24 * 365)).unwrap();
            assert_eq!(count, 365, "{time} by {rule}");
        }
    }
}

#[test]
fn a_long_downtime_is_counted_up_to_a_bound_and_its_last_time_is_found() {
    let until: Timestamp = "2026-11-22T10:00:30Z".parse().unwrap();
    let since = until - SignedDuration::from_hours(24 * 400);
    assert_eq!(cron("* * * * *", UTC).last(since, until), Some(("2026-11-22T10:00:00Z".parse().unwrap(), 1_000)));
    assert_eq!(cron("0 0 1 1 *", UTC).last(until, until), None);
}

proptest! {
    /// The reference looks at the wall clock of each minute that passes.
    #[test]
    fn a_rhythm_is_what_a_walk_over_the_minutes_finds(
        minutes in proptest::collection::btree_set(0i8..60, 1..4),
        days in proptest::collection::btree_set(1i8..=7, 1..4),
        start in 0i64..365 * 24 * 60,
        rule in proptest::sample::select(vec![BERLIN, BEIRUT, LORD_HOWE, UTC]),
    ) {
        let list = |numbers: &std::collections::BTreeSet<i8>| {
            numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let timetable = cron(&format!("{} * * * {}", list(&minutes), list(&days)), rule);
        let first = 1_767_225_600 / 60 + start;
        let zone = zone(rule);
        let walked = (first + 1..).map(|minute| Timestamp::from_second(minute * 60).unwrap()).find(|moment| {
            let wall = zone.to_datetime(*moment);
            let weekday = wall.weekday().to_monday_one_offset();
            minutes.contains(&wall.minute()) && days.contains(&weekday)
        });
        prop_assert_eq!(timetable.next(Timestamp::from_second(first * 60).unwrap()), walked);
    }
}
