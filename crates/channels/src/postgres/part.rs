//! A delivery as one line of JSON: what a row of `alert_history` is made of. Everything in it is text that PostgreSQL
//! takes, whatever the sender wrote. Knows no table.

use crate::body;
use crate::fit::fit;
use balefire_model::text::cut;
use balefire_model::{Acknowledgement, Delivery, Incident, Reason, dfars};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A key of an index entry may have some 2,700 bytes (a third of a page), and `rule_id` is one.
const RULE_BYTES_MAX: usize = 512;
/// What a dashboard lists in one line.
const TITLE_BYTES_MAX: usize = 8 << 10;
/// As many events of one incident are linked.
const EVENTS_MAX: usize = 1000;

/// The names are those of the record that the statement reads (`layout.rs`).
#[derive(Serialize)]
struct Part<'a> {
    id: String,
    does: Does,
    /// The incident that it belongs to, where it repeats another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    /// The incident is over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    closes: bool,
    /// Who acknowledges, or whose acknowledgement is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    acked_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acked_at: Option<Timestamp>,
    rule_id: Cow<'a, str>,
    severity: &'static str,
    title: Cow<'a, str>,
    description: &'a str,
    created_at: Timestamp,
    nist_controls: &'a [String],
    cui_involved: bool,
    /// Whether the law wants to hear of it.
    reportable: bool,
    event_ids: Vec<String>,
    /// The sender's own incident, where its id can be a key of `security_incidents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    link_uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_number: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

/// What it does to its row. The words stand in the statement, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Does {
    /// Makes it, unless it is there.
    Add,
    /// Acknowledges it, unless somebody has.
    Ack,
    /// Takes an acknowledgement back, where it is still that one.
    Unack,
}

/// Who has acknowledged what is over, where nobody has before.
pub(super) const RESOLVED: &str = "balefire: resolved";

/// Whether the whole incident goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In the column `balefire`, where the table has one.
    Whole,
    /// Its columns alone.
    Columns,
}

/// The line, of at most `limit` bytes.
pub(super) fn part(delivery: &Delivery<'_>, form: Form, limit: usize) -> Vec<u8> {
    fit(delivery.incident, limit, |incident| plain(&line(delivery, incident, form)), Vec::len)
}

fn line(delivery: &Delivery<'_>, incident: &Incident, form: Form) -> Vec<u8> {
    let native = || String::from_utf8(body::native(delivery, incident, None)).expect("our own body is UTF-8");
    let (does, acked_by, acked_at) = match (delivery.reason, delivery.acknowledgement) {
        (Reason::Resolved, _) => (Does::Ack, Some(RESOLVED), delivery.resolved_at),
        (Reason::Acked, Some(Acknowledgement::Given { by, at })) => (Does::Ack, Some(by.as_str()), Some(*at)),
        (Reason::Acked, Some(Acknowledgement::TakenBack { of })) => (Does::Unack, Some(of.as_str()), None),
        _ => (Does::Add, None, None),
    };
    let body = match (form, delivery.acknowledgement) {
        (Form::Whole, None) => Some(RawValue::from_string(native()).expect("our own body is JSON")),
        _ => None,
    };
    let link = incident.incident_id.as_deref().unwrap_or_default().trim();
    let part = Part {
        id: delivery.incident.id.to_string(),
        does,
        first: delivery.repeat_of.filter(|_| does == Does::Add).map(|first| first.to_string()),
        closes: delivery.reason == Reason::Resolved,
        acked_by,
        acked_at,
        rule_id: cut(&incident.detected_by, RULE_BYTES_MAX),
        severity: incident.severity.as_str(),
        title: cut(&incident.title, TITLE_BYTES_MAX),
        description: &incident.description,
        created_at: incident.received_at,
        nist_controls: &incident.nist_controls,
        cui_involved: incident.cui_involved,
        reportable: dfars::is_reportable(incident.severity, incident.cui_involved),
        event_ids: incident.events.iter().take(EVENTS_MAX).filter_map(|event| event_id(event)).collect(),
        link_uuid: uuid(link),
        link_number: link.parse().ok(),
        body,
    };
    serde_json::to_vec(&part).expect("a part is JSON")
}

/// Where a part says what it does: behind its id, which is always as long.
const DOES_AT: usize = r#"{"id":"01935f1c-7c00-7000-8000-000000000001","does":""#.len();

/// Whether a part makes a row, and changes none.
pub(super) fn adds(part: &[u8]) -> bool {
    !part.get(DOES_AT..).is_some_and(|does| does.starts_with(b"ack\"") || does.starts_with(b"unack\""))
}

/// Whether a part makes a row that belongs to another incident.
pub(super) fn belongs_to_another(part: &[u8]) -> bool {
    part.get(DOES_AT..).is_some_and(|does| does.starts_with(br#"add","first":""#))
}

/// An event's own id, where it is a UUID.
fn event_id(event: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        event_id: Option<Cow<'a, str>>,
    }
    let event: Event<'_> = serde_json::from_str(event.get()).ok()?;
    uuid(event.event_id?.trim())
}

/// In the one form that both sides read alike.
fn uuid(text: &str) -> Option<String> {
    text.parse().ok().map(|balefire_model::IncidentId(uuid)| uuid.as_hyphenated().to_string())
}

/// The JSON without what PostgreSQL cannot keep as text: NUL is shown as its symbol (U+2400), half of a surrogate pair as a
/// replacement character. Raw line ends, which JSON allows between its tokens, become spaces: the part is one line.
fn plain(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(place) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r')) {
        out.extend_from_slice(&rest[..place]);
        rest = &rest[place..];
        let taken = match rest {
            [b'\\', b'u', ..] => match (escape(rest), escape(rest.get(6..).unwrap_or_default())) {
                (Some(0), _) => put(&mut out, b"\\u2400", 6),
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => put(&mut out, &rest[..12], 12),
                (Some(0xd800..=0xdfff), _) => put(&mut out, b"\\ufffd", 6),
                _ => put(&mut out, &rest[..rest.len().min(6)], 6),
            },
            [b'\\', ..] => put(&mut out, &rest[..rest.len().min(2)], 2),
            _ => put(&mut out, b" ", 1),
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8], taken: usize) -> usize {
    out.extend_from_slice(bytes);
    taken
}

/// The number of the `\uXXXX` that the text begins with.
fn escape(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(delivery: &Delivery<'_>, form: Form) -> Value {
        serde_json::from_slice(&part(delivery, form, 16 << 20)).expect("JSON")
    }

    #[test]
    fn a_part_has_what_a_row_is_made_of() {
        let mut incident = fixture::incident();
        let event = |json: &str| RawValue::from_string(json.to_owned()).expect("JSON");
        let id = "01935F1C-7C00-7000-8000-00000000000A";
        incident.events =
            vec![event(&format!("{{\"event_id\": \"{id}\",\n\"x\": 1}}")), event("7"), event("{\"event_id\":3}")];
        incident.incident_id = Some("42".to_owned());
        let mut read = read(&fixture::delivery(&incident), Form::Whole);
        assert_eq!(read["body"]["incident"]["cui_involved"], true);
        read["body"] = Value::Null;
        let expected = json!({
            "id": "01935f1c-7c00-7000-8000-000000000001", "does": "add", "rule_id": "audit_log_gap",
            "severity": "critical", "title": "Audit log stopped on web-1",
            "description": "No audit event for 600 s.\nCheck auditd.", "created_at": "2026-11-02T03:04:05.678901Z",
            "nist_controls": ["3.3.4", "3.3.1"], "cui_involved": true, "reportable": true, "event_ids": [id.to_lowercase()], "link_number": 42, "body": null,
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn the_end_of_an_incident_closes_its_row() {
        let incident = Incident { incident_id: Some(fixture::incident().id.to_string()), ..fixture::incident() };
        let at = "2026-11-02T04:00:00Z".parse().ok();
        let over = Delivery { reason: Reason::Resolved, resolved_at: at, ..fixture::delivery(&incident) };
        let read = read(&over, Form::Columns);
        assert_eq!((&read["does"], &read["acked_at"]), (&json!("ack"), &json!("2026-11-02T04:00:00Z")));
        assert_eq!(read["acked_by"], "balefire: resolved");
        assert_eq!((&read["link_uuid"], &read["body"]), (&json!(incident.id.to_string()), &Value::Null));
    }

    #[test]
    fn an_acknowledgement_says_whose_it_is_and_so_does_the_one_that_is_taken_back() {
        let incident = fixture::incident();
        let check = |acknowledgement: Acknowledgement, expected: Value| {
            let acknowledgement = Some(&acknowledgement);
            let acked = Delivery { reason: Reason::Acked, acknowledgement, ..fixture::delivery(&incident) };
            let read = read(&acked, Form::Whole);
            assert_eq!(json!([read["does"], read["acked_by"], read["acked_at"], read["body"]]), expected);
        };
        let by = "ann\0 '; --".to_owned();
        let at = "2026-11-02T04:00:00Z".parse().expect("a constant time");
        check(
            Acknowledgement::Given { by: by.clone(), at },
            json!(["ack", "ann\u{2400} '; --", "2026-11-02T04:00:00Z", null]),
        );
        check(Acknowledgement::TakenBack { of: by }, json!(["unack", "ann\u{2400} '; --", null, null]));
    }

    #[test]
    fn what_a_part_is_for_is_seen_without_reading_it() {
        let incident = fixture::incident();
        let fired = fixture::delivery(&incident);
        let check = |delivery: &Delivery<'_>, expected: (bool, bool)| {
            let part = part(delivery, Form::Whole, 1 << 20);
            assert_eq!((adds(&part), belongs_to_another(&part)), expected, "{}", String::from_utf8_lossy(&part));
        };
        let given = Acknowledgement::Given { by: "ann".to_owned(), at: fired.now };
        let back = Acknowledgement::TakenBack { of: "ann".to_owned() };
        check(&fired, (true, false));
        check(&Delivery { repeat_of: Some(incident.id), ..fired }, (true, true));
        check(&Delivery { reason: Reason::Resolved, ..fired }, (false, false));
        check(&Delivery { reason: Reason::Acked, acknowledgement: Some(&given), ..fired }, (false, false));
        check(&Delivery { reason: Reason::Acked, acknowledgement: Some(&back), ..fired }, (false, false));
    }

    #[test]
    fn what_postgresql_cannot_keep_is_shown_in_another_way() {
        let check = |json: &str, expected: &str| assert_eq!(plain(json.as_bytes()), expected.as_bytes(), "{json}");
        check(r#""a\u0000b\\u0000""#, r#""a\u2400b\\u0000""#);
        check(r#""\ud83d\ude00 \ud83d \uDE00 \ud83d\n""#, r#""\ud83d\ude00 \ufffd \ufffd \ufffd\n""#);
        check("{\"a\":\r\n1}", "{\"a\":  1}");
        check(r#""\u00e4""#, r#""\u00e4""#);
    }

    #[test]
    fn a_long_rule_and_a_long_title_are_cut_with_a_mark() {
        let long = "ä".repeat(1 << 20);
        let incident = Incident { detected_by: long.clone(), title: long, ..fixture::incident() };
        let read = read(&fixture::delivery(&incident), Form::Columns);
        for (field, max) in [("rule_id", RULE_BYTES_MAX), ("title", TITLE_BYTES_MAX)] {
            let text = read[field].as_str().expect("a text");
            assert!(text.len() <= max && text.ends_with(" of 2097152 bytes]"), "{field}: {text:.80}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_one_line_of_json_without_nul(text: String, more in "[\\x00\\\\u\"\\r\\n0d8]{0,40}") {
            let text = text + &more;
            let incident = Incident { title: text.clone(), description: text, ..fixture::incident() };
            let line = part(&fixture::delivery(&incident), Form::Whole, 16 << 20);
            let read: Value = serde_json::from_slice(&line).expect("JSON");
            let title = read["title"].as_str().expect("a text");
            prop_assert!(!title.contains('\0') && !line.contains(&b'\n'));
            prop_assert_eq!(title, cut(&incident.title, TITLE_BYTES_MAX).replace('\0', "\u{2400}"));
        }
    }
}
