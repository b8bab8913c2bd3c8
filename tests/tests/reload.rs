//! A new configuration comes into force whole, or the old one stays; nothing is sent again because of it.

use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use balefire_tests::wait;
use serde_json::json;

fn config(sink: &Sink, to: &str) -> String {
    format!(
        "channels:\n  one: {{webhook: {{url: \"{0}/one\"}}}}\n  two: {{webhook: {{url: \"{0}/two\"}}}}\ndedup: {{enabled: false}}\nrouting: custom\nroutes: [{{name: all, to: [{to}]}}]\n",
        sink.url()
    )
}

/// Sends one incident and gives the channels that got it.
fn channels_of_one(server: &Server) -> Vec<String> {
    let id = server.accept(&json!({"title": "which channel", "severity": "high"}));
    let why = server.wait_for_deliveries(&id, "delivered");
    let deliveries = why["deliveries"].as_array().expect("a list").iter();
    deliveries.map(|delivery| delivery["channel"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn after_a_reload_by_api_or_signal_the_new_routes_hold_and_nothing_is_sent_again() {
    let sink = Sink::start();
    let site = Site::new(&config(&sink, "one"));
    let server = site.start();
    assert_eq!(channels_of_one(&server), ["one"]);
    site.configure(&config(&sink, "two"));
    assert_eq!(channels_of_one(&server), ["one"], "a file alone changes nothing");
    let answer = server.post("/api/v1/reload", "").expect(200);
    assert_eq!(answer.json()["reloaded"], true);
    assert_eq!(channels_of_one(&server), ["two"]);
    site.configure(&config(&sink, "one, two"));
    server.hang_up();
    wait::until("the signal is answered", || {
        let reloads = server.stderr().matches("configuration reloaded").count();
        if reloads == 2 { Ok(()) } else { Err(server.stderr()) }
    });
    assert_eq!(channels_of_one(&server), ["one", "two"]);
    assert_eq!(sink.count(), 5, "each delivery was sent once");
}

#[test]
fn a_broken_file_leaves_the_old_configuration_in_force_and_tells_every_problem() {
    let sink = Sink::start();
    let site = Site::new(&config(&sink, "one"));
    let server = site.start();
    site.configure("channels: {one: {webhok: {}}}\nrouting: sometimes\nroutes: [{name: all, to: [nobody]}]\n");
    let refused = server.post("/api/v1/reload", "").expect(409).json()["detail"].as_str().expect("a text").to_owned();
    for words in
        ["balefire.yaml:1:", "webhok", "balefire.yaml:2:", "sometimes", "balefire.yaml:3:", "nobody", "stays in force"]
    {
        assert!(refused.contains(words), "{words:?} is not in:\n{refused}");
    }
    server.hang_up();
    wait::until("the signal is answered", || {
        server.logged("configuration not reloaded; the old one stays in force").ok_or_else(|| server.stderr())
    });
    assert_eq!(channels_of_one(&server), ["one"]);
}

#[test]
fn what_cannot_change_in_a_running_process_is_refused_by_name() {
    let sink = Sink::start();
    let site = Site::new(&config(&sink, "one"));
    let server = site.start();
    site.configure(&format!("{}socket: {{path: \"{{dir}}/elsewhere.sock\"}}\n", config(&sink, "two")));
    let refused = server.post("/api/v1/reload", "").expect(409).text();
    assert!(refused.contains("socket") && refused.contains("restart"), "{refused}");
    assert_eq!(channels_of_one(&server), ["one"]);
}

#[test]
fn what_waits_for_a_channel_survives_a_reload() {
    let sink = Sink::start();
    sink.hold();
    let site = Site::new(&config(&sink, "one"));
    let server = site.start();
    let items: Vec<_> = (0..100).map(|nth| json!({"title": format!("waits {nth}")})).collect();
    let ids = server.send(&json!(items)).expect(202).ids();
    sink.wait_for(64);
    site.configure(&config(&sink, "two"));
    assert_eq!(server.post("/api/v1/reload", "").expect(200).json()["reloaded"], true);
    sink.release();
    for id in &ids {
        let why = server.wait_for_deliveries(id, "delivered");
        assert_eq!(why["deliveries"][0]["channel"], "one", "{why}");
    }
    let delivered = balefire_tests::deliveries::count(&sink);
    assert_eq!(delivered.incidents.len(), 100);
    assert_eq!(delivered.repeats, 0, "a reload repeats nothing");
}
