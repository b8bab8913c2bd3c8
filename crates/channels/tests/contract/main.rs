//! What every channel kind must do, for each in the list: whatever the incident, whatever the reply.

mod mongodb;
mod postgres;
mod reasons;
mod scene;

use balefire_channels::{
    Channel, ExecReply, ExecStatus, HttpReply, KINDS, Kind, Reply, Request, Step, Transport, is_metadata_address,
};
use balefire_model::text::is_unsafe;
use balefire_model::{Cause, Delivery, Outcome};
use proptest::prelude::*;
use scene::{
    bytes, channel, channels, check_harmless, delivery, hostile, incident, map, request, resolve_node, sample, scalar,
};
use std::sync::LazyLock;
use std::time::Duration;

#[test]
fn every_kind_describes_its_settings_and_its_sample_works() {
    for kind in KINDS {
        assert_eq!(Kind::find(kind.key).map(|found| found.about), Some(kind.about));
        let fields = kind.fields();
        for field in &fields {
            assert!(field.doc.len() > 5 && field.doc.ends_with('.'), "{}.{}: {:?}", kind.key, field.name, field.doc);
        }
        let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        assert_eq!(required, kind.sample.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{}", kind.key);
        let limits = channel(kind, &[]).limits();
        assert!(limits.in_flight > 0 && limits.attempt_timeout > Duration::ZERO, "{}", kind.key);
    }
}

#[test]
fn a_hostile_incident_is_only_text_and_keeps_the_limit() {
    for (name, channel) in channels() {
        for text in hostile() {
            let incident = incident(&text);
            let request = request(channel.as_ref(), &delivery(&incident));
            check_harmless(&name, &request);
            let (size, limit) = (bytes(&request), channel.limits().message_bytes_max);
            assert!(size <= limit, "{name}: {size} > {limit} for {text:.40?}");
        }
    }
}

#[test]
fn a_thousand_labels_and_controls_keep_the_limit() {
    let mut incident = incident("x");
    incident.labels = (0..10_000).map(|n| (format!("label-{n}"), "\"\0".repeat(50))).collect();
    incident.nist_controls = (0..10_000).map(|n| n.to_string()).collect();
    for (name, channel) in channels() {
        let request = request(channel.as_ref(), &delivery(&incident));
        check_harmless(&name, &request);
        assert!(bytes(&request) <= channel.limits().message_bytes_max, "{name}: {}", bytes(&request));
    }
}

#[test]
fn the_same_delivery_gives_the_same_bytes_and_another_attempt_the_same_message() {
    let incident = incident("Brute force – größer");
    for (name, channel) in channels() {
        let first = delivery(&incident);
        assert!(request(channel.as_ref(), &first) == request(channel.as_ref(), &first), "{name}");
        let later = Delivery { attempt: 2, now: "2026-11-23T00:00:00Z".parse().expect("a time"), ..first };
        match (request(channel.as_ref(), &first), request(channel.as_ref(), &later)) {
            (Request::Http(a), Request::Http(b)) if name.starts_with("webhook") => {
                let id = |request: &balefire_channels::HttpRequest| {
                    request.headers.iter().find(|(header, _)| header == "webhook-id").map(|(_, id)| id.clone())
                };
                assert_eq!((a.body, Some(first.id.to_string())), (b.body.clone(), id(&b)), "{name}");
            }
            (Request::Exec(a), Request::Exec(b)) => {
                let line = String::from_utf8_lossy(a.line()).replace("\"attempt\":1", "\"attempt\":2");
                assert!(a.id() == b.id() && line.as_bytes() == b.line(), "{name}");
            }
            (a, b) => assert!(a == b, "{name}"),
        }
    }
}

fn http(status: u16, headers: &[(&str, &str)]) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Reply::Http(HttpReply { status, headers, body: b"\0\r\n\xff s3cret-token-123".to_vec() })
}

fn replies() -> Vec<Reply> {
    let mut replies: Vec<Reply> = (0..=1000).map(|status| http(status, &[])).collect();
    replies.extend((0..=1000).map(|code| Reply::Smtp { code, text: "\r\n\0 5.7.8".into() }));
    for cause in [Cause::Auth, Cause::Quota, Cause::Size, Cause::Schema, Cause::Gone, Cause::Network] {
        replies.push(Reply::Failed { cause, detail: "connect\r\nrefused".into() });
    }
    // What counts under status 200 may be said by the body.
    for body in [r#"{"ok":true}"#, r#"{"ok":false,"error":"is_archived"}"#] {
        replies.push(Reply::Http(HttpReply { status: 200, headers: Vec::new(), body: body.into() }));
    }
    replies.push(Reply::Written("ok\n".into()));
    for code in [0, 2, 13, 121, 11_000, 10_107, i32::MAX] {
        replies.push(Reply::DocumentRefused { code, text: "\0\r\n".repeat(1000) });
        replies.push(Reply::CommandRefused { code, text: "\0\r\n".repeat(1000) });
    }
    for state in ["", "08006", "22P05", "23505", "28P01", "42501", "42P01", "53300", "57P01", "\r\n\u{1b}é"] {
        replies.push(Reply::SqlRefused { state: state.into(), text: "\0\r\n".repeat(1000) });
    }
    for status in [
        ExecStatus::Ok,
        ExecStatus::Retry { after_ms: None, cause: None },
        ExecStatus::Retry { after_ms: Some(7), cause: Some(Cause::Schema) },
        ExecStatus::Rejected { cause: None },
        ExecStatus::Rejected { cause: Some(Cause::Network) },
    ] {
        replies.push(Reply::Exec(ExecReply { status, detail: "\0\r\n".repeat(1000), is_lost: false }));
    }
    replies
}

fn outcome(channel: &dyn Channel, reply: Reply) -> Outcome {
    let incident = incident("x");
    let mut replies = Vec::new();
    for _ in 0..10 {
        match channel.step(&delivery(&incident), &replies) {
            Step::Done(outcome) => return outcome,
            Step::Send(_) => replies.push(reply.clone()),
        }
    }
    panic!("still sending after ten replies of {reply:?}")
}

#[test]
fn every_reply_ends_the_attempt_with_safe_words() {
    for (name, channel) in channels() {
        for reply in replies() {
            let (receipt, detail) = match outcome(channel.as_ref(), reply.clone()) {
                Outcome::Delivered { receipt } => (receipt, String::new()),
                Outcome::Deferred { detail, .. } | Outcome::Rejected { detail, .. } => (String::new(), detail),
                Outcome::Unknown => panic!("{name}: an unknown outcome of {reply:?}"),
            };
            let words = receipt + &detail;
            assert!(!words.chars().any(is_unsafe) && words.len() < 1000, "{name}: {words:?}");
        }
    }
}

#[test]
fn only_the_right_kind_of_success_is_a_delivery() {
    for (name, channel) in channels() {
        for reply in replies() {
            let success = match (channel.transport(), &reply) {
                (Transport::Http(_), Reply::Http(reply)) if name.starts_with("slack") => {
                    reply.status == 200 && reply.body.starts_with(b"{\"ok\":true")
                }
                (Transport::Http(_), Reply::Http(reply)) => (200..300).contains(&reply.status),
                // What is there under our id is what we sent before.
                (Transport::Bulk(_), Reply::Http(reply)) => {
                    (200..300).contains(&reply.status) || reply.status == 409 && name.starts_with("elasticsearch")
                }
                (Transport::Smtp(_), Reply::Smtp { code, .. }) => (200..300).contains(code),
                (Transport::Exec(_), Reply::Exec(reply)) => reply.status == ExecStatus::Ok,
                (Transport::Mongo(_), Reply::Written(_) | Reply::DocumentRefused { code: 11_000, .. }) => true,
                (Transport::Postgres(_), Reply::Written(_)) => true,
                (Transport::Console(_) | Transport::Syslog(_) | Transport::File(_), Reply::Written(_)) => true,
                _ => false,
            };
            assert_eq!(outcome(channel.as_ref(), reply.clone()).is_delivered(), success, "{name}: {reply:?}");
        }
    }
}

#[test]
fn patience_is_not_failure_and_causes_are_told_apart() {
    let webhook = channel(Kind::find("webhook").expect("a kind"), &[]);
    let email = channel(Kind::find("email").expect("a kind"), &[]);
    let cause = |outcome: Outcome| match outcome {
        Outcome::Rejected { cause, .. } => Some(cause),
        _ => None,
    };
    for (status, expected) in [
        (301, Cause::Schema),
        (307, Cause::Schema),
        (400, Cause::Schema),
        (401, Cause::Auth),
        (403, Cause::Auth),
        (404, Cause::Gone),
        (410, Cause::Gone),
        (413, Cause::Size),
        (422, Cause::Schema),
        (500, Cause::Network),
        (502, Cause::Network),
        (503, Cause::Network),
    ] {
        assert_eq!(cause(outcome(webhook.as_ref(), http(status, &[]))), Some(expected), "HTTP {status}");
    }
    for (status, value, expected) in [
        (429, "7", Some(7_000)),
        (503, "7", Some(7_000)),
        (429, "Sun, 22 Nov 2026 04:00:30 GMT", Some(30_000)),
        (429, "nonsense", None),
    ] {
        let Outcome::Deferred { after_ms, .. } = outcome(webhook.as_ref(), http(status, &[("retry-after", value)]))
        else {
            panic!("HTTP {status} is no patience")
        };
        assert_eq!(after_ms, expected, "HTTP {status} {value}");
    }
    for (code, expected) in [(530, Cause::Auth), (535, Cause::Auth), (552, Cause::Size)] {
        let reply = Reply::Smtp { code, text: String::new() };
        assert_eq!(cause(outcome(email.as_ref(), reply)), Some(expected), "SMTP {code}");
    }
    for (_, channel) in channels() {
        let reply = Reply::Failed { cause: Cause::Network, detail: "refused".into() };
        assert_eq!(cause(outcome(channel.as_ref(), reply)), Some(Cause::Network));
    }
}

#[test]
fn secrets_do_not_show_in_debug_forms_nor_in_outcomes() {
    let kind = Kind::find("webhook").expect("a kind");
    let headers = map(vec![("X-Key", map(vec![("file", scalar("/secret"))]))]);
    let node = map(vec![
        ("url", scalar("https://h.example/T00/path-secret-0123456789?key=query-secret-01")),
        ("token", scalar("s3cret-token-123")),
        ("secret", scalar("signing-secret")),
        ("headers", headers),
    ]);
    let (channel, problems) = resolve_node(kind, &node);
    assert_eq!(problems, []);
    let incident = incident("x");
    let request = request(channel.as_ref(), &delivery(&incident));
    let Request::Http(sent) = &request else { panic!("no HTTP request") };
    assert!(sent.headers.contains(&("x-key".into(), "from-the-file".into())));
    let echo = "s3cret-token-123 from-the-file path-secret-0123456789 query-secret-01";
    let reply =
        Reply::Http(HttpReply { status: 302, headers: vec![("location".into(), echo.into())], body: echo.into() });
    let shown = format!("{channel:?} {request:?} {:?}", outcome(channel.as_ref(), reply));
    for secret in ["s3cret-token-123", "from-the-file", "path-secret", "query-secret", "signing-secret"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let email = sample(Kind::find("email").expect("a kind"), &[("username", "u"), ("password", "hunter2-mail")]);
    let (channel, _) = resolve_node(Kind::find("email").expect("a kind"), &email);
    assert!(!format!("{channel:?} {:?}", channel.transport()).contains("hunter2-mail"));
}

#[test]
fn a_slack_token_and_a_slack_webhook_do_not_come_back() {
    let incident = incident("x");
    let secrets = [("slack", "xoxb-123456789012-abcdefghijkl"), ("slack_webhook", "XXXXXXXXXXXXXXXXXXXXXXXX")];
    for (key, echo) in secrets {
        let channel = channel(Kind::find(key).expect("a kind"), &[]);
        let body = format!("{{\"ok\":false,\"error\":\"{echo}\"}}").into_bytes();
        let reply = Reply::Http(HttpReply { status: 200, headers: Vec::new(), body });
        let failed = Reply::Failed { cause: Cause::Network, detail: echo.into() };
        let outcomes = [outcome(channel.as_ref(), reply), outcome(channel.as_ref(), failed)];
        let shown = format!("{channel:?} {:?} {outcomes:?}", request(channel.as_ref(), &delivery(&incident)));
        assert!(!shown.contains(echo) && shown.contains("***"), "{shown}");
    }
}

#[test]
fn settings_that_cannot_work_are_told() {
    let check = |key: &str, settings: &[(&'static str, &str)], expected: &str| {
        let kind = Kind::find(key).expect("a kind");
        let (_, problems) = resolve_node(kind, &sample(kind, settings));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|problem| problem.contains(expected)), "{key} {settings:?}: {told:?}");
    };
    check("webhook", &[("url", "http://169.254.169.254/")], "cloud metadata");
    check("webhook", &[("url", "http://u:hunter2@h/")], "user or password");
    check("webhook", &[("secret", "whsec_!!")], "holds no key");
    check("webhook", &[("body", "template")], "is missing");
    check("webhook", &[("template", "x")], "only with `body: template`");
    check("webhook", &[("body", "template"), ("template", "{{ incident.titel }}")], "undefined value");
    check("webhook", &[("body_bytes_max", "1KiB")], "out of range");
    check("webhook", &[("token", "a\nb")], "characters");
    check("webhook", &[("urll", "x")], "did you mean `url`");
    check("email", &[("to", "nobody")], "soc@example.org");
    check("email", &[("username", "u")], "without `password`");
    check("email", &[("tls", "none"), ("username", "u"), ("password", "p")], "unprotected");
    check("email", &[("tls", "none"), ("ca_file", "x")], "no meaning");
    check("email", &[("subject_template", "{{ incident.titel }}")], "subject_template: undefined value");
    check("email", &[("text_template", "a\n{% if %}")], "(in template:2)");
    check("email", &[("html_template", "{{ nobody }}")], "html_template");
    check("syslog", &[("template", "{{ delivery.to }}")], "template: undefined value");
    check("console", &[("template", "{% for i in range(100000) %}{{ i }}{% endfor %}")], "template: ");
    check("file", &[("template", "{{ incident.nist_controls[0] }}")], "without what a sender may leave out");
    check("file", &[("keep", "3")], "only with `rotate`");
    check("slack", &[("to", "general")], "a channel id such as C024BE91L");
    check("slack", &[("token", "a\nb")], "characters");
    check("slack", &[("api_url", "http://169.254.169.254/")], "cloud metadata");
    check("slack", &[("template", "{{ incident.titel }}")], "undefined value");
    check("slack_webhook", &[("url", "hooks.slack.com/services/T0")], "not an http:// or https:// URL");
    check("syslog", &[("to", "log:514")], "udp://host:514");
    check("elasticsearch", &[("urls", "http://169.254.169.254/")], "cloud metadata");
    check("elasticsearch", &[("urls", "http://h/?a=b")], "has a query");
    check("elasticsearch", &[("index", "Upper")], "is no name of an index");
    check("elasticsearch", &[("index", "a"), ("data_stream", "b")], "stands beside `index`");
    check("elasticsearch", &[("username", "u")], "without `password`");
    check("elasticsearch", &[("username", "u"), ("password", "p"), ("api_key", "k")], "stands beside `username`");
    check("elasticsearch", &[("batch_bytes", "1KiB")], "out of range");
    check("elasticsearch", &[("requests", "0")], "1");
    check("splunk_hec", &[("token", "a b")], "characters");
    check("splunk_hec", &[("ack_timeout", "1m")], "only with `acknowledge: true`");
    check("splunk_hec", &[("request_channel", "x")], "is no UUID");
    check("syslog", &[("ca_file", "x")], "tls://");
    check("syslog", &[("dialect", "json"), ("message_bytes_max", "1KiB")], "out of range");
    let email = Kind::find("email").expect("a kind");
    channel(email, &[("tls", "none"), ("host", "127.0.0.1"), ("username", "u"), ("password", "p")]);
}

#[test]
fn usual_ports_follow_the_protection_of_the_session() {
    for (tls, expected) in [("starttls", 587), ("tls", 465), ("implicit", 465), ("none", 25)] {
        let channel = channel(Kind::find("email").expect("a kind"), &[("tls", tls)]);
        let Transport::Smtp(smtp) = channel.transport() else { panic!("no SMTP") };
        assert_eq!(smtp.port, expected, "{tls}");
    }
}

#[test]
fn addresses_of_metadata_services_are_known_to_the_transport_too() {
    assert!(is_metadata_address("169.254.169.254".parse().expect("an address")));
    assert!(!is_metadata_address("10.0.0.1".parse().expect("an address")));
}

/// Made once: a template is compiled and tried each time.
static CHANNELS: LazyLock<Vec<(String, Box<dyn Channel>)>> = LazyLock::new(channels);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_only_text(text: String, extra in "[\\x00-\\x1f\\x7f\u{80}-\u{9f}\u{202a}-\u{202e}<>\"'=?\\\\\\]]{0,200}") {
        let incident = incident(&(text + &extra));
        for (name, channel) in CHANNELS.iter() {
            let request = request(channel.as_ref(), &delivery(&incident));
            check_harmless(name, &request);
            prop_assert!(bytes(&request) <= channel.limits().message_bytes_max, "{}", name);
        }
    }
}
