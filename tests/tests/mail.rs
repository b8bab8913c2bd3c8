//! Mail against a real Postfix: what a recipient finds, what a hostile incident cannot do, and what happens when the mail
//! server is away, refuses, or cannot prove who it is.

use balefire_tests::certificates::Certificates;
use balefire_tests::postfix::{Mail, PASSWORD, Postfix, USER};
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::time::Duration;

const WRONG_PASSWORD: &str = "not-the-password-0815";

fn incident() -> Value {
    json!({
        "title": "Audit log stopped on web-1",
        "severity": "critical",
        "detected_by": "audit_log_gap",
        "nist_controls": ["3.3.4", "3.3.1"],
        "cui_involved": true,
        "description": "No audit event for 600 s.\nCheck auditd.",
    })
}

/// A channel of each dialect, named after it, to a recipient of that name.
fn dialects(postfix: &Postfix) -> Site {
    let channel = |dialect: &str| {
        format!(
            "  {dialect}: {{email: {{host: 127.0.0.1, port: {}, tls: none, from: Balefire <balefire@example.org>, \
             to: [{dialect}@example.org], dialect: {dialect}}}}}\n",
            postfix.plain.port()
        )
    };
    let channels: String = ["native", "plan", "shipped"].map(channel).concat();
    Site::new(&format!("channels:\n{channels}routing: custom\nroutes: [{{name: all, to: [native, plan, shipped]}}]\n"))
}

fn single(postfix: &Postfix) -> Site {
    Site::new(&format!(
        "channels: {{mail: {{email: {{host: 127.0.0.1, port: {}, tls: none, from: balefire@example.org, \
         to: [soc@example.org]}}, retry: {{initial: 200ms, cap: 1s}}}}}}\n\
         routing: custom\nroutes: [{{name: all, to: [mail]}}]\n",
        postfix.plain.port()
    ))
}

fn to<'a>(mails: &'a [Mail], recipient: &str) -> &'a Mail {
    let address = format!("{recipient}@example.org");
    let found: Vec<&Mail> = mails.iter().filter(|mail| mail.header("x-original-to") == address).collect();
    assert_eq!(found.len(), 1, "{address}: {found:?}");
    found[0]
}

fn delivery<'a>(why: &'a Value, channel: &str) -> &'a Value {
    let deliveries = why["deliveries"].as_array().expect("a list");
    deliveries.iter().find(|delivery| delivery["channel"] == channel).unwrap_or_else(|| panic!("{channel}: {why}"))
}

/// Waits until the last attempt for a channel is as wanted; gives the story.
fn wait_for_attempt(server: &Server, id: &str, channel: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait::until(&format!("{channel} has come to it"), || {
        let why = server.why(id);
        if holds(delivery(&why, channel)) { Ok(why) } else { Err(why.to_string()) }
    })
}

#[test]
fn every_dialect_has_its_subject_and_body_byte_for_byte() {
    let certificates = Certificates::new();
    let postfix = Postfix::start(&certificates);
    let site = dialects(&postfix);
    let server = site.start();
    let id = server.accept(&incident());
    let why = server.wait_for_deliveries(&id, "delivered");
    let mails = postfix.wait_for(3);
    let plan = "Security Incident Detected\n========================================\n\
        Title: Audit log stopped on web-1\nSeverity: critical\nDetected by: audit_log_gap\n\
        NIST Controls: 3.3.4, 3.3.1\nCUI Involved: True\n\nDescription:\nNo audit event for 600 s.\nCheck auditd.\n";
    assert_eq!(to(&mails, "plan").header("subject"), "[CRITICAL] Audit log stopped on web-1");
    assert_eq!(to(&mails, "plan").parts, [("text/plain".to_owned(), plan.to_owned())]);
    assert_eq!(to(&mails, "shipped").header("subject"), "[CUI INCIDENT] [CRITICAL] Audit log stopped on web-1");
    let shipped = plan.replace("Detected by:", "Rule:");
    assert_eq!(to(&mails, "shipped").parts, [("text/plain".to_owned(), shipped)]);
    let native = to(&mails, "native");
    assert_eq!(native.header("subject"), "[CRITICAL] Audit log stopped on web-1");
    assert!(native.header("content-type").starts_with("multipart/alternative"), "{native:?}");
    for kind in ["text/plain", "text/html"] {
        let part = native.part(kind);
        for fact in ["Audit log stopped on web-1", "critical", "audit_log_gap", "3.3.4, 3.3.1", "Check auditd.", &id] {
            assert!(part.contains(fact), "{kind} lacks {fact}: {part}");
        }
    }
    for name in ["native", "plan", "shipped"] {
        check_headers(to(&mails, name), name, delivery(&why, name));
    }
    let thread = native.header("references");
    assert_eq!(to(&mails, "plan").header("references"), thread, "one fingerprint, one thread");
}

fn check_headers(mail: &Mail, name: &str, delivery: &Value) {
    assert_eq!(mail.defects, Vec::<String>::new(), "{mail:?}");
    let id = delivery["delivery"].as_str().expect("a delivery has an id");
    assert_eq!(mail.header("message-id"), format!("<{id}@example.org>"));
    assert!(mail.header("references").starts_with("<thread."), "{mail:?}");
    assert_eq!(mail.header("auto-submitted"), "auto-generated");
    assert!(mail.header("date").ends_with("+0000"), "{mail:?}");
    assert!(mail.header("from").contains("balefire@example.org"), "{mail:?}");
    assert!(mail.header("to").contains(&format!("{name}@example.org")), "{mail:?}");
    assert_eq!(mail.header("return-path"), "<balefire@example.org>");
    // Postfix's queue id, so that its log and our history can be put together.
    let receipt = delivery["last_outcome"]["delivered"]["receipt"].as_str().expect("a receipt");
    assert!(receipt.contains("queued as"), "{receipt}");
}

#[test]
fn a_hostile_incident_adds_no_header_no_recipient_and_no_markup() {
    let certificates = Certificates::new();
    let postfix = Postfix::start(&certificates);
    let site = dialects(&postfix);
    let server = site.start();
    let hostile = json!({
        "title": "x\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script> Ünïcode — 監査 =?utf-8?Q?forged?=",
        "severity": "high",
        "detected_by": "r\r\nX-Forged: 1",
        "description": "first\r\n.\r\nMAIL FROM:<forged@example.org>\r\n<img src=x onerror=alert(1)>\u{1b}[2J",
        "nist_controls": ["3.3.4\r\nX-Forged: 2"],
        "labels": {"<b>host</b>\r\n": "</pre><script>"},
    });
    let id = server.accept(&hostile);
    server.wait_for_deliveries(&id, "delivered");
    let mails = postfix.wait_for(3);
    assert_eq!(mails.len(), 3, "no mail to anybody else: {mails:?}");
    for name in ["native", "plan", "shipped"] {
        let mail = to(&mails, name);
        assert_eq!(mail.defects, Vec::<String>::new(), "{mail:?}");
        assert!(mail.all("bcc").is_empty() && mail.all("x-forged").is_empty(), "{mail:?}");
        let subject = "[HIGH] x\\r\\nBcc: victim@example.org\\r\\n\\r\\n<script>alert(1)</script> Ünïcode — 監査 \
                       =?utf-8?Q?forged?=";
        assert_eq!(mail.header("subject"), subject);
        let text = mail.part("text/plain");
        assert!(
            text.contains("first\n.\nMAIL FROM:<forged@example.org>\n<img src=x onerror=alert(1)>\\u{1b}[2J"),
            "{text}"
        );
    }
    let html = to(&mails, "native").part("text/html");
    for forbidden in ["<script", "<img", "<b>host", "</pre><script"] {
        assert!(!html.contains(forbidden), "{forbidden}: {html}");
    }
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;"), "{html}");
}

#[test]
fn a_big_description_is_cut_with_a_mark_and_delivered() {
    let certificates = Certificates::new();
    let postfix = Postfix::start(&certificates);
    let site = single(&postfix);
    let server = site.start();
    let mut big = incident();
    big["description"] = "All work and no play. Übung\n".repeat(9_000).into();
    let id = server.accept(&big);
    server.wait_for_deliveries(&id, "delivered");
    let mail = postfix.wait_for(1).remove(0);
    assert!(mail.bytes < 512 * 1024, "{} bytes", mail.bytes);
    assert!(mail.part("text/plain").contains("[cut: "), "the mark says what is missing");
    assert_eq!(mail.defects, Vec::<String>::new());
}

#[test]
fn a_server_that_is_away_gets_each_mail_once_when_it_is_back() {
    let certificates = Certificates::new();
    let mut postfix = Postfix::start(&certificates);
    let site = single(&postfix);
    let server = site.start();
    let first = server.accept(&incident());
    server.wait_for_deliveries(&first, "delivered");
    postfix.stop();
    let id = server.accept(&json!({"title": "while away", "severity": "high"}));
    let why = wait_for_attempt(&server, &id, "mail", |delivery| delivery["attempts"].as_u64() >= Some(2));
    assert_eq!(delivery(&why, "mail")["last_outcome"]["rejected"]["cause"], "network", "{why}");
    let name = delivery(&why, "mail")["delivery"].as_str().expect("an id").to_owned();
    postfix.resume();
    server.wait_for_deliveries(&id, "delivered");
    let mails = postfix.wait_for(2);
    assert_eq!(mails.len(), 2, "{mails:?}");
    let mail = mails.iter().find(|mail| mail.header("subject") == "[HIGH] while away").expect("it came");
    assert_eq!(mail.header("message-id"), format!("<{name}@example.org>"), "the same id from the first attempt on");
}

#[test]
fn a_temporary_refusal_is_deferred_and_delivered_later() {
    let certificates = Certificates::new();
    let mut postfix = Postfix::start(&certificates);
    postfix.recipients_meet("check_recipient_access static:{450 4.2.0 greylisted, come back}");
    let site = single(&postfix);
    let server = site.start();
    let id = server.accept(&incident());
    let why = wait_for_attempt(&server, &id, "mail", |delivery| delivery["attempts"].as_u64() >= Some(2));
    let outcome = &delivery(&why, "mail")["last_outcome"]["deferred"];
    assert!(outcome["detail"].as_str().is_some_and(|detail| detail.contains("greylisted")), "{why}");
    postfix.recipients_meet("permit");
    server.wait_for_deliveries(&id, "delivered");
    assert_eq!(postfix.wait_for(1).len(), 1);
}

#[test]
fn a_full_mailbox_is_waited_for() {
    let certificates = Certificates::new();
    let mut postfix = Postfix::start(&certificates);
    postfix.recipients_meet("check_recipient_access static:{552 5.2.2 mailbox full}");
    let site = single(&postfix);
    let server = site.start();
    let id = server.accept(&incident());
    let why = wait_for_attempt(&server, &id, "mail", |delivery| delivery["last_outcome"].is_object());
    assert_eq!(delivery(&why, "mail")["last_outcome"]["rejected"]["cause"], "quota", "{why}");
    assert!(delivery(&why, "mail")["status"]["retrying"].is_string(), "{why}");
}

#[test]
fn a_final_refusal_ends_with_the_servers_words() {
    let certificates = Certificates::new();
    let mut postfix = Postfix::start(&certificates);
    postfix.recipients_meet("check_recipient_access static:{550 5.1.1 nobody of this name}");
    let site = single(&postfix);
    let server = site.start();
    let id = server.accept(&incident());
    let why = wait_for_attempt(&server, &id, "mail", |delivery| delivery["status"]["given_up"].is_object());
    let given_up = &delivery(&why, "mail")["status"]["given_up"];
    assert_eq!(given_up["cause"], "gone", "{why}");
    let reason = given_up["reason"].as_str().expect("a reason");
    assert!(reason.contains("nobody of this name") && reason.contains("soc@example.org"), "{reason}");
    assert_eq!(delivery(&why, "mail")["attempts"], 1, "{why}");
    assert_eq!(postfix.count(), 0);
}

/// Channels that differ in one thing each: how they protect the session, whom they trust, what they know.
fn secured(postfix: &Postfix, trusted: &Certificates, suspect: &Certificates, suspect_password: &str) -> String {
    let (starttls, implicit) = (postfix.submission.port(), postfix.implicit.port());
    let channel = |name: &str, host: &str, port: u16, tls: &str, ca: &Certificates, password: &str| {
        format!(
            "  {name}: {{email: {{host: {host}, port: {port}, tls: {tls}, ca_file: \"{ca}\", username: {USER}, \
             password: \"{password}\", from: balefire@example.org, to: [{name}@example.org]}}}}\n",
            ca = ca.authority().display(),
        )
    };
    let channels = [
        channel("starttls", "localhost", starttls, "starttls", trusted, PASSWORD),
        channel("implicit", "localhost", implicit, "tls", trusted, PASSWORD),
        channel("password", "localhost", starttls, "starttls", trusted, suspect_password),
        channel("authority", "localhost", starttls, "starttls", suspect, PASSWORD),
        channel("stranger", "localhost", implicit, "tls", suspect, PASSWORD),
    ]
    .concat();
    format!(
        "channels:\n{channels}routing: custom\n\
         routes: [{{name: all, to: [starttls, implicit, password, authority, stranger]}}]\n"
    )
}

#[test]
fn only_a_server_that_proves_itself_and_takes_our_password_gets_mail_and_the_rest_waits() {
    let certificates = Certificates::new();
    let stranger = Certificates::new();
    let postfix = Postfix::start(&certificates);
    let site = Site::new(&secured(&postfix, &certificates, &stranger, WRONG_PASSWORD));
    let server = site.start();
    let id = server.accept(&incident());
    for channel in ["starttls", "implicit"] {
        let _ = wait_for_attempt(&server, &id, channel, |delivery| delivery["status"] == "delivered");
    }
    for channel in ["password", "authority", "stranger"] {
        let why = wait_for_attempt(&server, &id, channel, |delivery| delivery["last_outcome"].is_object());
        let delivery = delivery(&why, channel);
        assert_eq!(delivery["last_outcome"]["rejected"]["cause"], "auth", "{channel}: {delivery}");
        assert!(delivery["status"]["retrying"].is_string(), "{channel}: the work is kept: {delivery}");
    }
    let why = server.why(&id).to_string();
    assert!(why.contains("535"), "the story has the server's answer: {why}");
    for secret in [PASSWORD, WRONG_PASSWORD] {
        assert!(!why.contains(secret) && !server.stderr().contains(secret), "a password came out: {why}");
    }
    assert_eq!(postfix.wait_for_mails_about(&id, 2), 2);
    assert!(!postfix.log().contains("authority@") && !postfix.log().contains("stranger@"), "{}", postfix.log());

    site.configure(&secured(&postfix, &certificates, &certificates, PASSWORD));
    server.hang_up();
    // Refused credentials and certificates are tried again after a minute at the earliest.
    wait::within(Duration::from_secs(150), "the right settings deliver what has waited", || {
        let why = server.why(&id);
        let done =
            why["deliveries"].as_array().expect("a list").iter().all(|delivery| delivery["status"] == "delivered");
        if done { Ok(()) } else { Err(why.to_string()) }
    });
    assert_eq!(postfix.wait_for_mails_about(&id, 5), 5, "each once");
}

#[test]
fn a_wrong_name_or_a_server_without_starttls_gets_nothing() {
    let certificates = Certificates::naming("DNS:mail.example.org");
    let postfix = Postfix::start(&certificates);
    let channel = |name: &str, port: u16| {
        format!(
            "  {name}: {{email: {{host: localhost, port: {port}, tls: starttls, ca_file: \"{}\", \
             from: balefire@example.org, to: [soc@example.org]}}}}\n",
            certificates.authority().display()
        )
    };
    let channels = channel("name", postfix.submission.port()) + &channel("silent", bare_server().port());
    let site =
        Site::new(&format!("channels:\n{channels}routing: custom\nroutes: [{{name: all, to: [name, silent]}}]\n"));
    let server = site.start();
    let id = server.accept(&incident());
    let why = wait_for_attempt(&server, &id, "name", |delivery| delivery["last_outcome"].is_object());
    assert_eq!(delivery(&why, "name")["last_outcome"]["rejected"]["cause"], "auth", "{why}");
    let why = wait_for_attempt(&server, &id, "silent", |delivery| delivery["last_outcome"].is_object());
    let detail = delivery(&why, "silent")["last_outcome"]["rejected"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("does not offer STARTTLS; nothing was sent in the clear"), "{why}");
    assert_eq!(postfix.count(), 0);
}

/// A mail server that has no TLS, and panics where mail comes without it.
fn bare_server() -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().expect("a socket can be shared")).lines();
            let mut said = stream.write_all(b"220 bare\r\n");
            for line in lines.map_while(Result::ok) {
                assert!(!line.starts_with("MAIL"), "mail in the clear: {line}");
                said = said.and_then(|()| stream.write_all(b"250 bare\r\n"));
            }
            drop(said);
        }
    });
    address
}
