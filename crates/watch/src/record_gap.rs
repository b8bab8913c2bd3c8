//! The kind `windows`: records of Windows' event logs that a forwarder sends in full, and of which some never come. A log goes on
//! counting when it is cleared, so that a gap stays a gap. The counting is in [`logs`], the shapes of events in the packs.

mod logs;

use crate::look::{Failure, Look, Moment, Sight};
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::settings::Reader;
use balefire_model::text::{cut, one_line};
use logs::{LOGS_MAX, Logs, Missing};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "windows", read };

/// How often what has come is counted.
const EVERY: Duration = Duration::from_secs(5);

/// How long a record may be late: forwarders read logs side by side, and send again what was not taken.
const WAIT: Duration = Duration::from_secs(600);

/// As many gaps are told at once; further ones are counted in the last.
const TOLD_MAX: usize = 20;

/// As much of a computer's name is kept.
const NAME_BYTES_MAX: usize = 255;

/// One record that a source has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The computer, in small letters.
    pub computer: String,
    /// The channel, in small letters.
    pub channel: String,
    /// Its number in that log.
    pub number: u64,
}

/// What a source has sent since it was asked for last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRecords {
    /// The records, in the order in which they came.
    pub records: Vec<LogRecord>,
    /// There were more than can be kept: these are not all.
    pub is_cut: bool,
}

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "Records of Windows' event logs that are missing among those of a source that forwards whole logs.";
    reader.sections("windows", doc, read_one).optional().unwrap_or_default()
}

fn read_one(reader: &Reader<'_>) -> Watched {
    let source = reader.text("source", "The token or input by which they come.").required(String::new());
    let doc = "Logs that it forwards in full, without a filter; `Security` if not set.";
    let channels = reader.texts("channels", doc).optional().unwrap_or_else(|| vec!["Security".to_owned()]);
    let channels = channels.iter().map(|channel| channel.trim().to_ascii_lowercase()).collect();
    let doc = "How late a record may be until it counts as missing.";
    let wait = reader.duration("wait", doc).default_shown(WAIT, "10m");
    let plan = Arc::new(Settings { source: source.clone(), channels, wait });
    Watched { name: format!("windows:{source}"), kind: KIND.key, target: source, every: EVERY, under: Vec::new(), plan }
}

#[derive(Clone, Debug)]
struct Settings {
    source: String,
    channels: Vec<String>,
    wait: Duration,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What cannot be read was written by another version: every log begins with its next record.
        let logs = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default();
        Box::new(Counter { settings: self.clone(), logs, count: 0 })
    }
}

struct Counter {
    settings: Settings,
    logs: Logs,
    /// Records since the start.
    count: u64,
}

impl Watcher for Counter {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        let LogRecords { records, is_cut } = around.log_records(&self.settings.source);
        if is_cut {
            self.logs.lose_track();
            let why = "more records came than can be counted: every log is followed anew from its next one";
            return Look::blind(why, "fewer sources to a token");
        }
        for LogRecord { computer, channel, number } in records {
            if self.settings.channels.contains(&channel) && !computer.is_empty() {
                self.count += 1;
                self.logs.take((cut(&computer, NAME_BYTES_MAX).into_owned(), channel), number, now.boot);
            }
        }
        let missing = self.logs.settle(now.boot, self.settings.wait);
        let sight = match self.count {
            0 => Sight::Unknown { why: "no record has come since the start".to_owned() },
            count => {
                Sight::Ok { proof: format!("{count} records of {} logs (of {LOGS_MAX} at most)", self.logs.len()) }
            }
        };
        Look::from(sight).with(told(&missing, &self.settings.source))
    }

    fn memory(&self) -> Option<Value> {
        (self.logs.len() > 0).then(|| serde_json::to_value(&self.logs).ok()).flatten()
    }
}

fn told(missing: &[Missing], source: &str) -> Vec<Failure> {
    let gap = |missing: &Missing| {
        let Missing { log: (computer, channel), count, span: (from, to) } = missing;
        let (computer, channel) = (one_line(computer), one_line(channel));
        let summary = format!("{computer}: {count} records of the log {channel} never came ({from} to {to})");
        Failure::new("windows.record_gap", Severity::High, summary)
            .of(format!("{computer}/{channel}"))
            .caused_by(format!(
                "they were lost between the log and us, or the forwarder (source {source}) leaves records out"
            ))
            .cured_by("look for them on that computer: `Get-WinEvent` with -FilterXPath '*[System[EventRecordID=...]]'")
            .losing(*count, "records")
            .labelled("computer", computer.clone())
            .labelled("channel", channel)
    };
    let mut all: Vec<Failure> = missing.iter().take(TOLD_MAX).map(gap).collect();
    let more = missing.get(TOLD_MAX..).unwrap_or_default();
    if !more.is_empty() {
        let count = more.iter().fold(0_u64, |count, missing| count.saturating_add(missing.count));
        let summary = format!("{count} records of {} further logs of source {source} never came", more.len());
        all.push(Failure::new("windows.record_gap", Severity::High, summary).of("further").losing(count, "records"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::cell::RefCell;

    struct Sent(RefCell<LogRecords>);

    impl Around for Sent {
        fn source(&self, _: &str) -> Option<crate::Heard> {
            None
        }
        fn sources(&self) -> Vec<(String, crate::Heard)> {
            Vec::new()
        }
        fn nonce(&self) -> String {
            String::new()
        }
        fn own(&self) -> Option<crate::Own> {
            None
        }
        fn log_records(&self, _: &str) -> LogRecords {
            self.0.take()
        }
    }

    fn settings() -> Settings {
        Settings { source: "wec".to_owned(), channels: vec!["security".to_owned()], wait: WAIT }
    }

    fn look(watcher: &mut dyn Watcher, seconds: u64, sent: &[(&str, &str, u64)], is_cut: bool) -> Look {
        let record = |(computer, channel, number): &(&str, &str, u64)| LogRecord {
            computer: (*computer).to_owned(),
            channel: (*channel).to_owned(),
            number: *number,
        };
        let around = Sent(RefCell::new(LogRecords { records: sent.iter().map(record).collect(), is_cut }));
        let moment = Moment { boot: Duration::from_secs(9000 + seconds), wall: Timestamp::UNIX_EPOCH };
        watcher.look(moment, &around)
    }

    #[test]
    fn a_gap_is_told_with_computer_log_and_number_and_only_of_logs_that_come_in_full() {
        let mut watcher = settings().begin(None);
        assert!(matches!(look(&mut *watcher, 0, &[], false).sight, Sight::Unknown { .. }));
        let sent = [("dc1", "security", 7), ("dc1", "system", 1), ("dc1", "security", 9), ("dc1", "system", 50)];
        assert!(look(&mut *watcher, 1, &sent, false).events.is_empty());
        // Over a restart, too.
        let mut watcher = settings().begin(watcher.memory().as_ref());
        look(&mut *watcher, 2, &[], false);
        let found = look(&mut *watcher, 700, &[("dc1", "security", 10)], false);
        let [gap] = &found.events[..] else { panic!("one gap: {found:?}") };
        assert_eq!(
            (gap.id.as_str(), gap.of.as_str(), gap.severity),
            ("windows.record_gap", "dc1/security", Severity::High)
        );
        assert_eq!(gap.loss.as_ref().map(|loss| loss.count), Some(1));
        assert!(gap.summary.contains("(8 to 8)"), "{}", gap.summary);
    }

    #[test]
    fn where_not_all_could_be_counted_it_is_blind_and_makes_up_no_gap() {
        let mut watcher = settings().begin(None);
        look(&mut *watcher, 0, &[("dc1", "security", 7)], false);
        assert!(matches!(look(&mut *watcher, 1, &[("dc1", "security", 90)], true).sight, Sight::Blind { .. }));
        look(&mut *watcher, 2, &[("dc1", "security", 200)], false);
        assert!(look(&mut *watcher, 9000, &[("dc1", "security", 201)], false).events.is_empty());
    }

    #[test]
    fn many_gaps_are_told_as_a_few() {
        let mut watcher = settings().begin(None);
        let computers: Vec<String> = (0..100).map(|n| format!("pc{n:02}")).collect();
        let sent: Vec<_> =
            computers.iter().flat_map(|pc| [(pc.as_str(), "security", 1), (pc.as_str(), "security", 4)]).collect();
        look(&mut *watcher, 0, &sent, false);
        let found = look(&mut *watcher, 601, &[], false).events;
        let lost: u64 = found.iter().filter_map(|gap| gap.loss.as_ref()).map(|loss| loss.count).sum();
        assert_eq!((found.len(), lost), (TOLD_MAX + 1, 200));
    }
}
