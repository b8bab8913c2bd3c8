//! Canaries end to end with the built binary: through our own listener, behind a file channel, and through a real rsyslogd
//! that is stopped, killed, and short of room.

#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_tests::client::token_hash;
use balefire_tests::daemon::{Daemon, free_address, needed};
use balefire_tests::disk::SmallDisk;
use balefire_tests::left_out;
use balefire_tests::proxy::Proxy;
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use balefire_tests::watched::{PATIENCE, wait_for_newest, wait_for_state, watcher};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Short, so that a test is; long enough for a busy machine to let a canary through.
const TIMES: &str = "every: 1s, deadline: 4s, misses: 2";

/// With the token that the listener knows and the settings of a canary over it.
fn config(listen: SocketAddr, (token, canary): (&str, &str)) -> String {
    format!(
        "http:\n  listen: \"{listen}\"\n  tokens: {{canary: {{sha256: {}}}}}\nrouting: custom\n\
         watch:\n  canary: [{{via: http, {canary}, {TIMES}}}]\n",
        token_hash(token)
    )
}

/// That it was lost, and that this is over when the next one arrives.
fn expect_resolved(server: &Server, name: &str, lost: &Value) {
    wait_for_state(server, name, "ok");
    let over = wait_for_newest(server, ("canary.lost", "over"));
    assert!(over["incident"]["description"].as_str().unwrap().contains("arrived after"), "{over}");
    let id = lost["incident"]["id"].as_str().unwrap();
    wait::within(PATIENCE, "what was told is resolved", || {
        let shown = server.show(id);
        if shown["state"] == "resolved" { Ok(()) } else { Err(shown.to_string()) }
    });
}

#[test]
fn a_listener_that_hangs_or_refuses_loses_canaries_until_one_arrives() {
    let (listen, token) = (free_address(), "canary-token-51fe");
    let mut proxy = Proxy::start(listen);
    let canary = format!("url: \"http://{}\", token: {token}", proxy.address());
    let site = Site::new(&config(listen, (token, &canary)));
    let server = site.start();
    wait_for_state(&server, "canary:http", "ok");
    proxy.hang();
    let lost = wait_for_newest(&server, ("canary.lost", "began"));
    assert_eq!(lost["incident"]["severity"], "critical");
    assert_eq!(lost["incident"]["nist_controls"], json!(["3.3.4"]));
    let metrics = server.get("/metrics").expect(200).text();
    for line in [
        "balefire_watcher_state{watcher=\"canary:http\",kind=\"canary\",state=\"failing\"} 1",
        "balefire_watcher_failures_total{kind=\"canary\",failure=\"canary.lost\"} 1",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    assert!(metrics.contains("\nbalefire_canary_round_trip_seconds{") && metrics.ends_with("# EOF\n"), "{metrics}");
    proxy.forward();
    expect_resolved(&server, "canary:http", &lost);
    assert!(!server.stderr().contains(token));
}

#[test]
fn a_canary_whose_token_is_revoked_is_lost_until_it_has_a_good_one() {
    let listen = free_address();
    let with = |known: &str, used: &str| config(listen, (known, &format!("url: \"http://{listen}\", token: {used}")));
    let site = Site::new(&with("first-token-7710", "first-token-7710"));
    let server = site.start();
    wait_for_state(&server, "canary:http", "ok");
    site.configure(&with("second-token-03ab", "first-token-7710"));
    server.hang_up();
    let lost = wait_for_newest(&server, ("canary.lost", "began"));
    assert!(lost["incident"]["title"].as_str().unwrap().contains("answers 401"), "{lost}");
    site.configure(&with("second-token-03ab", "second-token-03ab"));
    server.hang_up();
    expect_resolved(&server, "canary:http", &lost);
}

#[test]
fn a_canary_is_looked_for_behind_a_file_channel() {
    let (listen, token) = (free_address(), "canary-token-99aa");
    let canary = format!("url: \"http://{listen}\", token: {token}, expect: [\"{{dir}}/out.jsonl\"]");
    let with = |routes: &str| {
        let channels = "channels: {archive: {file: {path: \"{dir}/out.jsonl\"}}}\n";
        format!("{}{channels}routes: {routes}\n", config(listen, (token, &canary)))
    };
    let site = Site::new(&with("[{name: all, to: [archive]}]"));
    let server = site.start();
    wait_for_state(&server, "canary:http", "ok");
    site.configure(&with("[{name: few, match: ['severity >= high'], to: [archive]}]"));
    server.hang_up();
    let lost = wait_for_newest(&server, ("canary.lost", "began"));
    assert!(lost["incident"]["title"].as_str().unwrap().contains("out.jsonl"), "{lost}");
    site.configure(&with("[{name: all, to: [archive]}]"));
    server.hang_up();
    expect_resolved(&server, "canary:http", &lost);
}

/// To open a pipe that nobody writes to hangs, as a file of a dead network file system does.
#[test]
fn a_look_that_hangs_is_blind_and_the_other_watchers_go_on() {
    let (listen, token) = (free_address(), "canary-token-1111");
    let canary = format!("url: \"http://{listen}\", token: {token}, expect: [\"{{dir}}/log\"]");
    let site = Site::new(&config(listen, (token, &canary)));
    let mut server = site.start();
    let pipe = site.path("log");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let blind = wait_for_state(&server, "canary:http", "blind");
    assert!(blind["blind"]["why"].as_str().unwrap().contains("does not end"), "{blind}");
    wait_for_newest(&server, ("blind", "began"));
    let looked = watcher(&server, "self.journal")["looked"].clone();
    wait::within(PATIENCE, "the others look", || {
        let now = watcher(&server, "self.journal")["looked"].clone();
        if now == looked { Err(now.to_string()) } else { Ok(()) }
    });
    let writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    wait::within(PATIENCE, "its look has ended, and says what a pipe is good for", || {
        let found = watcher(&server, "canary:http");
        if found["blind"]["why"].as_str().is_some_and(|why| why.contains("seek")) {
            Ok(())
        } else {
            Err(found.to_string())
        }
    });
    server.kill();
    drop(writer);
    let mut server = site.start();
    wait_for_state(&server, "self.journal", "ok");
    assert!(server.terminate().success(), "what hangs keeps nobody from starting and stopping");
}

/// An rsyslogd with a local socket of its own, that writes into one file.
struct Logger {
    dir: TempDir,
    daemon: Option<Daemon>,
}

impl Logger {
    fn new() -> Logger {
        let dir = tempfile::Builder::new().prefix("balefire-canary-").tempdir().unwrap();
        fs::create_dir(dir.path().join("disk")).unwrap();
        let mut logger = Logger { dir, daemon: None };
        logger.start();
        logger
    }

    fn start(&mut self) {
        let program = needed(Path::new("/usr/sbin/rsyslogd"), "rsyslog");
        let (conf, place) = (self.path("conf"), self.dir.path().display());
        let text = format!(
            "global(workDirectory=\"{place}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" socket=\"{place}/log\" rateLimit.interval=\"0\")\n\
             action(type=\"omfile\" file=\"{}\" action.resumeInterval=\"1\" action.resumeRetryCount=\"-1\")\n",
            self.output().display()
        );
        fs::write(&conf, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(&conf).arg("-i").arg(self.path("pid"));
        self.daemon = Some(Daemon::start(&mut command));
        let socket = self.socket();
        wait::until("the local socket is there", || if socket.exists() { Ok(()) } else { Err("nothing".to_owned()) });
    }

    fn signal(&self, signal: Signal) {
        self.daemon.as_ref().unwrap().signal(signal);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("log")
    }

    fn output(&self) -> PathBuf {
        self.path("disk/messages")
    }

    /// A server with a canary through it.
    fn watched(&self) -> (Site, Server) {
        let (socket, output) = (self.socket(), self.output());
        let site = Site::new(&format!(
            "routing: custom\nroutes: []\nwatch:\n  canary: [{{via: syslog, socket: \"{}\", expect: [\"{}\"], {TIMES}}}]\n",
            socket.display(),
            output.display()
        ));
        let server = site.start();
        wait_for_state(&server, "canary:syslog", "ok");
        (site, server)
    }
}

#[test]
fn a_logger_that_stands_still_loses_canaries_then_hangs_who_logs_until_it_goes_on() {
    let logger = Logger::new();
    let (_site, server) = logger.watched();
    logger.signal(Signal::STOP);
    let lost = wait_for_newest(&server, ("canary.lost", "began"));
    assert_eq!(lost["incident"]["severity"], "critical");
    let blocked = wait_for_newest(&server, ("syslog.blocked_producers", "began"));
    assert_eq!(blocked["incident"]["severity"], "critical");
    logger.signal(Signal::CONT);
    expect_resolved(&server, "canary:syslog", &lost);
    wait_for_newest(&server, ("syslog.blocked_producers", "over"));
}

#[test]
fn a_logger_that_is_killed_loses_canaries_until_it_is_back() {
    let mut logger = Logger::new();
    let (_site, server) = logger.watched();
    logger.signal(Signal::KILL);
    let lost = wait_for_newest(&server, ("canary.lost", "began"));
    logger.daemon = None;
    logger.start();
    expect_resolved(&server, "canary:syslog", &lost);
}

#[test]
fn a_logger_without_room_loses_canaries_until_it_writes_again() {
    let mut logger = Logger::new();
    logger.daemon = None;
    let Some(disk) = SmallDisk::mount(&logger.path("disk"), 1) else {
        return left_out("this user may not mount a small disk");
    };
    logger.start();
    let (_site, server) = logger.watched();
    disk.fill();
    // What is left of the last block of the file is room, too.
    let chatter = format!("<30>test: {}", "x".repeat(1000));
    for _ in 0..8 {
        UnixDatagram::unbound().unwrap().send_to(chatter.as_bytes(), logger.socket()).unwrap();
    }
    let lost = wait_for_newest(&server, ("canary.lost", "began"));
    disk.empty();
    expect_resolved(&server, "canary:syslog", &lost);
}
