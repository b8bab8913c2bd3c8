//! SIGTERM: what is under way finishes, nothing is lost and nothing comes twice.

use balefire_tests::deliveries;
use balefire_tests::server::Site;
use balefire_tests::sink::Sink;
use balefire_tests::storm::Storm;
use balefire_tests::wait;
use serde_json::json;
use std::collections::HashSet;

fn site(sink: &Sink) -> Site {
    Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ))
}

#[test]
fn a_stop_in_the_middle_of_a_storm_loses_nothing_repeats_nothing_and_exits_with_0() {
    let sink = Sink::start();
    let site = site(&sink);
    let storm = Storm::begin(16);
    let mut server = site.start();
    storm.aim(server.address());
    for stop in 1..=3 {
        storm.wait_for(stop * 2_000);
        let status = server.terminate();
        assert!(status.success(), "{status}: {}", server.stderr());
        assert!(server.logged("stopping").is_some(), "{}", server.stderr());
        assert!(server.logged("stopped").is_some(), "{}", server.stderr());
        server = site.start();
        storm.aim(server.address());
    }
    let book = storm.end();
    let others: Vec<_> = book.refused.keys().filter(|status| **status != 503).collect();
    assert!(others.is_empty(), "a stopping server says 503 or nothing: {:?}", book.refused);
    let history: HashSet<String> = server.all_ids().into_iter().collect();
    let missing: Vec<_> = book.acknowledged.iter().filter(|id| !history.contains(*id)).take(5).collect();
    assert!(missing.is_empty(), "acknowledged, but not in the history: {missing:?} and maybe more");
    wait::until("everything is delivered", || {
        if sink.count() >= history.len() { Ok(()) } else { Err(format!("{} of {}", sink.count(), history.len())) }
    });
    let delivered = deliveries::count(&sink);
    assert_eq!(delivered.repeats, 0, "a stop in good order repeats nothing");
    assert_eq!(delivered.incidents, history);
}

#[test]
fn a_delivery_under_way_at_the_stop_is_finished_and_recorded() {
    let sink = Sink::start();
    sink.hold();
    let site = site(&sink);
    let mut server = site.start();
    let id = server.accept(&json!({"title": "under way", "severity": "critical"}));
    sink.wait_for(1);
    server.signal(rustix::process::Signal::TERM);
    wait::until("it says that it stops", || server.logged("stopping").ok_or_else(|| server.stderr()));
    sink.release();
    let status = server.wait_for_end();
    assert!(status.success(), "{status}: {}", server.stderr());

    let server = site.start();
    let why = server.why(&id);
    assert_eq!(why["deliveries"][0]["status"], "delivered", "{why}");
    assert_eq!(why["deliveries"][0]["attempts"], 1, "{why}");
    assert_eq!(sink.count(), 1);
}

#[test]
fn a_receiver_that_hangs_does_not_keep_the_server_from_stopping() {
    let sink = Sink::start();
    sink.always(balefire_tests::sink::Reply::Hang);
    let site = site(&sink);
    let mut server = site.start();
    let id = server.accept(&json!({"title": "hanging", "severity": "critical"}));
    sink.wait_for(1);
    let status = server.terminate();
    assert!(status.success(), "{status}: {}", server.stderr());
    sink.always(balefire_tests::sink::Reply::status(204));
    let server = site.start();
    server.wait_for_deliveries(&id, "delivered");
}

#[test]
fn the_socket_is_gone_after_a_stop() {
    let site = Site::new("routing: custom\n");
    let mut server = site.start();
    assert!(server.socket().exists());
    assert!(server.terminate().success());
    assert!(!server.socket().exists());
}
