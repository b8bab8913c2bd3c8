//! What comes in while a scan of our own is under way is marked, and what only says so is not: with real permissions, over the
//! built binary.

use balefire_tests::certificates::Certificates;
use balefire_tests::postfix::Postfix;
use balefire_tests::rsyslog::Rsyslog;
use balefire_tests::server::{Server, Site};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const CONFIG: &str = "\
internal_scan:
  marker: {path: \"{dir}/run/scan-active\", owner: root, max_age: 1h}
  sources: [http]
channels:
  scans: {file: {path: \"{dir}/scans.jsonl\"}}
  rest: {file: {path: \"{dir}/rest.jsonl\"}}
routing: custom
routes:
  - {name: scans, match: internal_scan = true, to: [scans]}
  - {name: rest, to: [rest]}
";

fn incident(title: &str) -> Value {
    json!({"title": title, "severity": "high", "detected_by": "brute_force"})
}

/// Sends over the socket, whose source may not say so; the mark and the channel that hears of it.
fn came_in(site: &Site, server: &Server, incident: &Value) -> (Value, String) {
    let file = site.path("incident.json");
    fs::write(&file, incident.to_string()).expect("the directory is ours");
    let sent = site.run(&["send", "--json", &file.display().to_string()]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let receipt: Value = serde_json::from_slice(&sent.stdout).expect("a receipt");
    let id = receipt["results"][0]["id"].as_str().expect("an id");
    let why = server.wait_for_deliveries(id, "delivered");
    let channel = why["deliveries"][0]["channel"].as_str().expect("a channel").to_owned();
    (server.show(id)["incident"]["internal_scan"].clone(), channel)
}

fn chmod(site: &Site, name: &str, mode: u32) {
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).expect("the file is ours");
}

#[test]
fn a_marker_counts_only_where_nobody_else_can_have_made_it() {
    let site = Site::new(CONFIG);
    fs::create_dir(site.path("run")).expect("the directory is ours");
    chmod(&site, "run", 0o755);
    let mut server = site.start();
    let nothing = (Value::Null, "rest".to_owned());
    assert_eq!(came_in(&site, &server, &incident("before")), nothing);
    fs::write(site.path("run/scan-active"), "").expect("the directory is ours");
    chmod(&site, "run/scan-active", 0o644);
    let because = json!(format!("marker {}", site.path("run/scan-active").display()));
    assert_eq!(came_in(&site, &server, &incident("while")), (because.clone(), "scans".to_owned()));

    chmod(&site, "run/scan-active", 0o666);
    assert_eq!(came_in(&site, &server, &incident("open to all")), nothing);
    assert_eq!(came_in(&site, &server, &incident("again")), nothing);
    let warnings = server.stderr().matches("the marker of an internal scan does not count").count();
    assert_eq!(warnings, 1, "{}", server.stderr());
    assert!(server.stderr().contains("mode 0666"), "{}", server.stderr());
    chmod(&site, "run/scan-active", 0o600);
    chmod(&site, "run", 0o777);
    assert_eq!(came_in(&site, &server, &incident("directory open to all")), nothing);
    chmod(&site, "run", 0o755);
    fs::rename(site.path("run/scan-active"), site.path("elsewhere")).expect("the directory is ours");
    symlink(site.path("elsewhere"), site.path("run/scan-active")).expect("the directory is ours");
    assert_eq!(came_in(&site, &server, &incident("a link")), nothing);

    // The mark is in the journal: it outlives the marker and the process.
    let marked = server.list("text=while").remove(0)["id"].as_str().expect("an id").to_owned();
    server.terminate();
    let server = site.start();
    assert_eq!(server.show(&marked)["incident"]["internal_scan"], because);
    assert!(server.why(&marked).to_string().contains("marked as an internal scan"));
}

#[test]
fn a_sender_that_may_not_cannot_pass_an_attack_off_as_authorised() {
    let site = Site::new(CONFIG);
    let server = site.start();
    let says =
        json!({"title": "t", "severity": "high", "internal_scan": "forged", "labels": {"internal_scan": "true"}});
    assert_eq!(came_in(&site, &server, &says), (Value::Null, "rest".to_owned()));
    let id = server.accept(&says);
    assert_eq!(server.show(&id)["incident"]["internal_scan"], "source http says so", "this source may");
}

#[test]
fn a_window_marks_what_comes_in_during_it() {
    let always =
        "time_intervals: [{name: scans, intervals: [{times: [{start_time: \"00:00\", end_time: \"24:00\"}]}]}]\n";
    let config = CONFIG.replace("  sources: [http]\n", "  windows: [scans]\n");
    let site = Site::new(&format!("{always}{config}"));
    let checked = site.run(&["check", "--strict"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let server = site.start();
    assert_eq!(came_in(&site, &server, &incident("t")), (json!("time interval scans"), "scans".to_owned()));
}

#[test]
fn people_and_logs_see_the_mark_in_the_words_of_each_dialect() {
    let certificates = Certificates::new();
    let (postfix, rsyslog) = (Postfix::start(&certificates), Rsyslog::start(&certificates));
    let dialect = |dialect: &str| {
        format!(
            "  mail-{dialect}: {{email: {{host: 127.0.0.1, port: {}, tls: none, from: b@example.org, \
             to: [{dialect}@example.org], dialect: {dialect}}}}}\n  \
             log-{dialect}: {{syslog: {{to: \"{}\", dialect: {dialect}}}}}\n",
            postfix.plain.port(),
            rsyslog.socket().display()
        )
    };
    let site = Site::new(&format!(
        "time_intervals: [{{name: scans, intervals: [{{times: [{{start_time: \"00:00\", end_time: \"24:00\"}}]}}]}}]\n\
         internal_scan: {{windows: [scans]}}\nchannels:\n{}{}routing: custom\n\
         routes: [{{name: all, to: [mail-plan, log-plan, mail-shipped, log-shipped]}}]\n",
        dialect("plan"),
        dialect("shipped")
    ));
    let server = site.start();
    let id = server
        .accept(&json!({"title": "Port scan", "severity": "high", "detected_by": "nmap", "cui_involved": true,
                                   "nist_controls": ["3.14.6"], "description": "1000 ports."}));
    server.wait_for_deliveries(&id, "delivered");
    // What `journalctl -t eqmon-blueteam | grep SECURITY_INCIDENT` would print of each.
    let mut lines: Vec<String> = rsyslog
        .wait_for(2)
        .iter()
        .filter(|record| record["program"] == "eqmon-blueteam")
        .map(|record| record["text"].as_str().expect("a text").trim_start().to_owned())
        .filter(|text| text.contains("SECURITY_INCIDENT"))
        .collect();
    lines.sort();
    let plan = "SECURITY_INCIDENT [HIGH] Port scan | detected_by=nmap nist=3.14.6 cui=True internal_scan=True";
    let shipped = "SECURITY_INCIDENT [INTERNAL_SCAN] [CUI] severity=high rule=nmap title=\"Port scan\" nist=3.14.6";
    assert_eq!(lines, [plan, shipped]);
    let mails = postfix.wait_for(2);
    for (dialect, subject, rule) in [
        ("plan", "[INTERNAL SCAN] [HIGH] Port scan", "Detected by"),
        ("shipped", "[INTERNAL SCAN] [CUI INCIDENT] [HIGH] Port scan", "Rule"),
    ] {
        let to = format!("{dialect}@example.org");
        let mail = mails.iter().find(|mail| mail.header("to").contains(&to)).expect("it came");
        assert_eq!(mail.header("subject"), subject);
        let body = format!(
            "NOTICE: An internal security scan was under way when this incident came in (time interval scans).\n\n\
             Security Incident Detected\n========================================\nTitle: Port scan\nSeverity: high\n\
             {rule}: nmap\nNIST Controls: 3.14.6\nCUI Involved: True\n\nDescription:\n1000 ports.\n"
        );
        assert_eq!(mail.part("text/plain"), body);
    }
}
