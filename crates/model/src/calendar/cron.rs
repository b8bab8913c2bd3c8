//! Expressions of five fields as crontab(5) has them: which days, and which times of day. Knows no time zone and no moment.
//!
//! Source: POSIX.1-2024, crontab, section "INPUT FILES"; names, steps and `@daily` as in Vixie cron's crontab(5).

use super::CalendarError;
use crate::text;
use jiff::civil::Date;

/// As much of a wrong text as an error shows.
const SHOWN_BYTES_MAX: usize = 80;

const FORM: &str = "five fields: minute hour day-of-month month day-of-week, such as `30 2 * * mon-fri`, or @hourly, @daily, \
                    @weekly, @monthly, @yearly";

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// From sunday, which is 0 and also 7.
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What stands for a whole expression.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    pub(super) days: Days,
    /// In order, each once.
    pub(super) times: Vec<(i8, i8)>,
    /// The hour is `*`: it means a rhythm and not a time on the wall.
    pub(super) is_rhythm: bool,
}

/// Which days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    days_of_month: Set,
    months: Set,
    weekdays: Set,
    /// Both kinds of day are limited, and one of them is enough.
    is_either: bool,
}

impl Days {
    /// Every day.
    pub(super) fn all() -> Days {
        Days { days_of_month: Set::of(1, 31), months: Set::of(1, 12), weekdays: Set::of(0, 7), is_either: false }
    }

    pub(super) fn hold(&self, date: Date) -> bool {
        let of_month = self.days_of_month.has(date.day());
        let of_week = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let day = if self.is_either { of_month || of_week } else { of_month && of_week };
        day && self.months.has(date.month())
    }

    /// Whether some month that holds is long enough for some day that holds.
    fn can_come(&self) -> bool {
        let longest =
            |month: u8| if month == 2 { 29 } else { 30 + u8::from(matches!(month, 1 | 3 | 5 | 7 | 8 | 10 | 12)) };
        let first = (1..=31).find(|day| self.days_of_month.has(*day)).unwrap_or(31);
        self.is_either
            || (1..=12u8).any(|month| self.months.0 >> month & 1 == 1 && first <= longest(month).cast_signed())
    }
}

/// Numbers from 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn of(first: u8, last: u8) -> Set {
        Set((first..=last).fold(0, |set, number| set | 1 << number))
    }

    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.0 >> number & 1 == 1)
    }
}

/// One of the five.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of month", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: &MONTHS },
    Field { name: "day of week", first: 0, last: 7, names: &WEEKDAYS },
];

impl Cron {
    /// # Errors
    /// Where it is no such expression, or means a day that never comes, such as 30 February.
    pub(super) fn parse(expression: &str) -> Result<Cron, CalendarError> {
        let wrong = |what: String| CalendarError { what, allowed: FORM };
        let shown = || text::cut(expression, SHOWN_BYTES_MAX).into_owned();
        let lower = expression.trim().to_ascii_lowercase();
        let nickname = NICKNAMES.iter().find(|(name, _)| *name == lower).map(|(_, meaning)| *meaning);
        let words: Vec<&str> = nickname.unwrap_or(&lower).split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = words[..] else {
            return Err(wrong(format!("found {:?}, which has {} fields", shown(), words.len())));
        };
        let read = |index: usize, word: &str| {
            let field = &FIELDS[index];
            field.parse(word).ok_or_else(|| {
                let (first, last) = (field.first, field.last);
                let word = text::cut(word, SHOWN_BYTES_MAX);
                wrong(format!("found {word:?} as the {}, which is from {first} to {last}", field.name))
            })
        };
        let (minutes, hours) = (read(0, minute)?, read(1, hour)?);
        let days = Days {
            days_of_month: read(2, day)?,
            months: read(3, month)?,
            weekdays: read(4, weekday)?,
            is_either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        if !days.can_come() {
            return Err(wrong(format!("{:?} means a day that no month has", shown())));
        }
        let in_hour = |hour: i8| (0..60).filter(|minute| minutes.has(*minute)).map(move |minute| (hour, minute));
        let times = (0..24).filter(|hour| hours.has(*hour)).flat_map(in_hour).collect();
        Ok(Cron { days, times, is_rhythm: hour.starts_with('*') })
    }
}

impl Field {
    fn parse(&self, word: &str) -> Option<Set> {
        word.split(',').try_fold(Set(0), |set, part| Some(Set(set.0 | self.part(part)?.0)))
    }

    /// `*`, `7`, `1-5`, and these with `/2`.
    fn part(&self, part: &str) -> Option<Set> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            // `5/15` goes on to the end, as in Vixie cron.
            None if step.is_some() => (self.number(range)?, self.last),
            None => (self.number(range)?, self.number(range)?),
        };
        if first > last {
            return None;
        }
        let numbers = (first..=last).step_by(usize::from(step.unwrap_or(1)));
        let set = numbers.fold(0, |set, number| set | 1_u64 << number);
        // Sunday is 0 and 7.
        Some(Set(if self.last == 7 && set >> 7 & 1 == 1 { set | 1 } else { set }))
    }

    fn number(&self, word: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| *name == word);
        let number = match named {
            Some(index) => self.first.checked_add(u8::try_from(index).ok()?)?,
            None if word.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().ok()?,
            None => return None,
        };
        (self.first..=self.last).contains(&number).then_some(number)
    }
}
