//! Incidents into a real PostgreSQL with the BT-08 engine's tables: by that engine's way, one INSERT an alert, and by
//! Balefire from accepted to committed. Knows no row's content.

use super::{Directory, cpu_seconds, rate, wait_until_empty};
use crate::bench::client::{Load, Until, drive};
use crate::bench::incidents;
use crate::bench::options::Options;
use crate::bench::report::Report;
use crate::bench::server::{Channels, Site};
use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const INCIDENTS: u64 = 100_000;
/// BT-08's way takes its time; its rate is the same after a tenth.
const PART_OF_BT08: u64 = 10;
const START_PATIENCE: Duration = Duration::from_secs(60);
/// The account that Debian makes for it: PostgreSQL does not run as root.
const ACCOUNT: &str = "postgres";

/// The plan's tables as BT-02 makes them, with the rule that BT-08 needs and nobody makes.
const TABLES: &str = "
CREATE SCHEMA blueteam;
CREATE TABLE blueteam.alert_rules (
    rule_id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, severity TEXT NOT NULL, nist_controls TEXT[],
    enabled BOOLEAN DEFAULT TRUE, config JSONB DEFAULT '{}', created_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE TABLE blueteam.alert_history (
    alert_id UUID PRIMARY KEY DEFAULT gen_random_uuid(), rule_id TEXT REFERENCES blueteam.alert_rules(rule_id),
    severity TEXT NOT NULL, title TEXT NOT NULL, description TEXT, event_ids UUID[], incident_id UUID,
    acknowledged BOOLEAN DEFAULT FALSE, acknowledged_by TEXT, acknowledged_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE INDEX ON blueteam.alert_history (created_at DESC) WHERE acknowledged = FALSE;
INSERT INTO blueteam.alert_rules (rule_id, name, severity) VALUES ('brute_force', 'Brute force', 'high');
";

/// See [`super::postgresql`].
pub(super) fn history(options: &Options) -> Result<Report> {
    let directory = Directory::new()?;
    let server = Server::start(&directory.0)?;
    server.sql(TABLES)?;
    let count = options.incidents.unwrap_or(INCIDENTS);
    // What is used for the first time is slow; nobody is to pay for that.
    balefire(&server, count / 10, options)?;
    server.sql("TRUNCATE blueteam.alert_history")?;
    let part = (count / PART_OF_BT08).max(1);
    let theirs = bt08(&server, part, "kept")?;
    server.sql("TRUNCATE blueteam.alert_history")?;
    let anew = bt08(&server, part, "anew")?;
    server.sql("TRUNCATE blueteam.alert_history")?;
    let ours = balefire(&server, count, options)?;
    let stored = server.count()?;
    Ok(Report::new()
        .number("BT-08, connection kept", theirs, "incidents/s")
        .number("BT-08, one an alert", anew, "incidents/s")
        .number("Balefire", ours.rate, "incidents/s")
        .number("ratio, connection kept", ours.rate / theirs, "times")
        .number("ratio, one an alert", ours.rate / anew, "times")
        .number("Balefire lost", count as f64 - stored as f64, "incidents")
        .number("Balefire's work", ours.cpu_us, "us/incident")
        .parameter("incidents", count)
        .parameter("incidents_by_bt08", part)
        .parameter("incidents_per_request", options.batch)
        .parameter("settings", options.settings.as_deref().unwrap_or("the defaults"))
        .comparison("BT-08's way: psycopg2, one INSERT and commit an alert, over one connection or one an alert; fsync on, as for Balefire"))
}

struct Ours {
    rate: f64,
    cpu_us: f64,
}

fn bt08(server: &Server, count: u64, connections: &str) -> Result<f64> {
    let output = Command::new("/usr/bin/python3")
        .args(["-c", include_str!("bt08.py"), &server.dsn(), &count.to_string(), connections])
        .output()
        .context("cannot start Python")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "BT-08's way ended (it needs the Debian package python3-psycopg2): {said}");
    ensure!(server.count()? == count, "BT-08's way has lost some");
    let seconds = String::from_utf8_lossy(&output.stdout);
    Ok(count as f64 / seconds.trim().parse::<f64>().context("BT-08's time is no number")?)
}

/// From the first request until the last row is committed.
fn balefire(server: &Server, count: u64, options: &Options) -> Result<Ours> {
    let (address, size) = (server.port, options.batch);
    let further = options.further_settings();
    let url = format!("postgresql://postgres@127.0.0.1:{address}/postgres");
    let site = Site::new(&Channels::Store(format!("{{postgres: {{url: \"{url}\", sslmode: disable{further}}}}}")))?;
    let running = site.start()?;
    let begin = Instant::now();
    let answers = drive(&Load {
        address: site.address(),
        path: incidents::PATH,
        connections: options.connections,
        until: Until::Requests(count.div_ceil(u64::from(size))),
        rate: None,
        body: &|request, body| incidents::batch(request, size, body),
    })?;
    ensure!(answers.refused == 0, "{} requests were refused", answers.refused);
    wait_until_empty(&site)?;
    let took = begin.elapsed();
    let cpu_us = cpu_seconds(running.pid())? * 1e6 / count as f64;
    running.stop()?;
    Ok(Ours { rate: rate(count, took), cpu_us })
}

/// The server. Its directory belongs to whoever started it.
struct Server {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Server {
    /// Starts a server with what Debian sets, and waits until it answers.
    fn start(directory: &Path) -> Result<Server> {
        let programs = programs()?;
        let directory = directory.join("postgres");
        std::fs::create_dir_all(&directory).context("cannot make the server's directory")?;
        let account = format!("{ACCOUNT}:{ACCOUNT}");
        done("chown", &Command::new("chown").arg(account).arg(&directory).output().context("cannot start chown")?)?;
        let data = directory.join("data");
        let made = run_as(&programs.join("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(&data)
            .output()
            .context("cannot start initdb")?;
        done("initdb", &made)?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = free.local_addr().context("the listener has no address")?.port();
        drop(free);
        let child = run_as(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the server")?;
        let server = Server { child, directory, port };
        let begin = Instant::now();
        while server.sql("SELECT 1").is_err() {
            ensure!(begin.elapsed() < START_PATIENCE, "the server in {} does not answer", server.directory.display());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn dsn(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }

    fn sql(&self, sql: &str) -> Result<String> {
        let mut command = Command::new("psql");
        let output = command.args(["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", &self.dsn(), "-c", sql]).output();
        let output = output.context("cannot start psql")?;
        done("psql", &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn count(&self) -> Result<u64> {
        self.sql("SELECT count(*) FROM blueteam.alert_history")?.parse().context("a count is a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown; nobody needs what is in it.
        let ended =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::QUIT);
        if ended.is_err() || self.child.wait().is_err() {
            eprintln!("bench: the server {} may still run", self.child.id());
        }
    }
}

fn run_as(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={ACCOUNT}"), &format!("--regid={ACCOUNT}"), "--clear-groups"]).arg(program);
    command
}

fn done(what: &str, output: &Output) -> Result<()> {
    ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("install the Debian package postgresql")?;
    let mut found: Vec<PathBuf> = versions.filter_map(Result::ok).map(|version| version.path().join("bin")).collect();
    found.retain(|directory| directory.join("initdb").exists());
    found.sort();
    found.pop().context("no initdb below /usr/lib/postgresql; install the Debian package postgresql")
}
