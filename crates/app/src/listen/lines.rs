//! JSON lines over a stream: each line an incident, each answered with a line when it is durable or refused.

use crate::reception::{Declined, ItemResult, OnError, Parcel, Receipt, Reception};
use balefire_intake::formats::Format;
use balefire_intake::formats::json::Shape;
use balefire_intake::lines::{Line, LineSplitter, LineTooLong};
use serde_json::json;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// How much is read at once, and at most handed over at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// How long to wait for a peer that does not read its answers.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// The longest wait between two tries of lines that were declined for now.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Whether what comes first is JSON and no HTTP request. Waits for the first byte and leaves it where it is.
///
/// # Errors
/// Where the stream ends or fails before.
pub(crate) async fn begins_like_json(stream: &UnixStream) -> io::Result<bool> {
    loop {
        stream.readable().await?;
        let mut first = [0_u8; 1];
        let peeked = rustix::net::recv(stream, &mut first, rustix::net::RecvFlags::PEEK);
        match peeked {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(!first[0].is_ascii_uppercase()),
            Err(rustix::io::Errno::AGAIN) => {
                // The readiness was stale: let the stream know by a read that would block, too.
                match stream.try_read(&mut []) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                tokio::task::yield_now().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Serves one connection of the socket until it ends.
pub(crate) async fn serve(stream: UnixStream, reception: &Reception, mut stop: watch::Receiver<bool>) {
    let (mut from, mut to) = stream.into_split();
    let mut lines = Lines::new(reception, "socket");
    loop {
        let answered = tokio::select! {
            answered = lines.next(&mut from) => answered,
            _ = async { drop(stop.wait_for(|stop| *stop).await) } => return,
        };
        let answers = match answered {
            Ok(Some(answers)) => answers,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "socket broke off"),
        };
        let mut text = Vec::new();
        for answer in answers {
            serde_json::to_writer(&mut text, &answer.json()).expect("a Vec takes everything");
            text.push(b'\n');
        }
        match tokio::time::timeout(WRITE_TIME_MAX, to.write_all(&text)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::debug!(%error, "socket broke off"),
            Err(_) => return tracing::debug!("socket does not read its answers"),
        }
    }
}

/// What became of one line.
#[derive(Debug)]
pub(crate) enum Answer {
    Item(ItemResult),
    TooLong(LineTooLong),
    Declined(String),
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        match self {
            Answer::Item(result) => serde_json::to_value(result).expect("results have no failing serialisers"),
            Answer::TooLong(error) => json!({ "status": "refused", "detail": error.to_string() }),
            Answer::Declined(why) => json!({ "status": "refused", "detail": why }),
        }
    }

    /// Why the line was not accepted, if it was not.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Answer::Item(ItemResult::Refused { errors, .. }) => {
                Some(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
            }
            Answer::Item(_) => None,
            Answer::TooLong(error) => Some(error.to_string()),
            Answer::Declined(why) => Some(why.clone()),
        }
    }
}

/// Lines of a stream on their way in.
pub(crate) struct Lines<'a> {
    reception: &'a Reception,
    source: &'a str,
    splitter: LineSplitter,
    buffer: Vec<u8>,
    ended: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(reception: &'a Reception, source: &'a str) -> Lines<'a> {
        let splitter = LineSplitter::new(reception.limits.item_bytes_max, 0);
        Lines { reception, source, splitter, buffer: vec![0; CHUNK_BYTES], ended: false }
    }

    /// Reads on, and says what became of the lines that are complete now; `None` at the end.
    pub(crate) async fn next(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<Answer>>> {
        if self.ended {
            return Ok(None);
        }
        let count = from.read(&mut self.buffer).await?;
        let mut body = Vec::with_capacity(count);
        let mut too_long = Vec::new();
        let mut take = |line: Line<'_>| match line.content {
            Ok(content) => {
                body.extend_from_slice(&content);
                body.push(b'\n');
            }
            Err(error) => too_long.push(error),
        };
        if count == 0 {
            self.ended = true;
            if let Some(line) = self.splitter.finish() {
                take(line);
            }
        } else {
            self.splitter.push(&self.buffer[..count], take);
        }
        let mut answers: Vec<Answer> = too_long.into_iter().map(Answer::TooLong).collect();
        if !body.trim_ascii().is_empty() {
            answers.extend(self.hand_over(&body).await);
        }
        Ok(Some(answers))
    }

    /// Streams have no status code to send their sender away with: what is declined for now is tried again.
    async fn hand_over(&self, body: &[u8]) -> Vec<Answer> {
        loop {
            let parcel = Parcel {
                body,
                shape: Shape::Ndjson,
                format: Format::Auto,
                source: self.source,
                on_error: OnError::Keep,
                idempotency: None,
                read: None,
            };
            let wait = match self.reception.take(parcel).await {
                Ok(Receipt { results, .. }) => return results.into_iter().map(Answer::Item).collect(),
                Err(Declined::Overload { retry_after, .. } | Declined::TooFast { retry_after, .. }) => retry_after,
                Err(Declined::Unavailable(why)) => why.retry_after,
                Err(error) => return vec![Answer::Declined(error.to_string())],
            };
            tokio::time::sleep(wait.min(RETRY_MAX)).await;
        }
    }
}
