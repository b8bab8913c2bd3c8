//! Where inputs wait for the engine. Bounded without ever blocking: submissions are weighed before they come in
//! (`engine::admit`), attempts that end are bounded by the channels' windows, and everything else by the connections.

use super::driver::Stopping;
use crate::config::Config;
use balefire_engine::{Answer, Input};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// An input, and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Letter {
    pub input: Input,
    pub reply: Option<oneshot::Sender<Result<Answer, Unavailable>>>,
    /// What it weighs in memory, about.
    pub bytes: usize,
    /// How many incidents it brings.
    pub incidents: usize,
    /// A configuration that comes into force with it; the input is its `Configure`.
    pub config: Option<Arc<Config>>,
    /// An order to stop that comes with it; the input is `Drain`.
    pub stop: Option<Stopping>,
}

impl Letter {
    /// An input whose answer nobody awaits.
    pub(crate) fn plain(input: Input) -> Letter {
        Letter { input, reply: None, bytes: 0, incidents: 0, config: None, stop: None }
    }

    /// The same letter once more, without whoever waits for its answer.
    pub(crate) fn again(&self) -> Letter {
        Letter { config: self.config.clone(), stop: self.stop.clone(), ..Letter::plain(self.input.clone()) }
    }
}

/// Nothing was accepted; it may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Unavailable {
    pub why: String,
    pub retry_after: Duration,
}

impl Unavailable {
    pub(crate) fn stopping() -> Unavailable {
        Unavailable { why: "balefire is stopping".to_owned(), retry_after: Duration::from_secs(5) }
    }
}

#[derive(Default)]
struct Letters {
    waiting: VecDeque<Letter>,
    closed: bool,
}

/// The mailbox of the engine's thread.
#[derive(Default)]
pub(crate) struct Mailbox {
    letters: Mutex<Letters>,
    arrived: Condvar,
    queued_bytes: AtomicUsize,
    queued_incidents: AtomicUsize,
    /// Why nothing can be accepted just now.
    unready: Mutex<Option<&'static str>>,
    /// When the engine's thread last went round, in Unix seconds; the watchdog looks at it.
    heartbeat: AtomicU64,
}

impl Mailbox {
    /// Hands a letter over; `false` after the end of the engine's thread.
    pub(crate) fn post(&self, letter: Letter) -> bool {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.closed {
            return false;
        }
        self.queued_bytes.fetch_add(letter.bytes, Ordering::Relaxed);
        self.queued_incidents.fetch_add(letter.incidents, Ordering::Relaxed);
        letters.waiting.push_back(letter);
        drop(letters);
        self.arrived.notify_one();
        true
    }

    /// Hands over letters that weigh nothing; `false` after the end of the engine's thread.
    pub(crate) fn post_all(&self, letters: impl Iterator<Item = Letter>) -> bool {
        let mut waiting = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return false;
        }
        waiting.waiting.extend(letters);
        drop(waiting);
        self.arrived.notify_one();
        true
    }

    /// Hands an input over and waits for its answer, which comes when everything that it led to is durable.
    ///
    /// Cancel-safe in that the input is taken or not; a caller that stops waiting never learns which.
    pub(crate) async fn ask(&self, input: Input, bytes: usize, incidents: usize) -> Result<Answer, Unavailable> {
        let (reply, answer) = oneshot::channel();
        // A letter that is not taken is dropped with its reply, which ends the wait.
        self.post(Letter { reply: Some(reply), bytes, incidents, ..Letter::plain(input) });
        answer.await.unwrap_or_else(|_| Err(Unavailable::stopping()))
    }

    /// Hands a new configuration over; the answer says whether it is in force.
    pub(crate) async fn configure(&self, config: Arc<Config>) -> Result<Answer, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let input = Input::Configure(Arc::new(config.engine_settings()));
        let letter = Letter { reply: Some(reply), config: Some(config), ..Letter::plain(input) };
        self.post(letter);
        answer.await.unwrap_or_else(|_| Err(Unavailable::stopping()))
    }

    /// Orders the engine to stop when nothing is under way any more.
    pub(crate) fn stop(&self, stopping: Stopping) {
        let letter = Letter { stop: Some(stopping), ..Letter::plain(Input::Drain) };
        if !self.post(letter) {
            tracing::debug!("the engine has stopped already");
        }
    }

    /// Takes up to `most` letters, and no more than weigh `bytes` together but for the last of them; waits for the first
    /// one, at most this long.
    pub(crate) fn take(&self, most: usize, bytes: usize, wait: Duration) -> VecDeque<Letter> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.waiting.is_empty() && !letters.closed {
            letters = self.arrived.wait_timeout(letters, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut weight = 0_usize;
        let fits = letters.waiting.iter().take(most).take_while(|letter| {
            let before = weight;
            weight = weight.saturating_add(letter.bytes);
            before <= bytes
        });
        let count = fits.count();
        let taken = if count == letters.waiting.len() {
            std::mem::take(&mut letters.waiting)
        } else {
            letters.waiting.drain(..count).collect()
        };
        drop(letters);
        for letter in &taken {
            self.queued_bytes.fetch_sub(letter.bytes, Ordering::Relaxed);
            self.queued_incidents.fetch_sub(letter.incidents, Ordering::Relaxed);
        }
        taken
    }

    /// Nothing more comes in; what waits is given back.
    pub(crate) fn close(&self) -> VecDeque<Letter> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.closed = true;
        std::mem::take(&mut letters.waiting)
    }

    /// The bytes and the incidents that wait.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.queued_bytes.load(Ordering::Relaxed), self.queued_incidents.load(Ordering::Relaxed))
    }

    /// Why nothing can be accepted just now, if so.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        *self.unready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_unready(&self, why: Option<&'static str>) {
        *self.unready.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(crate) fn beat(&self, now: Timestamp) {
        self.heartbeat.store(now.as_second().unsigned_abs(), Ordering::Relaxed);
    }

    /// How long ago the engine's thread last went round.
    pub(crate) fn silent_for(&self, now: Timestamp) -> Duration {
        let last = self.heartbeat.load(Ordering::Relaxed);
        Duration::from_secs(now.as_second().unsigned_abs().saturating_sub(last))
    }
}
