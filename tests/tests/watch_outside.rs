//! The watch from outside: two Balefires that wait for each other's heartbeats, and tell when one is killed or is not well.

use balefire_tests::client::token_hash;
use balefire_tests::daemon::free_address;
use balefire_tests::disk::SmallDisk;
use balefire_tests::server::{Server, Site};
use balefire_tests::watched::{PATIENCE, wait_for_newest, wait_for_state};
use balefire_tests::{left_out, note, wait};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Instant;

const TOKEN: &str = "heartbeat-token-e5d1";

/// One that waits for `peer`, and sends heartbeats under its own name to where that one listens.
fn site((name, listen): (&str, SocketAddr), (peer, at): (&str, SocketAddr), token: &str) -> Site {
    Site::new(&format!(
        "http:\n  listen: \"{listen}\"\n  tokens: {{{peer}: {{sha256: {}}}}}\nrouting: custom\nroutes: []\nwatch:\n  \
         self: {{outside: {{url: \"http://{at}/api/v1/heartbeat/{name}\", every: 1s, token: {token}}}}}\n  \
         source: [{{id: {peer}, heartbeat: {{every: 5s, grace: 3s}}}}]\n",
        token_hash(TOKEN)
    ))
}

/// Kills one; the other tells, and tells that it is over when the first is back.
fn kill_and_bring_back(killed: (&Site, Server), (name, other): (&str, &Server)) -> Server {
    let (site, mut server) = killed;
    let begin = Instant::now();
    server.kill();
    let silent = wait_for_newest(other, ("source.silent", "began"));
    note(&format!("{name} was told as silent {:.1} s after SIGKILL (limit 8 s)", begin.elapsed().as_secs_f64()));
    assert_eq!(silent["incident"]["labels"]["source_name"], name);
    assert_eq!(silent["incident"]["severity"], "high");
    let failing = wait_for_newest(other, ("self.outside_failing", "began"));
    assert_eq!(failing["incident"]["severity"], "medium");
    let server = site.start();
    wait_for_newest(other, ("source.silent", "over"));
    wait_for_newest(other, ("self.outside_failing", "over"));
    server
}

#[test]
fn two_that_wait_for_each_other_tell_when_one_is_killed_whichever_it_is() {
    let (at_a, at_b) = (free_address(), free_address());
    let (site_a, site_b) = (site(("a", at_a), ("b", at_b), TOKEN), site(("b", at_b), ("a", at_a), TOKEN));
    let (server_a, server_b) = (site_a.start(), site_b.start());
    for (server, peer) in [(&server_a, "source:b"), (&server_b, "source:a")] {
        wait_for_state(server, peer, "ok");
        wait_for_state(server, "self.outside", "ok");
    }
    let server_a = kill_and_bring_back((&site_a, server_a), ("a", &server_b));
    let server_b = kill_and_bring_back((&site_b, server_b), ("b", &server_a));
    for server in [&server_a, &server_b] {
        assert!(!server.stderr().contains(TOKEN) && !server.get("/api/v1/watch").text().contains("heartbeat/"));
    }
}

#[test]
fn heartbeats_that_the_peer_refuses_are_told_until_it_takes_them() {
    let (at_a, at_b) = (free_address(), free_address());
    let (site_a, site_b) = (site(("a", at_a), ("b", at_b), "revoked-token-00"), site(("b", at_b), ("a", at_a), TOKEN));
    let (server_a, _server_b) = (site_a.start(), site_b.start());
    let failing = wait_for_newest(&server_a, ("self.outside_failing", "began"));
    assert!(failing["incident"]["title"].as_str().unwrap().contains("answers 401"), "{failing}");
    let good = std::fs::read_to_string(site_a.path("balefire.yaml")).unwrap().replace("revoked-token-00", TOKEN);
    site_a.configure(&good);
    server_a.hang_up();
    wait_for_newest(&server_a, ("self.outside_failing", "over"));
}

#[test]
fn heartbeats_are_withheld_while_the_journal_takes_nothing() {
    let (at_a, at_b) = (free_address(), free_address());
    let (site_a, site_b) = (site(("a", at_a), ("b", at_b), TOKEN), site(("b", at_b), ("a", at_a), TOKEN));
    let Some(disk) = SmallDisk::mount(&site_a.path("data"), 24) else {
        return left_out("this user may not mount a small disk");
    };
    let (server_a, server_b) = (site_a.start(), site_b.start());
    wait_for_state(&server_b, "source:a", "ok");
    disk.fill();
    wait::within(PATIENCE, "the journal takes nothing", || {
        let large = json!({"title": "large", "severity": "low", "description": "x".repeat(100_000)});
        let status = server_a.send(&large).status;
        if status == 503 { Ok(()) } else { Err(status.to_string()) }
    });
    wait_for_newest(&server_b, ("source.silent", "began"));
    let withheld = wait_for_state(&server_a, "self.journal", "failing");
    assert_eq!(withheld["failures"][0]["id"], "self.db_write_failed");
    disk.empty();
    wait_for_newest(&server_b, ("source.silent", "over"));
}
