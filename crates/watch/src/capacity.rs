//! The kind `capacity`: how full the file system of a path is, in bytes and inodes, when it will be full, and whether it can be
//! written.

mod allotted;
mod cap;
mod forecast;

use crate::look::{Failure, Look, Moment, Sight};
use crate::posture::Text;
use crate::sensors::readable;
use crate::sensors::setting;
use crate::sensors::space::{Space, space};
use crate::sensors::stored::{Stored, stored};
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use allotted::Allotted;
use balefire_model::Severity;
use balefire_model::settings::Reader;
use cap::Cap;
use forecast::{Growth, Kept};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "capacity", read };

/// So much emptier than a level must be what was fuller, until that is over (in percent): no alarm at each file that comes
/// and goes.
const HYSTERESIS: f64 = 5.0;

/// Within this time a file system is foretold to be full, if nothing else is set.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often it is counted what the logs take: few files often, so that it is told in time, and many now and then, because it
/// costs.
const COUNTED_EVERY: Duration = Duration::from_secs(60);
const FEW_COUNTED_EVERY: Duration = Duration::from_secs(5);
const FEW: u32 = 1_000;

/// Of what a forecast warns of, so much is near: 4 of 24 hours.
const NEAR: u32 = 6;

/// How bad each level is; what is full is critical.
const SEVERITIES: [Severity; 3] = [Severity::Medium, Severity::High, Severity::High];

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "Room for logs: how full the file systems of these paths are.";
    reader.sections("capacity", doc, read_one).optional().unwrap_or_default()
}

fn read_one(reader: &Reader<'_>) -> Watched {
    let path = reader.text("path", "A directory or file whose file system is looked at.").required(String::new());
    let levels = |name, doc| {
        let form = "up to three whole numbers from 1 to 100, the lowest first, such as [75, 90, 95]";
        let found = reader.texts(name, doc).optional();
        let Some(texts) = found else { return vec![75, 90, 95] };
        let levels: Vec<u8> = texts.iter().filter_map(|text| text.trim().parse().ok()).collect();
        let is_good = levels.len() == texts.len() && (1..=3).contains(&levels.len()) && levels.is_sorted();
        if !is_good || levels.iter().any(|level| !(1..=100).contains(level)) {
            reader.reject(name, format!("found {}", texts.join(", ")), form);
        }
        levels
    };
    let bytes =
        levels("bytes", "Percent of the bytes at which it is medium, high and higher: `[75, 90, 95]` if not set.");
    let inodes = levels("inodes", "The same of the inodes.");
    let doc = "Told when growth as of the last hours and days fills it within this time, and again within a sixth of it; `0s` does \
               not tell.";
    let forecast = reader.duration("forecast", doc).default_shown(DAY, "24h");
    let doc = "It may be in memory, where logs end with the machine. If not set, that is told once.";
    let volatile = reader.bool("volatile", doc).default(false);
    let cap = cap::read(reader, &path);
    let every = reader.duration("every", "How often it is looked at.").default_shown(Duration::from_secs(5), "5s");
    Watched {
        name: format!("capacity:{path}"),
        kind: KIND.key,
        target: path.clone(),
        every,
        under: Vec::new(),
        plan: Arc::new(Settings { path: PathBuf::from(path), bytes, inodes, forecast, volatile, cap }),
    }
}

/// The room of one path, by levels at which it becomes short for whoever writes there: nobody has asked for this watcher, so
/// that it is quiet for longer.
pub(crate) fn plan(path: PathBuf) -> impl Plan {
    let levels = vec![90, 95, 98];
    Settings { path, bytes: levels.clone(), inodes: levels, forecast: Duration::ZERO, volatile: false, cap: Cap::None }
}

#[derive(Clone, Debug)]
struct Settings {
    path: PathBuf,
    bytes: Vec<u8>,
    inodes: Vec<u8>,
    forecast: Duration,
    volatile: bool,
    cap: Cap,
}

/// What a restart must know.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    bytes: Option<Kept>,
    inodes: Option<Kept>,
    told_volatile: bool,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What an older version kept in another form is as good as nothing: growth is learned anew.
        let kept: Memory = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default();
        let detector = Detector {
            growth: [Growth::new(kept.bytes), Growth::new(kept.inodes)],
            told_volatile: kept.told_volatile,
            ..Detector::default()
        };
        Box::new(Capacity { settings: self.clone(), detector, counted: None })
    }
}

struct Capacity {
    settings: Settings,
    detector: Detector,
    /// What the logs may take and take, or why that is not seen, and when that was counted.
    counted: Option<(Moment, Result<Option<Logs>, Look>)>,
}

/// What logs may take, and what they take.
type Logs = (Allotted, Stored);

impl Watcher for Capacity {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        let path = &self.settings.path;
        let space = match space(path) {
            Ok(space) => space,
            Err(error) => {
                let cure = match error.kind() {
                    io::ErrorKind::NotFound => format!("to mount or make {}, or to name another path", path.display()),
                    _ => readable::right(path),
                };
                return Look::blind(format!("statvfs {}: {error}", path.display()), cure);
            }
        };
        if self.counted.as_ref().is_none_or(|(counted, logs)| now.since(*counted) >= every(logs)) {
            self.counted = Some((now, count(&self.settings, space.bytes)));
        }
        let (logs, blind) = match self.counted.as_ref().map(|(_, counted)| counted) {
            Some(Ok(logs)) => (*logs, None),
            Some(Err(blind)) => (None, Some(blind.clone())),
            None => (None, None),
        };
        let look = self.detector.judge(now, &self.settings, (space, logs));
        let look = match blind {
            Some(blind) if !matches!(look.sight, Sight::Failing(_)) => blind,
            _ => look,
        };
        look.with(self.detector.volatile(&self.settings, space).into_iter().collect())
    }

    fn memory(&self) -> Option<Value> {
        let [bytes, inodes] = &self.detector.growth;
        let told_volatile = self.detector.told_volatile;
        // It has no map with keys that are no text, so that nothing can go wrong.
        serde_json::to_value(Memory { bytes: bytes.memory(), inodes: inodes.memory(), told_volatile }).ok()
    }
}

/// How often they are counted.
fn every(logs: &Result<Option<Logs>, Look>) -> Duration {
    match logs {
        Ok(Some((_, stored))) if stored.files <= FEW => FEW_COUNTED_EVERY,
        _ => COUNTED_EVERY,
    }
}

/// What the logs may take and what they take, of a file system with so many bytes; an error says that it is not seen though it
/// was asked for.
fn count(settings: &Settings, all: u64) -> Result<Option<Logs>, Look> {
    let path = &settings.path;
    let of = |allotted: Allotted, counted: &Path| match stored(counted) {
        Ok(stored) => Ok((allotted, stored)),
        Err(error) => Err(Look::blind(format!("count {}: {error}", counted.display()), readable::right(counted))),
    };
    match &settings.cap {
        Cap::None => Ok(None),
        Cap::Bytes(allotted) => of(*allotted, path).map(Some),
        Cap::Of { writer, conf, retain, is_asked } => {
            let text = match conf.as_deref().or(writer.conf()) {
                Some(conf) => setting::all(conf, &conf.with_extension("conf.d"), "conf"),
                None => setting::systemd("journald.conf"),
            };
            let cure = match (&text, conf.as_deref().or(writer.conf())) {
                (Text::Denied(_), Some(conf)) => readable::right(conf),
                (Text::Denied(_), None) => "the right to read journald.conf".to_owned(),
                _ => "to name its settings with `conf`, or to set `cap` to a size".to_owned(),
            };
            let found = cap::found(&text, *writer, (path, all), *retain).map_err(|why| Look::blind(why, cure));
            let logs = found.and_then(|found| found.map(|(allotted, counted)| of(allotted, &counted)).transpose());
            // What nobody has asked for is no reason to be blind.
            if *is_asked { logs } else { Ok(logs.unwrap_or(None)) }
        }
    }
}

/// What was told last, for the hysteresis.
#[derive(Clone, Debug, Default)]
struct Detector {
    bytes: Option<u8>,
    inodes: Option<u8>,
    /// How bytes and inodes have grown.
    growth: [Growth; 2],
    is_foretold: bool,
    told_volatile: bool,
    allotted: Option<u8>,
}

impl Detector {
    fn judge(&mut self, now: Moment, settings: &Settings, (space, logs): (Space, Option<Logs>)) -> Look {
        let path = settings.path.display();
        let bytes = percent(space.bytes, space.bytes_free);
        let inodes = percent(space.inodes, space.inodes_free);
        let mut failures = Vec::new();
        self.bytes = level(&settings.bytes, bytes, self.bytes);
        self.inodes = level(&settings.inodes, inodes, self.inodes);
        let found = [("bytes", "capacity.bytes", &settings.bytes, self.bytes, bytes), {
            ("inodes", "capacity.inodes", &settings.inodes, self.inodes, inodes)
        }];
        for (what, id, levels, reached, percent) in found {
            let Some(reached) = reached else { continue };
            let summary = format!("{path}: {percent:.1} % of the {what} are used (limit {reached} %)");
            let failure = Failure::new(id, severity(levels, reached, percent), summary);
            failures.push(failure.cured_by(format!("make room below {path}, or make it larger")));
        }
        if space.is_read_only {
            let summary = format!("{path}: the file system is mounted read-only");
            failures
                .push(Failure::new("capacity.read_only", Severity::Critical, summary).cured_by("see dmesg; remount"));
        }
        failures.extend(self.foretell(now, settings, space));
        failures.extend(self.allotted(now, settings, logs));
        let logs = logs.map_or_else(String::new, |(allotted, stored)| format!("; {}", allotted.told(now, &stored)));
        Look::of(failures, format!("{bytes:.1} % of the bytes, {inodes:.1} % of the inodes used{logs}"))
    }
}

impl Detector {
    /// When it will be full, where that is soon.
    fn foretell(&mut self, now: Moment, settings: &Settings, space: Space) -> Option<Failure> {
        let [bytes, inodes] = &mut self.growth;
        bytes.take(now, space.bytes.saturating_sub(space.bytes_free));
        let mut found = vec![("bytes", bytes.forecast(space.bytes_free))];
        if space.inodes > 0 {
            inodes.take(now, space.inodes.saturating_sub(space.inodes_free));
            found.push(("inodes", inodes.forecast(space.inodes_free)));
        }
        // What was told holds until it is well over.
        let most = settings.forecast + if self.is_foretold { settings.forecast / 4 } else { Duration::ZERO };
        let near = most / NEAR;
        let within = |until: Option<Duration>, most: Duration| until.filter(|until| *until < most);
        let (what, until) = found
            .into_iter()
            .filter_map(|(what, forecast)| Some((what, within(forecast.soon, near).or(within(forecast.late, most))?)))
            .min_by_key(|(_, until)| *until)
            .filter(|_| !settings.forecast.is_zero())
            .unzip();
        self.is_foretold = until.is_some();
        let (what, until): (&str, Duration) = what.zip(until)?;
        let severity = if until < near { Severity::High } else { Severity::Medium };
        let path = settings.path.display();
        let hours = until.as_secs_f64() / 3600.0;
        let summary = format!("{path}: all {what} are used in {hours:.1} h if it goes on growing as it did");
        let failure = Failure::new("capacity.forecast", severity, summary);
        Some(failure.cured_by(format!("find what grows below {path}, and make room in time")))
    }

    /// How the logs stand with what they may take.
    fn allotted(&mut self, now: Moment, settings: &Settings, logs: Option<Logs>) -> Option<Failure> {
        let (allotted, stored) = logs?;
        let path = settings.path.display().to_string();
        if allotted.retain.is_some() {
            return allotted.too_short(now, &stored, &path);
        }
        let percent = allotted.percent(&stored);
        self.allotted = level(&settings.bytes, percent, self.allotted);
        let reached = self.allotted?;
        let summary = format!("{path}: {} (limit {reached} %)", allotted.told(now, &stored));
        let failure = Failure::new("capacity.cap", severity(&settings.bytes, reached, percent), summary);
        Some(failure.cured_by(format!("take old logs below {path} elsewhere, or let them take more")))
    }

    /// Told once: logs that end with the machine.
    fn volatile(&mut self, settings: &Settings, space: Space) -> Option<Failure> {
        if !space.is_in_memory || settings.volatile || self.told_volatile {
            return None;
        }
        self.told_volatile = true;
        let path = settings.path.display();
        let summary = format!("{path} is in memory: what is logged there ends with the machine");
        let failure = Failure::new("capacity.volatile", Severity::Low, summary);
        Some(failure.cured_by("log to a disk, or set `volatile: true` where that is meant"))
    }
}

/// How much is used; 0 where there is no fixed number.
fn percent(all: u64, free: u64) -> f64 {
    if all == 0 { 0.0 } else { 100.0 * all.saturating_sub(free) as f64 / all as f64 }
}

/// The highest level that is reached; the one that was told before holds until it is well left.
fn level(levels: &[u8], percent: f64, before: Option<u8>) -> Option<u8> {
    let reached = |level: &u8| {
        let slack = if before.is_some_and(|before| *level <= before) { HYSTERESIS } else { 0.0 };
        percent >= f64::from(*level) - slack
    };
    levels.iter().rev().copied().find(reached)
}

fn severity(levels: &[u8], reached: u8, percent: f64) -> Severity {
    let place = levels.iter().position(|level| *level == reached).unwrap_or(0);
    if percent >= 99.95 { Severity::Critical } else { SEVERITIES[place.min(2)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space_used(percent: u64) -> Space {
        let (bytes, bytes_free) = (1000, 1000 - percent * 10);
        Space { bytes, bytes_free, inodes: 0, inodes_free: 0, is_read_only: false, is_in_memory: false }
    }

    fn settings() -> Settings {
        Settings {
            path: PathBuf::from("/var/log"),
            bytes: vec![75, 90, 95],
            inodes: vec![75, 90, 95],
            forecast: DAY,
            volatile: false,
            cap: Cap::None,
        }
    }

    fn at(minute: u64) -> Moment {
        let wall = jiff::Timestamp::from_second(1_800_000_000 + i64::try_from(minute).unwrap() * 60).unwrap();
        Moment { boot: Duration::from_secs(minute * 60), wall }
    }

    #[test]
    fn what_fills_within_a_day_is_told_before_any_level_is_reached_and_is_worse_when_it_is_near() {
        let (settings, mut detector) = (settings(), Detector::default());
        let mut seen = Vec::new();
        // 4 % an hour: 25 hours in all.
        for minute in 0..16 * 60 {
            let space = Space { bytes: 60_000, bytes_free: 60_000 - minute * 40, ..space_used(0) };
            if let Sight::Failing(failures) = detector.judge(at(minute), &settings, (space, None)).sight {
                let failure = (failures[0].id.clone(), failures[0].severity);
                if seen.last().is_none_or(|(_, last)| *last != failure) {
                    seen.push((minute / 60, failure));
                }
            }
        }
        assert_eq!(seen, [(1, ("capacity.forecast".to_owned(), Severity::Medium))]);
        let space = Space { bytes: 60_000, bytes_free: 2_000, ..space_used(0) };
        let Sight::Failing(failures) = detector.judge(at(16 * 60), &settings, (space, None)).sight else { panic!() };
        let forecast = failures.iter().find(|failure| failure.id == "capacity.forecast").unwrap();
        assert_eq!(forecast.severity, Severity::High);
    }

    #[test]
    fn logs_that_take_what_they_may_are_told_within_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let cap = Cap::Bytes(Allotted { bytes: 1000, retain: None, end: allotted::End::Cap });
        let settings = Settings { path: dir.path().to_owned(), bytes: vec![75], cap, ..settings() };
        let mut watcher = settings.begin(None);
        let mut is_told = |second: u64| {
            let now = Moment { boot: Duration::from_secs(1000 + second), ..at(0) };
            matches!(watcher.look(now, &crate::watcher::Nobody).sight, Sight::Failing(failures)
                if failures.iter().any(|failure| failure.id == "capacity.cap"))
        };
        assert!(!is_told(0));
        std::fs::write(dir.path().join("a.log"), vec![b'x'; 800]).unwrap();
        assert!(is_told(5));
    }

    #[test]
    fn logs_that_take_what_they_may_are_told_by_the_same_levels() {
        let allotted = Allotted { bytes: 1000, retain: None, end: allotted::End::Cap };
        let (settings, mut detector) = (settings(), Detector::default());
        let mut told = |bytes| {
            let stored = Stored { bytes, ..Stored::default() };
            match detector.judge(at(0), &settings, (space_used(1), Some((allotted, stored)))).sight {
                Sight::Failing(failures) => Some((failures[0].id.clone(), failures[0].severity)),
                _ => None,
            }
        };
        let cap = |severity| Some(("capacity.cap".to_owned(), severity));
        assert_eq!([told(700), told(760), told(960), told(100)], {
            [None, cap(Severity::Medium), cap(Severity::High), None]
        });
    }

    #[test]
    fn logs_in_memory_are_told_once() {
        let (settings, mut detector) = (settings(), Detector::default());
        let space = Space { is_in_memory: true, ..space_used(1) };
        assert!(detector.volatile(&settings, space).is_some() && detector.volatile(&settings, space).is_none());
    }

    #[test]
    fn a_level_that_is_left_by_a_little_is_not_over() {
        let (settings, mut detector) = (settings(), Detector::default());
        let mut severity = |percent| match detector.judge(at(0), &settings, (space_used(percent), None)).sight {
            Sight::Failing(failures) => Some(failures[0].severity),
            _ => None,
        };
        let seen: Vec<_> = [74, 75, 71, 69, 90, 86, 84, 100].into_iter().map(&mut severity).collect();
        let (medium, high) = (Some(Severity::Medium), Some(Severity::High));
        assert_eq!(seen, [None, medium, medium, None, high, high, medium, Some(Severity::Critical)]);
    }

    #[test]
    fn the_root_of_this_machine_can_be_read() {
        let space = space(std::path::Path::new("/")).unwrap();
        assert!(space.bytes >= space.bytes_free && space.bytes > 0);
    }
}
