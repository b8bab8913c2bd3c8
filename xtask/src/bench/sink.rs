//! The webhook receiver: a thread for each connection, an answer of 204 at once, and the time that lies between the
//! `sent_ns` in the body and now. Cheap on purpose: it shares the machine with what is measured.

use super::http::{Messages, find};
use super::latency::Latencies;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

/// A thread here only copies bytes.
const STACK_BYTES: usize = 128 * 1024;

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
}

impl Sink {
    /// Listens on a free port of the loopback.
    pub(super) fn open() -> Result<Sink> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on the loopback")?;
        let address = listener.local_addr().context("the listener has no address")?;
        let latencies = Arc::new(Latencies::new());
        let recorder = Arc::clone(&latencies);
        thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || accept(&listener, &recorder))
            .context("cannot start the sink")?;
        Ok(Sink { address, latencies })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From sent to received, of all that came.
    pub(super) fn latencies(&self) -> &Latencies {
        &self.latencies
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

fn accept(listener: &TcpListener, latencies: &Arc<Latencies>) {
    for stream in listener.incoming() {
        let latencies = Arc::clone(latencies);
        let started = stream.and_then(|stream| {
            let serve = move || match serve(stream, &latencies) {
                Ok(()) => {}
                Err(error) => eprintln!("sink: {error:#}"),
            };
            thread::Builder::new().stack_size(STACK_BYTES).spawn(serve)
        });
        if let Err(error) = started {
            eprintln!("sink: cannot take a connection: {error}");
        }
    }
}

fn serve(mut stream: TcpStream, latencies: &Latencies) -> Result<()> {
    stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
    let mut requests = Messages::new(stream.try_clone().context("cannot share the connection")?);
    while let Some(request) = requests.next()? {
        if let Some(sent) = sent_ns(request.body) {
            latencies.record(Duration::from_nanos(now_ns().saturating_sub(sent)));
        }
        stream.write_all(ANSWER).context("cannot answer")?;
    }
    Ok(())
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
