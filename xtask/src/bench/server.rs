//! Starts the built binary on a fresh directory and a free port, and stops it. Knows the command line and nothing of
//! what is measured.

use super::http::Messages;
use crate::workspace::{Build, Workspace};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that is not ready by then will not be.
const READY_PATIENCE: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// A directory of a bench with a configuration. Removed at the end.
pub(super) struct Site {
    binary: PathBuf,
    directory: PathBuf,
    address: SocketAddr,
}

/// A server that runs.
pub(super) struct Server {
    child: Child,
    /// From its start until it said that it is ready.
    pub(super) ready_after: Duration,
}

/// The channels and routes of a bench, in YAML.
pub(super) enum Channels {
    /// Everything is recorded and nothing is sent.
    None,
    /// Everything goes to one webhook.
    Webhook(SocketAddr),
    /// Everything goes to each of several webhooks.
    Webhooks(Vec<SocketAddr>),
    /// Everything goes to one channel with these settings.
    Store(String),
}

impl Site {
    /// Builds the binary where `BALEFIRE_BIN` names none, and writes the configuration.
    ///
    /// The directory is below the build's: on a disk, where `/tmp` may be memory.
    pub(super) fn new(channels: &Channels) -> Result<Site> {
        let workspace = Workspace::load(&std::env::current_dir().context("no current directory")?)?;
        let binary = workspace.binary(Build::Release)?;
        let directory = workspace.target.join(format!("bench-{}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        // Free now, and taken again at once: nothing else on this machine asks for ports meanwhile.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let address = free.local_addr().context("the listener has no address")?;
        let site = Site { binary, directory, address };
        fs::write(site.configuration(), site.yaml(channels)).context("cannot write the configuration")?;
        Ok(site)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the server that runs here answers to a question.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(self.address).context("cannot connect to the server")?;
        stream.set_read_timeout(Some(STOP_PATIENCE)).context("cannot set a timeout")?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).context("cannot ask the server")?;
        let mut messages = Messages::new(stream);
        let answer = messages.next()?.context("the server gives no answer")?;
        ensure!(answer.status()? == 200, "GET {path}: {}", answer.first_line);
        serde_json::from_slice(answer.body).with_context(|| format!("GET {path} gave no JSON"))
    }

    /// Starts a server on what is in the directory and waits until it is ready.
    pub(super) fn start(&self) -> Result<Server> {
        let begin = Instant::now();
        let log = fs::File::create(self.directory.join("log")).context("cannot make the log")?;
        let mut child = Command::new(&self.binary)
            .args(["serve", "--config"])
            .arg(self.configuration())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        while !is_ready(self.address) {
            if let Some(status) = child.try_wait().context("cannot ask for the server's state")? {
                bail!("the server ended with {status}; it said:\n{}", tail(&self.directory.join("log")));
            }
            if begin.elapsed() > READY_PATIENCE {
                child.kill().context("cannot kill the server")?;
                bail!(
                    "not ready after {} s; it said:\n{}",
                    READY_PATIENCE.as_secs(),
                    tail(&self.directory.join("log"))
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Server { child, ready_after: begin.elapsed() })
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("balefire.yaml")
    }

    fn yaml(&self, channels: &Channels) -> String {
        let data = self.directory.join("data");
        let mut yaml = format!("data: {}\nhttp: {{listen: \"{}\"}}\nrouting: custom\n", data.display(), self.address);
        let sinks = match channels {
            Channels::None => &[][..],
            Channels::Webhook(sink) => std::slice::from_ref(sink),
            Channels::Webhooks(sinks) => sinks,
            Channels::Store(settings) => {
                return format!("{yaml}channels: {{store: {settings}}}\nroutes: [{{name: all, to: [store]}}]\n");
            }
        };
        if sinks.is_empty() {
            return yaml;
        }
        yaml.push_str("channels:\n");
        for (number, sink) in sinks.iter().enumerate() {
            yaml.push_str(&format!("  hook-{number}: {{webhook: {{url: \"http://{sink}/\"}}}}\n"));
        }
        let names: Vec<String> = (0..sinks.len()).map(|number| format!("hook-{number}")).collect();
        yaml.push_str(&format!("routes: [{{name: all, to: [{}]}}]\n", names.join(", ")));
        yaml
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("bench: {} stays: {error}", self.directory.display());
        }
    }
}

impl Server {
    /// Resident memory in MB (10^6 bytes).
    pub(super) fn resident_mb(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in the status")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits until it has.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().context("cannot run kill")?;
        ensure!(status.success(), "kill could not reach the server");
        let begin = Instant::now();
        while self.child.try_wait().context("cannot ask for the server's state")?.is_none() {
            ensure!(begin.elapsed() < STOP_PATIENCE, "not stopped {} s after SIGTERM", STOP_PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Takes the power away.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill the server")?;
        self.child.wait().context("cannot wait for the server")?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` and `kill` it has ended already; elsewhere an error is on its way out and no server may stay.
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() && self.child.wait().is_err() {
            eprintln!("bench: the server {} may still run", self.child.id());
        }
    }
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> Result<u16> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
        Messages::new(stream).next()?.context("no answer")?.status()
    };
    // Every failure here means one thing: not yet.
    matches!(ask(), Ok(200))
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| format!("(no log: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
