//! The kind `rsyslog`: whether rsyslog loses messages, from the statistics that its module impstats writes to a file. Two
//! watchers read them: what comes in, and what goes on through queues and actions.

mod balance;
mod rounds;

use crate::look::{Failure, Look, Moment};
use crate::sensors::growing::Growing;
use crate::sensors::readable;
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balance::{Balance, Fill};
use balefire_model::Severity;
use balefire_model::settings::Reader;
use jiff::{SignedDuration, Timestamp};
use rounds::Rounds;
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "rsyslog", read };

/// After so many intervals without a line the statistics themselves have stopped.
const SILENT: u32 = 3;

/// A round is over when nothing came for so long.
const SETTLED: Duration = Duration::from_millis(900);

/// The line that makes rsyslog write them.
const MODULE: &str = "load impstats in rsyslog.conf: module(load=\"impstats\" interval=\"10\" format=\"json\" \
                      resetCounters=\"off\" log.file=\"PATH\" log.syslog=\"off\")";

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "rsyslog, by the statistics of its module impstats in the format json.";
    reader.section("rsyslog", doc, read_section).optional().unwrap_or_default()
}

fn read_section(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "The file that impstats writes: its `log.file`. Set `format=\"json\"` and `log.syslog=\"off\"`.";
    let stats = reader.text("stats", doc).required(String::new());
    let doc = "impstats' interval, until it is learned from the file.";
    let interval = reader.duration("interval", doc).optional();
    let doc = "impstats runs with `resetCounters=\"on\"`.";
    let is_reset = reader.bool("reset", doc).default(false);
    let doc = "How many messages a queue holds at most (`queue.size`), which the statistics do not say; without it only a queue \
               from which nothing leaves is told.";
    let size = reader.integer("queue_size", doc, 1, i64::MAX).optional().and_then(|size| u64::try_from(size).ok());
    let percent =
        |name, doc, usual: i64| u64::try_from(reader.integer(name, doc, 1, 100).default(usual)).unwrap_or(100);
    let warn = percent("queue_warn", "Percent of that at which it is medium.", 50);
    let high = percent("queue_high", "Percent of that at which it is high.", 80);
    let every =
        reader.duration("every", "How often the file is looked at.").default_shown(Duration::from_secs(2), "2s");
    let fill = Fill { size, warn, high };
    let watched = |name: &str, part| Watched {
        name: format!("rsyslog.{name}"),
        kind: KIND.key,
        target: stats.clone(),
        every,
        under: Vec::new(),
        plan: Arc::new(Settings { stats: PathBuf::from(&stats), interval, is_reset, fill, part }),
    };
    vec![watched("balance", Part::Balance), watched("queue", Part::Queue)]
}

/// Which failures a watcher tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What comes in, and the statistics themselves.
    Balance,
    /// What goes on.
    Queue,
}

#[derive(Clone, Debug)]
struct Settings {
    stats: PathBuf,
    interval: Option<Duration>,
    is_reset: bool,
    fill: Fill,
    part: Part,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let open = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default();
        Box::new(Rsyslog {
            settings: self.clone(),
            growing: Growing::default(),
            rounds: Rounds::default(),
            balance: Balance::new(self.is_reset, open),
            heard: None,
        })
    }
}

struct Rsyslog {
    settings: Settings,
    growing: Growing,
    rounds: Rounds,
    balance: Balance,
    /// When a line came last.
    heard: Option<Moment>,
}

impl Watcher for Rsyslog {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        let path = self.settings.stats.display().to_string();
        match self.growing.read(&self.settings.stats) {
            Ok(read) => self.take(now, &read.lines, read.facts.written),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.heard.get_or_insert(now);
                if self.silent(now, &path).is_none() {
                    return Look::unknown(format!("{path} is not there: {MODULE}"));
                }
            }
            Err(error) => return Look::blind(format!("open {path}: {error}"), readable::right(&self.settings.stats)),
        }
        let silent = self.silent(now, &path);
        match self.settings.part {
            Part::Queue if silent.is_some() => Look::unknown("the statistics have stopped: see rsyslog.balance"),
            part => self.say(part, silent),
        }
    }

    fn memory(&self) -> Option<Value> {
        // Its keys are text, so that nothing can go wrong.
        serde_json::to_value(self.balance.open()).ok()
    }
}

impl Rsyslog {
    fn take(&mut self, now: Moment, lines: &[String], written: i64) {
        for line in lines {
            if let Some(round) = self.rounds.take(line) {
                self.balance.take(round, self.settings.fill);
            }
        }
        if !lines.is_empty() {
            let first = self.heard.is_none();
            // What stood there before the first look was written when the file was, not now.
            self.heard = Some(if first { back_to(now, written) } else { now });
        } else if self.heard.is_some_and(|heard| now.since(heard) >= SETTLED)
            && let Some(round) = self.rounds.settle()
        {
            self.balance.take(round, self.settings.fill);
        }
        self.heard.get_or_insert_with(|| back_to(now, written));
    }

    fn silent(&self, now: Moment, path: &str) -> Option<Failure> {
        // rsyslog's own default is five minutes.
        let interval = self.rounds.interval().or(self.settings.interval).unwrap_or(Duration::from_secs(300));
        let heard = self.heard?;
        if now.since(heard) < interval.saturating_mul(SILENT) {
            return None;
        }
        let summary = format!("rsyslog has written no statistics to {path} for {} s", now.since(heard).as_secs());
        let failure = Failure::new("syslog.stats_silent", Severity::High, summary).since(heard.wall);
        Some(failure.caused_by("rsyslogd does not run, stands still, or cannot write").cured_by(MODULE))
    }

    fn say(&self, part: Part, silent: Option<Failure>) -> Look {
        let is_input = |failure: &Failure| failure.id == "syslog.input_loss";
        let mut failures = self.balance.failures();
        failures.retain(|failure| is_input(failure) == (part == Part::Balance));
        failures.extend(silent);
        let flow = self.balance.flow;
        if flow.rounds < 2 && failures.is_empty() {
            return Look::unknown("two intervals of statistics");
        }
        let (submitted, enqueued) = (flow.submitted, flow.enqueued);
        Look::of(failures, format!("{submitted} messages submitted and {enqueued} enqueued in the last interval"))
    }
}

/// The moment at which the wall clock showed this.
fn back_to(now: Moment, seconds: i64) -> Moment {
    let wall = Timestamp::from_second(seconds).unwrap_or(now.wall).min(now.wall);
    let ago = now.wall.duration_since(wall).max(SignedDuration::ZERO).unsigned_abs();
    Moment { boot: now.boot.saturating_sub(ago), wall }
}
