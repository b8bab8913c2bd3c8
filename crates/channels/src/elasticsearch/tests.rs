//! That each document gets its own outcome, whatever the cluster answers, and that nothing is sent twice that need not be.

use super::*;
use crate::{BulkStep, fixture};
use balefire_model::settings::{Key, Node, Place, Session, Value};
use serde_json::json;

fn channel(settings: &[(&str, &str)]) -> Box<dyn Channel> {
    let scalar = |text: &str| Value::Scalar { text: text.to_owned(), quoted: false };
    let node = |value| Node { place: Place::default(), value };
    let key = |name: &str| Key { name: name.to_owned(), place: Place::default() };
    let mut entries = vec![(key("urls"), {
        let urls = ["http://a:9200", "http://b:9200/es/"].map(|url| node(scalar(url)));
        node(Value::List(urls.into()))
    })];
    entries.extend(settings.iter().map(|(name, text)| (key(name), node(scalar(text)))));
    let root = node(Value::Map(entries));
    let load = |_: &str| Err("no files here".to_owned());
    let session = Session::new(&load);
    let reader = Reader::new(&session, &root, "");
    let channel = resolve(&reader, &Host::default());
    reader.finish();
    let problems = session.problems();
    assert!(problems.is_empty(), "{problems:?}");
    channel
}

fn http(status: u16, body: impl ToString) -> Reply {
    let headers = vec![("retry-after".to_owned(), "7".to_owned())];
    Reply::Http(HttpReply { status, headers, body: body.to_string().into_bytes() })
}

fn refused() -> Reply {
    Reply::Failed { cause: Cause::Network, detail: "connection refused".into() }
}

/// The exchange of parts `1`, `2`, ... with these replies: where each request went and how many parts it had, and how
/// each part ended.
fn check(count: usize, replies: Vec<Reply>, expected_requests: &[&str], expected_ends: &[&str]) {
    let channel = channel(&[]);
    let parts = (1..=count).map(|number| format!("{number}\n").into_bytes()).collect();
    let mut exchange = channel.bulk().expect("a bulk kind").exchange(parts, 0);
    let mut replies = replies.into_iter();
    let mut requests = Vec::new();
    let mut step = exchange.step(None);
    let ends = loop {
        match step {
            BulkStep::Send { request, .. } => {
                let host = &request.url["http://".len()..request.url.find(":9200").expect("a port")];
                let parts = String::from_utf8(request.body).expect("text").trim_end().replace('\n', "+");
                requests.push(format!("{host} {parts}"));
                step = exchange.step(Some(replies.next().expect("no request more than there are replies")));
            }
            BulkStep::Done { replies, .. } => break replies,
        }
    };
    assert_eq!(requests, expected_requests);
    assert_eq!(replies.next(), None, "a reply was not asked for");
    let incident = fixture::incident();
    let ends: Vec<String> = ends.iter().map(|reply| shown(&outcome(reply, &fixture::delivery(&incident)))).collect();
    assert_eq!(ends, expected_ends);
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered { receipt } => receipt.clone(),
        Outcome::Deferred { after_ms, .. } => format!("later {after_ms:?}"),
        Outcome::Rejected { cause, detail } => format!("{}: {detail}", cause.as_str()),
        Outcome::Unknown => "unknown".to_owned(),
    }
}

fn item(status: u16, kind: &str) -> serde_json::Value {
    match status {
        201 => json!({ "create": { "status": 201 } }),
        _ => {
            json!({ "create": { "status": status, "error": { "type": kind, "reason": "r\n", "caused_by": { "reason": "b" } } } })
        }
    }
}

#[test]
fn each_document_has_its_own_result() {
    let items = json!({ "errors": true, "items": [
        item(201, ""), item(409, "version_conflict_engine_exception"), item(400, "mapper_parsing_exception"),
        item(429, "rejected_execution_exception"), item(503, "unavailable_shards_exception"),
        item(403, "cluster_block_exception"), item(403, "security_exception"), item(404, "index_not_found_exception"),
    ] });
    check(
        8,
        vec![http(200, items)],
        &["a 1+2+3+4+5+6+7+8"],
        &[
            "HTTP 201",
            "HTTP 409: it was there",
            "schema: HTTP 400: mapper_parsing_exception: r\\n; b",
            "later Some(7000)",
            "later Some(7000)",
            "quota: HTTP 403: cluster_block_exception: r\\n; b",
            "auth: HTTP 403: security_exception: r\\n; b",
            "gone: HTTP 404: index_not_found_exception: r\\n; b",
        ],
    );
}

#[test]
fn a_node_that_fails_is_replaced_by_the_next_and_all_failing_is_a_failure() {
    let done = json!({ "items": [item(201, "")] });
    check(1, vec![refused(), http(200, &done)], &["a 1", "b 1"], &["HTTP 201"]);
    check(1, vec![http(502, ""), http(200, &done)], &["a 1", "b 1"], &["HTTP 201"]);
    check(1, vec![refused(), refused()], &["a 1", "b 1"], &["network: connection refused"]);
}

#[test]
fn the_node_that_answered_last_is_asked_first() {
    let channel = channel(&[]);
    let bulk = channel.bulk().expect("a bulk kind");
    let mut exchange = bulk.exchange(vec![b"x".to_vec()], 0);
    exchange.step(None);
    exchange.step(Some(refused()));
    let BulkStep::Done { node, .. } = exchange.step(Some(http(200, json!({ "items": [item(201, "")] })))) else {
        panic!("not done")
    };
    let BulkStep::Send { request, .. } = bulk.exchange(vec![b"x".to_vec()], node).step(None) else {
        panic!("no request")
    };
    assert!(request.url.starts_with("http://b:9200/es/balefire/_bulk?"), "{}", request.url);
}

#[test]
fn what_is_too_large_together_is_halved_until_one_is_left() {
    let two = json!({ "items": [item(201, ""), item(201, "")] });
    let one = json!({ "items": [item(201, "")] });
    check(
        4,
        vec![http(413, ""), http(200, &two), http(413, ""), http(413, "big"), http(200, &one)],
        &["a 1+2+3+4", "a 1+2", "a 3+4", "a 3", "a 4"],
        &["HTTP 201", "HTTP 201", "size: HTTP 413: big", "HTTP 201"],
    );
}

#[test]
fn an_answer_to_the_whole_request_is_the_answer_to_each() {
    check(2, vec![http(401, "who?")], &["a 1+2"], &["auth: HTTP 401: who?"; 2]);
    let blocked = r#"{"error":{"type":"cluster_block_exception"}}"#;
    check(1, vec![http(403, blocked)], &["a 1"], &[&format!("quota: HTTP 403: {blocked}")]);
    check(2, vec![http(429, "")], &["a 1+2"], &["later Some(7000)"; 2]);
    let unavailable = vec![http(503, ""), http(503, "")];
    check(2, unavailable, &["a 1+2", "b 1+2"], &["later Some(7000)"; 2]);
    // After a half was refused for want of rights, the other half is not tried.
    check(2, vec![http(413, ""), http(401, "")], &["a 1+2", "a 1"], &["auth: HTTP 401"; 2]);
}

#[test]
fn an_answer_of_something_else_is_no_delivery() {
    let stranger = "network: HTTP 200, but not an answer of Elasticsearch or OpenSearch";
    check(2, vec![http(200, "<html>")], &["a 1+2"], &[stranger; 2]);
    check(2, vec![http(200, "{}")], &["a 1+2"], &[stranger; 2]);
    let short = json!({ "items": [item(201, "")] });
    check(2, vec![http(200, short)], &["a 1+2"], &["network: the answer has 1 results for 2 documents"; 2]);
}

fn prepared(settings: &[(&str, &str)], replies: Vec<Reply>) -> (Vec<String>, Vec<Reply>) {
    let channel = channel(settings);
    let mut preparation = channel.bulk().expect("a bulk kind").prepare(0).expect("there is something to prepare");
    let mut requests = Vec::new();
    let mut replies = replies.into_iter();
    let mut step = preparation.step(None);
    loop {
        match step {
            BulkStep::Send { request, .. } => {
                requests.push(format!("{} {}", request.method, request.url));
                if request.method == "PUT" {
                    let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
                    assert_eq!(body["template"]["mappings"]["dynamic"], false);
                }
                step = preparation.step(Some(replies.next().expect("a reply")));
            }
            BulkStep::Done { replies, .. } => return (requests, replies),
        }
    }
}

#[test]
fn the_template_is_put_where_there_is_none_of_ours_or_an_older_one() {
    let found = |version| http(200, json!({ "index_templates": [{ "index_template": { "version": version } }] }));
    let get = "GET http://a:9200/_index_template/balefire-balefire".to_owned();
    let put = get.replace("GET", "PUT");
    assert_eq!(prepared(&[], vec![found(1)]), (vec![get.clone()], vec![]));
    assert_eq!(prepared(&[], vec![found(0), http(200, "{}")]), (vec![get.clone(), put.clone()], vec![]));
    assert_eq!(prepared(&[], vec![http(404, ""), http(200, "{}")]), (vec![get.clone(), put.clone()], vec![]));
    let (_, failed) = prepared(&[], vec![http(404, ""), http(400, "no")]);
    let incident = fixture::incident();
    let told = shown(&outcome(&failed[0], &fixture::delivery(&incident)));
    assert_eq!(told, "network: HTTP 500: the index template cannot be put (`template: false` does without): no");
    let (_, failed) = prepared(&[], vec![http(403, "no")]);
    assert!(
        shown(&outcome(&failed[0], &fixture::delivery(&incident))).starts_with("auth: HTTP 403: the index template")
    );
    assert!(channel(&[("template", "false")]).bulk().expect("a bulk kind").prepare(0).is_none());
}

#[test]
fn the_same_delivery_is_the_same_document_and_a_refused_record_goes_in_our_own_form() {
    let mut incident = fixture::incident();
    let raw = |json: &str| serde_json::value::RawValue::from_string(json.into()).expect("JSON");
    incident.extra.0 = vec![("raw".into(), raw("{\"a\":\n1}")), ("com".into(), raw("{}"))];
    let channel = channel(&[("body", "record")]);
    assert!(channel.limits().has_template, "there is another form than the record");
    let part = |delivery: &Delivery<'_>| match channel.step(delivery, &[]) {
        Step::Send(Request::Part(part)) => String::from_utf8(part).expect("UTF-8"),
        other => panic!("{other:?}"),
    };
    let first = fixture::delivery(&incident);
    let action = format!("{{\"create\":{{\"_id\":\"{}\"}}}}\n", first.id);
    assert_eq!(part(&first), format!("{action}{{\"raw\":{{\"a\": 1}},\"com\":{{}}}}\n"));
    assert_eq!(part(&Delivery { attempt: 2, now: jiff::Timestamp::UNIX_EPOCH, ..first }), part(&first));
    for other in [Delivery { plain: true, ..first }, Delivery { reason: Reason::Resolved, ..first }] {
        let part = part(&other);
        assert!(part.starts_with(&action) && part.contains(r#""extra":"{\"raw\":{\"a\":\n1},\"com\":{}}""#), "{part}");
    }
}

#[test]
fn credentials_are_sent_and_never_shown() {
    for (settings, header, secret) in [
        (vec![("username", "u"), ("password", "hunter2-es")], "Basic dTpodW50ZXIyLWVz", "hunter2-es"),
        (vec![("api_key", "c2VjcmV0LWtleQ==")], "ApiKey c2VjcmV0LWtleQ==", "c2VjcmV0LWtleQ"),
    ] {
        let channel = channel(&settings);
        let mut exchange = channel.bulk().expect("a bulk kind").exchange(vec![b"x".to_vec()], 0);
        let BulkStep::Send { request, .. } = exchange.step(None) else { panic!("no request") };
        assert!(request.headers.contains(&("authorization".to_owned(), header.to_owned())), "{:?}", request.headers);
        let echo = format!("you said {header} {}", settings[settings.len() - 1].1);
        let BulkStep::Done { replies, .. } = exchange.step(Some(http(400, echo))) else { panic!("not done") };
        let shown = format!(
            "{channel:?} {request:?} {:?}",
            String::from_utf8_lossy(match &replies[0] {
                Reply::Http(reply) => &reply.body,
                other => panic!("{other:?}"),
            })
        );
        for secret in [secret, header.split(' ').nth(1).expect("two words")] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}
