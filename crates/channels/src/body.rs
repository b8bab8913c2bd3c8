//! JSON bodies: our own, CloudEvents 1.0 and Alertmanager's webhook version 4. None of them depends on the attempt or the
//! time: a repeat has the same bytes.

use crate::mark;
use balefire_model::text::is_unsafe;
use balefire_model::{Delivery, DeliveryId, Incident, Reason, Repeats};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The `type` of a body: what has happened.
pub(crate) fn event_type(reason: Reason) -> &'static str {
    match reason {
        Reason::Opened => "incident.opened",
        Reason::Resolved => "incident.resolved",
        Reason::Acked => "incident.acked",
        Reason::Escalated => "incident.escalated",
        Reason::Fallback => "incident.fallback",
        Reason::Summary => "incident.summary",
        Reason::Run => "incident.run",
        Reason::Repeated => "incident.repeated",
        Reason::Test => "incident.test",
    }
}

#[derive(Serialize)]
struct Native<'a> {
    /// Grows when a reader of the old form would misread the new one.
    version: u32,
    r#type: &'static str,
    delivery: NativeDelivery<'a>,
    /// Why the body is not what the configuration says, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    incident: &'a Incident,
}

#[derive(Serialize)]
struct NativeDelivery<'a> {
    id: DeliveryId,
    channel: &'a str,
    reason: Reason,
    /// The channel that should have carried it.
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_in_for: Option<&'a str>,
    /// How often the incident came, since when, and as which incident the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<Repeats>,
    /// The link by which its reader acknowledges the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_url: Option<&'a str>,
}

/// Our own body; `note` tells why it stands in for another.
pub(crate) fn native(delivery: &Delivery<'_>, incident: &Incident, note: Option<&str>) -> Vec<u8> {
    json(&Native {
        version: 1,
        r#type: event_type(delivery.reason),
        delivery: NativeDelivery {
            id: delivery.id,
            channel: delivery.channel,
            reason: delivery.reason,
            stands_in_for: delivery.stands_in_for,
            repeats: delivery.repeats,
            ack_url: mark::ack_url(delivery),
        },
        note,
        incident,
    })
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: DeliveryId,
    source: &'a str,
    r#type: &'a str,
    time: Timestamp,
    subject: String,
    datacontenttype: &'static str,
    severity: &'static str,
    data: &'a Incident,
}

/// A CloudEvent in structured mode (CloudEvents 1.0.2, JSON format): one per delivery, so that id and source are the same
/// for every attempt. `severity` is an extension.
pub(crate) fn cloud_event(delivery: &Delivery<'_>, incident: &Incident, source: &str) -> Vec<u8> {
    json(&CloudEvent {
        specversion: "1.0",
        id: delivery.id,
        source,
        r#type: match delivery.reason {
            Reason::Opened => "balefire.incident.opened",
            Reason::Resolved => "balefire.incident.resolved",
            Reason::Acked => "balefire.incident.acked",
            Reason::Escalated => "balefire.incident.escalated",
            Reason::Fallback => "balefire.incident.fallback",
            Reason::Summary => "balefire.incident.summary",
            Reason::Run => "balefire.incident.run",
            Reason::Repeated => "balefire.incident.repeated",
            Reason::Test => "balefire.incident.test",
        },
        time: delivery.resolved_at.unwrap_or(incident.received_at),
        subject: incident.id.to_string(),
        datacontenttype: "application/json",
        severity: incident.severity.as_str(),
        data: incident,
    })
}

/// Alertmanager's webhook payload (prometheus.io/docs/alerting/latest/configuration, `webhook_config`; field order of
/// Alertmanager 0.28's `webhook.Message`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertmanagerMessage<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: [Alert<'a>; 1],
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: &'a BTreeMap<String, &'a str>,
    common_annotations: &'a BTreeMap<&'static str, String>,
    #[serde(rename = "externalURL")]
    external_url: &'static str,
    version: &'static str,
    group_key: String,
    truncated_alerts: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: &'a BTreeMap<String, &'a str>,
    annotations: &'a BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL")]
    generator_url: &'static str,
    fingerprint: &'a str,
}

/// Go's zero time, 0001-01-01T00:00:00Z.
const NOT_OVER: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// The body that Alertmanager would send, for receivers that know that one. `alertname` is the rule.
pub(crate) fn alertmanager(delivery: &Delivery<'_>, incident: &Incident) -> Vec<u8> {
    let is_over = delivery.reason == Reason::Resolved;
    let status = if is_over { "resolved" } else { "firing" };
    let mut labels: BTreeMap<String, &str> =
        incident.labels.iter().map(|(name, value)| (label_name(name), value.as_str())).collect();
    labels.insert("alertname".to_owned(), &incident.detected_by);
    labels.insert("severity".to_owned(), incident.severity.as_str());
    labels.insert("source".to_owned(), &incident.source);
    let mut annotations = BTreeMap::from([
        ("summary", incident.title.clone()),
        ("description", incident.description.clone()),
        ("balefire_incident", incident.id.to_string()),
        ("balefire_delivery", delivery.id.to_string()),
        ("cui_involved", incident.cui_involved.to_string()),
    ]);
    if !incident.nist_controls.is_empty() {
        annotations.insert("nist_controls", incident.nist_controls.join(","));
    }
    if let Some(because) = &incident.internal_scan {
        annotations.insert("internal_scan", because.clone());
    }
    if !incident.notes.is_empty() {
        annotations.insert("notes", incident.notes.join("; "));
    }
    if let Some(channel) = delivery.stands_in_for {
        annotations.insert("stands_in_for", channel.to_owned());
    }
    let starts_at = incident.event_time.unwrap_or(incident.received_at);
    // A receiver takes an alert as over where its end is set and past. Where nobody wrote down when that was, the time of
    // the attempt would make of each repeat another message.
    let ended_at = delivery.resolved_at.unwrap_or(incident.received_at).max(starts_at);
    let ends_at = if is_over { ended_at } else { NOT_OVER };
    json(&AlertmanagerMessage {
        receiver: delivery.channel,
        status,
        alerts: [Alert {
            status,
            labels: &labels,
            annotations: &annotations,
            starts_at,
            ends_at,
            generator_url: "",
            fingerprint: &incident.fingerprint.0,
        }],
        group_labels: BTreeMap::from([("alertname", incident.detected_by.as_str())]),
        common_labels: &labels,
        common_annotations: &annotations,
        external_url: "",
        version: "4",
        group_key: format!("{{}}:{{fingerprint={}}}", JsonText(&incident.fingerprint.0)),
        truncated_alerts: 0,
    })
}

/// A name that Prometheus takes as a label's: `[a-zA-Z_][a-zA-Z0-9_]*`.
fn label_name(name: &str) -> String {
    let mut safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if safe.is_empty() || safe.starts_with(|c: char| c.is_ascii_digit()) {
        safe.insert(0, '_');
    }
    safe
}

/// Shows a text as JSON does, in quotes.
struct JsonText<'a>(&'a str);

impl std::fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        serde_json::Value::from(self.0).fmt(f)
    }
}

/// The same JSON on one line of harmless text: line breaks between its tokens, which parts that are passed on as the sender
/// wrote them may hold, become spaces, and unsafe characters in its strings become escapes.
pub(crate) fn one_line_json(json: Vec<u8>) -> Vec<u8> {
    if json.is_ascii() && !json.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
        return json;
    }
    let text = String::from_utf8(json).expect("JSON that we wrote is UTF-8");
    let mut safe = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        match c {
            // Raw C0 characters stand only between tokens: in strings JSON knows them only as escapes.
            '\0'..' ' => safe.push(' '),
            c if is_unsafe(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(safe, "\\u{unit:04x}").expect("a String takes everything");
                }
            }
            c => safe.push(c),
        }
    }
    safe.into_bytes()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("bodies have string keys and no failing serialisers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;
    use serde_json::Value;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("bodies are UTF-8")
    }

    #[test]
    fn the_native_body_carries_the_incident_as_the_journal_does() {
        let incident = fixture::incident();
        assert_eq!(
            text(native(&fixture::delivery(&incident), &incident, None)),
            concat!(
                r#"{"version":1,"type":"incident.opened","delivery":{"id":"ID","channel":"soc","reason":"opened"},"#,
                r#""incident":{"id":"01935f1c-7c00-7000-8000-000000000001","title":"Audit log stopped on web-1","#,
                r#""severity":"critical","detected_by":"audit_log_gap","#,
                r#""description":"No audit event for 600 s.\nCheck auditd.","nist_controls":["3.3.4","3.3.1"],"#,
                r#""cui_involved":true,"incident_id":null,"events":[],"labels":{"host":"web-1"},"#,
                r#""fingerprint":"83a654bc481b169321b893aa484ff0f4","source":"http","#,
                r#""received_at":"2026-11-02T03:04:05.678901Z"}}"#
            )
            .replace("ID", &fixture::delivery(&incident).id.to_string())
        );
    }

    #[test]
    fn a_cloud_event_has_the_required_attributes() {
        let incident = fixture::incident();
        let delivery = fixture::delivery(&incident);
        let mut event: Value = serde_json::from_slice(&cloud_event(&delivery, &incident, "/balefire")).expect("JSON");
        let data = event.as_object_mut().expect("an object").remove("data").expect("data");
        assert_eq!(data, serde_json::to_value(&incident).expect("JSON"));
        assert_eq!(
            event,
            serde_json::json!({
                "specversion": "1.0", "id": delivery.id.to_string(), "source": "/balefire",
                "type": "balefire.incident.opened", "time": "2026-11-02T03:04:05.678901Z",
                "subject": "01935f1c-7c00-7000-8000-000000000001", "datacontenttype": "application/json",
                "severity": "critical"
            })
        );
    }

    #[test]
    fn the_alertmanager_body_is_one_that_its_receivers_read() {
        let mut incident = fixture::incident();
        incident.labels.insert("k8s.io/app".into(), "shop".into());
        incident.labels.insert("severity".into(), "forged".into());
        let delivery = fixture::delivery(&incident);
        let body: Value = serde_json::from_slice(&alertmanager(&delivery, &incident)).expect("JSON");
        let labels = serde_json::json!({
            "alertname": "audit_log_gap", "severity": "critical", "host": "web-1", "k8s_io_app": "shop", "source": "http"
        });
        let annotations = serde_json::json!({
            "summary": "Audit log stopped on web-1", "description": "No audit event for 600 s.\nCheck auditd.",
            "balefire_incident": incident.id.to_string(), "balefire_delivery": delivery.id.to_string(),
            "cui_involved": "true", "nist_controls": "3.3.4,3.3.1"
        });
        assert_eq!(
            body,
            serde_json::json!({
                "receiver": "soc", "status": "firing", "version": "4", "truncatedAlerts": 0, "externalURL": "",
                "groupKey": "{}:{fingerprint=\"83a654bc481b169321b893aa484ff0f4\"}",
                "groupLabels": {"alertname": "audit_log_gap"},
                "commonLabels": labels, "commonAnnotations": annotations,
                "alerts": [{
                    "status": "firing", "labels": labels, "annotations": annotations,
                    "startsAt": "2026-11-02T03:04:05.678901Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
                    "fingerprint": "83a654bc481b169321b893aa484ff0f4"
                }]
            })
        );
    }

    #[test]
    fn an_alert_is_resolved_under_the_names_under_which_it_fired() {
        let incident = fixture::incident();
        let fired = fixture::delivery(&incident);
        let resolved_at = Some("2026-11-02T03:10:00Z".parse().expect("a constant time"));
        let over = Delivery { reason: Reason::Resolved, stands_in_for: Some("soc-mail"), resolved_at, ..fired };
        let read = |delivery: &Delivery<'_>| -> Value {
            serde_json::from_slice(&alertmanager(delivery, &incident)).expect("JSON")
        };
        let later = Delivery { attempt: 2, now: "2026-11-03T00:00:00Z".parse().expect("a constant time"), ..over };
        assert_eq!(read(&over), read(&later), "a repeat has the same bytes");
        let unknown = read(&Delivery { resolved_at: None, ..over });
        assert_eq!(unknown["alerts"][0]["endsAt"], "2026-11-02T03:04:05.678901Z", "an end of which no time is known");
        let told: Value = serde_json::from_slice(&cloud_event(&over, &incident, "/balefire")).expect("JSON");
        assert_eq!(told["time"], "2026-11-02T03:10:00Z", "the time of what the event tells");
        let (fired, over) = (read(&fired), read(&over));
        assert_eq!((&over["status"], &over["alerts"][0]["status"]), (&"resolved".into(), &"resolved".into()));
        assert_eq!(over["alerts"][0]["endsAt"], "2026-11-02T03:10:00Z");
        assert_eq!(over["commonAnnotations"]["stands_in_for"], "soc-mail");
        for name in ["groupKey", "groupLabels", "commonLabels", "receiver"] {
            assert_eq!(over[name], fired[name], "{name}");
        }
        for name in ["fingerprint", "labels", "startsAt"] {
            assert_eq!(over["alerts"][0][name], fired["alerts"][0][name], "{name}");
        }
    }

    proptest! {
        #[test]
        fn one_line_json_is_the_same_json(title: String, label: String) {
            let mut incident = fixture::incident();
            incident.title = title;
            incident.labels.insert(label, "\u{202e}\u{9b}\u{e0001}".into());
            let raw = serde_json::value::RawValue::from_string("{\n\t\"a\":\r\n 1}".into());
            incident.events.push(raw.expect("JSON"));
            let whole = native(&fixture::delivery(&incident), &incident, None);
            let line = one_line_json(whole.clone());
            prop_assert!(!std::str::from_utf8(&line).expect("UTF-8").chars().any(is_unsafe));
            let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
            prop_assert_eq!(parsed(&line), parsed(&whole));
        }
    }
}
