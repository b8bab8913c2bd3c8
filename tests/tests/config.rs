//! Configuration as the built binary reads it: every problem at once, with its line and what is allowed; secrets from
//! files and the environment; and no file at all.

use balefire_tests::client::Connection;
use balefire_tests::server::{Site, binary};
use balefire_tests::wait;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

#[test]
fn every_problem_is_told_at_once_with_line_found_allowed_and_a_hint() {
    let site = Site::new(
        "data: [1]\nchanels: {}\nseverity_default: urgent\nchannels:\n  a: {webhook: {url: \"ftp://x\"}}\n  \
         b: {webhook: {url: \"http://169.254.169.254/latest\"}}\n  c: {console: {}, file: {path: x}}\nrouting: plann\n",
    );
    let output = site.run(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in [
        "balefire.yaml:1:",
        "balefire.yaml:2:",
        "channels",
        "balefire.yaml:3:",
        "critical",
        "balefire.yaml:5:",
        "balefire.yaml:6:",
        "metadata",
        "balefire.yaml:7:",
        "one kind",
        "balefire.yaml:8:",
        "plan, shipped, custom",
    ] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
    assert!(!site.path("data").exists(), "nothing was begun");
}

#[test]
fn a_secret_from_a_file_signs_and_is_shown_nowhere() {
    let sink = balefire_tests::sink::Sink::start();
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\", secret: {{file: \"{{dir}}/secret\"}}}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    fs::write(site.path("secret"), format!("{secret}\n")).expect("the directory is ours");
    let mut server = site.spawn(&["--log", "trace"], Stdio::null());
    server.wait_until_ready();
    let id = server.accept(&serde_json::json!({"title": "signed"}));
    server.wait_for_deliveries(&id, "delivered");
    let request = sink.received().remove(0);
    assert!(request.header("webhook-signature").is_some_and(|value| value.starts_with("v1,")), "{:?}", request.headers);
    assert!(!server.stderr().contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{}", server.stderr());
    fs::remove_file(site.path("secret")).expect("the secret is there");
    let refused = server.post("/api/v1/reload", "").expect(409).text();
    assert!(refused.contains("secret"), "a missing file is told: {refused}");
}

/// A process that ends with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

#[test]
fn without_any_file_it_serves_on_the_loopback_with_a_journal_in_the_current_directory() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let log = dir.path().join("stderr");
    let child = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .current_dir(dir.path())
        .env_remove("BALEFIRE_CONFIG")
        .env_remove("BALEFIRE_DATA")
        .stdin(Stdio::null())
        .stderr(File::create(&log).expect("the directory is ours"))
        .spawn()
        .expect("the binary can be started");
    let _guard = Guard(child);
    let socket = dir.path().join("balefire-data/balefire.sock");
    let mut connection = wait::until("the socket is served", || {
        Connection::unix(&socket).map_err(|error| format!("{error}; {}", fs::read_to_string(&log).unwrap_or_default()))
    });
    let body = b"{\"title\":\"no file at all\",\"severity\":\"critical\"}";
    let answer = connection.post("/api/v1/incidents", body).expect("an answer comes").expect(202);
    assert_eq!(answer.json()["accepted"], 1);
    // The built-in configuration has the console.
    wait::until("the console shows it", || match fs::read_to_string(&log) {
        Ok(text) if text.contains("no file at all") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn metrics_are_prometheus_text_and_count_what_happened() {
    let site = Site::new("channels: {screen: {console: {}}}\nrouting: custom\nroutes: [{name: all, to: [screen]}]\n");
    let server = site.start();
    let id = server.accept(&serde_json::json!({"title": "counted", "severity": "high"}));
    server.wait_for_deliveries(&id, "delivered");
    assert_eq!(server.post("/api/v1/incidents", "[{}]").expect(400).json()["refused"], 1);
    let text = server.get("/metrics").expect(200).text();
    for line in [
        "balefire_incidents_accepted_total{severity=\"high\"} 1",
        "balefire_incidents_refused_total{reason=\"invalid\"} 1",
        "balefire_deliveries_delivered_total{channel=\"screen\"} 1",
        "balefire_queue_depth{channel=\"screen\"} 0",
        "balefire_journal_fsync_seconds_count",
        "balefire_event_to_delivered_seconds_count{severity=\"high\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert_eq!(server.get("/healthz").expect(200).text(), "ok\n");
}
