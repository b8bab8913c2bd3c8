//! The kind `clock`: whether the machine's clock is set to another time, and whether anything keeps it right. Times of records
//! are worth what the clock is worth.

mod skew;

pub use skew::{Lag, Skew};

use crate::calm::Calm;
use crate::look::{Failure, Look, Moment};
use crate::sensors::child::Child;
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::settings::Reader;
use balefire_model::text::{cut, one_line};
use serde_json::Value;
use skew::Skews;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "clock", read };

/// A step is over when the clock went evenly for so long.
const STABLE: Duration = Duration::from_secs(600);

/// As many looks are kept to compare with: one in ten seconds.
const KEPT_EVERY: Duration = Duration::from_secs(10);

/// How often it is asked whether the clock is kept right.
const ASKED_EVERY: Duration = Duration::from_secs(60);

/// Who can say that. Reading the kernel's own word (adjtimex(2)) takes a call that no safe library has; `timedatectl` reads it
/// for us, and chrony knows it from the other side.
const ASKED: [(&str, &[&str]); 2] =
    [("timedatectl", &["show", "--property=NTPSynchronized", "--value"]), ("chronyc", &["-c", "tracking"])];

/// How long is waited in one look, and in all.
const WAIT: Duration = Duration::from_millis(200);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "The machine's clock: steps, and whether anything keeps it right.";
    reader.section("clock", doc, read_section).optional().into_iter().collect()
}

fn read_section(reader: &Reader<'_>) -> Watched {
    let second = Duration::from_secs(1);
    let doc = "A step of so much is medium; back, it is high.";
    let step_warn = reader.duration("step_warn", doc).default_shown(2 * second, "2s");
    let step_high = reader.duration("step_high", "A step of so much is high.").default_shown(60 * second, "60s");
    let doc = "So long may the clock go without anything that keeps it right; `0s` does not ask.";
    let unsynced = reader.duration("unsynced", doc).default_shown(3600 * second, "1h");
    let doc = "The times of a source's events may be so far from when they come in; `0s` does not look.";
    let skew = reader.duration("skew", doc).default_shown(60 * second, "60s");
    let every = reader.duration("every", "How often it is looked at.").default_shown(second, "1s");
    if step_warn < Duration::from_millis(100) {
        reader.reject("step_warn", format!("found {} ms", step_warn.as_millis()), "100ms or more");
    }
    Watched {
        name: KIND.key.to_owned(),
        kind: KIND.key,
        target: "the machine's clock".to_owned(),
        every,
        under: Vec::new(),
        plan: Calm::of(Arc::new(Settings { step_warn, step_high, unsynced, skew }), &[("clock.step", STABLE)]),
    }
}

#[derive(Clone, Debug)]
struct Settings {
    step_warn: Duration,
    step_high: Duration,
    unsynced: Duration,
    skew: Duration,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let (steps, keeping) = (Steps::default(), Keeping::default());
        Box::new(Clock { settings: self.clone(), steps, keeping, skews: None, kept: kept.cloned() })
    }
}

struct Clock {
    settings: Settings,
    steps: Steps,
    keeping: Keeping,
    /// From the first look on.
    skews: Option<Skews>,
    /// What was told before the start.
    kept: Option<Value>,
}

impl Watcher for Clock {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        let mut failures: Vec<Failure> = self.steps.take(now, &self.settings).into_iter().collect();
        if self.settings.unsynced > Duration::ZERO {
            self.keeping.ask(now);
            failures.extend(self.keeping.judge(now, self.settings.unsynced));
        }
        if self.settings.skew > Duration::ZERO {
            let skews = self.skews.get_or_insert_with(|| Skews::begin(now, self.kept.as_ref()));
            if skews.is_due(now) {
                skews.take(now, self.settings.skew, &around.skews());
            }
            failures.extend(skews.failures());
        }
        match (&self.keeping.why_not, failures.is_empty()) {
            (Some(why), true) => {
                let cure = "run systemd-timedated or chronyd, or set `unsynced: 0s`";
                Look::blind(format!("whether the clock is kept right: {why}"), cure)
            }
            (_, true) if self.keeping.child.is_some() => Look::unknown("whether the clock is kept right"),
            _ => Look::of(failures, self.proof()),
        }
    }

    fn memory(&self) -> Option<Value> {
        self.skews.as_ref().map_or_else(|| self.kept.clone(), Skews::memory)
    }

    fn next(&self) -> Option<Duration> {
        self.keeping.child.is_some().then_some(WAIT)
    }
}

impl Clock {
    fn proof(&self) -> String {
        let kept = if self.keeping.is_kept == Some(true) { ", and is kept right" } else { "" };
        format!("the clock goes evenly{kept}")
    }
}

/// How far the wall clock was from the clock that nobody sets, over the last minutes, in milliseconds.
#[derive(Debug, Default)]
struct Steps {
    offsets: VecDeque<(Moment, i128)>,
}

impl Steps {
    fn take(&mut self, now: Moment, settings: &Settings) -> Option<Failure> {
        let offset = i128::from(now.wall.as_millisecond()) - i128::try_from(now.boot.as_millis()).unwrap_or(i128::MAX);
        while self.offsets.front().is_some_and(|(at, _)| now.since(*at) > STABLE) {
            self.offsets.pop_front();
        }
        let is_new = self.offsets.back().is_none_or(|(at, last)| {
            now.since(*at) >= KEPT_EVERY || (offset - last).unsigned_abs() >= settings.step_warn.as_millis() / 2
        });
        if is_new {
            self.offsets.push_back((now, offset));
        }
        let least = self.offsets.iter().min_by_key(|(_, offset)| *offset)?;
        let most = self.offsets.iter().max_by_key(|(_, offset)| *offset)?;
        let by = (most.1 - least.1).unsigned_abs();
        if by < settings.step_warn.as_millis() {
            return None;
        }
        // The later of the two says which way it went.
        let is_back = least.0.boot > most.0.boot;
        let is_high = is_back || by >= settings.step_high.as_millis();
        let way = if is_back { "back" } else { "forward" };
        let seconds = by as f64 / 1000.0;
        let severity = if is_high { Severity::High } else { Severity::Medium };
        let summary = format!("the machine's clock was set {way} by {seconds:.1} s");
        let failure = Failure::new("clock.step", severity, summary)
            .caused_by("somebody set it, or what keeps it right found it far off")
            .cured_by("see who set it; records from before and after it are out of order")
            .labelled("step_ms", if is_back { format!("-{by}") } else { by.to_string() });
        let first = if is_back { most.0 } else { least.0 };
        Some(failure.since(first.wall))
    }
}

/// Whether anything keeps the clock right.
#[derive(Default)]
struct Keeping {
    child: Option<(usize, Child, Moment)>,
    asked: Option<Moment>,
    is_kept: Option<bool>,
    /// Since when it is not.
    since: Option<Moment>,
    why_not: Option<String>,
}

impl Keeping {
    fn ask(&mut self, now: Moment) {
        let is_due = self.asked.is_none_or(|asked| now.since(asked) >= ASKED_EVERY);
        if self.child.is_none() && !is_due {
            return;
        }
        let (first, mut running) = match self.child.take() {
            Some((number, child, began)) => (number, Some((child, began))),
            None => (0, None),
        };
        self.asked = Some(now);
        let mut refusals = Vec::new();
        for (number, (program, arguments)) in ASKED.iter().enumerate().skip(first) {
            let begun = running.take().map_or_else(|| begin(program, arguments, now), Ok);
            match begun.and_then(|(mut child, began)| Ok((child.poll(WAIT)?, child, began))) {
                Ok((Some(said), ..)) => match answer(number, &said.out).filter(|_| said.is_well) {
                    Some(is_kept) => return self.answered(now, is_kept),
                    None => refusals.push(format!("{program}: {}", String::from_utf8_lossy(&said.err))),
                },
                Ok((None, child, began)) if now.since(began) < ANSWER_WITHIN => {
                    self.child = Some((number, child, began));
                    return;
                }
                Ok((None, ..)) => refusals.push(format!("{program} did not answer")),
                Err(error) => refusals.push(format!("{program}: {error}")),
            }
        }
        self.is_kept = None;
        self.why_not = Some(cut(&one_line(&refusals.join("; ").replace('\n', " ")), 400).into_owned());
    }

    fn answered(&mut self, now: Moment, is_kept: bool) {
        self.why_not = None;
        self.is_kept = Some(is_kept);
        self.since = if is_kept { None } else { self.since.or(Some(now)) };
    }

    fn judge(&self, now: Moment, most: Duration) -> Option<Failure> {
        let since = self.since.filter(|since| now.since(*since) >= most)?;
        let summary = format!("nothing has kept the clock right for {} min", now.since(since).as_secs() / 60);
        let failure = Failure::new("clock.unsynced", Severity::Medium, summary).since(since.wall);
        Some(failure.cured_by("start chronyd or systemd-timesyncd, and see whether its servers can be reached"))
    }
}

fn begin(program: &str, arguments: &[&str], now: Moment) -> io::Result<(Child, Moment)> {
    Ok((Child::begin(program, arguments, None, 4096)?, now))
}

/// What the program of this number said.
fn answer(number: usize, out: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(out);
    match (number, text.trim()) {
        (0, "yes") => Some(true),
        (0, "no") => Some(false),
        (0, _) => None,
        // The last field is the leap status; one without a source has no reference.
        (_, text) => text.rsplit(',').next().filter(|_| text.contains(',')).map(|leap| leap != "Not synchronised"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn settings() -> Settings {
        Settings {
            step_warn: Duration::from_secs(2),
            step_high: Duration::from_secs(60),
            unsynced: Duration::from_secs(3600),
            skew: Duration::from_secs(60),
        }
    }

    /// After `second` seconds, with a wall clock that is off by so many milliseconds.
    fn at(second: u64, off: i64) -> Moment {
        let boot = Duration::from_secs(1_000 + second);
        let wall = 1_800_000_000_000 + i64::try_from(second).unwrap() * 1000 + off;
        Moment { boot, wall: Timestamp::from_millisecond(wall).unwrap() }
    }

    fn check(looks: &[(u64, i64)]) -> Vec<Option<(Severity, String)>> {
        let mut steps = Steps::default();
        let judge = |(second, off): &(u64, i64)| {
            steps
                .take(at(*second, *off), &settings())
                .map(|failure| (failure.severity, failure.labels["step_ms"].clone()))
        };
        looks.iter().map(judge).collect()
    }

    #[test]
    fn a_step_is_told_until_the_clock_went_evenly_for_ten_minutes() {
        let seen = check(&[(0, 0), (1, 3), (2, 5_003), (3, 5_003), (600, 5_003), (603, 5_003), (700, 5_003)]);
        let step = Some((Severity::Medium, "5003".to_owned()));
        assert_eq!(seen, [None, None, step.clone(), step.clone(), step, None, None]);
    }

    #[test]
    fn a_step_back_and_a_great_one_are_high() {
        assert_eq!(check(&[(0, 0), (1, -2_500)])[1], Some((Severity::High, "-2500".to_owned())));
        assert_eq!(check(&[(0, 0), (1, 3_600_000)])[1], Some((Severity::High, "3600000".to_owned())));
        assert_eq!(check(&[(0, 0), (1, 1_999)])[1], None);
    }

    #[test]
    fn many_small_steps_are_one_and_a_slow_correction_is_none() {
        let small: Vec<_> = (0..6).map(|step: i64| (u64::try_from(step).unwrap() * 5, step * 500)).collect();
        assert!(check(&small)[4].is_some());
        // 500 parts in a million is the most that the kernel corrects by.
        let slow: Vec<_> = (0..600).map(|second: i64| (u64::try_from(second).unwrap(), second / 2)).collect();
        assert!(check(&slow).into_iter().all(|seen| seen.is_none()));
    }

    #[test]
    fn a_clock_that_nothing_keeps_right_is_told_after_an_hour() {
        let mut keeping = Keeping::default();
        let hour = Duration::from_secs(3600);
        keeping.answered(at(0, 0), false);
        keeping.answered(at(3_599, 0), false);
        assert!(keeping.judge(at(3_599, 0), hour).is_none());
        assert!(keeping.judge(at(3_600, 0), hour).is_some());
        keeping.answered(at(3_601, 0), true);
        assert!(keeping.judge(at(3_601, 0), hour).is_none());
    }

    #[test]
    fn both_programs_are_understood() {
        let tracking = "C0A80001,192.168.0.1,3,1795378710.1,0.0,0.0,0.0,0.1,0.0,0.0,0.0,0.0,64.2,Normal\n";
        assert_eq!((answer(0, b"yes\n"), answer(0, b"no\n"), answer(0, b"")), (Some(true), Some(false), None));
        assert_eq!(answer(1, tracking.as_bytes()), Some(true));
        assert_eq!(answer(1, tracking.replace("Normal", "Not synchronised").as_bytes()), Some(false));
        assert_eq!(answer(1, b"506 Cannot talk to daemon"), None);
    }
}
