//! A live systemd-journald, watched by the built binary: entries of our own come back through it, what it suppresses and that it
//! has stopped is told, and one that hangs is told by the entries that do not come back.

use balefire_tests::journald::Journald;
use balefire_tests::left_out;
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use balefire_tests::watched::{ids, wait_failing, wait_ok, watcher};
use std::time::Duration;

/// A journald that stopped may take half a minute to come back, before it is told.
const TOLD_WITHIN: Duration = Duration::from_secs(120);

fn watched(journald: &Journald) -> (Site, Server) {
    let (socket, directory) = (journald.socket(), journald.directory());
    let site = Site::new(&format!(
        "watch:\n  journald: {{directory: {}, every: 500ms}}\n  canary: [{{via: journal, socket: {}, directory: {}, every: 1s, deadline: 3s}}]\n",
        directory.display(),
        socket.display(),
        directory.display()
    ));
    let server = site.start();
    (site, server)
}

#[test]
fn entries_come_back_through_a_journald_that_lives_and_one_that_hangs_or_stops_is_told() {
    let Some(mut journald) = Journald::start() else { return };
    let (_site, server) = watched(&journald);
    let arrived = wait_ok(&server, "canary:journal");
    assert!(arrived["proof"].as_str().is_some_and(|proof| proof.contains("arrived after")), "{arrived}");
    wait_ok(&server, "journald");
    wait_ok(&server, "journald.files");
    journald.freeze();
    wait_failing(&server, "canary:journal", "canary.lost");
    assert_eq!(watcher(&server, "journald")["state"], "ok", "its journal says nothing of that");
    journald.thaw();
    wait_ok(&server, "canary:journal");
    journald.stop();
    wait::within(TOLD_WITHIN, "the stop is told", || {
        let watcher = watcher(&server, "journald");
        if ids(&watcher) == ["journal.stopped"] { Ok(()) } else { Err(watcher.to_string()) }
    });
    journald.resume();
    wait_ok(&server, "journald");
    wait_ok(&server, "canary:journal");
    let files = wait_ok(&server, "journald.files");
    assert_eq!(ids(&files), [""; 0], "a restart leaves no gap and removes nothing: {files}");
}

#[test]
fn what_a_live_journald_suppresses_is_told() {
    let Some(journald) = Journald::start() else { return };
    let (_site, server) = watched(&journald);
    wait_ok(&server, "journald");
    let service = format!("balefire-test-{}.service", std::process::id());
    if !journald.flood(&service, 1000) {
        return left_out("this machine does not let a test have a service of its own");
    }
    let told = wait_failing(&server, "journald", "journal.suppressed");
    assert_eq!(told["failures"][0]["severity"], "medium", "{told}");
    assert!(told.to_string().contains(&service), "{told}");
}
