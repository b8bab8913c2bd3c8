//! Named sets of moments, such as office hours, in Alertmanager's terms: times of day, weekdays, days of the month,
//! months and years, on the clock of a time zone; and moments that repeat. Knows no route and no file: time zones come
//! from the caller.
//!
//! Source: <https://prometheus.io/docs/alerting/latest/configuration/#time_interval>, read November 2026.

mod cron;
mod part;
#[cfg(test)]
mod tests;
mod timetable;
#[cfg(test)]
mod timetable_tests;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub use part::{CalendarError, DayRange, MonthRange, TimeOfDay, TimeRange, WeekdayRange, YearRange};
pub use timetable::Timetable;

/// A name for some moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeInterval {
    /// The name by which routes and `why` call it.
    pub name: String,
    /// It holds the moments of each of these.
    pub intervals: Vec<Interval>,
}

impl TimeInterval {
    /// Whether the moment lies in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.intervals.iter().any(|interval| interval.contains(at))
    }
}

/// The moments at which all parts hold. A part without any range always holds; a part with several holds where one does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Times of day.
    pub times: Vec<TimeRange>,
    /// Days of the week.
    pub weekdays: Vec<WeekdayRange>,
    /// Days of the month.
    pub days_of_month: Vec<DayRange>,
    /// Months.
    pub months: Vec<MonthRange>,
    /// Years.
    pub years: Vec<YearRange>,
    /// Whose clock it is.
    pub zone: TimeZone,
}

impl Interval {
    /// Every moment, on the clock of a zone: to be narrowed.
    #[must_use]
    pub fn always(zone: TimeZone) -> Interval {
        Interval {
            times: Vec::new(),
            weekdays: Vec::new(),
            days_of_month: Vec::new(),
            months: Vec::new(),
            years: Vec::new(),
            zone,
        }
    }

    /// Whether the moment lies in it.
    ///
    /// What counts is what a clock on the wall shows. An hour that comes twice when the clock is set back lies in it
    /// both times, and an hour that is left out never comes.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        let wall = self.zone.to_datetime(at);
        self.holds_on(wall) && holds(&self.times, |range| range.contains(wall.hour(), wall.minute()))
    }

    fn holds_on(&self, wall: DateTime) -> bool {
        let date = wall.date();
        holds(&self.weekdays, |range| range.contains(date.weekday()))
            && holds(&self.days_of_month, |range| range.contains(date))
            && holds(&self.months, |range| range.contains(date.month()))
            && holds(&self.years, |range| range.contains(date.year()))
    }
}

/// Whether one of the ranges holds; none at all always does.
fn holds<R>(ranges: &[R], range: impl Fn(&R) -> bool) -> bool {
    ranges.is_empty() || ranges.iter().any(range)
}
