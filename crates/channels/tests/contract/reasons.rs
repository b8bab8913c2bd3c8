//! Every kind tells every reason: why a message goes out, for whom it stands in, and that a template was left out.

use crate::scene::{FAULTY, bytes, channel, channels, check_harmless, delivery, hostile, incident, request};
use balefire_channels::{Kind, Request};
use balefire_model::{Delivery, DeliveryId, Incident, Reason};

const REASONS: [Reason; 7] = [
    Reason::Opened,
    Reason::Resolved,
    Reason::Escalated,
    Reason::Fallback,
    Reason::Summary,
    Reason::Repeated,
    Reason::Test,
];

/// A delivery of every reason, each with and without a channel that it stands in for, with and without templates.
fn deliveries(incident: &Incident) -> Vec<Delivery<'_>> {
    let mut deliveries = Vec::new();
    for reason in REASONS {
        for stands_in_for in [None, Some("soc-pager"), Some("\r\n\u{202e}<x>")] {
            for plain in [false, true] {
                let id = DeliveryId::derive(incident.id, reason.as_str(), "soc");
                deliveries.push(Delivery { id, reason, stands_in_for, plain, ..delivery(incident) });
            }
        }
    }
    deliveries
}

/// What a person or a program reads of a request.
fn read(request: &Request) -> String {
    match request {
        Request::Http(http) => String::from_utf8_lossy(&http.body).into_owned(),
        Request::Part(part) => String::from_utf8_lossy(part).into_owned(),
        Request::Mail(mail) => mail.readable(),
        Request::Document(document) => String::from_utf8_lossy(&document.bson).into_owned(),
        Request::Syslog(bytes) | Request::Line(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Request::Store(part) => format!("{:?}", part.files),
        Request::Exec(exec) => String::from_utf8_lossy(exec.line()).into_owned(),
        Request::Screen(screen) => format!("{}\n{}", screen.plain, screen.panel.lines.join("\n")),
    }
}

#[test]
fn a_hostile_incident_is_only_text_whatever_the_reason() {
    let channels = channels();
    // The long ones are tried on a first message: see `a_hostile_incident_is_only_text_and_keeps_the_limit`.
    for text in hostile().iter().filter(|text| text.len() < 1000) {
        let incident = incident(text);
        for (name, channel) in &channels {
            for delivery in deliveries(&incident) {
                let request = request(channel.as_ref(), &delivery);
                let name = format!("{name} {:?} {:?} {}", delivery.reason, delivery.stands_in_for, delivery.plain);
                check_harmless(&name, &request);
                let (size, limit) = (bytes(&request), channel.limits().message_bytes_max);
                assert!(size <= limit, "{name}: {size} > {limit} for {text:.40?}");
            }
        }
    }
}

#[test]
fn every_message_says_why_it_goes_out_and_for_whom_it_stands_in() {
    let incident = incident("Disk full");
    for (name, channel) in channels() {
        // Templates of JSON and of whole bodies say what their user wants.
        if name.contains("template") && (name.starts_with("webhook") || name.contains("tojson")) {
            continue;
        }
        for delivery in deliveries(&incident) {
            let told = read(&request(channel.as_ref(), &delivery));
            let (word, mark) = match delivery.reason {
                Reason::Resolved => ("resolved", "[RESOLVED]"),
                Reason::Escalated => ("incident.escalated", "[ESCALATED]"),
                Reason::Repeated => ("incident.repeated", "[REPEATED]"),
                _ => ("", ""),
            };
            // Alertmanager knows no escalation and no repeat: what fires goes on firing.
            if !name.contains("alertmanager") || delivery.reason == Reason::Resolved {
                assert!(told.contains(word) || told.contains(mark), "{name} {:?}: {told}", delivery.reason);
            }
            let is_named = told.contains("soc-pager");
            // A CloudEvent carries the incident alone; its type is the reason.
            if !name.contains("cloudevents") {
                assert_eq!(is_named, delivery.stands_in_for == Some("soc-pager"), "{name}: {told}");
            }
        }
    }
}

#[test]
fn a_first_message_is_the_same_bytes_as_ever() {
    let incident = incident("Disk full");
    let line = |key: &str, settings: &[(&'static str, &str)]| {
        read(&request(channel(Kind::find(key).expect("a kind"), settings).as_ref(), &delivery(&incident)))
    };
    let plan = "SECURITY_INCIDENT [HIGH] Disk full | detected_by=Disk_full nist=Disk_full,Disk_full cui=False";
    assert!(line("syslog", &[]).ends_with(&format!("eqmon-blueteam[77]: {plan}")), "{}", line("syslog", &[]));
    let shipped = "SECURITY_INCIDENT severity=high rule=Disk_full title=\"Disk full\" nist=Disk_full,Disk_full";
    assert!(line("syslog", &[("dialect", "shipped")]).ends_with(&format!(": {shipped}")));
    assert!(line("console", &[("dialect", "shipped")]).starts_with("[ALERT] [HIGH] Disk full (rule=Disk full)\n"));
    let mail = line("email", &[("dialect", "plan")]);
    assert!(
        mail.contains("\nSubject: [HIGH] Disk full\n") && mail.contains("\n\nSecurity Incident Detected\n"),
        "{mail}"
    );
}

#[test]
fn a_mark_stands_before_the_line_and_the_line_is_the_same() {
    let incident = incident("Disk full");
    let resolved = Delivery { reason: Reason::Resolved, ..delivery(&incident) };
    let fallback = Delivery { reason: Reason::Fallback, stands_in_for: Some("soc-mail"), ..delivery(&incident) };
    for (key, dialect) in [("syslog", "plan"), ("syslog", "shipped"), ("console", "plan"), ("console", "shipped")] {
        let channel = channel(Kind::find(key).expect("a kind"), &[("dialect", dialect)]);
        let line = |delivery: &Delivery<'_>| match request(channel.as_ref(), delivery) {
            Request::Syslog(message) => {
                let message = String::from_utf8_lossy(&message).into_owned();
                message.split_once("]: ").expect("a header").1.to_owned()
            }
            Request::Screen(screen) => screen.plain,
            other => panic!("{other:?}"),
        };
        let opened = line(&delivery(&incident));
        assert_eq!(line(&resolved), format!("[RESOLVED] {opened}"));
        assert_eq!(line(&fallback), format!("[FOR soc-mail] {opened}"));
    }
}

/// The settings that make every message of a kind by a template.
fn templates(key: &str, template: &'static str) -> Vec<(&'static str, &'static str)> {
    match key {
        "email" => vec![("text_template", template)],
        "webhook" => vec![("body", "template"), ("content_type", "text/plain"), ("template", template)],
        _ => vec![("template", template)],
    }
}

#[test]
fn a_template_makes_the_message_and_one_that_fails_or_is_left_out_leaves_a_note() {
    let incident = incident("Disk full");
    let (first, plain) = (delivery(&incident), Delivery { plain: true, ..delivery(&incident) });
    // Programs and archives make of what they get what they like: they need no template.
    let archives = ["exec", "mongodb", "elasticsearch", "splunk_hec", "postgres"];
    for kind in balefire_channels::KINDS.iter().filter(|kind| !archives.contains(&kind.key)) {
        let built_in = channel(kind, &[]);
        let good = channel(kind, &templates(kind.key, "made of {{ incident.title }} by {{ delivery.channel }}"));
        assert!(good.limits().has_template && !built_in.limits().has_template, "{}", kind.key);
        let told = read(&request(good.as_ref(), &first));
        assert!(told.contains("made of Disk full by soc"), "{}: {told}", kind.key);
        let told = read(&request(good.as_ref(), &plain));
        let note = "the template was left out: the far side refused what it made";
        assert!(told.contains(note) && told.contains("Disk full") && !told.contains("made of"), "{}: {told}", kind.key);
        let faulty = channel(kind, &templates(kind.key, FAULTY));
        let told = read(&request(faulty.as_ref(), &first));
        let note = "the template failed: undefined value";
        assert!(told.contains(note) && told.contains("Disk full"), "{}: {told}", kind.key);
        // Without a template there is nothing to leave out.
        let (a, b) = (request(built_in.as_ref(), &first), request(built_in.as_ref(), &plain));
        assert!(a == b, "{}", kind.key);
    }
}

#[test]
fn an_html_part_escapes_what_senders_wrote() {
    let settings = [("subject_template", "{{ incident.title }}"), ("html_template", "<p>{{ incident.title }}</p>")];
    let channel = channel(Kind::find("email").expect("a kind"), &settings);
    let told = read(&request(channel.as_ref(), &delivery(&incident("<b>\r\nBcc: x@y"))));
    assert!(told.contains("\nSubject: <b>\\r\\nBcc: x@y\n"), "{told}");
    assert!(told.contains("<p>&lt;b&gt;\nBcc: x@y</p>"), "{told}");
    assert_eq!(told.matches("Content-Type: text/plain").count(), 1, "the built-in text stands beside it: {told}");
}
