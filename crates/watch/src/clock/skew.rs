//! Sources whose clock is wrong: how far the times of their events are from when they came in. What is constant is a clock; what
//! changes is a backlog, a batch or a replay, and is left out. Pure.

use crate::look::{Failure, Moment};
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};
use jiff::SignedDuration;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The median is that of so many events, and of so many at the least.
const EVENTS_MAX: usize = 32;
const EVENTS_MIN: usize = 20;

/// How often the medians are looked at.
pub(super) const EVERY: Duration = Duration::from_secs(30);

/// So long must a source be wrong by the same, and in so many looks must something new have come of it.
const LASTS: Duration = Duration::from_secs(600);
const LOOKS_MIN: u32 = 15;

/// What comes once a day is a batch, whose times are those of its run.
const GAP_MAX: Duration = Duration::from_secs(6 * 3600);

/// Nothing is said any more of what does not send any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// As many that were told are known after a restart.
const KEPT_MAX: usize = 1000;

/// How far the times of a source's last events were from when they came in.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    offsets_ms: VecDeque<i64>,
    last: Option<Moment>,
    count: u64,
}

/// What that comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// The median of its events' times against ours, in milliseconds; below 0 they are behind.
    pub median_ms: i64,
    /// Between the first and the third quarter of them.
    pub spread_ms: u64,
    /// When the last one came.
    pub last: Moment,
    /// How many there were.
    pub count: u64,
}

impl Lag {
    /// An event came whose own time is off by so much.
    pub fn take(&mut self, now: Moment, offset: SignedDuration) {
        if self.offsets_ms.len() == EVENTS_MAX {
            self.offsets_ms.pop_front();
        }
        self.offsets_ms.push_back(i64::try_from(offset.as_millis()).unwrap_or(i64::MAX));
        self.last = Some(now);
        self.count = self.count.saturating_add(1);
    }

    /// None where too few have come.
    #[must_use]
    pub fn skew(&self) -> Option<Skew> {
        if self.offsets_ms.len() < EVENTS_MIN {
            return None;
        }
        let mut sorted: Vec<i64> = self.offsets_ms.iter().copied().collect();
        sorted.sort_unstable();
        let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
        Some(Skew { median_ms: at(2), spread_ms: at(1).abs_diff(at(3)), last: self.last?, count: self.count })
    }
}

/// One source that is wrong.
#[derive(Clone, Debug)]
struct Wrong {
    since: Moment,
    median_ms: i64,
    looks: u32,
    last: Moment,
    count: u64,
    is_told: bool,
}

/// Those that are wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Skews {
    wrong: BTreeMap<String, Wrong>,
    looked: Option<Moment>,
}

impl Skews {
    /// With those that were told before a restart: they are wrong until their events say otherwise.
    pub(super) fn begin(now: Moment, kept: Option<&Value>) -> Skews {
        let mut skews = Skews::default();
        let Some(Value::Object(kept)) = kept else { return skews };
        for (source, median) in kept {
            let Some(median_ms) = median.as_i64() else { continue };
            let wrong = Wrong { since: now, median_ms, looks: 0, last: now, count: 0, is_told: true };
            skews.wrong.insert(source.clone(), wrong);
        }
        skews
    }

    /// Those that were told, for a restart.
    pub(super) fn memory(&self) -> Option<Value> {
        let told = self.wrong.iter().filter(|(_, wrong)| wrong.is_told).take(KEPT_MAX);
        let told: serde_json::Map<String, Value> =
            told.map(|(source, wrong)| (source.clone(), wrong.median_ms.into())).collect();
        (!told.is_empty()).then_some(Value::Object(told))
    }

    /// Whether the medians are to be looked at again.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.looked.is_none_or(|looked| now.since(looked) >= EVERY)
    }

    /// Takes all medians.
    pub(super) fn take(&mut self, now: Moment, limit: Duration, found: &[(String, Skew)]) {
        self.looked = Some(now);
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        for (source, skew) in found {
            self.judge(now, limit_ms, (source, skew));
        }
        self.wrong.retain(|_, wrong| now.since(wrong.last) < FORGOTTEN_AFTER);
    }

    fn judge(&mut self, now: Moment, limit_ms: u64, (source, skew): (&str, &Skew)) {
        let off = skew.median_ms.unsigned_abs();
        let is_constant = skew.spread_ms <= limit_ms.max(off / 4);
        let Some(wrong) = self.wrong.get_mut(source) else {
            if off > limit_ms && is_constant {
                let (last, count, median_ms) = (skew.last, skew.count, skew.median_ms);
                let wrong = Wrong { since: now, median_ms, looks: 0, last, count, is_told: false };
                self.wrong.insert(source.to_owned(), wrong);
            }
            return;
        };
        if wrong.is_told {
            // Well below the limit, so that what lies at it is not told again and again.
            if off < limit_ms.div_ceil(2) {
                self.wrong.remove(source);
            } else {
                (wrong.median_ms, wrong.last) = (skew.median_ms, skew.last);
            }
            return;
        }
        let has_moved = wrong.median_ms.abs_diff(skew.median_ms) > (limit_ms / 2).max(off / 8);
        let has_paused = skew.last.since(wrong.last) > GAP_MAX;
        if off <= limit_ms || !is_constant || has_moved || has_paused {
            self.wrong.remove(source);
            return;
        }
        if skew.count > wrong.count {
            wrong.looks += 1;
        }
        (wrong.last, wrong.count) = (skew.last, skew.count);
        wrong.is_told = wrong.looks >= LOOKS_MIN && now.since(wrong.since) >= LASTS;
    }

    /// What is to be told.
    pub(super) fn failures(&self) -> Vec<Failure> {
        let told = self.wrong.iter().filter(|(_, wrong)| wrong.is_told);
        let failure = |(source, wrong): (&String, &Wrong)| {
            let name = cut(&one_line(source), 200).into_owned();
            let way = if wrong.median_ms < 0 { "behind" } else { "ahead of" };
            let seconds = wrong.median_ms.unsigned_abs() as f64 / 1000.0;
            let summary = format!("source {name}: the times of its events are {seconds:.0} s {way} our clock");
            Failure::new("clock.skew", Severity::Medium, summary)
                .of(source.clone())
                .caused_by(format!("the median of its last events, for {} min at least", LASTS.as_secs() / 60))
                .cured_by("see whether its clock is kept right, and ours: timedatectl; a time zone left out gives whole hours")
                .since(wrong.since.wall)
                .labelled("source_name", name)
                .labelled("skew_ms", wrong.median_ms.to_string())
        };
        told.map(failure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    const LIMIT: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    /// One event every ten seconds from then on, off by what `off` says for each second; when it was told and when over.
    fn told(from: u64, seconds: u64, off: impl Fn(u64) -> i64) -> Vec<(u64, bool)> {
        let (mut lag, mut skews, mut seen) = (Lag::default(), Skews::default(), Vec::new());
        let mut is_told = false;
        for second in (from..from + seconds).step_by(10) {
            lag.take(at(second), SignedDuration::from_secs(off(second)));
            if skews.is_due(at(second)) {
                let found: Vec<_> = lag.skew().map(|skew| ("fw".to_owned(), skew)).into_iter().collect();
                skews.take(at(second), LIMIT, &found);
            }
            if skews.failures().is_empty() == is_told {
                is_told = !is_told;
                seen.push((second, is_told));
            }
        }
        seen
    }

    #[test]
    fn a_clock_that_is_wrong_by_the_same_for_ten_minutes_is_told_and_over_when_it_is_right() {
        let seen = told(0, 6_000, |second| if second < 3_000 { -3_600 } else { 0 });
        let [(began, true), (over, false)] = seen[..] else { panic!("{seen:?}") };
        assert!((800..=840).contains(&began), "20 events, then 10 minutes: {began}");
        assert!((3_100..3_250).contains(&over), "most of the last 32 are right: {over}");
        assert!(told(0, 3_000, |_| 90).len() == 1, "ahead is wrong, too");
        assert!(told(0, 3_000, |_| 59).is_empty());
    }

    #[test]
    fn a_backlog_a_replay_and_a_batch_are_no_clock() {
        assert!(told(0, 3_600, |second| -7_200 + i64::try_from(second).unwrap() * 2).is_empty(), "it catches up");
        let day = |second: u64| -86_400 + i64::try_from(second).unwrap() * 20;
        assert!(told(0, 3_600, day).is_empty(), "yesterday, replayed");
        let batch = |second: u64| -i64::try_from(900 - second % 900).unwrap();
        assert!(told(0, 7_200, batch).is_empty(), "every quarter of an hour at once");
    }

    #[test]
    fn a_short_run_whose_records_have_the_time_of_its_begin_is_no_clock() {
        let (mut lag, mut skews) = (Lag::default(), Skews::default());
        for day in 0..10 {
            for second in (0..400).step_by(10) {
                let now = at(day * 86_400 + second);
                lag.take(now, SignedDuration::from_secs(-7_200));
                let found: Vec<_> = lag.skew().map(|skew| ("scan".to_owned(), skew)).into_iter().collect();
                skews.take(now, LIMIT, &found);
            }
            assert!(skews.failures().is_empty(), "day {day}");
        }
    }

    #[test]
    fn what_was_told_is_not_over_with_a_restart_but_with_events_that_are_right() {
        let skew = |median_ms, second, count| Skew { median_ms, spread_ms: 0, last: at(second), count };
        let mut skews = Skews::default();
        for look in 0..=20 {
            skews.take(at(look * 30), LIMIT, &[("fw".to_owned(), skew(-600_000, look * 30, 20 + look))]);
        }
        assert_eq!(skews.failures().len(), 1);
        let memory = skews.memory();
        let mut again = Skews::begin(at(700), memory.as_ref());
        again.take(at(730), LIMIT, &[]);
        assert_eq!(again.failures().len(), 1, "nothing was heard yet");
        again.take(at(760), LIMIT, &[("fw".to_owned(), skew(-31_000, 760, 20))]);
        assert_eq!(again.failures().len(), 1, "near the limit");
        again.take(at(790), LIMIT, &[("fw".to_owned(), skew(-1_000, 790, 40))]);
        assert!(again.failures().is_empty() && again.memory().is_none());
    }

    #[test]
    fn few_events_say_nothing_and_many_take_a_bounded_memory() {
        let mut lag = Lag::default();
        for second in 0..19 {
            lag.take(at(second), SignedDuration::from_secs(-1));
        }
        assert_eq!(lag.skew(), None);
        for second in 19..1000 {
            lag.take(at(second), SignedDuration::MIN);
        }
        assert_eq!((lag.offsets_ms.len(), lag.skew().map(|skew| skew.median_ms)), (EVENTS_MAX, Some(i64::MAX)));
    }
}
