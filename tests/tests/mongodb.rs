//! The mongodb channel against a real server: every incident is one document, whatever happens to the server, the
//! connection or the login, and what the server refuses is told of alone.

use balefire_tests::certificates::Certificates;
use balefire_tests::disk::SmallDisk;
use balefire_tests::mongo::{Access, Mongo, PASSWORD, USER, Wire};
use balefire_tests::relay::Relay;
use balefire_tests::server::{Server, Site};
use balefire_tests::{left_out, note, wait};
use bson::Document;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How many incidents the long test sends.
const INCIDENTS: usize = 20_000;

fn site(address: SocketAddr, more: &str) -> Site {
    Site::new(&format!(
        "channels: {{archive: {{mongodb: {{uri: \"mongodb://{address}/\", connect_timeout: 1s{more}}}, \
         retry: {{initial: 200ms, cap: 1s}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [archive]}}]\n"
    ))
}

fn send(server: &Server, batch: usize, size: usize) -> Vec<String> {
    let incident = |nth: usize| json!({"title": format!("{batch}-{nth}"), "severity": "low", "detected_by": "t"});
    let incidents: Vec<Value> = (0..size).map(incident).collect();
    server.send(&json!(incidents)).expect(202).ids()
}

/// The delivery to the archive.
fn archived(server: &Server, id: &str) -> Value {
    let why = server.why(id);
    let deliveries = why["deliveries"].as_array().expect("a list");
    deliveries.iter().find(|delivery| delivery["channel"] == "archive").cloned().unwrap_or_default()
}

/// Waits until the last outcome of the delivery to the archive is a refusal of this cause, and gives its words.
fn refusal(server: &Server, id: &str, cause: &str) -> String {
    wait::until(&format!("{id} is refused as {cause}"), || {
        let delivery = archived(server, id);
        let refused = &delivery["last_outcome"]["rejected"];
        match refused["detail"].as_str() {
            Some(detail) if refused["cause"] == cause => Ok(detail.to_owned()),
            _ => Err(delivery.to_string()),
        }
    })
}

/// Waits until each of these incidents, and none of ours beside them, is one document; gives all documents.
fn wait_for_each_once(mongo: &Mongo, ids: &[String]) -> Vec<Document> {
    let sent = |document: &Document| incident(document, "source") != "balefire";
    wait::within(Duration::from_secs(240), "every incident is a document", || {
        match mongo.count("balefire", "incidents") {
            enough if enough >= ids.len() => Ok(()),
            few => Err(format!("{few} of {}", ids.len())),
        }
    });
    let documents = wait::until("every incident is a document", || {
        let mut documents = mongo.documents("balefire", "incidents");
        documents.retain(sent);
        if documents.len() >= ids.len() { Ok(documents) } else { Err(format!("{} of {}", documents.len(), ids.len())) }
    });
    let mut seen: HashMap<String, usize> = HashMap::new();
    for document in &documents {
        *seen.entry(incident(document, "id")).or_default() += 1;
        let delivery = document.get_document("delivery").expect("a native document").get_str("id");
        assert_eq!(delivery.ok(), document.get_str("_id").ok(), "{document}");
    }
    for id in ids {
        assert_eq!(seen.remove(id), Some(1), "{id}");
    }
    assert!(seen.is_empty(), "nobody sent {seen:?}");
    documents
}

fn incident(document: &Document, field: &str) -> String {
    let incident = document.get_document("incident").unwrap_or_else(|error| panic!("{error}: {document}"));
    incident.get_str(field).expect("a text").to_owned()
}

/// Waits until nothing waits for the archive.
fn wait_until_empty(server: &Server) {
    wait::within(Duration::from_secs(240), "the queue is empty", || {
        let channels = server.get("/api/v1/channels").expect(200).json();
        let mut queues = channels["channels"].as_array().expect("a list").iter();
        if queues.all(|channel| channel["queue"]["depth"] == 0) { Ok(()) } else { Err(channels.to_string()) }
    });
}

#[test]
fn a_record_is_a_document_as_it_came_and_names_that_the_server_refuses_come_plainer() {
    let certificates = Certificates::new();
    let Some(mongo) = Mongo::start(Access::Open, &certificates) else { return };
    let site = site(mongo.address, ", database: cloudmarker, collection: records, body: record");
    let server = site.start();
    let record = |raw: &str| {
        let body =
            format!(r#"{{"title":"r","severity":"low","raw":{raw},"ext":{{"record_type":"foo"}},"com":{{"n":3}}}}"#);
        server.post("/api/v1/incidents", body).expect(202).ids().remove(0)
    };
    let plain = record(r#"{"data":1,"big":12345678901234567891,"half":0.5,"text":"a\u0000b"}"#);
    let dotted = record(r#"{"odata.type":"x","$ref":{"a.b":[1]},"n\u0000":0}"#);
    let native = server.accept(&json!({"title": "no record"}));
    for id in [&plain, &dotted, &native] {
        server.wait_for_deliveries(id, "delivered");
    }
    let documents = mongo.documents("cloudmarker", "records");
    assert_eq!(documents.len(), 3, "{documents:?}");
    let of = |id: &str| {
        let delivery = archived(&server, id)["delivery"].as_str().expect("an id").to_owned();
        let found = documents.iter().find(|document| document.get_str("_id").ok() == Some(&delivery));
        found.unwrap_or_else(|| panic!("{delivery} is not in {documents:?}")).clone()
    };
    let names = |document: &Document| document.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&of(&plain)), ["_id", "raw", "ext", "com"]);
    let raw = of(&plain).get_document("raw").expect("raw").clone();
    assert_eq!(
        (raw.get_i32("data").ok(), raw.get_f64("half").ok(), raw.get_str("text").ok()),
        (Some(1), Some(0.5), Some("a\0b"))
    );
    assert_eq!(raw.get_str("big").ok(), Some("12345678901234567891"), "no double is that number");
    let raw = of(&dotted).get_document("raw").expect("raw").clone();
    assert_eq!(names(&raw), ["odata\u{ff0e}type", "\u{ff04}ref", "n\u{2400}"], "this server refuses dots and dollars");
    assert_eq!(incident(&of(&native), "title"), "no record");
}

#[test]
fn where_half_is_refused_that_half_is_given_up_and_the_other_half_is_there() {
    let certificates = Certificates::new();
    let Some(mut mongo) = Mongo::start(Access::Open, &certificates) else { return };
    let site = site(mongo.address, "");
    mongo.stop();
    let server = site.start();
    // This server takes no lists of lists. All wait together while it is away, and go out in one piece.
    let incident = |nth: usize| match nth % 2 {
        1 => json!({"title": format!("bad {nth}"), "matrix": [[1, 2], [3, 4]]}),
        _ => json!({"title": format!("good {nth}"), "matrix": [1, 2]}),
    };
    let incidents: Vec<Value> = (0..100).map(incident).collect();
    let ids = server.send(&json!(incidents)).expect(202).ids();
    refusal(&server, &ids[0], "network");
    mongo.resume(Access::Open, &certificates);
    wait_until_empty(&server);
    let good: Vec<String> = ids.iter().enumerate().filter(|(nth, _)| nth % 2 == 0).map(|(_, id)| id.clone()).collect();
    wait_for_each_once(&mongo, &good);
    for (nth, id) in ids.iter().enumerate() {
        let delivery = archived(&server, id);
        if nth % 2 == 1 {
            let reason = delivery["status"]["given_up"]["reason"].as_str().unwrap_or_else(|| panic!("{delivery}"));
            assert!(reason.contains("nested arrays are not supported"), "{reason}");
        } else {
            assert_eq!(delivery["status"], "delivered", "{delivery}");
        }
    }
}

#[test]
fn an_answer_that_is_lost_makes_no_second_document() {
    let certificates = Certificates::new();
    let Some(mongo) = Mongo::start(Access::Open, &certificates) else { return };
    let wire = Wire::to(mongo.address);
    let site = site(wire.address(), "");
    let server = site.start();
    let mut ids = send(&server, 0, 10);
    wait_until_empty(&server);
    for batch in 1..=5 {
        wire.cut(1);
        ids.extend(send(&server, batch, 200));
    }
    wait_until_empty(&server);
    wait_for_each_once(&mongo, &ids);
    assert!(wire.done() >= 5, "{} answers were lost", wire.done());
    note(&format!("lost answers: {} of inserts that the server had done, {} documents", wire.done(), ids.len()));
}

#[test]
fn a_server_that_is_stopped_for_a_while_gets_each_once_when_it_goes_on() {
    let certificates = Certificates::new();
    let Some(mongo) = Mongo::start(Access::Open, &certificates) else { return };
    let site = site(mongo.address, ", timeout: 2s");
    let server = site.start();
    let mut ids = send(&server, 0, 10);
    wait_until_empty(&server);
    mongo.signal(Signal::STOP);
    ids.extend((1..=10).flat_map(|batch| send(&server, batch, 100)));
    let words = refusal(&server, &ids[10], "network");
    assert!(!words.is_empty());
    mongo.signal(Signal::CONT);
    wait_until_empty(&server);
    wait_for_each_once(&mongo, &ids);
}

#[test]
fn a_wrong_password_is_told_as_auth_and_never_shown_and_the_right_one_works() {
    let certificates = Certificates::new();
    let Some(mut mongo) = Mongo::start(Access::Login, &certificates) else { return };
    let settings = |password: &str| format!(", username: {USER}, password: \"{password}\"");
    let wrong = site(mongo.address, &settings("hunter2-wrong"));
    let server = wrong.start();
    let id = server.accept(&json!({"title": "locked out"}));
    let words = refusal(&server, &id, "auth");
    assert!(!words.contains("hunter2") && !server.stderr().contains("hunter2"), "{words}\n{}", server.stderr());
    let right = site(mongo.address, &settings(PASSWORD));
    let server = right.start();
    let id = server.accept(&json!({"title": "let in"}));
    server.wait_for_deliveries(&id, "delivered");
    mongo.stop();
    mongo.resume(Access::Open, &certificates);
    wait_for_each_once(&mongo, &[id]);
}

#[test]
fn tls_wants_an_authority_that_knows_the_server() {
    let (certificates, strangers) = (Certificates::new(), Certificates::new());
    let Some(mongo) = Mongo::start(Access::Open, &certificates) else { return };
    let settings = |known: &Certificates| format!(", tls: true, ca_file: \"{}\"", known.authority().display());
    let distrustful = site(mongo.tls, &settings(&strangers));
    let server = distrustful.start();
    let id = server.accept(&json!({"title": "distrusted"}));
    let words = refusal(&server, &id, "auth");
    assert!(words.contains("certificate"), "{words}");
    let trustful = site(mongo.tls, &settings(&certificates));
    let server = trustful.start();
    let id = server.accept(&json!({"title": "trusted"}));
    server.wait_for_deliveries(&id, "delivered");
    wait_for_each_once(&mongo, &[id]);
}

/// Waits until so many more documents are there that the server is at work, with more to come; gives their number.
fn wait_for_more(mongo: &Mongo, before: usize) -> usize {
    wait::until("more documents come", || match mongo.count("balefire", "incidents") {
        more if more > before + 500 => Ok(more),
        few => Err(format!("{few} documents, {before} before")),
    })
}

#[test]
fn twenty_thousand_incidents_are_twenty_thousand_documents_though_the_server_goes_three_times() {
    let certificates = Certificates::new();
    let Some(mut mongo) = Mongo::start(Access::Open, &certificates) else { return };
    let site = site(mongo.address, "");
    let server = site.start();
    let mut ids = Vec::with_capacity(INCIDENTS);
    let mut goings = Vec::new();
    for batch in 0..INCIDENTS / 500 {
        ids.extend(send(&server, batch, 500));
        if matches!(batch, 8 | 18 | 28) {
            goings.push(wait_for_more(&mongo, goings.last().copied().unwrap_or(0)));
            // Twice in the middle of an insert, once in good order.
            if batch == 18 { mongo.stop() } else { mongo.kill() }
        }
        if matches!(batch, 12 | 22 | 32) {
            mongo.resume(Access::Open, &certificates);
        }
    }
    wait_until_empty(&server);
    let documents = wait_for_each_once(&mongo, &ids);
    assert_eq!(documents.len(), INCIDENTS);
    note(&format!("{} incidents, the server went when it had {goings:?}: {} documents", ids.len(), documents.len()));
}

#[test]
fn a_server_whose_disk_is_full_gets_each_once_when_there_is_room() {
    let certificates = Certificates::new();
    let Some(mut mongo) = Mongo::start(Access::Open, &certificates) else { return };
    mongo.stop();
    let Some(disk) = SmallDisk::mount(mongo.directory(), 16) else {
        return left_out("this user may not mount a small file system");
    };
    mongo.resume(Access::Open, &certificates);
    let site = site(mongo.address, "");
    let server = site.start();
    let mut ids = send(&server, 0, 500);
    wait_until_empty(&server);
    disk.fill();
    ids.extend((1..=4).flat_map(|batch| send(&server, batch, 500)));
    // Some that the server had under way may still have found room.
    let words = wait::until("the server says that it is full", || {
        let outcomes = ids[500..].iter().step_by(50).map(|id| archived(&server, id)["last_outcome"].to_string());
        let seen: Vec<String> = outcomes.collect();
        seen.iter().find(|outcome| outcome.contains("full")).cloned().ok_or_else(|| seen.join(" "))
    });
    assert!(words.contains("\"cause\":\"network\""), "{words}");
    disk.empty();
    wait_until_empty(&server);
    wait_for_each_once(&mongo, &ids);
    mongo.stop();
}

#[test]
fn a_slow_server_gets_each_once_though_no_answer_comes_in_time() {
    let certificates = Certificates::new();
    let Some(mongo) = Mongo::start(Access::Open, &certificates) else { return };
    let relay = Relay::start(mongo.address);
    let site = site(relay.address(), ", timeout: 2s");
    let server = site.start();
    let mut ids = send(&server, 0, 10);
    wait_until_empty(&server);
    // Slow, and in time.
    relay.delay(Duration::from_millis(300));
    ids.extend(send(&server, 1, 1000));
    wait_until_empty(&server);
    // Every insert is done, and every answer comes too late.
    relay.delay(Duration::from_secs(4));
    ids.extend(send(&server, 2, 300));
    refusal(&server, &ids[1010], "network");
    relay.delay(Duration::ZERO);
    wait_until_empty(&server);
    wait_for_each_once(&mongo, &ids);
}
