//! `kill -9` at any moment: what was acknowledged is there afterwards and is delivered; what was under way comes again
//! under the same id.

use balefire_tests::deliveries;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use balefire_tests::storm::Storm;
use balefire_tests::wait;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

/// Acknowledged incidents in one storm.
const STORM: usize = 50_000;

/// Kills in one storm.
const KILLS: usize = 20;

/// What a webhook channel has under way at most, and what it has of incidents that are not critical.
const IN_FLIGHT: usize = 128;
const ORDINARY_IN_FLIGHT: usize = 120;

fn site(sink: &Sink) -> Site {
    Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ))
}

fn wait_until_drained(server: &Server, sink: &Sink) {
    let mut last = 0;
    loop {
        // As long as deliveries come, however slowly, there is reason to wait.
        let depth = wait::until("the queue is empty, or more was delivered", || {
            let channels = server.get("/api/v1/channels").expect(200).json();
            let depth = channels["channels"][0]["queue"]["depth"].as_u64();
            if depth == Some(0) || sink.count() > last { Ok(depth) } else { Err(channels.to_string()) }
        });
        if depth == Some(0) {
            return;
        }
        last = sink.count();
        wait::pause(Duration::from_millis(50));
    }
}

fn storm_with_kills() {
    let sink = Sink::start();
    let site = site(&sink);
    let storm = Storm::begin(16);
    let mut server = site.start();
    storm.aim(server.address());
    for kill in 1..=KILLS {
        // A prime beside the step, so that kills do not fall on batch boundaries.
        storm.wait_for((STORM * kill / (KILLS + 1) + 131 * kill % 97).max(storm.acknowledged() + 1));
        server.kill();
        server = site.start();
        storm.aim(server.address());
    }
    storm.wait_for(STORM);
    let book = storm.end();
    assert!(book.refused.is_empty(), "nothing is refused in this storm: {:?}", book.refused);
    wait_until_drained(&server, &sink);

    let acknowledged: HashSet<String> = book.acknowledged.iter().cloned().collect();
    assert_eq!(acknowledged.len(), book.acknowledged.len(), "an id was given twice");
    let history: HashSet<String> = server.all_ids().into_iter().collect();
    let missing: Vec<_> = acknowledged.difference(&history).take(5).collect();
    assert!(missing.is_empty(), "acknowledged, but not in the history: {missing:?} and maybe more");
    let delivered = deliveries::count(&sink);
    let undelivered: Vec<_> = history.difference(&delivered.incidents).take(5).collect();
    assert!(undelivered.is_empty(), "in the history, but never delivered: {undelivered:?} and maybe more");
    let invented: Vec<_> = delivered.incidents.difference(&history).take(5).collect();
    assert!(invented.is_empty(), "delivered, but not in the history: {invented:?} and maybe more");
    assert!(delivered.repeats <= KILLS * IN_FLIGHT, "{} repeats after {KILLS} kills", delivered.repeats);
    balefire_tests::note(&format!(
        "{KILLS} kills: {} acknowledged, {} in the history, {} requests unanswered, {} deliveries repeated",
        acknowledged.len(),
        history.len(),
        book.unanswered,
        delivered.repeats
    ));
}

/// Twenty kills in 50,000 incidents; `BALEFIRE_KILLS=200` makes ten such storms.
#[test]
fn no_acknowledged_incident_is_lost_and_only_what_was_in_flight_is_repeated_however_often_it_is_killed() {
    let kills = std::env::var("BALEFIRE_KILLS").ok();
    let kills: usize = kills.map_or(KILLS, |kills| kills.parse().expect("BALEFIRE_KILLS is a number"));
    for _ in 0..kills.div_ceil(KILLS) {
        storm_with_kills();
    }
}

#[test]
fn what_was_acknowledged_right_before_the_kill_is_there_and_delivered_after_the_restart() {
    let sink = Sink::start();
    // Held: without an answer from the receiver nothing can have been delivered before.
    sink.hold();
    let site = site(&sink);
    for nth in 0..5 {
        let mut server = site.start();
        let id = server.accept(&json!({"title": format!("kill {nth}"), "severity": "critical"}));
        server.kill();
        sink.release();
        let server = site.start();
        let why = server.wait_for_deliveries(&id, "delivered");
        assert_eq!(why["title"], format!("kill {nth}"));
        sink.hold();
    }
}

#[test]
fn attempts_under_way_at_the_kill_are_made_again_under_the_same_id_and_the_story_says_so() {
    let sink = Sink::start();
    sink.hold();
    let site = site(&sink);
    let mut server = site.start();
    let items: Vec<Value> = (0..200).map(|nth| json!({"title": format!("in flight {nth}")})).collect();
    let ids = server.send(&Value::from(items)).expect(202).ids();
    sink.wait_for(ORDINARY_IN_FLIGHT);
    server.kill();
    let interrupted = sink.received();
    assert_eq!(interrupted.len(), ORDINARY_IN_FLIGHT, "no more than the window is under way");
    sink.release();

    let server = site.start();
    wait_until_drained(&server, &sink);
    let delivered = deliveries::count(&sink);
    assert_eq!(delivered.incidents, ids.into_iter().collect());
    assert_eq!(delivered.repeats, ORDINARY_IN_FLIGHT);
    let id = interrupted[0].json()["incident"]["id"].as_str().expect("an id").to_owned();
    let why = server.why(&id);
    assert_eq!(why["deliveries"][0]["attempts"], 2, "{why}");
    let told = |line: &Value| line["text"].as_str().is_some_and(|text| text.contains("interrupted"));
    assert!(why["story"].as_array().expect("a list").iter().any(told), "{why}");
}

#[test]
fn a_delivery_that_waits_for_its_next_attempt_survives_the_kill() {
    let sink = Sink::start();
    sink.always(balefire_tests::sink::Reply::status(503));
    let site = site(&sink);
    let mut server = site.start();
    let id = server.accept(&json!({"title": "the receiver is down", "severity": "high"}));
    sink.wait_for(1);
    wait::until("the failed attempt is recorded", || {
        let why = server.why(&id);
        if why["deliveries"][0]["status"]["retrying"].is_string() { Ok(()) } else { Err(why.to_string()) }
    });
    server.kill();
    sink.always(balefire_tests::sink::Reply::status(204));
    let server = site.start();
    server.wait_for_deliveries(&id, "delivered");
    let ids: HashSet<String> =
        sink.received().iter().filter_map(|request| request.header("webhook-id").map(str::to_owned)).collect();
    assert_eq!(ids.len(), 1, "every attempt has the same id");
}
