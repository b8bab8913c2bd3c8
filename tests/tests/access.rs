//! Who may send and who may read: tokens, loopback, the socket. A token is nowhere to be seen.

use balefire_tests::client::{Connection, token_hash};
use balefire_tests::left_out;
use balefire_tests::server::{Server, Site};
use serde_json::json;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

const SENDER: &str = "sender-token-5f1c2a77";
const ADMIN: &str = "admin-token-90bb31de";

fn config(listen: &str) -> String {
    format!(
        "http:\n  listen: \"{listen}\"\n  tokens:\n    app-1: {{sha256: {}}}\n    soc: {{sha256: {}, role: admin}}\nrouting: custom\n",
        token_hash(SENDER),
        token_hash(ADMIN)
    )
}

/// An address of this machine that is not loopback.
fn outer_address() -> Option<IpAddr> {
    let output = Command::new("hostname").arg("-I").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().filter_map(|word| word.parse().ok()).find(|ip: &IpAddr| ip.is_ipv4() && !ip.is_loopback())
}

fn status(connection: Connection, method: &str, path: &str) -> u16 {
    let mut connection = connection;
    let headers = [("content-type", "application/json")];
    connection.request(method, path, &headers, b"{\"title\":\"t\"}").expect("an answer comes").status
}

#[test]
fn a_listener_that_others_reach_needs_a_token_in_the_configuration() {
    let site = Site::new("http: {listen: \"0.0.0.0:0\"}\n");
    let mut server = site.spawn(&[], std::process::Stdio::null());
    let ended = server.wait_for_end();
    assert_eq!(ended.code(), Some(2), "{}", server.stderr());
    let said = server.stderr();
    assert!(said.contains("balefire.yaml:1:") && said.contains("http.tokens"), "{said}");
}

#[test]
fn over_the_network_only_a_known_token_gets_in_and_each_role_does_what_it_may() {
    let Some(ip) = outer_address() else { return left_out("this machine has loopback only") };
    let site = Site::new(&config("0.0.0.0:0"));
    let server = site.start();
    let there = || Connection::tcp(SocketAddr::new(ip, server.address().port())).expect("the server listens");
    let incidents = "/api/v1/incidents";
    assert_eq!(status(there(), "POST", incidents), 401);
    assert_eq!(status(there(), "GET", incidents), 401);
    assert_eq!(status(there().with_token("guess"), "POST", incidents), 401);
    assert_eq!(status(there().with_token(&token_hash(SENDER)), "POST", incidents), 401, "the hash is no token");
    assert_eq!(status(there().with_token(SENDER), "POST", incidents), 202);
    assert_eq!(status(there().with_token(ADMIN), "POST", incidents), 202);
    for path in [incidents, "/api/v1/channels"] {
        assert_eq!(status(there().with_token(SENDER), "GET", path), 403, "{path}");
        assert_eq!(status(there().with_token(ADMIN), "GET", path), 200, "{path}");
    }
    assert_eq!(status(there().with_token(SENDER), "POST", "/api/v1/reload"), 403);
    // Health tells nothing of any incident, and a load balancer has no token.
    assert_eq!(status(there(), "GET", "/healthz"), 200);
}

#[test]
fn a_token_s_name_is_the_source_and_401_says_what_is_allowed() {
    let site = Site::new(&config("127.0.0.1:0"));
    let mut server = site.start();
    server.use_token(SENDER);
    let id = server.accept(&json!({"title": "by token"}));
    server.use_token(ADMIN);
    assert_eq!(server.show(&id)["incident"]["source"], "app-1");
    assert_eq!(server.list("source=app-1").len(), 1);
    server.use_token("wrong");
    let refused = server.get("/api/v1/incidents").expect(401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"balefire\""));
    assert!(refused.text().contains("http.tokens"), "{}", refused.text());
    // A wrong token is wrong also where none would be needed.
    assert_eq!(status(server.connect().expect("the server listens"), "POST", "/api/v1/incidents"), 401);
}

#[test]
fn a_page_in_a_browser_cannot_reach_loopback_under_another_name() {
    let site = Site::new("routing: custom\n");
    let server = site.start();
    let stream = std::net::TcpStream::connect(server.address()).expect("the server listens");
    let mut rebound = Connection::over(stream, "evil.example".to_owned());
    assert_eq!(rebound.get("/api/v1/incidents").expect("an answer comes").status, 401);
}

fn files_below(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).expect("the directory is ours") {
        let path = entry.expect("the directory is ours").path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

#[test]
fn a_token_appears_in_no_log_and_no_file() {
    let site = Site::new(&config("127.0.0.1:0"));
    let mut server = site.spawn(&["--log", "trace"], std::process::Stdio::null());
    server.wait_until_ready();
    server.use_token(SENDER);
    let id = server.accept(&json!({"title": "with a token"}));
    let refused = server.get("/api/v1/incidents").expect(403);
    assert!(!refused.text().contains(SENDER));
    server.use_token(ADMIN);
    assert!(server.why(&id).is_object());
    server.use_token("mistyped-token-77");
    assert!(!server.get("/api/v1/incidents").expect(401).text().contains("mistyped-token-77"));
    assert!(server.terminate().success());
    no_file_has(&site, &server, &[SENDER, ADMIN, "mistyped-token-77"]);
}

fn no_file_has(site: &Site, server: &Server, secrets: &[&str]) {
    let mut files = Vec::new();
    files_below(&site.path(""), &mut files);
    assert!(files.len() > 3, "{files:?}");
    assert!(server.stderr().len() > 100, "a trace was written");
    for file in files.iter().filter(|file| file.is_file()) {
        let bytes = fs::read(file).expect("the file is ours");
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {}", file.display());
        }
    }
}
