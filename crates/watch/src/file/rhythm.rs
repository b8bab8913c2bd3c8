//! How often a file grows, learned by the hour of the week, and whether it stands still for too long by that. Pure: is told
//! when it grew. What a cadence is, the sources' `cadence.rs` says.

use crate::look::{Failure, Moment};
use crate::source::cadence::{Bounds, Cadence, Kept};
use crate::source::{hour_of_week, span};
use balefire_model::Severity;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Growth counts once in so long: what was learned must not depend on how often the file is looked at.
const GROWTH_EVERY: Duration = Duration::from_secs(30);

/// What was learned is kept for a restart so often, in looks' time.
const KEPT_EVERY: Duration = Duration::from_secs(3600);

/// How a rhythm is learned.
#[derive(Clone, Debug)]
pub(super) struct Learning {
    pub(super) bounds: Bounds,
    pub(super) zone: TimeZone,
    /// Whoever has not looked for so long has slept: that time is not the file's.
    pub(super) asleep: Duration,
}

/// What a restart must know.
#[derive(Serialize, Deserialize)]
struct Memory {
    cadence: Kept,
    grew: Option<Timestamp>,
    is_still: bool,
}

/// How often a file grows.
pub(super) struct Rhythm {
    learning: Learning,
    cadence: Cadence,
    is_still: bool,
    grew: Option<Timestamp>,
    previous: Option<Moment>,
    counted: Option<Moment>,
    /// As text, which is small beside a tree of values.
    kept: Option<(Moment, String)>,
}

impl Rhythm {
    /// From what one before it kept; what cannot be read is learned again.
    pub(super) fn new(learning: Learning, kept: Option<&str>) -> Rhythm {
        let memory = kept.and_then(|kept| serde_json::from_str::<Memory>(kept).ok());
        let cadence = memory.as_ref().map_or_else(Cadence::new, |memory| Cadence::from_kept(&memory.cadence));
        let (grew, is_still) = memory.map_or((None, false), |memory| (memory.grew, memory.is_still));
        Rhythm { learning, cadence, is_still, grew, previous: None, counted: None, kept: None }
    }

    /// One look. An outage is nothing to learn: not the one that it has told, and none that somebody else has (`is_well`).
    pub(super) fn look(&mut self, now: Moment, has_grown: bool, is_well: bool) {
        let passed = self.previous.map_or(Duration::ZERO, |previous| now.since(previous));
        let passed = if passed > self.learning.asleep { Duration::ZERO } else { passed };
        self.previous = Some(now);
        let was_still = self.is_still;
        let is_learning = is_well && !was_still;
        self.cadence.pass(hour_of_week(&self.learning.zone, now.wall), passed, is_learning);
        let is_new = self.is_still || self.counted.is_none_or(|counted| now.since(counted) >= GROWTH_EVERY);
        if has_grown && is_new {
            self.cadence.hear(1, is_learning);
            (self.counted, self.grew, self.is_still) = (Some(now), Some(now.wall), false);
        } else {
            self.is_still |= self.cadence.is_silent(&self.learning.bounds);
        }
        let is_old = self.kept.as_ref().is_none_or(|(kept, _)| now.since(*kept) >= KEPT_EVERY);
        if is_old || self.is_still != was_still {
            let memory = Memory { cadence: self.cadence.keep(), grew: self.grew, is_still: self.is_still };
            self.kept = Some((now, serde_json::to_string(&memory).expect("numbers and texts are JSON")));
        }
    }

    pub(super) fn failure(&self, path: &str, severity: Severity) -> Option<Failure> {
        if !self.is_still {
            return None;
        }
        let (missing, limit) = self.cadence.missing();
        let since = self.grew.map_or(String::new(), |grew| format!(" since {grew:.0}"));
        let summary = format!("{path} has not grown{since}; it was seen to stand still for {}", self.quiet());
        let cause = format!("by its learned cadence it was to grow {missing:.1} times meanwhile (limit {limit:.1})");
        let failure = Failure::new("file.stalled", severity, summary).caused_by(cause);
        Some(self.grew.into_iter().fold(failure, Failure::since))
    }

    /// What is known, for people.
    pub(super) fn told(&self) -> String {
        match self.cadence.is_known(&self.learning.bounds) {
            true => format!(", its cadence is known, still for {}", self.quiet()),
            false => {
                let (learned, min) = (span(self.cadence.learned()), span(self.learning.bounds.min));
                format!(", its cadence is learned: {learned} of {min}")
            }
        }
    }

    pub(super) fn memory(&self) -> Option<&str> {
        self.kept.as_ref().map(|(_, kept)| kept.as_str())
    }

    fn quiet(&self) -> String {
        span(self.cadence.quiet_for())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const DAY: u64 = 86_400;

    fn learning() -> Learning {
        let (min, floor) = (Duration::from_secs(14 * DAY), Duration::from_secs(300));
        let bounds = Bounds { min, floor, cap: Duration::from_secs(DAY) };
        Learning { bounds, zone: TimeZone::UTC, asleep: Duration::from_secs(90) }
    }

    /// So many seconds after a Monday's midnight.
    fn at(second: u64) -> Moment {
        let wall = Timestamp::from_second(1_799_625_600 + i64::try_from(second).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(second), wall }
    }

    /// Looks every minute; it grows every ten minutes by day, and not at night. The minutes at which it was first said to
    /// stand still.
    fn live(rhythm: &mut Rhythm, days: std::ops::Range<u64>, grows: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut told = Vec::new();
        let mut before = false;
        for minute in days.start * 1440..days.end * 1440 {
            let is_day = (8..18).contains(&(minute / 60 % 24));
            rhythm.look(at(minute * MINUTE), is_day && minute % 10 == 0 && grows(minute), true);
            let is_told = rhythm.failure("a", Severity::Medium).is_some();
            if is_told && !before {
                told.push(minute);
            }
            before = is_told;
        }
        told
    }

    /// 10:00 of the eighteenth day, a Thursday.
    const STOPS: u64 = 17 * 1440 + 600;

    #[test]
    fn a_file_that_stops_is_told_by_what_was_learned_and_no_night_is() {
        let mut rhythm = Rhythm::new(learning(), None);
        assert_eq!(live(&mut rhythm, 0..17, |_| true), [0; 0]);
        let told = live(&mut rhythm, 17..18, |minute| minute < STOPS);
        assert!(told.len() == 1 && (STOPS + 60..STOPS + 200).contains(&told[0]), "{told:?} {STOPS}");
        assert_eq!(live(&mut rhythm, 18..19, |_| true), [18 * 1440], "one that goes on until the morning");
        assert!(rhythm.failure("a", Severity::Medium).is_none(), "it grows again");
    }

    #[test]
    fn an_outage_is_not_learned_over_a_restart_either() {
        let mut rhythm = Rhythm::new(learning(), None);
        live(&mut rhythm, 0..17, |_| true);
        live(&mut rhythm, 17..20, |minute| minute < STOPS);
        let mut again = Rhythm::new(learning(), rhythm.memory());
        assert!(again.failure("a", Severity::Medium).is_some(), "it stands still as before");
        // An outage of two weeks more, and then an ordinary one.
        assert_eq!(live(&mut again, 20..34, |_| false), [20 * 1440], "one that goes on");
        assert_eq!(live(&mut again, 34..35, |_| true), [34 * 1440]);
        let second = 35 * 1440 + 600;
        let told = live(&mut again, 35..36, |minute| minute < second);
        assert!(told.len() == 1 && (second + 60..second + 240).contains(&told[0]), "{told:?} {second}");
    }

    #[test]
    fn time_in_which_nobody_looked_or_something_else_was_wrong_is_not_the_files() {
        let mut rhythm = Rhythm::new(learning(), None);
        live(&mut rhythm, 0..17, |_| true);
        let before = rhythm.cadence.learned();
        rhythm.look(at(30 * DAY), false, true);
        assert!(rhythm.failure("a", Severity::Medium).is_none());
        for minute in 0..60 {
            rhythm.look(at(30 * DAY + minute * MINUTE), false, false);
        }
        assert_eq!(rhythm.cadence.learned(), before);
    }

    #[test]
    fn a_file_that_grows_all_the_time_is_told_alike_however_often_it_is_looked_at() {
        for step in [2, 30] {
            let mut rhythm = Rhythm::new(learning(), None);
            let mut told = None;
            for second in (0..15 * DAY).step_by(step) {
                let grows = second < 15 * DAY - 3600;
                rhythm.look(at(second), grows, true);
                if rhythm.failure("a", Severity::Medium).is_some() {
                    told = told.or(Some(second + 3600 - 15 * DAY));
                }
            }
            assert!(told.is_some_and(|after| (270..=400).contains(&after)), "{step}: {told:?}");
        }
    }
}
