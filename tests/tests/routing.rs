//! Who hears of what: the two presets by kind of channel, and routes of one's own. `why` tells the reason.

use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

const SEVERITIES: [&str; 5] = ["critical", "high", "medium", "low", "info"];

/// A channel of each kind that the presets name. Nobody answers at the mail's port: that the mail was decided on is
/// what counts here.
const CHANNELS: &str = "channels:\n  mail: {email: {host: 127.0.0.1, port: 1, tls: none, from: b@example.org, to: [s@example.org]}}\n  \
     log: {syslog: {to: \"{dir}/log\"}}\n  screen: {console: {}}\n  archive: {file: {path: \"{dir}/archive.jsonl\"}}\n";

/// The names of the channels that an incident was decided to go to, sorted.
fn channels_of(server: &Server, id: &str) -> Vec<String> {
    let why = server.why(id);
    let deliveries = why["deliveries"].as_array().expect("a list").iter();
    let mut names: Vec<String> =
        deliveries.map(|delivery| delivery["channel"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

/// Sends one incident of each severity and gives the ids.
fn send_each(server: &Server, cui: bool) -> Vec<String> {
    let of = |severity: &&str| {
        let mut incident = json!({"title": format!("a {severity} one"), "severity": severity, "cui_involved": cui});
        incident["labels"] = json!({"cui": cui.to_string()});
        incident
    };
    server.send(&SEVERITIES.iter().map(of).collect()).expect(202).ids()
}

struct Log(UnixDatagram);

impl Log {
    fn bind(site: &Site) -> Log {
        let socket = UnixDatagram::bind(site.path("log")).expect("a socket can be made");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket takes a timeout");
        Log(socket)
    }

    /// The next `count` messages.
    fn take(&self, count: usize) -> Vec<String> {
        (0..count).map(|nth| self.next().unwrap_or_else(|| panic!("message {nth} of {count} did not come"))).collect()
    }

    fn next(&self) -> Option<String> {
        let mut buffer = [0; 8192];
        match self.0.recv(&mut buffer) {
            Ok(length) => Some(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn is_silent(&self) -> bool {
        self.0.set_nonblocking(true).expect("a socket can be switched");
        self.next().is_none()
    }
}

#[test]
fn plan_sends_critical_to_mail_syslog_and_console_and_keeps_info_in_the_history() {
    let site = Site::new(&format!("{CHANNELS}routing: plan\n"));
    let log = Log::bind(&site);
    let server = site.start();
    let ids = send_each(&server, true);
    let expected: [&[&str]; 5] = [&["log", "mail", "screen"], &["log", "mail"], &["log"], &["log"], &[]];
    for ((id, expected), severity) in ids.iter().zip(expected).zip(SEVERITIES) {
        assert_eq!(channels_of(&server, id), expected, "{severity}: {}", server.why(id));
    }
    let mut messages = log.take(4);
    messages.sort();
    for severity in ["critical", "high", "medium", "low"] {
        assert!(messages.iter().any(|message| message.contains(&format!("a {severity} one"))), "{messages:?}");
    }
    let stderr = wait::until("the console shows the critical one", || {
        let stderr = server.stderr();
        if stderr.contains("a critical one") { Ok(stderr) } else { Err(stderr) }
    });
    assert!(!stderr.contains("a high one"), "{stderr}");
    let why = server.why(&ids[4]);
    assert_eq!(why["ending"], "recorded only: plan keeps info in the history only", "{why}");
    assert!(log.is_silent(), "nothing more went to syslog");
    assert!(!site.path("archive.jsonl").exists(), "plan names no file");
}

#[test]
fn shipped_has_thresholds_and_sends_cui_to_every_channel() {
    let site = Site::new(&format!("{CHANNELS}routing: shipped\n"));
    let log = Log::bind(&site);
    let server = site.start();
    let ids = send_each(&server, false);
    let all: &[&str] = &["log", "mail", "screen"];
    let expected: [&[&str]; 5] = [all, all, &["log", "screen"], &["log", "screen"], &["screen"]];
    for ((id, expected), severity) in ids.iter().zip(expected).zip(SEVERITIES) {
        assert_eq!(channels_of(&server, id), expected, "{severity}: {}", server.why(id));
    }
    log.take(4);
    for (id, severity) in send_each(&server, true).iter().zip(SEVERITIES) {
        assert_eq!(channels_of(&server, id), ["archive", "log", "mail", "screen"], "{severity}: {}", server.why(id));
    }
    log.take(5);
    wait::until("the archive has all with CUI", || match std::fs::read_to_string(site.path("archive.jsonl")) {
        Ok(text) if text.lines().count() == 5 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// The names of the routes that took an incident.
fn routes_of(server: &Server, incident: &Value) -> Vec<String> {
    let id = server.accept(incident);
    let shown = server.show(&id);
    let routes = shown["routes"].as_array().expect("a list").iter();
    routes.map(|route| route["route"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn own_routes_come_in_order_the_first_match_wins_unless_it_continues_and_the_preset_comes_last() {
    let site = Site::new(
        "channels: {one: {file: {path: \"{dir}/one\"}}, two: {file: {path: \"{dir}/two\"}}, log: {syslog: {to: \"{dir}/log\"}}}\n\
         routing: plan\nroutes:\n  \
         - {name: web, match: ['severity >= high', 'host =~ \"web-.*\"'], to: [one], continue: true}\n  \
         - {name: inside, match: ['address in (10.0.0.0/8, 172.16.0.0/12)', 'risk >= 7.5'], to: [two]}\n  \
         - {name: quiet, match: ['team =~ \"ops|dev\"', 'host != web-1'], to: []}\n",
    );
    let _log = Log::bind(&site);
    let server = site.start();
    let routes = |severity: &str, labels: Value| {
        routes_of(&server, &json!({"title": "t", "severity": severity, "labels": labels}))
    };
    assert_eq!(routes("high", json!({"host": "web-1"})), ["web", "plan"], "it continues to the preset");
    assert_eq!(routes("medium", json!({"host": "web-1"})), ["plan"], "every matcher must hold");
    assert_eq!(routes("high", json!({"host": "db-web-1"})), ["plan"], "a pattern matches the whole value");
    assert_eq!(routes("critical", json!({"host": "web-2", "address": "10.1.2.3", "risk": "7.50"})), ["web", "inside"]);
    assert_eq!(
        routes("low", json!({"address": "172.31.0.1", "risk": "7.4"})),
        ["plan"],
        "numbers are compared as numbers"
    );
    assert_eq!(routes("low", json!({"address": "192.168.0.1"})), ["plan"]);
    assert_eq!(routes("low", json!({"team": "ops", "host": "db"})), ["quiet"], "no channel, and no preset after it");
    let id = server.accept(&json!({"title": "t", "severity": "high", "labels": {"team": "dev"}}));
    let why = server.why(&id);
    let text = why["story"].to_string();
    assert!(text.contains("quiet") && why["deliveries"] == json!([]), "{why}");
}

#[test]
fn a_route_that_names_an_unknown_channel_or_a_broken_matcher_stops_the_start_with_the_line() {
    let site = Site::new(
        "channels: {one: {file: {path: \"{dir}/one\"}}}\nroutes:\n  - {name: a, to: [onee]}\n  - {name: b, match: ['severity >='], to: [one]}\n",
    );
    let output = site.run(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in ["balefire.yaml:3:", "onee", "one", "balefire.yaml:4:", "2 problems"] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
}
