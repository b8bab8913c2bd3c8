//! When something that repeats is due: daily at times of day, or by a cron expression, on the clock of a time zone. Pure
//! arithmetic; what follows from being due is decided elsewhere.
//!
//! Where the clock is moved, a time of day and a rhythm (`*` as the hour) differ. A time that the clock leaves out is due
//! at the moment at which the clock is set forward, and a time that comes twice is due the first time: once a day stays
//! once a day. A rhythm goes by what time has really passed: it leaves nothing out and counts an hour that comes twice
//! twice.

use super::CalendarError;
use super::cron::{Cron, Days};
use super::part::TimeOfDay;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The longest way, in days, from a 29 February that is a certain weekday to the next, over a year such as 2100.
const DAYS_MAX: usize = 40 * 366;

/// How many missed times are counted one by one.
const COUNT_MAX: u32 = 1_000;

/// Moments that repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    days: Days,
    /// In order, each once, never none.
    times: Vec<(i8, i8)>,
    is_rhythm: bool,
    zone: TimeZone,
    text: String,
}

impl Timetable {
    /// Every day at these times of day.
    ///
    /// # Errors
    /// Where there is none, or one is 24:00, which is the 00:00 of the next day.
    pub fn daily(times: &[TimeOfDay], zone: TimeZone) -> Result<Timetable, CalendarError> {
        const ALLOWED: &str = "one or more times of day from 00:00 to 23:59";
        let mut times: Vec<(i8, i8)> = times.iter().map(|time| time.hour_and_minute()).collect();
        times.sort_unstable();
        times.dedup();
        match times.last() {
            None => return Err(CalendarError { what: "names no time".to_owned(), allowed: ALLOWED }),
            Some((24, _)) => return Err(CalendarError { what: "found 24:00".to_owned(), allowed: ALLOWED }),
            Some(_) => {}
        }
        let shown: Vec<String> = times.iter().map(|(hour, minute)| format!("{hour:02}:{minute:02}")).collect();
        let text = format!("daily at {}", shown.join(", "));
        Ok(Timetable { days: Days::all(), times, is_rhythm: false, zone, text })
    }

    /// By an expression of five fields, or a nickname such as `@daily`.
    ///
    /// # Errors
    /// Where it is none, or means a day that never comes.
    pub fn cron(expression: &str, zone: TimeZone) -> Result<Timetable, CalendarError> {
        let Cron { days, times, is_rhythm } = Cron::parse(expression)?;
        let text = format!("cron {}", expression.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        Ok(Timetable { days, times, is_rhythm, zone, text })
    }

    /// What was asked for, in words that are the same for the same timetable: `daily at 00:00 (Europe/Berlin)`.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} ({})", self.text, self.zone.iana_name().unwrap_or("the machine's own time zone"))
    }

    /// The first moment after this one; none only at the end of the calendar.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // The day before: its last moments may come after midnight where a clock is set back there.
        let mut date = self.zone.to_datetime(after).date().yesterday().ok()?;
        for _ in 0..DAYS_MAX {
            if self.days.hold(date)
                && let Some(found) = self.moments(date).filter(|moment| *moment > after).min()
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last moment that is not after `until`, where it is after `since`, and how many such there are: counted up to
    /// 1,000.
    #[must_use]
    pub fn last(&self, since: Timestamp, until: Timestamp) -> Option<(Timestamp, u32)> {
        let mut count = 0;
        let mut last = since;
        while let Some(next) = self.next(last).filter(|next| *next <= until) {
            last = next;
            count += 1;
            if count == COUNT_MAX {
                return Some((self.latest(until).unwrap_or(last), count));
            }
        }
        (count > 0).then_some((last, count))
    }

    /// The last moment that is not after `until`; none only at the begin of the calendar.
    #[must_use]
    pub fn latest(&self, until: Timestamp) -> Option<Timestamp> {
        let mut date = self.zone.to_datetime(until).date().tomorrow().ok()?;
        for _ in 0..DAYS_MAX {
            if self.days.hold(date)
                && let Some(found) = self.moments(date).filter(|moment| *moment <= until).max()
            {
                return Some(found);
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// The moments of one day.
    fn moments(&self, date: Date) -> impl Iterator<Item = Timestamp> {
        self.times.iter().flat_map(move |(hour, minute)| self.moments_at(date.at(*hour, *minute, 0, 0)))
    }

    fn moments_at(&self, wall: DateTime) -> impl Iterator<Item = Timestamp> {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(wall).ok();
        let found = match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
            AmbiguousOffset::Gap { .. } if self.is_rhythm => [None, None],
            // As the clock goes after it was moved, that time has not come when the clock is moved.
            AmbiguousOffset::Gap { after, .. } => {
                let moved = at(after).and_then(|earlier| self.zone.following(earlier).next());
                [moved.map(|transition| transition.timestamp()), None]
            }
            AmbiguousOffset::Fold { before, after } if self.is_rhythm => [at(before), at(after)],
            AmbiguousOffset::Fold { before, .. } => [at(before), None],
        };
        found.into_iter().flatten()
    }
}
