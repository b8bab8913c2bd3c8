//! The last release of Cloudmarker beside us: its stores as plugins of an exec channel, and Balefire as a plugin in its own
//! configuration.

use balefire_tests::certificates::Certificates;
use balefire_tests::mongo::{Access, Mongo};
use balefire_tests::opensearch::OpenSearch;
use balefire_tests::python::{self, cloudmarker, package};
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use bson::Bson;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

/// The records of one run of a store, between its marks, with all that JSON in Python writes in its own way.
fn run_of_records(count: usize) -> Vec<Value> {
    let com = |kind: &str| {
        json!({
            "record_type": kind, "audit_key": "nightly", "audit_version": "20261122_000000",
            "target_key": "files", "target_worker": "nightly_files", "target_type": "store",
        })
    };
    let record = |nth: usize| {
        let mut com = com("mock");
        com["origin_worker"] = format!("nightly_cloud{}", nth % 2).into();
        json!({
            "raw": {
                "data": nth, "ratio": 1.5, "big": 100_000_000_000_000_000_000_u128.to_string(), "yes": true, "none": null,
                "text": "größer\n<b>\t\"\\/ \u{7f} \u{0} 😀", "list": [], "map": {}, "deep": [[{"a": [1, {}]}]],
            },
            "ext": {"record_type": "foo", "cloud_type": "mock"},
            "com": com,
        })
    };
    let marks = |kind: &str| json!({ "com": com(kind) });
    let records = (0..count).map(record);
    std::iter::once(marks("begin_audit")).chain(records).chain([marks("end_audit")]).collect()
}

/// A channel `theirs` that drives a class of Cloudmarker's by the run, and `ours`.
fn both(python: &Path, class: &str, settings: &str, ours: &str) -> Site {
    Site::new(&format!(
        "channels:\n  theirs:\n    collect: run\n    exec:\n      \
         command: [\"{python}\", -m, balefire.host, cloudmarker.stores.{class}]\n      \
         env: {{PYTHONPATH: \"{package}\", PYTHONDONTWRITEBYTECODE: \"1\"}}\n      body: record\n      \
         settings: {settings}\n  ours: {ours}\n\
         routing: custom\nroutes: [{{name: all, match: [target_type = store], to: [theirs, ours]}}]\n",
        python = python.display(),
        package = package().display(),
    ))
}

/// Waits until the run is over and told of by every channel that took it as a whole.
fn wait_for_run(server: &Server) {
    wait::until("the run is delivered", || {
        let rows = server.list("limit=1000");
        let end = rows.iter().find(|row| row["detected_by"] == "balefire.run_ended");
        let Some(id) = end.and_then(|end| end["id"].as_str()) else { return Err("it is not over".to_owned()) };
        let why = server.why(id);
        let deliveries = why["deliveries"].as_array().expect("a list");
        let is_done = !deliveries.is_empty() && deliveries.iter().all(|delivery| delivery["status"] == "delivered");
        if is_done { Ok(()) } else { Err(why.to_string()) }
    });
}

#[test]
fn our_files_of_a_run_are_those_of_the_file_store_byte_for_byte() {
    let Some(python) = cloudmarker() else { return };
    let site = both(
        &python,
        "filestore.FileStore",
        "{path: \"{dir}/theirs\"}",
        "{file: {path: \"{dir}/ours\", layout: cloudmarker}}",
    );
    let server = site.start();
    server.send(&json!(run_of_records(250))).expect(202);
    wait_for_run(&server);
    for name in ["nightly_cloud0.json", "nightly_cloud1.json", "no_worker.json"] {
        let read = |whose: &str| fs::read_to_string(site.path(&format!("{whose}/{name}"))).expect("the run is over");
        let (theirs, ours) = (read("theirs"), read("ours"));
        assert!(theirs == ours, "{name} differs:\n{theirs}\n{ours}");
    }
    let names = |whose: &str| {
        let entries = fs::read_dir(site.path(whose)).expect("it is there");
        let names = entries.map(|entry| entry.expect("it is ours").file_name().to_string_lossy().into_owned());
        // What is hidden is of no run.
        names.filter(|name| !name.starts_with('.')).collect::<BTreeSet<String>>()
    };
    assert_eq!(names("theirs"), names("ours"), "and there are no others");
}

/// The records of a run without its marks, each as text with its fields sorted, in the order of their texts.
fn sorted(records: impl IntoIterator<Item = Value>) -> Vec<String> {
    let is_record = |record: &Value| record["com"]["record_type"] == "mock";
    let mut texts: Vec<String> = records.into_iter().filter(is_record).map(|record| record.to_string()).collect();
    texts.sort();
    texts
}

#[test]
fn the_search_store_of_cloudmarker_fills_a_real_node_with_the_documents_that_ours_does() {
    let Some(python) = cloudmarker() else { return };
    let Some(node) = OpenSearch::start() else { return };
    let (host, port) = (node.address().ip(), node.address().port());
    let site = both(
        &python,
        "esstore.EsStore",
        &format!("{{host: \"{host}\", port: {port}, index: theirs}}"),
        &format!("{{elasticsearch: {{urls: [\"http://{host}:{port}\"], index: ours, body: record}}}}"),
    );
    let server = site.start();
    let mut records = run_of_records(250);
    // One spelling for all that a search engine could index in two ways.
    records.iter_mut().filter_map(|record| record["raw"].as_object_mut()).for_each(|raw| _ = raw.remove("deep"));
    server.send(&json!(records)).expect(202);
    wait_for_run(&server);
    let of = |index: &str, count: usize| {
        sorted(node.wait_for(index, count).iter().map(|document| document["_source"].clone()))
    };
    // Theirs has the two marks beside the records.
    assert_eq!(of("theirs", 252), sorted(records.clone()));
    assert_eq!(of("ours", 250), sorted(records));
}

/// A document as the JSON that it was.
fn plain(value: &Bson) -> Value {
    match value {
        Bson::Document(document) => document.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        Bson::Array(items) => items.iter().map(plain).collect(),
        Bson::String(text) => json!(text),
        Bson::Boolean(truth) => json!(truth),
        Bson::Int32(number) => json!(number),
        Bson::Int64(number) => json!(number),
        Bson::Double(number) => json!(number),
        Bson::Null => Value::Null,
        other => panic!("no record holds {other}"),
    }
}

#[test]
fn the_document_store_of_cloudmarker_fills_a_real_server_with_the_documents_that_ours_does() {
    let Some(python) = cloudmarker() else { return };
    let certificates = Certificates::new();
    let Some(mongo) = Mongo::start(Access::Open, &certificates) else { return };
    let (host, port) = (mongo.address.ip(), mongo.address.port());
    let site = both(
        &python,
        "mongodbstore.MongoDBStore",
        &format!("{{host: \"{host}\", port: {port}, db: cm, collection: theirs}}"),
        &format!("{{mongodb: {{uri: \"mongodb://{host}:{port}/\", database: cm, collection: ours, body: record}}}}"),
    );
    let server = site.start();
    let mut records = run_of_records(250);
    // FerretDB stores no list within a list.
    records.iter_mut().filter_map(|record| record["raw"].as_object_mut()).for_each(|raw| _ = raw.remove("deep"));
    server.send(&json!(records)).expect(202);
    wait_for_run(&server);
    let of = |collection: &str, count: usize| {
        wait::until("all documents are there", || match mongo.count("cm", collection) {
            enough if enough >= count => Ok(()),
            few => Err(format!("{few} in {collection}; {}", server.stderr())),
        });
        sorted(mongo.documents("cm", collection).into_iter().map(|mut document| {
            document.remove("_id");
            plain(&Bson::Document(document))
        }))
    };
    assert_eq!(of("theirs", 252), sorted(records.clone()));
    assert_eq!(of("ours", 250), sorted(records));
}

/// What Slack's client of that time answers today: the method that opens a conversation has been retired.
const SLACKCLIENT: &str = "
class SlackClient:
    def __init__(self, token): pass
    def api_call(self, method, **words):
        if method == 'users.lookupByEmail': return {'ok': True, 'user': {'id': 'U1'}}
        return {'ok': False, 'error': 'unknown_method'}
";

#[test]
fn the_slack_alert_of_cloudmarker_loads_and_its_failure_is_told() {
    let Some(python) = cloudmarker() else { return };
    let site = Site::new(&format!(
        "channels:\n  theirs:\n    collect: run\n    exec:\n      \
         command: [\"{python}\", -m, balefire.host, cloudmarker.alerts.slackalert.SlackAlert]\n      \
         env: {{PYTHONPATH: \"{package}:{{dir}}\", PYTHONDONTWRITEBYTECODE: \"1\"}}\n      body: record\n      \
         settings: {{to: [ann@example.org], text: Look, temp_file: \"{{dir}}/report.json\"}}\n      \
         secrets: {{bot_user_token: xoxb-0123456789}}\nrouting: custom\n\
         routes: [{{name: all, match: [target_type = store], to: [theirs]}}]\n",
        python = python.display(),
        package = package().display(),
    ));
    fs::write(site.path("slackclient.py"), SLACKCLIENT).expect("the directory is ours");
    let server = site.start();
    let records = run_of_records(3);
    server.send(&json!(records)).expect(202);
    let end = wait::until("the run is over", || {
        let rows = server.list("limit=1000");
        let end = rows.iter().find(|row| row["detected_by"] == "balefire.run_ended");
        end.and_then(|end| end["id"].as_str().map(str::to_owned)).ok_or_else(|| "not yet".to_owned())
    });
    wait::until("its failure is told", || {
        let outcome = server.why(&end)["deliveries"][0]["last_outcome"].to_string();
        if outcome.contains("Call to Slack failed; error: KeyError: 'channel'") { Ok(()) } else { Err(outcome) }
    });
    let report = fs::read_to_string(site.path("report.json")).expect("it had all records");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&report).expect("a list"), records);
}
