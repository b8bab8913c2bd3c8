//! Scheduled runs, end to end: records taken, failures told, nothing started twice, overlaps, downtimes, reloads, what a
//! scrape sees, and the command line.

use balefire_tests::server::{Server, Site};
use balefire_tests::{clock, wait};
use serde_json::Value;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A site with one schedule that never comes by itself during a test.
fn site(schedule: &str) -> Site {
    Site::new(&format!("routing: custom\nruns:\n  schedules:\n    audit: {{cron: \"0 0 29 2 *\", {schedule}}}\n"))
}

fn shell(script: &str) -> String {
    format!("command: [sh, -c, {}]", serde_json::to_string(script).expect("a text is JSON"))
}

/// Daily in about half a day, so that nothing comes by itself; half a day and an hour later it is due.
fn at_half_a_day() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    format!("at: \"{:02}:00\", timezone: UTC, cwd: \"{{dir}}\"", (now / 3600 + 12) % 24)
}

/// How far the clock is set for what is due in half a day.
const HALF_A_DAY: i64 = 13 * 3600;

/// A keeper looks at the clock at least every 20 s.
const NOTICED: Duration = Duration::from_secs(90);

fn configuration(schedules: &[(&str, String)]) -> String {
    let lines: String = schedules.iter().map(|(name, settings)| format!("    {name}: {{{settings}}}\n")).collect();
    format!("routing: custom\nruns:\n  schedules:\n{lines}")
}

fn start(site: &Site) {
    start_named(site, "audit");
}

fn start_named(site: &Site, name: &str) {
    let output = site.run(&["runs", "start", name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn run_of(server: &Server) -> Value {
    server.get("/api/v1/runs").expect(200).json()["runs"][0].clone()
}

fn run_named(server: &Server, name: &str) -> Value {
    let runs = server.get("/api/v1/runs").expect(200).json();
    let found = runs["runs"].as_array().and_then(|runs| runs.iter().find(|run| run["name"] == name));
    found.cloned().unwrap_or(Value::Null)
}

/// How often a command that says so has been started.
fn starts(site: &Site, name: &str) -> usize {
    fs::read_to_string(site.path(&format!("starts-{name}"))).map_or(0, |text| text.lines().count())
}

/// The causes of what was told of a schedule, the oldest first.
fn causes(server: &Server, name: &str) -> Vec<String> {
    let mut told = incidents(server, "balefire");
    told.retain(|incident| incident["detected_by"] == "balefire.run_failed" && incident["labels"]["schedule"] == name);
    told.iter().filter_map(|incident| incident["labels"]["cause"].as_str().map(str::to_owned)).collect()
}

fn causes_are(server: &Server, name: &str, expected: &[&str]) {
    wait::within(NOTICED, &format!("of {name} is told {expected:?}"), || match causes(server, name) {
        causes if causes == expected => Ok(()),
        causes => Err(format!("{causes:?}")),
    });
}

/// A line of what a scrape gets: its value.
fn scraped(server: &Server, series: &str) -> Option<f64> {
    let text = server.get("/metrics").expect(200).text();
    let mut values = text.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    values.next()
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
    let site = site(&format!(
        "{}, timeout: 500ms, cwd: \"{{dir}}\"",
        shell("trap '' TERM; sleep 600 & echo $! > child; setsid sleep 600 & echo $! > apart; wait")
    ));
    let server = site.start();
    start(&site);
    ended(&server);
    let failure = the_failure(&server);
    assert_eq!(failure["labels"]["cause"], "timeout", "{failure}");
    for child in ["child", "apart"] {
        let child = fs::read_to_string(site.path(child)).expect("the command has begun");
        wait::until("the child is gone", || match fs::read_to_string(format!("/proc/{}/stat", child.trim())) {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        });
    }
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
    wait::pause(Duration::from_millis(100));
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

#[test]
fn a_run_that_is_due_while_the_one_before_runs_is_left_out_or_waits_or_ends_that_one() {
    let command = |name: &str| {
        let script = format!("echo x >> starts-{name}; until test -e go-{name}; do sleep 0.1; done");
        format!("{}, {}, overlap: {name}", shell(&script), at_half_a_day())
    };
    let names = ["skip", "queue", "kill-previous"];
    let site = clock::with_own_clock(Site::new(&configuration(&names.map(|name| (name, command(name))))));
    let server = site.start();
    for name in names {
        start_named(&site, name);
        wait::until("the command runs", || if starts(&site, name) == 1 { Ok(()) } else { Err(name.to_owned()) });
    }
    clock::set(&site, HALF_A_DAY);
    for name in names {
        causes_are(&server, name, &["overlap"]);
    }
    wait::within(NOTICED, "the next run has begun in place of the one before", || {
        match starts(&site, "kill-previous") {
            2 => Ok(()),
            count => Err(count.to_string()),
        }
    });
    let fault = run_named(&server, "kill-previous")["last"]["fault"].to_string();
    assert!(fault.contains("its next run was due"), "{fault}");
    assert_eq!(run_named(&server, "queue")["queued"], true);
    assert_eq!(run_named(&server, "skip")["queued"], false);
    assert_eq!((starts(&site, "skip"), starts(&site, "queue")), (1, 1));
    assert_eq!(scraped(&server, "balefire_schedule_running{schedule=\"skip\"}"), Some(1.0));
    for name in names {
        fs::write(site.path(&format!("go-{name}")), "").expect("a file can be written");
        wait::until("its runs have ended well", || {
            let run = run_named(&server, name);
            let is_over = run["state"] == "idle" && run["queued"] == false && run["last"]["fault"].is_null();
            let count = starts(&site, name);
            if is_over && (count == 2 || name == "skip") { Ok(()) } else { Err(format!("{count} starts, {run}")) }
        });
        causes_are(&server, name, &["overlap"]);
        let series = format!("balefire_schedule_failures_total{{schedule=\"{name}\",cause=\"overlap\"}}");
        assert_eq!(scraped(&server, &series), Some(1.0), "{series}");
    }
    assert_eq!(starts(&site, "skip"), 1, "what was left out is not made up for");
}

#[test]
fn after_a_downtime_a_run_is_caught_up_with_once_or_told_as_missed() {
    let command = |name: &str, catch_up: &str| {
        format!("{}, {}, catch_up: {catch_up}", shell(&format!("echo x >> starts-{name}")), at_half_a_day())
    };
    let schedules = [("caught", command("caught", "6h")), ("missed", command("missed", "30m"))];
    let site = clock::with_own_clock(Site::new(&configuration(&schedules)));
    site.start().terminate();
    clock::set(&site, HALF_A_DAY);
    let mut server = site.start();
    let last = wait::within(NOTICED, "the run is caught up with", || {
        let run = run_named(&server, "caught");
        let is_over = run["state"] == "idle" && run["last"].is_object();
        if is_over { Ok(run["last"].clone()) } else { Err(run.to_string()) }
    });
    assert_eq!((starts(&site, "caught"), &last["fault"]), (1, &Value::Null), "{last}");
    causes_are(&server, "missed", &["missed"]);
    assert_eq!((starts(&site, "missed"), &run_named(&server, "missed")["last"]), (0, &Value::Null));
    server.kill();
    let server = site.start();
    assert_eq!(run_named(&server, "caught")["last"], last);
    causes_are(&server, "missed", &["missed"]);
    assert_eq!((starts(&site, "caught"), starts(&site, "missed")), (1, 0), "what is settled is settled");
}

#[test]
fn a_reload_brings_schedules_into_force_and_a_run_under_way_ends_as_it_began() {
    let settings = |script: &str| format!("{}, {}", shell(script), at_half_a_day());
    let first = settings("echo old >> said; until test -e go; do sleep 0.1; done; echo old ends >> said");
    let site = Site::new(&configuration(&[("audit", first.clone()), ("other", first)]));
    let server = site.start();
    start(&site);
    wait::until("the command runs", || fs::read_to_string(site.path("said")).map_err(|error| error.to_string()));
    let reload = |schedules: &[(&str, String)]| {
        site.configure(&configuration(schedules));
        server.post("/api/v1/reload", "").expect(200);
    };
    reload(&[("new", settings("exit 3")), ("audit", settings("echo new >> said"))]);
    let names = |server: &Server| {
        let runs = server.get("/api/v1/runs").expect(200).json();
        let names = runs["runs"].as_array().expect("a list").iter();
        names.map(|run| run["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&server), ["new", "audit"]);
    assert_eq!(site.run(&["runs", "start", "other"]).status.code(), Some(5), "it is not there any more");
    start_named(&site, "new");
    causes_are(&server, "new", &["exit"]);
    assert_eq!(run_named(&server, "audit")["state"], "running", "a reload ends no run");
    // Out of the configuration while it runs, it is still shown, and ends well.
    reload(&[("other", settings("true"))]);
    assert_eq!(names(&server), ["other", "audit"]);
    fs::write(site.path("go"), "").expect("a file can be written");
    wait::until("it is gone when it has ended", || {
        let names = names(&server);
        if names == ["other"] { Ok(()) } else { Err(format!("{names:?}")) }
    });
    wait::until("and nobody waits for its next success", || {
        match scraped(&server, "balefire_schedule_last_success_timestamp_seconds{schedule=\"audit\"}") {
            None => Ok(()),
            Some(value) => Err(value.to_string()),
        }
    });
    start_named(&site, "other");
    reload(&[("audit", settings("echo new >> said"))]);
    assert!(run_named(&server, "audit")["last"]["fault"].is_null(), "it remembers: {}", run_named(&server, "audit"));
    start(&site);
    wait::until("the new command has run", || {
        let said = fs::read_to_string(site.path("said")).expect("it is there");
        if said == "old\nold ends\nnew\n" { Ok(()) } else { Err(said) }
    });
    assert_eq!(causes(&server, "audit"), [""; 0]);
}

#[test]
fn a_scrape_sees_when_a_schedule_last_ran_and_succeeded_also_after_a_restart() {
    let site = site(&format!("{}, cwd: \"{{dir}}\"", shell("test -e good")));
    let mut server = site.start();
    let series = |name: &str| format!("balefire_schedule_{name}{{schedule=\"audit\"}}");
    assert_eq!(scraped(&server, &series("last_success_timestamp_seconds")), None);
    start(&site);
    ended(&server);
    assert_eq!(scraped(&server, &series("last_success_timestamp_seconds")), None);
    let failures = "balefire_schedule_failures_total{schedule=\"audit\",cause=\"exit\"}";
    assert_eq!(scraped(&server, failures), Some(1.0));
    fs::write(site.path("good"), "").expect("a file can be written");
    start(&site);
    let success = wait::until("a good run", || {
        scraped(&server, &series("last_success_timestamp_seconds")).ok_or_else(|| run_of(&server).to_string())
    });
    fs::remove_file(site.path("good")).expect("it is there");
    start(&site);
    wait::until("another failure", || match scraped(&server, failures) {
        Some(2.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let read = |server: &Server, name: &str| scraped(server, &series(name)).expect("it is there");
    let started = read(&server, "last_start_timestamp_seconds");
    let took = read(&server, "last_duration_seconds");
    assert!(started >= success && success > 1.7e9 && (0.0..60.0).contains(&took), "{started} {success} {took}");
    server.terminate();
    let server = site.start();
    wait::until("a scrape knows the time before", || match scraped(&server, &series("running")) {
        Some(0.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(read(&server, "last_success_timestamp_seconds"), success);
    assert_eq!(read(&server, "last_start_timestamp_seconds"), started);
    assert_eq!(read(&server, "last_duration_seconds"), took);
}
