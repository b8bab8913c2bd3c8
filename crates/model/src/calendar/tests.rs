//! The laws of calendars: data for each part, and a naive calendar that counts minutes as the reference.

use super::*;
use proptest::prelude::*;

/// Germany's rule: the clock goes from 02:00 to 03:00 on the last Sunday of March, and back on that of October.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// The far ends of the map.
const AUCKLAND: &str = "NZST-12NZDT,M9.5.0,M4.1.0/3";
const LOS_ANGELES: &str = "PST8PDT,M3.2.0,M11.1.0";
const KOLKATA: &str = "IST-5:30";
const UTC: &str = "UTC0";

fn zone(rule: &str) -> TimeZone {
    TimeZone::posix(rule).unwrap()
}

fn hours(start: &str, end: &str) -> Result<TimeRange, CalendarError> {
    TimeRange::new(TimeOfDay::parse(start).unwrap(), TimeOfDay::parse(end).unwrap())
}

/// Of parts such as `times 09:00-17:00; weekdays monday:friday,sunday; zone CET-1`.
fn interval(rule: &str, parts: &str) -> Interval {
    let mut interval = Interval::always(zone(rule));
    for part in parts.split("; ").filter(|part| !part.is_empty()) {
        let (name, ranges) = part.split_once(' ').unwrap();
        for range in ranges.split(',') {
            match name {
                "times" => {
                    let (start, end) = range.split_once('-').unwrap();
                    interval.times.push(hours(start, end).unwrap());
                }
                "weekdays" => interval.weekdays.push(WeekdayRange::parse(range).unwrap()),
                "days" => interval.days_of_month.push(DayRange::parse(range).unwrap()),
                "months" => interval.months.push(MonthRange::parse(range).unwrap()),
                "years" => interval.years.push(YearRange::parse(range).unwrap()),
                other => panic!("{other} is no part"),
            }
        }
    }
    interval
}

#[track_caller]
fn check(rule: &str, parts: &str, inside: &[&str], outside: &[&str]) {
    let interval = interval(rule, parts);
    for (moments, expected) in [(inside, true), (outside, false)] {
        for moment in moments {
            assert_eq!(interval.contains(moment.parse().unwrap()), expected, "{moment} in {parts} by {rule}");
        }
    }
}

#[test]
fn an_interval_without_parts_holds_every_moment() {
    check(UTC, "", &["1901-01-01T00:00:00Z", "2026-11-22T12:00:00Z", "9000-12-31T23:59:59Z"], &[]);
}

#[test]
fn a_start_is_in_and_an_end_is_not_and_the_day_ends_at_24() {
    let inside = ["2026-11-23T09:00:00Z", "2026-11-23T16:59:59.999Z", "2026-11-22T22:00:00Z", "2026-11-22T23:59:59Z"];
    let outside = ["2026-11-23T08:59:59.999Z", "2026-11-23T17:00:00Z", "2026-11-23T00:00:00Z"];
    check(UTC, "times 09:00-17:00,22:00-24:00", &inside, &outside);
    check(UTC, "times 00:00-00:01", &["2026-11-23T00:00:59Z"], &["2026-11-22T23:59:59Z", "2026-11-23T00:01:00Z"]);
    check(UTC, "times 00:00-24:00", &["2026-11-23T00:00:00Z", "2026-11-23T23:59:59Z"], &[]);
}

#[test]
fn weekdays_are_inclusive_and_weeks_begin_on_sunday() {
    let week = ["22", "23", "24", "25", "26", "27", "28"].map(|day| format!("2026-11-{day}T12:00:00Z"));
    let week: Vec<&str> = week.iter().map(String::as_str).collect();
    check(UTC, "weekdays monday:friday", &week[1..6], &[week[0], week[6]]);
    check(UTC, "weekdays sunday:saturday", &week, &[]);
    check(UTC, "weekdays SATURDAY,Sunday", &[week[0], week[6]], &week[1..6]);
}

#[test]
fn days_of_the_month_count_from_both_ends_of_the_month_that_it_is() {
    let check = |parts: &str, inside: &[&str], outside: &[&str]| {
        let interval = interval(UTC, parts);
        for (day, expected) in inside.iter().map(|day| (day, true)).chain(outside.iter().map(|day| (day, false))) {
            let noon = format!("{day}T12:00:00Z").parse().unwrap();
            assert_eq!(interval.contains(noon), expected, "{day} in {parts}");
        }
    };
    check("days 1:5", &["2026-11-01", "2026-11-05"], &["2026-10-31", "2026-11-06"]);
    check("days -3:-1", &["2026-02-26", "2026-02-28", "2028-02-27", "2028-02-29"], &["2026-02-25", "2028-02-26"]);
    check("days -1", &["2026-04-30", "2026-05-31", "2028-02-29", "2100-02-28"], &["2026-05-30", "2028-02-28"]);
    check("days 29", &["2028-02-29", "2026-01-29"], &["2028-02-28", "2028-03-01", "2026-02-28", "2026-03-01"]);
    check("days 31", &["2026-10-31"], &["2026-11-30", "2026-12-01"]);
    check("days 30:31", &["2026-11-30", "2026-10-31"], &["2026-02-28", "2026-03-01", "2026-11-01"]);
    check("days -31:-1", &["2026-02-01", "2026-02-28", "2026-10-01", "2026-10-31"], &[]);
    check("days -31", &["2026-10-01"], &["2026-11-01", "2026-02-01", "2026-10-31"]);
    check("days 25:-1", &["2026-02-25", "2026-02-28", "2026-10-31"], &["2026-02-24", "2026-03-01"]);
    check("days 31:-1", &["2026-10-31"], &["2026-11-30", "2026-02-28"]);
    check("days 15:-15", &["2026-10-15", "2026-10-17", "2026-11-16"], &["2026-10-18", "2026-02-14", "2026-02-15"]);
}

#[test]
fn months_and_years_are_inclusive() {
    let march = ["2026-01-01T00:00:00Z", "2027-03-31T23:59:59Z", "2026-05-15T00:00:00Z"];
    let others = ["2025-12-31T23:59:59Z", "2026-04-01T00:00:00Z", "2026-06-01T00:00:00Z", "2028-01-01T00:00:00Z"];
    check(UTC, "months january:march,5; years 2026:2027", &march, &others);
    check(UTC, "months November:12", &["2026-11-01T00:00:00Z", "2026-12-31T00:00:00Z"], &["2026-10-31T23:00:00Z"]);
}

#[test]
fn every_part_must_hold() {
    let parts = "times 09:00-17:00; weekdays monday:friday; days 20:-1; months november; years 2026";
    let outside = [
        "2026-11-23T08:00:00Z",
        "2026-11-22T12:00:00Z",
        "2026-11-19T12:00:00Z",
        "2026-10-23T12:00:00Z",
        "2027-11-23T12:00:00Z",
    ];
    check(UTC, parts, &["2026-11-23T12:00:00Z"], &outside);
}

#[test]
fn the_clock_is_that_of_the_zone() {
    let midnight = "times 00:00-00:30; days 1; months january";
    check(UTC, midnight, &["2027-01-01T00:10:00Z"], &["2026-12-31T23:10:00Z"]);
    check(BERLIN, midnight, &["2026-12-31T23:10:00Z"], &["2027-01-01T00:10:00Z"]);
    check(KOLKATA, midnight, &["2026-12-31T18:30:00Z", "2026-12-31T18:59:59Z"], &["2026-12-31T19:00:00Z"]);
    check(AUCKLAND, midnight, &["2026-12-31T11:10:00Z"], &["2026-12-31T12:10:00Z"]);
    check(LOS_ANGELES, midnight, &["2027-01-01T08:10:00Z"], &["2027-01-01T07:10:00Z"]);
    check(AUCKLAND, "weekdays monday", &["2026-11-22T11:00:00Z", "2026-11-23T10:59:59Z"], &["2026-11-23T11:00:00Z"]);
    check(LOS_ANGELES, "days -1", &["2026-12-01T07:59:59Z"], &["2026-12-01T08:00:00Z"]);
}

#[test]
fn an_hour_that_is_left_out_never_comes_and_one_that_comes_twice_is_in_both_times() {
    // 2026-03-29: after 01:59:59 CET comes 03:00:00 CEST.
    let around = ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:59:59Z"];
    check(BERLIN, "times 02:00-03:00; days 29", &[], &around);
    check(BERLIN, "times 03:00-04:00", &around[1..], &[around[0], "2026-03-29T02:00:00Z"]);
    // 2026-10-25: after 02:59:59 CEST comes 02:00:00 CET.
    let twice = ["2026-10-25T00:00:00Z", "2026-10-25T00:59:59Z", "2026-10-25T01:00:00Z", "2026-10-25T01:59:59Z"];
    check(BERLIN, "times 02:00-03:00", &twice, &["2026-10-24T23:59:59Z", "2026-10-25T02:00:00Z"]);
    // Office hours begin at nine on the wall, whatever UTC says.
    let office = ["2026-03-27T08:00:00Z", "2026-03-30T07:00:00Z", "2026-10-26T08:00:00Z"];
    check(BERLIN, "times 09:00-17:00", &office, &["2026-03-27T07:59:59Z", "2026-03-30T06:59:59Z"]);
}

#[test]
fn a_named_interval_holds_what_any_of_its_parts_holds() {
    let intervals = vec![interval(UTC, "weekdays saturday:saturday"), interval(BERLIN, "times 20:00-24:00")];
    let named = TimeInterval { name: "off".to_owned(), intervals };
    let contains = |at: &str| named.contains(at.parse().unwrap());
    assert!(contains("2026-11-21T12:00:00Z") && contains("2026-11-23T19:00:00Z"));
    assert!(!contains("2026-11-23T18:59:00Z") && !contains("2026-11-22T00:00:00Z"));
}

/// The error's text, or what was read.
fn told<R: std::fmt::Debug>(result: Result<R, CalendarError>) -> String {
    result.map_or_else(|error| error.to_string(), |range| format!("{range:?}"))
}

#[test]
fn what_is_no_range_says_what_is_allowed() {
    for wrong in ["9:00", "24:01", "09:60", "25:00", "", "+9:00", "09:000", "0900", "09.00", "é9:00"] {
        assert_eq!(TimeOfDay::parse(wrong), None, "{wrong}");
    }
    for (start, end) in [("22:00", "06:00"), ("09:00", "09:00"), ("24:00", "24:00")] {
        let told = told(hours(start, end));
        assert!(told.starts_with(&format!("\"{start} to {end}\" ends before it begins; allowed: ")), "{told}");
        assert!(told.contains("22:00 to 24:00 and 00:00 to 06:00"), "{told}");
    }
    for wrong in ["mondy", "1", "monday:", ":", "", "monday:tuesday:friday", "monday - friday"] {
        let told = told(WeekdayRange::parse(wrong));
        assert!(told.starts_with(&format!("found {wrong:?}; allowed: a weekday from sunday to saturday")), "{told}");
    }
    assert!(told(WeekdayRange::parse("friday:monday")).contains("friday:saturday and sunday:monday"));
    for wrong in ["0", "32", "-32", "1:0", "monday", "1:5:7", "1-5", "99999"] {
        assert!(told(DayRange::parse(wrong)).starts_with(&format!("found {wrong:?}; allowed: a day of the month")));
    }
    for wrong in ["5:1", "-1:-3", "-3:1", "20:-20"] {
        let told = told(DayRange::parse(wrong));
        assert!(told.starts_with(&format!("{wrong:?} ends before it begins; allowed: ")), "{told}");
    }
    for wrong in ["jan", "0", "13", "-1", "march:13"] {
        assert!(told(MonthRange::parse(wrong)).starts_with(&format!("found {wrong:?}; allowed: a month as its name")));
    }
    assert!(told(MonthRange::parse("november:february")).contains("november:december and january:february"));
    for wrong in ["0", "10000", "next", "2026-2027"] {
        assert!(told(YearRange::parse(wrong)).starts_with(&format!("found {wrong:?}; allowed: a year from 1 to 9999")));
    }
    assert!(told(YearRange::parse("2027:2026")).starts_with("\"2027:2026\" ends before it begins"));
    let long = told(YearRange::parse(&"x".repeat(100_000)));
    assert!(long.len() < 300, "{}", long.len());
}

/// What a clock shows, by counting.
struct Wall {
    year: i64,
    month: i64,
    day: i64,
    month_days: i64,
    weekday: i64,
    minute: i64,
}

fn month_days(year: i64, month: i64) -> i64 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

impl Wall {
    /// After so many minutes from 1970-01-01T00:00 on the same clock; 1970 began on a Thursday.
    fn after(minutes: i64) -> Wall {
        let (mut year, mut month, mut days) = (1970, 1, minutes / 1440);
        let weekday = (4 + days) % 7;
        while days >= month_days(year, month) {
            days -= month_days(year, month);
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        Wall { year, month, day: days + 1, month_days: month_days(year, month), weekday, minute: minutes % 1440 }
    }

    /// Germany's clock: an hour before UTC, and one more from the last Sunday of March, 01:00 UTC, to that of October.
    fn berlin(utc_minutes: i64) -> Wall {
        let utc = Wall::after(utc_minutes);
        // Of a month of 31 days, whether 01:00 UTC of its last Sunday has come.
        let turned = || {
            let last_sunday = utc.day - utc.weekday > 31 - 7;
            last_sunday && (utc.weekday > 0 || utc.minute >= 60)
        };
        let summer = match utc.month {
            3 => turned(),
            10 => !turned(),
            month => (4..10).contains(&month),
        };
        Wall::after(utc_minutes + if summer { 120 } else { 60 })
    }
}

/// An interval as numbers: minutes, weekdays from sunday, days, months, years.
type Numbers = [Vec<(i64, i64)>; 5];

/// Walks from the first to the last and looks for what the clock shows.
fn holds_by_counting([times, weekdays, days, months, years]: &Numbers, wall: &Wall) -> bool {
    let any =
        |ranges: &[(i64, i64)], now: i64| ranges.is_empty() || ranges.iter().any(|(a, b)| (*a..=*b).any(|x| x == now));
    let from_end = |nth: i64| (1..=wall.month_days).rev().nth(usize::try_from(nth - 1).unwrap()).unwrap_or(0);
    let from_start = |day: i64| if day < 0 { from_end(-day) } else { day };
    let days: Vec<_> = days.iter().map(|(first, last)| (from_start(*first), from_start(*last))).collect();
    let times: Vec<_> = times.iter().map(|(start, end)| (*start, *end - 1)).collect();
    any(&times, wall.minute)
        && any(weekdays, wall.weekday)
        && any(&days, wall.day)
        && any(months, wall.month)
        && any(years, wall.year)
}

fn read(zone: TimeZone, [times, weekdays, days, months, years]: &Numbers) -> Option<Interval> {
    let clock = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let text = |(first, last): &(i64, i64)| format!("{first}:{last}");
    let names = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let named = |(first, last): &(i64, i64)| format!("{}:{}", names[*first as usize], names[*last as usize]);
    Some(Interval {
        times: times.iter().map(|(a, b)| hours(&clock(*a), &clock(*b)).ok()).collect::<Option<_>>()?,
        weekdays: weekdays.iter().map(|range| WeekdayRange::parse(&named(range)).ok()).collect::<Option<_>>()?,
        days_of_month: days.iter().map(|range| DayRange::parse(&text(range)).ok()).collect::<Option<_>>()?,
        months: months.iter().map(|range| MonthRange::parse(&text(range)).ok()).collect::<Option<_>>()?,
        years: years.iter().map(|range| YearRange::parse(&text(range)).ok()).collect::<Option<_>>()?,
        zone,
    })
}

fn ranges(from: i64, to: i64) -> impl Strategy<Value = Vec<(i64, i64)>> {
    let range = (from..=to, from..=to).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop::collection::vec(range, 0..3)
}

fn any_numbers() -> impl Strategy<Value = Numbers> {
    let times = ranges(0, 1440).prop_map(|ranges| ranges.into_iter().filter(|(start, end)| start < end).collect());
    let day = prop_oneof![1i64..=31, -31i64..=-1];
    let days = prop::collection::vec((day.clone(), day), 0..3);
    (times, ranges(0, 6), days, ranges(1, 12), ranges(2026, 2028))
        .prop_map(|(times, weekdays, days, months, years)| [times, weekdays, days, months, years])
}

/// Begins of three days in 2026 to 2028, more often than not at a month's end or beside a change of the clock.
fn any_start() -> impl Strategy<Value = i64> {
    let named = [
        "2026-02-27T00:00:00Z",
        "2028-02-27T12:00:00Z",
        "2026-03-28T00:00:00Z",
        "2026-10-24T00:00:00Z",
        "2027-03-27T00:00:00Z",
        "2027-10-30T00:00:00Z",
        "2026-12-30T00:00:00Z",
        "2026-04-29T00:00:00Z",
    ];
    let minutes = |text: &str| text.parse::<Timestamp>().unwrap().as_second() / 60;
    let all = minutes("2026-01-01T00:00:00Z")..minutes("2028-12-28T00:00:00Z");
    prop_oneof![prop::sample::select(named.map(minutes).to_vec()), all]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn it_holds_exactly_the_minutes_that_counting_finds(numbers in any_numbers(), start in any_start(), berlin: bool) {
        let rule = if berlin { BERLIN } else { UTC };
        if let Some(interval) = read(zone(rule), &numbers) {
            for minute in start..start + 3 * 1440 {
                let wall = if berlin { Wall::berlin(minute) } else { Wall::after(minute) };
                let at = Timestamp::from_second(minute * 60 + minute % 60).unwrap();
                prop_assert_eq!(interval.contains(at), holds_by_counting(&numbers, &wall), "{}", at);
            }
        } else {
            // Only days can be backwards in these numbers.
            prop_assert!(numbers[2].iter().any(|(first, last)| {
                let longest = |day: i64| if day < 0 { 32 + day } else { day };
                longest(*first) > longest(*last) || (*first < 0 && *last > 0)
            }), "{:?}", numbers);
        }
    }

    #[test]
    fn no_text_makes_a_range_panic(text: String) {
        let told = [
            TimeOfDay::parse(&text).map(|time| time.to_string()).unwrap_or_default(),
            told(WeekdayRange::parse(&text)),
            told(DayRange::parse(&text)),
            told(MonthRange::parse(&text)),
            told(YearRange::parse(&text)),
        ];
        prop_assert!(told.iter().all(|told| told.len() < 1000));
    }
}
