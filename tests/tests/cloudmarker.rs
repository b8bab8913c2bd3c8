//! The last release of Cloudmarker beside us: its stores as plugins of an exec channel, and Balefire as a plugin in its own
//! configuration.

use balefire_tests::python::{self, cloudmarker, package};
use balefire_tests::server::Site;
use serde_json::{Value, json};
use std::fs;

/// A record as its `MockCloud` makes it, sent to us as JSON with what we show of it.
fn record(nth: usize) -> Value {
    json!({
        "title": format!("mock {nth}"), "severity": "info",
        "raw": {"data": nth, "ratio": 1.5, "text": "größer\n<b>"},
        "ext": {"record_type": "foo", "cloud_type": "mock"},
        "com": {"record_type": "mock", "audit_key": "mockaudit", "origin_worker": "mockaudit_mockcloud"},
    })
}

#[test]
fn the_file_store_of_cloudmarker_writes_the_records_that_we_took() {
    let Some(python) = cloudmarker() else { return };
    let site = Site::new(&format!(
        "channels:\n  store:\n    exec:\n      \
         command: [\"{python}\", -m, balefire.host, cloudmarker.stores.filestore.FileStore]\n      \
         env: {{PYTHONPATH: \"{package}\", PYTHONDONTWRITEBYTECODE: \"1\"}}\n      body: record\n      \
         settings: {{path: \"{{dir}}/store\"}}\nrouting: custom\nroutes: [{{name: all, to: [store]}}]\n",
        python = python.display(),
        package = package().display(),
    ));
    let mut server = site.start();
    let records: Vec<Value> = (0..10).map(record).collect();
    for id in server.send(&json!(records)).expect(202).ids() {
        server.wait_for_deliveries(&id, "delivered");
    }
    // Its file gets its name when the run is over: here, when the channel is closed.
    assert!(site.path("store/mockaudit_mockcloud.tmp").exists());
    assert!(server.terminate().success());
    let text =
        fs::read_to_string(site.path("store/mockaudit_mockcloud.json")).expect("the store has finished its file");
    let mut stored: Vec<Value> = serde_json::from_str(&text).expect("a list of records");
    stored.sort_by_key(|record| record["raw"]["data"].as_u64());
    let expected: Vec<Value> = (0..10)
        .map(|nth| {
            let mut record = record(nth);
            let fields = record.as_object_mut().expect("an object");
            fields.retain(|name, _| ["raw", "ext", "com"].contains(&name.as_str()));
            record
        })
        .collect();
    assert_eq!(stored, expected);
}

#[test]
fn a_store_that_only_logs_its_failures_is_not_believed() {
    let Some(python) = cloudmarker() else { return };
    // Nobody listens on port 9: the store logs that, and raises nothing.
    let site = Site::new(&format!(
        "channels:\n  store:\n    exec:\n      \
         command: [\"{python}\", -m, balefire.host, cloudmarker.stores.esstore.EsStore, --acknowledge, done, --idle, '0.1']\n      \
         env: {{PYTHONPATH: \"{package}\", PYTHONDONTWRITEBYTECODE: \"1\"}}\n      body: record\n      \
         settings: {{host: 127.0.0.1, port: 9}}\nrouting: custom\nroutes: [{{name: all, to: [store]}}]\n",
        python = python.display(),
        package = package().display(),
    ));
    let server = site.start();
    let id = server.accept(&record(0));
    balefire_tests::wait::until("the failure is told", || {
        let outcome = server.why(&id)["deliveries"][0]["last_outcome"].to_string();
        if outcome.contains("Bulk Index Error") { Ok(()) } else { Err(outcome) }
    });
}

#[test]
fn an_audit_of_cloudmarker_sends_every_record_to_us_unchanged() {
    let Some(python) = cloudmarker() else { return };
    let site = Site::new("channels: {screen: {console: {}}}\nrouting: custom\nroutes: []\n");
    let server = site.start();
    let config = format!(
        "plugins:\n  balefire:\n    plugin: balefire.store.BalefireStore\n    params: {{url: \"http://{}\", batch: 4}}\n  \
         files:\n    plugin: cloudmarker.stores.filestore.FileStore\n    params: {{path: \"{dir}/files\"}}\n\
         audits:\n  mockaudit:\n    clouds: [mockcloud]\n    stores: [files, balefire]\n    events: [mockevent]\n    alerts: [balefire]\n\
         run: [mockaudit]\nlogger:\n  handlers: {{file: {{filename: \"{dir}/cloudmarker.log\"}}}}\n",
        server.address(),
        dir = site.path("").display(),
    );
    fs::write(site.path("cloudmarker.yaml"), config).expect("the directory is ours");
    let mut audit = python::command(&python);
    let audit = audit.args(["-m", "cloudmarker", "-n", "-c"]).arg(site.path("cloudmarker.yaml"));
    let output = audit.output().expect("Cloudmarker can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !said.contains("Traceback"), "{said}");
    let rows: Vec<Value> = server.all_ids().iter().map(|id| server.show(id)["incident"].clone()).collect();
    let of = |target: &str, kind: &str| {
        let is_it =
            |row: &&Value| row["extra"]["com"]["target_type"] == target && row["extra"]["com"]["record_type"] == kind;
        rows.iter().filter(is_it).count()
    };
    // Ten records for the store, four events for the alert (n=3), and the marks of the audit for both.
    assert_eq!((of("store", "mock"), of("alert", "mock_event")), (10, 4), "{rows:?}");
    for mark in ["begin_audit", "end_audit"] {
        assert_eq!((of("store", mark), of("alert", mark)), (1, 1), "{mark}");
    }
    // Beside them stand the engine's own: that each of the two runs has begun, and that it is over.
    assert_eq!(rows.iter().filter(|row| row["extra"]["com"].is_object()).count(), 18);
    let text = fs::read_to_string(site.path("files/mockaudit_mockcloud.json")).expect("the audit wrote it");
    let files: Vec<Value> = serde_json::from_str(&text).expect("a list of records");
    for file in files {
        let is_same = |row: &&Value| row["extra"]["raw"] == file["raw"] && row["extra"]["ext"] == file["ext"];
        assert_eq!(rows.iter().filter(is_same).count(), 1, "{file}");
    }
}
