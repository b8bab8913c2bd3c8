//! Event packs: events that arrive like any other and mean that somebody or something switched audit logging off elsewhere: in
//! a cloud, on Windows, in Kubernetes, in an agent. Pure: what an event says is compared, nothing is asked. One file a pack.

mod aws;
mod azure;
mod carried;
mod edr;
mod field;
mod gcp;
mod kubernetes;
mod windows;
mod windows_event;

use carried::carried;

use crate::record_gap::LogRecord;
use balefire_model::incident::Extra;
use balefire_model::settings::Reader;
use balefire_model::text::{cut, one_line};
use balefire_model::{Fingerprint, Incident, Severity};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The control that asks for alerts when audit logging fails.
const CONTROL: &str = "3.3.4";
/// The label that names what has failed, in the terms of docs/audit-watch.md.
pub const AUDIT_FAILURE: &str = "audit_failure";

/// The labels that only we give.
const OWN_LABELS: [&str; 3] = [AUDIT_FAILURE, "audit_failure_subject", "audit_failure_over"];

/// As many of an incident's events are looked at, and as many of its labels.
const EVENTS_MAX: usize = 16;
const LABELS_MAX: usize = 64;
/// An event that is larger is not looked into: the logs that we know have records of 256 KiB at most.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// As much of what an event is about is kept.
const SUBJECT_BYTES_MAX: usize = 300;

/// A pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pack {
    /// The failures that it knows, for `override`.
    ids: &'static [&'static str],
    /// A field without which no event is one of these: what has none of them is not even decoded.
    marks: &'static [&'static str],
    judge: fn(&Value) -> Option<Verdict>,
}

const PACKS: [(&str, Pack); 6] = [
    ("aws", aws::PACK),
    ("azure", azure::PACK),
    ("gcp", gcp::PACK),
    ("windows", windows::PACK),
    ("kubernetes", kubernetes::PACK),
    ("edr", edr::PACK),
];

/// What an event means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    id: &'static str,
    severity: Severity,
    /// What it is about: the same for what ends it.
    subject: String,
    /// It ends such a failure.
    is_over: bool,
}

impl Verdict {
    fn new(id: &'static str, severity: Severity, subject: impl Into<String>) -> Verdict {
        Verdict { id, severity, subject: subject.into(), is_over: false }
    }

    fn over(id: &'static str, subject: impl Into<String>) -> Verdict {
        Verdict { id, severity: Severity::Info, subject: subject.into(), is_over: true }
    }
}

/// The packs that are used.
#[derive(Clone, Debug, Default)]
pub struct Packs {
    packs: Vec<Pack>,
    severities: BTreeMap<String, Severity>,
}

/// What an incident's events mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering(Verdict);

/// Reads the setting `events` of the section `watch`.
pub fn read_packs(reader: &Reader<'_>) -> Packs {
    let doc = "Events that arrive like any other and mean that audit logging was switched off elsewhere: they get the label \
               `audit_failure`, control 3.3.4 and at least the severity of docs/audit-watch.md.";
    let section = |reader: &Reader<'_>| {
        let doc = "What is known of the events of these.";
        let packs = reader.some_of("packs", doc, &PACKS).optional().unwrap_or_default();
        let doc = "Severities in place of the table's, by failure, such as `aws.cloudtrail.selectors: critical`.";
        let mut severities = BTreeMap::new();
        for (id, word) in reader.text_map("override", doc).optional().unwrap_or_default() {
            let known: Vec<&str> = PACKS.iter().flat_map(|(_, pack)| pack.ids).copied().collect();
            match Severity::parse(&word) {
                _ if !known.contains(&id.as_str()) => {
                    reader.reject("override", format!("there is no failure {:?}", cut(&id, 80)), known.join(", "));
                }
                Some(severity) => _ = severities.insert(id, severity),
                None => reader.reject("override", format!("found {:?}", cut(&word, 80)), Severity::ALLOWED),
            }
        }
        Packs { packs, severities }
    };
    reader.section("events", doc, section).optional().unwrap_or_default()
}

impl Packs {
    /// What the incident's own events mean; the worst of what is found. Hostile events are only data: one that is damaged,
    /// too large or too deep means nothing.
    #[must_use]
    pub fn find(&self, incident: &Incident) -> Option<Tampering> {
        if self.packs.is_empty() {
            return None;
        }
        let events = incident.events.iter().take(EVENTS_MAX).filter_map(|event| self.decoded(event.get()));
        let own = self.own_fields(&incident.extra);
        let verdicts = events.chain(own).filter_map(|event| self.judge_all(&event));
        let labelled = self.judge_one(&labels(incident));
        let verdict = verdicts.chain(labelled).max_by_key(|verdict| verdict.severity)?;
        // Also what tells of a failure may say that it is over: an alert that is resolved.
        let is_over = verdict.is_over || incident.says_over();
        let severity = self.severities.get(verdict.id).copied().unwrap_or(verdict.severity);
        Some(Tampering(Verdict { severity, is_over, ..verdict }))
    }

    fn decoded(&self, text: &str) -> Option<Value> {
        let is_known = || self.packs.iter().flat_map(|pack| pack.marks).any(|mark| text.contains(mark));
        // What is no JSON, or too deep for us, cannot come from these.
        (text.len() <= EVENT_BYTES_MAX && is_known()).then(|| serde_json::from_str(text).ok()).flatten()
    }

    /// The sender's other fields as one event, where they may be one.
    fn own_fields(&self, extra: &Extra) -> Option<Value> {
        let has = |text: &str| self.packs.iter().flat_map(|pack| pack.marks).any(|mark| text.contains(mark));
        extra.0.iter().any(|(name, value)| has(name) || has(value.get())).then(|| fields_of(extra)).flatten()
    }

    /// The event, and those that it carries. An end needs a subject, and more than a line that anybody may have written.
    fn judge_all(&self, event: &Value) -> Option<Verdict> {
        let judged = carried(event).into_iter().filter_map(|carried| {
            let verdict = self.judge_one(&carried.event)?;
            let is_believed = !verdict.is_over || !(carried.is_free || verdict.subject.is_empty());
            is_believed.then_some(verdict)
        });
        judged.max_by_key(|verdict| verdict.severity)
    }

    fn judge_one(&self, event: &Value) -> Option<Verdict> {
        self.packs.iter().filter_map(|pack| (pack.judge)(event)).max_by_key(|verdict| verdict.severity)
    }
}

/// The sender's other fields as one event.
fn fields_of(extra: &Extra) -> Option<Value> {
    let bytes: usize = extra.0.iter().map(|(_, value)| value.get().len()).sum();
    let field = |(name, value): &(String, Box<RawValue>)| Some((name.clone(), serde_json::from_str(value.get()).ok()?));
    let fields = || Value::Object(extra.0.iter().filter_map(field).collect::<Map<_, _>>());
    (bytes <= EVENT_BYTES_MAX).then(fields)
}

/// The labels as an event, for alerts that say it there.
fn labels(incident: &Incident) -> Value {
    let label = |(name, value): (&String, &String)| (name.clone(), Value::String(value.clone()));
    Value::Object(Map::from_iter([(
        "labels".to_owned(),
        Value::Object(incident.labels.iter().take(LABELS_MAX).map(label).collect()),
    )]))
}

/// As many events of one incident are looked through for records of logs.
const RECORDS_MAX: usize = 1000;

/// The records of Windows' event logs that an incident carries. What anybody may have written into a log is none.
#[must_use]
pub fn log_records(incident: &Incident) -> Vec<LogRecord> {
    let is_known =
        |text: &str| text.len() <= EVENT_BYTES_MAX && windows_event::MARKS.iter().any(|mark| text.contains(mark));
    let decoded = |event: &RawValue| serde_json::from_str(Some(event.get()).filter(|text| is_known(text))?).ok();
    let own = incident.extra.0.iter().any(|(name, value)| is_known(name) || is_known(value.get()));
    let own = own.then(|| fields_of(&incident.extra)).flatten();
    let mut found = Vec::new();
    for event in incident.events.iter().take(RECORDS_MAX).filter_map(|event| decoded(event)).chain(own) {
        for carried in carried(&event).iter().filter(|carried| !carried.is_free) {
            let entry = windows_event::Entry::of(&carried.event);
            found.extend(entry.and_then(|entry| {
                let number = entry.record()?;
                Some(LogRecord { computer: entry.computer, channel: entry.channel, number })
            }));
        }
    }
    found
}

/// Takes away what a sender has put where only we say something: the labels of a failure. Nobody is to be called for one that no
/// event tells of.
pub fn disown(incident: &mut Incident) {
    for label in OWN_LABELS {
        if incident.labels.remove(label).is_some() {
            incident.notes.push(format!("the label {label} was taken away: it is given here"));
        }
    }
}

impl Tampering {
    /// How bad it is at the least; none where it ends a failure.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        (!self.0.is_over).then_some(self.0.severity)
    }

    /// Marks the incident: what has failed, the control, and the fingerprint by which what ends it is known to belong to it.
    /// The severity is the caller's to give.
    pub fn mark(&self, incident: &mut Incident) {
        let Verdict { id, subject, is_over, .. } = &self.0;
        let subject = cut(&one_line(subject), SUBJECT_BYTES_MAX).into_owned();
        incident.fingerprint = Fingerprint::derive(AUDIT_FAILURE, id, [("subject", subject.as_str())].into_iter());
        incident.labels.insert(AUDIT_FAILURE.to_owned(), (*id).to_owned());
        incident.labels.insert("audit_failure_subject".to_owned(), subject);
        if !incident.nist_controls.iter().any(|control| control == CONTROL) {
            incident.nist_controls.push(CONTROL.to_owned());
        }
        if !is_over {
            incident.notes.push(format!("audit logging has failed elsewhere: {id}"));
            return;
        }
        incident.labels.insert("audit_failure_over".to_owned(), "true".to_owned());
        let free = ["status", "state"].into_iter().find(|name| incident.extra.get(name).is_none());
        match free.filter(|_| !incident.says_over()) {
            Some(name) => {
                let word = RawValue::from_string("\"resolved\"".to_owned()).expect("this is JSON");
                incident.extra.0.push((name.to_owned(), word));
                incident.notes.push(format!("this ends {id}: `{name}: resolved` was added"));
            }
            None if incident.says_over() => {}
            None => incident.notes.push(format!("this ends {id}, which must be resolved by hand")),
        }
    }
}

#[cfg(test)]
#[path = "packs/ordinary.rs"]
mod ordinary;
#[cfg(test)]
#[path = "packs/published.rs"]
mod published;
#[cfg(test)]
#[path = "packs/tests.rs"]
mod tests;
