//! Mails as the real programs write them.

use super::*;
use crate::Limits;
use crate::formats::json::{Shape, decode};
use proptest::prelude::*;

fn envelope() -> Envelope {
    Envelope { host: "web-1".to_owned(), user: 0, at: Timestamp::UNIX_EPOCH, ..Envelope::default() }
}

fn taken(mail: &str) -> Value {
    incident(&read(mail.as_bytes()), &envelope())
}

/// Title, severity, what detected it, and its program.
fn check(mail: &str, expected: [&str; 4]) -> Value {
    let incident = taken(mail);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let found = [
        text(&incident["title"]),
        text(&incident["severity"]),
        text(&incident["detected_by"]),
        text(&incident["labels"]["program"]),
    ];
    assert_eq!(found, expected, "{incident}");
    incident
}

#[test]
fn what_auditd_writes_is_a_failure_of_audit_logging_with_the_host_that_it_leaves_out() {
    let mail = "To: root\nFrom: root\nSubject: Audit Disk Space Alert\n\nThe audit daemon is low on disk space for logging! \
                Please take action\nto ensure no loss of service.";
    let incident = check(mail, ["Audit Disk Space Alert (web-1)", "high", "watch.audit.space_low", "auditd"]);
    assert_eq!(incident["nist_controls"], json!(["3.3.4"]));
    assert_eq!(incident["labels"]["failure"], "audit.space_low");
    assert_eq!(incident["labels"]["mail_to"], "root");
    let text = incident["description"].as_str().unwrap();
    assert!(text.starts_with("The audit daemon is low") && text.ends_with("Host: web-1"), "{text}");
    let mail = "To: root\nFrom: root\nSubject: Audit Admin Space Alert\n\nThe audit daemon is very low on disk space\n";
    check(mail, ["Audit Admin Space Alert (web-1)", "high", "watch.audit.space_admin", "auditd"]);
}

#[test]
fn cron_is_low_unless_its_output_says_otherwise() {
    let head = "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@web-1> /usr/local/bin/backup --all\n\
                MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\
                X-Cron-Env: <SHELL=/bin/sh>\n";
    let title = "Cron <root@web-1> /usr/local/bin/backup --all";
    let incident = check(&format!("{head}\n42 Dateien gesichert, größer\n"), [title, "low", "cron", "cron"]);
    assert_eq!(incident["labels"]["cron_user"], "root");
    assert_eq!(incident["labels"]["cron_command"], "/usr/local/bin/backup --all");
    assert!(incident["description"].as_str().unwrap().starts_with("42 Dateien gesichert, größer"));
    check(&format!("{head}\ntar: write: No space left on device\n"), [title, "high", "cron", "cron"]);
    let own = "Subject: my job\nX-Cron-Env: <HOME=/root>\n\ndone\n";
    check(own, ["my job (web-1)", "low", "cron", "cron"]);
}

#[test]
fn disks_and_arrays_are_as_bad_as_their_event() {
    let smart =
        |what: &str| format!("Subject: SMART error ({what}) detected on host: web-1\nTo: root\n\nDevice: /dev/sda\n");
    for (what, severity) in [("EmailTest", "low"), ("Health", "critical"), ("CurrentPendingSector", "high")] {
        let title = format!("SMART error ({what}) detected on host: web-1");
        let incident = check(&smart(what), [&title, severity, "smartd", "smartd"]);
        assert_eq!(incident["labels"]["smart_error"], what);
    }
    for (event, severity) in [("Fail", "high"), ("TestMessage", "low"), ("DeviceDisappeared", "critical")] {
        let mail =
            format!("From: mdadm monitoring <root>\nTo: root\nSubject: {event} event on /dev/md0:web-1\n\nThis is\n");
        let incident = check(&mail, [&format!("{event} event on /dev/md0:web-1"), severity, "mdadm", "mdadm"]);
        assert_eq!(incident["labels"]["md_device"], "/dev/md0");
        assert_eq!(incident["labels"]["md_event"], event);
    }
}

#[test]
fn what_nobody_knows_has_no_severity_of_its_own() {
    check("Subject: hello\n\nthere\n", ["hello (web-1)", "-", "mail", "mail"]);
    check("just words\nand more\n", ["just words (web-1)", "-", "mail", "mail"]);
    check("", ["mail without subject and text (web-1)", "-", "mail", "mail"]);
}

#[test]
fn encoded_words_charsets_and_parts_are_decoded() {
    let subject = "Subject: =?UTF-8?Q?Gr=C3=B6=C3=9Fe?= =?ISO-8859-1?B?/GJlcg==?=\n";
    let quoted =
        "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=F6=DFe=\n!\n";
    let incident = check(&format!("{subject}{quoted}"), ["Größeüber (web-1)", "-", "mail", "mail"]);
    assert!(incident["description"].as_str().unwrap().starts_with("Größe!"), "{incident}");
    let parts = "Subject: two\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\
                 Content-Transfer-Encoding: base64\n\nPGI+Ym9sZDwvYj4mYW1wOyBwbGFpbg==\n--b\nContent-Type: application/zip; \
                 name=logs.zip\nContent-Disposition: attachment\n\nPK\n--b--\n";
    let incident = taken(parts);
    let text = incident["description"].as_str().unwrap();
    assert!(text.starts_with("bold& plain"), "{text}");
    assert!(text.contains("Left out: logs.zip (application/zip, 2 bytes)"), "{text}");
}

#[test]
fn a_hostile_subject_is_one_line_and_forges_nothing() {
    let incident = taken("Subject: =?utf-8?Q?a=0D=0AX: y=1B[2J?=\nFrom: \"x\r\n y\" <a@b>\n\nb\u{1b}[31m\n");
    for text in [&incident["title"], &incident["labels"]["mail_from"], &incident["description"]] {
        let text = text.as_str().unwrap();
        assert!(!text.chars().any(|c| c != '\n' && balefire_model::text::is_unsafe(c)), "{text:?}");
    }
    assert!(!incident["title"].as_str().unwrap().contains('\n'));
}

#[test]
fn what_is_too_long_is_cut_with_a_mark() {
    let mail = format!("Subject: {}\n\n{}", "s".repeat(100_000), "\u{1}".repeat(BYTES_MAX));
    let incident = taken(&mail);
    assert!(incident["title"].as_str().unwrap().contains("[cut: "), "the title has its mark");
    let text = incident["description"].as_str().unwrap();
    assert!(text.contains("[cut: ") && text.contains("longer than 10485760 bytes"), "the text has its marks");
    assert_good(&incident);
}

#[test]
fn the_caller_says_who_where_the_mail_does_not() {
    let envelope = Envelope {
        from: Some("backup@web-1".to_owned()),
        name: Some("The Backup".to_owned()),
        recipients: vec!["root".to_owned(), "ops@example.org".to_owned()],
        user: 1000,
        ..envelope()
    };
    let incident = incident(&read(b"done\n"), &envelope);
    assert_eq!(incident["labels"]["mail_from"], "backup@web-1");
    assert_eq!(incident["labels"]["mail_to"], "root, ops@example.org");
    assert_eq!(incident["labels"]["mail_uid"], "1000");
    assert!(incident["description"].as_str().unwrap().contains("Sender: The Backup"));
}

/// Our own decoder takes it.
fn assert_good(incident: &Value) {
    let body = serde_json::to_vec(incident).unwrap();
    let items = decode(&body, Shape::Auto, &Limits::default()).unwrap();
    assert!(items.iter().all(Result::is_ok), "{items:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_an_incident_that_is_accepted(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        assert_good(&incident(&read(&bytes), &envelope()));
    }

    #[test]
    fn any_mail_is_an_incident_that_is_accepted(
        lines in prop::collection::vec(
            "(Subject|From|To|Content-Type|Content-Transfer-Encoding): (multipart/mixed; boundary=b|base64|quoted-printable|\\PC{0,20})|--b|--b--|",
            0..20,
        ),
    ) {
        assert_good(&incident(&read(lines.join("\n").as_bytes()), &envelope()));
    }
}
