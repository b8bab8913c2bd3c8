//! A run as people get it: one mail from a real mail server with each record in it, whatever its size, and one message in
//! Slack with the records as a file.

use balefire_tests::certificates::Certificates;
use balefire_tests::postfix::{Mail, Postfix};
use balefire_tests::server::{Server, Site};
use balefire_tests::slack::Slack;
use serde_json::{Value, json};

/// Postfix's own limit for a mail, which ours keep far away from.
const MAIL_BYTES_MAX: u64 = 10_240_000;

fn com(kind: &str) -> Value {
    json!({
        "record_type": kind, "audit_key": "nightly", "audit_version": "20261122_000000",
        "target_worker": "nightly_balefire", "target_type": "alert",
    })
}

/// A finding as an alert of Cloudmarker gets it; `more` is added to its description.
fn finding(nth: usize, more: &str) -> Value {
    let mut com = com("firewall_rule_event");
    com["reference"] = format!("/rules/{nth}").into();
    com["description"] = format!("Rule {nth} exposes port 22.{more}").into();
    com["recommendation"] = format!("Close port 22 in rule {nth}.").into();
    com["exposed_ports"] = json!([22]);
    json!({"ext": {"record_type": "firewall_rule_event"}, "com": com})
}

/// Sends a run from its begin to its end; in parts, as a scanner does.
fn send(server: &Server, findings: &[Value]) {
    server.send(&json!([{"com": com("begin_audit")}])).expect(202);
    for part in findings.chunks(500) {
        server.send(&json!(part)).expect(202);
    }
    server.send(&json!([{"com": com("end_audit")}])).expect(202);
}

fn mail_site(postfix: &Postfix, more: &str) -> Site {
    Site::new(&format!(
        "channels:\n  mail:\n    email: {{host: 127.0.0.1, port: {}, tls: none, from: balefire@example.org, \
         to: [soc@example.org]{more}}}\n    collect: run\n    retry: {{initial: 200ms, cap: 1s}}\n\
         routing: custom\nroutes: [{{name: findings, match: [target_type = alert], to: [mail]}}]\n",
        postfix.plain.port()
    ))
}

/// The one mail about the run; that there is no other one is seen by its number.
fn the_mail(postfix: &Postfix) -> Mail {
    let mut mails = postfix.wait_for(1);
    assert_eq!(mails.len(), 1, "{mails:?}");
    let mail = mails.remove(0);
    assert_eq!(mail.defects, Vec::<String>::new());
    mail
}

#[test]
fn a_run_is_one_mail_with_every_finding_and_what_to_do() {
    let certificates = Certificates::new();
    let postfix = Postfix::start(&certificates);
    let site = mail_site(&postfix, "");
    let server = site.start();
    let findings: Vec<Value> = (0..100).map(|nth| finding(nth, "")).collect();
    send(&server, &findings);
    let mail = the_mail(&postfix);
    assert_eq!(
        mail.header("subject"),
        "[HIGH] Run nightly 20261122_000000: 100 records, 100 findings (100 high)",
        "{mail:?}"
    );
    let text = mail.part("text/plain");
    for nth in 0..100 {
        for fact in [
            format!("[HIGH] Firewall rule exposes ports: /rules/{nth}\n"),
            format!("Rule {nth} exposes port 22.\n"),
            format!("Recommendation: Close port 22 in rule {nth}.\n"),
        ] {
            assert_eq!(text.matches(&fact).count(), 1, "{fact}{text}");
        }
    }
    assert!(text.contains("high         100  firewall_rule_event\n") && !text.contains("[cut:"), "{text}");
    for field in ["About: nightly\n", "Started: 20", "Ended: 20", "Duration: 00 h 0", "Records: 100 (100 high)\n"] {
        assert!(text.contains(field), "{field}: {text}");
    }
}

#[test]
fn a_run_that_no_mail_can_hold_comes_all_the_same_with_its_records_attached() {
    let certificates = Certificates::new();
    let postfix = Postfix::start(&certificates);
    let site = mail_site(&postfix, ", subject_template: \"Audit: {{ incident.title }}\"");
    let server = site.start();
    let more = "\n<b>größer</b> \u{1b}[2J".repeat(40);
    let findings: Vec<Value> = (0..3_000).map(|nth| finding(nth, &more)).collect();
    send(&server, &findings);
    let mail = the_mail(&postfix);
    assert!(mail.bytes < MAIL_BYTES_MAX, "{} bytes", mail.bytes);
    assert_eq!(mail.header("subject"), "Audit: Run nightly 20261122_000000: 3000 records, 3000 findings");
    let text = mail.part("text/plain");
    assert!(text.contains("Records: 3000 (3000 high)\n"), "the counts are those of all");
    assert!(text.contains("more records, which are not counted by type]"), "and what is not of all says so");
    let shown = text.matches("[HIGH] Firewall rule").count();
    assert!(shown > 10 && text.contains(&format!("[cut: {} more records;", 3_000 - shown)), "{shown} shown");
    assert!(!text.contains('\u{1b}'), "no terminal is steered");
    let attached: Vec<Value> = serde_json::from_str(mail.part("application/json")).expect("a list of incidents");
    assert!(attached.len() > 50, "{} attached", attached.len());
    assert_eq!(attached[0]["extra"]["com"]["recommendation"], "Close port 22 in rule 0.");
}

#[test]
fn the_body_of_cloudmarker_shows_each_bucket_as_python_does() {
    let certificates = Certificates::new();
    let postfix = Postfix::start(&certificates);
    let site = mail_site(&postfix, ", body: cloudmarker");
    let server = site.start();
    send(&server, &[finding(1, ""), finding(2, "")]);
    let mail = the_mail(&postfix);
    let text = mail.part("text/plain");
    // Its buckets in the order in which they came.
    assert!(text.starts_with("{'audit_key': 'nightly', 'audit_version': '20261122_000000', "), "{text}");
    assert_eq!(text.matches("}\n\n{'record_type': 'firewall_rule_event'}\n").count(), 2, "{text}");
    assert!(text.contains("'exposed_ports': [22]"), "{text}");
    assert!(text.contains("'recommendation': 'Close port 22 in rule 2.'"), "{text}");
}

#[test]
fn a_run_is_one_message_in_slack_with_its_records_as_a_file() {
    let slack = Slack::start();
    slack.be_fast();
    slack.add_user("ann@example.org", "U00000ANN");
    slack.add_channel("C0000001", "one");
    let site = Site::new(&format!(
        "channels:\n  chat:\n    slack: {{{}}}\n    collect: run\n    retry: {{initial: 200ms, cap: 1s}}\n\
         routing: custom\nroutes: [{{name: findings, match: [target_type = alert], to: [chat]}}]\n",
        slack.settings(&["ann@example.org", "C0000001"])
    ));
    let server = site.start();
    let findings: Vec<Value> = (0..50).map(|nth| finding(nth, " <!channel>")).collect();
    send(&server, &findings);
    let posted = slack.wait_for("C0000001", 1);
    let end = balefire_tests::wait::until("the run is delivered", || {
        let rows = server.list("limit=1000");
        let end = rows.iter().find(|row| row["detected_by"] == "balefire.run_ended");
        end.and_then(|end| end["id"].as_str().map(str::to_owned)).ok_or_else(|| "it is not over".to_owned())
    });
    server.wait_for_deliveries(&end, "delivered");
    let messages = slack.messages();
    assert_eq!((posted.len(), messages.len()), (1, 2), "one for each recipient: {:?}", slack.calls());
    for message in &messages {
        let shown = balefire_tests::slack::blocks::texts(&message.body).join("\n");
        assert!(shown.contains("Run nightly 20261122_000000: 50 records, 50 findings"), "{shown}");
        assert!(shown.contains("Records: 50 (50 high)"), "{shown}");
    }
    let files = slack.files();
    assert_eq!(files.len(), 2, "{:?}", slack.calls());
    for file in files {
        let report: Value = serde_json::from_slice(&file.bytes).expect("the report is JSON");
        assert_eq!((&report["audit_key"], &report["left_out"]), (&json!("nightly"), &json!(0)), "{report}");
        let records = report["records"].as_array().expect("a list");
        let kept: Vec<&Value> = records.iter().map(|record| &record["extra"]).collect();
        assert_eq!(kept, findings.iter().collect::<Vec<_>>(), "all of them, as they came");
        let parent = slack.messages_in(&file.channel).remove(0);
        assert_eq!(file.thread_ts, Some(parent.ts), "beside its message");
    }
    slack.nothing_was_wrong();
}

#[test]
fn a_run_without_findings_makes_no_noise_and_still_has_an_ending() {
    let slack = Slack::start();
    slack.be_fast();
    slack.add_channel("C0000001", "one");
    slack.add_channel("C0000002", "two");
    let site = Site::new(&format!(
        "channels:\n  quiet: {{collect: run, slack: {{{}}}}}\n  every: {{collect: run, slack: {{{}, send_empty: true}}}}\n\
         routing: custom\nroutes: [{{name: findings, match: [target_type = alert], to: [quiet, every]}}]\n",
        slack.settings(&["C0000001"]),
        slack.settings(&["C0000002"]),
    ));
    let server = site.start();
    let mut record = com("mock");
    record["origin_type"] = "cloud".into();
    server.send(&json!([{"com": com("begin_audit")}, {"com": record}, {"com": com("end_audit")}])).expect(202);
    slack.wait_for("C0000002", 1);
    let rows = server.list("limit=1000");
    let end = rows.iter().find(|row| row["detected_by"] == "balefire.run_ended").expect("it has been told");
    let why = server.wait_for_deliveries(end["id"].as_str().expect("a row has an id"), "delivered");
    assert!(why.to_string().contains("no message: the run has no findings"), "{why}");
    assert_eq!(slack.messages_in("C0000001").len(), 0, "{:?}", slack.calls());
    slack.nothing_was_wrong();
}
