//! Heartbeats over HTTP and by command: who may send them, what they tell, and that a crash forgets nothing of a job.

#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_tests::client::{Answer, Connection, token_hash};
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use balefire_tests::watched::{PATIENCE, wait_for_newest, wait_for_state, watcher};

const FIREWALL: &str = "firewall-token-1f0e";
const JOBS: &str = "jobs-token-77aa";
const ADMIN: &str = "admin-token-c0de";

/// A timetable whose next time is months away, or was: only what the job itself tells counts.
fn yearly(more: &str) -> String {
    format!("schedule: {{cron: '0 0 1 1 *', start_grace: 365d{more}}}")
}

fn site(sources: &str) -> Site {
    Site::new(&format!(
        "http:\n  listen: \"127.0.0.1:0\"\n  tokens:\n    fw-01: {{sha256: {}, rate: 20/h}}\n    \
         jobs: {{sha256: {}, heartbeats: [\"job-*\"]}}\n    soc: {{sha256: {}, role: admin}}\nrouting: custom\n\
         watch:\n  source:\n{sources}",
        token_hash(FIREWALL),
        token_hash(JOBS),
        token_hash(ADMIN)
    ))
}

fn ask(server: &Server, token: Option<&str>, (method, path): (&str, &str)) -> Answer {
    let connection = Connection::tcp(server.address()).unwrap();
    let mut connection = match token {
        Some(token) => connection.with_token(token),
        None => connection,
    };
    connection.request(method, &format!("/api/v1/heartbeat/{path}"), &[], b"").unwrap()
}

#[test]
fn only_who_is_known_sends_heartbeats_and_each_for_its_own_sources() {
    let beat = "heartbeat: {every: 1h}";
    let sources = format!("  - {{id: fw-01, {beat}}}\n  - {{id: job-1, {}}}\n  - {{id: other, {beat}}}\n", yearly(""));
    let site = site(&sources);
    let server = site.start();
    for (token, request, status) in [
        (None, ("GET", "fw-01"), 401),
        (Some("guess"), ("POST", "fw-01"), 401),
        (Some(FIREWALL), ("GET", "fw-01"), 200),
        (Some(FIREWALL), ("POST", "fw-01"), 200),
        (Some(FIREWALL), ("HEAD", "fw-01"), 200),
        (Some(FIREWALL), ("PUT", "fw-01"), 405),
        (Some(FIREWALL), ("POST", "other"), 403),
        (Some(JOBS), ("POST", "job-1/start"), 200),
        (Some(JOBS), ("POST", "other"), 403),
        (Some(JOBS), ("POST", "job-2"), 404),
        (Some(JOBS), ("POST", "job-1/stop"), 404),
        (Some(FIREWALL), ("POST", "fw-01/fail"), 409),
        (Some(ADMIN), ("POST", "other"), 200),
        (Some(ADMIN), ("POST", "%0d%0anobody"), 404),
    ] {
        // The answer to HEAD has no body, whatever its length says.
        if request.0 == "HEAD" {
            let mut connection = Connection::tcp(server.address()).unwrap().with_token(token.unwrap());
            let head = connection.head("HEAD", &format!("/api/v1/heartbeat/{}", request.1), &[], &[]);
            connection.write(&head).unwrap();
            assert_eq!(connection.status().unwrap(), status);
            continue;
        }
        let answer = ask(&server, token, request);
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
        assert!(
            status == 200
                || answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("allowed") || status == 405)
        );
    }
    wait_for_state(&server, "source:fw-01", "ok");
    for _ in 0..20 {
        ask(&server, Some(FIREWALL), ("GET", "fw-01"));
    }
    assert_eq!(ask(&server, Some(FIREWALL), ("GET", "fw-01")).status, 429, "the rate of the token holds");
    let large = vec![b'x'; 20 * 1024];
    let mut connection = Connection::tcp(server.address()).unwrap().with_token(ADMIN);
    assert_eq!(connection.request("POST", "/api/v1/heartbeat/job-1/fail", &[], &large).unwrap().status, 413);
}

#[test]
fn a_heartbeat_over_http_is_a_sign_of_life() {
    let site = site("  - {id: fw-01, heartbeat: {every: 2s, grace: 1s}}\n");
    let server = site.start();
    let silent = wait_for_newest(&server, ("source.silent", "began"));
    assert_eq!(silent["incident"]["severity"], "high");
    wait::within(PATIENCE, "the source is heard", || {
        ask(&server, Some(ADMIN), ("GET", "fw-01")).expect(200);
        let shown = server.show(silent["incident"]["id"].as_str().unwrap());
        if shown["state"] == "resolved" { Ok(()) } else { Err(shown.to_string()) }
    });
}

#[test]
fn a_job_that_fails_is_told_with_its_reason_until_a_run_ends_well_also_over_a_crash() {
    let site = site(&format!("  - {{id: job-1, {}}}\n", yearly("")));
    let mut server = site.start();
    let fail = site.run(&["heartbeat", "job-1", "--fail", "--reason", "exit \u{1b}[2Jcode\n3 <b>"]);
    assert!(fail.status.success(), "{fail:?}");
    server.kill();
    let server = site.start();
    let failed = wait_for_newest(&server, ("source.failed", "began"));
    assert_eq!(failed["incident"]["severity"], "high");
    let title = failed["incident"]["title"].as_str().unwrap();
    assert!(title.contains("code") && !title.contains(['\u{1b}', '\n']), "{title:?}");
    assert!(site.run(&["heartbeat", "job-1", "--start"]).status.success());
    assert_eq!(watcher(&server, "source:job-1")["state"], "failing", "a begin proves nothing");
    assert!(site.run(&["heartbeat", "job-1"]).status.success());
    wait_for_newest(&server, ("source.failed", "over"));
    let well = wait_for_state(&server, "source:job-1", "ok");
    assert!(well["proof"].as_str().unwrap().contains("it took"), "{well}");
    let unknown = site.run(&["heartbeat", "nobody"]);
    assert_eq!(unknown.status.code(), Some(5));
}

#[test]
fn a_run_that_does_not_end_in_its_time_is_told_until_it_ends() {
    let site = site(&format!("  - {{id: job-1, severity: critical, {}}}\n", yearly(", run_max: 2s")));
    let server = site.start();
    ask(&server, Some(JOBS), ("GET", "job-1/start")).expect(200);
    let overrun = wait_for_newest(&server, ("source.overrun", "began"));
    assert_eq!(overrun["incident"]["severity"], "critical");
    ask(&server, Some(JOBS), ("GET", "job-1")).expect(200);
    wait_for_newest(&server, ("source.overrun", "over"));
}

#[test]
fn a_run_that_was_heard_a_moment_before_a_crash_is_not_late_after_it() {
    // Each minute; the run of the last one is heard, and the server dies at once.
    let site = site("  - {id: job-1, schedule: {cron: '* * * * *', start_grace: 5m, early_tolerance: 10m}}\n");
    let mut server = site.start();
    ask(&server, Some(JOBS), ("POST", "job-1")).expect(200);
    server.kill();
    let server = site.start();
    let well = wait_for_state(&server, "source:job-1", "ok");
    assert!(well["proof"].as_str().unwrap().contains("was heard"), "{well}");
}
