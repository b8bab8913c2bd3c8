//! A real OpenSearch node and the plainest client of its bulk interface. Knows no document's content.

use super::super::http::Messages;
use super::{Place, Store, cache, cpu_seconds, in_parallel, records};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The version that scripts/test fetches.
const VERSION: &str = "2.19.1.0";
const START_PATIENCE: Duration = Duration::from_secs(240);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Documents in a request of the plain client.
const DOCUMENTS: usize = 1000;

/// The node. Its directory belongs to whoever started it.
pub(super) struct OpenSearch {
    child: Child,
    address: SocketAddr,
}

impl OpenSearch {
    /// Starts a node with a gigabyte of memory and waits until it takes writes.
    pub(super) fn start(directory: &Path) -> Result<OpenSearch> {
        let jars = cache()?.join(format!("balefire/opensearch-{VERSION}"));
        ensure!(jars.is_dir(), "no OpenSearch in {}; run scripts/test once", jars.display());
        let config = directory.join("config");
        fs::create_dir_all(&config).context("cannot make the node's directory")?;
        let settings = "network.host: 127.0.0.1\ntransport.port: 0\ndiscovery.type: single-node\n\
            cluster.routing.allocation.disk.threshold_enabled: false\n";
        fs::write(config.join("opensearch.yml"), settings).context("cannot write the node's settings")?;
        let path = |name: &str| directory.join(name).display().to_string();
        let mut command = Command::new("java");
        command.args(["-Xms1g", "-Xmx1g", "-XX:-UsePerfData", "-cp"]).arg(jars.join("*"));
        command.args(["org.codelibs.opensearch.runner.OpenSearchRunner", "-basePath", &path("base")]);
        command.args(["-confPath", &path("config"), "-dataPath", &path("data"), "-logsPath", &path("logs")]);
        // The first node's port is one more than this: 0 lets the system choose.
        command.args(["-clusterName", "balefire-bench", "-numOfNode", "1", "-baseHttpPort", "-1"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("cannot start java")?;
        let mut node = OpenSearch { child, address: ([127, 0, 0, 1], 0).into() };
        node.wait(&directory.join("logs/balefire-bench.log"))?;
        Ok(node)
    }

    fn wait(&mut self, log: &Path) -> Result<()> {
        let begin = Instant::now();
        loop {
            // Not there yet, or not readable yet: the patience decides.
            let text = fs::read_to_string(log).unwrap_or_default();
            let line =
                text.lines().find(|line| line.contains("HttpServerTransport") && line.contains("publish_address {"));
            if let Some(address) = line.and_then(|line| line.split(['{', '}']).nth(1)?.parse().ok()) {
                self.address = address;
                let health = self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=60s", b"");
                return health.map(|_| ());
            }
            if let Some(status) = self.child.try_wait().context("cannot ask for the node's state")? {
                bail!("the node ended with {status}; it said:\n{text}");
            }
            ensure!(begin.elapsed() < START_PATIENCE, "OpenSearch does not listen; it said:\n{text}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Value> {
        Session::open(self.address)?.ask(method, path, body)
    }
}

impl Drop for OpenSearch {
    fn drop(&mut self) {
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            eprintln!("bench: the node {} may still run", self.child.id());
        }
    }
}

impl Store for OpenSearch {
    fn name(&self) -> &'static str {
        "OpenSearch 2.19.1 (Java heap of 1 GB)"
    }

    fn cloudmarker(&self, place: Place) -> (&'static str, Value) {
        let settings = json!({"host": "127.0.0.1", "port": self.address.port(), "index": place.name()});
        ("cloudmarker.stores.esstore.EsStore", settings)
    }

    fn channel(&self, place: Place, further: &str) -> String {
        let (address, index) = (self.address, place.name());
        format!("{{elasticsearch: {{urls: \"http://{address}\", index: {index}, body: record{further}}}}}")
    }

    fn count(&self, place: Place) -> Result<u64> {
        self.ask("POST", &format!("/{}/_refresh", place.name()), b"")?;
        let answer = self.ask("GET", &format!("/{}/_count", place.name()), b"")?;
        answer["count"].as_u64().with_context(|| format!("no count in {answer}"))
    }

    fn empty(&self, place: Place) -> Result<()> {
        self.ask("DELETE", &format!("/{}", place.name()), b"").map(|_| ())
    }

    fn fill(&self, place: Place, records: &[Value], connections: usize) -> Result<Duration> {
        let mut bodies = Vec::new();
        let mut ids = (0..).map(records::id);
        for records in records.chunks(DOCUMENTS) {
            let mut body = Vec::new();
            for (record, id) in records.iter().zip(ids.by_ref()) {
                writeln!(body, "{}\n{record}", json!({"create": {"_id": id}})).context("cannot write a body")?;
            }
            bodies.push(body);
        }
        let path = format!("/{}/_bulk?filter_path=errors", place.name());
        in_parallel(&bodies, connections, || {
            let mut session = Session::open(self.address)?;
            let path = path.clone();
            Ok(move |body: &Vec<u8>| {
                let answer = session.ask("POST", &path, body)?;
                ensure!(answer["errors"] == false, "OpenSearch refused documents: {answer}");
                Ok(())
            })
        })
    }

    fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.child.id())
    }
}

struct Session {
    stream: TcpStream,
    answers: Messages<TcpStream>,
    address: SocketAddr,
}

impl Session {
    fn open(address: SocketAddr) -> Result<Session> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).context("cannot set a timeout")?;
        let answers = Messages::new(stream.try_clone().context("cannot share the connection")?);
        Ok(Session { stream, answers, address })
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Value> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.stream.write_all(head.as_bytes()).context("cannot send a request")?;
        self.stream.write_all(body).context("cannot send a request")?;
        let answer = self.answers.next()?.context("OpenSearch closed the connection")?;
        let text = String::from_utf8_lossy(answer.body).into_owned();
        ensure!((200..300).contains(&answer.status()?), "{method} {path}: {}: {text}", answer.first_line);
        serde_json::from_str(&text).with_context(|| format!("{method} {path} gave no JSON"))
    }
}
