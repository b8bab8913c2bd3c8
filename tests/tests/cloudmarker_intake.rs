//! Cloudmarker's records on every way in: recognised, weighed by the built-in table and by the configuration's, and kept as
//! they came.

use balefire_tests::server::{Server, Site};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

const SITE: &str = "routing: custom\nfindings:\n\
    - {name: database-ports, match: [record_type = firewall_rule_event, com.exposed_ports = 3306], severity: critical, \
    title: 'Database open: {reference}', nist_controls: [3.13.5]}\n";

fn record(port: u16) -> Value {
    json!({
        "raw": {"id": 1.50, "text": "größer\n<b>"},
        "ext": {"record_type": "firewall_rule_event"},
        "com": {
            "cloud_type": "azure", "record_type": "firewall_rule_event", "reference": "/rules/1",
            "description": "A port is open.", "recommendation": "Close it.", "exposed_ports": [port],
            "audit_key": "nightly", "audit_version": "20261122_000000", "origin_type": "event",
            "target_type": "alert", "target_worker": "nightly_balefire",
        },
    })
}

fn of_kind<'r>(rows: &'r [Value], record_type: &str) -> Vec<&'r Value> {
    rows.iter().filter(|row| row["extra"]["com"]["record_type"] == record_type).collect()
}

/// What was sent; what the engine itself has to say of runs is not looked at here.
fn incidents(server: &Server) -> Vec<Value> {
    let rows = server.all_ids().into_iter().map(|id| server.show(&id)["incident"].clone());
    rows.filter(|row| row["extra"]["com"].is_object()).collect()
}

#[test]
fn a_record_over_http_is_weighed_by_the_table_and_the_configuration_goes_first() {
    let site = Site::new(SITE);
    let mut server = site.start();
    let ids = server.send(&json!([record(22), record(3306)])).expect(202).ids();
    let check = |server: &Server| {
        let plain = server.show(&ids[0])["incident"].clone();
        assert_eq!(
            (&plain["severity"], &plain["title"]),
            (&json!("high"), &json!("Firewall rule exposes ports: /rules/1"))
        );
        assert_eq!(plain["description"], "A port is open.\n\nRecommendation: Close it.");
        assert_eq!(plain["run"]["run"]["key"], "nightly", "{plain}");
        assert_eq!(plain["extra"], record(22));
        let weighed = server.show(&ids[1])["incident"].clone();
        assert_eq!((&weighed["severity"], &weighed["title"]), (&json!("critical"), &json!("Database open: /rules/1")));
        assert_eq!(weighed["nist_controls"], json!(["3.13.5"]));
        assert_eq!(plain["fingerprint"], weighed["fingerprint"]);
    };
    check(&server);
    // What was weighed stays so, whatever the configuration says later.
    server.kill();
    site.configure("routing: custom\n");
    check(&site.start());
}

#[test]
fn the_format_can_be_said_by_the_request_and_by_the_token() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let said = server.post("/api/v1/incidents?format=cloudmarker", "{\"title\":\"t\"}").expect(400).text();
    assert!(said.contains("an object with `record_type`"), "{said}");
    let said = server.post("/api/v1/incidents?format=native", record(22).to_string()).expect(400).text();
    assert!(said.contains("title"), "{said}");
    let said = server.post("/api/v1/incidents?format=xml", "{}").expect(400).text();
    assert!(said.contains("format=cloudmarker"), "{said}");
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let site =
        Site::new(&format!("http: {{tokens: {{cm: {{sha256: {hash}, format: cloudmarker}}}}}}\nrouting: custom\n"));
    let mut server = site.start();
    server.use_token("test");
    let said = server.post("/api/v1/incidents", "{\"title\":\"t\"}").expect(400).text();
    assert!(said.contains("an object with `record_type`"), "{said}");
    server.post("/api/v1/incidents", record(22).to_string()).expect(202);
}

#[test]
fn records_come_over_the_socket_standard_input_and_a_file() {
    let site = Site::new(
        "routing: custom\ninputs: {records: {tail: {path: \"{dir}/records.ndjson\", format: cloudmarker}}}\n",
    );
    fs::write(site.path("records.ndjson"), format!("{}\n", record(1))).expect("the directory is ours");
    let mut server = site.spawn(&["--stdin"], Stdio::piped());
    server.stdin().write_all(format!("{}\n", record(2)).as_bytes()).expect("the server reads");
    server.wait_until_ready();
    let mut stream = UnixStream::connect(server.socket()).expect("the socket is there");
    stream.write_all(format!("{}\n", record(3)).as_bytes()).expect("the line is taken");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer comes");
    assert!(answer.contains("accepted"), "{answer}");
    balefire_tests::wait::until("all three are there", || {
        let mut sources: Vec<String> = incidents(&server).iter().map(|row| row["source"].to_string()).collect();
        sources.sort();
        if sources == ["\"records\"", "\"socket\"", "\"stdin\""] { Ok(()) } else { Err(format!("{sources:?}")) }
    });
    assert!(incidents(&server).iter().all(|row| row["severity"] == "high"));
}

#[test]
fn a_file_of_the_file_store_is_sent_as_it_is() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    // The layout of FileStore: a list over several lines.
    let text = format!("[\n{:#},\n{:#}\n]\n", record(22), record(3306));
    fs::write(site.path("nightly_azcloud.json"), text).expect("the directory is ours");
    let path = site.path("nightly_azcloud.json").display().to_string();
    let output = site.run(&["send", &path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = incidents(&server);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["extra"]["raw"] == record(22)["raw"]), "{rows:?}");
}

/// A record as a `FileStore` keeps it, of an audit's cloud.
fn kept(audit: &str, nth: usize) -> Value {
    json!({
        "raw": {"data": nth}, "ext": {"record_type": "foo"},
        "com": {
            "record_type": "mock", "audit_key": audit, "audit_version": "20261122_000000", "origin_type": "cloud",
            "origin_worker": format!("{audit}_cloud"), "target_worker": format!("{audit}_files"), "target_type": "store",
        },
    })
}

#[test]
fn a_directory_of_the_file_store_is_sent_as_runs_that_end() {
    let site = Site::new(
        "channels: {store: {file: {path: \"{dir}/again\", layout: cloudmarker}}}\nrouting: custom\n\
         routes: [{name: all, to: [store]}]\n",
    );
    let server = site.start();
    let write = |name: &str, text: String| fs::write(site.path(&format!("kept/{name}")), text).expect("it is ours");
    fs::create_dir(site.path("kept")).expect("the directory is ours");
    for audit in ["a", "z"] {
        let records: Vec<Value> = (0..20).map(|nth| kept(audit, nth)).collect();
        write(&format!("{audit}_cloud.json"), format!("{:#}\n", json!(records)));
    }
    // Two processes of Cloudmarker's have written the marks at once; what is under way and what is no JSON stay out.
    write("no_worker.json", "[\n{\"com\": {}}\n]\n{\"com\"".to_owned());
    write("a_cloud.tmp", "[".to_owned());
    write("README", "x".to_owned());
    let directory = site.path("kept").display().to_string();
    let output = site.run(&["send", &directory]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("no_worker.json") && said.contains("42 accepted, 1 refused"), "{said}");
    for audit in ["a", "z"] {
        let path = site.path(&format!("again/{audit}_cloud.json"));
        let text = balefire_tests::wait::until("the run is over", || {
            fs::read_to_string(&path).map_err(|error| error.to_string())
        });
        let records: Vec<Value> = serde_json::from_str(&text).expect("a list");
        assert_eq!(records, (0..20).map(|nth| kept(audit, nth)).collect::<Vec<_>>());
    }
    assert!(
        server
            .list("limit=1000")
            .iter()
            .all(|row| !row["title"].as_str().is_some_and(|title| title.contains("part 2")))
    );
}

#[test]
fn a_run_with_its_marks_in_its_directory_ends_once_and_a_file_alone_ends_where_that_is_said() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    fs::create_dir(site.path("kept")).expect("the directory is ours");
    let mark = |kind: &str| {
        json!({"com": {
            "record_type": kind, "audit_key": "z", "audit_version": "20261122_000000",
            "target_worker": "z_files", "target_type": "store",
        }})
    };
    let marks = format!("{:#}\n", json!([mark("begin_audit"), mark("end_audit")]));
    fs::write(site.path("kept/no_worker.json"), marks).expect("it is ours");
    fs::write(site.path("kept/z_cloud.json"), json!([kept("z", 1)]).to_string()).expect("it is ours");
    fs::write(site.path("one.json"), json!([kept("a", 1)]).to_string()).expect("it is ours");
    let send = |words: &[&str]| {
        let output = site.run(words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let ends = |server: &Server| {
        let rows = server.list("limit=1000");
        rows.iter().filter(|row| row["detected_by"] == "balefire.run_ended").count()
    };
    send(&["send", &site.path("kept").display().to_string()]);
    assert_eq!((ends(&server), incidents(&server).len()), (1, 3), "the marks were there: none is made");
    let alone = site.path("one.json").display().to_string();
    send(&["send", &alone]);
    assert_eq!(ends(&server), 1, "more of it may come");
    send(&["send", "--end-runs", &alone]);
    assert_eq!(ends(&server), 2);
    fs::create_dir(site.path("empty")).expect("the directory is ours");
    let output = site.run(&["send", &site.path("empty").display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no .json file"));
}

#[test]
fn the_mock_audit_has_the_records_and_events_of_cloudmarkers_own() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let output = site.run(&["send", "--mock-audit"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = incidents(&server);
    assert_eq!((of_kind(&rows, "mock").len(), of_kind(&rows, "mock_event").len()), (10, 4));
    assert_eq!((of_kind(&rows, "begin_audit").len(), of_kind(&rows, "end_audit").len()), (2, 2));
    assert!(of_kind(&rows, "mock_event").iter().all(|row| row["extra"]["ext"]["n"] == 3 && row["severity"] == "low"));
    assert!(of_kind(&rows, "mock").iter().all(|row| row["severity"] == "info"));
}
