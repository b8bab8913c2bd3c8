//! What the elasticsearch kind stores: a document per delivery whose fields are the same whatever the sender wrote, so
//! that no event can change a mapping or conflict with one, and the index template that describes it. Knows no request.

use crate::body::{event_type, one_line_json};
use balefire_model::{Delivery, Incident, Reason, Severity};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// Grows when the template changes; a cluster that has a newer one keeps it.
pub(crate) const TEMPLATE_VERSION: u32 = 1;

/// Ours must win against the vendors' own, which have 100 to 200 and the wider patterns.
const TEMPLATE_PRIORITY: u32 = 500;

/// Longer words are kept, but not found by: Lucene refuses terms of more than 32,766 bytes.
const KEYWORD_CHARS_MAX: u32 = 1024;

/// Names of the Elastic Common Schema 8.11 where it has one; the rest is under `balefire`.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Timestamp,
    message: &'a str,
    ecs: Ecs,
    event: Event<'a>,
    rule: Rule<'a>,
    /// Labels as `name=value`: as names of fields they could be anything.
    tags: Vec<String>,
    balefire: Own<'a>,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Serialize)]
struct Event<'a> {
    kind: &'static str,
    provider: &'static str,
    dataset: &'static str,
    id: balefire_model::IncidentId,
    action: &'a str,
    severity: u8,
    created: Timestamp,
}

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Own<'a> {
    version: u32,
    r#type: &'static str,
    delivery: OwnDelivery<'a>,
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity_original: Option<&'a str>,
    description: &'a str,
    nist_controls: &'a [String],
    cui_involved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident_id: Option<&'a str>,
    fingerprint: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [String],
    /// Why the document is not what the configuration says, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    /// Each event as the text of its JSON.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a str>,
    /// The sender's other fields as the text of one JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<String>,
}

#[derive(Serialize)]
struct OwnDelivery<'a> {
    id: balefire_model::DeliveryId,
    channel: &'a str,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_in_for: Option<&'a str>,
}

/// Our own document, on one line; `note` tells why it stands in for another.
pub(crate) fn native(delivery: &Delivery<'_>, incident: &Incident, note: Option<&str>) -> Vec<u8> {
    let extra = (!incident.extra.is_empty())
        .then(|| serde_json::to_string(&incident.extra).expect("kept fields have string keys"));
    let document = Document {
        timestamp: time(incident),
        message: &incident.title,
        ecs: Ecs { version: "8.11.0" },
        event: Event {
            kind: "alert",
            provider: "balefire",
            dataset: "balefire.incident",
            id: incident.id,
            action: delivery.reason.as_str(),
            severity: level(incident.severity),
            created: incident.received_at,
        },
        rule: Rule { name: &incident.detected_by },
        tags: incident.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        balefire: Own {
            version: 1,
            r#type: event_type(delivery.reason),
            delivery: OwnDelivery {
                id: delivery.id,
                channel: delivery.channel,
                reason: delivery.reason,
                stands_in_for: delivery.stands_in_for,
            },
            severity: incident.severity,
            severity_original: incident.severity_original.as_deref(),
            description: &incident.description,
            nist_controls: &incident.nist_controls,
            cui_involved: incident.cui_involved,
            incident_id: incident.incident_id.as_deref(),
            fingerprint: &incident.fingerprint.0,
            source: &incident.source,
            notes: &incident.notes,
            note,
            events: incident.events.iter().map(|event| event.get()).collect(),
            extra,
        },
    };
    serde_json::to_vec(&document).expect("a document has string keys and no failing serialisers")
}

/// The record of an audit as its sender wrote it (`raw`, `ext`, `com`), on one line; `None` where the incident is none.
/// A data stream wants a time in each document: it is put before a record that has none.
pub(crate) fn record(incident: &Incident, needs_time: bool) -> Option<Vec<u8>> {
    let fields = crate::record::fields(incident)?;
    // Room for each name, its marks, and a time.
    let room: usize = fields.iter().map(|(name, value)| name.len() + value.get().len() + 8).sum();
    let mut bytes = Vec::with_capacity(room + 64);
    bytes.push(b'{');
    if needs_time && !fields.iter().any(|(name, _)| *name == "@timestamp") {
        bytes.extend_from_slice(format!("\"@timestamp\":\"{}\",", time(incident)).as_bytes());
    }
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(&serde_json::to_vec(name).expect("a text is JSON"));
        bytes.push(b':');
        bytes.extend_from_slice(value.get().as_bytes());
    }
    bytes.push(b'}');
    Some(one_line_json(bytes))
}

/// When it happened; when we took it in, where the sender says a time that a date field may refuse.
fn time(incident: &Incident) -> Timestamp {
    incident.event_time.filter(|time| *time >= Timestamp::UNIX_EPOCH).unwrap_or(incident.received_at)
}

fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 5,
        Severity::High => 4,
        Severity::Medium => 3,
        Severity::Low => 2,
        Severity::Info => 1,
    }
}

/// The index template (composable, Elasticsearch 7.8 and later, OpenSearch 1.0 and later) for an index or a data stream
/// of that name.
pub(crate) fn template(name: &str, is_data_stream: bool, keeps_records: bool) -> Value {
    let mut properties = native_properties();
    let mut mappings = json!({ "dynamic": false, "date_detection": false });
    if keeps_records {
        // What a cloud answered is kept and not indexed: it has thousands of fields, and no two clouds agree on their
        // types. What the auditor made of it is indexed, words as words.
        let dynamic = json!({ "type": "object", "dynamic": true });
        properties["raw"] = json!({ "type": "object", "enabled": false });
        properties["ext"] = dynamic.clone();
        properties["com"] = dynamic;
        mappings["dynamic_templates"] = json!([
            { "words": { "match_mapping_type": "string", "mapping": keyword() } },
        ]);
    }
    mappings["properties"] = properties;
    let mut template = json!({
        "index_patterns": [name],
        "priority": TEMPLATE_PRIORITY,
        "version": TEMPLATE_VERSION,
        "_meta": { "description": "incidents by balefire; `template: false` leaves the mapping to you" },
        "template": { "mappings": mappings },
    });
    if is_data_stream {
        template["data_stream"] = json!({});
    }
    template
}

fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": KEYWORD_CHARS_MAX })
}

fn native_properties() -> Value {
    let (word, text) = (keyword(), json!({ "type": "text" }));
    let (date, flag) = (json!({ "type": "date" }), json!({ "type": "boolean" }));
    json!({
        "@timestamp": date,
        "message": text,
        "ecs": { "properties": { "version": word } },
        "event": { "properties": {
            "kind": word, "provider": word, "dataset": word, "id": word, "action": word,
            "severity": { "type": "long" }, "created": date,
        } },
        "rule": { "properties": { "name": word } },
        "tags": word,
        "balefire": { "properties": {
            "version": { "type": "long" }, "type": word,
            "delivery": { "properties": {
                "id": word, "channel": word, "reason": word, "stands_in_for": word,
            } },
            "severity": word, "severity_original": word, "description": text, "nist_controls": word,
            "cui_involved": flag, "incident_id": word, "fingerprint": word, "source": word, "notes": text,
            "note": text, "events": text, "extra": text,
        } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use serde_json::value::RawValue;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.into()).expect("JSON")
    }

    #[test]
    fn whatever_senders_write_the_fields_are_the_same() {
        let mut incident = fixture::incident();
        let fields = |incident: &Incident| {
            let bytes = native(&fixture::delivery(incident), incident, Some("note"));
            assert!(!bytes.contains(&b'\n'));
            let document: Value = serde_json::from_slice(&bytes).expect("JSON");
            let mut paths = Vec::new();
            walk(&document, String::new(), &mut paths);
            paths
        };
        incident.events = vec![raw("[\n1]")];
        incident.extra.0 = vec![("x".into(), raw("1"))];
        incident.notes = vec!["n".into()];
        let before = fields(&incident);
        incident.labels = (0..2000).map(|n| (format!("a.{n}"), "x".into())).collect();
        incident.events = vec![raw(r#"{"a": {"b": 1}}"#), raw(r#"{"a": [{"b": "x"}], "a.b": {}}"#)];
        incident.extra.0 = vec![("a".into(), raw("1")), ("a.b".into(), raw("{\n}"))];
        assert_eq!(fields(&incident), before);
        // And each of them is in the mapping.
        let mapping = native_properties();
        for path in before {
            let place = path.split('/').skip(1).fold(&mapping, |place, name| match place.get("properties") {
                Some(inner) => &inner[name],
                None => &place[name],
            });
            assert!(place.get("type").is_some(), "{path} is not in the mapping");
        }
    }

    /// The paths of all leaves; the members of a list are its own.
    fn walk(value: &Value, path: String, paths: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| walk(value, format!("{path}/{name}"), paths)),
            _ => paths.push(path),
        }
    }

    #[test]
    fn a_record_is_what_its_sender_wrote() {
        let mut incident = fixture::incident();
        assert!(record(&incident, false).is_none());
        incident.extra.0 =
            vec![("raw".into(), raw("{\"a\":\n1.10}")), ("ext".into(), raw("{}")), ("com".into(), raw("{\"b\":1}"))];
        let text = |needs_time| String::from_utf8(record(&incident, needs_time).expect("a record")).expect("UTF-8");
        assert_eq!(text(false), r#"{"raw":{"a": 1.10},"ext":{},"com":{"b":1}}"#);
        assert_eq!(
            text(true),
            r#"{"@timestamp":"2026-11-02T03:04:05.678901Z","raw":{"a": 1.10},"ext":{},"com":{"b":1}}"#
        );
    }

    #[test]
    fn a_time_that_a_date_field_may_refuse_is_not_sent() {
        let mut incident = fixture::incident();
        incident.event_time = Some(Timestamp::MIN);
        assert_eq!(time(&incident), incident.received_at);
    }
}
