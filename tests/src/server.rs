//! A directory with a configuration and data, and the built binary on it: started, asked, signalled, killed and started
//! again. Every process ends with its handle, also when the test fails.

use crate::client::{Answer, Connection};
use crate::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// The binary under test: `BALEFIRE_BIN`, else the release build, else the debug build beside the tests.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("BALEFIRE_BIN") {
        return PathBuf::from(binary);
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    // TARGET/debug/deps/TEST
    let target = test.ancestors().nth(3).expect("tests run in the target directory");
    let candidates = [target.join("release/balefire"), target.join("debug/balefire")];
    let found = candidates.iter().find(|candidate| candidate.exists());
    found
        .unwrap_or_else(|| panic!("no binary: build balefire-app, or set BALEFIRE_BIN; looked for {candidates:?}"))
        .clone()
}

/// Whether the binary is a debug build, by its place: its speed and its memory say nothing.
#[must_use]
pub fn is_debug_build() -> bool {
    binary().components().any(|part| part.as_os_str() == "debug")
}

/// A directory with a configuration and data. Removed at the end.
pub struct Site {
    dir: TempDir,
    starts: AtomicUsize,
    environment: Vec<(String, String)>,
}

impl Site {
    /// A fresh one. In the configuration's text `{dir}` stands for the directory. Where the text says nothing of `http`,
    /// the server listens on a free port of the loopback; the data is in `data`.
    ///
    /// # Panics
    /// Where the directory cannot be made.
    #[must_use]
    pub fn new(config: &str) -> Site {
        let dir = tempfile::Builder::new().prefix("balefire-").tempdir().expect("a temporary directory can be made");
        let site = Site { dir, starts: AtomicUsize::new(0), environment: Vec::new() };
        site.configure(config);
        site
    }

    /// Writes another configuration; a running server does not see it before a reload.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn configure(&self, config: &str) {
        let text = config.replace("{dir}", &self.dir.path().display().to_string());
        fs::write(self.path("balefire.yaml"), text).expect("the configuration can be written");
    }

    /// Servers that start here from now on have this variable in their environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Site {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The files of the journal, the oldest first.
    ///
    /// # Panics
    /// Where there is no journal.
    #[must_use]
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("data/journal")).expect("the journal is there");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("the journal is ours").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        paths.sort();
        paths
    }

    /// A path in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command line of any command of the binary on this configuration and data.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        let config = self.path("balefire.yaml");
        command.args(arguments).arg("--config").arg(&config).arg("--data").arg(self.path("data"));
        // Whatever the environment of the tests says to a balefire is not meant for this one.
        for name in ["BALEFIRE_CONFIG", "BALEFIRE_DATA", "BALEFIRE_LOG", "BALEFIRE_LOG_FORMAT", "NOTIFY_SOCKET"] {
            command.env_remove(name);
        }
        command.current_dir(self.dir.path());
        command
    }

    /// Runs a command to its end, with nothing on standard input.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().expect("the binary can be started")
    }

    /// Starts a server and waits until it is ready.
    ///
    /// # Panics
    /// Where it ends before, or is not ready in time; with what it said.
    #[must_use]
    pub fn start(&self) -> Server {
        let mut server = self.spawn(&[], Stdio::null());
        server.wait_until_ready();
        server
    }

    /// Starts `balefire serve` with further arguments, and does not wait.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str], stdin: Stdio) -> Server {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("stderr-{number}"));
        let stderr = File::create(&log).expect("the log can be made");
        let config = fs::read_to_string(self.path("balefire.yaml")).expect("the configuration is ours");
        let mut words = vec!["serve", "--log-format", "json"];
        if !config.lines().any(|line| line.starts_with("http:")) {
            words.extend(["--listen", "127.0.0.1:0"]);
        }
        words.extend(arguments);
        let mut command = self.command(&words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child =
            command.stdin(stdin).stdout(Stdio::null()).stderr(stderr).spawn().expect("the binary can be started");
        Server { child, log, address: None, socket: self.path("data/balefire.sock"), token: None }
    }
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
    address: Option<SocketAddr>,
    socket: PathBuf,
    token: Option<String>,
}

impl Server {
    /// Waits until it has said `ready` and answers `/readyz` with 200.
    ///
    /// # Panics
    /// Where it ends before, or is not ready in time; with what it said.
    pub fn wait_until_ready(&mut self) {
        let ready = wait::until("the server is ready", || {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                panic!("the server ended with {status} before it was ready; it said:\n{}", self.stderr());
            }
            self.logged("ready").ok_or_else(|| self.stderr())
        });
        self.address = ready["http"].as_str().map(|address| address.parse().expect("the log has an address"));
        if self.address.is_some() {
            wait::until("/readyz says 200", || match self.connect().and_then(|mut c| c.get("/readyz")) {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
                Err(error) => Err(error.to_string()),
            });
        }
    }

    /// Requests of this handle carry this bearer token from now on.
    pub fn use_token(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    /// Where HTTP is served.
    ///
    /// # Panics
    /// Before it is ready, and where it serves none.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the server listens and is ready")
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it reads as standard input, where it was started with a pipe; once.
    ///
    /// # Panics
    /// Where there is none (any more).
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("the server was started with a pipe")
    }

    /// Its process id, to signal it or to change its limits.
    #[must_use]
    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// A new connection with the token of this handle.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn connect(&self) -> std::io::Result<Connection> {
        let mut address = self.address();
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let connection = Connection::tcp(address)?;
        Ok(match &self.token {
            Some(token) => connection.with_token(token),
            None => connection,
        })
    }

    /// Asks with GET over a new connection.
    ///
    /// # Panics
    /// Where no answer comes.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.must(self.connect().and_then(|mut connection| connection.get(path)))
    }

    /// Posts JSON over a new connection.
    ///
    /// # Panics
    /// Where no answer comes.
    #[must_use]
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.must(self.connect().and_then(|mut connection| connection.post(path, body.as_ref())))
    }

    /// Sends an incident, or a list of them.
    ///
    /// # Panics
    /// Where no answer comes.
    #[must_use]
    pub fn send(&self, incidents: &Value) -> Answer {
        self.post("/api/v1/incidents", incidents.to_string())
    }

    /// Sends one incident that must be accepted, and gives its id.
    ///
    /// # Panics
    /// Where it is not accepted.
    pub fn accept(&self, incident: &Value) -> String {
        self.send(incident).expect(202).ids().remove(0)
    }

    /// The story of an incident.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn why(&self, id: &str) -> Value {
        self.view(&format!("/api/v1/incidents/{id}/why"))
    }

    /// An incident with its state and its deliveries.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn show(&self, id: &str) -> Value {
        self.view(&format!("/api/v1/incidents/{id}"))
    }

    /// An answer of the view when it has caught up with everything that is accepted.
    fn view(&self, path: &str) -> Value {
        wait::within(Duration::from_secs(60), "the view has caught up", || {
            let answer = self.get(path);
            let text = answer.text();
            match answer.status {
                200 if answer.json().get("records_behind").is_none() => Ok(answer.json()),
                200 | 503 => Err(text),
                status => panic!("{path}: {status}: {text}"),
            }
        })
    }

    /// The list, newest first; `query` such as `severity=high&limit=10`.
    ///
    /// # Panics
    /// Where the query is refused.
    #[must_use]
    pub fn list(&self, query: &str) -> Vec<Value> {
        let answer = self.view(&format!("/api/v1/incidents?{query}"));
        answer["incidents"].as_array().expect("a list").clone()
    }

    /// Every id in the history, newest first, page by page.
    ///
    /// # Panics
    /// Where a page is refused.
    #[must_use]
    pub fn all_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        loop {
            let before = ids.last().map_or(String::new(), |last| format!("&before={last}"));
            let page = self.list(&format!("limit=1000{before}"));
            if page.is_empty() {
                return ids;
            }
            ids.extend(page.iter().map(|row| row["id"].as_str().expect("a row has an id").to_owned()));
        }
    }

    /// Waits until all deliveries of an incident have come to `status`, and gives its story.
    ///
    /// # Panics
    /// When the patience is over.
    pub fn wait_for_deliveries(&self, id: &str, status: &str) -> Value {
        wait::until(&format!("all deliveries of {id} are {status}"), || {
            let why = self.why(id);
            let deliveries = why["deliveries"].as_array().expect("a list");
            let done = !deliveries.is_empty() && deliveries.iter().all(|delivery| delivery["status"] == status);
            if done { Ok(why) } else { Err(why.to_string()) }
        })
    }

    /// Everything that it has written to standard error so far.
    ///
    /// # Panics
    /// Where the log cannot be read.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("the log is ours")).into_owned()
    }

    /// The first log line with this message.
    #[must_use]
    pub fn logged(&self, message: &str) -> Option<Value> {
        let text = self.stderr();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["message"] == message)
    }

    /// Resident memory now, in MB (10^6 bytes).
    ///
    /// # Panics
    /// Where the process has ended.
    #[must_use]
    pub fn resident_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the process lives");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib * 1024.0 / 1e6
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// Where the process has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server lives");
    }

    /// SIGHUP: read the configuration again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// SIGKILL: nothing of it goes on. The directory stays as it is.
    ///
    /// # Panics
    /// Where it has ended already by itself.
    pub fn kill(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "the server ended by itself with {ended:?}; it said:\n{}", self.stderr());
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        wait::until("the server has ended", || match self.child.try_wait().expect("a child can be asked") {
            Some(status) => Ok(status),
            None => Err(String::from_utf8_lossy(&fs::read(&self.log).expect("the log is ours")).into_owned()),
        })
    }

    fn must(&self, answer: std::io::Result<Answer>) -> Answer {
        answer.unwrap_or_else(|error| panic!("no answer: {error}; the server said:\n{}", self.stderr()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; a failing test must not fail twice.
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
