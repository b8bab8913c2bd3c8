//! The webhook receiver: an answer of 204 at once, and the time that lies between the `sent_ns` in the body and now. One
//! thread for all connections, and cheap on purpose: it shares the machine with what is measured.

use super::http::{Messages, find};
use super::latency::Latencies;
use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// The zero of `sent_ns`; generator and sink live in one process.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a generator writes as `sent_ns`.
pub(super) fn now_ns() -> u64 {
    u64::try_from(BEGIN.elapsed().as_nanos()).expect("a bench does not run for 500 years")
}

/// A receiver that listens until the process ends.
pub(super) struct Sink {
    address: SocketAddr,
    latencies: Arc<Latencies>,
    criticals: Arc<Latencies>,
}

/// What a connection's thread knows.
struct Book {
    latencies: Arc<Latencies>,
    criticals: Arc<Latencies>,
    delay: Duration,
}

impl Sink {
    /// Listens on a free port of the loopback.
    pub(super) fn open() -> Result<Sink> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Sink::open_at(free, Duration::ZERO)
    }

    /// Listens on a free port of the loopback; every answer takes this long.
    pub(super) fn open_slow(delay: Duration) -> Result<Sink> {
        Sink::open_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), delay)
    }

    /// Listens on this address; every answer takes this long.
    pub(super) fn open_at(address: SocketAddr, delay: Duration) -> Result<Sink> {
        let listener = TcpListener::bind(address).context("cannot listen on the loopback")?;
        let address = listener.local_addr().context("the listener has no address")?;
        let (latencies, criticals) = (Arc::new(Latencies::new()), Arc::new(Latencies::new()));
        let book = Book { latencies: Arc::clone(&latencies), criticals: Arc::clone(&criticals), delay };
        thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || run(&listener, &book).unwrap_or_else(|error| eprintln!("sink: {error:#}")))
            .context("cannot start the sink")?;
        Ok(Sink { address, latencies, criticals })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From sent to received, of all that came.
    pub(super) fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// The same, of those that are critical.
    pub(super) fn criticals(&self) -> &Latencies {
        &self.criticals
    }

    /// Waits until `count` have come; how many lack is an error after `patience` without a new one.
    pub(super) fn wait_for(&self, count: u64, patience: Duration) -> Result<()> {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let now = self.latencies.count();
            if now >= count {
                return Ok(());
            }
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() > patience {
                bail!("{now} of {count} messages came, and none in the last {} s", patience.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The key of the listener among the connections' file descriptors, which are never negative.
const LISTENER: u64 = u64::MAX;

fn run(listener: &TcpListener, book: &Book) -> Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll")?;
    epoll::add(&poll, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut connections = HashMap::new();
    // The answers to come, in the order of their times: all take equally long.
    let mut owed: VecDeque<(Instant, u64)> = VecDeque::new();
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        while owed.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let (_, key) = owed.pop_front().context("there is a front")?;
            if let Some(connection) = connections.get_mut(&key) {
                answer(connection)?;
            }
        }
        let patience = owed.front().map(|(due, _)| timespec(due.saturating_duration_since(Instant::now())));
        match epoll::wait(&poll, spare_capacity(&mut events), patience.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        for key in events.iter().map(|event: &epoll::Event| event.data.u64()) {
            if key == LISTENER {
                let (stream, _) = listener.accept().context("cannot take a connection")?;
                stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
                let key = u64::try_from(stream.as_raw_fd()).context("a descriptor below zero")?;
                epoll::add(&poll, &stream, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
                connections.insert(key, Messages::new(stream));
            } else if let Some(connection) = connections.get_mut(&key)
                && !serve(connection, book, |due| owed.push_back((due, key))).unwrap_or_else(told)
            {
                connections.remove(&key);
            }
        }
    }
}

fn told(error: anyhow::Error) -> bool {
    eprintln!("sink: {error:#}");
    false
}

/// Answers what has come; `false` where nothing more comes. Does not wait: there is something to read, and an answer
/// fits into the socket's buffer.
fn serve(connection: &mut Messages<TcpStream>, book: &Book, mut owe: impl FnMut(Instant)) -> Result<bool> {
    if !connection.fill()? {
        return Ok(false);
    }
    while let Some(request) = connection.next_read()? {
        if let Some(sent) = sent_ns(request.body) {
            let took = Duration::from_nanos(now_ns().saturating_sub(sent));
            book.latencies.record(took);
            if find(request.body, b"\"severity\":\"critical\"").is_some() {
                book.criticals.record(took);
            }
        }
        if book.delay.is_zero() {
            answer(connection)?;
        } else {
            owe(Instant::now() + book.delay);
        }
    }
    Ok(true)
}

fn answer(connection: &mut Messages<TcpStream>) -> Result<()> {
    connection.source().write_all(ANSWER).context("cannot answer")
}

fn timespec(wait: Duration) -> rustix::event::Timespec {
    // Rounded up to a millisecond: a wait that ends too early would only be repeated.
    let wait = wait + Duration::from_millis(1);
    rustix::event::Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() }
}

/// The number behind `"sent_ns":`. It stands near the end of our incidents, so it is searched for from there.
fn sent_ns(body: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"sent_ns\":";
    let near_end = body.len().saturating_sub(512);
    let at = find(&body[near_end..], KEY).map(|at| near_end + at).or_else(|| find(body, KEY))? + KEY.len();
    let digits = body[at..].iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    digits.map(|digit| u64::from(digit - b'0')).reduce(|number, digit| number * 10 + digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_sending_is_found_wherever_it_stands() {
        assert_eq!(sent_ns(b"{\"title\":\"x\",\"extra\":{\"sent_ns\":1234}}"), Some(1234));
        let long = format!("{{\"sent_ns\": 7,\"text\":\"{}\"}}", "x".repeat(2000));
        assert_eq!(sent_ns(long.as_bytes()), Some(7));
        assert_eq!(sent_ns(b"{}"), None);
    }

    #[test]
    fn waiting_for_what_never_comes_says_how_much_lacks() {
        let error = Sink::open().unwrap().wait_for(1, Duration::ZERO).unwrap_err();
        assert!(error.to_string().starts_with("0 of 1 messages came"), "{error}");
    }
}
