//! Storms and digests on the built binary: many become one, criticals pass, and each has an ending that names the message.

use balefire_tests::server::{Server, Site};
use balefire_tests::sink::{Received, Sink};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::collections::HashSet;

fn site(sink: &Sink, settings: &str) -> Site {
    Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}, {settings}}}}}\nrouting: custom\n\
         routes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ))
}

fn send_lows(server: &Server, count: usize) -> Vec<String> {
    let lows = |batch: usize| -> Value {
        (0..500).map(|n| json!({"title": format!("low {}", batch * 500 + n), "severity": "low", "labels": {"host": "web-1"}})).collect()
    };
    (0..count / 500).flat_map(|batch| server.send(&lows(batch)).expect(202).ids()).collect()
}

fn type_of(message: &Received) -> String {
    message.json()["type"].as_str().expect("a type").to_owned()
}

fn wait_until_empty(server: &Server) {
    wait::until("nothing waits", || {
        let channels = server.get("/api/v1/channels").expect(200).json();
        if channels["channels"][0]["queue"]["depth"] == 0 { Ok(()) } else { Err(channels.to_string()) }
    });
}

#[test]
fn a_storm_of_lows_becomes_one_message_that_each_of_them_names() {
    let sink = Sink::start();
    sink.hold();
    let site = site(&sink, "storm: {above: 200, every: 1s}");
    let mut server = site.start();
    let lows = send_lows(&server, 2_000);
    let critical = server.accept(&json!({"title": "shell on web-1", "severity": "critical"}));
    let id_of = |message: &Received| message.json()["incident"]["id"].as_str().unwrap_or_default().to_owned();
    wait::until("the critical passes 2,000 lows that wait", || {
        let seen = sink.received();
        if seen.iter().any(|message| id_of(message) == critical) { Ok(()) } else { Err(seen.len().to_string()) }
    });
    // The storm outlives the process.
    server.kill();
    sink.release();
    let server = site.start();
    wait_until_empty(&server);
    let received = sink.received();
    let summaries: Vec<Value> = received
        .iter()
        .filter(|message| type_of(message) == "incident.summary")
        .map(|message| message.json())
        .collect();
    assert!(!summaries.is_empty(), "{} messages", received.len());
    let told = summaries[0]["incident"]["description"].as_str().expect("a description");
    assert!(told.contains("Hosts: web-1 (") && told.contains("By severity: "), "{told}");
    let one_by_one: HashSet<String> =
        received.iter().filter(|message| type_of(message) == "incident.opened").map(id_of).collect();
    let mut gathered = 0;
    for id in &lows {
        let why = server.why(id);
        let status = &why["deliveries"][0]["status"];
        match status["suppressed"]["rule"].as_str() {
            Some(rule) => {
                assert_eq!(rule, "storm", "{why}");
                let because = status["suppressed"]["because"].as_str().unwrap_or_default();
                let named = summaries.iter().any(|s| because.contains(s["incident"]["id"].as_str().unwrap_or("?")));
                assert!(named, "{because}");
                gathered += 1;
            }
            None => assert!(status == "delivered" && one_by_one.contains(id), "{why}"),
        }
    }
    assert!(gathered >= 1_000, "{gathered} of 2,000");
}

#[test]
fn a_digest_holds_back_what_is_not_urgent_and_nothing_else() {
    let sink = Sink::start();
    // Twelve hours away, whatever the time is.
    let at = twelve_hours_from_now();
    let site = site(&sink, &format!("digest: {{at: \"{at}\", zone: UTC}}"));
    let server = site.start();
    let low = server.accept(&json!({"title": "later", "severity": "low"}));
    let high = server.accept(&json!({"title": "now", "severity": "high"}));
    server.wait_for_deliveries(&high, "delivered");
    assert_eq!(server.why(&low)["deliveries"][0]["status"], "waiting");
    assert_eq!(sink.count(), 1);
}

fn twelve_hours_from_now() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    format!("{:02}:00", (seconds / 3600 + 12) % 24)
}
