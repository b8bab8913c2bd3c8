//! The elasticsearch channel against a real OpenSearch node: what is stored, and that nothing is lost, and nothing there
//! twice, whatever happens to the node and to the connection.

use balefire_tests::opensearch::OpenSearch;
use balefire_tests::relay::Relay;
use balefire_tests::server::{Server, Site};
use balefire_tests::{note, wait};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

/// A channel and a route to it for each index, and the settings beside the address.
fn site(address: SocketAddr, channels: &[(&str, &str)]) -> Site {
    let lines: String = channels
        .iter()
        .map(|(name, settings)| {
            let retry = "retry: {initial: 200ms, cap: 1s}";
            format!("  {name}: {{elasticsearch: {{urls: \"http://{address}\", {settings}}}, {retry}}}\n")
        })
        .collect();
    let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
    Site::new(&format!("channels:\n{lines}routing: custom\nroutes: [{{name: all, to: [{}]}}]\n", names.join(", ")))
}

fn incident(number: usize) -> Value {
    json!({ "title": format!("Incident {number}"), "severity": "high", "detected_by": "test",
            "labels": {"host": format!("web-{number}"), "a.b": "1", "a": "2"} })
}

fn record(number: usize, kind: Value) -> Value {
    json!({ "title": format!("Record {number}"), "severity": "low", "detected_by": "audit",
            "raw": {"data": number, "a.b": {"c": 1}, "a": "x"}, "ext": {"record_type": "vm"}, "com": {"kind": kind} })
}

/// Sends many, and gives their ids.
fn send(server: &Server, incidents: Vec<Value>) -> Vec<String> {
    server.send(&Value::Array(incidents)).expect(202).ids()
}

fn own(documents: &[Value]) -> Vec<&Value> {
    documents.iter().filter(|document| document["_source"]["balefire"]["source"] != "balefire").collect()
}

/// That each incident is there once; what the engine says of itself is left out.
fn check_all_once(node: &OpenSearch, index: &str, ids: &[String]) {
    let documents = wait::within(Duration::from_secs(240), &format!("all of {} are in {index}", ids.len()), || {
        let documents = node.documents(index);
        let found: HashSet<String> = own(&documents)
            .iter()
            .filter_map(|document| document["_source"]["event"]["id"].as_str().map(str::to_owned))
            .collect();
        let missing = ids.iter().filter(|id| !found.contains(*id)).count();
        if missing == 0 { Ok(documents) } else { Err(format!("{missing} are missing")) }
    });
    let mut events: Vec<&str> =
        own(&documents).iter().map(|document| document["_source"]["event"]["id"].as_str().expect("an id")).collect();
    events.sort_unstable();
    let mut expected: Vec<&str> = ids.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(events, expected, "each once, and nothing else");
    for document in own(&documents) {
        assert_eq!(document["_id"], document["_source"]["balefire"]["delivery"]["id"]);
    }
}

#[test]
fn incidents_become_documents_that_no_sender_can_make_conflict() {
    let Some(node) = OpenSearch::start() else { return };
    let mapping = json!({ "mappings": { "properties": {
        "com": { "properties": { "kind": { "type": "long" } } }, "raw": { "type": "object", "enabled": false },
    } } });
    let _ = node.ask("PUT", "/half", &mapping.to_string()).expect(200);
    let _ = node.ask("PUT", "/strict", r#"{"mappings": {"dynamic": "strict"}}"#).expect(200);
    let channels = [
        ("plain", "index: native"),
        ("stream", "data_stream: stream"),
        ("records", "index: records, body: record"),
        ("half", "index: half, body: record, template: false"),
        ("strict", "index: strict, template: false"),
    ];
    let site = site(node.address(), &channels);
    let server = site.start();

    // The template came before the first document: its types are ours, and labels are no fields.
    let mut ids = send(&server, (0..50).map(incident).collect());
    check_all_once(&node, "native", &ids);
    let mapping = node.ask("GET", "/native/_mapping", "").expect(200).json();
    let properties = &mapping["native"]["mappings"]["properties"];
    assert_eq!(properties["tags"]["type"], "keyword");
    assert_eq!(properties["balefire"]["properties"]["extra"]["type"], "text");
    assert!(properties.get("labels").is_none());
    let query = r#"{"query": {"term": {"tags": "host=web-7"}}}"#;
    let found = node.ask("GET", "/native/_search", query).expect(200).json();
    assert_eq!(found["hits"]["total"]["value"], 1);
    assert_eq!(found["hits"]["hits"][0]["_source"]["message"], "Incident 7");

    // A data stream takes the same.
    check_all_once(&node, "stream", &ids);

    // Records are stored as they came; where half of them conflict with the mapping, that half is stored in our own form.
    let kinds = |number: usize| if number.is_multiple_of(2) { json!(number) } else { json!("x") };
    let records = send(&server, (100..120).map(|number| record(number, kinds(number))).collect());
    ids.extend(records.clone());
    check_all_once(&node, "native", &ids);
    let halves = wait::until("the records are there", || {
        let documents = node.documents("half");
        let (whole, told): (Vec<Value>, Vec<Value>) =
            documents.into_iter().partition(|document| document["_source"].get("raw").is_some());
        let told: Vec<Value> =
            told.into_iter().filter(|document| document["_source"]["rule"]["name"] == "audit").collect();
        if whole.len() + told.len() == 20 {
            Ok((whole, told))
        } else {
            Err(format!("{} + {}", whole.len(), told.len()))
        }
    });
    assert_eq!((halves.0.len(), halves.1.len()), (10, 10));
    assert_eq!(halves.0[0]["_source"]["ext"], json!({"record_type": "vm"}));
    let extra = halves.1[0]["_source"]["balefire"]["extra"].as_str().expect("the record as text");
    assert!(extra.contains(r#""a.b":{"c":1}"#) && extra.contains(r#""kind":"x""#), "{extra}");
    // In an index with our template `raw` may hold anything: only `kind`, a number here and a word there, can conflict.
    let stored = node.wait_for("records", 70);
    assert!(stored.iter().filter(|document| document["_source"].get("raw").is_some()).count() >= 10);

    // What an index never takes is given up, with the node's words.
    let reason = wait::until("what strict refuses is given up", || {
        let why = server.why(&ids[0]);
        let strict =
            why["deliveries"].as_array().expect("a list").iter().find(|one| one["channel"] == "strict").cloned();
        let reason = strict.and_then(|delivery| Some(delivery["status"]["given_up"]["reason"].as_str()?.to_owned()));
        reason.ok_or_else(|| why.to_string())
    });
    assert!(reason.contains("strict_dynamic_mapping_exception"), "{reason}");
}

#[test]
fn nothing_is_lost_and_nothing_is_there_twice_whatever_happens() {
    let Some(mut node) = OpenSearch::start() else { return };
    let relay = Relay::start(node.address());
    let site = site(relay.address(), &[("es", "index: native, batch_documents: 20, timeout: 10s, requests: 2")]);
    let server = site.start();
    let mut ids = send(&server, (0..50).map(incident).collect());
    check_all_once(&node, "native", &ids);

    // Cut after the request was sent: the documents are there, and the answer is not heard.
    relay.cut(3);
    ids.extend(send(&server, (50..150).map(incident).collect()));
    check_all_once(&node, "native", &ids);
    assert_eq!(relay.cuts_left(), 0);

    // Slow: stopped in the middle of the batches that are under way.
    relay.delay(Duration::from_millis(300));
    ids.extend(send(&server, (150..300).map(incident).collect()));
    let first = node.wait_for("native", ids.len() - 149);
    assert!(!first.is_empty());
    relay.lead(None);
    node.stop();
    relay.delay(Duration::ZERO);
    ids.extend(send(&server, (300..350).map(incident).collect()));
    wait::until("the channel has noticed", || {
        let channels = server.get("/api/v1/channels").expect(200).json().to_string();
        if channels.contains("\"cause\":\"network\"") { Ok(()) } else { Err(channels) }
    });
    node.resume();
    relay.lead(Some(node.address()));
    check_all_once(&node, "native", &ids);
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), 350);
}

/// How full a disk may be before a node takes no more writes.
fn watermark(node: &OpenSearch, used: &str) {
    let setting = |name: &str| format!("cluster.routing.allocation.disk.{name}");
    let settings = json!({ "transient": {
        setting("threshold_enabled"): true, setting("watermark.low"): used, setting("watermark.high"): used,
        setting("watermark.flood_stage"): used, "cluster.info.update.interval": "10s",
    } });
    let _ = node.ask("PUT", "/_cluster/settings", &settings.to_string()).expect(200);
}

/// Waits until the last outcome of this delivery says these words.
fn wait_for_words(server: &Server, id: &str, words: &str) {
    wait::within(Duration::from_secs(120), &format!("an attempt says {words}"), || {
        let last = server.why(id)["deliveries"][0]["last_outcome"].to_string();
        if last.contains(words) { Ok(()) } else { Err(last) }
    });
}

#[test]
fn a_full_disk_and_a_read_only_index_keep_the_work_until_writes_are_taken_again() {
    let Some(node) = OpenSearch::start() else { return };
    let site = site(node.address(), &[("es", "index: native, batch_documents: 20")]);
    let server = site.start();
    let mut ids = send(&server, (0..50).map(incident).collect());
    check_all_once(&node, "native", &ids);

    // By hand, in the middle of what is under way.
    let block = |flag: Value| {
        let settings = json!({ "index.blocks.read_only_allow_delete": flag });
        let _ = node.ask("PUT", "/native/_settings", &settings.to_string()).expect(200);
    };
    ids.extend(send(&server, (50..150).map(incident).collect()));
    block(json!(true));
    ids.extend(send(&server, (150..250).map(incident).collect()));
    wait_for_words(&server, &ids[249], "cluster_block_exception");
    block(Value::Null);
    check_all_once(&node, "native", &ids);

    // By the node itself, which looks at its disk every ten seconds, and takes its block back when there is room.
    watermark(&node, "0.1%");
    wait::within(Duration::from_secs(120), "the node finds its disk full", || {
        let settings = node.ask("GET", "/native/_settings", "").expect(200).text();
        if settings.contains("read_only_allow_delete") { Ok(()) } else { Err(settings) }
    });
    ids.extend(send(&server, (250..350).map(incident).collect()));
    wait_for_words(&server, &ids[349], "cluster_block_exception");
    watermark(&node, "99.9%");
    check_all_once(&node, "native", &ids);
}

#[test]
fn a_node_that_is_killed_in_the_middle_of_a_batch_has_each_once_when_it_is_back() {
    let Some(mut node) = OpenSearch::start() else { return };
    let relay = Relay::start(node.address());
    let site = site(relay.address(), &[("es", "index: native, batch_documents: 50, timeout: 5s")]);
    let server = site.start();
    let mut ids = Vec::new();
    for round in 0..3 {
        for batch in 0..10 {
            let first = round * 1000 + batch * 100;
            ids.extend(send(&server, (first..first + 100).map(incident).collect()));
        }
        let before = round * 1000;
        let had = node.wait_for("native", before + 50).len();
        node.kill();
        relay.lead(None);
        note(&format!("killed when it had {had} of {}", ids.len()));
        node.resume();
        relay.lead(Some(node.address()));
    }
    check_all_once(&node, "native", &ids);
    assert_eq!(ids.len(), 3000);
}
