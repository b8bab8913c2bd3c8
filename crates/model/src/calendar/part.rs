//! The parts of an interval, from their text to whether they hold. Knows the syntax of ranges and the lengths of months;
//! no time zone and no moment.

use crate::text;
use jiff::civil::{Date, Weekday};
use std::fmt;

/// As much of a wrong text as an error shows.
const SHOWN_BYTES_MAX: usize = 80;

const TIMES_IN_ORDER: &str =
    "an end after the start; hours over midnight are two ranges, such as 22:00 to 24:00 and 00:00 to 06:00";
const WEEKDAYS: &str = "a weekday from sunday to saturday, or a range such as monday:friday";
const WEEKDAYS_IN_ORDER: &str = "an end after the start, weeks begin on sunday; what goes over saturday is two ranges, such as friday:saturday and \
     sunday:monday";
const DAYS: &str = "a day of the month from 1 to 31, or from the end, -1 to -31, or a range such as 1:7 or -3:-1";
const DAYS_IN_ORDER: &str =
    "an end that some month has after the start, such as 1:7, -3:-1 or 25:-1; a negative start needs a negative end";
const MONTHS: &str = "a month as its name or as 1 to 12, or a range such as january:march or 1:3";
const MONTHS_IN_ORDER: &str = "an end that is not before the start; what goes over december is two ranges, such as \
                               november:december and january:february";
const YEARS: &str = "a year from 1 to 9999, or a range such as 2026:2027";
const YEARS_IN_ORDER: &str = "an end that is not before the start, such as 2026:2027";

/// The longest month has so many days: a range that is backwards even in it is so in every month.
const MONTH_DAYS_MAX: i16 = 31;

/// From sunday, so that a name's place is the weekday's number.
const WEEKDAY_NAMES: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const MONTH_NAMES: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; allowed: {allowed}")]
pub struct CalendarError {
    /// What was found, such as `found "mondy"` or `"friday:monday" ends before it begins`.
    pub what: String,
    /// What is allowed.
    pub allowed: &'static str,
}

impl CalendarError {
    fn malformed(found: &str, allowed: &'static str) -> CalendarError {
        CalendarError { what: format!("found {:?}", text::cut(found, SHOWN_BYTES_MAX)), allowed }
    }

    fn backwards(found: &str, allowed: &'static str) -> CalendarError {
        let what = format!("{:?} ends before it begins", text::cut(found, SHOWN_BYTES_MAX));
        CalendarError { what, allowed }
    }
}

/// A time of day, as a clock on the wall shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// From midnight, up to 1440.
    minutes: i16,
}

impl TimeOfDay {
    /// What [`TimeOfDay::parse`] takes.
    pub const FORM: &str = "HH:MM from 00:00 to 24:00, two digits each, such as \"09:00\"";

    /// Hours and minutes; 24:00 is the end of the day.
    #[must_use]
    pub fn parse(text: &str) -> Option<TimeOfDay> {
        let &[a, b, b':', c, d] = text.as_bytes() else { return None };
        let digits = |tens: u8, ones: u8| {
            let both = tens.is_ascii_digit() && ones.is_ascii_digit();
            both.then(|| i16::from(tens - b'0') * 10 + i16::from(ones - b'0'))
        };
        match (digits(a, b)?, digits(c, d)?) {
            (hour @ 0..24, minute @ 0..60) => Some(TimeOfDay { minutes: hour * 60 + minute }),
            (24, 0) => Some(TimeOfDay { minutes: 24 * 60 }),
            _ => None,
        }
    }

    /// From 0:00 to 24:00.
    pub(super) fn hour_and_minute(self) -> (i8, i8) {
        let small = |number: i16| i8::try_from(number).expect("a day has 24 hours of 60 minutes");
        (small(self.minutes / 60), small(self.minutes % 60))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

/// Times of day on the clock of the interval's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    start: TimeOfDay,
    end: TimeOfDay,
}

impl TimeRange {
    /// From a start to an end; the minute of the end is not in it.
    ///
    /// # Errors
    /// Where the end is not after the start.
    pub fn new(start: TimeOfDay, end: TimeOfDay) -> Result<TimeRange, CalendarError> {
        if start >= end {
            return Err(CalendarError::backwards(&format!("{start} to {end}"), TIMES_IN_ORDER));
        }
        Ok(TimeRange { start, end })
    }

    pub(super) fn contains(self, hour: i8, minute: i8) -> bool {
        let now = TimeOfDay { minutes: i16::from(hour) * 60 + i16::from(minute) };
        (self.start..self.end).contains(&now)
    }
}

/// First and last, both in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: i16,
    last: i16,
}

impl Span {
    /// `FIRST:LAST`, or one member alone. Case does not count.
    fn parse(text: &str, allowed: &'static str, member: impl Fn(&str) -> Option<i16>) -> Result<Span, CalendarError> {
        let lower = text.to_ascii_lowercase();
        let (first, last) = lower.split_once(':').unwrap_or((&lower, &lower));
        match (member(first), member(last)) {
            (Some(first), Some(last)) => Ok(Span { first, last }),
            _ => Err(CalendarError::malformed(text, allowed)),
        }
    }

    fn in_order(self, text: &str, allowed: &'static str) -> Result<Span, CalendarError> {
        if self.first > self.last { Err(CalendarError::backwards(text, allowed)) } else { Ok(self) }
    }

    fn contains(self, member: i16) -> bool {
        (self.first..=self.last).contains(&member)
    }
}

/// Days of the week, as `monday:friday` or `saturday`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeekdayRange(Span);

impl WeekdayRange {
    /// Weekdays by their English names; weeks begin on sunday.
    ///
    /// # Errors
    /// Where a name is no weekday, or the last comes before the first.
    pub fn parse(text: &str) -> Result<WeekdayRange, CalendarError> {
        let span = Span::parse(text, WEEKDAYS, |name| place_of(&WEEKDAY_NAMES, name))?;
        span.in_order(text, WEEKDAYS_IN_ORDER).map(WeekdayRange)
    }

    pub(super) fn contains(self, day: Weekday) -> bool {
        self.0.contains(i16::from(day.to_sunday_zero_offset()))
    }
}

/// Days of the month, as `1:5`, `15` or, from the end, `-3:-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayRange(Span);

impl DayRange {
    /// Days from 1 to 31, or from the end from -1 to -31.
    ///
    /// # Errors
    /// Where one is no such day, the last comes before the first in every month, or a positive day follows a negative
    /// one: that would be backwards in some months only.
    pub fn parse(text: &str) -> Result<DayRange, CalendarError> {
        let span = Span::parse(text, DAYS, |day| {
            day.parse().ok().filter(|day: &i16| (1..=31).contains(day) || (-31..=-1).contains(day))
        })?;
        let turns = span.first < 0 && span.last > 0;
        if turns || day_of(span.first, MONTH_DAYS_MAX) > day_of(span.last, MONTH_DAYS_MAX) {
            return Err(CalendarError::backwards(text, DAYS_IN_ORDER));
        }
        Ok(DayRange(span))
    }

    /// Days that a month does not have are left out: `29:31` is empty in a February of 28 days, and `-31:-1` all of it.
    pub(super) fn contains(self, date: Date) -> bool {
        let days = i16::from(date.days_in_month());
        let span = Span { first: day_of(self.0.first, days), last: day_of(self.0.last, days) };
        span.contains(i16::from(date.day()))
    }
}

/// A day that may be counted from the end, counted from the start; at most 0 where the month is too short for it.
fn day_of(day: i16, month_days: i16) -> i16 {
    if day < 0 { month_days + day + 1 } else { day }
}

/// Months, as `january:march`, `5` or `november:12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthRange(Span);

impl MonthRange {
    /// Months by their English names or as 1 to 12.
    ///
    /// # Errors
    /// Where one is no month, or the last comes before the first.
    pub fn parse(text: &str) -> Result<MonthRange, CalendarError> {
        let number = |text: &str| text.parse().ok().filter(|month: &i16| (1..=12).contains(month));
        let named = |name: &str| place_of(&MONTH_NAMES, name).map(|place| place + 1);
        let span = Span::parse(text, MONTHS, |month| named(month).or_else(|| number(month)))?;
        span.in_order(text, MONTHS_IN_ORDER).map(MonthRange)
    }

    pub(super) fn contains(self, month: i8) -> bool {
        self.0.contains(i16::from(month))
    }
}

/// Years, as `2026:2027` or `2026`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearRange(Span);

impl YearRange {
    /// Years from 1 to 9999.
    ///
    /// # Errors
    /// Where one is no such year, or the last comes before the first.
    pub fn parse(text: &str) -> Result<YearRange, CalendarError> {
        let year = |text: &str| text.parse().ok().filter(|year: &i16| (1..=9999).contains(year));
        Span::parse(text, YEARS, year)?.in_order(text, YEARS_IN_ORDER).map(YearRange)
    }

    pub(super) fn contains(self, year: i16) -> bool {
        self.0.contains(year)
    }
}

fn place_of(names: &[&str], name: &str) -> Option<i16> {
    names.iter().position(|known| *known == name).and_then(|place| i16::try_from(place).ok())
}
