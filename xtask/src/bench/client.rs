//! The load generator: a thread and a connection each, one request at a time, no runtime. Knows nothing of what the
//! bodies mean.

use super::http::Messages;
use super::latency::Latencies;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// After this long without an answer the server is taken for dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What to send.
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) path: &'a str,
    pub(super) connections: u32,
    pub(super) until: Until,
    /// Requests a second over all connections; as fast as the answers come where there is none.
    pub(super) rate: Option<f64>,
    /// Writes the body of a request, given its number.
    pub(super) body: &'a (dyn Fn(u64, &mut Vec<u8>) + Sync),
}

/// When to stop.
#[derive(Clone, Copy)]
pub(super) enum Until {
    Elapsed(Duration),
    Requests(u64),
}

/// What came of it.
pub(super) struct Answers {
    /// Requests that were answered with 2xx.
    pub(super) accepted: u64,
    /// Requests that were answered with 429 or 503.
    pub(super) refused: u64,
    pub(super) took: Duration,
    /// From when a request was due to its answer: a server that stalls is charged for the requests that it holds up.
    pub(super) latencies: Latencies,
}

/// Sends the load and waits for every answer.
pub(super) fn drive(load: &Load<'_>) -> Result<Answers> {
    let begin = Instant::now();
    let latencies = Latencies::new();
    let (next, accepted, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let connection = || -> Result<()> {
        let mut wire = Wire::open(load)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(due) = due(load, begin, number) else { return Ok(()) };
            let status = wire.post(number, load)?;
            latencies.record(due.elapsed());
            match status {
                200..300 => accepted.fetch_add(1, Ordering::Relaxed),
                429 | 503 => refused.fetch_add(1, Ordering::Relaxed),
                other => bail!("the server answered {other}"),
            };
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..load.connections).map(|_| scope.spawn(connection)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a connection's thread does not panic"))
    })?;
    let (accepted, refused) = (accepted.into_inner(), refused.into_inner());
    Ok(Answers { accepted, refused, took: begin.elapsed(), latencies })
}

/// When a request is due, having waited for it; `None` where the load ends before.
fn due(load: &Load<'_>, begin: Instant, number: u64) -> Option<Instant> {
    let due = match load.rate {
        Some(rate) => begin + Duration::from_secs_f64(number as f64 / rate),
        None => Instant::now(),
    };
    let is_over = match load.until {
        Until::Elapsed(duration) => due >= begin + duration,
        Until::Requests(count) => number >= count,
    };
    if is_over {
        return None;
    }
    thread::sleep(due.saturating_duration_since(Instant::now()));
    Some(due)
}

/// A connection, and room for a request.
struct Wire {
    stream: TcpStream,
    answers: Messages<TcpStream>,
    request: Vec<u8>,
    body: Vec<u8>,
}

impl Wire {
    fn open(load: &Load<'_>) -> Result<Wire> {
        let stream = TcpStream::connect(load.address).with_context(|| format!("cannot connect to {}", load.address))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).context("cannot set a timeout")?;
        let answers = Messages::new(stream.try_clone().context("cannot share the connection")?);
        Ok(Wire { stream, answers, request: Vec::new(), body: Vec::new() })
    }

    fn post(&mut self, number: u64, load: &Load<'_>) -> Result<u16> {
        self.body.clear();
        (load.body)(number, &mut self.body);
        self.request.clear();
        write!(
            self.request,
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            load.path,
            load.address,
            self.body.len()
        )
        .context("cannot format a request")?;
        self.request.extend_from_slice(&self.body);
        self.stream.write_all(&self.request).context("cannot send a request")?;
        self.answers.next()?.context("the server closed the connection")?.status()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sink::Sink;
    use super::*;

    #[test]
    fn every_request_of_a_load_reaches_the_other_side_and_is_counted_once() {
        let sink = Sink::open().unwrap();
        let load = Load {
            address: sink.address(),
            path: "/",
            connections: 3,
            until: Until::Requests(100),
            rate: None,
            body: &|number, body| write!(body, "{{\"n\":{number},\"sent_ns\":0}}").unwrap(),
        };
        let answers = drive(&load).unwrap();
        assert_eq!((answers.accepted, answers.refused, answers.latencies.count()), (100, 0, 100));
        assert_eq!(sink.latencies().count(), 100);
    }
}
