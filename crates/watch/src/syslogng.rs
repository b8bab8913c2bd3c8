//! The kind `syslogng`: whether syslog-ng drops messages or keeps what it cannot send, from the answer of its control socket.

use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::control::ask;
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::settings::Reader;
use balefire_model::text::{cut, one_line};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "syslogng", read };

/// After so many looks in which the destination wrote and dropped nothing, it is over.
const CLEAN: u32 = 2;

/// From a destination that keeps messages nothing was sent for so many looks.
const BLOCKED: u32 = 2;

/// As many destinations are kept apart.
const DESTINATIONS_MAX: usize = 1_000;

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "syslog-ng, by its control socket.";
    reader.section("syslogng", doc, read_section).optional().into_iter().collect()
}

fn read_section(reader: &Reader<'_>) -> Watched {
    let ctl = reader.text("ctl", "Its control socket.").default("/var/lib/syslog-ng/syslog-ng.ctl".to_owned());
    let every = reader.duration("every", "How often it is asked.").default_shown(Duration::from_secs(5), "5s");
    Watched {
        name: KIND.key.to_owned(),
        kind: KIND.key,
        target: ctl.clone(),
        every,
        under: Vec::new(),
        plan: Arc::new(Settings { ctl: PathBuf::from(ctl) }),
    }
}

#[derive(Clone, Debug)]
struct Settings {
    ctl: PathBuf,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let open = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok());
        Box::new(SyslogNg { settings: self.clone(), drops: Drops { open, ..Drops::default() }, unheard: 0 })
    }
}

struct SyslogNg {
    settings: Settings,
    drops: Drops,
    /// How often in a row it did not answer.
    unheard: u32,
}

impl Watcher for SyslogNg {
    fn look(&mut self, _: Moment, _: &dyn Around) -> Look {
        let path = self.settings.ctl.display();
        match ask(&self.settings.ctl, "STATS") {
            Ok(answer) => {
                self.unheard = 0;
                self.drops.take(&destinations(&answer))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Look::blind(format!("connect {path}: {error}"), format!("the right to write to {path}: root"))
            }
            Err(error) => {
                self.unheard += 1;
                // A reload closes the socket for a moment.
                if self.unheard < 2 {
                    return Look::unknown(format!("{path}: {error}; it is asked once more"));
                }
                let summary = format!("syslog-ng does not answer at {path}: {error}");
                let failure = Failure::new("syslogng.silent", Severity::High, summary)
                    .caused_by("it does not run, or stands still")
                    .cured_by("systemctl status syslog-ng");
                Sight::Failing(vec![failure]).into()
            }
        }
    }

    fn memory(&self) -> Option<Value> {
        // It has no map with keys that are no text, so that nothing can go wrong.
        self.drops.open.as_ref().and_then(|open| serde_json::to_value(open).ok())
    }
}

/// The counters of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Destination {
    dropped: u64,
    queued: u64,
    written: u64,
}

/// The destinations in an answer of lines `SourceName;SourceId;SourceInstance;State;Type;Number`.
fn destinations(answer: &str) -> BTreeMap<String, Destination> {
    let mut found: BTreeMap<String, Destination> = BTreeMap::new();
    for line in answer.lines().filter(|line| line.starts_with("dst.")) {
        // A name in quotes may hold the separator, so that only the last fields are sure.
        let mut fields = line.rsplitn(4, ';');
        let (Some(number), Some(of), Some(_), Some(name)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let Ok(number) = number.trim().parse::<u64>() else { continue };
        if found.len() >= DESTINATIONS_MAX && !found.contains_key(name) {
            continue;
        }
        let destination = found.entry(name.to_owned()).or_default();
        match of {
            "dropped" => destination.dropped = number,
            "queued" => destination.queued = number,
            "written" => destination.written = number,
            _ => {}
        }
    }
    found
}

/// What the looks so far came to.
#[derive(Debug, Default)]
struct Drops {
    last: Option<BTreeMap<String, Destination>>,
    blocked: BTreeMap<String, u32>,
    open: Option<Open>,
}

/// A loss that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    failure: Failure,
    lost: u64,
    /// The destinations that dropped something.
    of: BTreeSet<String>,
    #[serde(skip)]
    clean: u32,
}

impl Drops {
    fn take(&mut self, now: &BTreeMap<String, Destination>) -> Look {
        let written = written(now);
        let Some(last) = self.last.replace(now.clone()) else {
            return Look::unknown("a second answer of syslog-ng, to compare with the first");
        };
        let mut failures = Vec::new();
        failures.extend(self.dropped(&last, now));
        failures.extend(self.kept(&last, now));
        let before = self::written(&last);
        let sent = if written >= before { written - before } else { written };
        Look::of(failures, format!("{sent} messages written since the look before, none dropped"))
    }

    fn dropped(
        &mut self,
        last: &BTreeMap<String, Destination>,
        now: &BTreeMap<String, Destination>,
    ) -> Option<Failure> {
        let (mut what, mut of) = (Vec::new(), BTreeSet::new());
        let mut lost = self.open.as_ref().map_or(0, |open| open.lost);
        for (name, now) in now {
            let was = last.get(name).copied().unwrap_or_default().dropped;
            let dropped = if now.dropped >= was { now.dropped - was } else { now.dropped };
            if dropped > 0 {
                lost = lost.saturating_add(dropped);
                of.insert(name.clone());
                what.push(format!("{} dropped {dropped} messages", shown(name)));
            }
        }
        if what.is_empty() {
            // That nothing is dropped where nothing is written proves nothing.
            let writes = |name: &String| {
                let was = last.get(name).map_or(0, |destination| destination.written);
                now.get(name).is_none_or(|destination| destination.written != was)
            };
            if let Some(open) = self.open.as_mut().filter(|open| open.of.iter().all(writes)) {
                open.clean += 1;
            }
            self.open = self.open.take().filter(|open| open.clean < CLEAN);
        } else {
            let failure = Failure::new("syslogng.loss", Severity::High, cut(&what.join("; "), 1000))
                .losing(lost, "messages")
                .cured_by("see whether the destination can be reached, and give it a disk-buffer");
            of.extend(self.open.take().map(|open| open.of).unwrap_or_default());
            self.open = Some(Open { failure, lost, of, clean: 0 });
        }
        self.open.as_ref().map(|open| open.failure.clone())
    }

    /// Destinations that keep messages and send none.
    fn kept(&mut self, last: &BTreeMap<String, Destination>, now: &BTreeMap<String, Destination>) -> Option<Failure> {
        let mut blocked = BTreeMap::new();
        let mut what = Vec::new();
        for (name, now) in now {
            let was = last.get(name).copied().unwrap_or_default();
            if now.queued == 0 || now.written != was.written || now.queued < was.queued {
                continue;
            }
            let times = self.blocked.get(name).copied().unwrap_or(0) + 1;
            blocked.insert(name.clone(), times);
            if times >= BLOCKED {
                what.push(format!("{} keeps {} messages and writes none", shown(name), now.queued));
            }
        }
        self.blocked = blocked;
        let failure = Failure::new("syslogng.queue_growth", Severity::Medium, cut(&what.join("; "), 1000));
        (!what.is_empty()).then(|| failure.cured_by("see whether the destination can be reached"))
    }
}

/// All messages; the counters are anybody's who can answer on the socket.
fn written(destinations: &BTreeMap<String, Destination>) -> u64 {
    destinations.values().fold(0, |sum: u64, destination| sum.saturating_add(destination.written))
}

/// `dst.network;dead#0;tcp,127.0.0.1:59997`, as a name.
fn shown(name: &str) -> String {
    let shown = name.split(';').skip(1).collect::<Vec<_>>().join(" ");
    cut(&one_line(&shown), 200).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{check_large, like};
    use proptest::prelude::*;

    /// What syslog-ng 3.38.1 answered of a destination that nobody serves.
    fn answer(dropped: u64, queued: u64, written: u64) -> String {
        format!(
            "SourceName;SourceId;SourceInstance;State;Type;Number\n\
             dst.file;file#0;/var/log/messages;a;dropped;0\n\
             dst.file;file#0;/var/log/messages;a;written;407\n\
             dst.network;dead#0;tcp,127.0.0.1:59997;a;dropped;{dropped}\n\
             dst.network;dead#0;tcp,127.0.0.1:59997;a;queued;{queued}\n\
             dst.network;dead#0;tcp,127.0.0.1:59997;a;written;{written}\n\
             destination;dead;;a;processed;407\nglobal;scratch_buffers_count;;a;queued;2\n"
        )
    }

    fn ids(look: Look) -> Vec<String> {
        match look.sight {
            Sight::Failing(failures) => failures.into_iter().map(|failure| failure.id).collect(),
            Sight::Ok { .. } => vec!["ok".to_owned()],
            _ => vec!["nothing".to_owned()],
        }
    }

    fn check(answers: &[(u64, u64, u64)]) -> Vec<Vec<String>> {
        let mut drops = Drops::default();
        answers.iter().map(|(a, b, c)| ids(drops.take(&destinations(&answer(*a, *b, *c))))).collect()
    }

    #[test]
    fn what_is_dropped_is_told_until_two_answers_are_clean() {
        let seen = check(&[(0, 0, 0), (307, 0, 5), (307, 0, 9), (307, 0, 12)]);
        assert_eq!(seen, [["nothing"], ["syslogng.loss"], ["syslogng.loss"], ["ok"]]);
    }

    #[test]
    fn where_nothing_is_written_a_loss_is_not_over_also_after_a_restart() {
        let seen = check(&[(0, 0, 0), (307, 0, 5), (307, 0, 5), (307, 0, 5), (307, 0, 6), (307, 0, 7)]);
        assert_eq!(seen[3..], [["syslogng.loss"], ["syslogng.loss"], ["ok"]]);
        let mut drops = Drops::default();
        for counters in [(0, 0, 0), (307, 0, 5)] {
            drops.take(&destinations(&answer(counters.0, counters.1, counters.2)));
        }
        let kept = serde_json::to_value(&drops.open).unwrap();
        let mut next = Drops { open: serde_json::from_value(kept).unwrap(), ..Drops::default() };
        let last: Vec<_> = (0..3).map(|_| ids(next.take(&destinations(&answer(307, 0, 5))))).collect();
        assert_eq!(last[2], ["syslogng.loss"]);
    }

    #[test]
    fn a_destination_that_keeps_and_does_not_write_is_told() {
        let seen = check(&[(0, 100, 0), (0, 100, 0), (0, 100, 0), (0, 20, 80)]);
        assert_eq!(seen, [["nothing"], ["ok"], ["syslogng.queue_growth"], ["ok"]]);
    }

    #[test]
    fn an_answer_of_something_else_changes_nothing() {
        assert!(destinations("hello\n;;;;\ndst.x;y\ndst.a;b;c;a;dropped;many\n").is_empty());
    }

    const GOOD: [&str; 1] = [
        "SourceName;SourceId;SourceInstance;State;Type;Number\ndst.network;dead#0;tcp,127.0.0.1:59997;a;dropped;18446744073709551615\ndst.file;d#1;/x;a;written;18446744073709551615\ndst.file;d#2;/y;a;written;1\ndst.file;d#2;/y;a;queued;7\n",
    ];

    proptest! {
        #[test]
        fn any_two_answers_can_be_compared(first in like(&GOOD), second in like(&GOOD)) {
            let mut drops = Drops::default();
            for answer in [&first, &second, &first, &second] {
                drops.take(&destinations(answer));
            }
        }
    }

    #[test]
    fn an_answer_of_any_length_is_read_in_bounded_time() {
        check_large(GOOD[0], |answer| drop(Drops::default().take(&destinations(answer))));
    }
}
