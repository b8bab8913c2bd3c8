//! A real OpenSearch node on the Java machine, without security, on a free port of the loopback. Knows nothing of what is
//! stored in it.

use crate::client::{Answer, Connection};
use crate::daemon::Daemon;
use crate::{left_out, wait};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The version that scripts/test fetches.
const VERSION: &str = "2.19.1.0";

/// A node needs ten seconds on an idle machine.
const START_PATIENCE: Duration = Duration::from_secs(240);

/// The node with its directory; what it has stored stays over its stops.
pub struct OpenSearch {
    dir: TempDir,
    daemon: Option<Daemon>,
    starts: usize,
    address: Option<SocketAddr>,
}

impl OpenSearch {
    /// Starts a node and waits until it takes writes; `None`, with a line that says so, where it is not installed.
    ///
    /// # Panics
    /// Where it does not come up, and where it is not installed although this is a run that must not leave anything out
    /// (`CI` is set).
    #[must_use]
    pub fn start() -> Option<OpenSearch> {
        if !jars().is_dir() {
            let why = format!("OpenSearch is not in {}; run scripts/test", jars().display());
            assert!(std::env::var_os("CI").is_none(), "{why}");
            left_out(&why);
            return None;
        }
        let dir = tempfile::Builder::new().prefix("balefire-es-").tempdir().expect("a temporary directory can be made");
        fs::create_dir(dir.path().join("config")).expect("the directory is ours");
        // One node that waits for no other, and takes writes on a disk that is nearly full.
        let settings = "network.host: 127.0.0.1\ntransport.port: 0\ndiscovery.type: single-node\n\
            cluster.routing.allocation.disk.threshold_enabled: false\n";
        fs::write(dir.path().join("config/opensearch.yml"), settings).expect("the directory is ours");
        let mut node = OpenSearch { dir, daemon: None, starts: 0, address: None };
        node.resume();
        Some(node)
    }

    /// Starts it again with what it had, at another port.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self) {
        self.starts += 1;
        let logs = self.dir.path().join(format!("logs-{}", self.starts));
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let mut command = Command::new("java");
        command.args(["-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
        command.arg("-cp").arg(jars().join("*")).arg("org.codelibs.opensearch.runner.OpenSearchRunner");
        command.args(["-basePath", &path("base"), "-confPath", &path("config"), "-dataPath", &path("data")]);
        command.arg("-logsPath").arg(&logs);
        // The first node's port is one more than this: 0 lets the system choose.
        command.args(["-clusterName", "balefire-test", "-numOfNode", "1", "-baseHttpPort", "-1"]);
        self.daemon = Some(Daemon::start(&mut command));
        let log = logs.join("balefire-test.log");
        let address = wait::within(START_PATIENCE, "OpenSearch listens", || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let line =
                text.lines().find(|line| line.contains("HttpServerTransport") && line.contains("publish_address {"));
            line.and_then(|line| line.split(['{', '}']).nth(1)?.parse().ok()).ok_or(text)
        });
        self.address = Some(address);
        wait::within(START_PATIENCE, "OpenSearch takes writes", || {
            let path = "/_cluster/health?wait_for_status=yellow&timeout=1s";
            match Connection::tcp(address).and_then(|mut connection| connection.get(path)) {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// Stops it in good order.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) {
        self.address = None;
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
        }
    }

    /// SIGKILL: nothing of it goes on. What it has stored stays as it is.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        self.address = None;
        let daemon = self.daemon.take().expect("the node runs");
        daemon.signal(Signal::KILL);
        daemon.stop();
    }

    /// Where it listens.
    ///
    /// # Panics
    /// While it is stopped.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the node runs")
    }

    /// Asks it something.
    ///
    /// # Panics
    /// Where no answer comes.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let answer = Connection::tcp(self.address()).and_then(|mut connection| {
            connection.request(method, path, &[("content-type", "application/json")], body.as_bytes())
        });
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// All documents of an index or a data stream, with `_id` and `_source`.
    ///
    /// # Panics
    /// Where there are more than ten thousand.
    #[must_use]
    pub fn documents(&self, index: &str) -> Vec<Value> {
        if self.ask("POST", &format!("/{index}/_refresh"), "").status == 404 {
            return Vec::new();
        }
        let found = self.ask("GET", &format!("/{index}/_search?size=10000"), "").expect(200).json();
        found["hits"]["hits"].as_array().expect("a list of hits").clone()
    }

    /// Waits until it has so many documents there, and gives all.
    ///
    /// # Panics
    /// When the patience is over.
    #[must_use]
    pub fn wait_for(&self, index: &str, count: usize) -> Vec<Value> {
        wait::within(START_PATIENCE, &format!("{count} documents are in {index}"), || {
            let documents = self.documents(index);
            if documents.len() >= count { Ok(documents) } else { Err(format!("{} documents", documents.len())) }
        })
    }
}

/// Where scripts/test puts the node's archives.
fn jars() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.unwrap_or_else(|| PathBuf::from("/root/.cache")).join("balefire").join(format!("opensearch-{VERSION}"))
}
