//! A receiver of webhooks that records every request and answers by script: statuses, delays, silence, broken replies.

use crate::client::{read_body, read_head};
use crate::wait;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The first line, such as `POST /hook HTTP/1.1`.
    pub first_line: String,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The first field of this name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }
}

/// How one request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With this status, these fields and this body.
    Answer {
        /// The status code.
        status: u16,
        /// Header fields beside `content-length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// After this time.
    After(Duration, Box<Reply>),
    /// Not at all: the connection stays open and silent until the far side closes it.
    Hang,
    /// With the first half of an answer; then the connection is closed.
    CutOff,
    /// With bytes that are no HTTP; then the connection is closed.
    Garbage(Vec<u8>),
    /// With one byte of a header field at a time and this pause between two, until the far side closes the connection.
    Trickle(Duration),
}

impl Reply {
    /// An answer of a status alone.
    #[must_use]
    pub fn status(status: u16) -> Reply {
        Reply::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// An answer of a status and one field.
    #[must_use]
    pub fn with_header(status: u16, name: &str, value: &str) -> Reply {
        Reply::Answer { status, headers: vec![(name.to_owned(), value.to_owned())], body: Vec::new() }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    gate: Condvar,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    script: VecDeque<Reply>,
    default: Option<Reply>,
    is_held: bool,
    has_ended: bool,
    keeps_ids_only: bool,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The receiver. Listens on a free port of the loopback until it is dropped.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Sink {
    /// Begins to listen; every request gets 204 unless told otherwise.
    ///
    /// # Panics
    /// Where there is no free port.
    #[must_use]
    pub fn start() -> Sink {
        Sink::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Begins to listen at an address that was known before.
    ///
    /// # Panics
    /// Where somebody else listens there.
    #[must_use]
    pub fn start_at(address: SocketAddr) -> Sink {
        let listener = TcpListener::bind(address).expect("nobody else listens there");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        thread::spawn(move || accept(&listener, &accepting));
        Sink { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An URL of it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Of further requests only `webhook-id` is kept: for more of them than memory holds.
    pub fn keep_ids_only(&self) {
        self.shared.lock().keeps_ids_only = true;
    }

    /// The next requests are answered so, one each and in this order.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.lock().script.extend(replies);
    }

    /// Every request that has no script is answered so from now on.
    pub fn always(&self, reply: Reply) {
        self.shared.lock().default = Some(reply);
    }

    /// Requests are recorded, and answered only after [`Sink::release`].
    pub fn hold(&self) {
        self.shared.lock().is_held = true;
    }

    /// Lets all go that were held.
    pub fn release(&self) {
        self.shared.lock().is_held = false;
        self.shared.gate.notify_all();
    }

    /// How many requests came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.lock().received.len()
    }

    /// All requests so far, in the order in which they came.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// Looks at the requests where they are: for many of them.
    pub fn look<T>(&self, look: impl FnOnce(&[Received]) -> T) -> T {
        look(&self.shared.lock().received)
    }

    /// Waits until at least so many requests came, and gives all.
    ///
    /// # Panics
    /// When the patience is over.
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        wait::until(&format!("{count} requests came"), || {
            let received = self.received();
            if received.len() >= count { Ok(received) } else { Err(format!("{} requests", received.len())) }
        })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.lock().has_ended = true;
        self.release();
        // Wakes the accepting thread, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.lock().has_ended {
            return;
        }
        // A far side that is killed breaks its connections; that is what some tests are about.
        let Ok(stream) = stream else { continue };
        let shared = shared.clone();
        thread::spawn(move || drop(serve(stream, &shared)));
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    while let Some((first_line, headers)) = read_head(&mut from)? {
        let body = read_body(&mut from, &headers)?;
        let reply = {
            let mut state = shared.lock();
            let mut request = Received { first_line, headers, body };
            if state.keeps_ids_only {
                request.headers.retain(|(name, _)| name == "webhook-id");
                request = Received { first_line: String::new(), headers: request.headers, body: Vec::new() };
            }
            state.received.push(request);
            while state.is_held && !state.has_ended {
                state = shared.gate.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let scripted = state.script.pop_front().or_else(|| state.default.clone());
            scripted.unwrap_or_else(|| Reply::status(204))
        };
        if !answer(&mut to, &mut from, reply)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether the connection goes on.
fn answer(to: &mut TcpStream, from: &mut BufReader<TcpStream>, reply: Reply) -> io::Result<bool> {
    match reply {
        Reply::Answer { status, headers, body } => {
            let mut message = format!("HTTP/1.1 {status} Scripted\r\n");
            if status != 204 {
                message.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            for (name, value) in headers {
                message.push_str(&format!("{name}: {value}\r\n"));
            }
            message.push_str("\r\n");
            let mut message = message.into_bytes();
            message.extend(body);
            to.write_all(&message)?;
            Ok(true)
        }
        Reply::After(time, reply) => {
            wait::pause(time);
            answer(to, from, *reply)
        }
        Reply::Hang => {
            io::copy(&mut from.by_ref().take(u64::MAX), &mut io::sink())?;
            Ok(false)
        }
        Reply::CutOff => {
            to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of")?;
            Ok(false)
        }
        Reply::Garbage(bytes) => {
            to.write_all(&bytes)?;
            Ok(false)
        }
        Reply::Trickle(rest) => {
            to.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ")?;
            loop {
                wait::pause(rest);
                to.write_all(b"y")?;
            }
        }
    }
}
