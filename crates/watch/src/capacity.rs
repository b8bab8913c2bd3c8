//! The kind `capacity`: how full the file system of a path is, in bytes and inodes, and whether it can be written.

use crate::look::{Failure, Look, Moment};
use crate::sensors::space::{Space, space};
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::settings::Reader;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "capacity", read };

/// So much emptier than a level must be what was fuller, until that is over (in percent): no alarm at each file that comes
/// and goes.
const HYSTERESIS: f64 = 5.0;

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
    let every = reader.duration("every", "How often it is looked at.").default_shown(Duration::from_secs(5), "5s");
    Watched {
        name: format!("capacity:{path}"),
        kind: KIND.key,
        target: path.clone(),
        every,
        under: Vec::new(),
        plan: Arc::new(Settings { path: PathBuf::from(path), bytes, inodes }),
    }
}

/// The room of one path, by the usual levels.
pub(crate) fn plan(path: PathBuf) -> impl Plan {
    Settings { path, bytes: vec![75, 90, 95], inodes: vec![75, 90, 95] }
}

#[derive(Clone, Debug)]
struct Settings {
    path: PathBuf,
    bytes: Vec<u8>,
    inodes: Vec<u8>,
}

impl Plan for Settings {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(Capacity { settings: self.clone(), detector: Detector::default() })
    }
}

struct Capacity {
    settings: Settings,
    detector: Detector,
}

impl Watcher for Capacity {
    fn look(&mut self, _: Moment, _: &dyn Around) -> Look {
        let path = self.settings.path.display();
        match space(&self.settings.path) {
            Ok(space) => self.detector.judge(&self.settings, space),
            Err(error) => Look::blind(format!("statvfs {path}: {error}"), format!("the right to reach {path}")),
        }
    }
}

/// What was told last, for the hysteresis.
#[derive(Clone, Debug, Default)]
struct Detector {
    bytes: Option<u8>,
    inodes: Option<u8>,
}

impl Detector {
    fn judge(&mut self, settings: &Settings, space: Space) -> Look {
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
        Look::of(failures, format!("{bytes:.1} % of the bytes, {inodes:.1} % of the inodes used"))
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
    use crate::look::Sight;

    fn space_used(percent: u64) -> Space {
        Space { bytes: 1000, bytes_free: 1000 - percent * 10, inodes: 0, inodes_free: 0, is_read_only: false }
    }

    #[test]
    fn a_level_that_is_left_by_a_little_is_not_over() {
        let settings = Settings { path: PathBuf::from("/var/log"), bytes: vec![75, 90, 95], inodes: vec![75, 90, 95] };
        let mut detector = Detector::default();
        let mut severity = |percent| match detector.judge(&settings, space_used(percent)).sight {
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
