//! The kind `journald`: what systemd-journald says of its own losses. It writes a message with a fixed id when it suppresses,
//! misses, stops or fills up; `journalctl` finds these by their ids, however long the journal is. Its files are watched besides:
//! `journald/files.rs`, and `journald/verify.rs` where that is set.

mod files;
pub(crate) mod limits;
pub(crate) mod question;
mod removed;
mod sequence;
mod verify;

use crate::calm::Calm;
use crate::look::{Failure, Look, Moment};
use crate::sensors::child::Said;
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::settings::{Reader, parse_duration};
use balefire_model::text::{cut, one_line};
use jiff::{SignedDuration, Timestamp};
use question::{Question, WAIT};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "journald", read };

/// A suppression is over after so long without another.
const QUIET: Duration = Duration::from_secs(15 * 60);

/// A journald that stopped must be back after so long.
const STOPPED: Duration = Duration::from_secs(30);

/// So far back the first look sees.
const BACK: Duration = QUIET;

/// The messages (systemd's `sd-messages.h`) that are asked for.
const IDS: [(&str, Id); 6] = [
    ("a596d6fe7bfa4994828e72309e95d61e", Id::Suppressed),
    ("e9bf28e6e834481bb6f48f548ad13606", Id::Missed),
    ("0027229ca0644181a76c4e92458afa2e", Id::ForwardMissed),
    ("f77379a8490b408bbe5f6940505a777b", Id::Started),
    ("d93fb3c9c24d451a97cea615ce59c00b", Id::Stopped),
    ("ec387f577b844b8fa948f33cad9a75e6", Id::Usage),
];

const FIELDS: &str = "--output-fields=MESSAGE_ID,MESSAGE,N_DROPPED,UNIT,OBJECT_SYSTEMD_UNIT,CURRENT_USE,MAX_USE";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Suppressed,
    Missed,
    ForwardMissed,
    Started,
    Stopped,
    Usage,
}

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "systemd-journald, by what it says of its own losses.";
    reader.section("journald", doc, read_section).optional().unwrap_or_default()
}

fn read_section(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "Units whose suppressed messages are high, not medium, such as [ssh.service, sudo.service].";
    let units_high = reader.texts("units_high", doc).optional().unwrap_or_default();
    let directory = reader.text("directory", "Its directory, where it is not the machine's own journal.").optional();
    let doc =
        "Percent of its greatest size (`SystemMaxUse`) at which it is said to be full: it then removes old records.";
    let usage = u64::try_from(reader.integer("usage", doc, 1, 100).default(90)).unwrap_or(90);
    let every = reader.duration("every", "How often it is asked.").default_shown(Duration::from_secs(10), "10s");
    let doc =
        "How often all archived files are verified by `journalctl --verify`, which reads them whole; never if not set.";
    let verify =
        reader.parsed("verify_archived", doc, "daily, weekly, or a duration such as 12h", |text| match text.trim() {
            "daily" => Some(Duration::from_secs(86_400)),
            "weekly" => Some(Duration::from_secs(7 * 86_400)),
            text => parse_duration(text).filter(|every| !every.is_zero()),
        });
    let verify = verify.optional();
    let target = directory.clone().unwrap_or_else(|| "the journal".to_owned());
    let journal = Arc::new(Settings { units_high, directory: directory.clone(), usage });
    let watched = |name: &str, plan: Arc<dyn Plan>| Watched {
        name: name.to_owned(),
        kind: KIND.key,
        target: target.clone(),
        every,
        under: Vec::new(),
        plan,
    };
    let files = files::Files { directory: directory.clone() };
    let mut all = vec![
        watched(KIND.key, Calm::of(journal, &[("journal.suppressed", QUIET)])),
        watched("journald.files", Arc::new(files)),
    ];
    let of =
        |verify| watched("journald.verify", Arc::new(verify::Verify { directory: directory.clone(), every: verify }));
    all.extend(verify.map(of));
    all
}

#[derive(Clone, Debug)]
struct Settings {
    units_high: Vec<String>,
    directory: Option<String>,
    usage: u64,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let cursor = kept.and_then(|kept| kept.get("cursor")?.as_str()).map(str::to_owned);
        Box::new(Journald::new(self.clone(), cursor))
    }
}

struct Journald {
    settings: Settings,
    /// The last message that was read.
    cursor: Option<String>,
    /// From when on messages are asked for, as long as there is no cursor.
    since: Option<Timestamp>,
    /// What it says of its losses.
    losses: Question,
    /// Its newest message, whatever that says: without one nothing was seen to flow.
    newest: Question,
    notices: Notices,
}

impl Watcher for Journald {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        match self.ask(now) {
            Ok(Some((losses, newest))) => self.hear(now, &losses, &newest),
            Ok(None) => Look::unknown("journalctl has not answered yet"),
            Err(error) => Look::blind(format!("journalctl: {error}"), "install systemd's journalctl"),
        }
    }

    fn memory(&self) -> Option<Value> {
        self.cursor.as_ref().map(|cursor| serde_json::json!({"cursor": cursor}))
    }

    fn next(&self) -> Option<Duration> {
        (self.losses.is_open() || self.newest.is_open()).then_some(WAIT)
    }
}

impl Journald {
    fn new(settings: Settings, cursor: Option<String>) -> Journald {
        let (losses, newest) = (Question::default(), Question::default());
        Journald { settings, cursor, since: None, losses, newest, notices: Notices::default() }
    }

    /// Both answers, when both are there.
    fn ask(&mut self, now: Moment) -> io::Result<Option<(Said, Said)>> {
        let since = *self.since.get_or_insert_with(|| back_by(now.wall, BACK));
        let from = match &self.cursor {
            Some(cursor) => format!("--after-cursor={cursor}"),
            None => format!("--since=@{}", since.as_second()),
        };
        let directory = self.settings.directory.as_ref().map(|directory| format!("--directory={directory}"));
        let ids: Vec<String> = IDS.iter().map(|(id, _)| format!("MESSAGE_ID={id}")).collect();
        let mut losses = vec!["--no-pager", "--output=json", FIELDS, from.as_str()];
        losses.extend(directory.as_deref());
        losses.extend(ids.iter().map(String::as_str));
        let mut newest = vec!["--no-pager", "--output=json", "--output-fields=MESSAGE_ID", "--lines=1"];
        newest.extend(directory.as_deref());
        self.losses.ask(now, &losses)?;
        self.newest.ask(now, &newest)?;
        match self.losses.is_answered() && self.newest.is_answered() {
            true => Ok(self.losses.answer.take().zip(self.newest.answer.take())),
            false => Ok(None),
        }
    }

    fn hear(&mut self, now: Moment, losses: &Said, newest: &Said) -> Look {
        let (complaint, lacks_right) = question::complaint(losses);
        if lacks_right {
            return Look::blind(complaint, "the group systemd-journal");
        }
        let answer = String::from_utf8_lossy(&newest.out);
        let Some(time) = answer.lines().next().and_then(time) else {
            let why = if complaint.is_empty() { "the journal has no message" } else { complaint.as_str() };
            return Look::blind(why, "the group systemd-journal, and a journald that runs");
        };
        let mut events = Vec::new();
        for line in String::from_utf8_lossy(&losses.out).lines() {
            // A line that was cut, at the end of a long answer, is read again from its cursor.
            let Some((cursor, notice)) = notice(line) else { continue };
            self.cursor = Some(cursor);
            events.extend(self.notices.take(now, notice, &self.settings));
        }
        let failures = self.notices.failures(now, &self.settings);
        Look::of(failures, format!("its newest message is of {time:.0}, and it says nothing of a loss")).with(events)
    }
}

/// When a message was written.
fn time(line: &str) -> Option<Timestamp> {
    let value: Value = serde_json::from_str(line).ok()?;
    let at = value.get("__REALTIME_TIMESTAMP")?.as_str()?.parse().ok()?;
    Timestamp::from_microsecond(at).ok()
}

fn back_by(wall: Timestamp, back: Duration) -> Timestamp {
    SignedDuration::try_from(back).ok().and_then(|back| wall.checked_sub(back).ok()).unwrap_or(wall)
}

/// What one message says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Notice {
    id: Id,
    at: Option<Timestamp>,
    text: String,
    unit: String,
    dropped: u64,
    /// Bytes in use, and the most.
    usage: Option<(u64, u64)>,
}

/// Reads a line of `journalctl --output=json`, and its cursor.
fn notice(line: &str) -> Option<(String, Notice)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| text(name).parse::<u64>().ok();
    let (_, id) = IDS.iter().find(|(id, _)| *id == text("MESSAGE_ID"))?;
    let at = time(line);
    let unit = if text("UNIT").is_empty() { text("OBJECT_SYSTEMD_UNIT") } else { text("UNIT") };
    let notice = Notice {
        id: *id,
        at,
        text: cut(&one_line(text("MESSAGE")), 300).into_owned(),
        unit: cut(&one_line(unit), 100).into_owned(),
        dropped: number("N_DROPPED").unwrap_or(0),
        usage: number("CURRENT_USE").zip(number("MAX_USE")),
    };
    let cursor = text("__CURSOR");
    // It becomes an argument of a program: nothing but what cursors are made of.
    let is_cursor = !cursor.is_empty() && cursor.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '=' | ';'));
    is_cursor.then(|| (cursor.to_owned(), notice))
}

/// What the messages so far came to.
#[derive(Debug, Default)]
struct Notices {
    /// By unit: how many messages were dropped since it began, and when the last were.
    suppressed: BTreeMap<String, (u64, Moment)>,
    stopped: Option<Moment>,
    usage: Option<(u64, u64)>,
}

/// As many units are kept apart.
const UNITS_MAX: usize = 200;

impl Notices {
    /// One more message; what it says that has no end.
    fn take(&mut self, now: Moment, notice: Notice, settings: &Settings) -> Option<Failure> {
        let happened = back_to(now, notice.at);
        match notice.id {
            Id::Suppressed => {
                if self.suppressed.len() < UNITS_MAX || self.suppressed.contains_key(&notice.unit) {
                    let (count, last) = self.suppressed.entry(notice.unit).or_insert((0, happened));
                    (*count, *last) = (count.saturating_add(notice.dropped), happened);
                }
                None
            }
            Id::Missed => Some(event("journal.missed", "journald missed messages", &notice)),
            Id::ForwardMissed => {
                Some(event("journal.forward_missed", "journald could not hand messages on to syslog", &notice))
            }
            Id::Started => {
                self.stopped = None;
                None
            }
            Id::Stopped => {
                self.stopped = Some(happened);
                None
            }
            Id::Usage => {
                // The volatile journal says so, too; the fuller one counts.
                let is_full = |usage: &(u64, u64)| percent(*usage) >= settings.usage;
                self.usage = notice.usage.filter(is_full);
                None
            }
        }
    }

    fn failures(&mut self, now: Moment, settings: &Settings) -> Vec<Failure> {
        self.suppressed.retain(|_, (_, last)| now.since(*last) < QUIET);
        let mut failures = Vec::new();
        failures.extend(self.suppression(settings));
        if let Some(stopped) = self.stopped.filter(|stopped| now.since(*stopped) >= STOPPED) {
            let summary = "systemd-journald stopped and did not come back";
            let failure = Failure::new("journal.stopped", Severity::Critical, summary).since(stopped.wall);
            failures.push(failure.cured_by("systemctl start systemd-journald; journalctl -u systemd-journald"));
        }
        if let Some((used, most)) = self.usage {
            let summary = format!(
                "the journal has {used} of {most} bytes ({} %): old records are removed",
                percent((used, most))
            );
            let failure = Failure::new("journal.usage", Severity::Medium, summary);
            failures.push(failure.cured_by("raise SystemMaxUse in journald.conf, or send the records elsewhere"));
        }
        failures
    }

    fn suppression(&self, settings: &Settings) -> Option<Failure> {
        let first = self.suppressed.values().map(|(_, last)| last.wall).min()?;
        let lost = self.suppressed.values().fold(0u64, |sum, (count, _)| sum.saturating_add(*count));
        let is_high = self.suppressed.keys().any(|unit| settings.units_high.contains(unit));
        let units: Vec<String> =
            self.suppressed.iter().take(10).map(|(unit, (count, _))| format!("{unit} {count}")).collect();
        let summary = format!("journald suppressed {lost} messages by its rate limit: {}", units.join(", "));
        let severity = if is_high { Severity::High } else { Severity::Medium };
        let failure = Failure::new("journal.suppressed", severity, summary).since(first).losing(lost, "messages");
        Some(failure.cured_by("raise RateLimitBurst in journald.conf, or LogRateLimitBurst of the unit"))
    }
}

fn event(id: &str, what: &str, notice: &Notice) -> Failure {
    let failure = Failure::new(id, Severity::High, format!("{what}: {}", notice.text));
    let failure = if notice.dropped > 0 { failure.losing(notice.dropped, "messages") } else { failure };
    let failure = failure.cured_by("see what writes so much, and whether its readers keep up");
    if let Some(at) = notice.at { failure.since(at) } else { failure }
}

fn percent((used, most): (u64, u64)) -> u64 {
    u64::try_from(u128::from(used) * 100 / u128::from(most.max(1))).unwrap_or(100)
}

/// The moment at which the wall clock showed this; now where it is still to come.
fn back_to(now: Moment, wall: Option<Timestamp>) -> Moment {
    let Some(wall) = wall.filter(|wall| *wall < now.wall) else { return now };
    Moment { boot: now.boot.saturating_sub(now.wall.duration_since(wall).unsigned_abs()), wall }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{check_large, like};
    use crate::look::Sight;
    use proptest::prelude::*;

    const SUPPRESSED: &str = "a596d6fe7bfa4994828e72309e95d61e";
    const STOP: &str = "d93fb3c9c24d451a97cea615ce59c00b";
    const START: &str = "f77379a8490b408bbe5f6940505a777b";

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    fn line(id: &str, second: u64, more: &str) -> String {
        let time = at(second).wall.as_microsecond();
        format!(
            r#"{{"__CURSOR":"s=0a;i=1;b=2;m=3;t=4;x=5","__REALTIME_TIMESTAMP":"{time}","MESSAGE_ID":"{id}","MESSAGE":"m"{more}}}"#
        )
    }

    fn said(lines: &[String]) -> Said {
        Said { out: lines.join("\n").into_bytes(), err: Vec::new(), is_well: true }
    }

    fn journald() -> Journald {
        let settings = Settings { units_high: vec!["ssh.service".to_owned()], directory: None, usage: 90 };
        Journald::new(settings, None)
    }

    fn hear(journald: &mut Journald, now: Moment, losses: &Said) -> Look {
        journald.hear(now, losses, &said(&[line(START, 0, "")]))
    }

    fn ids(look: &Look) -> Vec<(&str, Severity)> {
        match &look.sight {
            Sight::Failing(failures) => {
                failures.iter().map(|failure| (failure.id.as_str(), failure.severity)).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_suppression_lasts_until_it_was_quiet_for_a_quarter_of_an_hour() {
        let mut journald = journald();
        let foo = line(SUPPRESSED, 0, r#","N_DROPPED":"310","UNIT":"foo.service""#);
        let seen = hear(&mut journald, at(5), &said(&[foo]));
        assert_eq!(ids(&seen), [("journal.suppressed", Severity::Medium)]);
        let ssh = line(SUPPRESSED, 60, r#","N_DROPPED":"316","UNIT":"ssh.service""#);
        let seen = hear(&mut journald, at(65), &said(&[ssh]));
        assert_eq!(ids(&seen), [("journal.suppressed", Severity::High)]);
        let Sight::Failing(failures) = &seen.sight else { panic!("{seen:?}") };
        assert_eq!(failures[0].loss.as_ref().unwrap().count, 626);
        assert_eq!(ids(&hear(&mut journald, at(959), &said(&[]))).len(), 1);
        assert!(matches!(hear(&mut journald, at(961), &said(&[])).sight, Sight::Ok { .. }));
    }

    #[test]
    fn a_stop_is_told_when_no_start_follows() {
        let mut journald = journald();
        assert!(ids(&hear(&mut journald, at(29), &said(&[line(STOP, 0, "")]))).is_empty());
        assert_eq!(ids(&hear(&mut journald, at(31), &said(&[]))), [("journal.stopped", Severity::Critical)]);
        assert!(ids(&hear(&mut journald, at(40), &said(&[line(START, 39, "")]))).is_empty());
    }

    #[test]
    fn missed_messages_are_told_once_and_a_full_journal_as_long_as_it_is_full() {
        let mut journald = journald();
        let missed = line("e9bf28e6e834481bb6f48f548ad13606", 0, r#","N_DROPPED":"7""#);
        let usage = |used: u64| {
            let more = format!(r#","CURRENT_USE":"{used}","MAX_USE":"1000""#);
            line("ec387f577b844b8fa948f33cad9a75e6", 1, &more)
        };
        let seen = hear(&mut journald, at(5), &said(&[missed, usage(950)]));
        assert_eq!((seen.events[0].id.as_str(), ids(&seen)), {
            ("journal.missed", vec![("journal.usage", Severity::Medium)])
        });
        let seen = hear(&mut journald, at(9), &said(&[usage(800)]));
        assert!(seen.events.is_empty() && ids(&seen).is_empty());
    }

    #[test]
    fn who_may_not_read_is_blind_and_a_hostile_line_is_only_text() {
        let mut journald = journald();
        let err = b"No journal files were opened due to insufficient permissions.\n".to_vec();
        let blind = hear(&mut journald, at(0), &Said { err, ..Said::default() });
        assert!(matches!(blind.sight, Sight::Blind { .. }));
        let forged = line(SUPPRESSED, 0, "").replace("s=0a", "--root=/x");
        assert!(ids(&hear(&mut journald, at(1), &said(&[forged, "{".to_owned(), String::new()]))).is_empty());
        assert_eq!(journald.cursor, None);
        let empty = journald.hear(at(2), &said(&[]), &said(&[]));
        assert!(matches!(empty.sight, Sight::Blind { .. }), "nothing was seen to flow");
    }

    const GOOD: [&str; 2] = [
        r#"{"MESSAGE_ID":"a596d6fe7bfa4994828e72309e95d61e","__REALTIME_TIMESTAMP":"1700000000000000","__CURSOR":"s=a;i=1","N_DROPPED":"18446744073709551615","UNIT":"ssh.service","MESSAGE":"x"}"#,
        r#"{"MESSAGE_ID":"ec387f577b844b8fa948f33cad9a75e6","__REALTIME_TIMESTAMP":"1700000000000000","__CURSOR":"s=a;i=2","CURRENT_USE":"18446744073709551615","MAX_USE":"18446744073709551615","MESSAGE":[120,0]}"#,
    ];

    proptest! {
        #[test]
        fn any_lines_are_heard(lines in prop::collection::vec(like(&GOOD), 0..8)) {
            let mut journald = journald();
            hear(&mut journald, at(1), &said(&lines));
            hear(&mut journald, at(900), &said(&lines));
        }
    }

    #[test]
    fn a_line_of_any_length_is_read_in_bounded_time() {
        check_large(GOOD[0], |line| drop((notice(line), time(line))));
    }
}
