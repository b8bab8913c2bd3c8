//! The kind `canary`: a record that we write ourselves at one end and look for at the other. That somebody took it is no
//! proof; that it arrived is.

mod detector;
mod http;
mod way;

use crate::journald::question::{Question, complaint};
use crate::look::{Look, Moment};
use crate::sensors::log_tail::LogTail;
use crate::sensors::process;
use crate::sensors::readable;
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use detector::{Detector, Expected, LOOKING, Limits};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use way::{Sending, Via};

pub(crate) const KIND: Kind = Kind { key: "canary", read };

/// As much of a log is read in one look; a canary stands near its end.
const LOOK_BYTES_MAX: usize = 4 << 20;

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "Records that are written to see them arrive: the proof that a way works from end to end.";
    let found = reader.sections("canary", doc, read_one).optional().unwrap_or_default();
    let mut names: Vec<&str> = found.iter().map(|watched| watched.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        reader.reject("canary", "found the same way twice", "one entry each via audit, syslog, journal and http");
    }
    found
}

fn read_one(reader: &Reader<'_>) -> Watched {
    let doc = "Which way it takes: `audit` writes a record to the kernel (CAP_AUDIT_WRITE), `syslog` a line to the local socket, \
               `journal` an entry to systemd-journald, `http` an incident to our own listener.";
    let via = reader.one_of("via", doc, VIAS).required(Via::Audit);
    let limits = read_limits(reader);
    let doc = "The files in which it must arrive, all of them: the audit log via audit if not set; for journal none, and then \
               journalctl must show it; for http none, and then it must have come in as an event.";
    let expect = reader.texts("expect", doc).optional().unwrap_or_default();
    let doc = "For syslog and journal: the local socket; /dev/log, or /run/systemd/journal/socket, if not set.";
    let usual = if via == Via::Journal { "/run/systemd/journal/socket" } else { "/dev/log" };
    let socket = reader.text("socket", doc).optional().unwrap_or_else(|| usual.to_owned());
    let doc = "For journal: its directory, where it is not the machine's own journal.";
    let directory = reader.text("directory", doc).optional();
    let usual = "http://127.0.0.1:9480";
    let url = reader.parsed("url", "For http: our own listener.", "http://HOST:PORT", http::Address::parse);
    let url = url.default_shown(http::Address::parse(usual).expect("it is one"), usual);
    let token = reader.secret("token", "For http: the token, where the listener asks for one.").optional();
    let expect: Vec<PathBuf> = match (via, expect.is_empty()) {
        (Via::Audit, true) => vec![PathBuf::from(crate::kernel::AUDIT_LOG)],
        (Via::Syslog, true) if !reader.is_describing() => {
            let allowed = "a list of files, such as [/var/log/syslog]";
            reader.reject("expect", "found no file for a canary via syslog", allowed);
            Vec::new()
        }
        _ => expect.into_iter().map(PathBuf::from).collect(),
    };
    let under: &[&str] = match via {
        Via::Audit => &["kernel.owner", "kernel.stuck", "kernel.status", "auditd.writing"],
        // Where the journal takes nothing, nothing is accepted.
        Via::Http => &["self.journal"],
        Via::Journal => &[KIND_OF_JOURNAL],
        Via::Syslog => &[],
    };
    Watched {
        name: format!("canary:{}", via.as_str()),
        kind: KIND.key,
        target: expect.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        every: LOOKING,
        under: under.iter().map(|name| (*name).to_owned()).collect(),
        plan: Arc::new(Settings { via, limits, expect, socket: PathBuf::from(socket), directory, url, token }),
    }
}

const VIAS: &[(&str, Via)] =
    &[("audit", Via::Audit), ("syslog", Via::Syslog), ("journal", Via::Journal), ("http", Via::Http)];

/// The watcher that tells that journald has stopped.
const KIND_OF_JOURNAL: &str = "journald";

fn read_limits(reader: &Reader<'_>) -> Limits {
    let every = reader.duration("every", "How often one is sent.").default_shown(Duration::from_secs(30), "30s");
    let doc = "By when it must have arrived.";
    let deadline = reader.duration("deadline", doc).default_shown(Duration::from_secs(10), "10s");
    let doc = "So many in a row must be missed until it is told; after a missed one the next is sent at once.";
    let misses = reader.integer("misses", doc, 1, 100).default_shown(2, "2");
    if every.is_zero() || deadline.is_zero() {
        reader.reject("every", "found 0 for every or deadline", "times above 0, such as 30s");
    }
    Limits { every, deadline, misses: u32::try_from(misses).unwrap_or(2) }
}

#[derive(Clone, Debug)]
struct Settings {
    via: Via,
    limits: Limits,
    expect: Vec<PathBuf>,
    socket: PathBuf,
    directory: Option<String>,
    url: http::Address,
    token: Option<Secret>,
}

impl Plan for Settings {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        let tails = self.expect.iter().map(|path| LogTail::begin(path, None)).collect();
        let detector = Detector::new(self.via, self.limits);
        Box::new(Canary { settings: self.clone(), tails, question: Question::default(), detector })
    }

    fn secret(&self) -> Option<&Secret> {
        self.token.as_ref()
    }
}

struct Canary {
    settings: Settings,
    tails: Vec<LogTail>,
    /// Where the journal is asked.
    question: Question,
    detector: Detector,
}

impl Watcher for Canary {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        if let Some(blind) = self.look_for_it(now, around) {
            return blind;
        }
        if self.detector.is_due(now) {
            let nonce = around.nonce();
            let text = detector::text(&host(), self.detector.count(), &nonce);
            let sending = way::send(&self.settings, &text, &nonce);
            if let Sending::Blind { why, cure } = sending {
                return Look::blind(why, cure);
            }
            let files = self.settings.expect.iter().map(|path| path.display().to_string());
            let mut expected: Vec<Expected> = files.map(Expected::File).collect();
            if expected.is_empty() {
                expected.push(if self.settings.via == Via::Journal { Expected::Journal } else { Expected::Event });
            }
            self.detector.sent(now, nonce, (expected, sending));
        }
        self.detector.look(now, || way::audit_stands(self.settings.via))
    }

    fn round_trip(&self) -> Option<Duration> {
        self.detector.took()
    }

    fn next(&self) -> Option<Duration> {
        Some(self.detector.next())
    }
}

impl Canary {
    /// Looks where it must arrive; what keeps us from looking.
    fn look_for_it(&mut self, now: Moment, around: &dyn Around) -> Option<Look> {
        for (place, tail) in self.tails.iter_mut().enumerate() {
            match tail.read(LOOK_BYTES_MAX) {
                Ok(grown) => self.detector.arrived(now, place, &String::from_utf8_lossy(&grown.lines)),
                Err(error) => {
                    let why = format!("read {}: {error}", self.settings.expect[place].display());
                    return Some(Look::blind(why, readable::right(&self.settings.expect[place])));
                }
            }
        }
        if self.tails.is_empty() && self.settings.via == Via::Journal {
            return self.look_in_the_journal(now);
        }
        if self.tails.is_empty() {
            for nonce in self.detector.awaited() {
                if around.arrived(&nonce).is_some() {
                    self.detector.arrived(now, 0, &nonce);
                }
            }
        }
        None
    }

    /// Asks the journal for those that are awaited.
    fn look_in_the_journal(&mut self, now: Moment) -> Option<Look> {
        let awaited = self.detector.awaited();
        if awaited.is_empty() && !self.question.is_open() {
            return None;
        }
        let directory = self.settings.directory.as_ref().map(|directory| format!("--directory={directory}"));
        let fields = format!("--output-fields={}", way::NONCE);
        let nonces: Vec<String> = awaited.iter().map(|nonce| format!("{}={nonce}", way::NONCE)).collect();
        let mut arguments = vec!["--no-pager", "--output=json", fields.as_str()];
        arguments.extend(directory.as_deref());
        arguments.extend(nonces.iter().map(String::as_str));
        if let Err(error) = self.question.ask(now, &arguments) {
            return Some(Look::blind(format!("journalctl: {error}"), "install systemd's journalctl"));
        }
        let said = self.question.answer.take()?;
        let (complaint, lacks_right) = complaint(&said);
        if lacks_right {
            return Some(Look::blind(complaint, "the group systemd-journal"));
        }
        self.detector.arrived(now, 0, &String::from_utf8_lossy(&said.out));
        None
    }
}

fn host() -> String {
    let name = process::host();
    // Into a record of name=value pairs go only letters that no name has a use for.
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' }).take(64).collect()
}
