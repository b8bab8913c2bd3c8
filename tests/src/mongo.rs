//! A real server of MongoDB's protocol (FerretDB on SQLite, built by scripts/mongo-server) that keeps its documents over its
//! stops, a small client of our own to look into it, and a wire between both that can be cut. Knows nothing of what the
//! documents say.

use crate::certificates::Certificates;
use crate::daemon::{Daemon, free_address, wait_for_listeners};
use crate::{left_out, wait};
use bson::{Document, doc};
use rustix::process::Signal;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use tempfile::TempDir;

/// The one user that may log in, where anybody must.
pub const USER: &str = "soc";
/// The user's password.
pub const PASSWORD: &str = "open-sesame-4711";

/// What the server asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// A login.
    Login,
}

/// The server with its directory.
pub struct Mongo {
    dir: TempDir,
    program: PathBuf,
    daemon: Option<Daemon>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it takes TLS.
    pub tls: SocketAddr,
}

impl Mongo {
    /// Starts it, and waits until it listens. None where it is not installed, which is said; in CI that is a failure.
    ///
    /// # Panics
    /// Where it does not come up, and in CI where it is not installed.
    #[must_use]
    pub fn start(access: Access, certificates: &Certificates) -> Option<Mongo> {
        let program = program()?;
        let dir = tempfile::Builder::new().prefix("balefire-mongo-").tempdir().expect("a directory can be made");
        let mut mongo = Mongo { dir, program, daemon: None, address: free_address(), tls: free_address() };
        mongo.resume(access, certificates);
        Some(mongo)
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self, access: Access, certificates: &Certificates) {
        let dir = self.dir.path().display();
        let mut command = Command::new(&self.program);
        command
            .args(["--handler=sqlite", "--debug-addr=-", "--telemetry=disable", "--log-level=error"])
            .arg(format!("--sqlite-url=file:{dir}/"))
            .arg(format!("--state-dir={dir}"))
            .arg(format!("--listen-addr={}", self.address))
            .arg(format!("--listen-tls={}", self.tls))
            .arg(format!("--listen-tls-cert-file={}", certificates.certificate().display()))
            .arg(format!("--listen-tls-key-file={}", certificates.key().display()));
        if access == Access::Login {
            command
                .args(["--test-enable-new-auth", "--setup-database=admin"])
                .args([format!("--setup-username={USER}"), format!("--setup-password={PASSWORD}")]);
        }
        self.daemon = Some(Daemon::start(&mut command));
        wait_for_listeners(&[self.address, self.tls], || "nothing".to_owned());
    }

    /// Where it keeps its documents.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, signal: Signal) {
        self.daemon.as_ref().expect("the server runs").signal(signal);
    }

    /// SIGKILL: nothing of it goes on. Its directory stays as it is.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        drop(self.daemon.take());
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) {
        drop(self.daemon.take());
    }

    /// Its documents of a collection; none where it has no such collection.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn documents(&self, database: &str, collection: &str) -> Vec<Document> {
        let mut session = Session::open(self.address);
        let mut documents = Vec::new();
        let mut answer = session.ask(&doc! {"find": collection, "batchSize": 5_000, "$db": database});
        loop {
            let cursor = answer.get_document("cursor").unwrap_or_else(|error| panic!("{error}: {answer}"));
            let batch = cursor.get_array("firstBatch").or_else(|_| cursor.get_array("nextBatch")).expect("a batch");
            documents.extend(batch.iter().map(|item| item.as_document().expect("documents").clone()));
            let id = cursor.get_i64("id").expect("a cursor has an id");
            if id == 0 {
                return documents;
            }
            answer = session.ask(&doc! {"getMore": id, "collection": collection, "batchSize": 5_000, "$db": database});
        }
    }

    /// How many documents a collection has.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn count(&self, database: &str, collection: &str) -> usize {
        let answer = Session::open(self.address).ask(&doc! {"count": collection, "$db": database});
        let count = answer.get_i32("n").unwrap_or_else(|error| panic!("{error}: {answer}"));
        usize::try_from(count).expect("a count is not negative")
    }
}

/// The server's program, as scripts/mongo-server leaves it.
fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let program = cache.join("balefire-tests/ferretdb-v1.24.2-b");
    if program.exists() {
        return Some(program);
    }
    let why = format!("{} is not there; run scripts/mongo-server", program.display());
    assert!(std::env::var_os("CI").is_none(), "{why}");
    left_out(&why);
    None
}

/// A conversation with the server in its own protocol (OP_MSG), which knows nothing of a driver.
struct Session {
    stream: TcpStream,
}

impl Session {
    fn open(address: SocketAddr) -> Session {
        let stream = wait::until("the server takes a connection", || {
            TcpStream::connect(address).map_err(|error| error.to_string())
        });
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a socket takes a timeout");
        Session { stream }
    }

    fn ask(&mut self, command: &Document) -> Document {
        let body = command.to_vec().expect("a command is BSON");
        let length = i32::try_from(16 + 4 + 1 + body.len()).expect("commands are short");
        let mut message = Vec::new();
        for word in [length, 1, 0, OP_MSG, 0] {
            message.extend(word.to_le_bytes());
        }
        message.push(0);
        message.extend(body);
        self.stream.write_all(&message).expect("the server reads");
        let answer = read_message(&mut self.stream).expect("the server answers");
        Document::from_reader(&answer[21..]).expect("an answer is BSON")
    }
}

const OP_MSG: i32 = 2013;

fn read_message(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let whole = usize::try_from(i32::from_le_bytes(length)).unwrap_or(0).max(16);
    let mut message = length.to_vec();
    message.resize(whole, 0);
    stream.read_exact(&mut message[4..])?;
    Ok(message)
}

#[derive(Default)]
struct Cuts {
    wanted: AtomicUsize,
    done: AtomicUsize,
}

/// A wire to the server that can be cut after it has carried an insert, before it carries the answer.
pub struct Wire {
    address: SocketAddr,
    cuts: Arc<Cuts>,
}

impl Wire {
    /// Begins to carry.
    ///
    /// # Panics
    /// Where there is no free port.
    #[must_use]
    pub fn to(server: SocketAddr) -> Wire {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let cuts = Arc::new(Cuts::default());
        let shared = cuts.clone();
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let cuts = shared.clone();
                // A server that is down refuses; then the client sees its connection closed.
                thread::spawn(move || drop(TcpStream::connect(server).and_then(|server| carry(client, server, &cuts))));
            }
        });
        Wire { address, cuts }
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// So many of the next inserts reach the server, and their answers nobody.
    pub fn cut(&self, inserts: usize) {
        self.cuts.wanted.fetch_add(inserts, Ordering::SeqCst);
    }

    /// How many answers were lost.
    #[must_use]
    pub fn done(&self) -> usize {
        self.cuts.done.load(Ordering::SeqCst)
    }
}

fn carry(mut client: TcpStream, mut server: TcpStream, cuts: &Arc<Cuts>) -> io::Result<()> {
    let is_cut = Arc::new(AtomicBool::new(false));
    let (mut back, mut answers) = (client.try_clone()?, server.try_clone()?);
    let (cut, counted) = (is_cut.clone(), cuts.clone());
    let returning = thread::spawn(move || -> io::Result<()> {
        loop {
            let answer = read_message(&mut answers)?;
            if cut.load(Ordering::SeqCst) {
                counted.done.fetch_add(1, Ordering::SeqCst);
                answers.shutdown(Shutdown::Both)?;
                return back.shutdown(Shutdown::Both);
            }
            back.write_all(&answer)?;
        }
    });
    while let Ok(message) = read_message(&mut client) {
        let is_insert = message.windows(7).any(|bytes| bytes == b"insert\0");
        let one_less = |wanted: usize| wanted.checked_sub(1);
        if is_insert && cuts.wanted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            is_cut.store(true, Ordering::SeqCst);
        }
        if server.write_all(&message).is_err() {
            break;
        }
    }
    // Whichever side has gone, the other one hears of it.
    drop(server.shutdown(Shutdown::Both));
    drop(client.shutdown(Shutdown::Both));
    drop(returning.join());
    Ok(())
}
