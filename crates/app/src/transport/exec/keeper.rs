//! The owner of a program: starts it when there is something to do, and lets it rest after each failure, longer and
//! longer, so that a program that cannot run does not take the machine.

use super::Order;
use super::session::Session;
use crate::clock;
use crate::transport::{harmless, no_answer};
use balefire_channels::ExecTransport;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The rest after the first failure; doubled after each further one.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);
/// A program that ran for so long was in order: its next failure is a first one.
const SOUND: Duration = Duration::from_secs(60);

/// The owner of one channel's program.
pub(super) struct Keeper {
    channel: String,
    settings: ExecTransport,
    inherited: Vec<(&'static str, String)>,
    rest: Option<Rest>,
}

/// A program that is not started for some time.
struct Rest {
    length: Duration,
    until: Instant,
    why: String,
}

impl Keeper {
    pub(super) fn new(channel: &str, settings: ExecTransport, inherited: Vec<(&'static str, String)>) -> Keeper {
        Keeper { channel: channel.to_owned(), settings, inherited, rest: None }
    }

    /// Serves until nobody can order any more, and ends the program then.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            if let Some(words) = self.resting() {
                refuse(order, &words);
                continue;
            }
            let began = clock::monotonic();
            match Session::start(&self.channel, &self.settings, &self.inherited).await {
                Ok(session) => {
                    let ending = session.serve(order, &mut orders).await;
                    if ending.is_clean {
                        tracing::info!(channel = %self.channel, how = %harmless(&ending.words), "program ended");
                        self.rest = None;
                    } else {
                        self.fail(ending.words, began);
                    }
                }
                Err(words) => {
                    let words = format!("cannot start {words}");
                    refuse(order, &words);
                    self.fail(words, began);
                }
            }
        }
    }

    /// Why it is not started now, where it rests.
    fn resting(&self) -> Option<String> {
        let rest = self.rest.as_ref()?;
        let left = rest.until.checked_duration_since(clock::monotonic())?;
        Some(format!("not started again for {} s: {}", left.as_secs() + 1, rest.why))
    }

    fn fail(&mut self, why: String, began: Instant) {
        let now = clock::monotonic();
        let before = self.rest.take().filter(|_| now.duration_since(began) < SOUND);
        let length = before.map_or(REST_MIN, |rest| (rest.length * 2).min(REST_MAX));
        tracing::warn!(channel = %self.channel, why = %harmless(&why), rest_s = length.as_secs(), "program failed");
        self.rest = Some(Rest { length, until: now + length, why });
    }
}

fn refuse(order: Order, words: &str) {
    if order.answer.send(no_answer(harmless(words))).is_err() {
        tracing::debug!("an attempt was given up before its program was started");
    }
}
