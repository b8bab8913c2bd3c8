//! What a template can ask for: the fields of the native body, of a real delivery and of made-up ones on which a template
//! is tried before it is needed. Knows no template.

use super::TemplateError;
use crate::body::event_type;
use balefire_model::{Delivery, DeliveryId, Incident, Reason, Repeats};
use minijinja::value::{Enumerator, Object, Serde, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The names that a template knows are those of the native body; what that leaves out where it is empty is there too.
pub(super) fn context(delivery: &Delivery<'_>, incident: &Incident) -> Result<Value, TemplateError> {
    Ok(with_fields(delivery, incident_fields(incident)?))
}

fn with_fields(delivery: &Delivery<'_>, incident: BTreeMap<String, Value>) -> Value {
    minijinja::context! {
        version => 1,
        type => event_type(delivery.reason),
        delivery => minijinja::context! {
            id => delivery.id.to_string(),
            channel => delivery.channel,
            reason => delivery.reason.as_str(),
            stands_in_for => delivery.stands_in_for,
            repeats => delivery.repeats.map(|Repeats { count, since, last }| {
                minijinja::context! { count => count, since => since.to_string(), last => last.to_string() }
            }),
            ack_url => crate::mark::ack_url(delivery),
        },
        incident => Value::from(incident),
    }
}

fn incident_fields(incident: &Incident) -> Result<BTreeMap<String, Value>, TemplateError> {
    let mut fields = BTreeMap::from([
        ("severity_original".to_owned(), Value::from(())),
        ("event_time".to_owned(), Value::from(())),
        ("internal_scan".to_owned(), Value::from(())),
        ("labels".to_owned(), Value::from(BTreeMap::<String, Value>::new())),
        ("notes".to_owned(), Value::from(Vec::<Value>::new())),
        ("extra".to_owned(), Value::from(BTreeMap::<String, Value>::new())),
    ]);
    if let serde_json::Value::Object(present) = serde_json::to_value(incident).map_err(TemplateError::Context)? {
        fields.extend(present.into_iter().map(|(name, value)| (name, Value::from(Serde(&value)))));
    }
    Ok(fields)
}

/// A made-up incident with something in every field.
const FULL: &str = r#"{
    "id": "00000000-0000-7000-8000-000000000000", "title": "a \"title\"", "severity": "high",
    "severity_original": "8", "detected_by": "rule", "description": "two\nlines", "nist_controls": ["3.3.4"],
    "cui_involved": true, "incident_id": "i-1", "fingerprint": "0", "source": "http",
    "event_time": "2026-01-01T00:00:00Z", "received_at": "2026-01-01T00:00:00Z", "notes": ["a note"],
    "internal_scan": "time interval nights"}"#;

/// One with nothing that a sender may leave out.
const BARE: &str = r#"{
    "id": "00000000-0000-7000-8000-000000000000", "title": "t", "severity": "info", "detected_by": "http",
    "fingerprint": "0", "source": "http", "received_at": "2026-01-01T00:00:00Z"}"#;

/// What every template is tried on: what it is, and the context. Every reason, and an incident with and without what a
/// sender may leave out. Which labels senders set cannot be known: every label is there.
pub(super) fn samples() -> Result<Vec<(&'static str, Value)>, TemplateError> {
    let full = sample_fields(FULL, vec![Value::from_object(AnyName)])?;
    let bare = sample_fields(BARE, Vec::new())?;
    let of = |reason, stands_in_for, (incident, fields): &(Incident, BTreeMap<String, Value>)| {
        let delivery = Delivery {
            id: DeliveryId::derive(incident.id, "test", "sample"),
            channel: "sample",
            reason,
            stands_in_for,
            resolved_at: None,
            acknowledgement: None,
            repeats: (reason == Reason::Repeated).then_some(Repeats {
                count: 2,
                since: incident.received_at,
                last: incident.id,
            }),
            repeat_of: None,
            plain: false,
            ack_url: None,
            reached: None,
            opened: None,
            run: None,
            incident,
            attempt: 1,
            now: incident.received_at,
        };
        with_fields(&delivery, fields.clone())
    };
    Ok(vec![
        ("", of(Reason::Opened, None, &full)),
        ("for an incident without what a sender may leave out: ", of(Reason::Opened, None, &bare)),
        ("for an incident that is over: ", of(Reason::Resolved, None, &full)),
        ("for an escalation: ", of(Reason::Escalated, None, &full)),
        ("for an incident that came again: ", of(Reason::Repeated, None, &full)),
        ("for a message that stands in for another channel: ", of(Reason::Fallback, Some("other"), &full)),
        ("for a summary of many: ", of(Reason::Summary, None, &bare)),
        ("for a test of the channel: ", of(Reason::Test, None, &bare)),
    ])
}

fn sample_fields(json: &str, events: Vec<Value>) -> Result<(Incident, BTreeMap<String, Value>), TemplateError> {
    let incident: Incident = serde_json::from_str(json).map_err(TemplateError::Context)?;
    let mut fields = incident_fields(&incident)?;
    fields.insert("labels".to_owned(), Value::from_object(AnyName));
    fields.insert("extra".to_owned(), Value::from_object(AnyName));
    fields.insert("events".to_owned(), Value::from(events));
    Ok((incident, fields))
}

/// Has every name, and lists one.
#[derive(Debug)]
struct AnyName;

impl Object for AnyName {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from("sample"))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["sample"])
    }
}
