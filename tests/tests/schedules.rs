//! Scheduled runs, end to end: records taken, failures told, nothing started twice, and the command line.

use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::Value;
use std::fs;

/// A site with one schedule that never comes by itself during a test.
fn site(schedule: &str) -> Site {
    Site::new(&format!("routing: custom\nruns:\n  schedules:\n    audit: {{cron: \"0 0 29 2 *\", {schedule}}}\n"))
}

fn shell(script: &str) -> String {
    format!("command: [sh, -c, {}]", serde_json::to_string(script).expect("a text is JSON"))
}

fn start(site: &Site) {
    let output = site.run(&["runs", "start", "audit"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn run_of(server: &Server) -> Value {
    server.get("/api/v1/runs").expect(200).json()["runs"][0].clone()
}

/// Waits until a run has ended, and gives what is known of the schedule.
fn ended(server: &Server) -> Value {
    wait::until("the run has ended", || {
        let run = run_of(server);
        let is_over = run["state"] == "idle" && run["last"].is_object();
        if is_over { Ok(run) } else { Err(run.to_string()) }
    })
}

/// The incidents of a source, the oldest first, whole.
fn incidents(server: &Server, source: &str) -> Vec<Value> {
    let rows = server.list(&format!("source={source}"));
    let whole = |row: &Value| server.show(row["id"].as_str().expect("an id"))["incident"].clone();
    rows.iter().rev().map(whole).collect()
}

fn the_failure(server: &Server) -> Value {
    let mut failures = incidents(server, "balefire");
    failures.retain(|incident| incident["detected_by"] == "balefire.run_failed");
    assert_eq!(failures.len(), 1, "{failures:?}");
    failures.remove(0)
}

#[test]
fn what_a_command_writes_comes_in_as_a_run_of_its_own() {
    let script = "echo '{\"title\":\"one\",\"severity\":\"high\"}'; echo; printf '%s' '{\"title\":\"two\"}'";
    let site = site(&format!("{}, records: stdout", shell(script)));
    let server = site.start();
    start(&site);
    let run = ended(&server);
    assert_eq!((&run["last"]["accepted"], &run["last"]["fault"]), (&2.into(), &Value::Null), "{run}");
    let taken = incidents(&server, "audit");
    let marks: Vec<&str> = taken.iter().filter_map(|incident| incident["run"]["mark"].as_str()).collect();
    assert_eq!(marks, ["begin", "record", "record", "end"], "{taken:?}");
    assert_eq!((&taken[1]["title"], &taken[2]["title"]), (&"one".into(), &"two".into()));
    assert!(taken.iter().all(|incident| incident["run"]["run"] == taken[0]["run"]["run"]), "{taken:?}");
    assert_eq!(taken[0]["run"]["run"]["key"], "audit");
    let listed = String::from_utf8(site.run(&["runs", "list"]).stdout).expect("UTF-8");
    assert!(listed.contains("succeeded, 2 records") && listed.contains("cron 0 0 29 2 *"), "{listed}");
    let json: Value = serde_json::from_slice(&site.run(&["runs", "list", "--json"]).stdout).expect("JSON");
    assert_eq!(json[0]["name"], "audit");
}

#[test]
fn a_command_that_fails_is_an_incident_without_secrets_and_a_good_run_ends_it() {
    let script = "test -e good && exit 0; echo \"key $KEY is bad\" >&2; printf '\\033[31mend' >&2; exit 3";
    let site = site(&format!("{}, env: {{KEY: hunter2hunter2}}, cwd: \"{{dir}}\"", shell(script)));
    let server = site.start();
    start(&site);
    assert_eq!(ended(&server)["last"]["fault"], "exit code 3");
    let failure = the_failure(&server);
    assert_eq!((&failure["severity"], &failure["labels"]["exit_code"]), (&"high".into(), &"3".into()), "{failure}");
    let description = failure["description"].as_str().expect("a text");
    for part in ["Exit code 3.", ", took ", "key *** is bad", "\\u{1b}[31mend"] {
        assert!(description.contains(part), "{part}: {description}");
    }
    assert!(!server.stderr().contains("hunter2") && !failure.to_string().contains("hunter2"));
    fs::write(site.path("good"), "").expect("a file can be written");
    start(&site);
    wait::until("the incident is resolved", || {
        let why = server.why(failure["id"].as_str().expect("an id"));
        if why["state"] == "resolved" { Ok(()) } else { Err(why["state"].to_string()) }
    });
}

#[test]
fn a_command_out_of_time_ends_with_all_that_it_started() {
    let site = site(&format!("{}, timeout: 500ms, cwd: \"{{dir}}\"", shell("sleep 600 & echo $! > child; wait")));
    let server = site.start();
    start(&site);
    ended(&server);
    let failure = the_failure(&server);
    assert_eq!(failure["labels"]["cause"], "timeout", "{failure}");
    let child = fs::read_to_string(site.path("child")).expect("the command has begun");
    wait::until("the child is gone", || match fs::read_to_string(format!("/proc/{}/stat", child.trim())) {
        Ok(stat) if !stat.contains(") Z ") => Err(stat),
        _ => Ok(()),
    });
}

#[test]
fn a_run_that_a_crash_cut_off_is_told_and_not_started_again() {
    let site = site(&format!("{}, cwd: \"{{dir}}\"", shell("echo x >> starts; exec sleep 600")));
    let mut server = site.start();
    start(&site);
    wait::until("the command runs", || fs::read_to_string(site.path("starts")).map_err(|error| error.to_string()));
    let twice = site.run(&["runs", "start", "audit"]);
    assert_eq!(twice.status.code(), Some(1), "one at a time");
    server.kill();
    let server = site.start();
    let run = ended(&server);
    assert!(run["last"]["fault"].as_str().is_some_and(|fault| fault.contains("not started again")), "{run}");
    assert_eq!(the_failure(&server)["labels"]["cause"], "interrupted");
    assert_eq!(fs::read_to_string(site.path("starts")).expect("it is there"), "x\n");
}

#[test]
fn a_stop_ends_the_command_and_the_next_start_knows() {
    let site = site(&shell("exec sleep 600"));
    let mut server = site.start();
    start(&site);
    server.terminate();
    let server = site.start();
    assert_eq!(ended(&server)["last"]["fault"], "it was ended because balefire stopped");
    assert_eq!(the_failure(&server)["labels"]["cause"], "interrupted");
}

#[test]
fn the_files_of_a_run_come_in_between_its_marks_and_older_ones_do_not() {
    let script = "echo '[{\"title\":\"a\"},\n {\"title\":\"b\"}]' > out/new.json; echo broken > out/part.tmp";
    let site = site(&format!("{}, cwd: \"{{dir}}\", records: {{files: out}}", shell(script)));
    fs::create_dir(site.path("out")).expect("a directory can be made");
    fs::write(site.path("out/old.json"), "[{\"title\":\"old\"}]").expect("a file can be written");
    wait::pause(std::time::Duration::from_millis(100));
    let server = site.start();
    start(&site);
    assert_eq!(ended(&server)["last"]["accepted"], 2);
    let taken = incidents(&server, "audit");
    let titles: Vec<&str> = taken[1..3].iter().filter_map(|incident| incident["title"].as_str()).collect();
    assert_eq!((titles, taken.len()), (vec!["a", "b"], 4), "{taken:?}");
}

#[test]
fn what_cannot_be_started_or_taken_is_told() {
    let site = site("command: [/no/such/program]");
    let server = site.start();
    start(&site);
    ended(&server);
    assert_eq!(the_failure(&server)["labels"]["cause"], "start");
    let unknown = site.run(&["runs", "start", "other"]);
    assert_eq!(unknown.status.code(), Some(5), "{}", String::from_utf8_lossy(&unknown.stderr));
}

#[test]
fn a_record_that_is_refused_is_told_and_the_others_come_in() {
    let site = site(&format!("{}, records: stdout", shell("echo '{\"title\":\"good\"}'; echo nonsense")));
    let server = site.start();
    start(&site);
    assert_eq!(ended(&server)["last"]["accepted"], 1);
    assert_eq!(the_failure(&server)["labels"]["cause"], "records");
}

#[test]
fn a_timetable_starts_a_run_by_itself_once_for_its_time() {
    let site = Site::new(
        "routing: custom\nruns:\n  schedules:\n    audit: {cron: \"* * * * *\", cwd: \"{dir}\", command: [sh, -c, \
         \"echo x >> starts\"]}\n",
    );
    let mut server = site.start();
    let first = wait::within(wait::PATIENCE * 2, "a run by the timetable", || {
        let run = run_of(&server);
        if run["last"].is_object() { Ok(run["last"]["started"].clone()) } else { Err(run.to_string()) }
    });
    server.kill();
    let server = site.start();
    assert_eq!(run_of(&server)["last"]["started"], first, "a restart in the same minute starts nothing");
    assert_eq!(fs::read_to_string(site.path("starts")).expect("it ran"), "x\n");
}
