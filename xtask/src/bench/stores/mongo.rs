//! A real server of MongoDB's protocol (FerretDB on SQLite) and the plainest client of its inserts. Knows no document's
//! content.

use super::{Place, Store, cache, cpu_seconds, in_parallel, records};
use anyhow::{Context, Result, bail, ensure};
use bson::{Bson, Document, doc};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const START_PATIENCE: Duration = Duration::from_secs(60);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Documents in an insert of the plain client.
const DOCUMENTS: usize = 1000;
const COLLECTION: &str = "records";
const OP_MSG: i32 = 2013;
/// MongoDB's limit for a message.
const MESSAGE_BYTES_MAX: usize = 48_000_000;

/// The server. Its directory belongs to whoever started it.
pub(super) struct Mongo {
    child: Child,
    address: SocketAddr,
}

impl Mongo {
    /// Starts a server and waits until it listens.
    pub(super) fn start(directory: &Path) -> Result<Mongo> {
        let program = cache()?.join("balefire-tests/ferretdb-v1.24.2-b");
        ensure!(program.exists(), "{} is not there; run scripts/mongo-server once", program.display());
        let directory = directory.join("mongo");
        fs::create_dir_all(&directory).context("cannot make the server's directory")?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let address = free.local_addr().context("the listener has no address")?;
        drop(free);
        let child = Command::new(program)
            .args(["--handler=sqlite", "--debug-addr=-", "--telemetry=disable", "--log-level=error"])
            .arg(format!("--sqlite-url=file:{}/", directory.display()))
            .arg(format!("--state-dir={}", directory.display()))
            .arg(format!("--listen-addr={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the server")?;
        let mut server = Mongo { child, address };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait().context("cannot ask for the server's state")? {
                bail!("the server ended with {status}");
            }
            ensure!(begin.elapsed() < START_PATIENCE, "the server does not listen at {address}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            eprintln!("bench: the server {} may still run", self.child.id());
        }
    }
}

impl Store for Mongo {
    fn name(&self) -> &'static str {
        "FerretDB 1.24.2 on SQLite"
    }

    fn cloudmarker(&self, place: Place) -> (&'static str, Value) {
        let settings = json!({
            "host": "127.0.0.1", "port": self.address.port(), "db": place.name(), "collection": COLLECTION,
        });
        ("cloudmarker.stores.mongodbstore.MongoDBStore", settings)
    }

    fn channel(&self, place: Place, further: &str) -> String {
        let (address, database) = (self.address, place.name());
        format!(
            "{{mongodb: {{uri: \"mongodb://{address}/\", database: {database}, collection: {COLLECTION}, body: record{further}}}}}"
        )
    }

    fn count(&self, place: Place) -> Result<u64> {
        let answer = Session::open(self.address)?.ask(&doc! {"count": COLLECTION, "$db": place.name()}, &[])?;
        let count = answer.get_i32("n").with_context(|| format!("no count in {answer}"))?;
        u64::try_from(count).context("a count is not negative")
    }

    fn empty(&self, place: Place) -> Result<()> {
        Session::open(self.address)?.ask(&doc! {"dropDatabase": 1, "$db": place.name()}, &[]).map(|_| ())
    }

    fn fill(&self, place: Place, records: &[Value], connections: usize) -> Result<Duration> {
        let mut batches = Vec::new();
        let mut ids = (0..).map(records::id);
        for records in records.chunks(DOCUMENTS) {
            let mut documents = Vec::new();
            for (record, id) in records.iter().zip(ids.by_ref()) {
                let mut document = doc! {"_id": id};
                if let Bson::Document(fields) = bson(record) {
                    document.extend(fields);
                }
                documents.extend(document.to_vec().context("a record is BSON")?);
            }
            batches.push(documents);
        }
        let concern = doc! {"w": "majority", "j": true};
        let insert = doc! {"insert": COLLECTION, "ordered": false, "$db": place.name(), "writeConcern": concern};
        in_parallel(&batches, connections, || {
            let mut session = Session::open(self.address)?;
            let insert = insert.clone();
            Ok(move |documents: &Vec<u8>| {
                let answer = session.ask(&insert, documents)?;
                ensure!(!answer.contains_key("writeErrors"), "the server refused documents: {answer}");
                Ok(())
            })
        })
    }

    fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.child.id())
    }
}

fn bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(*flag),
        Value::Number(number) => match number.as_i64().map(|whole| (i32::try_from(whole), whole)) {
            Some((Ok(short), _)) => Bson::Int32(short),
            Some((Err(_), long)) => Bson::Int64(long),
            None => Bson::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(bson).collect()),
        Value::Object(fields) => {
            Bson::Document(fields.iter().map(|(name, value)| (name.clone(), bson(value))).collect())
        }
    }
}

struct Session {
    stream: TcpStream,
}

impl Session {
    fn open(address: SocketAddr) -> Result<Session> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).context("cannot set a timeout")?;
        Ok(Session { stream })
    }

    /// A command, with documents as a sequence beside it where there are any (OP_MSG sections 0 and 1).
    fn ask(&mut self, command: &Document, documents: &[u8]) -> Result<Document> {
        let mut body = vec![0, 0, 0, 0, 0];
        body.extend(command.to_vec().context("a command is BSON")?);
        if !documents.is_empty() {
            let name = b"documents\0";
            body.push(1);
            body.extend(i32::try_from(4 + name.len() + documents.len()).context("too many documents")?.to_le_bytes());
            body.extend_from_slice(name);
            body.extend_from_slice(documents);
        }
        let mut message = Vec::with_capacity(16 + body.len());
        for word in [i32::try_from(16 + body.len()).context("too long a command")?, 1, 0, OP_MSG] {
            message.extend(word.to_le_bytes());
        }
        message.extend(body);
        self.stream.write_all(&message).context("cannot send a command")?;
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).context("the server gives no answer")?;
        let length = i32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let length = usize::try_from(length).context("an answer of less than nothing")?;
        ensure!((21..MESSAGE_BYTES_MAX).contains(&length), "an answer of {length} bytes");
        let mut answer = vec![0; length - 16];
        self.stream.read_exact(&mut answer).context("the server broke off its answer")?;
        let answer = Document::from_reader(&answer[5..]).context("an answer that is no BSON")?;
        ensure!(matches!(answer.get_f64("ok"), Ok(1.0)), "the server refused {command}: {answer}");
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_the_bson_of_the_same_kind() {
        let value = json!({"a": [1, 4_294_967_296_i64, 0.5, "x", true, null], "b": {"c": {}}});
        let expected = doc! {"a": [1, 4_294_967_296_i64, 0.5, "x", true, Bson::Null], "b": {"c": {}}};
        assert_eq!(bson(&value), Bson::Document(expected));
    }
}
