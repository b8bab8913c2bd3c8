//! The webhook against receivers of every temper: what they get, how it is signed, and what follows from each kind of
//! answer.

use balefire_tests::certificates::Certificates;
use balefire_tests::daemon::{Daemon, free_address, wait_for_listeners};
use balefire_tests::server::{Server, Site};
use balefire_tests::sink::{Received, Reply, Sink};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// `whsec_` and the base64 of "a signing key of thirty-two byte".
const SECRET: &str = "whsec_YSBzaWduaW5nIGtleSBvZiB0aGlydHktdHdvIGJ5dGU=";

fn incident() -> Value {
    json!({
        "title": "Audit log stopped on web-1",
        "severity": "critical",
        "detected_by": "audit_log_gap",
        "nist_controls": ["3.3.4", "3.3.1"],
        "cui_involved": true,
        "description": "No audit event for 600 s.",
        "labels": {"host": "web-1"},
    })
}

/// Every channel gets everything; a channel is its name and its webhook's settings.
fn site(channels: &[(&str, String)]) -> Site {
    let lines: String = channels
        .iter()
        .map(|(name, settings)| format!("  {name}: {{webhook: {{{settings}}}, retry: {{initial: 200ms, cap: 1s}}}}\n"))
        .collect();
    let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
    // The same incident again and again is the point of some of these tests.
    Site::new(&format!(
        "channels:\n{lines}dedup: {{enabled: false}}\nrouting: custom\nroutes: [{{name: all, to: [{}]}}]\n",
        names.join(", ")
    ))
}

fn to(sink: &Sink, more: &str) -> String {
    format!("url: \"{}\"{more}", sink.url())
}

fn delivery<'a>(why: &'a Value, channel: &str) -> &'a Value {
    let deliveries = why["deliveries"].as_array().expect("a list");
    deliveries.iter().find(|delivery| delivery["channel"] == channel).unwrap_or_else(|| panic!("{channel}: {why}"))
}

fn wait_for_attempt(server: &Server, id: &str, channel: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait::until(&format!("{channel} has come to it"), || {
        let why = server.why(id);
        if holds(delivery(&why, channel)) { Ok(delivery(&why, channel).clone()) } else { Err(why.to_string()) }
    })
}

/// The signature as Standard Webhooks defines it, by Python's own HMAC.
fn signature_by_python(request: &Received) -> String {
    let script = "import base64, hashlib, hmac, sys\n\
        key = base64.b64decode(sys.argv[1].removeprefix('whsec_'))\n\
        signed = f'{sys.argv[2]}.{sys.argv[3]}.'.encode() + sys.argv[4].encode()\n\
        print('v1,' + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode())\n";
    let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("no {name}: {:?}", request.headers));
    let body = std::str::from_utf8(&request.body).expect("the body is UTF-8");
    let arguments = [SECRET, header("webhook-id"), header("webhook-timestamp"), body];
    let output = Command::new("python3").arg("-c").arg(script).args(arguments).output();
    let output = output.expect("python3 is installed: install the Debian package python3, or run scripts/test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_request_is_signed_so_that_a_stranger_can_check_it_and_the_key_stays_inside() {
    let sink = Sink::start();
    let site = site(&[("hook", to(&sink, &format!(", secret: \"{SECRET}\"")))]);
    let server = site.start();
    let id = server.accept(&incident());
    let request = sink.wait_for(1).remove(0);
    assert_eq!(request.header("webhook-signature"), Some(signature_by_python(&request).as_str()));
    assert_eq!(request.json()["incident"]["id"], id);
    let why = server.wait_for_deliveries(&id, "delivered").to_string();
    assert!(!why.contains("YSBzaWduaW5n") && !server.stderr().contains("YSBzaWduaW5n"), "the key came out: {why}");
}

#[test]
fn every_form_of_the_body_says_the_same() {
    let sinks: Vec<Sink> = (0..4).map(|_| Sink::start()).collect();
    let template = r#", body: template, template: '{"text": {{ incident.title }}, "level": {{ incident.severity }}}'"#;
    let site = site(&[
        ("native", to(&sinks[0], "")),
        ("cloud", to(&sinks[1], ", body: cloudevents, source: /soc")),
        ("am", to(&sinks[2], ", body: alertmanager")),
        ("own", to(&sinks[3], template)),
    ]);
    let server = site.start();
    let mut hostile = incident();
    hostile["title"] = "quote \" and \r\n line".into();
    let id = server.accept(&hostile);
    let why = server.wait_for_deliveries(&id, "delivered");
    let requests: Vec<Received> = sinks.iter().map(|sink| sink.wait_for(1).remove(0)).collect();
    let bodies: Vec<Value> = requests.iter().map(Received::json).collect();
    assert_eq!(bodies[0]["type"], "incident.opened");
    assert_eq!(bodies[0]["incident"]["title"], hostile["title"]);
    assert_eq!(bodies[0]["delivery"]["id"], delivery(&why, "native")["delivery"]);

    assert!(requests[1].header("content-type").is_some_and(|kind| kind.starts_with("application/cloudevents+json")));
    let event = ["specversion", "type", "source", "id", "subject"].map(|name| bodies[1][name].clone());
    let event_id = delivery(&why, "cloud")["delivery"].clone();
    assert_eq!(event, ["1.0".into(), "balefire.incident.opened".into(), "/soc".into(), event_id, id.clone().into()]);
    assert_eq!(bodies[1]["data"]["title"], hostile["title"]);

    assert_eq!([&bodies[2]["version"], &bodies[2]["status"], &bodies[2]["receiver"]], ["4", "firing", "am"]);
    assert_eq!(bodies[2]["alerts"][0]["labels"]["alertname"], "audit_log_gap");
    assert_eq!(bodies[2]["alerts"][0]["annotations"]["summary"], hostile["title"]);
    assert_eq!(bodies[2]["commonLabels"]["host"], "web-1");

    assert_eq!(bodies[3], json!({"text": hostile["title"], "level": "critical"}));
}

#[test]
fn a_receiver_that_asks_for_patience_gets_it() {
    let sink = Sink::start();
    sink.script([Reply::with_header(429, "retry-after", "2")]);
    let site = site(&[("hook", to(&sink, ""))]);
    let server = site.start();
    let id = server.accept(&incident());
    sink.wait_for(1);
    let asked = Instant::now();
    let deferred = wait_for_attempt(&server, &id, "hook", |delivery| delivery["last_outcome"].is_object());
    assert_eq!(deferred["last_outcome"]["deferred"]["after_ms"], 2000, "not a failure: {deferred}");
    sink.wait_for(2);
    assert!(asked.elapsed() >= Duration::from_millis(1_900), "it came back after {:?}", asked.elapsed());
    server.wait_for_deliveries(&id, "delivered");
    assert_eq!(sink.count(), 2);
}

#[test]
fn every_repeat_has_the_same_id_and_the_same_body() {
    let sink = Sink::start();
    sink.script([
        Reply::status(500),
        Reply::CutOff,
        Reply::Garbage(b"SSH-2.0-not-http\r\n\r\n".to_vec()),
        Reply::status(503),
    ]);
    let site = site(&[("hook", to(&sink, &format!(", secret: \"{SECRET}\"")))]);
    let server = site.start();
    let id = server.accept(&incident());
    let why = server.wait_for_deliveries(&id, "delivered");
    let requests = sink.wait_for(5);
    assert_eq!(requests.len(), 5);
    for request in &requests {
        assert_eq!(request.header("webhook-id"), delivery(&why, "hook")["delivery"].as_str());
        assert_eq!(request.body, requests[0].body);
        assert_eq!(request.header("webhook-signature"), Some(signature_by_python(request).as_str()));
    }
    assert_eq!(delivery(&why, "hook")["attempts"], 5, "{why}");
}

#[test]
fn a_receiver_that_is_not_there_yet_gets_it_when_it_is() {
    let address = free_address();
    let site = site(&[("hook", format!("url: \"http://{address}/hook\""))]);
    let server = site.start();
    let id = server.accept(&incident());
    let failed = wait_for_attempt(&server, &id, "hook", |delivery| delivery["attempts"].as_u64() >= Some(2));
    assert!(
        failed["last_outcome"]["rejected"]["detail"].as_str().is_some_and(|text| text.contains("refused")),
        "{failed}"
    );
    let listener = std::net::TcpListener::bind(address).expect("the port is still free");
    let answered = std::thread::spawn(move || -> std::io::Result<()> {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept()?;
        let _some = stream.read(&mut [0; 65_536])?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
    });
    server.wait_for_deliveries(&id, "delivered");
    answered.join().expect("the receiver does not panic").expect("the receiver is reached");
}

#[test]
fn a_receiver_that_hangs_costs_the_others_nothing_and_itself_the_attempt() {
    let (silent, lively) = (Sink::start(), Sink::start());
    silent.always(Reply::Hang);
    let site = site(&[("silent", to(&silent, ", timeout: 1s")), ("lively", to(&lively, ""))]);
    let server = site.start();
    let ids: Vec<String> = (0..200).map(|_| server.accept(&incident())).collect();
    assert_eq!(lively.wait_for(ids.len()).len(), ids.len());
    let waiting = wait_for_attempt(&server, &ids[0], "silent", |delivery| delivery["last_outcome"].is_object());
    assert_eq!(waiting["last_outcome"]["rejected"]["cause"], "network", "{waiting}");
    assert_eq!(waiting["last_outcome"]["rejected"]["detail"], "no answer within 1s", "{waiting}");
    assert!(waiting["status"]["retrying"].is_string(), "the work is kept: {waiting}");
}

#[test]
fn a_redirect_is_not_followed() {
    let (sink, elsewhere) = (Sink::start(), Sink::start());
    let site = site(&[("hook", to(&sink, ""))]);
    let server = site.start();
    for status in [301, 302, 303, 307, 308] {
        sink.script([Reply::with_header(status, "location", &elsewhere.url())]);
        let id = server.accept(&incident());
        let ended = wait_for_attempt(&server, &id, "hook", |delivery| delivery["status"]["given_up"].is_object());
        let reason = ended["status"]["given_up"]["reason"].as_str().expect("a reason");
        assert!(reason.contains("which is not followed"), "{status}: {reason}");
    }
    assert_eq!((sink.count(), elsewhere.count()), (5, 0));
}

#[test]
fn cloud_metadata_is_refused_before_anything_starts() {
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://metadata.google.internal/x",
    ] {
        let site = site(&[("hook", format!("url: \"{url}\""))]);
        let output = site.run(&["serve", "--listen", "127.0.0.1:0"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{url}: {said}");
        assert!(said.contains("balefire.yaml:2"), "the place is named: {said}");
    }
}

/// An HTTPS server by Python, which appends each body to a file as a line.
const HTTPS: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open(sys.argv[4], "ab") as file:
            file.write(body + b"\n")
        self.send_response(204)
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"#;

fn https(certificates: &Certificates, bodies: &std::path::Path) -> (Daemon, SocketAddr) {
    let address = free_address();
    let mut command = Command::new("python3");
    command.arg("-c").arg(HTTPS).arg(address.port().to_string());
    command.arg(certificates.certificate()).arg(certificates.key()).arg(bodies);
    let daemon = Daemon::start(&mut command);
    wait_for_listeners(&[address], || "nothing".to_owned());
    (daemon, address)
}

#[test]
fn only_a_receiver_with_the_right_certificate_gets_anything() {
    let (certificates, stranger) = (Certificates::new(), Certificates::new());
    let elsewhere = Certificates::naming("DNS:hooks.example.org");
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (right_bodies, wrong_bodies) = (dir.path().join("right"), dir.path().join("wrong"));
    let (_right, address) = https(&certificates, &right_bodies);
    let (_wrong, other) = https(&elsewhere, &wrong_bodies);
    let hook = |address: SocketAddr, path: &str, authority: &Certificates| {
        let authority = authority.authority();
        format!("url: \"https://localhost:{}/{path}\", ca_file: \"{}\"", address.port(), authority.display())
    };
    let site = site(&[
        ("right", hook(address, "right", &certificates)),
        ("authority", hook(address, "authority", &stranger)),
        ("name", hook(other, "name", &elsewhere)),
    ]);
    let server = site.start();
    let id = server.accept(&incident());
    let _ = wait_for_attempt(&server, &id, "right", |delivery| delivery["status"] == "delivered");
    for channel in ["authority", "name"] {
        let refused = wait_for_attempt(&server, &id, channel, |delivery| delivery["last_outcome"].is_object());
        assert_eq!(refused["last_outcome"]["rejected"]["cause"], "auth", "{channel}: {refused}");
        assert!(refused["status"]["retrying"].is_string(), "{channel}: the work is kept: {refused}");
    }
    let text = fs::read_to_string(&right_bodies).expect("the right one got it");
    // That the others fail is told over this one, too.
    let about = text.lines().filter(|line| !line.contains("balefire.channel_failing"));
    assert_eq!(about.count(), 1, "{text}");
    assert!(text.contains(&id) && !wrong_bodies.exists());
}
