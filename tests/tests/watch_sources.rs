//! Sources that fall silent, Balefire's own watchers, the signals of an application's audit log and event packs, end to end
//! with the built binary; the audit rows in a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_tests::postgres::{DATABASE, PASSWORD, Postgres, USER};
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

/// A machine that does much else takes its time.
const PATIENCE: Duration = Duration::from_secs(90);

fn started(watch: &str) -> (Site, Server) {
    let site = Site::new(&format!("routing: custom\nroutes: []\nwatch:\n{watch}"));
    let server = site.start();
    (site, server)
}

fn state(server: &Server, name: &str) -> String {
    let answer = server.get("/api/v1/watch").expect(200).json();
    let all = answer["watchers"].as_array().unwrap().clone();
    let found = all.iter().find(|watcher| watcher["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not watched: {all:?}"))["state"].as_str().unwrap().to_owned()
}

fn wait_for_state(server: &Server, name: &str, expected: &str) {
    wait::within(PATIENCE, &format!("{name} is {expected}"), || {
        let state = state(server, name);
        if state == expected { Ok(()) } else { Err(state) }
    });
}

/// What was told of a watcher: rule, change and thing of each incident, the oldest first.
fn told(server: &Server, name: &str) -> Vec<Value> {
    let mut found: Vec<Value> = server
        .list("limit=1000")
        .iter()
        .map(|row| server.show(row["id"].as_str().unwrap()))
        .filter(|shown| shown["incident"]["labels"]["watcher"] == name)
        .collect();
    found.reverse();
    found
}

/// The first incident of a watcher that tells of this change of this failure.
fn wait_for_told(server: &Server, name: &str, (rule, change): (&str, &str)) -> Value {
    wait::within(PATIENCE, &format!("{rule} of {name}: {change}"), || {
        let told = told(server, name);
        let is_it = |shown: &&Value| {
            shown["incident"]["detected_by"] == rule && shown["incident"]["labels"]["change"] == change
        };
        told.iter().find(is_it).cloned().ok_or_else(|| json!(told).to_string())
    })
}

fn beat(server: &Server) {
    server.accept(&json!({"title": "I am well", "severity": "info"}));
}

#[test]
fn a_source_without_its_heartbeat_is_told_until_it_sends_again() {
    let watch = "  source:\n  - {id: http, heartbeat: {every: 3s, grace: 1s}}\n  - {match: '*', expected: false}\n";
    let (site, mut server) = started(watch);
    let silent = wait_for_told(&server, "source:http", ("watch.source.silent", "began"));
    assert_eq!((&silent["incident"]["severity"], &silent["state"]), (&json!("high"), &json!("open")), "{silent}");
    assert_eq!(silent["incident"]["nist_controls"], json!(["3.3.4"]));
    server.terminate();
    let server = site.start();
    assert_eq!(state(&server, "source:http"), "failing", "a start is no proof");
    wait::within(PATIENCE, "the source is heard", || {
        beat(&server);
        let told = told(&server, "source:http");
        let over = told.iter().any(|shown| shown["incident"]["labels"]["change"] == "over");
        if over { Ok(()) } else { Err(json!(told).to_string()) }
    });
    let began = server.show(silent["incident"]["id"].as_str().unwrap());
    assert_eq!(began["state"], "resolved", "{began}");
    wait_for_state(&server, "source:http", "failing");
    assert!(told(&server, "source:unknown:*").is_empty(), "a source that is named is no stranger");
}

#[test]
fn a_stranger_is_told_once() {
    let (site, server) =
        started("  source:\n  - {id: fw-01, heartbeat: {every: 1h}}\n  - {match: '*', expected: false}\n");
    beat(&server);
    beat(&server);
    let unknown = wait_for_told(&server, "source:unknown:*", ("watch.source.unknown", "happened"));
    assert_eq!(unknown["incident"]["labels"]["source_name"], "http");
    let file = site.path("incident.json");
    std::fs::write(&file, json!({"title": "over the socket"}).to_string()).unwrap();
    assert!(site.run(&["send", "--json", &file.display().to_string()]).status.success());
    wait::within(PATIENCE, "the second stranger", || {
        let told = told(&server, "source:unknown:*");
        if told.len() == 2 { Ok(()) } else { Err(json!(told).to_string()) }
    });
}

#[test]
fn a_run_that_does_not_come_is_late_then_missed_and_ends_with_its_event() {
    let schedule = "schedule: {cron: '* * * * *', start_grace: 2s, run_max: 3s, early_tolerance: 0s}";
    let (_site, server) = started(&format!("  source: [{{id: http, {schedule}}}]\n"));
    let late = wait_for_told(&server, "source:http", ("watch.source.late", "began"));
    assert_eq!(late["incident"]["severity"], "medium");
    let missed = wait_for_told(&server, "source:http", ("watch.source.late", "worse"));
    assert_eq!(missed["incident"]["severity"], "high");
    beat(&server);
    wait_for_told(&server, "source:http", ("watch.source.late", "over"));
    assert_eq!(server.show(late["incident"]["id"].as_str().unwrap())["state"], "resolved");
}

#[test]
fn balefire_watches_itself_and_tells_when_nobody_outside_does() {
    let (_site, server) = started("  self: {outside: {every: 2s}}\n");
    for part in ["self.journal", "self.view", "self.channels"] {
        wait_for_state(&server, part, "ok");
    }
    wait_for_state(&server, "self.outside", "failing");
    wait_for_told(&server, "self.outside", ("watch.self.no_external_watch", "began"));
    wait::within(PATIENCE, "somebody asks", || {
        server.get("/readyz").expect(200);
        let state = state(&server, "self.outside");
        if state == "ok" { Ok(()) } else { Err(state) }
    });
    let disk = state(&server, "self.disk");
    assert!(["ok", "failing"].contains(&disk.as_str()), "{disk}");
}

#[test]
fn an_event_that_switches_logging_off_is_marked_and_ends_with_the_event_that_switches_it_on() {
    let (_site, server) = started("  events: {packs: [aws, windows], override: {windows.cleared: critical}}\n");
    let call = |name: &str| {
        let event = json!({"eventVersion": "1.08", "eventSource": "cloudtrail.amazonaws.com", "eventName": name,
            "awsRegion": "us-east-1", "recipientAccountId": "123456789012",
            "requestParameters": {"name": "arn:aws:cloudtrail:us-east-1:123456789012:trail/main"}});
        server.accept(&json!({"title": name, "events": [event]}))
    };
    let stop = call("StopLogging");
    let stopped = server.show(&stop);
    let incident = &stopped["incident"];
    assert_eq!(
        (&incident["severity"], &incident["labels"]["audit_failure"]),
        (&json!("critical"), &json!("aws.cloudtrail.stop"))
    );
    assert_eq!(incident["nist_controls"], json!(["3.3.4"]));
    let other = server.show(&server.accept(&json!({"title": "log cleared", "severity": "low",
        "events": [{"EventID": 1102, "Channel": "Security", "Hostname": "dc1"}]})));
    assert_eq!(other["incident"]["severity"], "critical", "the severity of the configuration");
    assert_ne!(other["incident"]["fingerprint"], incident["fingerprint"]);
    let start = call("StartLogging");
    wait::within(PATIENCE, "the trail logs again", || {
        let state = server.show(&stop)["state"].clone();
        if state == "resolved" { Ok(()) } else { Err(format!("{state}, {}", server.why(&start))) }
    });
    assert_eq!(server.show(other["incident"]["id"].as_str().unwrap())["state"], "open");
}

#[test]
fn lines_of_a_failing_audit_logger_are_one_failure_that_ends_with_quiet() {
    let (site, server) = started("  bt08: {lines: [{path: \"{dir}/syslog\", quiet: 3s}]}\n");
    let path = site.path("syslog");
    let name = format!("bt08.lines:{}", path.display());
    let write = |text: &str| {
        OpenOptions::new().create(true).append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    write("Nov 22 08:00:00 web sshd[7]: Invalid user eqmon-audit: AUDIT_FAILURE: x from 10.0.0.1\n");
    wait_for_state(&server, &name, "ok");
    write("Nov 22 08:00:01 web eqmon-audit[812]: AUDIT_DB_FAILURE: Cannot connect - \u{1b}[2Jrefused\n");
    let began = wait_for_told(&server, &name, ("watch.bt08.audit_db_failure", "began"));
    assert_eq!(began["incident"]["severity"], "critical");
    assert!(!began.to_string().contains("\\u001b"), "{began}");
    wait_for_told(&server, &name, ("watch.bt08.audit_db_failure", "over"));
    let all = told(&server, &name);
    assert!(all.iter().all(|shown| shown["incident"]["detected_by"] != "watch.bt08.audit_failure"), "{all:?}");
}

#[test]
fn audit_rows_that_do_not_come_are_critical_and_a_database_that_is_gone_is_blindness() {
    let schema = "CREATE TABLE public.audit_events (event_id BIGSERIAL PRIMARY KEY, action TEXT NOT NULL, \
                  created_at TIMESTAMPTZ NOT NULL DEFAULT now()); CREATE INDEX ON public.audit_events (created_at);";
    let Some(mut postgres) = Postgres::start(schema) else { return };
    let url = format!("postgresql://{USER}:{PASSWORD}@{}/{DATABASE}", postgres.address);
    let (_site, mut server) =
        started(&format!("  bt08: {{audit_rows: {{postgres: {{url: \"{url}\"}}, within: 3s, every: 300ms}}}}\n"));
    let row = "INSERT INTO public.audit_events (action) VALUES ('login')";
    postgres.run(row);
    wait_for_told(&server, "bt08.rows", ("watch.bt08.no_rows", "began"));
    wait::within(PATIENCE, "rows come again", || {
        postgres.run(row);
        let state = state(&server, "bt08.rows");
        if state == "ok" { Ok(()) } else { Err(state) }
    });
    let over = wait_for_told(&server, "bt08.rows", ("watch.bt08.no_rows", "over"));
    assert!(over["incident"]["description"].as_str().unwrap().contains("the newest row is"), "{over}");
    postgres.stop();
    wait_for_state(&server, "bt08.rows", "blind");
    postgres.resume();
    wait::within(PATIENCE, "the database answers again", || {
        postgres.run(row);
        let state = state(&server, "bt08.rows");
        if state == "ok" { Ok(()) } else { Err(state) }
    });
    server.terminate();
    let log = server.stderr();
    assert!(!log.contains(PASSWORD), "{log}");
}
