//! Where inputs wait for the engine. Bounded without ever blocking: submissions are weighed before they come in
//! (`engine::admit`), attempts that end are bounded by the channels' windows, and everything else by the connections.

use super::driver::Stopping;
use crate::config::Config;
use balefire_engine::{Answer, Input};
use balefire_model::Severity;
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

    fn is_urgent(&self) -> bool {
        let Input::Submit(submission) = &self.input else { return true };
        submission.incidents.iter().any(|incident| incident.severity == Severity::Critical)
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
    /// Taken first: what brings a critical incident, and everything that is no submission. Attempts that ended free the
    /// windows for the next ones.
    urgent: VecDeque<Letter>,
    ordinary: VecDeque<Letter>,
    closed: bool,
}

impl Letters {
    fn push(&mut self, letter: Letter) {
        let lane = if letter.is_urgent() { &mut self.urgent } else { &mut self.ordinary };
        lane.push_back(letter);
    }

    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.ordinary.is_empty()
    }

    fn take_all(&mut self) -> VecDeque<Letter> {
        let mut all = std::mem::take(&mut self.urgent);
        all.append(&mut self.ordinary);
        all
    }
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
        letters.push(letter);
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
        letters.for_each(|letter| waiting.push(letter));
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
        if letters.is_empty() && !letters.closed {
            letters = self.arrived.wait_timeout(letters, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut weight = 0_usize;
        let fits = letters.urgent.iter().chain(&letters.ordinary).take(most).take_while(|letter| {
            let before = weight;
            weight = weight.saturating_add(letter.bytes);
            before <= bytes
        });
        let count = fits.count();
        let urgent = letters.urgent.len();
        let taken = if count == urgent + letters.ordinary.len() {
            letters.take_all()
        } else if count <= urgent {
            letters.urgent.drain(..count).collect()
        } else {
            let mut taken = std::mem::take(&mut letters.urgent);
            taken.extend(letters.ordinary.drain(..count - urgent));
            taken
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
        letters.take_all()
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

    /// Whether the engine's thread has gone round at all: before that nothing can be said of its silence.
    pub(crate) fn has_beaten(&self) -> bool {
        self.heartbeat.load(Ordering::Relaxed) > 0
    }

    /// How long ago the engine's thread last went round.
    pub(crate) fn silent_for(&self, now: Timestamp) -> Duration {
        let last = self.heartbeat.load(Ordering::Relaxed);
        Duration::from_secs(now.as_second().unsigned_abs().saturating_sub(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_engine::Submission;
    use balefire_model::Incident;

    fn submission(severity: &str) -> Letter {
        let json = format!(
            r#"{{"id":"01935f1c-7c00-7000-8000-000000000001","title":"t","severity":"{severity}","detected_by":"d",
                "fingerprint":"f","source":"s","received_at":"2026-01-01T00:00:00Z"}}"#
        );
        let incident: Incident = serde_json::from_str(&json).unwrap();
        let submission = Submission { incidents: vec![Arc::new(incident)], ..Submission::default() };
        Letter { bytes: 10, incidents: 1, ..Letter::plain(Input::Submit(submission)) }
    }

    fn severities(letters: &VecDeque<Letter>) -> Vec<Option<Severity>> {
        let severity = |letter: &Letter| match &letter.input {
            Input::Submit(submission) => Some(submission.incidents[0].severity),
            _ => None,
        };
        letters.iter().map(severity).collect()
    }

    #[test]
    fn a_critical_incident_is_taken_before_all_that_waits_and_the_rest_keeps_its_order() {
        let mailbox = Mailbox::default();
        for severity in ["low", "medium", "critical", "low"] {
            assert!(mailbox.post(submission(severity)));
        }
        assert!(mailbox.post(Letter::plain(Input::Tick)));
        let first = mailbox.take(3, usize::MAX, Duration::ZERO);
        assert_eq!(severities(&first), [Some(Severity::Critical), None, Some(Severity::Low)]);
        let rest = mailbox.take(9, usize::MAX, Duration::ZERO);
        assert_eq!(severities(&rest), [Some(Severity::Medium), Some(Severity::Low)]);
        assert_eq!(mailbox.queued(), (0, 0));
    }

    #[test]
    fn a_group_ends_with_the_letter_that_fills_it() {
        let mailbox = Mailbox::default();
        (0..5).for_each(|_| assert!(mailbox.post(submission("low"))));
        assert_eq!(mailbox.take(9, 15, Duration::ZERO).len(), 2);
        assert_eq!(mailbox.take(9, 15, Duration::ZERO).len(), 2);
        assert_eq!(mailbox.close().len(), 1);
        assert!(!mailbox.post(submission("critical")), "nothing comes in after the end");
    }
}
