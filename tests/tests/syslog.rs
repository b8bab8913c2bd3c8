//! Syslog against a real rsyslogd: what arrives over UDP, TCP, TLS and the local socket, and what happens while nobody is
//! there.

use balefire_tests::certificates::Certificates;
use balefire_tests::rsyslog::Rsyslog;
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// rsyslog's names of its four inputs.
const INPUTS: [&str; 4] = ["imudp", "imptcp", "imtcp", "imuxsock"];

const PLAN_LINE: &str = "SECURITY_INCIDENT [CRITICAL] Audit log stopped on web-1 | detected_by=audit_log_gap \
                         nist=3.3.4,3.3.1 cui=True";
const SHIPPED_LINE: &str = "SECURITY_INCIDENT [CUI] severity=critical rule=audit_log_gap \
                            title=\"Audit log stopped on web-1\" nist=3.3.4,3.3.1";

fn incident() -> Value {
    json!({
        "title": "Audit log stopped on web-1",
        "severity": "critical",
        "detected_by": "audit_log_gap",
        "nist_controls": ["3.3.4", "3.3.1"],
        "cui_involved": true,
        "description": "No audit event for 600 s.",
    })
}

/// One channel for each way in, all with these further settings (each after a comma).
fn site(rsyslog: &Rsyslog, certificates: &Certificates, settings: &str) -> Site {
    let shared = "retry: {initial: 200ms, cap: 1s}";
    Site::new(&format!(
        "channels:\n  udp: {{syslog: {{to: \"udp://{udp}\"{settings}}}, {shared}}}\n  \
         tcp: {{syslog: {{to: \"tcp://{tcp}\"{settings}}}, {shared}}}\n  \
         tls: {{syslog: {{to: \"tls://localhost:{tls}\", ca_file: \"{ca}\"{settings}}}, {shared}}}\n  \
         local: {{syslog: {{to: \"{local}\"{settings}}}, {shared}}}\n\
         dedup: {{enabled: false}}\nrouting: custom\nroutes: [{{name: all, to: [udp, tcp, tls, local]}}]\n",
        udp = rsyslog.udp,
        tcp = rsyslog.tcp,
        tls = rsyslog.tls.port(),
        ca = certificates.authority().display(),
        local = rsyslog.socket().display(),
    ))
}

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_else(|| panic!("no {name}: {record}"))
}

/// rsyslog keeps the space behind the tag of the old form.
fn line(record: &Value) -> &str {
    text(record, "text").trim_start()
}

fn by_input(records: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let mut by_input: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for record in records {
        by_input.entry(text(record, "input")).or_default().push(record);
    }
    by_input
}

fn check_origin(record: &Value, severity: &str, server: &Server) {
    assert_eq!(text(record, "facility"), "local6", "{record}");
    assert_eq!(text(record, "severity"), severity, "{record}");
    assert_eq!(text(record, "program"), "eqmon-blueteam", "{record}");
    assert_eq!(text(record, "procid"), server.pid().to_string(), "{record}");
}

#[test]
fn the_plan_line_arrives_byte_for_byte_over_every_transport() {
    let certificates = Certificates::new();
    let rsyslog = Rsyslog::start(&certificates);
    let site = site(&rsyslog, &certificates, "");
    let server = site.start();
    let id = server.accept(&incident());
    let records = rsyslog.wait_for(4);
    let by_input = by_input(&records);
    assert_eq!(by_input.len(), INPUTS.len(), "{records:?}");
    for (input, records) in by_input {
        let record = records[0];
        check_origin(record, "crit", &server);
        assert_eq!(line(record), PLAN_LINE, "{input}");
        if input == "imuxsock" {
            assert!(
                text(record, "raw").ends_with(&format!("eqmon-blueteam[{}]: {PLAN_LINE}", server.pid())),
                "{record}"
            );
        } else {
            assert!(text(record, "raw").starts_with("<178>1 20"), "RFC 5424 over the network: {record}");
            assert_eq!(text(record, "msgid"), "incident.opened");
            assert!(text(record, "data").contains(&format!("id=\"{id}\"")), "{record}");
        }
    }
    server.wait_for_deliveries(&id, "delivered");
}

#[test]
fn the_shipped_line_and_every_severity_arrive_in_the_old_form() {
    let certificates = Certificates::new();
    let rsyslog = Rsyslog::start(&certificates);
    let site = site(&rsyslog, &certificates, ", format: rfc3164, dialect: shipped");
    let server = site.start();
    let levels = [("critical", "crit"), ("high", "err"), ("medium", "warning"), ("low", "notice"), ("info", "info")];
    for (done, (severity, level)) in levels.into_iter().enumerate() {
        let mut incident = incident();
        incident["severity"] = severity.into();
        let _ = server.accept(&incident);
        let records = rsyslog.wait_for(4 * (done + 1));
        for record in &records[4 * done..] {
            check_origin(record, level, &server);
            assert!(!text(record, "raw").contains(">1 "), "RFC 3164: {record}");
            assert_eq!(line(record), SHIPPED_LINE.replace("critical", severity), "{record}");
        }
    }
}

#[test]
fn a_hostile_title_cannot_forge_a_second_line_or_leave_its_quotes() {
    let certificates = Certificates::new();
    let rsyslog = Rsyslog::start(&certificates);
    for (settings, expected) in [
        (
            ", dialect: plan",
            "[HIGH] a\\r\\n<178>1 - web-1 sshd - - - forged\\u{1b}[2J\\u{202e}\" nist=9.9.9 | detected_by=x\\u{0}",
        ),
        (
            ", dialect: shipped",
            "title=\"a\\\\r\\\\n<178>1 - web-1 sshd - - - forged\\\\u{1b}[2J\\\\u{202e}\\\" nist=9.9.9 |",
        ),
    ] {
        let before = rsyslog.records().len();
        let site = site(&rsyslog, &certificates, settings);
        let server = site.start();
        let title = "a\r\n<178>1 - web-1 sshd - - - forged\u{1b}[2J\u{202e}\" nist=9.9.9 | detected_by=x\0";
        let hostile = server.accept(&json!({"title": title, "severity": "high", "detected_by": "r\n nist=1"}));
        server.wait_for_deliveries(&hostile, "delivered");
        // What follows marks the end: had the first made two, there would be more than eight.
        let _ = server.accept(&incident());
        let records = rsyslog.wait_for(before + 8);
        assert_eq!(records.len(), before + 8, "{records:?}");
        let hostile: Vec<&Value> =
            records[before..].iter().filter(|record| text(record, "raw").contains("forged")).collect();
        assert_eq!(hostile.len(), 4, "{records:?}");
        for record in hostile {
            check_origin(record, "err", &server);
            assert!(!text(record, "raw").chars().any(|c| c.is_control() || c == '\u{202e}'), "{record}");
            assert!(line(record).contains(expected), "{record}");
        }
    }
}

#[test]
fn a_huge_title_is_cut_to_what_the_receiver_takes_and_the_fields_behind_it_stay() {
    let certificates = Certificates::new();
    let rsyslog = Rsyslog::start(&certificates);
    let site = site(&rsyslog, &certificates, "");
    let server = site.start();
    let mut huge = incident();
    huge["title"] = "long ".repeat(12_000).into();
    let _ = server.accept(&huge);
    let records = rsyslog.wait_for(4);
    for (input, records) in by_input(&records) {
        let limit = if input == "imudp" { 2048 } else { 8192 };
        let size = text(records[0], "raw").len();
        assert!((limit / 2..=limit).contains(&size), "{input}: {size} bytes");
        assert!(line(records[0]).contains("bytes] | detected_by=audit_log_gap nist=3.3.4,3.3.1 cui=True"), "{input}");
    }
}

/// What is promised: nothing that was accepted while the receiver was away is lost, since no receiver means no success.
/// What is not, and cannot be without an answer in the protocol: bytes that the receiver's kernel had taken when the
/// receiver itself died.
#[test]
fn what_is_accepted_while_the_receiver_is_away_arrives_when_it_is_back() {
    const COUNT: usize = 20;
    let certificates = Certificates::new();
    let mut rsyslog = Rsyslog::start(&certificates);
    let site = site(&rsyslog, &certificates, "");
    let server = site.start();
    let before = server.accept(&incident());
    let _ = rsyslog.wait_for(4);
    server.wait_for_deliveries(&before, "delivered");
    rsyslog.stop();
    let titled = |nth: usize| json!({"title": format!("away {nth}"), "severity": "high", "detected_by": "t"});
    let ids: Vec<String> = (0..COUNT).map(|nth| server.accept(&titled(nth))).collect();
    wait::until("an attempt to each channel has failed", || {
        let why = server.why(&ids[0]);
        let deliveries = why["deliveries"].as_array().expect("a list");
        let failed = deliveries.iter().all(|delivery| delivery["last_outcome"]["rejected"]["cause"] == "network");
        if failed { Ok(()) } else { Err(why.to_string()) }
    });
    rsyslog.resume();
    for id in &ids {
        server.wait_for_deliveries(id, "delivered");
    }
    let records = rsyslog.wait_for(4 + 4 * COUNT);
    for (input, records) in by_input(&records) {
        for nth in 0..COUNT {
            let marked = format!("] away {nth} |");
            let copies = records.iter().filter(|record| line(record).contains(&marked)).count();
            // A refused datagram is told only to the next one, which may repeat.
            let allowed = if input == "imudp" { 1..=2 } else { 1..=1 };
            assert!(allowed.contains(&copies), "{input}: {copies} of {marked:?}");
        }
    }
}

#[test]
fn a_receiver_that_cannot_prove_itself_gets_nothing_and_the_work_waits_for_the_right_one() {
    let certificates = Certificates::new();
    let stranger = Certificates::new();
    let rsyslog = Rsyslog::start(&certificates);
    let config = |ca: &Certificates, name: &str| {
        format!(
            "channels:\n  ca: {{syslog: {{to: \"tls://localhost:{port}\", ca_file: \"{ca}\"}}}}\n  \
             name: {{syslog: {{to: \"tls://localhost:{port}\", ca_file: \"{own}\", server_name: {name}}}}}\n\
             routing: custom\nroutes: [{{name: all, to: [ca, name]}}]\n",
            port = rsyslog.tls.port(),
            ca = ca.authority().display(),
            own = certificates.authority().display(),
        )
    };
    let site = Site::new(&config(&stranger, "log.example.org"));
    let server = site.start();
    let id = server.accept(&incident());
    wait::until("both channels have failed for the certificate", || {
        let why = server.why(&id);
        let deliveries = why["deliveries"].as_array().expect("a list");
        let refused = |delivery: &Value| {
            delivery["last_outcome"]["rejected"]["cause"] == "auth" && delivery["status"]["retrying"].is_string()
        };
        if deliveries.iter().all(refused) { Ok(()) } else { Err(why.to_string()) }
    });
    assert_eq!(rsyslog.records(), Vec::<Value>::new());
    site.configure(&config(&certificates, "localhost"));
    server.hang_up();
    // Refused credentials and certificates are tried again after a minute at the earliest.
    wait::within(Duration::from_secs(150), "both are delivered", || {
        let why = server.why(&id);
        let done =
            why["deliveries"].as_array().expect("a list").iter().all(|delivery| delivery["status"] == "delivered");
        if done { Ok(()) } else { Err(why.to_string()) }
    });
    // The recovery of each is told over the other, too.
    let about = |record: &&Value| !record.to_string().contains("Alert channel");
    wait::until("each has come once", || {
        let records = rsyslog.records();
        if records.iter().filter(about).count() == 2 { Ok(()) } else { Err(format!("{records:?}")) }
    });
}
