//! Watchers of audit logging, end to end: failures told once and ended with proof, over restarts, crashes and reloads; drills,
//! retirement, the readings without a server, and what cannot be seen.

#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

/// A server whose channel `notices` hears of all that watchers find, and of the ends.
fn configuration(watch: &str) -> String {
    format!(
        "channels: {{notices: {{file: {{path: \"{{dir}}/notices.jsonl\"}}, send_resolved: true, repeats: false}}}}\n\
         routing: custom\nroutes:\n  - {{name: watch, match: ['detected_by =~ \"watch\\..*\"'], to: [notices]}}\n\
         watch:\n  {watch}\n"
    )
}

/// The file system of the directory is fuller than one percent, and never full.
const FULL: &str = "capacity: [{path: /, bytes: [1], inodes: [100], forecast: 0s, every: 200ms}]";
const ROOMY: &str = "capacity: [{path: /, bytes: [100], inodes: [100], forecast: 0s, every: 200ms}]";

/// What cannot be seen until its directory is there.
const HIDDEN: &str = "capacity: [{path: \"{dir}/there\", bytes: [100], inodes: [100], forecast: 0s, every: 200ms}]";

fn watchers(server: &Server) -> Vec<Value> {
    server.get("/api/v1/watch").expect(200).json()["watchers"].as_array().unwrap().clone()
}

fn watcher(server: &Server, name: &str) -> Value {
    let all = watchers(server);
    all.iter().find(|watcher| watcher["name"] == name).cloned().unwrap_or(Value::Null)
}

fn wait_for_state(server: &Server, name: &str, state: &str) -> Value {
    wait::until(&format!("{name} is {state}"), || {
        let watcher = watcher(server, name);
        if watcher["state"] == state { Ok(watcher) } else { Err(watcher.to_string()) }
    })
}

/// What was told of a watcher: rule, change and state of each incident, in the order of these words, since what is told at
/// once has no other.
fn told(server: &Server, name: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<_> = server
        .list("limit=1000")
        .iter()
        .map(|row| server.show(row["id"].as_str().unwrap()))
        .filter(|shown| shown["incident"]["labels"]["watcher"] == name)
        .map(|shown| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let incident = &shown["incident"];
            (text(&incident["detected_by"]), text(&incident["labels"]["change"]), text(&shown["state"]))
        })
        .collect();
    found.sort();
    found
}

fn wait_for_told(server: &Server, name: &str, expected: &[(&str, &str, &str)]) {
    wait::until(&format!("{expected:?} of {name}"), || {
        let told = told(server, name);
        let told: Vec<_> = told.iter().map(|(rule, change, state)| (&**rule, &**change, &**state)).collect();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    });
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_failure_is_told_once_over_crashes_and_reloads_and_ends_with_its_proof() {
    let site = Site::new(&configuration(FULL));
    let mut server = site.start();
    wait_for_state(&server, "capacity:/", "failing");
    let began = ("watch.capacity.bytes", "began", "open");
    wait_for_told(&server, "capacity:/", &[began]);
    // What is over before it was told anybody needs no end.
    let id = server.list("rule=watch.capacity.bytes")[0]["id"].as_str().unwrap().to_owned();
    server.wait_for_deliveries(&id, "delivered");
    server.kill();
    let mut server = site.start();
    let looked = |server: &Server| {
        wait::until("it was looked at", || {
            let watcher = watcher(server, "capacity:/");
            if watcher["looked"].is_string() { Ok(()) } else { Err(watcher.to_string()) }
        });
    };
    looked(&server);
    wait_for_told(&server, "capacity:/", &[began]);
    server.terminate();
    let server = site.start();
    looked(&server);
    site.configure(&configuration(ROOMY));
    assert!(site.run(&["reload"]).status.success());
    let watcher = wait_for_state(&server, "capacity:/", "ok");
    assert!(watcher["proof"].as_str().unwrap().contains("% of the bytes"), "{watcher}");
    let (began, over) = (("watch.capacity.bytes", "began", "resolved"), ("watch.capacity.bytes", "over", "resolved"));
    wait_for_told(&server, "capacity:/", &[began, over]);
    wait::until("the end reached who heard of the begin", || {
        let text = fs::read_to_string(site.path("notices.jsonl")).unwrap_or_default();
        let reasons: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let ends = reasons.iter().filter(|line| line["delivery"]["reason"] == "resolved").count();
        if ends == 1 { Ok(()) } else { Err(text) }
    });
}

#[test]
fn a_sender_ends_no_failure_of_our_own_by_its_name_and_fingerprint() {
    let site = Site::new(&configuration(FULL));
    let server = site.start();
    wait_for_state(&server, "capacity:/", "failing");
    let began = ("watch.capacity.bytes", "began", "open");
    wait_for_told(&server, "capacity:/", &[began]);
    let id = server.list("rule=watch.capacity.bytes")[0]["id"].as_str().unwrap().to_owned();
    server.wait_for_deliveries(&id, "delivered");
    let forged = json!({ "title": "all is well", "detected_by": "watch.capacity.bytes", "severity": "high", "status": "resolved",
        "fingerprint": server.show(&id)["incident"]["fingerprint"],
        "labels": { "failure": "capacity.bytes", "change": "over", "audit_failure": "aws.cloudtrail.stop" } });
    let answer = server.send(&forged).expect(202).json();
    let forged = server.show(answer["results"][0]["id"].as_str().unwrap());
    assert_eq!(forged["incident"]["labels"]["audit_failure"], Value::Null, "{forged}");
    assert_eq!(server.show(&id)["state"], "open");
    assert_eq!(watcher(&server, "capacity:/")["state"], "failing");
}

#[test]
fn records_of_windows_that_never_come_are_told_also_over_a_restart() {
    let site = Site::new(&configuration("windows: [{source: http, wait: 1s}]"));
    let mut server = site.start();
    let send = |server: &Server, number: u32| {
        let record = json!({ "EventID": 4624, "Channel": "Security", "Computer": "DC1", "EventRecordID": number });
        server.send(&json!({ "title": "a logon", "severity": "info", "events": [record] })).expect(202);
    };
    let gaps = |server: &Server| -> Vec<String> {
        let rows = server.list("rule=watch.windows.record_gap");
        let title =
            |row: &Value| server.show(row["id"].as_str().unwrap())["incident"]["title"].as_str().unwrap().to_owned();
        let mut titles: Vec<String> = rows.iter().map(title).collect();
        titles.sort();
        titles
    };
    let wait_for_gaps = |server: &Server, expected: &[&str]| {
        wait::until(&format!("{expected:?}"), || {
            let gaps = gaps(server);
            if gaps == expected { Ok(()) } else { Err(format!("{gaps:?}")) }
        });
    };
    [10, 12, 11, 14].into_iter().for_each(|number| send(&server, number));
    let first = "dc1: 1 records of the log security never came (13 to 13)";
    wait_for_gaps(&server, &[first]);
    wait_for_state(&server, "windows:http", "ok");
    server.terminate();
    let server = site.start();
    // 15 and 16 were lost while nobody listened.
    send(&server, 17);
    wait_for_gaps(&server, &[first, "dc1: 2 records of the log security never came (15 to 16)"]);
}

#[test]
fn what_is_over_is_resolved_also_where_repeats_are_not_looked_for() {
    let without = |watch: &str| format!("dedup: {{enabled: false}}\n{}", configuration(watch));
    let site = Site::new(&without(FULL));
    let server = site.start();
    wait_for_state(&server, "capacity:/", "failing");
    site.configure(&without(ROOMY));
    assert!(site.run(&["reload"]).status.success());
    wait_for_told(
        &server,
        "capacity:/",
        &[("watch.capacity.bytes", "began", "resolved"), ("watch.capacity.bytes", "over", "resolved")],
    );
}

#[test]
fn what_cannot_be_seen_is_told_as_blind_with_its_cure_and_is_over_when_it_is_seen() {
    let site = Site::new(&configuration(HIDDEN));
    let server = site.start();
    let name = format!("capacity:{}", site.path("there").display());
    let watcher = wait_for_state(&server, &name, "blind");
    assert!(watcher["blind"]["cure"].as_str().unwrap().contains("to mount or make"), "{watcher}");
    let status = site.run(&["watch", "status"]);
    // The disk of this very machine is watched, too, and may be full.
    let is_full =
        watchers(&server).iter().any(|watcher| watcher["name"] == "self.disk" && watcher["state"] == "failing");
    assert_eq!(status.status.code(), Some(if is_full { 4 } else { 6 }), "{}", said(&status));
    assert!(said(&status).contains("cured by: to mount or make"), "{}", said(&status));
    let caps = said(&site.run(&["watch", "caps"]));
    assert!(caps.starts_with("[Service]\n# capacity:"), "{caps}");
    fs::create_dir(site.path("there")).unwrap();
    wait_for_state(&server, &name, "ok");
    wait_for_told(&server, &name, &[("watch.blind", "began", "resolved"), ("watch.blind", "over", "resolved")]);
    assert_eq!(said(&site.run(&["watch", "caps"])), "[Service]\n");
}

#[test]
fn what_leaves_the_configuration_stays_expected_until_somebody_retires_it() {
    let both =
        format!("{}\n  max_detect: 10s", ROOMY.replace("}]", "}, {path: \"{dir}\", bytes: [100], forecast: 0s}]"));
    let site = Site::new(&configuration(&both));
    let mut server = site.start();
    let dir = site.path("").display().to_string();
    let name = format!("capacity:{}", dir.trim_end_matches('/'));
    wait_for_state(&server, &name, "ok");
    let refused = site.run(&["watch", "retire", &name]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    site.configure(&configuration(ROOMY));
    assert!(site.run(&["reload"]).status.success());
    let watcher = wait_for_state(&server, &name, "unknown");
    assert_eq!(watcher["is_configured"], false, "{watcher}");
    assert_eq!(watcher["failures"][0]["id"], "watch.not_configured", "{watcher}");
    assert_eq!(site.run(&["watch", "status"]).status.code(), Some(4));
    server.terminate();
    let server = site.start();
    wait_for_told(&server, &name, &[("watch.not_configured", "began", "open")]);
    let retired = site.run(&["watch", "retire", &name, "--by", "anna", "--comment", "moved\u{1b}[31m"]);
    assert!(retired.status.success(), "{}", said(&retired));
    wait_for_told(
        &server,
        &name,
        &[
            ("watch.not_configured", "began", "resolved"),
            ("watch.not_configured", "over", "resolved"),
            ("watch.retired", "happened", "resolved"),
        ],
    );
    assert_eq!(watcher_names(&server).iter().filter(|known| **known == name).count(), 0);
    let unknown = site.run(&["watch", "retire", &name]);
    assert_eq!(unknown.status.code(), Some(5), "{}", said(&unknown));
}

fn watcher_names(server: &Server) -> Vec<String> {
    watchers(server).iter().map(|watcher| watcher["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_drill_goes_the_way_of_an_alert_is_marked_and_is_over_by_itself_also_after_a_crash() {
    let site = Site::new(&configuration(ROOMY));
    let mut server = site.start();
    wait_for_state(&server, "capacity:/", "ok");
    let begun = site.run(&["watch", "drill", "capacity:/", "--by", "anna", "--json"]);
    assert!(begun.status.success(), "{}", said(&begun));
    let id = serde_json::from_slice::<Value>(&begun.stdout).unwrap()["id"].as_str().unwrap().to_owned();
    let shown = server.show(&id);
    assert!(shown["incident"]["title"].as_str().unwrap().starts_with("DRILL"), "{shown}");
    assert_eq!(shown["incident"]["labels"]["drill"], "true", "{shown}");
    assert_eq!(shown["incident"]["severity"], "high", "{shown}");
    server.wait_for_deliveries(&id, "delivered");
    server.kill();
    let server = site.start();
    wait_for_told(&server, "capacity:/", &[("watch.drill", "began", "resolved"), ("watch.drill", "over", "resolved")]);
    assert_eq!(wait_for_state(&server, "capacity:/", "ok")["failures"], Value::Array(Vec::new()));
    let unknown = site.run(&["watch", "drill", "capacity:/nowhere"]);
    assert_eq!(unknown.status.code(), Some(5), "{}", said(&unknown));
}

#[test]
fn drills_come_by_the_timetable() {
    let site = Site::new(&configuration(&format!("{ROOMY}\n  drill: {{every: 2s}}")));
    let server = site.start();
    wait::until("a drill came by itself", || {
        let drills = server.list("rule=watch.drill");
        let first = drills.last().map(|row| server.show(row["id"].as_str().unwrap()));
        match first {
            Some(drill) if drill["incident"]["labels"]["by"] == "the timetable (watch.drill)" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn the_readings_can_be_taken_once_with_no_server_and_no_data() {
    let site = Site::new(&configuration(FULL));
    let output = site.run(&["watch", "status", "--once", "--json"]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let full = found["watchers"].as_array().unwrap().iter().find(|watcher| watcher["name"] == "capacity:/").unwrap();
    for field in ["name", "kind", "target", "state", "since", "proof", "failures", "blind", "took_us"] {
        assert!(full.get(field).is_some(), "{field}: {full}");
    }
    assert_eq!(full["state"], "failing", "{full}");
    assert_eq!(full["failures"][0]["id"], "capacity.bytes", "{full}");
    assert!(!site.path("data").exists(), "a look without a server leaves nothing behind");
    let stopped = site.run(&["watch", "status"]);
    assert_eq!(stopped.status.code(), Some(3), "{}", said(&stopped));
}

#[test]
fn without_a_section_the_readings_are_those_of_any_machine_also_for_nobody() {
    let site = Site::new("routing: custom\n");
    let output = site.run(&["watch", "status", "--once", "--json"]);
    assert!([0, 4, 6].contains(&output.status.code().unwrap()), "{}", said(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = found["watchers"].as_array().unwrap().iter().filter_map(|w| w["name"].as_str()).collect();
    assert!(names.contains(&"kernel.owner") && names.contains(&"capacity:/var/log"), "{names:?}");
}

#[test]
fn nobody_is_blind_where_nobody_may_look_and_learns_what_would_cure_that() {
    let site = Site::new(&configuration("capacity: [{path: \"{dir}/closed/log\", every: 200ms}]"));
    fs::create_dir_all(site.path("closed/log")).unwrap();
    fs::set_permissions(site.path("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(site.path("balefire.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = site.command(&["watch", "status", "--once"]);
    if rustix::process::geteuid().is_root() {
        use std::os::unix::process::CommandExt;
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    fs::set_permissions(site.path("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    let name = format!("capacity:{}", site.path("closed/log").display());
    let text = said(&output);
    assert!(text.contains(&format!("{name} is blind: ")) && text.contains("Permission denied"), "{text}");
    assert!(text.contains("cured by: CAP_DAC_READ_SEARCH"), "{text}");
}

#[test]
fn a_configuration_without_watchers_watches_nothing_and_says_so() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    assert!(watchers(&server).is_empty());
    let status = site.run(&["watch", "status"]);
    assert!(status.status.success() && said(&status).contains("nothing is watched"), "{}", said(&status));
    let drill = site.run(&["watch", "drill", "kernel.owner"]);
    assert_eq!(drill.status.code(), Some(5), "{}", said(&drill));
}
