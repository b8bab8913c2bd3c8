//! `balefire watch report` and `balefire watch posture` on what really happened: a failure that was told, acknowledged and
//! ended, and a drill; with a server and without.

#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::fs;

const CONFIG: &str = "channels: {notices: {file: {path: '{dir}/notices.jsonl'}, send_resolved: true, repeats: false}}\n\
    routing: custom\nroutes:\n  - {name: watch, match: ['detected_by =~ \"watch\\..*\"'], to: [notices]}\n\
    watch:\n  max_notify: 45s\n  capacity: [{path: /, bytes: [LEVEL], inodes: [100], forecast: 0s, every: 200ms}]\n";

/// More than one percent of any file system of a test is used, and never all.
fn config(level: &str) -> String {
    CONFIG.replace("LEVEL", level)
}

fn failures(server: &Server, change: &str) -> Vec<String> {
    let rows = server.list("rule=watch.capacity.bytes&limit=1000");
    let ids = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned());
    ids.filter(|id| server.show(id)["incident"]["labels"]["change"] == change).collect()
}

fn reported(site: &Site, arguments: &[&str]) -> Value {
    let mut all = vec!["watch", "report", "--json", "--framework"];
    all.extend(arguments);
    let output = site.run(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A server where the capacity failed, was acknowledged, and is over; and a drill was held.
fn after_a_failure(site: &Site) -> Server {
    let server = site.start();
    let id =
        wait::until("the failure is told", || failures(&server, "began").pop().ok_or_else(|| "nothing".to_owned()));
    server.wait_for_deliveries(&id, "delivered");
    let acked = site.run(&["incidents", "ack", &id, "--by", "anna", "--comment", "making <room>"]);
    assert!(acked.status.success(), "{}", String::from_utf8_lossy(&acked.stderr));
    let now = reported(site, &["pci", "--period", "1ms"]);
    assert_eq!(now["failures"][0]["failure"], "capacity.bytes", "it began before the period and is not over: {now}");
    site.configure(&config("100"));
    server.hang_up();
    wait::until("it is over", || failures(&server, "over").pop().ok_or_else(|| "nothing".to_owned()));
    let drilled = site.run(&["watch", "drill", "capacity:/", "--by", "anna"]);
    assert!(drilled.status.success(), "{}", String::from_utf8_lossy(&drilled.stderr));
    let drill = wait::until("the drill is told", || {
        let rows = server.list("rule=watch.drill");
        rows.first().map(|row| row["id"].as_str().unwrap().to_owned()).ok_or_else(|| "nothing".to_owned())
    });
    server.wait_for_deliveries(&drill, "delivered");
    server
}

fn check(report: &Value) {
    assert_eq!(report["framework"], "800-171r2");
    assert_eq!(report["parameters"]["max_notify_s"], 45.0);
    let ids: Vec<_> =
        report["controls"].as_array().unwrap().iter().map(|control| control["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"3.3.4[c]"), "{ids:?}");
    let case = &report["failures"][0];
    assert_eq!((&case["failure"], &case["watcher"]), (&"capacity.bytes".into(), &"capacity:/".into()), "{report}");
    assert_eq!((&case["told"][0]["channel"], &case["told"][0]["status"]), (&"notices".into(), &"delivered".into()));
    assert!(case["acknowledged"][0].as_str().unwrap().starts_with("acked by anna at"), "{case}");
    assert!(case["recovered"].is_string() && case["proof"].as_str().unwrap().contains("used"), "{case}");
    assert!(case["notify_s"].as_f64().unwrap() >= 0.0, "{case}");
    assert!(report["notification"]["met"].as_u64().unwrap() + report["notification"]["missed"].as_u64().unwrap() >= 1);
    assert_eq!(report["drills"][0]["is_drill"], true, "{report}");
    let recipients = report["recipients"].as_array().unwrap();
    assert!(recipients.iter().any(|one| one["channels"][0]["channel"] == "notices"), "{recipients:?}");
    let uncovered = report["not_covered"].to_string();
    assert!(uncovered.contains("watch.kernel is not configured"), "{uncovered}");
    assert!(report["watchers"].as_array().unwrap().iter().any(|watcher| watcher["name"] == "capacity:/"));
}

#[test]
fn the_report_has_the_failure_with_all_its_fields_with_a_server_and_without() {
    let site = Site::new(&config("1"));
    let mut server = after_a_failure(&site);
    check(&reported(&site, &["800-171r2", "--period", "1d"]));
    server.terminate();
    check(&reported(&site, &["800-171r2", "--period", "1d"]));
    let page = site.path("report.html");
    let made = site.run(&["watch", "report", "--framework", "pci", "--html", page.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(text.contains("10.7.3") && text.contains("capacity.bytes"), "{text}");
    let page = fs::read_to_string(page).unwrap();
    for part in ["10.7.3", "capacity.bytes", "making &lt;room&gt;", "<svg", "Drills (1)"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    let nothing = reported(&site, &["800-53", "--period", "2001-02"]);
    assert_eq!(nothing["failures"], json!([]));
    let wrong = site.run(&["watch", "report", "--framework", "pci", "--period", "soon"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("2026-10"));
}

#[test]
fn posture_needs_no_server_and_says_what_gives_alerts() {
    let site = Site::new("watch: {auditd: {profile: stig-rhel9}}\n");
    fs::write(site.path("auditd.conf"), "space_left = 75\nspace_left_action = SYSLOG\ndisk_full_action = SUSPEND\n")
        .unwrap();
    let conf = site.path("auditd.conf");
    let arguments = ["watch", "posture", "--profile", "stig-rhel9", "--conf", conf.to_str().unwrap()];
    let output = site.run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(4));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = found["items"].as_array().unwrap();
    let item = |rule: &str| items.iter().find(|item| item["rule"] == rule).unwrap();
    let action = item("RHEL-09-653040");
    assert_eq!(
        (&action["found"], &action["wanted"], &action["verdict"]),
        (&"SYSLOG".into(), &"email".into(), &"not_met".into())
    );
    assert!(action["place"].as_str().unwrap().ends_with("auditd.conf:2"));
    assert!(
        action["alerts"].as_str().unwrap().contains("provided by Balefire: auditd.writing, auditd.space"),
        "{action}"
    );
    assert_eq!(item("RHEL-09-653025")["found"], "SUSPEND");
    let table = site.run(&arguments);
    assert!(String::from_utf8_lossy(&table.stdout).contains("RHEL-09-653040"));
    let wrong = site.run(&["watch", "posture", "--profile", "stig-rhel7"]);
    assert_eq!(wrong.status.code(), Some(2));
}
