//! What the contract's tests share: each kind in each of its forms, incidents, and what no request may do.

use balefire_channels::{Channel, Host, KINDS, Kind, Mail, Request, Step};
use balefire_model::settings::{Key, Node, Place, Problem, Reader, Session, Value};
use balefire_model::text::is_unsafe;
use balefire_model::{Delivery, DeliveryId, Incident, Reason};

/// A template that repeats what senders wrote, in every way that a template can.
const TEMPLATE: &str =
    "{{ incident.title }}\n {{ incident.title | safe }} {{ incident.labels }} {{ [incident.detected_by] }}\n";
/// One that is good for the made-up incidents, and for no other.
pub(crate) const FAULTY: &str = "{{ incident.labels.absent }}";

/// A setting's value.
pub(crate) fn scalar(text: &str) -> Node {
    Node { place: Place::default(), value: Value::Scalar { text: text.to_owned(), quoted: false } }
}

/// A mapping of settings.
pub(crate) fn map(entries: Vec<(&str, Node)>) -> Node {
    let entries = entries.into_iter().map(|(name, node)| (Key { name: name.into(), place: Place::default() }, node));
    Node { place: Place::default(), value: Value::Map(entries.collect()) }
}

fn host() -> Host {
    Host { name: "web-1".into(), pid: 77, ..Host::default() }
}

/// The channel of some settings, and what is wrong with them.
pub(crate) fn resolve_node(kind: &Kind, node: &Node) -> (Box<dyn Channel>, Vec<Problem>) {
    let load = |path: &str| if path == "/secret" { Ok("from-the-file\n".to_owned()) } else { Err("no".to_owned()) };
    let session = Session::new(&load);
    let reader = Reader::new(&session, node, "");
    let channel = (kind.resolve)(&reader, &host());
    reader.finish();
    (channel, session.problems())
}

/// The channel of the kind's sample with further settings; those of the same name take the sample's place.
pub(crate) fn channel(kind: &Kind, settings: &[(&'static str, &str)]) -> Box<dyn Channel> {
    let (channel, problems) = resolve_node(kind, &sample(kind, settings));
    assert_eq!(problems, [], "{} {settings:?}", kind.key);
    channel
}

/// The kind's sample with further settings in place of its own.
pub(crate) fn sample(kind: &Kind, settings: &[(&'static str, &str)]) -> Node {
    let kept = kind.sample.iter().filter(|(name, _)| !settings.iter().any(|(other, _)| other == name));
    map(kept.chain(settings).map(|(name, text)| (*name, scalar(text))).collect())
}

/// Each kind in each of its forms.
pub(crate) fn channels() -> Vec<(String, Box<dyn Channel>)> {
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
        ("mongodb", &[("body", "record"), ("tls", "true")]),
        ("slack", &[("template", "{{ incident.title }} {{ incident.labels }} {{ [incident.detected_by] }}")]),
        ("slack", &[("template", FAULTY)]),
        ("slack_webhook", &[("template", FAULTY)]),
        ("splunk_hec", &[("form", "array"), ("index", "main")]),
        ("splunk_hec", &[("body", "record"), ("acknowledge", "true"), ("event_bytes_max", "16KiB")]),
        ("elasticsearch", &[("body", "record"), ("document_bytes_max", "16KiB")]),
        ("elasticsearch", &[("data_stream", "logs-balefire-soc"), ("api_key", "c2VjcmV0LWtleQ==")]),
        ("console", &[("template", TEMPLATE)]),
        ("console", &[("template", FAULTY)]),
        ("syslog", &[("template", TEMPLATE), ("message_bytes_max", "1KiB")]),
        ("syslog", &[("template", FAULTY), ("to", "udp://log")]),
        ("syslog", &[("template", FAULTY), ("dialect", "json")]),
        ("email", &[("subject_template", TEMPLATE), ("text_template", TEMPLATE), ("html_template", TEMPLATE)]),
        ("email", &[("html_template", "<b>{{ incident.title | safe }}</b>"), ("dialect", "shipped")]),
        ("email", &[("subject_template", TEMPLATE), ("text_template", FAULTY)]),
        ("exec", &[("body", "record")]),
        ("file", &[("template", TEMPLATE)]),
        ("file", &[("template", "{\"t\": {{ incident.title | tojson }}}")]),
        ("file", &[("template", FAULTY)]),
    ];
    let mut channels: Vec<_> = KINDS.iter().map(|kind| (kind.key.to_owned(), channel(kind, &[]))).collect();
    for (key, settings) in forms {
        let kind = Kind::find(key).expect("a kind in the list");
        channels.push((format!("{key} {settings:?}"), channel(kind, settings)));
    }
    channels
}

/// An incident with this text in every field.
pub(crate) fn incident(text: &str) -> Incident {
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

/// The first delivery of it.
pub(crate) fn delivery(incident: &Incident) -> Delivery<'_> {
    Delivery {
        id: DeliveryId::derive(incident.id, "opened", "soc"),
        channel: "soc",
        reason: Reason::Opened,
        stands_in_for: None,
        resolved_at: None,
        acknowledgement: None,
        repeats: None,
        repeat_of: None,
        plain: false,
        ack_url: None,
        reached: None,
        opened: None,
        run: None,
        incident,
        attempt: 1,
        now: "2026-11-22T04:00:00Z".parse().expect("a constant time"),
    }
}

/// What the channel sends first.
pub(crate) fn request(channel: &dyn Channel, delivery: &Delivery<'_>) -> Request {
    match channel.step(delivery, &[]) {
        Step::Send(request) => request,
        Step::Done(outcome) => panic!("done before anything was sent: {outcome:?}"),
    }
}

/// Texts that would like to be more than that.
pub(crate) fn hostile() -> Vec<String> {
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
pub(crate) fn bytes(request: &Request) -> usize {
    match request {
        Request::Http(http) => http.body.len(),
        Request::Part(part) => part.len(),
        Request::Mail(mail) => mail.message.len(),
        Request::Syslog(message) => message.len(),
        Request::Line(line) => line.len(),
        Request::Exec(exec) => exec.line().len(),
        Request::Document(document) => document.bson.len(),
        Request::Store(part) => part.files.iter().flat_map(|file| &file.items).map(Vec::len).sum(),
        Request::Screen(screen) => {
            screen.panel.lines.iter().map(String::len).sum::<usize>().max(screen.plain.len()) + screen.panel.title.len()
        }
    }
}

/// Nothing in a request acts on the channel that carries it.
pub(crate) fn check_harmless(name: &str, request: &Request) {
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
            if name.starts_with("slack") {
                let text = String::from_utf8_lossy(&http.body);
                assert!(!text.contains(['<', '>']) && seen(&text), "{name}: a mention or a link: {text:.300}");
            }
        }
        Request::Part(part) => {
            let lines: Vec<&str> = std::str::from_utf8(part).expect("UTF-8").lines().collect();
            assert!(matches!(lines.len(), 1 | 2), "{name}: a part is a line of JSON, or two");
            for line in lines {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON");
            }
        }
        Request::Mail(mail) => check_mail(name, mail),
        Request::Syslog(message) => {
            let text = std::str::from_utf8(message).expect("UTF-8");
            let marks = text.matches('\u{feff}').count();
            assert!(marks <= 1 && seen(&text.replacen('\u{feff}', "", 1)), "{name}: {text:.300}");
        }
        Request::Exec(exec) => {
            assert!(seen(std::str::from_utf8(exec.line()).expect("UTF-8")), "{name}");
            serde_json::from_slice::<serde_json::Value>(exec.line()).expect("JSON");
        }
        Request::Store(part) => {
            for file in &part.files {
                assert!(seen(&file.name) && !file.name.contains('/') && !file.name.starts_with('.'), "{name}");
                assert!(file.items.iter().flatten().all(u8::is_ascii), "{name}: its JSON is ASCII");
            }
        }
        Request::Line(line) => assert!(seen(std::str::from_utf8(line).expect("UTF-8")), "{name}"),
        Request::Document(document) => {
            // What a collection keeps is data and may hold anything; what it means to the server is its names and its id.
            let read = bson::Document::from_reader(document.bson.as_slice()).expect("BSON");
            let (name_of_id, id) = read.iter().next().expect("a first field");
            assert_eq!((name_of_id.as_str(), id.as_str()), ("_id", Some(document.id.as_str())), "{name}");
        }
        Request::Screen(screen) => {
            assert!(seen(&screen.plain) && seen(&screen.panel.title), "{name}");
            assert!(screen.panel.lines.iter().all(|line| seen(line)), "{name}");
        }
    }
}

fn check_mail(name: &str, mail: &Mail) {
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
