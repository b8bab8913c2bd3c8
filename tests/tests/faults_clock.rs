//! A clock that is set forward and back while the server runs: nothing is lost, nothing becomes two deliveries, and what
//! waits goes on.

use balefire_tests::clock;
use balefire_tests::deliveries::nothing_is_lost;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::{Reply, Sink};
use balefire_tests::storm::Storm;
use balefire_tests::{note, wait};
use serde_json::json;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A site whose servers follow a clock that can be set.
fn site(sink: &Sink) -> Site {
    clock::with_own_clock(Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}, retry: {{initial: 200ms, cap: 500ms}}}}}}\nrouting: custom\n\
         routes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    )))
}

/// By how many seconds the server's clock differs from the machine's, as an incident that it has just received says.
fn seconds_off(server: &Server, id: &str) -> i64 {
    let received = server.show(id)["incident"]["received_at"].as_str().expect("a time").to_owned();
    let output = Command::new("date").args(["-u", "+%s", "-d", &received]).output().expect("date can be started");
    let received: i64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("date prints seconds");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    received - i64::try_from(now.as_secs()).expect("it is not so late")
}

#[test]
fn a_clock_that_is_set_forward_and_back_under_load_loses_nothing_and_doubles_nothing() {
    let sink = Sink::start();
    let site = site(&sink);
    let mut server = site.start();
    let storm = Storm::begin(4);
    storm.aim(server.address());
    let mut acknowledged = Vec::new();
    for seconds in [7_200, 3_600, -5, 0, 86_400, -86_400, 0] {
        clock::set(&site, seconds);
        acknowledged
            .push(server.accept(&json!({"title": format!("the clock is {seconds} s off"), "severity": "critical"})));
        let off = seconds_off(&server, &acknowledged[acknowledged.len() - 1]);
        assert!((off - seconds).abs() < 60, "the server follows the clock: {off} s off, {seconds} s wanted");
        storm.wait_for(storm.acknowledged() + 300);
    }
    let book = storm.end();
    assert!(book.refused.is_empty() && book.unanswered == 0, "{:?}, {} unanswered", book.refused, book.unanswered);
    acknowledged.extend(book.acknowledged);
    // A restart while the clock is behind, too.
    clock::set(&site, -3_600);
    server.kill();
    let server = site.start();
    let delivered = nothing_is_lost(&server, &sink, &acknowledged);
    note(&format!(
        "clock set 8 times by up to a day: {} acknowledged, 0 lost, {} deliveries repeated",
        acknowledged.len(),
        delivered.repeats
    ));
}

#[test]
fn what_waits_for_its_next_attempt_survives_a_clock_that_is_set_and_comes_under_its_id() {
    let sink = Sink::start();
    sink.always(Reply::status(503));
    let site = site(&sink);
    let server = site.start();
    let mut ids = Vec::new();
    for seconds in [0, 3_600, 7_200, 7_198] {
        clock::set(&site, seconds);
        for nth in 0..20 {
            ids.push(server.accept(&json!({"title": format!("{nth} at {seconds} s"), "severity": "high"})));
        }
        let before = sink.count();
        wait::until("attempts go on", || {
            let count = sink.count();
            if count >= before + 3 { Ok(()) } else { Err(format!("{count} requests")) }
        });
    }
    sink.always(Reply::status(204));
    let delivered = nothing_is_lost(&server, &sink, &ids);
    assert_eq!(delivered.incidents.len(), ids.len());
}
