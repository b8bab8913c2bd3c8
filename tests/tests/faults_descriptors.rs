//! A server without file descriptors, because others hold its connections open: who is connected is served, nothing is
//! lost, and it goes on by itself when there are some again.

use balefire_tests::deliveries::nothing_is_lost;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use balefire_tests::storm::Storm;
use balefire_tests::{note, wait};
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpStream;
use std::time::Duration;

/// How many descriptors the server has beside those that it needs when nothing happens: enough for its channel.
const SPARE: u64 = 200;

/// How many connections that do nothing are opened between two looks.
const BATCH: usize = 50;

/// How long the kernel has to take a connection; where it does not, as many wait as may wait.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);

fn site(sink: &Sink) -> Site {
    Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}, retry: {{initial: 200ms, cap: 1s}}}}}}\ndedup: {{enabled: false}}\nrouting: custom\n\
         routes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ))
}

fn descriptors(server: &Server) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the process lives").count() as u64
}

/// Lets the server have so many descriptors.
fn limit(server: &Server, count: u64) {
    let limit = Rlimit { current: Some(count), maximum: Some(4_096) };
    prlimit(Some(server.process()), Resource::Nofile, limit).expect("the server is ours");
}

/// Takes all descriptors that the server may have until the connections are closed.
#[must_use]
fn take_all(server: &Server) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect_timeout(&server.address(), CONNECT_TIME_MAX).ok();
    let mut idle: Vec<TcpStream> = Vec::new();
    wait::until("the server says that it has none left", || {
        idle.extend((0..BATCH).map_while(connect));
        let said = server.logged("no connection could be accepted; trying again");
        said.map(drop).ok_or_else(|| format!("{} connections, {} descriptors", idle.len(), descriptors(server)))
    });
    idle
}

#[test]
fn idle_connections_that_take_every_descriptor_stop_nobody_who_is_connected_and_lose_nothing() {
    let sink = Sink::start();
    let site = site(&sink);
    let server = site.start();
    limit(&server, descriptors(&server) + SPARE);
    let storm = Storm::begin(4);
    storm.aim(server.address());
    storm.wait_for(200);
    let idle = take_all(&server);
    storm.wait_for(storm.acknowledged() + 1_000);
    let book = storm.end();
    drop(idle);
    let new = server.accept(&json!({"title": "there are descriptors again", "severity": "critical"}));
    assert!(book.refused.is_empty() && book.unanswered == 0, "{:?}, {} unanswered", book.refused, book.unanswered);
    let everything: Vec<String> = book.acknowledged.iter().cloned().chain([new]).collect();
    let delivered = nothing_is_lost(&server, &sink, &everything);
    note(&format!(
        "idle connections take all of {SPARE} descriptors: {} acknowledged, 0 lost, {} deliveries repeated",
        everything.len(),
        delivered.repeats
    ));
}

#[test]
fn a_journal_that_needs_a_new_file_and_gets_none_waits_for_it_and_loses_nothing() {
    let sink = Sink::start();
    let site = site(&sink);
    let server = site.start();
    let mut connection = server.connect().expect("the server listens");
    let incident = |nth: usize| json!({"title": format!("large {nth}"), "description": "x".repeat(60_000)});
    let items: Vec<Value> = (0..100).map(incident).collect();
    let body = Value::from(items).to_string();
    let first = connection.post("/api/v1/incidents", body.as_bytes()).expect("an answer comes").expect(202);
    let mut acknowledged = first.ids();
    limit(&server, descriptors(&server) + SPARE);
    let idle = take_all(&server);
    // A segment has 64 MiB.
    let refused = (0..20).find_map(|_| {
        let answer = connection.post("/api/v1/incidents", body.as_bytes()).expect("an answer comes");
        if answer.status != 202 {
            return Some(answer);
        }
        acknowledged.extend(answer.ids());
        None
    });
    let refused = refused.expect("it needs a second file").expect(503);
    assert!(refused.header("retry-after").is_some(), "{}", refused.text());
    assert_eq!(site.segments().len(), 1, "{}", refused.text());
    drop(idle);
    let more = wait::until("it takes incidents again", || {
        match connection.post("/api/v1/incidents", body.as_bytes()).expect("an answer comes") {
            answer if answer.status == 202 => Ok(answer.ids()),
            answer => Err(answer.text()),
        }
    });
    acknowledged.extend(more);
    assert_eq!(site.segments().len(), 2);
    let _ = nothing_is_lost(&server, &sink, &acknowledged);
}
