//! Incidents as an export has them.

use super::*;
use serde_json::json;

fn at(second: u32) -> String {
    format!("2026-11-22T02:{:02}:{:02}Z", second / 60, second % 60)
}

struct Told<'a> {
    change: &'a str,
    second: u32,
    failure: &'a str,
    deliveries: Value,
}

fn incident(told: &Told<'_>) -> Value {
    let Told { change, second, failure, deliveries } = told;
    let proof = if *change == "over" { "\nHow that is known: the log grew by 512 bytes" } else { "" };
    json!({
        "incident": {
            "id": format!("id-{second}"), "title": "auditd <b>writes</b> nothing", "source": "balefire",
            "detected_by": format!("watch.{failure}"), "severity": if *change == "worse" { "critical" } else { "high" },
            "received_at": at(*second), "fingerprint": format!("matter-{failure}"),
            "description": format!("Watcher: x (y)\nCause: disk <full>\nWhat to do: resume it{proof}"),
            "labels": { "watcher": "auditd.writing", "kind": "auditd", "target": "/var/log/audit", "failure": failure,
                "change": change, "first_bad": at(100), "detected": at(104), "loss": "602", "loss_unit": "records", "lasted": "300" },
        },
        "accepted_at_position": 7, "deliveries": deliveries,
        "changes": [{ "at": at(130), "state": "acked", "by": "anna", "comment": "on it" },
            { "at": at(500), "state": "resolved", "by": "balefire", "comment": "" }],
        "notes": [{ "at": at(140), "by": "ben", "text": "made room" }], "assignments": [],
    })
}

fn delivered(second: u32) -> Value {
    json!([{ "channel": "mail", "status": "delivered", "last_at": at(second), "last_outcome": { "delivered": { "receipt": "250 ok queued as 1" } } },
        { "channel": "slack", "status": { "retrying": at(999) }, "last_at": at(second), "last_outcome": { "deferred": { "detail": "429" } } }])
}

fn facts() -> Facts {
    Facts {
        framework: Framework::R2,
        period: Period { since: at(0).parse().unwrap(), until: at(3000).parse().unwrap() },
        made: at(3000).parse().unwrap(),
        host: "web-1".to_owned(),
        parameters: Parameters {
            max_detect_s: 10.0,
            max_notify_s: 60.0,
            escalate: vec!["after 15m one step worse".to_owned()],
            blind: "medium".to_owned(),
            recipients: Some("audit-failure".to_owned()),
            drills: None,
        },
        recipients: Vec::new(),
        watchers: vec![
            json!({ "name": "kernel.status", "state": "blind", "blind": { "why": "EPERM", "cure": "CAP_AUDIT_CONTROL" } }),
        ],
        not_configured: vec!["canary".to_owned()],
        remarks: Vec::new(),
    }
}

fn life() -> Vec<Value> {
    let told = |change, second, deliveries| incident(&Told { change, second, failure: "audit.suspended", deliveries });
    // The newest first, as an export has them.
    vec![told("over", 404, json!([])), told("worse", 300, delivered(301)), told("began", 104, delivered(110))]
}

#[test]
fn a_silence_is_detected_from_when_it_was_longer_than_allowed() {
    let mut silent =
        incident(&Told { change: "began", second: 104, failure: "source.silent", deliveries: delivered(110) });
    let labels = &mut silent["incident"]["labels"];
    labels["first_bad"] = json!(at(10));
    labels["allowed"] = json!("90.000");
    let report = report(facts(), &[silent]);
    assert_eq!((report.failures[0].allowed_s, report.failures[0].detect_s), (Some(90.0), Some(4.0)));
}

#[test]
fn what_began_became_worse_and_ended_is_one_case_with_every_field() {
    let report = report(facts(), &life());
    assert_eq!(report.failures.len(), 1);
    let case = &report.failures[0];
    assert_eq!((case.failure.as_str(), case.severity.as_str()), ("audit.suspended", "critical"));
    assert_eq!((case.detect_s, case.notify_s, case.lasted_s), (Some(4.0), Some(6.0), Some(300.0)));
    assert_eq!(case.recovered.map(|time| time.to_string()), Some("2026-11-22T02:06:44Z".to_owned()));
    assert_eq!(case.proof, "the log grew by 512 bytes");
    assert_eq!((case.cause.as_str(), case.remediation.as_str()), ("disk <full>", "resume it"));
    assert_eq!(case.loss.as_deref(), Some("602 records"));
    assert_eq!(case.told[0].answer, "250 ok queued as 1");
    assert_eq!((case.told[1].status.as_str(), case.told[1].answer.as_str()), ("retrying", "429"));
    assert_eq!(case.acknowledged[0], "acked by anna at 2026-11-22T02:02:10Z: on it");
    assert!(case.actions.iter().any(|action| action.ends_with("made room")));
    assert_eq!(case.evidence, ["id-104 (record 7)", "id-300 (record 7)", "id-404 (record 7)"]);
    assert_eq!((report.detection.met, report.notification.met, report.notification.missed), (1, 1, 0));
}

#[test]
fn what_came_too_late_or_never_is_missed_and_what_another_explains_is_not_counted() {
    let told = |failure, deliveries| incident(&Told { change: "began", second: 104, failure, deliveries });
    let mut explained = told("file.stalled", json!([]));
    explained["incident"]["labels"]["parent"] = json!("kernel.owner");
    let all = [
        told("audit.lost", delivered(110)),
        told("file.missing", delivered(200)),
        told("file.perm", json!([])),
        explained,
    ];
    let report = report(facts(), &all);
    let notification = &report.notification;
    assert_eq!((notification.met, notification.missed, notification.max_s), (1, 2, Some(96.0)));
    assert_eq!(report.failures.len(), 4);
}

#[test]
fn what_was_not_over_when_the_period_began_is_of_the_period_and_what_was_is_not() {
    let of = |since: u32, incidents: &[Value]| {
        let period = Period { since: at(since).parse().unwrap(), ..facts().period };
        report(Facts { period, ..facts() }, incidents).failures.len()
    };
    let all = life();
    assert_eq!([of(0, &all), of(200, &all), of(404, &all), of(405, &all)], [1, 1, 1, 0]);
    assert_eq!(of(2000, &all[1..]), 1, "it is not over");
    let began = |incidents: &[Value], since| begins_before(incidents, at(since).parse().unwrap());
    assert_eq!(began(&all[..1], 300), at(104).parse().ok());
    assert_eq!((began(&all[..1], 104), began(&all[2..], 300)), (None, None));
}

#[test]
fn a_drill_is_no_failure_and_what_is_no_audit_failure_is_passed_over() {
    let mut drill =
        incident(&Told { change: "began", second: 104, failure: "watch.drill", deliveries: delivered(105) });
    drill["incident"]["labels"]["drill"] = json!("true");
    let other = json!({ "incident": { "source": "http", "detected_by": "watch.audit.lost", "labels": {} } });
    let mailed = json!({ "incident": { "source": "socket", "detected_by": "audit.space_low", "received_at": at(5), "title": "Audit",
        "labels": { "failure": "audit.space_low", "program": "auditd", "host": "web-1" } } });
    let report = report(facts(), &[drill, other, mailed]);
    assert_eq!((report.drills.len(), report.failures.len()), (1, 1));
    assert_eq!((report.drill_notification.met, report.failures[0].watcher.as_str()), (1, "auditd"));
}

#[test]
fn what_cannot_be_seen_and_what_is_not_configured_is_said() {
    let report = report(facts(), &[]);
    assert_eq!(
        report.not_covered,
        [
            "kernel.status is blind: EPERM; cured by CAP_AUDIT_CONTROL",
            "canary is not configured: nothing of it is watched",
        ]
    );
}

#[test]
fn the_page_has_every_section_and_a_hostile_text_is_only_text() {
    let mut hostile = life();
    hostile[2]["incident"]["title"] = json!("<script>alert(1)</script>\u{1b}[31m");
    let page = page(&report(facts(), &hostile));
    for section in [
        "Controls",
        "Parameters in force",
        "Recipients",
        "Types of failure",
        "Watchers",
        "What is not covered",
        "Latencies",
        "Timeline",
        "Failures (1)",
        "Drills (0)",
        "3.3.4[c]",
        "disk &lt;full&gt;",
        "250 ok queued as 1",
    ] {
        assert!(page.contains(section), "{section}");
    }
    assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
}

#[test]
fn a_sender_ends_no_failure_of_ours_in_the_report_by_naming_its_fingerprint() {
    let began =
        incident(&Told { change: "began", second: 104, failure: "audit.suspended", deliveries: delivered(105) });
    let mut forged = incident(&Told { change: "over", second: 110, failure: "audit.suspended", deliveries: json!([]) });
    forged["incident"]["source"] = "collector".into();
    let found = case::cases(&[began, forged]);
    assert_eq!(found.iter().filter(|case| case.recovered.is_none()).count(), 1, "{found:?}");
}

#[test]
fn what_was_switched_off_elsewhere_is_one_case_from_its_begin_to_its_end() {
    let event = |second: u32, over: bool| {
        let mut labels = json!({ "audit_failure": "aws.cloudtrail.stop" });
        if over {
            labels["audit_failure_over"] = "true".into();
        }
        json!({ "incident": { "id": format!("id-{second}"), "title": "StopLogging", "source": "aws", "severity": "critical",
            "fingerprint": "m", "received_at": at(second), "labels": labels }, "deliveries": [] })
    };
    let found = case::cases(&[event(100, false), event(400, true)]);
    let [case] = &found[..] else { panic!("one case: {found:?}") };
    assert_eq!((case.is_event, case.lasted_s), (false, Some(300.0)));
}

#[test]
fn each_framework_has_controls() {
    for (word, framework) in Framework::WORDS {
        assert_eq!((Framework::parse(word), framework.as_str()), (Some(framework), word));
        assert!(!framework.controls().is_empty());
    }
    assert_eq!(Framework::parse("iso"), None);
}

#[test]
fn the_types_of_failure_are_those_that_watchers_tell() {
    fn texts(directory: &std::path::Path, all: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                // What packs know is no watcher's: it happens elsewhere.
                true if path.ends_with("report") || path.ends_with("packs") => {}
                true => texts(&path, all),
                false => all.push_str(&std::fs::read_to_string(&path).unwrap()),
            }
        }
    }
    let mut all = String::new();
    texts(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut all);
    let kinds: Vec<&str> = CATALOGUE.iter().filter_map(|known| Some(known.id.split_once('.')?.0)).collect();
    // Names of watchers and of a file, and what is no failure.
    let others = ["bt08.rows", "audit.log", "self.journal", "watch.retired", "watch.drill"];
    let is_id = |text: &&str| {
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        text.split_once('.').is_some_and(|(kind, word)| kinds.contains(&kind) && is_word(word))
    };
    let mut told: Vec<&str> = all.split('"').filter(is_id).filter(|id| !others.contains(id)).collect();
    told.sort_unstable();
    told.dedup();
    let mut known: Vec<&str> = CATALOGUE.iter().map(|known| known.id).collect();
    known.sort_unstable();
    assert_eq!(told, known);
    assert_eq!(
        serde_json::to_value(report(facts(), &[])).unwrap()["types"].as_array().map(Vec::len),
        Some(known.len())
    );
}
