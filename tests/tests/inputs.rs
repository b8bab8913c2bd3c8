//! The ways in beside HTTP over TCP: the Unix socket in both of its forms, standard input, and a tailed file.

use balefire_tests::client::Connection;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use balefire_tests::wait;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

#[test]
fn the_socket_speaks_http() {
    let site = Site::new("socket: {mode: \"0600\"}\nrouting: custom\n");
    let server = site.start();
    let mode = fs::metadata(server.socket()).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut connection = Connection::unix(server.socket()).expect("the socket is there");
    let answer =
        connection.post("/api/v1/incidents", b"{\"title\":\"by socket\"}").expect("an answer comes").expect(202);
    let id = answer.ids().remove(0);
    let why = connection.get(&format!("/api/v1/incidents/{id}/why")).expect("an answer comes").expect(200);
    assert_eq!(why.json()["title"], "by socket");
    assert_eq!(server.list("source=socket").len(), 1);
}

#[test]
fn the_socket_speaks_json_lines_each_answered_with_a_line() {
    let site = Site::new("routing: custom\n");
    let mut server = site.start();
    let mut stream = UnixStream::connect(server.socket()).expect("the socket is there");
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a socket takes a timeout");
    let mut answers = BufReader::new(stream.try_clone().expect("a socket can be shared"));
    let mut ask = |line: &str| -> Value {
        stream.write_all(line.as_bytes()).expect("the line is taken");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("an answer comes");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    };
    let good = ask("{\"title\":\"one\",\"severity\":\"high\"}\n");
    assert_eq!(good["status"], "accepted", "{good}");
    let bad = ask("{\"severity\":\"high\"}\n");
    assert_eq!(bad["status"], "refused", "{bad}");
    assert_eq!(bad["errors"][0]["field"], "title", "{bad}");
    let broken = ask("{\"title\":\n");
    assert_eq!(broken["status"], "refused", "{broken}");
    let last = ask("{\"title\":\"two\"}\n");
    server.kill();
    let server = site.start();
    assert_eq!(server.all_ids(), [&last, &good].map(|answer| answer["id"].as_str().expect("an id").to_owned()));
}

fn with_stdin(site: &Site, lines: &str) -> Server {
    let mut server = site.spawn(&["--stdin", "--exit-when-done"], Stdio::piped());
    server.stdin().write_all(lines.as_bytes()).expect("the server reads");
    server
}

#[test]
fn standard_input_is_read_to_its_end_delivered_and_told_by_the_exit_code() {
    let sink = Sink::start();
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ));
    // The last line has no end.
    let mut server = with_stdin(&site, "{\"title\":\"one\"}\n{\"title\":\"two\"}\n\n{\"title\":\"three\"}");
    let status = server.wait_for_end();
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    let titles: Vec<_> = sink.received().iter().map(|request| request.json()["incident"]["title"].clone()).collect();
    assert_eq!(titles.len(), 3, "{titles:?}");

    let mut server = with_stdin(&site, "{\"title\":\"four\"}\nno incident\n");
    let status = server.wait_for_end();
    assert_eq!(status.code(), Some(4), "one was refused: {}", server.stderr());
    assert!(server.logged("line refused").is_some(), "{}", server.stderr());
    let server = site.start();
    assert_eq!(server.list("source=stdin").len(), 4);
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the file is ours");
    file.write_all(text.as_bytes()).expect("the file is ours");
}

fn line(title: &str) -> String {
    format!("{}\n", json!({"title": title, "severity": "high"}))
}

/// Waits until the history holds exactly these titles from the file, oldest first.
#[track_caller]
fn wait_for_titles(server: &Server, expected: &[&str]) {
    let titles = || -> Vec<String> {
        let rows = server.list("source=audit&limit=1000");
        rows.iter().rev().map(|row| row["title"].as_str().expect("a title").to_owned()).collect()
    };
    wait::until(&format!("the history is {expected:?}"), || match titles() {
        found if found == expected => Ok(()),
        found => Err(format!("{found:?}; {}", server.stderr())),
    });
}

#[test]
fn a_tailed_file_is_read_once_and_whole_over_kills_rotations_and_truncations() {
    let site = Site::new("inputs: {audit: {tail: {path: \"{dir}/audit.log\", from: start}}}\nrouting: custom\n");
    let log = site.path("audit.log");
    append(&log, &(line("a") + &line("b")));
    let mut server = site.start();
    wait_for_titles(&server, &["a", "b"]);
    // Half a line is no line; the kill comes before its other half.
    let whole = line("c");
    append(&log, &whole[..20]);
    append(&site.path("other"), "not ours");
    wait_for_titles(&server, &["a", "b"]);
    server.kill();
    append(&log, &whole[20..]);
    append(&log, &line("d"));
    // Rotated while nobody looked: what the old file got is read first.
    fs::rename(&log, site.path("audit.log.1")).expect("the file is ours");
    append(&log, &line("e"));
    let mut server = site.start();
    wait_for_titles(&server, &["a", "b", "c", "d", "e"]);
    // Rotated while it is read, and the old file gets one more line.
    fs::rename(&log, site.path("audit.log.2")).expect("the file is ours");
    append(&site.path("audit.log.2"), &line("f"));
    append(&log, &line("g"));
    wait_for_titles(&server, &["a", "b", "c", "d", "e", "f", "g"]);
    // Truncated in place, as `copytruncate` does.
    File::create(&log).expect("the file is ours");
    append(&log, &line("h"));
    wait_for_titles(&server, &["a", "b", "c", "d", "e", "f", "g", "h"]);
    // A line that is no incident is told, and the next one is read.
    append(&log, &format!("no incident\n{}", line("i")));
    wait_for_titles(&server, &["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
    assert!(server.stderr().contains("audit"), "the refused line is told: {}", server.stderr());
    assert!(server.terminate().success());
    append(&log, &line("j"));
    let server = site.start();
    wait_for_titles(&server, &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
}
