//! The watch from outside: two Balefires that wait for each other's heartbeats, and tell when one is killed or is not well.

#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_tests::daemon::free_address;
use balefire_tests::disk::SmallDisk;
use balefire_tests::server::{Server, Site};
use balefire_tests::{left_out, note, wait};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A machine that does much else takes its time.
const PATIENCE: Duration = Duration::from_secs(90);

const TOKEN: &str = "heartbeat-token-e5d1";

fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One that waits for `peer`, and sends heartbeats under its own name to where that one listens.
fn site((name, listen): (&str, SocketAddr), (peer, at): (&str, SocketAddr), token: &str) -> Site {
    Site::new(&format!(
        "http:\n  listen: \"{listen}\"\n  tokens: {{{peer}: {{sha256: {}}}}}\nrouting: custom\nroutes: []\nwatch:\n  \
         self: {{outside: {{url: \"http://{at}/api/v1/heartbeat/{name}\", every: 1s, token: {token}}}}}\n  \
         source: [{{id: {peer}, heartbeat: {{every: 5s, grace: 3s}}}}]\n",
        hash(TOKEN)
    ))
}

fn wait_for_state(server: &Server, name: &str, expected: &str) -> Value {
    wait::within(PATIENCE, &format!("{name} is {expected}"), || {
        let answer = server.get("/api/v1/watch").expect(200).json();
        let all = answer["watchers"].as_array().unwrap().clone();
        let found = all.iter().find(|watcher| watcher["name"] == name).unwrap().clone();
        if found["state"] == expected { Ok(found) } else { Err(found.to_string()) }
    })
}

fn wait_for_told(server: &Server, (rule, change): (&str, &str)) -> Value {
    wait::within(PATIENCE, &format!("{rule}: {change}"), || {
        let rows = server.list(&format!("limit=100&rule=watch.{rule}"));
        let shown: Vec<Value> = rows.iter().map(|row| server.show(row["id"].as_str().unwrap())).collect();
        let found = shown.iter().find(|shown| shown["incident"]["labels"]["change"] == change);
        found.cloned().ok_or_else(|| json!(shown).to_string())
    })
}

/// Kills one; the other tells, and tells that it is over when the first is back.
fn kill_and_bring_back(killed: (&Site, Server), (name, other): (&str, &Server)) -> Server {
    let (site, mut server) = killed;
    let begin = Instant::now();
    server.kill();
    let silent = wait_for_told(other, ("source.silent", "began"));
    note(&format!("{name} was told as silent {:.1} s after SIGKILL (limit 8 s)", begin.elapsed().as_secs_f64()));
    assert_eq!(silent["incident"]["labels"]["source_name"], name);
    assert_eq!(silent["incident"]["severity"], "high");
    let failing = wait_for_told(other, ("self.outside_failing", "began"));
    assert_eq!(failing["incident"]["severity"], "medium");
    let server = site.start();
    wait_for_told(other, ("source.silent", "over"));
    wait_for_told(other, ("self.outside_failing", "over"));
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
    let failing = wait_for_told(&server_a, ("self.outside_failing", "began"));
    assert!(failing["incident"]["title"].as_str().unwrap().contains("answers 401"), "{failing}");
    let good = std::fs::read_to_string(site_a.path("balefire.yaml")).unwrap().replace("revoked-token-00", TOKEN);
    site_a.configure(&good);
    server_a.hang_up();
    wait_for_told(&server_a, ("self.outside_failing", "over"));
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
    wait_for_told(&server_b, ("source.silent", "began"));
    let withheld = wait_for_state(&server_a, "self.journal", "failing");
    assert_eq!(withheld["failures"][0]["id"], "self.db_write_failed");
    disk.empty();
    wait_for_told(&server_b, ("source.silent", "over"));
}
