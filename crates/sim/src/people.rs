//! Who sends and what they remember: senders over HTTP with and without an idempotency key, a tailed file, and people who
//! acknowledge. They know their own requests and the answers to them, nothing else.

use crate::random::Random;
use balefire_engine::{Idempotency, Submission};
use balefire_model::incident::Extra;
use balefire_model::{Fingerprint, Incident, IncidentId, RunKey, RunMark, RunPart, Severity};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a sender wants to tell, and how far it has come with it.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Its body, as far as it matters: another body has another one.
    pub body: String,
    pub drafts: Vec<Draft>,
    /// How often it was sent.
    pub attempts: u32,
    /// The ids that it was told.
    pub told: Option<Vec<IncidentId>>,
    /// Whether the sender is through with it.
    pub over: bool,
    /// Whether the key belongs to another request.
    pub stolen_key: bool,
}

/// An incident before it has an id.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub mark: String,
    severity: Severity,
    cui_involved: bool,
    host: &'static str,
    run: Option<RunPart>,
    matter: Matter,
}

/// What a draft is about, as its sender sees it.
#[derive(Clone, Debug)]
struct Matter {
    /// Some have one that few others have.
    fingerprint: Option<&'static str>,
    own: Option<&'static str>,
    says_over: bool,
}

impl Matter {
    fn new(random: &mut Random) -> Matter {
        let fingerprint = random.chance(600).then(|| random.pick(&["disk", "disk", "login", "login", "export"]));
        let own = random.chance(200).then(|| random.pick(&["case 1", "case 2"]));
        Matter { fingerprint, own, says_over: random.chance(120) }
    }
}

impl Draft {
    pub(crate) fn new(number: u64, random: &mut Random) -> Draft {
        Draft {
            mark: format!("mark-{number}-"),
            severity: random.pick(&Severity::ALL),
            cui_involved: random.chance(100),
            host: random.pick(&["web-1", "web-2", "db-1", "test-1"]),
            // Drawn aside: runs do not change what else the seed's life is made of.
            run: part(number, &mut Random::new(random.clone().next())),
            matter: Matter::new(&mut Random::new(random.clone().next() ^ number)),
        }
    }

    fn incident(&self, at: Timestamp, random: &mut Random) -> Incident {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&random.next().to_le_bytes());
        let ms = u64::try_from(at.as_millisecond()).expect("a time after 1970");
        let title = format!("{} failed logins on {}", self.mark, self.host);
        Incident {
            id: IncidentId(uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid()),
            severity: self.severity,
            severity_original: None,
            detected_by: "brute_force".to_owned(),
            description: "Five in a minute.\nFrom one address.".to_owned(),
            nist_controls: vec!["3.1.8".to_owned()],
            cui_involved: self.cui_involved,
            incident_id: self.matter.own.map(str::to_owned),
            events: Vec::new(),
            labels: BTreeMap::from([("host".to_owned(), self.host.to_owned())]),
            fingerprint: match self.matter.fingerprint {
                Some(own) => Fingerprint(own.to_owned()),
                None => Fingerprint::derive("brute_force", &title, std::iter::empty()),
            },
            title,
            source: "sim".to_owned(),
            event_time: None,
            received_at: at,
            notes: Vec::new(),
            run: self.run.clone(),
            internal_scan: None,
            extra: if self.matter.says_over { over() } else { Extra::default() },
        }
    }
}

/// What a sender writes of something that is over.
fn over() -> Extra {
    let word = RawValue::from_string("\"Resolved\"".to_owned()).expect("a word is JSON");
    Extra(vec![("status".to_owned(), word)])
}

/// Some are of a run: two of them side by side at a time, which begin, end and are heard of once more as it happens.
fn part(number: u64, random: &mut Random) -> Option<RunPart> {
    if !random.chance(250) {
        return None;
    }
    let run = RunKey {
        key: random.pick(&["nightly", "weekly"]).to_owned(),
        version: format!("{}", number / 16),
        worker: String::new(),
    };
    let mark = random.pick(&[RunMark::Begin, RunMark::Record, RunMark::Record, RunMark::Record, RunMark::End]);
    Some(RunPart { run, mark })
}

/// What intake makes of drafts: incidents with new ids, also where it is a repeat.
pub(crate) fn incidents(drafts: &[Draft], at: Timestamp, random: &mut Random) -> Vec<Arc<Incident>> {
    drafts.iter().map(|draft| Arc::new(draft.incident(at, random))).collect()
}

impl Request {
    /// What reaches the engine.
    pub(crate) fn submission(&self, at: Timestamp, random: &mut Random) -> Submission {
        let idempotency = self.key.clone().map(|key| Idempotency { key, body: self.body.clone() });
        Submission { incidents: incidents(&self.drafts, at, random), idempotency, read: None, test_of: None }
    }
}

/// All requests of a life. Some senders use a key that another request has used: a mistake that must be told.
pub(crate) fn requests(random: &mut Random, most: u64) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    let mut marks = 0;
    for number in 0..random.between(most / 4, most) {
        let drafts = (0..random.pick(&[1, 1, 1, 2, 5])).map(|_| {
            marks += 1;
            Draft::new(marks, random)
        });
        let drafts: Vec<Draft> = drafts.collect();
        let mut request = Request {
            key: random.chance(600).then(|| format!("key {number}")),
            body: format!("body {number}"),
            drafts,
            attempts: 0,
            told: None,
            over: false,
            stolen_key: false,
        };
        if random.chance(40) && !requests.is_empty() {
            let other = &requests[random.index(requests.len())];
            if let (Some(key), false) = (other.key.clone(), other.stolen_key) {
                request.key = Some(key);
                request.stolen_key = true;
            }
        }
        requests.push(request);
    }
    requests
}

/// A file that grows and is tailed: how many lines it has, and how far its reader asks to be.
#[derive(Debug, Default)]
pub(crate) struct TailedFile {
    pub lines: Vec<Draft>,
    /// The line after the last one that the present process has taken.
    pub next: usize,
    /// The line after those that wait for their answer.
    pub asked: usize,
}
