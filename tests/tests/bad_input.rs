//! Hostile input: a clear error or a safe rendering, bounded memory, and everybody else is still served.

use balefire_tests::client::Connection;
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::Sink;
use balefire_tests::{note, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// What a server may hold after anything here.
const RESIDENT_MB_MAX: f64 = 300.0;

fn still_serves(server: &Server) {
    let id = server.accept(&json!({"title": "still here", "severity": "critical"}));
    assert_eq!(server.show(&id)["incident"]["title"], "still here");
    let resident = server.resident_mb();
    assert!(resident < RESIDENT_MB_MAX, "{resident:.0} MB");
}

/// Sends a body that must be refused with 400, and checks that the answer has these words.
#[track_caller]
fn refused(server: &Server, what: &str, body: impl AsRef<[u8]>, words: &[&str]) {
    let answer = server.post("/api/v1/incidents", body);
    let text = answer.text();
    let shown: String = text.chars().take(500).collect();
    assert_eq!(answer.status, 400, "{what}: {shown}");
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is not in {shown}");
    }
    assert!(text.len() < 10_000, "{what}: the answer has {} bytes", text.len());
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{what}: {shown}");
}

#[test]
fn what_is_no_incident_is_refused_with_its_place_and_what_is_allowed() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    refused(&server, "nothing", "", &["found nothing", "allowed"]);
    refused(&server, "half an object", "{\"title\":", &["line 1", "allowed"]);
    refused(&server, "text", "hello", &["line 1, column 1", "allowed"]);
    refused(&server, "a number", "17", &["a number", "allowed"]);
    refused(&server, "missing title", "{\"severity\":\"high\"}", &["\"field\":\"title\"", "allowed"]);
    refused(&server, "empty title", "{\"title\":\"\"}", &["\"field\":\"title\"", "allowed"]);
    for (field, value) in [
        ("title", "3"),
        ("severity", "[]"),
        ("detected_by", "{}"),
        ("nist_controls", "\"3.3.4\""),
        ("description", "false"),
        ("cui_involved", "\"yes\""),
        ("events", "{}"),
        ("incident_id", "[1]"),
        ("labels", "[\"a\"]"),
    ] {
        let body = if field == "title" {
            format!("{{\"title\":{value}}}")
        } else {
            format!("{{\"title\":\"t\",\"{field}\":{value}}}")
        };
        refused(&server, field, body, &[&format!("\"field\":\"{field}\""), "allowed"]);
    }
    still_serves(&server);
    assert_eq!(server.all_ids().len(), 1, "nothing of it is in the history");
}

#[test]
fn what_is_too_large_or_too_deep_is_refused_with_the_limit() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let large = format!("{{\"title\":\"{}\"}}", "x".repeat(10_000_000));
    refused(&server, "10 MB title", large, &["allowed"]);
    let long = format!("{{\"title\":\"{}\"}}", "x".repeat(100_000));
    refused(&server, "100 kB title", long, &["\"field\":\"title\"", "65536"]);
    let labels: Vec<String> = (0..10_000).map(|nth| format!("\"l{nth}\":\"v\"")).collect();
    let labels = format!("{{\"title\":\"t\",\"labels\":{{{}}}}}", labels.join(","));
    refused(&server, "10,000 labels", labels, &["\"field\":\"labels\"", "256"]);
    let deep = format!("{{\"title\":\"t\",\"x\":{}1{}}}", "[".repeat(1_000), "]".repeat(1_000));
    refused(&server, "1,000 deep", deep, &["64"]);
    let endless = "[".repeat(1_000_000);
    refused(&server, "a million brackets", endless, &["allowed"]);
    let many = format!("[{}]", vec!["{\"title\":\"t\"}"; 10_001].join(","));
    refused(&server, "10,001 items", many, &["10000"]);
    still_serves(&server);
}

#[test]
fn what_is_no_text_is_refused_with_its_byte() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    refused(&server, "bad UTF-8", b"{\"title\":\"a\xff\xfeb\"}", &["UTF-8", "byte 11"]);
    refused(&server, "an overlong form", b"{\"title\":\"\xc0\xaf\"}", &["UTF-8"]);
    refused(&server, "a raw NUL", b"{\"title\":\"a\0b\"}", &["line 1", "allowed"]);
    refused(&server, "a raw line break", b"{\"title\":\"a\nb\"}", &["line 1", "allowed"]);
    refused(&server, "a lone surrogate", br#"{"title":"\ud800"}"#, &["allowed"]);
    still_serves(&server);
}

/// Everything that a line, a terminal, a page or a header could fall for.
const HOSTILE: &str = "a\r\nFORGED: line\u{0}\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}cilbup\u{2066}\u{85}\u{2028}<b>&amp;<script>alert(1)</script>\r\nBcc: x@example.org\r\n\r\n@everyone";

fn is_harmless(text: &str) -> bool {
    let bad = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{2028}".contains(c);
    !text.contains(bad) && !text.lines().any(|line| line.starts_with("FORGED") || line.starts_with("Bcc:"))
}

#[test]
fn hostile_text_in_every_field_is_rendered_harmless_everywhere_and_kept_as_it_came() {
    let sink = Sink::start();
    let site = Site::new(&format!(
        "channels:\n  hook: {{webhook: {{url: \"{}\"}}}}\n  log: {{syslog: {{to: \"{{dir}}/log\"}}}}\n  screen: {{console: {{}}}}\n  \
         archive: {{file: {{path: \"{{dir}}/archive.jsonl\"}}}}\nrouting: custom\nroutes: [{{name: all, to: [hook, log, screen, archive]}}]\n",
        sink.url()
    ));
    let log = UnixDatagram::bind(site.path("log")).expect("a socket can be made");
    log.set_read_timeout(Some(wait::PATIENCE)).expect("a socket takes a timeout");
    let server = site.start();
    let hostile = json!({
        "title": HOSTILE, "severity": HOSTILE, "detected_by": HOSTILE.chars().take(40).collect::<String>(), "description": HOSTILE,
        "nist_controls": [HOSTILE.chars().take(40).collect::<String>()], "incident_id": HOSTILE.chars().take(40).collect::<String>(), "labels": {"host": HOSTILE},
        "events": [{HOSTILE: HOSTILE}], HOSTILE: HOSTILE,
    });
    let id = server.accept(&hostile);
    server.wait_for_deliveries(&id, "delivered");

    let mut datagram = vec![0; 65_536];
    let length = log.recv(&mut datagram).expect("a message comes");
    let line = String::from_utf8(datagram[..length].to_vec()).expect("syslog gets UTF-8");
    assert!(is_harmless(&line) && !line.trim_end().contains('\n'), "{line:?}");
    let stderr = server.stderr();
    assert!(stderr.contains("FORGED: line"), "the console shows it: {stderr}");
    assert!(is_harmless(&stderr), "{stderr:?}");
    let archive = std::fs::read_to_string(site.path("archive.jsonl")).expect("the archive was written");
    assert_eq!(archive.lines().count(), 1, "one incident is one line: {archive:?}");
    // JSON carries it uncut; escaped or not, it is the same text.
    let request = sink.received().remove(0);
    for (name, value) in &request.headers {
        assert!(!value.contains("FORGED"), "{name}: {value}");
    }
    assert_eq!(request.json()["incident"]["title"], HOSTILE);
    let shown = server.show(&id);
    assert_eq!(shown["incident"]["title"], HOSTILE);
    assert_eq!(shown["incident"]["severity_original"], HOSTILE);
    assert_eq!(shown["incident"]["extra"][HOSTILE], HOSTILE);
    let told = server.why(&id)["story"][0]["text"].as_str().expect("a text").to_owned();
    assert!(is_harmless(&told) && told.contains("medium was assumed"), "{told:?}");
    let answer = server.get("/api/v1/incidents/%0d%0aFORGED%1b%5b2J/why").text();
    assert!(is_harmless(&answer), "{answer:?}");
    still_serves(&server);
}

#[test]
fn a_head_that_is_no_http_or_too_large_ends_its_connection_only() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let many_fields = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(20_000));
    for head in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "POST / HTTP/9.9\r\n\r\n", many_fields.as_str()] {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a socket takes a timeout");
        // The server may close before it has read all.
        drop(stream.write_all(head.as_bytes()));
        let mut connection = Connection::over(stream, "localhost".to_owned());
        if let Ok(answer) = connection.answer() {
            assert!((400..500).contains(&answer.status) || answer.status == 505, "{head:.20?}: {}", answer.status);
        }
    }
    still_serves(&server);
}

#[test]
fn bodies_that_never_end_cost_their_own_connection_only_and_get_408() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let mut endless: Vec<Connection> = (0..20)
        .map(|_| {
            let mut connection = server.connect().expect("the server listens");
            let headers = [("content-type", "application/json"), ("content-length", "16000000")];
            let head = connection.head("POST", "/api/v1/incidents", &headers, &[]);
            connection.write(&head).expect("a head is taken");
            connection.write(&[b'['; 1024]).expect("a body is taken");
            connection
        })
        .collect();
    for _ in 0..20 {
        still_serves(&server);
        for connection in &mut endless {
            connection.write(b"[").expect("a trickle is taken");
        }
    }
    let begin = Instant::now();
    for connection in &mut endless {
        let answer = connection.answer().expect("an answer comes").expect(408);
        assert!(answer.text().contains("30 s"), "{}", answer.text());
    }
    assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
    still_serves(&server);
}

#[test]
fn five_thousand_idle_connections_cost_a_place_each_and_nobody_else() {
    let limits = getrlimit(Resource::Nofile);
    let hard = limits.maximum.unwrap_or(u64::MAX);
    // The server inherits the limit.
    setrlimit(Resource::Nofile, Rlimit { current: Some(hard.min(20_000)), maximum: limits.maximum })
        .expect("a soft limit may rise");
    let count = usize::try_from(hard.min(20_000)).expect("small").saturating_sub(500).min(5_000);
    if count < 5_000 {
        note(&format!("only {count} connections: the limit of open files is {hard}"));
    }
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let before = server.resident_mb();
    let idle: Vec<TcpStream> = (0..count)
        .map(|nth| {
            let mut stream =
                TcpStream::connect(server.address()).unwrap_or_else(|error| panic!("connection {nth}: {error}"));
            if nth % 2 == 0 {
                stream.write_all(b"POST /api/v1/incidents HTTP/1.1\r\nhost: local").expect("a part of a head is taken");
            }
            stream
        })
        .collect();
    still_serves(&server);
    note(&format!("{count} idle connections: {before:.0} MB before, {:.0} MB with them", server.resident_mb()));
    drop(idle);
    still_serves(&server);
}

#[test]
fn a_flood_of_large_bodies_leaves_memory_bounded() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let item: Value = json!({"title": "large", "description": "x".repeat(200_000)});
    let body = Value::from(vec![item; 60]).to_string();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let status = server.post("/api/v1/incidents", &body).status;
                    assert!([202, 429, 503].contains(&status), "{status}");
                }
            });
        }
    });
    note(&format!("after 64 bodies of {} MB: {:.0} MB", body.len() / 1_000_000, server.resident_mb()));
    // Nothing is under way any more; what was held for it must be given back.
    wait::within(Duration::from_secs(30), "memory is given back", || match server.resident_mb() {
        resident if resident < RESIDENT_MB_MAX => Ok(()),
        resident => Err(format!("{resident:.0} MB")),
    });
    still_serves(&server);
}
