//! SIGSTOP: a server or a receiver that does not go on for a while, as under a debugger, a frozen container or a machine
//! that is being moved.

use balefire_tests::daemon::{Daemon, free_address, wait_for_listeners};
use balefire_tests::deliveries::{nothing_is_lost, wait_until_empty};
use balefire_tests::server::Site;
use balefire_tests::sink::Sink;
use balefire_tests::stubborn::Stubborn;
use balefire_tests::{note, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// How often the server is stopped; `BALEFIRE_STOPS` says otherwise.
const STOPS: usize = 5;

/// Longer than senders wait for an answer, shorter than a delivery may take.
const STOPPED: Duration = Duration::from_millis(800);

#[test]
fn a_server_that_is_stopped_under_load_loses_nothing_and_what_is_repeated_under_its_key_is_one_incident() {
    let stops = std::env::var("BALEFIRE_STOPS").ok();
    let stops: usize = stops.map_or(STOPS, |stops| stops.parse().expect("BALEFIRE_STOPS is a number"));
    let sink = Sink::start();
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ));
    let server = site.start();
    let senders = Stubborn::begin(server.address(), 8);
    for _ in 0..stops {
        senders.wait_for_more(100);
        server.signal(Signal::STOP);
        wait::pause(STOPPED);
        server.signal(Signal::CONT);
    }
    senders.wait_for_more(100);
    let told = senders.end();
    assert!(told.repeats >= stops, "senders met every stop: {} repeats", told.repeats);
    let delivered = nothing_is_lost(&server, &sink, &told.ids);
    assert_eq!(delivered.incidents.len(), told.ids.len(), "one incident for each key, however often it was sent");
    assert_eq!(delivered.repeats, 0, "the receiver was well all the time");
    note(&format!(
        "{stops} stops of the server: {} requests, {} repeated under their keys, 0 lost, 0 doubled, 0 delivered twice",
        told.ids.len(),
        told.repeats
    ));
}

/// A receiver in a process of its own: a line for each request, with its id of delivery and its incident's.
const RECEIVER: &str = r#"
import http.server, json, sys, threading
lock = threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with lock, open(sys.argv[2], "a") as file:
            file.write(self.headers["webhook-id"] + " " + body["incident"]["id"] + "\n")
        self.send_response(204)
        self.end_headers()
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

#[test]
fn a_stopped_receiver_stops_no_other_and_gets_everything_under_one_id_each_when_it_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (address, log) = (free_address(), dir.path().join("received"));
    let mut command = Command::new("python3");
    command.arg("-c").arg(RECEIVER).arg(address.port().to_string()).arg(&log);
    let receiver = Daemon::start(&mut command);
    wait_for_listeners(&[address], || "nothing".to_owned());
    let lively = Sink::start();
    let site = Site::new(&format!(
        "channels:\n  stopped: {{webhook: {{url: \"http://{address}/hook\", timeout: 1s}}, \
         retry: {{initial: 200ms, cap: 1s}}}}\n  lively: {{webhook: {{url: \"{}\"}}}}\n\
         routing: custom\nroutes: [{{name: all, to: [stopped, lively]}}]\n",
        lively.url()
    ));
    let server = site.start();
    server.accept(&json!({"title": "before", "severity": "critical"}));
    wait_until_empty(&server, &lively);
    receiver.signal(Signal::STOP);
    let ids: Vec<String> = (0..20)
        .flat_map(|batch| {
            let items: Vec<Value> = (0..50).map(|nth| json!({"title": format!("{batch}-{nth}")})).collect();
            server.send(&Value::from(items)).expect(202).ids()
        })
        .collect();
    // One told that the other is failing, and 1,001 from the sender.
    let got = lively.wait_for(ids.len() + 2);
    let told = wait::until("the lively channel tells that the other one fails", || {
        let detected =
            |by: &str| got.iter().chain(&lively.received()).any(|one| one.json()["incident"]["detected_by"] == by);
        if detected("balefire.channel_failing") { Ok(true) } else { Err(format!("{} requests", lively.count())) }
    });
    assert!(told);
    receiver.signal(Signal::CONT);
    wait_until_empty(&server, &lively);
    let received = fs::read_to_string(&log).expect("the receiver has written");
    let mut ids_of: HashMap<&str, HashSet<&str>> = HashMap::new();
    for line in received.lines() {
        let (delivery, incident) = line.split_once(' ').expect("the receiver writes two words");
        ids_of.entry(incident).or_default().insert(delivery);
    }
    for id in &ids {
        assert_eq!(ids_of.get(id.as_str()).map(HashSet::len), Some(1), "{id}: {:?}", ids_of.get(id.as_str()));
    }
    let delivered = nothing_is_lost(&server, &lively, &ids);
    assert_eq!(delivered.repeats, 0, "the lively channel got each once");
    note(&format!(
        "stopped receiver: {} incidents, all delivered, {} requests repeated under their ids",
        ids.len(),
        received.lines().count() - ids_of.len()
    ));
}
