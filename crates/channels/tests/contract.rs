//! What every channel kind must do, for each in the list: whatever the incident, whatever the reply.

use balefire_channels::{Channel, Host, HttpReply, KINDS, Kind, Reply, Request, Step, Transport, is_metadata_address};
use balefire_model::settings::{Key, Node, Place, Problem, Reader, Session, Value};
use balefire_model::text::is_unsafe;
use balefire_model::{Cause, Delivery, DeliveryId, Incident, Outcome, Reason};
use proptest::prelude::*;
use std::time::Duration;

fn scalar(text: &str) -> Node {
    Node { place: Place::default(), value: Value::Scalar { text: text.to_owned(), quoted: false } }
}

fn map(entries: Vec<(&str, Node)>) -> Node {
    let entries = entries.into_iter().map(|(name, node)| (Key { name: name.into(), place: Place::default() }, node));
    Node { place: Place::default(), value: Value::Map(entries.collect()) }
}

fn host() -> Host {
    Host { name: "web-1".into(), pid: 77, ..Host::default() }
}

fn resolve_node(kind: &Kind, node: &Node) -> (Box<dyn Channel>, Vec<Problem>) {
    let load = |path: &str| if path == "/secret" { Ok("from-the-file\n".to_owned()) } else { Err("no".to_owned()) };
    let session = Session::new(&load);
    let reader = Reader::new(&session, node, "");
    let channel = (kind.resolve)(&reader, &host());
    reader.finish();
    (channel, session.problems())
}

/// The channel of the kind's sample with further settings; those of the same name take the sample's place.
fn channel(kind: &Kind, settings: &[(&'static str, &str)]) -> Box<dyn Channel> {
    let (channel, problems) = resolve_node(kind, &sample(kind, settings));
    assert_eq!(problems, [], "{} {settings:?}", kind.key);
    channel
}

fn sample(kind: &Kind, settings: &[(&'static str, &str)]) -> Node {
    let kept = kind.sample.iter().filter(|(name, _)| !settings.iter().any(|(other, _)| other == name));
    map(kept.chain(settings).map(|(name, text)| (*name, scalar(text))).collect())
}

/// Each kind in each of its forms.
fn channels() -> Vec<(String, Box<dyn Channel>)> {
    let forms: &[(&str, &[(&'static str, &str)])] = &[
        ("console", &[("dialect", "plan")]),
        ("console", &[("dialect", "shipped")]),
        ("syslog", &[("dialect", "shipped"), ("message_bytes_max", "1KiB")]),
        ("syslog", &[("dialect", "json"), ("to", "udp://log")]),
        ("syslog", &[("to", "tls://log"), ("message_bytes_max", "1KiB")]),
        ("syslog", &[("to", "tcp://log"), ("format", "rfc3164")]),
        ("email", &[("dialect", "plan")]),
        ("email", &[("dialect", "shipped")]),
        ("webhook", &[("body", "cloudevents"), ("body_bytes_max", "4KiB")]),
        ("webhook", &[("body", "alertmanager"), ("body_bytes_max", "16KiB"), ("secret", "hunter2")]),
        (
            "webhook",
            &[("body", "template"), ("template", "{\"t\": {{ incident.title }}}"), ("token", "s3cret-token-123")],
        ),
        (
            "webhook",
            &[("body", "template"), ("template", "{{ incident.labels.absent }}"), ("content_type", "text/plain")],
        ),
    ];
    let mut channels: Vec<_> = KINDS.iter().map(|kind| (kind.key.to_owned(), channel(kind, &[]))).collect();
    for (key, settings) in forms {
        let kind = Kind::find(key).expect("a kind in the list");
        channels.push((format!("{key} {settings:?}"), channel(kind, settings)));
    }
    channels
}

fn incident(text: &str) -> Incident {
    let mut incident: Incident = serde_json::from_str(
        r#"{"id": "01935f1c-7c00-7000-8000-000000000001", "title": "t", "severity": "high", "detected_by": "r",
            "fingerprint": "f", "source": "http", "received_at": "2026-11-22T03:04:05.678901Z",
            "events": [{"a":
1}]}"#,
    )
    .expect("a constant incident");
    incident.title = text.to_owned();
    incident.description = text.to_owned();
    if text.len() > 1 << 20 {
        return incident;
    }
    incident.severity_original = Some(text.to_owned());
    incident.detected_by = text.to_owned();
    incident.nist_controls = vec![text.to_owned(), text.to_owned()];
    incident.incident_id = Some(text.to_owned());
    incident.labels.insert(text.to_owned(), text.to_owned());
    incident.fingerprint.0 = text.to_owned();
    incident.source = text.to_owned();
    incident.notes = vec![text.to_owned()];
    incident
}

fn delivery(incident: &Incident) -> Delivery<'_> {
    Delivery {
        id: DeliveryId::derive(incident.id, "opened", "soc"),
        channel: "soc",
        reason: Reason::Opened,
        stands_in_for: None,
        plain: false,
        incident,
        attempt: 1,
        now: "2026-11-22T04:00:00Z".parse().expect("a constant time"),
    }
}

fn request(channel: &dyn Channel, delivery: &Delivery<'_>) -> Request {
    match channel.step(delivery, &[]) {
        Step::Send(request) => request,
        Step::Done(outcome) => panic!("done before anything was sent: {outcome:?}"),
    }
}

fn hostile() -> Vec<String> {
    vec![
        "\0\u{1}\u{7f}\u{9b}31m".into(),
        "x\r\nBcc: evil@example.org\r\n\r\nbody".into(),
        "x\n<178>Nov 22 03:04:05 sshd[1]: Accepted".into(),
        "\u{1b}[31m\u{1b}]0;title\u{7}".into(),
        "\u{202e}gpj.exe\u{2066}\u{200b}\u{feff}\u{e0041}".into(),
        "<script>alert(1)</script> [/bold] {{ 7*7 }} ]]> \" ' ` \\".into(),
        "=?utf-8?B?DQpCY2M6IHhAeQ==?=".into(),
        ".\r\n.\r\n--=_\r\n".into(),
        "\u{1F525}é".repeat(40),
        "\"".repeat(47),
        "\0".repeat(47),
        "a".repeat(10 << 20),
        "\0\n\"<\u{202e}".repeat(1 << 14),
        "\0\n\"<\u{202e}".repeat(1 << 20),
        String::new(),
    ]
}

/// The size that `message_bytes_max` bounds.
fn bytes(request: &Request) -> usize {
    match request {
        Request::Http(http) => http.body.len(),
        Request::Mail(mail) => mail.message.len(),
        Request::Syslog(message) => message.len(),
        Request::Line(line) => line.len(),
        Request::Screen(screen) => {
            screen.panel.lines.iter().map(String::len).sum::<usize>().max(screen.plain.len()) + screen.panel.title.len()
        }
    }
}

/// Nothing in a request acts on the channel that carries it.
fn check_harmless(name: &str, request: &Request) {
    let seen = |text: &str| !text.chars().any(is_unsafe);
    match request {
        Request::Http(http) => {
            assert!(http.url.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
            for (header, value) in &http.headers {
                assert!(
                    header.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()),
                    "{name}: {header}"
                );
                assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{name}: {header}");
            }
            let kind = &http.headers.iter().find(|(header, _)| header == "content-type").expect("a content type").1;
            if kind.contains("json") {
                serde_json::from_slice::<serde_json::Value>(&http.body).expect("JSON, as the header says");
            }
        }
        Request::Mail(mail) => check_mail(name, mail),
        Request::Syslog(message) => {
            let text = std::str::from_utf8(message).expect("UTF-8");
            let marks = text.matches('\u{feff}').count();
            assert!(marks <= 1 && seen(&text.replacen('\u{feff}', "", 1)), "{name}: {text:.300}");
        }
        Request::Line(line) => assert!(seen(std::str::from_utf8(line).expect("UTF-8")), "{name}"),
        Request::Screen(screen) => {
            assert!(seen(&screen.plain) && seen(&screen.panel.title), "{name}");
            assert!(screen.panel.lines.iter().all(|line| seen(line)), "{name}");
        }
    }
}

fn check_mail(name: &str, mail: &balefire_channels::Mail) {
    let text = std::str::from_utf8(&mail.message).expect("UTF-8");
    assert!(text.bytes().all(|byte| matches!(byte, b'\r' | b'\n' | b'\t' | b' '..=b'~')), "{name}: not visible ASCII");
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{name}: a bare line break");
    assert!(text.split("\r\n").all(|line| line.len() <= 998), "{name}: a long line");
    let headers = text.split("\r\n\r\n").next().expect("headers");
    let names: Vec<&str> = headers
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split(':').next().unwrap_or(""))
        .collect();
    let allowed = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "Importance",
        "X-Balefire-Incident",
        "X-Balefire-Delivery",
        "X-Balefire-Severity",
        "X-Balefire-Fingerprint",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];
    for header in &names {
        assert!(allowed.contains(header), "{name}: header {header}");
        assert_eq!(names.iter().filter(|other| *other == header).count(), 1, "{name}: {header} twice");
    }
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("balefire@example.org", ["soc@example.org".to_owned()].as_slice())
    );
}

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
            (Request::Http(a), Request::Http(b)) => {
                let id = |request: &balefire_channels::HttpRequest| {
                    request.headers.iter().find(|(header, _)| header == "webhook-id").map(|(_, id)| id.clone())
                };
                assert_eq!((a.body, Some(first.id.to_string())), (b.body.clone(), id(&b)), "{name}");
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
    replies.push(Reply::Written("ok\n".into()));
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
                (Transport::Http(_), Reply::Http(reply)) => (200..300).contains(&reply.status),
                (Transport::Smtp(_), Reply::Smtp { code, .. }) => (200..300).contains(code),
                (Transport::Console | Transport::Syslog(_) | Transport::File(_), Reply::Written(_)) => true,
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
    check("file", &[("keep", "3")], "only with `rotate`");
    check("syslog", &[("to", "log:514")], "udp://host:514");
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_only_text(text: String, extra in "[\\x00-\\x1f\\x7f\u{80}-\u{9f}\u{202a}-\u{202e}<>\"'=?\\\\\\]]{0,200}") {
        let incident = incident(&(text + &extra));
        for (name, channel) in channels() {
            let request = request(channel.as_ref(), &delivery(&incident));
            check_harmless(&name, &request);
            prop_assert!(bytes(&request) <= channel.limits().message_bytes_max, "{}", name);
        }
    }
}
