//! Slack by a bot's token and by an incoming webhook, against a Slack that holds us to its contract and fails on demand:
//! who gets what, once, and what follows from each kind of answer.

use balefire_tests::relay::Relay;
use balefire_tests::server::{Server, Site};
use balefire_tests::slack::{Fault, Message, Slack, TOKEN, WEBHOOK, WEBHOOK_CHANNEL, blocks};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn incident(title: &str) -> Value {
    json!({
        "title": title,
        "severity": "critical",
        "detected_by": "audit_log_gap",
        "nist_controls": ["3.3.4", "3.3.1"],
        "cui_involved": true,
        "description": "No audit event for 600 s.\nCheck auditd.",
        "labels": {"host": "web-1"},
    })
}

/// Every channel gets everything; a channel is its name and its kind with its settings.
fn site(channels: &[(&str, String)]) -> Site {
    let line = |(name, kind): &(&str, String)| format!("  {name}: {{{kind}, retry: {{initial: 200ms, cap: 1s}}}}\n");
    let lines: String = channels.iter().map(line).collect();
    let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
    Site::new(&format!("channels:\n{lines}routing: custom\nroutes: [{{name: all, to: [{}]}}]\n", names.join(", ")))
}

fn bot(slack: &Slack, to: &[&str], more: &str) -> Site {
    site(&[("chat", format!("slack: {{{}{more}}}", slack.settings(to)))])
}

fn hook(slack: &Slack) -> Site {
    site(&[("chat", format!("slack_webhook: {{url: \"{}\"}}", slack.webhook_url()))])
}

/// A Slack with a person and three channels, in which nobody hurries.
fn fast_slack() -> Slack {
    let slack = Slack::start();
    slack.be_fast();
    slack.add_user("ann@example.org", "U00000ANN");
    for (id, name) in [("C0000001", "one"), ("C0000002", "two"), ("C0000003", "three")] {
        slack.add_channel(id, name);
    }
    slack
}

fn wait_for_outcome(server: &Server, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait::until("the delivery has come to it", || {
        let why = server.why(id);
        let last = why["deliveries"][0]["last_outcome"].clone();
        if holds(&last) { Ok(why) } else { Err(why.to_string()) }
    })
}

fn receipt(why: &Value) -> String {
    why["deliveries"][0]["last_outcome"]["delivered"]["receipt"].as_str().expect("a receipt").to_owned()
}

fn shown(message: &Message) -> String {
    blocks::texts(&message.body).join("\n")
}

#[test]
fn a_person_by_address_and_channels_by_id_and_name_get_the_message() {
    let slack = fast_slack();
    let site = bot(&slack, &["ann@example.org", "C0000001", "#two"], "");
    let server = site.start();
    let id = server.accept(&incident("Audit log stopped on web-1"));
    let why = server.wait_for_deliveries(&id, "delivered");
    for place in ["D00000ANN", "C0000001", "C0000002"] {
        let messages = slack.messages_in(place);
        assert_eq!(messages.len(), 1, "{place}: {:?}", slack.calls());
        let text = shown(&messages[0]);
        for part in ["Audit log stopped on web-1", "No audit event for 600 s.", "3.3.4, 3.3.1", "host: web-1", &id] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let body = &messages[0].body;
        assert_eq!([&body["unfurl_links"], &body["unfurl_media"]], [false, false]);
        let told = &body["metadata"]["event_payload"];
        assert_eq!([&told["delivery"], &told["incident"]], [&why["deliveries"][0]["delivery"], &json!(id)]);
    }
    let receipt = receipt(&why);
    assert!(receipt.starts_with("posted ann@example.org=D00000ANN/1763780000."), "{receipt}");
    slack.nothing_was_wrong();
}

#[test]
fn one_bad_recipient_keeps_the_message_from_nobody_and_is_named() {
    let slack = fast_slack();
    slack.archive("C0000001");
    let site = bot(&slack, &["nobody@example.org", "C0000001", "C0000002", "C9999999"], "");
    let server = site.start();
    let id = server.accept(&incident("x"));
    let receipt = receipt(&server.wait_for_deliveries(&id, "delivered"));
    assert_eq!(slack.messages_in("C0000002").len(), 1);
    for trouble in [
        "not nobody@example.org: users.lookupByEmail: users_not_found",
        "not C0000001: chat.postMessage: is_archived",
        "not C9999999: chat.postMessage: channel_not_found",
    ] {
        assert!(receipt.contains(trouble), "{receipt}");
    }
    slack.nothing_was_wrong();
}

#[test]
fn where_all_are_refused_it_is_a_dead_letter_with_the_reply() {
    let slack = fast_slack();
    let site = bot(&slack, &["C9999999"], "");
    let server = site.start();
    let id = server.accept(&incident("x"));
    let why = wait_for_outcome(&server, &id, |last| last["rejected"]["cause"] == "gone").to_string();
    assert!(why.contains("C9999999: chat.postMessage: channel_not_found"), "{why}");
    assert!(why.contains("0 still to come, 1 given up"), "{why}");
}

#[test]
fn a_repeat_goes_only_to_those_who_do_not_have_it_also_after_a_crash() {
    let slack = fast_slack();
    slack.fail("chat.postMessage C0000002", Fault::SlowDown(2));
    slack.fail("chat.postMessage C0000002", Fault::Error("internal_error"));
    slack.fail("chat.postMessage C0000003", Fault::Status(503, "down"));
    let site = bot(&slack, &["ann@example.org", "C0000001", "C0000002", "C0000003"], "");
    let mut server = site.start();
    let id = server.accept(&incident("x"));
    wait_for_outcome(&server, &id, Value::is_object);
    server.kill();
    let server = site.start();
    let why = server.wait_for_deliveries(&id, "delivered");
    for place in ["D00000ANN", "C0000001", "C0000002", "C0000003"] {
        assert_eq!(slack.messages_in(place).len(), 1, "{place}: {:?}", slack.calls());
    }
    let receipt = receipt(&why);
    for place in ["ann@example.org=D00000ANN/", "C0000001=", "C0000002=", "C0000003="] {
        assert!(receipt.contains(place), "{receipt}");
    }
    slack.nothing_was_wrong();
}

#[test]
fn an_attempt_that_runs_out_of_time_remembers_whom_it_reached() {
    let slack = fast_slack();
    slack.fail("chat.postMessage C0000002", Fault::After(Duration::from_secs(20)));
    let site = bot(&slack, &["C0000001", "C0000002"], ", timeout: 2s");
    let server = site.start();
    let id = server.accept(&incident("x"));
    let why = server.wait_for_deliveries(&id, "delivered");
    assert_eq!(slack.messages_in("C0000001").len(), 1, "{:?}", slack.calls());
    assert!(why.to_string().contains("C0000001=C0000001/"), "{why}");
    // Nobody can know that the silent answer was a success: the repeat says by its metadata that it is one.
    let repeated = slack.messages_in("C0000002");
    let ids: Vec<&Value> = repeated.iter().map(|m| &m.body["metadata"]["event_payload"]["delivery"]).collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{repeated:?}");
}

#[test]
fn an_end_goes_into_the_thread_of_its_beginning_and_marks_it_also_after_a_restart() {
    let slack = fast_slack();
    let site = bot(&slack, &["ann@example.org", "C0000001"], "");
    let mut server = site.start();
    let id = server.accept(&incident("Disk full"));
    server.wait_for_deliveries(&id, "delivered");
    assert!(server.terminate().success());
    let server = site.start();
    server.post(&format!("/api/v1/incidents/{id}/resolve"), "{\"by\": \"ann\"}").expect(200);
    for place in ["D00000ANN", "C0000001"] {
        let messages = slack.wait_for(place, 2);
        assert_eq!(messages[1].thread_ts.as_ref(), Some(&messages[0].ts), "{messages:?}");
        assert!(shown(&messages[1]).contains("[RESOLVED] [CRITICAL] Disk full"), "{messages:?}");
    }
    server.wait_for_deliveries(&id, "delivered");
    for place in ["D00000ANN", "C0000001"] {
        let messages = slack.messages_in(place);
        assert_eq!((messages.len(), messages[0].updates), (2, 1), "{messages:?}");
        assert!(shown(&messages[0]).contains("[RESOLVED]"), "{messages:?}");
    }
    assert_eq!(slack.calls().iter().filter(|call| call.starts_with("users.")).count(), 1, "{:?}", slack.calls());
    slack.nothing_was_wrong();
}

#[test]
fn an_end_finds_a_beginning_that_was_still_on_its_way() {
    let slack = fast_slack();
    slack.fail("chat.postMessage C0000001", Fault::SlowDown(2));
    let site = bot(&slack, &["C0000001"], "");
    let server = site.start();
    let id = server.accept(&incident("Disk full"));
    wait_for_outcome(&server, &id, Value::is_object);
    server.post(&format!("/api/v1/incidents/{id}/resolve"), "").expect(200);
    let messages = slack.wait_for("C0000001", 2);
    assert_eq!(messages[1].thread_ts.as_ref(), Some(&messages[0].ts), "{messages:?}");
    slack.nothing_was_wrong();
}

#[test]
fn a_hostile_incident_mentions_nobody_and_links_nowhere() {
    let slack = fast_slack();
    let settings = slack.settings(&["C0000001"]);
    let template = "template: \"{{ incident.title }} {{ incident.labels }} {{ incident.description }}\"";
    let site = site(&[
        ("own", format!("slack: {{{settings}}}")),
        ("template", format!("slack: {{{settings}, {template}}}")),
        ("hook", format!("slack_webhook: {{url: \"{}\"}}", slack.webhook_url())),
    ]);
    let server = site.start();
    let text =
        "<!channel> <!here|x> <@U00000ANN> <#C0000001> <https://evil.example|https://bank.example> & \u{202e}\0\r\n";
    let mut hostile = incident(&text.repeat(20));
    hostile["description"] = text.repeat(2_000).into();
    hostile["detected_by"] = text.into();
    hostile["nist_controls"] = json!([text, text]);
    hostile["labels"] = json!({ (text): text, "host": text });
    let id = server.accept(&hostile);
    server.wait_for_deliveries(&id, "delivered");
    let messages = slack.messages();
    assert_eq!(messages.len(), 3);
    for message in &messages {
        for text in blocks::texts(&message.body) {
            assert!(blocks::syntax(&text).is_empty() && !text.contains(['\0', '\r', '\u{202e}']), "{text}");
        }
    }
    slack.nothing_was_wrong();
}

#[test]
fn the_pace_of_a_channel_is_kept_and_nothing_is_lost() {
    let slack = Slack::start();
    slack.add_channel("C0000001", "one");
    let site = bot(&slack, &["C0000001"], "");
    let server = site.start();
    let ids: Vec<String> = (0..4).map(|n| server.accept(&incident(&format!("number {n}")))).collect();
    for id in &ids {
        server.wait_for_deliveries(id, "delivered");
    }
    let messages = slack.messages_in("C0000001");
    let mut told: Vec<&str> =
        messages.iter().filter_map(|m| m.body["metadata"]["event_payload"]["incident"].as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ids, "each once");
}

#[test]
fn a_refused_token_is_told_and_the_work_is_kept() {
    let slack = fast_slack();
    for error in ["token_revoked", "token_revoked"] {
        slack.fail("chat.postMessage", Fault::Error(error));
    }
    let site = bot(&slack, &["C0000001", "C0000002"], "");
    let server = site.start();
    let id = server.accept(&incident("x"));
    let why = wait_for_outcome(&server, &id, |last| last["rejected"]["cause"] == "auth");
    let detail = "C0000001: chat.postMessage: token_revoked; C0000002: not tried";
    assert_eq!(why["deliveries"][0]["last_outcome"]["rejected"]["detail"], detail);
    assert_ne!(why["deliveries"][0]["status"], "given_up", "{why}");
    let said = format!("{why} {}", server.stderr());
    assert!(!said.contains(&TOKEN[..20]), "the token came out: {said}");
}

#[test]
fn a_missing_scope_is_named_and_keeps_the_message_from_no_channel() {
    let slack = fast_slack();
    slack.revoke_scope("users:read.email");
    let site = bot(&slack, &["ann@example.org", "C0000001"], "");
    let server = site.start();
    let id = server.accept(&incident("x"));
    let why = wait_for_outcome(&server, &id, |last| last["rejected"]["cause"] == "auth").to_string();
    assert!(why.contains("users.lookupByEmail: missing_scope (needs users:read.email)"), "{why}");
    assert_eq!(slack.messages_in("C0000001").len(), 1);
}

#[test]
fn a_slack_that_breaks_in_every_way_gets_it_in_the_end() {
    let slack = fast_slack();
    for fault in [
        Fault::Garbage,
        Fault::Status(500, "oops"),
        Fault::Status(200, "<html>Hotel Wi-Fi</html>"),
        Fault::Error("fatal_error"),
        Fault::Status(502, ""),
    ] {
        slack.fail("chat.postMessage", fault);
    }
    let site = bot(&slack, &["C0000001"], "");
    let server = site.start();
    let id = server.accept(&incident("x"));
    server.wait_for_deliveries(&id, "delivered");
    assert_eq!(slack.messages_in("C0000001").len(), 1);
    slack.fail("chat.postMessage", Fault::CutOff);
    let id = server.accept(&incident("y"));
    server.wait_for_deliveries(&id, "delivered");
    let told = |m: &&Message| m.body["metadata"]["event_payload"]["incident"] == id.as_str();
    let repeated: Vec<Message> = slack.messages().iter().filter(told).cloned().collect();
    assert_eq!(repeated.len(), 2, "the answer was lost, not the message");
    assert_eq!(repeated[0].body, repeated[1].body, "a repeat is the same message");
    slack.nothing_was_wrong();
}

#[test]
fn a_report_is_attached_in_the_messages_thread() {
    let slack = fast_slack();
    let site = bot(&slack, &["C0000001", "ann@example.org"], ", attach_report: always");
    let server = site.start();
    let mut large = incident("größer");
    large["raw"] = json!({ "data": "ä".repeat(100_000) });
    let id = server.accept(&large);
    server.wait_for_deliveries(&id, "delivered");
    let files = slack.files();
    assert_eq!(files.len(), 2, "{:?}", slack.calls());
    for file in files {
        let parent = &slack.messages_in(&file.channel)[0];
        assert_eq!(file.thread_ts.as_ref(), Some(&parent.ts));
        assert_eq!(file.title, format!("balefire-{id}.json"));
        let report: Value = serde_json::from_slice(&file.bytes).expect("the report is JSON");
        assert_eq!([&report["incident"]["id"], &report["incident"]["title"]], [&json!(id), &json!("größer")]);
    }
    slack.fail("upload", Fault::Status(500, "no"));
    let id = server.accept(&incident("second"));
    let receipt = receipt(&server.wait_for_deliveries(&id, "delivered"));
    assert!(receipt.contains("C0000001: the report is not attached: HTTP 500: no"), "{receipt}");
    assert_eq!(slack.messages_in("C0000001").len(), 2, "the message itself is not repeated");
    slack.nothing_was_wrong();
}

#[test]
fn a_webhook_gets_the_same_message_at_its_pace() {
    let slack = Slack::start();
    let site = hook(&slack);
    let server = site.start();
    let ids = [server.accept(&incident("first")), server.accept(&incident("second"))];
    for id in &ids {
        let why = server.wait_for_deliveries(id, "delivered");
        assert_eq!(receipt(&why), "ok");
    }
    let messages = slack.messages_in(WEBHOOK_CHANNEL);
    assert_eq!(messages.len(), 2);
    for (id, title) in ids.iter().zip(["first", "second"]) {
        let is_it = |message: &Message| shown(message).contains(id) && shown(message).contains(title);
        assert!(messages.iter().any(is_it), "{messages:?}");
    }
}

#[test]
fn a_webhook_that_is_gone_or_refuses_is_told_and_its_url_stays_inside() {
    let slack = fast_slack();
    let site = hook(&slack);
    let server = site.start();
    slack.fail("webhook", Fault::Status(400, "invalid_payload"));
    let refused = server.accept(&incident("refused"));
    let why = wait_for_outcome(&server, &refused, |last| last["rejected"].is_object()).to_string();
    assert!(why.contains("HTTP 400: invalid_payload"), "{why}");
    slack.fail("webhook", Fault::Status(500, "rollup_error"));
    let again = server.accept(&incident("again"));
    server.wait_for_deliveries(&again, "delivered");
    slack.archive(WEBHOOK_CHANNEL);
    let archived = server.accept(&incident("archived"));
    let why = wait_for_outcome(&server, &archived, |last| last["rejected"].is_object()).to_string();
    assert!(why.contains("HTTP 410: channel_is_archived"), "{why}");
    slack.fail("webhook", Fault::Status(404, "no_service"));
    let removed = server.accept(&incident("removed"));
    let why = wait_for_outcome(&server, &removed, |last| last["rejected"]["cause"] == "auth").to_string();
    let said = format!("{why} {}", server.stderr());
    let secret = WEBHOOK.rsplit('/').next().expect("a path has an end");
    assert!(!said.contains(secret), "the URL came out: {said}");
}

#[test]
fn a_slack_that_is_away_and_busy_for_a_while_gets_all_under_their_ids() {
    let slack = fast_slack();
    let relay = Relay::start(slack.address());
    let through =
        slack.settings(&["C0000001", "C0000002"]).replace(&slack.address().to_string(), &relay.address().to_string());
    let site = site(&[("chat", format!("slack: {{{through}, timeout: 2s}}"))]);
    let server = site.start();
    let mut ids: Vec<String> = (0..5).map(|n| server.accept(&incident(&format!("before {n}")))).collect();
    // Away in the middle of it: connections that are kept open end with their next answer.
    relay.lead(None);
    relay.cut(1000);
    ids.extend((0..5).map(|n| server.accept(&incident(&format!("away {n}")))));
    wait::until("the network is told as the cause", || {
        let channels = server.get("/api/v1/channels").expect(200).json().to_string();
        if channels.contains("\"cause\":\"network\"") { Ok(()) } else { Err(channels) }
    });
    relay.lead(Some(slack.address()));
    relay.cut(0);
    // Back, and at once too busy for anybody.
    for _ in 0..4 {
        slack.fail("chat.postMessage", Fault::SlowDown(1));
    }
    ids.extend((0..5).map(|n| server.accept(&incident(&format!("after {n}")))));
    for id in &ids {
        server.wait_for_deliveries(id, "delivered");
    }
    for place in ["C0000001", "C0000002"] {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for message in slack.messages_in(place) {
            let payload = &message.body["metadata"]["event_payload"];
            let text = |name: &str| payload[name].as_str().expect("a text").to_owned();
            names.entry(text("incident")).or_default().insert(text("delivery"));
        }
        for id in &ids {
            assert_eq!(names.get(id).map(BTreeSet::len), Some(1), "{id} in {place}: {names:?}");
        }
    }
    slack.nothing_was_wrong();
}
