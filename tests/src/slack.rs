//! A Slack that holds callers to what docs.slack.dev says: methods and their content types, scopes, required arguments,
//! limits of blocks, the order and the lengths of uploads, one message a second in a conversation. Fails on demand.
//! Sources: docs.slack.dev/reference/methods (each method's page), /apis/web-api/rate-limits,
//! /messaging/working-with-files, /messaging/sending-messages-using-incoming-webhooks. Listens on a free port of the
//! loopback until it is dropped.

pub mod blocks;
mod methods;

use crate::client::{read_body, read_head};
use crate::wait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The token that it takes.
pub const TOKEN: &str = "xoxb-2345678901-2345678901234-AbCdEfGhIjKlMnOpQrStUvWx";
/// The path of its incoming webhook.
pub const WEBHOOK: &str = "/services/T0000000A/B0000000A/aBcDeFgHiJkLmNoPqRsTuVwX";
/// The channel that the webhook posts to.
pub const WEBHOOK_CHANNEL: &str = "C0WEBHOOK";

/// A message that was posted.
#[derive(Clone, Debug)]
pub struct Message {
    /// The conversation's id.
    pub channel: String,
    /// The message's time, which names it.
    pub ts: String,
    /// The message that it replies to.
    pub thread_ts: Option<String>,
    /// What it says now.
    pub body: Value,
    /// How often it was updated.
    pub updates: usize,
}

/// A file that was shared.
#[derive(Clone, Debug)]
pub struct File {
    /// Where.
    pub channel: String,
    /// In which thread.
    pub thread_ts: Option<String>,
    /// Its title.
    pub title: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What goes wrong with a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// `ok: false` with this error.
    Error(&'static str),
    /// Status 429 with so many seconds of `Retry-After`.
    SlowDown(u64),
    /// This status with no answer of the API; of a webhook, with this body.
    Status(u16, &'static str),
    /// It is done, and answered after this time.
    After(Duration),
    /// It is done, and the connection ends within the answer.
    CutOff,
    /// Bytes that are no HTTP.
    Garbage,
}

/// A file on its way.
#[derive(Clone, Debug, Default)]
struct Upload {
    length: usize,
    bytes: Option<Vec<u8>>,
}

#[derive(Default)]
struct State {
    users: BTreeMap<String, String>,
    channels: BTreeMap<String, String>,
    archived: BTreeSet<String>,
    scopes: BTreeSet<&'static str>,
    messages: Vec<Message>,
    uploads: BTreeMap<String, Upload>,
    files: Vec<File>,
    calls: Vec<String>,
    wrongs: Vec<String>,
    faults: VecDeque<(String, Fault)>,
    posted: BTreeMap<String, Instant>,
    resting: BTreeMap<String, Instant>,
    is_fast: bool,
    count: u64,
    has_ended: bool,
}

/// A request as it came.
struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }
}

/// An answer to be written.
struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Vec<u8>,
}

impl Answer {
    fn json(body: &Value) -> Answer {
        Answer { status: 200, retry_after: None, body: body.to_string().into_bytes() }
    }

    fn error(code: &str) -> Answer {
        Answer::json(&json!({ "ok": false, "error": code }))
    }

    fn text(status: u16, text: &str) -> Answer {
        Answer { status, retry_after: None, body: text.as_bytes().to_vec() }
    }

    fn slow_down(seconds: u64) -> Answer {
        let body = json!({ "ok": false, "error": "ratelimited" }).to_string().into_bytes();
        Answer { status: 429, retry_after: Some(seconds), body }
    }
}

/// The fake.
pub struct Slack {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Slack {
    /// Begins to listen, with every scope granted, the webhook's channel, and the pace of the real one.
    ///
    /// # Panics
    /// Where there is no free port.
    #[must_use]
    pub fn start() -> Slack {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let scopes = ["chat:write", "files:write", "im:write", "users:read.email"].into();
        let state = Arc::new(Mutex::new(State { scopes, ..State::default() }));
        let slack = Slack { address, state: state.clone() };
        slack.add_channel(WEBHOOK_CHANNEL, "webhook");
        thread::spawn(move || accept(&listener, address, &state));
        slack
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The settings of a channel of the kind `slack` to these recipients.
    #[must_use]
    pub fn settings(&self, to: &[&str]) -> String {
        let to: Vec<String> = to.iter().map(|one| format!("\"{one}\"")).collect();
        format!("token: \"{TOKEN}\", api_url: \"http://{}/api\", to: [{}]", self.address, to.join(", "))
    }

    /// The URL of its incoming webhook.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        format!("http://{}{WEBHOOK}", self.address)
    }

    /// A person joins.
    pub fn add_user(&self, email: &str, id: &str) {
        self.lock().users.insert(email.to_owned(), id.to_owned());
    }

    /// A channel is made.
    pub fn add_channel(&self, id: &str, name: &str) {
        self.lock().channels.insert(id.to_owned(), name.to_owned());
    }

    /// A channel is archived.
    pub fn archive(&self, id: &str) {
        self.lock().archived.insert(id.to_owned());
    }

    /// The token loses a scope.
    pub fn revoke_scope(&self, scope: &str) {
        self.lock().scopes.remove(scope);
    }

    /// Messages may follow each other as fast as they come.
    pub fn be_fast(&self) {
        self.lock().is_fast = true;
    }

    /// The next call that begins with `what` (`chat.postMessage C1`, `upload`, `webhook`) goes wrong so; several are used
    /// in their order.
    pub fn fail(&self, what: &str, fault: Fault) {
        self.lock().faults.push_back((what.to_owned(), fault));
    }

    /// The messages so far, in their order.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.lock().messages.clone()
    }

    /// The messages of one conversation.
    #[must_use]
    pub fn messages_in(&self, channel: &str) -> Vec<Message> {
        self.messages().into_iter().filter(|message| message.channel == channel).collect()
    }

    /// The files that were shared.
    #[must_use]
    pub fn files(&self) -> Vec<File> {
        self.lock().files.clone()
    }

    /// The calls so far: a method, and the conversation where it is about one.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// Waits until a conversation has at least so many messages.
    ///
    /// # Panics
    /// When the patience is over.
    pub fn wait_for(&self, channel: &str, count: usize) -> Vec<Message> {
        wait::until(&format!("{channel} has {count} messages"), || {
            let messages = self.messages_in(channel);
            if messages.len() >= count { Ok(messages) } else { Err(format!("{:?}", self.calls())) }
        })
    }

    /// Checks that no call broke the contract.
    ///
    /// # Panics
    /// Where one did.
    pub fn nothing_was_wrong(&self) {
        let wrongs = self.lock().wrongs.clone();
        assert!(wrongs.is_empty(), "calls against the contract: {wrongs:#?}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Slack {
    fn drop(&mut self) {
        self.lock().has_ended = true;
        // Wakes the accepting thread, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, address: SocketAddr, state: &Arc<Mutex<State>>) {
    for stream in listener.incoming() {
        if lock(state).has_ended {
            return;
        }
        // A far side that is killed breaks its connections; that is what some tests are about.
        let Ok(stream) = stream else { continue };
        let state = state.clone();
        thread::spawn(move || drop(serve(stream, address, &state)));
    }
}

fn serve(stream: TcpStream, address: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    while let Some((first_line, headers)) = read_head(&mut from)? {
        let body = read_body(&mut from, &headers)?;
        let path = first_line.split(' ').nth(1).unwrap_or_default().to_owned();
        let request = Request { path, headers, body };
        if !first_line.starts_with("POST ") {
            lock(state).wrongs.push(format!("{first_line}: every call is a POST"));
        }
        let (fault, answer) = {
            let mut state = lock(state);
            let call = methods::name(&request);
            let fault = state.take_fault(&call);
            state.calls.push(call);
            let answer = match &fault {
                Some(Fault::Error(code)) => Answer::error(code),
                Some(Fault::SlowDown(seconds)) => Answer::slow_down(*seconds),
                Some(Fault::Status(status, text)) => Answer::text(*status, text),
                Some(Fault::Garbage) => Answer::text(200, ""),
                Some(Fault::After(_) | Fault::CutOff) | None => state.answer(&request, address),
            };
            (fault, answer)
        };
        match fault {
            Some(Fault::Garbage) => {
                to.write_all(b"SSH-2.0-not-http\r\n\r\n")?;
                return Ok(());
            }
            Some(Fault::CutOff) => {
                to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"ok\"")?;
                return Ok(());
            }
            Some(Fault::After(time)) => wait::pause(time),
            _ => {}
        }
        write(&mut to, &answer)?;
    }
    Ok(())
}

fn write(to: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let mut message = format!("HTTP/1.1 {} Said\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
    if let Some(seconds) = answer.retry_after {
        message.push_str(&format!("retry-after: {seconds}\r\n"));
    }
    message.push_str("\r\n");
    let mut message = message.into_bytes();
    message.extend(&answer.body);
    to.write_all(&message)
}
