//! Sources whose cadence is learned. One that is silent, or sends far too much, is told on its own; where all that a pattern
//! names are silent at once, the collector is, and that is told once. What silence means for one is `cadence.rs`'s to say.

use super::cadence::{Bounds, Cadence, Kept};
use super::{ASLEEP, OWN, fits, hour_of_week, span};
use crate::look::{Failure, Look, Moment};
use crate::watcher::{Around, Heard, Plan, Watcher};
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// As many sources are followed by one entry; each costs some 2 KiB.
const SOURCES_MAX: usize = 10_000;
/// As many are told one by one; the others are counted.
const TOLD_MAX: usize = 20;
/// The others of a collector must miss so many events, too, before it is the collector that is silent.
const OTHERS_MISS_MIN: f64 = 9.2;
/// What was learned is kept for a restart so often, in looks' time.
const KEPT_EVERY: Duration = Duration::from_secs(3600);

/// What is expected.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) pattern: String,
    pub(super) except: Vec<String>,
    /// Sources that have an entry of their own.
    pub(super) named: Arc<[String]>,
    pub(super) severity: Severity,
    pub(super) bounds: Bounds,
    pub(super) zone: TimeZone,
}

impl Settings {
    fn is_about(&self, name: &str) -> bool {
        name != OWN && fits(&self.pattern, name) && !self.named.iter().chain(&self.except).any(|other| other == name)
    }
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(Learned::new(self.clone(), kept))
    }
}

/// One source.
struct Followed {
    cadence: Cadence,
    /// How many events of it we know of.
    count: u64,
    last: Option<Timestamp>,
    is_silent: bool,
    floods: bool,
}

/// What a restart must know.
#[derive(Serialize, Deserialize)]
struct Memory {
    all: Kept,
    sources: BTreeMap<String, (Kept, Option<Timestamp>, bool)>,
}

struct Learned {
    settings: Settings,
    sources: BTreeMap<String, Followed>,
    /// All of them together, as one source.
    all: Cadence,
    /// Events that are missing since the last one of anybody, but for those of whoever sends most.
    others_miss: f64,
    is_silent: bool,
    previous: Option<Moment>,
    left_out: usize,
    /// As text, which is small beside a tree of values.
    kept: Option<(Moment, String)>,
}

impl Watcher for Learned {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        let heard = around.sources();
        self.listen(now, heard);
        self.judge();
        if self.kept.as_ref().is_none_or(|(kept, _)| now.since(*kept) >= KEPT_EVERY) {
            self.kept = Some((now, self.remember()));
        }
        self.tell()
    }

    fn memory(&self) -> Option<Value> {
        self.kept.as_ref().map(|(_, text)| Value::String(text.clone()))
    }
}

impl Learned {
    fn new(settings: Settings, kept: Option<&Value>) -> Learned {
        // What cannot be read is learned again.
        let kept = kept.and_then(Value::as_str);
        let memory = kept.and_then(|kept| serde_json::from_str::<Memory>(kept).ok());
        let all = memory.as_ref().map_or_else(Cadence::new, |memory| Cadence::from_kept(&memory.all));
        let mut sources = BTreeMap::new();
        for (name, (kept, last, is_silent)) in memory.map(|memory| memory.sources).unwrap_or_default() {
            if settings.is_about(&name) && sources.len() < SOURCES_MAX {
                let cadence = Cadence::from_kept(&kept);
                sources.insert(name, Followed { cadence, count: 0, last, is_silent, floods: false });
            }
        }
        let (previous, kept) = (None, None);
        Learned { settings, sources, all, others_miss: 0.0, is_silent: false, previous, left_out: 0, kept }
    }

    /// Time passes for all, and who was heard is quiet no more.
    fn listen(&mut self, now: Moment, heard: Vec<(String, Heard)>) {
        let passed = self.previous.map_or(Duration::ZERO, |previous| now.since(previous));
        // While we slept nobody could be heard: that time is nobody's.
        let passed = if passed > ASLEEP { Duration::ZERO } else { passed };
        self.previous = Some(now);
        let hour = hour_of_week(&self.settings.zone, now.wall);
        let is_collector_silent = self.is_silent;
        let (mut sum, mut most) = (0.0, 0.0_f64);
        for source in self.sources.values_mut() {
            if !is_collector_silent {
                source.cadence.pass(hour, passed, !source.is_silent && !source.floods);
            }
            let rate = source.cadence.rate(hour);
            (sum, most) = (sum + rate, most.max(rate));
        }
        self.all.pass(hour, passed, !is_collector_silent);
        self.others_miss += (sum - most) * passed.as_secs_f64() / 3600.0;
        let mut total = 0;
        self.left_out = 0;
        for (name, heard) in heard {
            total += self.hear(name, heard, hour, now);
        }
        if total > 0 {
            self.all.hear(total, !is_collector_silent);
            (self.others_miss, self.is_silent) = (0.0, false);
        }
    }

    /// How many events of it are new.
    fn hear(&mut self, name: String, heard: Heard, hour: usize, now: Moment) -> u64 {
        if !self.sources.contains_key(&name) {
            if !self.settings.is_about(&name) {
                return 0;
            }
            if self.sources.len() >= SOURCES_MAX {
                self.left_out += 1;
                return 0;
            }
            let mut cadence = Cadence::new();
            cadence.pass(hour, Duration::ZERO, true);
            let followed = Followed { cadence, count: 0, last: None, is_silent: false, floods: false };
            self.sources.insert(name.clone(), followed);
        }
        let is_learning = !self.is_silent;
        let source = self.sources.get_mut(&name).expect("it was put there");
        if heard.count == source.count {
            return 0;
        }
        // A counter that went back is one that began anew.
        let new = heard.count.checked_sub(source.count).unwrap_or(heard.count);
        source.count = heard.count;
        source.last = Some(heard.last.wall.min(now.wall));
        source.cadence.hear(new, is_learning && !source.is_silent && !source.floods);
        source.is_silent = false;
        new
    }

    fn judge(&mut self) {
        let bounds = self.settings.bounds;
        // One source that is quiet beside one that always is, is not a collector.
        let is_collector = self.sources.len() > 1 && self.others_miss >= OTHERS_MISS_MIN;
        self.is_silent |= is_collector && self.all.is_silent(&bounds);
        for source in self.sources.values_mut() {
            source.floods = source.cadence.floods(&bounds);
            source.is_silent |= !self.is_silent && source.cadence.is_silent(&bounds);
        }
    }

    fn tell(&self) -> Look {
        let bounds = self.settings.bounds;
        let mut failures = Vec::new();
        if self.is_silent {
            failures.push(self.collector());
        }
        let mut untold = 0;
        for (name, source) in self.sources.iter().filter(|(_, source)| source.is_silent || source.floods) {
            if failures.len() > TOLD_MAX {
                untold += 1;
                continue;
            }
            let failure = if source.is_silent { self.silent(name, source) } else { flood(name, source) };
            failures.push(failure.labelled("source_name", name.clone()).of(name.clone()));
        }
        if untold > 0 {
            let summary = format!("{untold} more sources of {} are silent or send too much", self.settings.pattern);
            failures.push(Failure::new("source.silent", self.settings.severity, summary).of("*more"));
        }
        if self.left_out > 0 {
            let summary = format!("{} sources of {} are not followed", self.left_out, self.settings.pattern);
            let failure = Failure::new("source.unknown", Severity::Medium, summary).of("*more");
            let cause = format!("one entry follows {SOURCES_MAX} sources");
            failures.push(failure.caused_by(cause).cured_by("split the pattern into several entries"));
        }
        let known = self.sources.values().filter(|source| source.cadence.is_known(&bounds)).count();
        if failures.is_empty() && known == 0 {
            let longest = self.sources.values().map(|source| source.cadence.learned()).max().unwrap_or_default();
            let (count, min) = (self.sources.len(), span(self.settings.bounds.min));
            return Look::unknown(format!("learns: {count} sources, the longest for {} of {min}", span(longest)));
        }
        let last = self.sources.values().filter_map(|source| source.last).max();
        let last = last.map_or(String::new(), |last| format!(", the last event at {last:.0}"));
        Look::of(failures, format!("{known} of {} sources are known{last}", self.sources.len()))
    }

    fn collector(&self) -> Failure {
        let (pattern, count) = (&self.settings.pattern, self.sources.len());
        let summary = format!("all {count} sources of {pattern} are silent for {}", span(self.all.quiet_for()));
        let failure = Failure::new("source.silent", self.settings.severity.max(Severity::High), summary)
            .caused_by("what they have in common: the collector, the network, or a token that is not valid any more")
            .cured_by("see whether the collector runs and reaches Balefire");
        let last = self.sources.values().filter_map(|source| source.last).max();
        last.into_iter().fold(failure, Failure::since).labelled("sources", count.to_string())
    }

    fn silent(&self, name: &str, source: &Followed) -> Failure {
        let (missing, limit) = source.cadence.missing();
        let name = shown(name);
        let summary = format!("source {name} is silent for {}", span(source.cadence.quiet_for()));
        let cause = format!("{missing:.1} events were to be expected meanwhile (limit {limit:.1})");
        let failure = Failure::new("source.silent", self.settings.severity, summary).caused_by(cause).cured_by(
            format!("see whether {name} runs and reaches Balefire; one that is gone for good goes into `except`"),
        );
        source.last.into_iter().fold(failure, Failure::since)
    }

    fn remember(&self) -> String {
        let one = |source: &Followed| (source.cadence.keep(), source.last, source.is_silent);
        let sources = self.sources.iter().map(|(name, source)| (name.clone(), one(source))).collect();
        serde_json::to_string(&Memory { all: self.all.keep(), sources }).expect("names and numbers are JSON")
    }
}

fn flood(name: &str, source: &Followed) -> Failure {
    let (now, busiest) = source.cadence.hour();
    let summary = format!("source {} floods: {now:.0} events in this hour, {busiest:.0} in its busiest", shown(name));
    Failure::new("source.flood", Severity::Medium, summary)
        .cured_by("see what it sends; a `rate` of its token bounds it")
}

/// A name is a person's of ours or, some day, a device's own.
fn shown(name: &str) -> String {
    cut(&one_line(name), 80).into_owned()
}
