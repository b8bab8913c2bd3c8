//! Many deliveries in one request: each delivery gives one part, a channel's kind makes requests of the parts that wait
//! together and one reply for each of them out of what came back. Knows no client; whoever carries the requests decides
//! how many parts travel together, within [`BulkBounds`].

use crate::{HttpReply, HttpRequest, Reply};
use balefire_model::Cause;
use std::fmt;
use std::time::Duration;

pub(crate) mod settings;

/// A kind whose deliveries travel together. Its [`step`](crate::Channel::step) gives one [`Request::Part`] and takes the
/// part's own reply, as if it had travelled alone.
///
/// [`Request::Part`]: crate::Request::Part
pub trait Bulk: fmt::Debug + Send + Sync {
    /// How much travels together at most.
    fn bounds(&self) -> BulkBounds;

    /// What must be done once before the first parts: an exchange without parts. It ends with no reply where all is
    /// ready, and with the one that stands for every part where it is not; then it is tried again before the next parts.
    fn prepare(&self, node: usize) -> Option<Box<dyn Exchange + '_>>;

    /// Sends parts, beginning at a node: any number, taken modulo how many there are.
    fn exchange(&self, parts: Vec<Vec<u8>>, node: usize) -> Box<dyn Exchange + '_>;
}

/// How much travels together at most. One part alone may be larger than `bytes_max`.
#[derive(Clone, Copy, Debug)]
pub struct BulkBounds {
    /// How many parts one exchange takes.
    pub parts_max: usize,
    /// How many bytes they may have together.
    pub bytes_max: usize,
    /// How many exchanges may be under way at once.
    pub exchanges_max: usize,
    /// How much of an answer is read.
    pub reply_bytes_max: usize,
}

impl BulkBounds {
    /// How many deliveries may be under way: those that travel, and what the next exchange takes. Without these each
    /// exchange would begin with the few that came first after the end of another one.
    pub(crate) fn in_flight(&self) -> u32 {
        let exchanges = self.exchanges_max.saturating_add(1);
        u32::try_from(self.parts_max.saturating_mul(exchanges)).unwrap_or(u32::MAX)
    }
}

/// The requests for some parts, one after the other. The same replies give the same requests.
pub trait Exchange: Send {
    /// What comes next; `reply` is that to the request before, and `None` at the beginning.
    fn step(&mut self, reply: Option<Reply>) -> BulkStep;
}

/// What comes next for some parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkStep {
    /// Send this after a while and come back with the reply.
    Send {
        /// What to send.
        request: HttpRequest,
        /// How long to wait before.
        after: Duration,
    },
    /// It is over.
    Done {
        /// One reply for each part, in order; for an exchange without parts see [`Bulk::prepare`].
        replies: Vec<Reply>,
        /// Where the next exchange should begin: the node that was asked last.
        node: usize,
    },
}

/// A reply of our own words.
pub(crate) fn failed(cause: Cause, detail: impl Into<String>) -> Reply {
    Reply::Failed { cause, detail: detail.into() }
}

/// A part's reply out of the reply to all: the status and the words that concern it, and when to come back.
pub(crate) fn part_reply(status: u16, words: &str, whole: &HttpReply) -> Reply {
    let headers = whole.headers.iter().filter(|(name, _)| name == "retry-after").cloned().collect();
    Reply::Http(HttpReply { status, headers, body: words.as_bytes().to_vec() })
}
