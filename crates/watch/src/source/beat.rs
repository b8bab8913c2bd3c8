//! A source that sends at least so often. The deadline slides: it counts from the last event, on the clock that nobody sets.
//! Knows no timetable, and not what an event says.

use super::{ASLEEP, span};
use crate::look::{Failure, Look, Moment};
use crate::watcher::{Around, Heard, Plan, Takes, Watcher};
use balefire_model::Severity;
use serde_json::Value;
use std::time::Duration;

/// What is expected.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) id: String,
    pub(super) every: Duration,
    pub(super) grace: Duration,
    pub(super) severity: Severity,
}

impl Plan for Settings {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(Beat { settings: self.clone(), patience: Patience::default() })
    }

    fn takes(&self) -> Takes {
        Takes::Beats
    }
}

struct Beat {
    settings: Settings,
    patience: Patience,
}

impl Watcher for Beat {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        self.judge(now, around.source(&self.settings.id))
    }
}

impl Beat {
    fn judge(&mut self, now: Moment, heard: Option<Heard>) -> Look {
        let Settings { id, every, grace, severity } = &self.settings;
        let since = self.patience.since(now, heard.map(|heard| heard.last));
        let quiet = now.since(since);
        let is_excused = self.patience.is_excused(now, *grace);
        if quiet > every.saturating_add(*grace) && !is_excused {
            let last = match heard {
                Some(heard) => format!("the last event came at {:.0}", heard.last.wall),
                None => "no event has come since Balefire started".to_owned(),
            };
            let limit = span(every.saturating_add(*grace));
            let summary = format!("source {id} is silent for {} (limit {limit})", span(quiet));
            let cure = format!("see whether {id} runs and reaches Balefire: balefire watch status, and its own log");
            let failure = Failure::new("source.silent", *severity, summary).caused_by(last).cured_by(cure);
            let failure = failure.since(since.wall).allowed_for(every.saturating_add(*grace));
            return Look::of(vec![failure.labelled("source_name", id.clone())], "");
        }
        match heard {
            Some(heard) => Look::ok(format!("{} events, the last at {:.0}", heard.count, heard.last.wall)),
            None => Look::unknown(format!("waits for the first event, at most {}", span(every.saturating_add(*grace)))),
        }
    }
}

/// From when silence counts, and whether we ourselves have slept meanwhile.
#[derive(Debug, Default)]
pub(super) struct Patience {
    first: Option<Moment>,
    previous: Option<Moment>,
    /// When we woke, and since when there was silence then: one silence is excused once.
    woke: Option<(Moment, Moment)>,
}

impl Patience {
    /// The last event; where there was none, our first look: while nobody listened nobody could be heard.
    pub(super) fn since(&mut self, now: Moment, last: Option<Moment>) -> Moment {
        let since = last.unwrap_or(*self.first.get_or_insert(now));
        let slept = self.previous.is_some_and(|previous| now.since(previous) > ASLEEP);
        if slept && self.woke.is_none_or(|(_, silent)| silent != since) {
            self.woke = Some((now, since));
        }
        self.previous = Some(now);
        since
    }

    /// Whether what waited while we slept may still come in.
    pub(super) fn is_excused(&self, now: Moment, grace: Duration) -> bool {
        self.woke.is_some_and(|(woke, _)| now.since(woke) <= grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Sight;
    use jiff::Timestamp;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(1000 + seconds), wall }
    }

    fn beat() -> Beat {
        let settings = Settings {
            id: "fw-01".to_owned(),
            every: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            severity: Severity::High,
        };
        Beat { settings, patience: Patience::default() }
    }

    fn heard(seconds: u64) -> Option<Heard> {
        Some(Heard { last: at(seconds), count: 1 })
    }

    fn word(look: &Look) -> &'static str {
        match &look.sight {
            Sight::Ok { .. } => "ok",
            Sight::Failing(_) => "failing",
            Sight::Unknown { .. } => "unknown",
            Sight::Blind { .. } => "blind",
        }
    }

    #[test]
    fn the_deadline_slides_with_the_last_event() {
        let mut beat = beat();
        let mut at_second = |second, last: Option<u64>| word(&beat.judge(at(second), last.and_then(heard)));
        assert_eq!((at_second(0, None), at_second(90, None), at_second(91, None)), ("unknown", "unknown", "failing"));
        assert_eq!((at_second(100, Some(99)), at_second(189, Some(99)), at_second(190, Some(99))), {
            ("ok", "ok", "failing")
        });
        assert_eq!(at_second(191, Some(191)), "ok");
    }

    #[test]
    fn a_silence_says_how_long_it_might_be() {
        let Sight::Failing(failures) = beat().judge(at(100), heard(0)).sight else { panic!("it is silent") };
        assert_eq!((failures[0].first_bad, failures[0].labels["allowed"].as_str()), (Some(at(0).wall), "90.000"));
    }

    #[test]
    fn a_wall_clock_that_is_set_changes_no_deadline() {
        let mut beat = beat();
        beat.judge(at(10), heard(10));
        let set = Moment { wall: at(1_000_000).wall, ..at(60) };
        assert_eq!(word(&beat.judge(set, heard(10))), "ok");
        let back = Moment { wall: at(0).wall, ..at(101) };
        assert_eq!(word(&beat.judge(back, heard(10))), "failing");
    }

    #[test]
    fn our_own_sleep_accuses_nobody_and_excuses_once() {
        let mut beat = beat();
        assert_eq!(word(&beat.judge(at(1), heard(0))), "ok");
        assert_eq!(word(&beat.judge(at(1000), heard(0))), "ok", "what was sent meanwhile still waits");
        assert_eq!(word(&beat.judge(at(1031), heard(0))), "failing");
        assert_eq!(word(&beat.judge(at(5000), heard(0))), "failing", "the same silence is not excused twice");
    }
}
