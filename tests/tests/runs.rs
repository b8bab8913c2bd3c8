//! Runs on the built binary: records wait for the end of their run, and then stand in their files whole and once, whenever
//! the process dies in between.

use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::fs;

fn site(close_after: &str) -> Site {
    Site::new(&format!(
        "channels: {{store: {{file: {{path: \"{{dir}}/store\", layout: cloudmarker}}, retry: {{initial: 200ms, cap: 1s}}}}}}\nrouting: custom\n\
         routes: [{{name: all, to: [store]}}]\nruns: {{close_after: {close_after}}}\n"
    ))
}

/// A record as a store of Cloudmarker gets it.
fn record(audit: &str, nth: usize) -> Value {
    json!({
        "raw": {"data": nth, "text": "größer"},
        "ext": {"record_type": "foo", "cloud_type": "mock"},
        "com": {
            "record_type": "mock", "audit_key": audit, "audit_version": "20261122_000000", "origin_type": "cloud",
            "origin_worker": format!("{audit}_mockcloud"), "target_worker": format!("{audit}_store"), "target_type": "store",
        },
    })
}

fn mark(audit: &str, kind: &str) -> Value {
    json!({"com": {
        "record_type": kind, "audit_key": audit, "audit_version": "20261122_000000",
        "target_worker": format!("{audit}_store"), "target_type": "store",
    }})
}

fn stored(site: &Site, worker: &str) -> Result<Vec<Value>, String> {
    let text = fs::read_to_string(site.path(&format!("store/{worker}.json"))).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

/// The incidents that tell of the ends of runs, by their titles.
fn ends(server: &Server) -> Vec<Value> {
    let shown = server.all_ids().into_iter().map(|id| server.show(&id));
    let mut ends: Vec<Value> = shown.filter(|shown| shown["incident"]["detected_by"] == "balefire.run_ended").collect();
    ends.sort_by_key(|shown| shown["incident"]["title"].to_string());
    ends
}

#[test]
fn two_runs_side_by_side_are_written_whole_and_once_though_the_process_is_killed() {
    let site = site("6h");
    let mut server = site.start();
    let first: Vec<Value> = (0..50).flat_map(|nth| [record("left", nth), record("right", nth)]).collect();
    server.send(&json!([mark("left", "begin_audit"), mark("right", "begin_audit")])).expect(202);
    server.send(&json!(first)).expect(202);
    assert!(stored(&site, "left_mockcloud").is_err(), "nothing is written before the end");
    server.kill();
    let mut server = site.start();
    let rest: Vec<Value> = (50..100).flat_map(|nth| [record("left", nth), record("right", nth)]).collect();
    server.send(&json!(rest)).expect(202);
    server.send(&json!([mark("right", "end_audit")])).expect(202);
    server.send(&json!([mark("left", "end_audit")])).expect(202);
    // The marks are accepted: whatever has become of the files, the end of each run is decided.
    server.kill();
    let server = site.start();
    for audit in ["left", "right"] {
        let records = wait::until("the run is written", || stored(&site, &format!("{audit}_mockcloud")));
        let expected: Vec<Value> = (0..100).map(|nth| record(audit, nth)).collect();
        assert_eq!(records, expected);
    }
    let ends = wait::until("both ends are delivered", || {
        let ends = ends(&server);
        let is_done = ends.iter().all(|end| end["deliveries"][0]["status"] == "delivered");
        if is_done && ends.len() == 2 { Ok(ends) } else { Err(format!("{ends:?}")) }
    });
    let titles: Vec<&str> = ends.iter().filter_map(|end| end["incident"]["title"].as_str()).collect();
    assert!(titles[0].starts_with("Run left 20261122_000000: 100 records"), "{titles:?}");
    assert_eq!(ends[0]["deliveries"].as_array().map(Vec::len), Some(1));
    let text = fs::read_to_string(site.path("store/left_mockcloud.json")).expect("it was read before");
    assert!(text.starts_with("[\n{\n  \"com\": {\n    \"audit_key\": \"left\",\n"), "{text}");
    assert!(text.contains("  \"raw\": {\n    \"data\": 0,\n    \"text\": \"gr\\u00f6\\u00dfer\"\n  }\n},\n"), "{text}");
    assert!(text.ends_with("\n}\n]\n"), "{text}");
}

#[test]
fn a_run_that_never_ends_is_closed_and_says_so() {
    let site = site("1s");
    let server = site.start();
    let id = server.send(&json!([record("lost", 1)])).expect(202).ids().remove(0);
    let records = wait::until("the run is closed", || stored(&site, "lost_mockcloud"));
    assert_eq!(records, [record("lost", 1)]);
    let ends = wait::until("its end is in the history", || {
        let ends = ends(&server);
        if ends.is_empty() { Err("not yet".to_owned()) } else { Ok(ends) }
    });
    let notes = ends[0]["incident"]["notes"].to_string();
    assert!(notes.contains("its end did not come"), "{notes}");
    let why = server.why(&id);
    let told = why["ending"].as_str().unwrap_or_default();
    assert!(told.starts_with("collected for store: it goes out when run lost 20261122_000000 is over"), "{why}");
}

/// Files of the store that have no place yet.
fn unfinished(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.path("store")).expect("it was made").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".tmp")).collect()
}

#[test]
fn an_attempt_that_fails_leaves_nothing_half_and_the_next_one_writes_the_run_whole() {
    let site = site("6h");
    let server = site.start();
    fs::create_dir_all(site.path("store/nightly_mockcloud.json/in the way")).expect("the directory is ours");
    let one = record("nightly", 1);
    server.send(&json!([mark("nightly", "begin_audit"), one, mark("nightly", "end_audit")])).expect(202);
    let end = wait::until("an attempt has failed", || {
        let ends = ends(&server);
        let detail = ends.first().map(|end| end["deliveries"][0]["last_outcome"]["rejected"]["detail"].to_string());
        match detail {
            Some(detail) if detail.contains("store: ") => Ok(ends[0].clone()),
            _ => Err(format!("{ends:?}")),
        }
    });
    fs::remove_dir_all(site.path("store/nightly_mockcloud.json")).expect("it is there");
    server.wait_for_deliveries(end["incident"]["id"].as_str().expect("an id"), "delivered");
    assert_eq!(stored(&site, "nightly_mockcloud"), Ok(vec![one]));
    assert_eq!(unfinished(&site), [""; 0]);
}

#[test]
fn a_run_that_is_closed_late_leaves_the_files_of_a_newer_one() {
    let site = site("3s");
    let server = site.start();
    let of = |mut record: Value, version: &str| {
        record["com"]["audit_version"] = json!(version);
        record
    };
    let old = "20261121_000000";
    server.send(&json!([of(mark("nightly", "begin_audit"), old), of(record("nightly", 1), old)])).expect(202);
    let new = record("nightly", 2);
    server.send(&json!([mark("nightly", "begin_audit"), new, mark("nightly", "end_audit")])).expect(202);
    wait::until("both ends are delivered", || {
        let ends = ends(&server);
        let is_done = ends.iter().all(|end| end["deliveries"][0]["status"] == "delivered");
        if is_done && ends.len() == 2 { Ok(()) } else { Err(format!("{ends:?}")) }
    });
    assert_eq!(stored(&site, "nightly_mockcloud"), Ok(vec![new]));
    assert_eq!(unfinished(&site), [""; 0]);
}

#[test]
fn a_program_is_done_once_for_each_run() {
    let site = Site::new(
        "channels:\n  store:\n    collect: run\n    exec:\n      \
         command: [python3, -c, \"import sys, json\\nout = open('{dir}/said', 'a')\\nfor line in sys.stdin:\\n    \
         out.write(line); out.flush()\\n    m = json.loads(line)\\n    r = dict(type='hello', version=1) if m['type'] == 'hello' else dict(type='reply', id=m['id'], status='ok')\\n    \
         print(json.dumps(r), flush=True)\"]\n      body: record\nrouting: custom\nroutes: [{name: all, to: [store]}]\n",
    );
    let mut server = site.start();
    server.send(&json!([mark("a", "begin_audit"), record("a", 0), record("a", 1)])).expect(202);
    server.kill();
    let server = site.start();
    server.send(&json!([mark("a", "end_audit")])).expect(202);
    let said = wait::until("the run is done", || {
        let text = fs::read_to_string(site.path("said")).map_err(|error| error.to_string())?;
        if text.contains("\"type\":\"done\"") { Ok(text) } else { Err(text) }
    });
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let kinds: Vec<&str> =
        lines.iter().filter_map(|line| line["type"].as_str()).filter(|kind| *kind != "hello").collect();
    assert_eq!(kinds, ["write", "write", "write", "write", "done"]);
    let done = lines.last().expect("there is one");
    assert_eq!((&done["records"], &done["run"]["audit_key"]), (&json!(4), &json!("a")));
    assert_eq!(server.list("").iter().filter(|row| row["detected_by"] == "balefire.run_ended").count(), 1);
}
