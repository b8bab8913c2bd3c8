//! Whole attempts against answers that each test makes: which calls are made, in which order, and what they come to.

use crate::fixture;
use crate::{Channel, Host, HttpReply, HttpRequest, Reply, Request, Step};
use balefire_model::settings::{Key, Node, Place, Reader, Session, Value as Setting};
use balefire_model::{Cause, Delivery, Incident, Outcome, Reason};
use serde_json::{Value, json};

/// A channel with these recipients and further settings.
fn slack(to: &[&str], settings: &[(&str, &str)]) -> Box<dyn Channel> {
    let node = |value| Node { place: Place::default(), value };
    let scalar = |text: &str| node(Setting::Scalar { text: text.to_owned(), quoted: false });
    let key = |name: &str| Key { name: name.to_owned(), place: Place::default() };
    let mut entries = vec![
        (key("token"), scalar("xoxb-0123456789-secret")),
        (key("to"), node(Setting::List(to.iter().map(|text| scalar(text)).collect()))),
    ];
    entries.extend(settings.iter().map(|(name, text)| (key(name), scalar(text))));
    let load = |_: &str| Ok(String::new());
    let session = Session::new(&load);
    let node = node(Setting::Map(entries));
    let reader = Reader::new(&session, &node, "");
    let channel = (super::super::KIND.resolve)(&reader, &Host::default());
    reader.finish();
    assert_eq!(session.problems(), []);
    channel
}

/// A call as Slack sees it: `chat.postMessage C1`, with what is asked for.
fn shown(request: &HttpRequest) -> String {
    let header = |name: &str| request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let body = String::from_utf8_lossy(&request.body);
    let Some(method) = request.url.strip_prefix("https://slack.com/api/") else {
        assert_eq!(header("authorization"), None, "the token went to {}", request.url);
        return format!("{} {} bytes", request.url, request.body.len());
    };
    assert_eq!(header("authorization"), Some("Bearer xoxb-0123456789-secret"));
    if header("content-type") == Some("application/x-www-form-urlencoded") {
        return format!("{method} {body}");
    }
    assert_eq!(header("content-type"), Some("application/json; charset=utf-8"));
    let body: Value = serde_json::from_str(&body).expect("JSON, as the header says");
    let told = ["users", "channel", "channel_id", "ts", "thread_ts", "files"].map(|name| &body[name]);
    let told: Vec<String> =
        told.into_iter().filter(|value| !value.is_null()).map(|value| value.to_string().replace('"', "")).collect();
    format!("{method} {}", told.join(" "))
}

fn answer(body: &Value) -> Reply {
    Reply::Http(HttpReply { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() })
}

fn error(code: &str) -> Reply {
    answer(&json!({ "ok": false, "error": code }))
}

fn slow_down() -> Reply {
    Reply::Http(HttpReply { status: 429, headers: vec![("retry-after".into(), "7".into())], body: Vec::new() })
}

/// What a Slack answers in which all is well.
fn good(call: &str) -> Reply {
    let mut words = call.split(' ');
    let (method, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    answer(&match method {
        "users.lookupByEmail" => json!({ "ok": true, "user": { "id": "U0001" } }),
        "conversations.open" => json!({ "ok": true, "channel": { "id": "D0001" } }),
        "files.getUploadURLExternal" => {
            json!({ "ok": true, "upload_url": "https://files.slack.com/up/1", "file_id": "F0001" })
        }
        _ => json!({ "ok": true, "channel": first.replace("#sec", "C0009"), "ts": "170.000100" }),
    })
}

/// One attempt: what was called, and what came of it.
fn attempt(channel: &dyn Channel, delivery: &Delivery<'_>, answer: impl Fn(&str) -> Reply) -> (Vec<String>, Outcome) {
    let (mut calls, mut replies) = (Vec::new(), Vec::new());
    loop {
        match channel.step(delivery, &replies) {
            Step::Done(outcome) => return (calls, outcome),
            Step::Send(Request::Http(request)) => {
                let call = shown(&request);
                replies.push(answer(&call));
                calls.push(call);
            }
            Step::Send(other) => panic!("{other:?}"),
        }
        assert!(replies.len() < 400, "{calls:?}");
    }
}

fn delivered(receipt: &str) -> Outcome {
    Outcome::Delivered { receipt: receipt.to_owned() }
}

fn delivery(incident: &Incident) -> Delivery<'_> {
    fixture::delivery(incident)
}

#[test]
fn a_person_is_found_by_the_address_and_a_channel_by_its_id() {
    let incident = fixture::incident();
    let channel = slack(&["ann+x@example.org", "U0002", "C0003", "#sec", "C0003"], &[]);
    let (calls, outcome) = attempt(channel.as_ref(), &delivery(&incident), good);
    assert_eq!(
        calls,
        [
            "users.lookupByEmail email=ann%2Bx%40example.org",
            "conversations.open U0001",
            "chat.postMessage D0001",
            "conversations.open U0002",
            "chat.postMessage D0001",
            "chat.postMessage C0003",
            "chat.postMessage #sec",
        ]
    );
    let receipt = "posted ann+x@example.org=D0001/170.000100, U0002=D0001/170.000100, C0003=C0003/170.000100, #sec=C0009/170.000100";
    assert_eq!(outcome, delivered(receipt));
}

#[test]
fn one_bad_recipient_never_keeps_the_message_from_the_others() {
    let incident = fixture::incident();
    let channel = slack(&["nobody@example.org", "C0001", "C0002"], &[]);
    let answers = |call: &str| match call {
        "users.lookupByEmail email=nobody%40example.org" => error("users_not_found"),
        "chat.postMessage C0001" => error("is_archived"),
        call => good(call),
    };
    let (calls, outcome) = attempt(channel.as_ref(), &delivery(&incident), answers);
    assert_eq!(calls.len(), 3);
    let receipt = "posted C0002=C0002/170.000100; not nobody@example.org: users.lookupByEmail: users_not_found; \
        not C0001: chat.postMessage: is_archived";
    assert_eq!(outcome, delivered(receipt));
}

#[test]
fn nobody_has_it_where_all_are_refused() {
    let incident = fixture::incident();
    let channel = slack(&["C0001", "C0002"], &[]);
    let (_, outcome) = attempt(channel.as_ref(), &delivery(&incident), |_| error("channel_not_found"));
    let detail = "C0001: chat.postMessage: channel_not_found; C0002: chat.postMessage: channel_not_found";
    assert_eq!(outcome, Outcome::Rejected { cause: Cause::Gone, detail: detail.into() });
}

#[test]
fn a_repeat_goes_only_to_those_who_do_not_have_it() {
    let incident = fixture::incident();
    let channel = slack(&["C0001", "ann@example.org", "C0003", "C0004"], &[]);
    let answers = |call: &str| match call {
        "chat.postMessage C0003" => slow_down(),
        "chat.postMessage C0004" => error("internal_error"),
        call => good(call),
    };
    let (_, outcome) = attempt(channel.as_ref(), &delivery(&incident), answers);
    let Outcome::Rejected { cause: Cause::Network, detail } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(
        detail,
        "posted C0001=C0001/170.000100, ann@example.org=D0001/170.000100; not C0003: chat.postMessage: HTTP 429; \
         not C0004: chat.postMessage: internal_error"
    );
    let again = Delivery { attempt: 2, reached: outcome.posted(), ..delivery(&incident) };
    let (calls, outcome) = attempt(channel.as_ref(), &again, good);
    assert_eq!(calls, ["chat.postMessage C0003", "chat.postMessage C0004"]);
    let Outcome::Delivered { receipt } = outcome else { panic!("{outcome:?}") };
    for item in ["C0001=C0001/", "ann@example.org=D0001/", "C0003=C0003/", "C0004=C0004/"] {
        assert!(receipt.contains(item), "{receipt}");
    }
}

#[test]
fn patience_is_asked_for_as_long_as_slack_asks() {
    let incident = fixture::incident();
    let channel = slack(&["ann@example.org", "bob@example.org", "C0001"], &[]);
    let answers = |call: &str| if call.starts_with("users") { slow_down() } else { good(call) };
    let (calls, outcome) = attempt(channel.as_ref(), &delivery(&incident), answers);
    assert_eq!(calls, ["users.lookupByEmail email=ann%40example.org", "chat.postMessage C0001"], "a method rests");
    let Outcome::Deferred { after_ms: Some(7_000), detail } = &outcome else { panic!("{outcome:?}") };
    assert!(detail.starts_with("posted C0001=C0001/170.000100; not ann@"), "{detail}");
}

#[test]
fn what_befalls_everybody_is_asked_once_and_each_attempt_begins_with_another() {
    let incident = fixture::incident();
    let channel = slack(&["C0001", "C0002"], &[]);
    let (calls, outcome) = attempt(channel.as_ref(), &delivery(&incident), |_| error("token_revoked"));
    assert_eq!(calls, ["chat.postMessage C0001"]);
    let detail = "C0001: chat.postMessage: token_revoked; C0002: not tried";
    assert_eq!(outcome, Outcome::Rejected { cause: Cause::Auth, detail: detail.into() });
    let silent = |_: &str| Reply::Failed { cause: Cause::Network, detail: "no answer within 30s".into() };
    let second = Delivery { attempt: 2, ..delivery(&incident) };
    let (calls, outcome) = attempt(channel.as_ref(), &second, silent);
    assert_eq!(calls, ["chat.postMessage C0002"]);
    assert!(matches!(outcome, Outcome::Rejected { cause: Cause::Network, .. }), "{outcome:?}");
}

#[test]
fn a_missing_scope_is_a_matter_of_credentials_and_keeps_nobody_else_waiting() {
    let incident = fixture::incident();
    let channel = slack(&["ann@example.org", "C0001"], &[]);
    let answers = |call: &str| if call.starts_with("users") { error("missing_scope") } else { good(call) };
    let (calls, outcome) = attempt(channel.as_ref(), &delivery(&incident), answers);
    assert_eq!(calls.len(), 2);
    let Outcome::Rejected { cause: Cause::Auth, detail } = &outcome else { panic!("{outcome:?}") };
    assert!(detail.starts_with("posted C0001="), "{detail}");
}

#[test]
fn an_end_goes_into_the_thread_of_its_beginning_and_marks_it() {
    let incident = fixture::incident();
    let opened = Some("ann@example.org=D0009/160.000100, C0001=C0001/160.000200");
    let resolved = Delivery { reason: Reason::Resolved, opened, ..delivery(&incident) };
    let to = ["ann@example.org", "C0001", "C0002"];
    let (calls, outcome) = attempt(slack(&to, &[]).as_ref(), &resolved, good);
    assert_eq!(
        calls,
        [
            "chat.postMessage D0009 160.000100",
            "chat.update D0009 160.000100",
            "chat.postMessage C0001 160.000200",
            "chat.update C0001 160.000200",
            "chat.postMessage C0002",
        ]
    );
    assert!(outcome.is_delivered(), "{outcome:?}");
    let (calls, _) = attempt(slack(&["C0001"], &[("thread", "false")]).as_ref(), &resolved, good);
    assert_eq!(calls, ["chat.postMessage C0001"]);
}

#[test]
fn an_end_arrives_where_the_beginning_is_gone() {
    let incident = fixture::incident();
    let resolved = Delivery { reason: Reason::Resolved, opened: Some("C0001=C0001/160.000100"), ..delivery(&incident) };
    let gone = |call: &str| if call.ends_with("160.000100") { error("thread_not_found") } else { good(call) };
    let (calls, outcome) = attempt(slack(&["C0001"], &[]).as_ref(), &resolved, gone);
    assert_eq!(calls, ["chat.postMessage C0001 160.000100", "chat.postMessage C0001"]);
    assert_eq!(outcome, delivered("posted C0001=C0001/170.000100"));
    let locked = |call: &str| if call.starts_with("chat.update") { error("cant_update_message") } else { good(call) };
    let (_, outcome) = attempt(slack(&["C0001"], &[]).as_ref(), &resolved, locked);
    let receipt = "posted C0001=C0001/170.000100; C0001: the first message is not marked as over: chat.update: cant_update_message";
    assert_eq!(outcome, delivered(receipt));
}

#[test]
fn a_report_is_uploaded_in_three_calls_into_the_messages_thread() {
    let incident = fixture::incident();
    let channel = slack(&["C0001"], &[("attach_report", "summaries")]);
    let (calls, _) = attempt(channel.as_ref(), &delivery(&incident), good);
    assert_eq!(calls, ["chat.postMessage C0001"]);
    let summary = Delivery { reason: Reason::Summary, ..delivery(&incident) };
    let (calls, outcome) = attempt(channel.as_ref(), &summary, good);
    let name = "balefire-01935f1c-7c00-7000-8000-000000000001.json";
    let length = crate::body::native(&summary, &incident, None).len();
    assert_eq!(
        calls,
        [
            "chat.postMessage C0001".to_owned(),
            format!("files.getUploadURLExternal filename={name}&length={length}"),
            format!("https://files.slack.com/up/1 {length} bytes"),
            format!("files.completeUploadExternal C0001 170.000100 [{{id:F0001,title:{name}}}]"),
        ]
    );
    assert_eq!(outcome, delivered("posted C0001=C0001/170.000100"));
}

#[test]
fn a_report_that_cannot_be_attached_is_a_note_and_the_message_has_arrived() {
    let incident = fixture::incident();
    let channel = slack(&["C0001"], &[("attach_report", "always")]);
    let posted = "posted C0001=C0001/170.000100; C0001: the report is not attached: ";
    let check = |answers: &dyn Fn(&str) -> Reply, count: usize, expected: &str| {
        let (calls, outcome) = attempt(channel.as_ref(), &delivery(&incident), answers);
        assert_eq!((calls.len(), outcome), (count, delivered(&format!("{posted}{expected}"))), "{calls:?}");
    };
    let fails = |what: &'static str, reply: Reply| {
        move |call: &str| if call.starts_with(what) { reply.clone() } else { good(call) }
    };
    let missing = error("missing_scope");
    check(&fails("files.get", missing), 2, "files.getUploadURLExternal: missing_scope");
    let to = |url: &str| answer(&json!({ "ok": true, "file_id": "F0001", "upload_url": url }));
    let refused = "the answer has no address to upload to";
    check(&fails("files.get", to("http://files.slack.com/up")), 2, refused);
    check(&fails("files.get", to("https://169.254.169.254/up")), 2, refused);
    let broken = Reply::Http(HttpReply { status: 500, headers: Vec::new(), body: b"no".to_vec() });
    check(&fails("https:", broken), 3, "HTTP 500: no");
    check(&fails("files.complete", error("file_not_found")), 4, "files.completeUploadExternal: file_not_found");
}

#[test]
fn answers_that_lie_lead_nowhere() {
    let incident = fixture::incident();
    let channel = slack(&["ann@example.org", "C0002"], &[]);
    let liar = |call: &str| match call {
        _ if call.starts_with("users") => answer(&json!({ "ok": true, "user": { "id": "U1\r\nX: y" } })),
        _ => answer(&json!({ "ok": true, "channel": "C1=C2/1.2, C3", "ts": "1; not" })),
    };
    let (_, outcome) = attempt(channel.as_ref(), &delivery(&incident), liar);
    let detail = "posted C0002=C0002; not ann@example.org: users.lookupByEmail: the answer has no id";
    assert_eq!(outcome, Outcome::Rejected { cause: Cause::Network, detail: detail.into() });
}
