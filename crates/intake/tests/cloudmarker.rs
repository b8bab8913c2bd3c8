//! What Cloudmarker's records come to: kept as they are, recognised by themselves, and given a weight.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use balefire_intake::formats::Format;
use balefire_intake::formats::cloudmarker::findings::EVENT_TYPES;
use balefire_intake::formats::cloudmarker::mock;
use balefire_intake::formats::json::{Shape, decode, decode_as};
use balefire_intake::normalise::{Context, assign, normalise};
use balefire_intake::{Draft, Kind, Limits};
use balefire_model::{Incident, RunMark, Severity};
use jiff::Timestamp;
use serde_json::{Value, json};

const EVENT: &str = r#"{ "raw": {"b":1,  "a":2.50}, "ext": {"record_type":"firewall_rule_event","n":10000000000000000000001},
"com": {"cloud_type": "azure", "record_type": "firewall_rule_event", "reference": "/subscriptions/1/rule",
"description": "Port 22 is open.", "recommendation": "Close it.", "exposed_ports": [22],
"audit_key": "nightly", "audit_version": "20261122_000000", "origin_type": "event", "origin_worker": "nightly_fw",
"target_type": "alert", "target_worker": "nightly_mail"}}"#;

fn incident_of(draft: Draft) -> Incident {
    let context = Context {
        id: "01935f1c-7c00-7000-8000-000000000001".parse().unwrap(),
        source: "cloud",
        received_at: Timestamp::UNIX_EPOCH,
        severity_default: Severity::Medium,
    };
    normalise(draft, &context)
}

fn incident(body: &str) -> Incident {
    incident_of(decode(body.as_bytes(), Shape::Json, &Limits::default()).unwrap().remove(0).unwrap())
}

/// An event with these members in `com`.
fn with(members: Value) -> Incident {
    let mut com = json!({"record_type": "some_event", "origin_type": "event", "audit_key": "a", "audit_version": "1"});
    com.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    incident(&json!({ "com": com }).to_string())
}

fn refusal(format: Format, body: &str) -> String {
    decode_as(format, body.as_bytes(), Shape::Json, &Limits::default()).unwrap().remove(0).unwrap_err().to_string()
}

#[test]
fn a_record_is_recognised_and_shown_in_words() {
    let incident = incident(EVENT);
    assert_eq!(incident.title, "Firewall rule exposes ports: /subscriptions/1/rule");
    assert_eq!((incident.severity, incident.severity_original.as_deref()), (Severity::High, None));
    assert_eq!(incident.description, "Port 22 is open.\n\nRecommendation: Close it.");
    assert_eq!(incident.nist_controls, ["3.13.1", "3.13.6"]);
    assert_eq!(incident.detected_by, "firewall_rule_event");
    assert!(incident.notes.is_empty(), "{:?}", incident.notes);
    let labels: Vec<_> = incident.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        labels,
        [
            "audit_key=nightly",
            "audit_version=20261122_000000",
            "cloud_type=azure",
            "origin_type=event",
            "origin_worker=nightly_fw",
            "record_type=firewall_rule_event",
            "reference=/subscriptions/1/rule",
            "target_type=alert",
            "target_worker=nightly_mail",
        ]
    );
}

#[test]
fn the_buckets_are_kept_in_their_order_and_byte_for_byte_save_for_line_breaks() {
    let incident = incident(EVENT);
    let kept: Vec<_> = incident.extra.0.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
    assert_eq!(kept[0], ("raw", r#"{"b":1,  "a":2.50}"#));
    assert_eq!(kept[1], ("ext", r#"{"record_type":"firewall_rule_event","n":10000000000000000000001}"#));
    let com = &EVENT[EVENT.find("\"com\": ").unwrap() + 7..EVENT.len() - 1];
    assert_eq!(kept[2], ("com", com.replace('\n', " ").as_str()));
    assert_eq!(kept.len(), 3);
}

#[test]
fn a_record_says_its_part_in_its_run() {
    let part = |com: Value| incident(&json!({ "com": com }).to_string()).run;
    let run = incident(EVENT).run.unwrap();
    assert_eq!((run.run.key.as_str(), run.run.version.as_str()), ("nightly", "20261122_000000"));
    // A store and an alert of one name get marks each: they are two workers.
    assert_eq!((run.run.worker.as_str(), run.mark), ("nightly_mail/alert", RunMark::Record));
    let mark = |kind: &str| json!({"record_type": kind, "audit_key": "a", "audit_version": "1", "target_worker": "w"});
    let begin = part(mark("begin_audit")).unwrap();
    assert_eq!((begin.run.worker.as_str(), begin.mark), ("w", RunMark::Begin));
    assert_eq!(part(mark("end_audit")).unwrap().mark, RunMark::End);
    assert!(part(json!({"record_type": "x", "audit_key": "a"})).is_none());
}

#[test]
fn marks_and_cloud_records_are_info_and_unknown_events_take_the_default_with_a_note() {
    let mark = incident(r#"{"com":{"record_type":"begin_audit","audit_key":"nightly"}}"#);
    assert_eq!((mark.severity, mark.title.as_str()), (Severity::Info, "Audit nightly begins"));
    let cloud = with(json!({"record_type": "compute", "origin_type": "cloud", "reference": "vm-1"}));
    assert_eq!((cloud.severity, cloud.title.as_str()), (Severity::Info, "compute: vm-1"));
    let mut unknown = with(json!({"record_type": "own_event"}));
    assert_eq!((unknown.severity, unknown.title.as_str()), (Severity::Medium, "own_event"));
    assert_eq!(unknown.notes, ["event type \"own_event\" is not known; medium was assumed"]);
    assign(&mut unknown, Severity::Critical);
    assert_eq!((unknown.severity, unknown.notes.len()), (Severity::Critical, 0));
}

#[test]
fn every_event_type_of_cloudmarker_has_one_weight_and_valid_controls() {
    for (nth, known) in EVENT_TYPES.iter().enumerate() {
        assert!(EVENT_TYPES[..nth].iter().all(|other| other.record_type != known.record_type), "{known:?}");
        assert_eq!(with(json!({"record_type": known.record_type})).severity, known.severity);
        assert!(known.nist_controls.iter().all(|control| control.starts_with("3.")), "{known:?}");
    }
    assert_eq!(EVENT_TYPES.len(), 29);
}

#[test]
fn the_next_run_finds_the_same_under_the_same_fingerprint() {
    let next = EVENT
        .replace("20261122_000000", "20261123_000000")
        .replace("nightly_mail", "nightly_slack")
        .replace("Port 22 is open.", "Ports 22 and 23 are open.");
    assert_eq!(incident(EVENT).fingerprint, incident(&next).fingerprint);
    for other in [("nightly", "weekly"), ("azure", "gcp"), ("/1/rule", "/2/rule"), ("firewall_rule_event", "x_event")] {
        let other = EVENT.replace(other.0, other.1);
        assert_ne!(incident(EVENT).fingerprint, incident(&other).fingerprint, "{other}");
    }
    let mock = |data: u64| incident(&json!({"ext": {"data": data}, "com": {"record_type": "mock_event"}}).to_string());
    assert_ne!(mock(0).fingerprint, mock(3).fingerprint);
    assert_eq!(mock(3).fingerprint, mock(3).fingerprint);
}

#[test]
fn what_is_no_record_is_read_as_ours_unless_the_sender_says_otherwise() {
    let titled = incident(r#"{"title":"t","com":{"record_type":"x"}}"#);
    assert_eq!((titled.title.as_str(), titled.run.is_none()), ("t", true));
    for body in [r#"{"com":{}}"#, r#"{"com":[]}"#, r#"{"com":"record_type"}"#] {
        assert!(refusal(Format::Auto, body).contains("title"), "{body}");
    }
    assert!(refusal(Format::Native, EVENT).contains("title"));
    let said = refusal(Format::Cloudmarker, r#"{"title":"t"}"#);
    assert!(said.contains("com: found nothing; allowed: an object with `record_type`"), "{said}");
    assert!(refusal(Format::Cloudmarker, r#"{"com":{"record_type":" "}}"#).contains("com.record_type"));
    assert!(refusal(Format::Cloudmarker, r#"{"com":3}"#).contains("a number (3)"));
}

#[test]
fn a_hostile_record_is_cut_where_it_is_shown_and_whole_where_it_is_kept() {
    let long = "x".repeat(300 * 1024);
    let hostile =
        with(json!({"reference": &long, "description": &long, "recommendation": ["\u{1b}[31m"], "cloud_type": 7}));
    assert!(hostile.title.len() < 400 && hostile.description.len() <= 256 * 1024, "{}", hostile.description.len());
    assert!(hostile.labels["reference"].len() <= 4 * 1024);
    assert_eq!(hostile.labels["cloud_type"], "7");
    assert!(hostile.extra.get("com").unwrap().get().len() > 600 * 1024);
    let nested = format!(r#"{{"raw":{}{},"com":{{"record_type":"x"}}}}"#, "[".repeat(100), "]".repeat(100));
    assert!(refusal(Format::Auto, &nested).contains("levels"));
    assert!(refusal(Format::Auto, r#"{"com":{"record_type":"x","reference":"\ud800"}}"#).contains("surrogate"));
}

#[test]
fn the_mock_audit_is_one_run_for_the_store_and_one_for_the_alert() {
    let body = serde_json::to_vec(&mock::audit("20261122_030000")).unwrap();
    let drafts = decode(&body, Shape::Json, &Limits::default()).unwrap();
    let drafts: Vec<Draft> = drafts.into_iter().map(Result::unwrap).collect();
    let count = |kind: Kind| drafts.iter().filter(|draft| draft.kind == kind).count();
    assert_eq!((count(Kind::CloudRecord), count(Kind::Finding), count(Kind::Mark)), (10, 4, 4));
    let runs: Vec<_> = drafts.into_iter().map(|draft| incident_of(draft).run.unwrap().run).collect();
    assert!(runs[..12].iter().all(|run| run.worker == "mockaudit_balefire/store"), "{runs:?}");
    assert!(runs[12..].iter().all(|run| run.worker == "mockaudit_balefire/alert"), "{runs:?}");
}

#[test]
fn the_documented_table_is_the_one_in_force() {
    let document = include_str!("../../../docs/migrating/cloudmarker.md");
    for known in EVENT_TYPES {
        let controls = known.nist_controls.join(", ");
        let row = format!("| `{}` | {} | {} | {controls} |", known.record_type, known.severity, known.title);
        assert!(document.contains(&row), "{row}");
    }
}
