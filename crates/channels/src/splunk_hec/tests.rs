//! That each event gets its own outcome by the collector's code, and that "delivered" waits for the indexers where asked.

use super::*;
use crate::{BulkStep, HttpReply, fixture};
use balefire_model::settings::{Key, Node, Place, Session, Value};
use serde_json::json;

fn channel(settings: &[(&str, &str)]) -> Box<dyn Channel> {
    let node = |value| Node { place: Place::default(), value };
    let scalar = |text: &str| node(Value::Scalar { text: text.to_owned(), quoted: false });
    let required = [("url", "https://splunk:8088"), ("token", "s3cret-token-123")];
    let entries = required.iter().filter(|(name, _)| !settings.iter().any(|(other, _)| other == name)).chain(settings);
    let key = |name: &str| Key { name: name.to_owned(), place: Place::default() };
    let root = node(Value::Map(entries.map(|(name, text)| (key(name), scalar(text))).collect()));
    let load = |_: &str| Err("no files here".to_owned());
    let session = Session::new(&load);
    let reader = Reader::new(&session, &root, "");
    let channel = resolve(&reader, &Host::default());
    reader.finish();
    let problems = session.problems();
    assert!(problems.is_empty(), "{problems:?}");
    channel
}

fn http(status: u16, body: serde_json::Value) -> Reply {
    Reply::Http(HttpReply { status, headers: Vec::new(), body: body.to_string().into_bytes() })
}

fn taken() -> Reply {
    http(200, json!({ "text": "Success", "code": 0, "ackId": 4 }))
}

/// Sends events `1`, `2`, ...: the requests that were made of these replies, and how each event ended.
fn check(settings: &[(&str, &str)], count: usize, replies: Vec<Reply>, requests: &[&str], ends: &[&str]) {
    let channel = channel(settings);
    let parts = (1..=count).map(|number| number.to_string().into_bytes()).collect();
    let mut exchange = channel.bulk().expect("a bulk kind").exchange(parts, 0);
    let mut replies = replies.into_iter();
    let mut made = Vec::new();
    let mut step = exchange.step(None);
    let ended = loop {
        match step {
            BulkStep::Send { request, .. } => {
                assert!(request.headers.contains(&("authorization".to_owned(), "Splunk s3cret-token-123".to_owned())));
                let path = request.url.strip_prefix("https://splunk:8088/services/collector/").expect("a path");
                let body = String::from_utf8(request.body).expect("text").replace('\n', " ");
                made.push(format!("{path} {body}"));
                step = exchange.step(Some(replies.next().expect("no request more than there are replies")));
            }
            BulkStep::Done { replies, .. } => break replies,
        }
    };
    assert_eq!(made, requests);
    assert_eq!(replies.next(), None, "a reply was not asked for");
    let incident = fixture::incident();
    let shown = |reply: &Reply| match outcome(reply, &fixture::delivery(&incident)) {
        Outcome::Delivered { receipt } => receipt,
        Outcome::Deferred { .. } => "later".to_owned(),
        Outcome::Rejected { cause, detail } => format!("{}: {detail}", cause.as_str()),
        Outcome::Unknown => "unknown".to_owned(),
    };
    assert_eq!(ended.iter().map(shown).collect::<Vec<_>>(), ends);
}

fn said(status: u16, code: u64) -> Reply {
    http(status, json!({ "text": "t", "code": code }))
}

#[test]
fn the_collectors_code_says_what_has_become_of_an_event() {
    for (status, code, expected) in [
        (200, 0, "HTTP 200"),
        (200, 24, "HTTP 200"),
        (403, 4, "auth"),
        (401, 3, "auth"),
        (400, 7, "auth"),
        (400, 10, "auth"),
        (400, 14, "auth"),
        (400, 6, "schema"),
        (400, 12, "schema"),
        (503, 9, "later"),
        (503, 23, "later"),
        (429, 26, "later"),
        (500, 8, "network"),
        (413, 99, "size"),
    ] {
        let text = json!({ "text": "t", "code": code });
        let end = match expected {
            "auth" | "schema" | "network" | "size" => format!("{expected}: HTTP {status}: {text}"),
            other => other.to_owned(),
        };
        check(&[], 1, vec![said(status, code)], &["event 1"], &[&end]);
    }
    check(&[], 1, vec![said(200, 6)], &["event 1"], &["network: HTTP 200, but code 6"]);
    let page = Reply::Http(HttpReply { status: 200, headers: vec![], body: b"<html>".to_vec() });
    check(&[], 1, vec![page], &["event 1"], &["network: HTTP 200, but not an answer of Splunk"]);
}

#[test]
fn an_event_that_spoils_a_request_is_left_out_and_the_others_go_again() {
    let bad = http(400, json!({ "text": "Invalid data format", "code": 6, "invalid-event-number": 1 }));
    let detail = r#"schema: HTTP 400: {"code":6,"invalid-event-number":1,"text":"Invalid data format"}"#;
    check(&[], 3, vec![bad, said(200, 0)], &["event 1 2 3", "event 1 3"], &["HTTP 200", detail, "HTTP 200"]);
    // Where the collector does not name it, it is found by halving.
    let unnamed = r#"schema: HTTP 400: {"code":6,"text":"t"}"#;
    check(
        &[("form", "array")],
        3,
        vec![said(400, 6), said(400, 6), said(200, 0)],
        &["event [1,2,3]", "event [1]", "event [2,3]"],
        &[unnamed, "HTTP 200", "HTTP 200"],
    );
}

#[test]
fn a_delivery_waits_for_the_indexers_word_and_without_it_goes_again() {
    let ack = |is: bool| http(200, json!({ "acks": { "4": is } }));
    let settings = [("acknowledge", "true"), ("ack_timeout", "6s")];
    let question = r#"ack {"acks":[4]}"#;
    check(
        &settings,
        2,
        vec![taken(), ack(false), Reply::Failed { cause: Cause::Network, detail: "x".into() }, ack(true)],
        &["event 1 2", question, question, question],
        &["HTTP 200", "HTTP 200"],
    );
    check(
        &settings,
        1,
        vec![taken(), ack(false), ack(false), ack(false)],
        &["event 1", question, question, question],
        &["network: taken, but not acknowledged by the indexers within 6 s"],
    );
    let detail = "auth: the token gives no acknowledgements; allow them there, or set `acknowledge: false`";
    check(&settings, 1, vec![said(200, 0)], &["event 1"], &[detail]);
}

#[test]
fn an_event_says_when_where_and_under_which_id() {
    let incident = fixture::incident();
    let delivery = fixture::delivery(&incident);
    let part = |settings: &[(&str, &str)]| match channel(settings).step(&delivery, &[]) {
        Step::Send(Request::Part(part)) => serde_json::from_slice::<serde_json::Value>(&part).expect("JSON"),
        other => panic!("{other:?}"),
    };
    let mut event = part(&[("index", "main")]);
    assert_eq!(event["event"].take()["incident"]["title"], "Audit log stopped on web-1");
    assert_eq!(
        event,
        json!({
            "time": 1_793_588_645.678, "host": "web-1", "source": "balefire", "sourcetype": "_json", "index": "main",
            "event": null,
            "fields": {
                "balefire_delivery": delivery.id.to_string(), "balefire_incident": incident.id.to_string(),
                "balefire_severity": "critical",
            },
        })
    );
    let bare = part(&[("form", "array"), ("index", "main"), ("sourcetype", "json")]);
    let names: Vec<&String> = bare.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["event", "index", "sourcetype"]);
}

#[test]
fn a_record_is_sent_as_it_came_and_the_token_never_shows() {
    let mut incident = fixture::incident();
    let raw = |json: &str| RawValue::from_string(json.into()).expect("JSON");
    incident.extra.0 = vec![("raw".into(), raw("{\"a\":\n1.10}")), ("com".into(), raw("{}"))];
    let channel =
        channel(&[("form", "array"), ("body", "record"), ("url", "https://splunk:8088/services/collector/event")]);
    let Step::Send(Request::Part(part)) = channel.step(&fixture::delivery(&incident), &[]) else { panic!("no part") };
    assert_eq!(
        String::from_utf8(part).expect("UTF-8"),
        r#"{"sourcetype":"_json","event":{"raw":{"a": 1.10},"com":{}}}"#
    );
    let mut exchange = channel.bulk().expect("a bulk kind").exchange(vec![b"x".to_vec()], 0);
    let request = exchange.step(None);
    assert!(format!("{request:?}").contains("https://splunk:8088"));
    let done = exchange.step(Some(http(403, json!({ "text": "Splunk s3cret-token-123", "code": 4 }))));
    let BulkStep::Done { replies, .. } = &done else { panic!("not done") };
    let told = format!("{:?}", outcome(&replies[0], &fixture::delivery(&incident)));
    assert!(!format!("{channel:?} {request:?} {told}").contains("s3cret-token-123"), "{told}");
}
