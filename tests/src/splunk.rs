//! A stand-in for Splunk's HTTP Event Collector that keeps to the vendor's pages and refuses what they do not allow:
//! token, paths, channel, sizes, the form of events. Events are in its memory first and lost there when it crashes.
//!
//! Sources: help.splunk.com, "Format events for HTTP Event Collector", "About HTTP Event Collector Indexer
//! Acknowledgment", "Troubleshoot HTTP Event Collector" (2026-11).

use crate::client::{read_body, read_head};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The token that is known.
pub const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// The largest request that is taken.
const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Default)]
struct State {
    acknowledges: bool,
    index_now: bool,
    busy: usize,
    refused_words: Option<String>,
    /// Taken, and not yet written.
    memory: Vec<(u64, Vec<Value>)>,
    indexed: Vec<Value>,
    /// By channel: what was written and not yet told.
    acks: BTreeMap<String, Vec<u64>>,
    next_ack: u64,
    /// Taken, and lost with the memory.
    lost: Vec<u64>,
    codes: VecDeque<u64>,
    has_ended: bool,
}

/// The collector. Listens on a free port of the loopback until it is dropped.
pub struct Splunk {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Splunk {
    /// Begins to listen, with a token that allows the index `main` and, where told so, acknowledges.
    ///
    /// # Panics
    /// Where there is no free port.
    #[must_use]
    pub fn start(acknowledges: bool) -> Splunk {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State { acknowledges, index_now: true, ..State::default() }));
        let accepting = state.clone();
        thread::spawn(move || accept(&listener, &accepting));
        Splunk { address, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether events are written at once or stay in memory.
    pub fn writes(&self, now: bool) {
        let mut state = lock(&self.state);
        state.index_now = now;
        if now {
            state.write_all();
        }
    }

    /// Loses what is in memory.
    pub fn crash(&self) {
        let mut state = lock(&self.state);
        let lost = std::mem::take(&mut state.memory).into_iter().map(|(id, _)| id);
        state.lost.extend(lost);
    }

    /// So many requests are told that the server is busy.
    pub fn be_busy(&self, requests: usize) {
        lock(&self.state).busy = requests;
    }

    /// Events with these words in them are no valid data.
    pub fn refuse(&self, words: &str) {
        lock(&self.state).refused_words = Some(words.to_owned());
    }

    /// How many events are in memory.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.state).memory.iter().map(|(_, events)| events.len()).sum()
    }

    /// What was written, in order.
    #[must_use]
    pub fn indexed(&self) -> Vec<Value> {
        lock(&self.state).indexed.clone()
    }

    /// The codes of all answers so far.
    #[must_use]
    pub fn codes(&self) -> Vec<u64> {
        lock(&self.state).codes.iter().copied().collect()
    }
}

impl Drop for Splunk {
    fn drop(&mut self) {
        lock(&self.state).has_ended = true;
        // Wakes the accepting thread, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    for stream in listener.incoming() {
        if lock(state).has_ended {
            return;
        }
        let Ok(stream) = stream else { continue };
        let state = state.clone();
        // A client that is killed breaks its connections.
        thread::spawn(move || drop(serve(&stream, &state)));
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream.try_clone()?);
    while let Some((first_line, headers)) = read_head(&mut from)? {
        let body = read_body(&mut from, &headers)?;
        let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let (status, answer) = {
            let mut state = lock(state);
            let (status, answer) = state.answer(&first_line, header, &body);
            state.codes.extend(answer["code"].as_u64());
            (status, answer.to_string())
        };
        write!(
            to,
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
    Ok(())
}

fn said(status: u16, code: u64, text: &str) -> (u16, Value) {
    (status, json!({ "text": text, "code": code }))
}

impl State {
    fn answer<'a>(&mut self, first_line: &str, header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> (u16, Value) {
        match header("authorization") {
            None => return said(401, 2, "Token is required"),
            Some(value) => match value.strip_prefix("Splunk ") {
                None => return said(401, 3, "Invalid authorization"),
                Some(TOKEN) => {}
                Some(_) => return said(403, 4, "Invalid token"),
            },
        }
        let channel = header("x-splunk-request-channel");
        if self.acknowledges {
            match channel {
                None => return said(400, 10, "Data channel is missing"),
                Some(id) if id.len() != 36 => return said(400, 11, "Invalid data channel"),
                Some(_) => {}
            }
        }
        match first_line {
            "POST /services/collector/event HTTP/1.1" => self.take(channel.unwrap_or_default(), body),
            "POST /services/collector/ack HTTP/1.1" if self.acknowledges => {
                self.tell(channel.unwrap_or_default(), body)
            }
            "POST /services/collector/ack HTTP/1.1" => said(400, 14, "ACK is disabled"),
            _ => said(404, 404, "The requested URL was not found on this server."),
        }
    }

    fn take(&mut self, channel: &str, body: &[u8]) -> (u16, Value) {
        if body.is_empty() {
            return said(400, 5, "No data");
        }
        if body.len() > BODY_BYTES_MAX {
            return said(413, 413, "content-length too large");
        }
        if self.busy > 0 {
            self.busy -= 1;
            return said(503, 9, "Server is busy");
        }
        let mut events = Vec::new();
        for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
            match value {
                Ok(Value::Array(list)) => events.extend(list),
                Ok(value) => events.push(value),
                Err(_) => return spoiled(6, "Invalid data format", events.len()),
            }
        }
        for (number, event) in events.iter().enumerate() {
            if let Some((code, text)) = self.fault(event) {
                return spoiled(code, text, number);
            }
        }
        let id = self.next_ack;
        self.next_ack += 1;
        self.memory.push((id, events));
        if self.acknowledges {
            self.acks.entry(channel.to_owned()).or_default().push(id);
        }
        if self.index_now {
            self.write_all();
        }
        let mut answer = json!({ "text": "Success", "code": 0 });
        if self.acknowledges {
            answer["ackId"] = json!(id);
        }
        (200, answer)
    }

    fn fault(&self, event: &Value) -> Option<(u64, &'static str)> {
        let Some(fields) = event.as_object() else { return Some((6, "Invalid data format")) };
        let known = ["time", "host", "source", "sourcetype", "index", "event", "fields"];
        let is_time = fields.get("time").is_none_or(|time| time.as_f64().is_some_and(|time| time > 0.0 && time < 1e11));
        let is_refused = self.refused_words.as_ref().is_some_and(|words| event.to_string().contains(words));
        if is_refused || !is_time || fields.keys().any(|name| !known.contains(&name.as_str())) {
            return Some((6, "Invalid data format"));
        }
        match fields.get("event") {
            None => return Some((12, "Event field is required")),
            Some(Value::Null) => return Some((13, "Event field cannot be blank")),
            Some(Value::String(text)) if text.is_empty() => return Some((13, "Event field cannot be blank")),
            Some(_) => {}
        }
        if fields.get("index").is_some_and(|index| index != "main") {
            return Some((7, "Incorrect index"));
        }
        let is_flat =
            |fields: &Value| fields.as_object().is_some_and(|map| map.values().all(|value| !value.is_object()));
        (!fields.get("fields").is_none_or(is_flat)).then_some((15, "Error in handling indexed fields"))
    }

    fn write_all(&mut self) {
        for (_, events) in std::mem::take(&mut self.memory) {
            self.indexed.extend(events);
        }
    }

    /// Told once: what a channel has heard of is forgotten.
    fn tell(&mut self, channel: &str, body: &[u8]) -> (u16, Value) {
        let Ok(question) = serde_json::from_slice::<Value>(body) else { return said(400, 6, "Invalid data format") };
        let Some(ids) = question["acks"].as_array() else { return said(400, 6, "Invalid data format") };
        let in_memory: Vec<u64> = self.memory.iter().map(|(id, _)| *id).collect();
        let lost = self.lost.clone();
        let open = self.acks.entry(channel.to_owned()).or_default();
        let mut answer = serde_json::Map::new();
        for id in ids.iter().filter_map(Value::as_u64) {
            let is_written = open.contains(&id) && !in_memory.contains(&id) && !lost.contains(&id);
            if is_written {
                open.retain(|other| *other != id);
            }
            answer.insert(id.to_string(), json!(is_written));
        }
        (200, json!({ "acks": answer }))
    }
}

fn spoiled(code: u64, text: &str, number: usize) -> (u16, Value) {
    (400, json!({ "text": text, "code": code, "invalid-event-number": number }))
}
