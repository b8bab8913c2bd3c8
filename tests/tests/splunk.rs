//! The splunk_hec channel against a collector that keeps to the vendor's pages: what is written, that "delivered" means
//! written where acknowledgements are on, and that a repeat can be told by its id.

use balefire_tests::relay::Relay;
use balefire_tests::server::{Server, Site};
use balefire_tests::splunk::{Splunk, TOKEN};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

fn site(address: SocketAddr, settings: &str) -> Site {
    let hec = format!("{{url: \"http://{address}\", {settings}}}");
    Site::new(&format!(
        "channels:\n  splunk: {{splunk_hec: {hec}, retry: {{initial: 200ms, cap: 1s}}}}\n\
         routing: custom\nroutes: [{{name: all, to: [splunk]}}]\n"
    ))
}

fn with_token(more: &str) -> String {
    format!("token: {TOKEN}, index: main, batch_events: 20{more}")
}

fn incident(number: usize, title: &str) -> Value {
    json!({ "title": format!("{title} {number}"), "severity": "high", "detected_by": "test",
            "labels": {"host": format!("web-{number}")} })
}

fn send(server: &Server, numbers: std::ops::Range<usize>, title: &str) -> Vec<String> {
    let incidents = numbers.map(|number| incident(number, title)).collect();
    server.send(&Value::Array(incidents)).expect(202).ids()
}

/// Waits until each of these incidents is written, and gives how often each delivery's id was.
fn wait_for(splunk: &Splunk, ids: &[String]) -> BTreeMap<String, usize> {
    // Longer than the minute after which refused credentials are tried again.
    let patience = Duration::from_secs(240);
    let events = wait::within(patience, &format!("{} incidents are written", ids.len()), || {
        let events = splunk.indexed();
        let found: HashSet<&str> =
            events.iter().filter_map(|event| event["fields"]["balefire_incident"].as_str()).collect();
        let missing = ids.iter().filter(|id| !found.contains(id.as_str())).count();
        if missing == 0 { Ok(events) } else { Err(format!("{missing} are missing; codes {:?}", splunk.codes())) }
    });
    let mut counts = BTreeMap::new();
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let own = events.iter().filter(|event| event["event"]["incident"]["source"] != "balefire");
    for event in own {
        let text = |name: &str| event["fields"][name].as_str().expect("an indexed field");
        let (delivery, incident) = (text("balefire_delivery"), text("balefire_incident"));
        assert_eq!(event["event"]["delivery"]["id"], delivery);
        let other = names.insert(incident, delivery).unwrap_or(delivery);
        assert_eq!(other, delivery, "one incident, one id");
        *counts.entry(delivery.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn events_are_written_once_and_the_collector_finds_nothing_to_refuse() {
    let splunk = Splunk::start(false);
    let site = site(splunk.address(), &with_token(""));
    let server = site.start();
    let ids = send(&server, 0..100, "Incident");
    let counts = wait_for(&splunk, &ids);
    assert!(counts.len() == 100 && counts.values().all(|count| *count == 1), "{counts:?}");
    assert!(splunk.codes().iter().all(|code| *code == 0), "{:?}", splunk.codes());
    let event = splunk.indexed().into_iter().find(|event| event["host"] == "web-7").expect("the event of web-7");
    assert_eq!((&event["index"], &event["sourcetype"]), (&json!("main"), &json!("_json")));
    let why = server.wait_for_deliveries(&ids[0], "delivered").to_string();
    assert!(!why.contains(TOKEN) && !server.stderr().contains(TOKEN), "the token stays inside");
}

#[test]
fn delivered_means_written_where_the_indexers_acknowledge() {
    let splunk = Splunk::start(true);
    let site = site(splunk.address(), &with_token(", acknowledge: true, ack_timeout: 4s"));
    let server = site.start();
    // Taken, and lost before it was written: no delivery.
    splunk.writes(false);
    let ids = send(&server, 0..30, "Incident");
    wait::until("the collector has taken them", || match splunk.waiting() {
        count if count >= 30 => Ok(()),
        count => Err(count.to_string()),
    });
    assert!(!server.why(&ids[0]).to_string().contains("\"status\":\"delivered\""));
    splunk.crash();
    splunk.writes(true);
    let counts = wait_for(&splunk, &ids);
    assert_eq!(counts.len(), 30);
    for id in &ids {
        let _ = server.wait_for_deliveries(id, "delivered");
    }
}

#[test]
fn what_the_collector_refuses_is_given_up_alone_and_a_busy_one_is_waited_for() {
    let splunk = Splunk::start(false);
    splunk.refuse("Spoiled");
    splunk.be_busy(2);
    let site = site(splunk.address(), &with_token(""));
    let server = site.start();
    let mut incidents: Vec<Value> = Vec::new();
    for number in 0..40 {
        incidents.push(incident(number, if number.is_multiple_of(2) { "Incident" } else { "Spoiled" }));
    }
    let ids = server.send(&Value::Array(incidents)).expect(202).ids();
    let good: Vec<String> = ids.iter().step_by(2).cloned().collect();
    let counts = wait_for(&splunk, &good);
    assert!(counts.len() == 20 && counts.values().all(|count| *count == 1), "{counts:?}");
    for id in ids.iter().skip(1).step_by(2) {
        wait::until("a spoiled event is given up", || {
            let why = server.why(id);
            if why["deliveries"][0]["status"]["given_up"].is_object() { Ok(()) } else { Err(why.to_string()) }
        });
    }
    let codes = splunk.codes();
    assert!(codes.contains(&9) && codes.contains(&6), "{codes:?}");
}

#[test]
fn a_cut_connection_and_a_wrong_token_lose_nothing_and_a_repeat_has_the_same_id() {
    let splunk = Splunk::start(false);
    let relay = Relay::start(splunk.address());
    let wrong = with_token("").replace(TOKEN, "00000000-0000-0000-0000-000000000000");
    let site = site(relay.address(), &wrong);
    let mut server = site.start();
    let mut ids = send(&server, 0..5, "Incident");
    wait::until("the wrong token is told", || {
        let why = server.why(&ids[0]).to_string();
        if why.contains("Invalid token") { Ok(()) } else { Err(why) }
    });
    // Nothing was given up for it: with the right token, a start sends what waits.
    let fixed = std::fs::read_to_string(site.path("balefire.yaml")).expect("ours");
    site.configure(&fixed.replace("00000000-0000-0000-0000-000000000000", TOKEN));
    assert!(server.terminate().success());
    let server = site.start();
    relay.cut(3);
    ids.extend(send(&server, 5..100, "Incident"));
    let late = &ids[5..];
    // What was written may still wait for an answer, and come again.
    wait_until_delivered(&server, late);
    let counts = wait_for(&splunk, late);
    assert_eq!(relay.cuts_left(), 0);
    assert!(counts.values().any(|count| *count > 1), "what was cut came again under its id");
    let waiting = server.why(&ids[0]);
    assert!(waiting["deliveries"][0]["status"]["given_up"].is_null(), "{waiting}");
}

/// Waits until the channel tells that the network is why nothing goes out.
fn wait_for_network(server: &Server) {
    wait::until("the network is told as the cause", || {
        let channels = server.get("/api/v1/channels").expect(200).json().to_string();
        if channels.contains("\"cause\":\"network\"") { Ok(()) } else { Err(channels) }
    });
}

fn wait_until_delivered(server: &Server, ids: &[String]) {
    for id in ids {
        let _ = server.wait_for_deliveries(id, "delivered");
    }
}

#[test]
fn a_collector_that_is_slow_and_away_in_the_middle_of_a_batch_gets_each_under_one_id() {
    let splunk = Splunk::start(false);
    let relay = Relay::start(splunk.address());
    let site = site(relay.address(), &with_token(", timeout: 1s"));
    let server = site.start();
    // Slow, and in time.
    relay.delay(Duration::from_millis(200));
    let mut ids = send(&server, 0..100, "Incident");
    let counts = wait_for(&splunk, &ids);
    assert!(counts.len() == 100 && counts.values().all(|count| *count == 1), "{counts:?}");
    // Written, and each answer comes too late.
    relay.delay(Duration::from_secs(2));
    ids.extend(send(&server, 100..150, "Incident"));
    wait_for_network(&server);
    relay.lead(None);
    relay.delay(Duration::ZERO);
    // Away.
    ids.extend(send(&server, 150..300, "Incident"));
    wait_for_network(&server);
    relay.lead(Some(splunk.address()));
    wait_until_delivered(&server, &ids);
    let counts = wait_for(&splunk, &ids);
    assert_eq!(counts.len(), 300, "one id for each");
    assert!(counts.values().any(|count| *count > 1), "what nobody had heard of came again under its id");
}
