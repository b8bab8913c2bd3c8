//! Laws of the event packs, on events as the documentations of their logs show them. None of them ran against a live service.

use super::*;
use crate::hostile::{check_large, like};
use balefire_model::IncidentId;
use balefire_model::settings::{Key, Node, Place, Session};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

fn node(value: &Value) -> Node {
    use balefire_model::settings::Value as Set;
    let place = Place { file: "b.yaml".into(), line: 1, column: 1 };
    let value = match value {
        Value::Object(fields) => Set::Map(
            fields
                .iter()
                .map(|(name, value)| (Key { name: name.clone(), place: place.clone() }, node(value)))
                .collect(),
        ),
        Value::Array(items) => Set::List(items.iter().map(node).collect()),
        Value::String(text) => Set::Scalar { text: text.clone(), quoted: true },
        other => Set::Scalar { text: other.to_string(), quoted: false },
    };
    Node { place, value }
}

fn packs(settings: &Value) -> Result<Packs, Vec<String>> {
    let node = node(&json!({ "events": settings }));
    let load = |_: &str| Ok(String::new());
    let session = Session::new(&load);
    let reader = Reader::new(&session, &node, "watch");
    let packs = read_packs(&reader);
    reader.finish();
    let problems: Vec<String> = session.problems().iter().map(ToString::to_string).collect();
    if problems.is_empty() { Ok(packs) } else { Err(problems) }
}

pub(super) fn all() -> Packs {
    packs(&json!({ "packs": ["aws", "azure", "gcp", "windows", "kubernetes", "edr"] })).unwrap()
}

pub(super) fn incident(event: &Value) -> Incident {
    let now: Timestamp = "2026-11-22T02:00:00Z".parse().unwrap();
    serde_json::from_value(json!({
        "id": IncidentId::derive(now, "x"), "title": "an event", "severity": "low", "detected_by": "collector",
        "events": [event], "fingerprint": "f", "source": "collector", "received_at": now
    }))
    .unwrap()
}

/// What an event means: the failure, its severity or that it ends, and what it is about.
pub(super) fn meant(event: &Value) -> Option<(&'static str, String, String)> {
    let Tampering(verdict) = all().find(&incident(event))?;
    let word = if verdict.is_over { "over".to_owned() } else { verdict.severity.to_string() };
    Some((verdict.id, word, verdict.subject))
}

pub(super) fn check(event: &Value, id: &str, word: &str) {
    let found = meant(event);
    let found = found.as_ref().map(|(id, word, _)| (*id, word.as_str()));
    assert_eq!(found, Some((id, word)), "{event}");
}

pub(super) fn cloudtrail(service: &str, name: &str, parameters: &Value) -> Value {
    json!({ "eventVersion": "1.08", "userIdentity": { "type": "IAMUser", "accountId": "123456789012",
        "userName": "Mary_Major" }, "eventTime": "2023-07-19T21:14:02Z",
        "eventSource": format!("{service}.amazonaws.com"), "eventName": name, "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.0", "requestParameters": parameters, "responseElements": null,
        "recipientAccountId": "123456789012" })
}

#[test]
fn a_trail_that_is_stopped_is_critical_and_its_start_is_its_end() {
    let arn = json!({ "name": "arn:aws:cloudtrail:us-east-1:123456789012:trail/myTrail" });
    let stop = cloudtrail("cloudtrail", "StopLogging", &arn);
    check(&stop, "aws.cloudtrail.stop", "critical");
    let start = cloudtrail("cloudtrail", "StartLogging", &json!({ "name": "myTrail" }));
    check(&start, "aws.cloudtrail.stop", "over");
    assert_eq!(meant(&stop).unwrap().2, meant(&start).unwrap().2, "one trail, by its ARN and by its name");
    let bridged = json!({ "detail-type": "AWS API Call via CloudTrail", "source": "aws.cloudtrail", "detail": stop });
    check(&bridged, "aws.cloudtrail.stop", "critical");
    check(&json!({ "Records": [start, stop] }), "aws.cloudtrail.stop", "critical");
}

#[test]
fn what_was_refused_or_is_something_else_means_nothing() {
    let mut refused = cloudtrail("cloudtrail", "StopLogging", &json!({ "name": "myTrail" }));
    refused["errorCode"] = "AccessDenied".into();
    let failed = json!({ "operationName": "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE", "resultType": "Failed" });
    let denied = json!({ "protoPayload": { "methodName": "google.logging.v2.ConfigServiceV2.DeleteSink",
        "status": { "code": 7 }, "resourceName": "projects/p/sinks/s" } });
    for event in [
        refused,
        cloudtrail("cloudtrail", "DescribeTrails", &json!({})),
        cloudtrail("s3", "GetObject", &json!({})),
        failed,
        denied,
        json!({ "EventID": 4624, "Channel": "Security" }),
        json!({ "EventID": "1102" }),
        json!({ "eventSource": 7, "eventName": ["StopLogging"] }),
    ] {
        assert_eq!(meant(&event), None, "{event}");
    }
}

#[test]
fn calls_that_make_aws_blind_are_known() {
    let event = |service, name, parameters: Value| cloudtrail(service, name, &parameters);
    check(&event("cloudtrail", "DeleteTrail", json!({ "name": "t" })), "aws.cloudtrail.delete", "critical");
    check(&event("cloudtrail", "UpdateTrail", json!({ "name": "t" })), "aws.cloudtrail.update", "high");
    let selectors = |on: bool| json!({ "trailName": "t", "eventSelectors": [{ "readWriteType": "All", "includeManagementEvents": on }] });
    check(&event("cloudtrail", "PutEventSelectors", selectors(false)), "aws.cloudtrail.selectors", "critical");
    check(&event("cloudtrail", "PutEventSelectors", selectors(true)), "aws.cloudtrail.selectors", "over");
    let advanced = |category: &str| {
        json!({ "trailName": "t", "advancedEventSelectors":
            [{ "fieldSelectors": [{ "field": "eventCategory", "equals": [category] }] }] })
    };
    check(&event("cloudtrail", "PutEventSelectors", advanced("Data")), "aws.cloudtrail.selectors", "critical");
    check(&event("cloudtrail", "PutEventSelectors", advanced("Management")), "aws.cloudtrail.selectors", "over");
    let omitted = json!({ "reason": "requestParameters too large", "omitted": true });
    check(&event("iam", "PutRolePolicy", omitted), "aws.cloudtrail.evasion", "high");
    check(&event("guardduty", "DeleteDetector", json!({ "detectorId": "d" })), "aws.guardduty", "critical");
    let enable = |enable: bool| json!({ "detectorId": "d", "enable": enable });
    check(&event("guardduty", "UpdateDetector", enable(false)), "aws.guardduty", "critical");
    check(&event("guardduty", "UpdateDetector", enable(true)), "aws.guardduty", "over");
    let recorder = json!({ "configurationRecorderName": "default" });
    check(&event("config", "StopConfigurationRecorder", recorder.clone()), "aws.config", "high");
    check(&event("config", "StartConfigurationRecorder", recorder), "aws.config", "over");
    check(&event("ec2", "DeleteFlowLogs", json!({})), "aws.flow", "high");
    let bucket = json!({ "bucketName": "b", "BucketLoggingStatus": { "xmlns": "http://s3.amazonaws.com/doc/" } });
    check(&event("s3", "PutBucketLogging", bucket), "aws.s3", "high");
    let logging = json!({ "name": "c", "logging": { "clusterLogging": [{ "types": ["audit"], "enabled": false }] } });
    check(&event("eks", "UpdateClusterConfig", logging), "aws.eks", "high");
}

#[test]
fn settings_sinks_and_mailboxes_of_other_clouds_are_known() {
    let activity = |operation: Value| {
        json!({ "time": "2026-11-22T01:00:00Z", "operationName": operation, "category": "Administrative",
            "resultType": "Success", "resourceId": "/SUBSCRIPTIONS/1/X/PROVIDERS/MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/A" })
    };
    check(&activity("MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE".into()), "azure.diag.delete", "high");
    let localized = json!({ "value": "Microsoft.Insights/diagnosticSettings/delete", "localizedValue": "Delete" });
    check(&activity(localized), "azure.diag.delete", "high");
    check(&activity("Microsoft.Insights/diagnosticSettings/write".into()), "azure.diag.delete", "over");
    let exchange = |operation: &str, name: &str, value: &str| {
        json!({ "Workload": "Exchange", "Operation": operation, "OrganizationId": "o",
            "Parameters": [{ "Name": "Identity", "Value": "x" }, { "Name": name, "Value": value }] })
    };
    let bypass = |value| exchange("Set-MailboxAuditBypassAssociation", "AuditBypassEnabled", value);
    check(&bypass("True"), "o365.mailbox_bypass", "high");
    check(&bypass("False"), "o365.mailbox_bypass", "over");
    let unified = |value| exchange("Set-AdminAuditLogConfig", "UnifiedAuditLogIngestionEnabled", value);
    check(&unified("False"), "o365.audit_off", "critical");
    let sink = |method: &str, resource: &str| {
        json!({ "protoPayload": { "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "status": {},
            "serviceName": "logging.googleapis.com", "methodName": format!("google.logging.v2.ConfigServiceV2.{method}"),
            "resourceName": resource, "request": { "sink": { "name": "s" } } } })
    };
    check(&sink("DeleteSink", "projects/p/sinks/s"), "gcp.sink", "high");
    check(&sink("CreateSink", "projects/p"), "gcp.sink", "over");
    let subject = |event: &Value| meant(event).unwrap().2;
    assert_eq!(subject(&sink("DeleteSink", "projects/p/sinks/s")), subject(&sink("CreateSink", "projects/p")));
}

#[test]
fn a_windows_event_is_known_in_the_shape_of_every_shipper() {
    let xml = json!({ "Event": { "System": { "Provider": { "#attributes": { "Name": "Microsoft-Windows-Eventlog" } },
        "EventID": 1102, "Channel": "Security", "Computer": "DC1.example.org" },
        "UserData": { "LogFileCleared": { "SubjectUserName": "mallory" } } } });
    let winlogbeat = json!({ "event": { "code": "1102", "action": "Log clear" }, "winlog": { "channel": "Security",
        "event_id": "1102", "computer_name": "DC1.example.org", "provider_name": "Microsoft-Windows-Eventlog" } });
    let nxlog = json!({ "EventID": 1102, "Channel": "Security", "Hostname": "DC1.example.org" });
    let wazuh = json!({ "data": { "win": { "system": { "eventID": "1102", "channel": "Security",
        "computer": "DC1.example.org" } } }, "rule": { "id": "63103" } });
    for event in [xml, winlogbeat, nxlog, wazuh] {
        check(&event, "windows.cleared", "high");
        assert_eq!(meant(&event).unwrap().2, "dc1.example.org");
    }
}

#[test]
fn windows_agents_and_clusters_that_go_blind_are_known() {
    let event = |channel: &str, id: u32, data: Value| json!({ "winlog": { "channel": channel, "event_id": id, "computer_name": "pc", "event_data": data } });
    check(&event("System", 104, json!({ "Channel": "Application" })), "windows.cleared", "medium");
    check(&event("Security", 1104, json!({})), "windows.full", "critical");
    check(&event("Security", 1100, json!({})), "windows.stopped", "medium");
    check(&event("Security", 4608, json!({})), "windows.stopped", "over");
    let policy = |changes: &str| json!({ "SubcategoryGuid": "{0cce9215}", "AuditPolicyChanges": changes });
    check(&event("Security", 4719, policy("%%8448, %%8450")), "windows.policy", "high");
    check(&event("Security", 4719, policy("%%8449")), "windows.policy", "over");
    let defender = "Microsoft-Windows-Windows Defender/Operational";
    check(&event(defender, 5001, json!({})), "edr.defender.realtime", "high");
    check(&event(defender, 5000, json!({})), "edr.defender.realtime", "over");
    let sysmon = "Microsoft-Windows-Sysmon/Operational";
    check(&event(sysmon, 4, json!({ "State": "Stopped" })), "edr.sysmon.state", "high");
    check(&event(sysmon, 4, json!({ "State": "Started" })), "edr.sysmon.state", "over");
    let service = |state: &str| json!({ "param1": "Sysmon64", "param2": state });
    check(&event("System", 7036, service("stopped")), "edr.service", "high");
    check(&json!({ "rule": { "id": "504" }, "agent": { "id": "007" } }), "edr.agent_offline", "medium");
    let audit = |verb: &str| {
        json!({ "kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": verb,
            "objectRef": { "resource": "daemonsets", "namespace": "logging", "name": "fluent-bit" },
            "responseStatus": { "code": 200 } })
    };
    check(&audit("delete"), "k8s.collector", "high");
    check(&audit("create"), "k8s.collector", "over");
    let mut alert = incident(&json!({}));
    alert.labels.insert("alertname".to_owned(), "AuditLogError".to_owned());
    assert_eq!(all().find(&alert).map(|found| found.0.id), Some("k8s.audit_errors"));
}

#[test]
fn the_event_that_ends_a_failure_has_its_fingerprint_and_says_that_it_is_over() {
    let marked = |name: &str| {
        let event = cloudtrail("cloudtrail", name, &json!({ "name": "myTrail" }));
        let mut incident = incident(&event);
        let found = all().find(&incident).unwrap();
        found.mark(&mut incident);
        (incident, found.severity())
    };
    let ((stop, severity), (start, none)) = (marked("StopLogging"), marked("StartLogging"));
    assert_eq!((severity, none), (Some(Severity::Critical), None));
    assert_eq!(stop.labels[AUDIT_FAILURE], "aws.cloudtrail.stop");
    assert_eq!((stop.nist_controls.as_slice(), stop.says_over()), (["3.3.4".to_owned()].as_slice(), false));
    assert!(start.says_over() && start.fingerprint == stop.fingerprint, "{:?}", start.extra);
}

#[test]
fn fields_beside_the_title_are_looked_at_like_an_event() {
    let mut incident = incident(&json!({}));
    incident.events.clear();
    for (name, value) in [("eventSource", "cloudtrail.amazonaws.com"), ("eventName", "StopLogging"), ("status", "new")]
    {
        let value = RawValue::from_string(json!(value).to_string()).unwrap();
        incident.extra.0.push((name.to_owned(), value));
    }
    assert_eq!(all().find(&incident).map(|found| found.0.id), Some("aws.cloudtrail.stop"));
}

#[test]
fn a_sender_names_no_failure_by_a_label() {
    let mut forged = incident(&json!({}));
    for (name, value) in [(AUDIT_FAILURE, "aws.cloudtrail.stop"), ("audit_failure_over", "true"), ("team", "blue")] {
        forged.labels.insert(name.to_owned(), value.to_owned());
    }
    disown(&mut forged);
    assert_eq!(all().find(&forged), None, "labels of a failure are none");
    assert_eq!(forged.labels.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "blue".to_owned())]);
    assert_eq!(forged.notes.len(), 2);
    let mut honest = incident(&json!({}));
    disown(&mut honest);
    assert_eq!(honest.notes.len(), 0);
}

#[test]
fn an_alert_that_its_sender_calls_resolved_is_the_end_of_what_it_tells_of() {
    let mut alert = incident(&json!({}));
    alert.labels.insert("alertname".to_owned(), "AuditLogError".to_owned());
    let begun = all().find(&alert).unwrap();
    assert_eq!(begun.severity(), Some(Severity::High));
    alert.extra.0.push(("status".to_owned(), RawValue::from_string("\"resolved\"".to_owned()).unwrap()));
    let over = all().find(&alert).unwrap();
    let fingerprint = |found: &Tampering| {
        let mut alert = alert.clone();
        found.mark(&mut alert);
        alert.fingerprint
    };
    assert_eq!((over.severity(), fingerprint(&over)), (None, fingerprint(&begun)));
}

#[test]
fn hostile_events_are_only_data() {
    let deep = format!("{}{}", "{\"detail\":".repeat(100_000), "1}");
    let mut long = cloudtrail("cloudtrail", "StopLogging", &json!({ "name": "x\u{1b}[31m\r\n".repeat(10_000) }));
    let mut marked = incident(&long);
    all().find(&marked).unwrap().mark(&mut marked);
    let subject = &marked.labels["audit_failure_subject"];
    assert!(subject.len() <= SUBJECT_BYTES_MAX && !subject.contains('\u{1b}'), "{subject}");
    long["requestParameters"]["more"] = "x".repeat(EVENT_BYTES_MAX).into();
    assert_eq!(meant(&long), None, "what is too large is not looked into");
    let all = all();
    assert!(all.decoded(&format!("{{\"eventSource\":{deep}")).is_none());
}

#[test]
fn a_pack_that_is_not_asked_for_marks_nothing_and_severities_may_be_others() {
    let update = cloudtrail("cloudtrail", "UpdateTrail", &json!({ "name": "t" }));
    assert!(packs(&json!({ "packs": ["gcp"] })).unwrap().find(&incident(&update)).is_none());
    let other = packs(&json!({ "packs": "aws", "override": { "aws.cloudtrail.update": "low" } })).unwrap();
    assert_eq!(other.find(&incident(&update)).unwrap().severity(), Some(Severity::Low));
    let wrong = packs(&json!({ "packs": "aws", "override": { "aws.cloudtrail": "low" } })).unwrap_err().join("\n");
    assert!(wrong.contains("there is no failure \"aws.cloudtrail\"; allowed: aws.cloudtrail.stop,"), "{wrong}");
}

const GOOD: [&str; 6] = [
    r#"{"Records":[{"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","requestParameters":{"name":"t"}}]}"#,
    r#"{"Message":"{\"detail\":{\"eventSource\":\"guardduty.amazonaws.com\",\"eventName\":\"DeleteDetector\"}}"}"#,
    r#"{"records":[{"operationName":"MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE","resultType":"Success","resourceId":"/s"}]}"#,
    r#"{"protoPayload":{"methodName":"google.logging.v2.ConfigServiceV2.UpdateSink","request":{"updateMask":"filter"}}}"#,
    r##"{"EventID":{"#text":"4616"},"Channel":"Security","Computer":"pc","StringInserts":["","","","","2026-01-01T00:00:00Z","-009999-01-01T00:00:00Z"]}"##,
    r#"{"apiVersion":"audit.k8s.io/v1","stage":"ResponseComplete","verb":"delete","objectRef":{"resource":"daemonsets","name":"falco"}}"#,
];

/// Marks what the event means, as it is and within others.
fn judge(event: &str) {
    for event in [event.to_owned(), json!({ "message": event, "Records": [{ "body": event }] }).to_string()] {
        let Ok(event) = RawValue::from_string(event) else { continue };
        let mut incident = incident(&json!({}));
        incident.events = vec![event];
        assert!(log_records(&incident).len() <= 2 * 256);
        if let Some(found) = all().find(&incident) {
            found.mark(&mut incident);
            let subject = &incident.labels["audit_failure_subject"];
            assert!(subject.len() <= SUBJECT_BYTES_MAX && !subject.chars().any(char::is_control), "{subject:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_event_means_something_or_nothing(event in like(&GOOD)) {
        judge(&event);
    }
}

#[test]
fn events_of_any_size_and_depth_are_judged_in_bounded_time() {
    check_large(GOOD[0], judge);
    // As large and as deep as is looked into, and many in one.
    let many = |event: &str, count: usize| format!("{{\"Records\":[{}]}}", vec![event; count].join(","));
    judge(&many(GOOD[0], 8000));
    judge(&format!("{}{}{}", "{\"Records\":[".repeat(60), GOOD[0], "]}".repeat(60)));
    let mut texts = GOOD[0].to_owned();
    while texts.len() < EVENT_BYTES_MAX / 3 {
        texts = json!({ "Message": texts }).to_string();
    }
    judge(&texts);
}
