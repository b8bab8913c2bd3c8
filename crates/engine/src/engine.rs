//! The engine: one function from a time and an input to effects.

use crate::queue::ChannelPolicy;
use crate::retry::{self, Ended};
use crate::route::Routing;
use crate::state::State;
use crate::submit::Submission;
use balefire_model::channel::Reason;
use balefire_model::record::{AttemptEnded, Configured, Next, Started, StateChanged, Stopped};
use balefire_model::{DeliveryId, IncidentId, Outcome, Position, Record};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the configuration means to the engine.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who hears of what.
    pub routing: Routing,
    /// Every channel, by name.
    pub channels: BTreeMap<String, ChannelPolicy>,
    /// SHA-256, in hexadecimal, of the configuration's text.
    pub digest: String,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A sender hands over incidents.
    Submit(Submission),
    /// An attempt ended.
    AttemptEnded {
        /// Which delivery.
        delivery: DeliveryId,
        /// Which attempt.
        attempt: u32,
        /// What it came to.
        outcome: Outcome,
    },
    /// Somebody acknowledges or resolves an incident. The caller has checked that it exists.
    Change(StateChanged),
    /// A configuration comes into force.
    Configure(Arc<Settings>),
    /// Time has passed; see [`Engine::wakes_at`].
    Tick,
    /// Start no further attempts: we are about to stop, and wait for those under way.
    Drain,
    /// We stop, because of this.
    Stop(String),
}

/// What follows from one input. The records come first: nothing of `acts` may be done before they are durable.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// To be appended, all or none.
    pub records: Vec<Record>,
    /// To be done then.
    pub acts: Vec<Act>,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answer whoever brought the input.
    Answer(Answer),
    /// Make an attempt.
    Send(Job),
}

/// The answer to an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The incidents are durable.
    Accepted {
        /// Their ids, in the order of the submission.
        incidents: Arc<Vec<IncidentId>>,
        /// It was a repeat of an earlier request, and these are its ids.
        repeated: bool,
    },
    /// The idempotency key was used for another body.
    KeyReused,
    /// The change is durable.
    Changed,
}

/// One attempt to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// About which incident.
    pub incident: IncidentId,
    /// Where the incident's record stands.
    pub accepted_at: Position,
    /// To which channel.
    pub channel: String,
    /// Why now.
    pub reason: Reason,
    /// 1 for the first.
    pub attempt: u32,
}

/// A snapshot is due after this many records, and four more for each delivery that would go into it: so it costs little
/// beside what it saves.
const SNAPSHOT_RECORDS: u64 = 50_000;

/// The engine: its settings and its memory.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: State,
    pub(crate) draining: bool,
}

impl Engine {
    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Decides what follows from an input.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, input: Input) -> Effects {
        let mut effects = Effects::default();
        match input {
            Input::Submit(submission) => {
                let answer = self.submit(now, submission, &mut effects);
                effects.acts.push(Act::Answer(answer));
            }
            Input::AttemptEnded { delivery, attempt, outcome } => {
                self.attempt_ended(now, (delivery, attempt), outcome, &mut effects);
            }
            Input::Change(change) => {
                self.record(now, Record::StateChanged(change), &mut effects);
                effects.acts.push(Act::Answer(Answer::Changed));
            }
            Input::Configure(settings) => {
                self.configure(now, settings, &mut effects);
                effects.acts.push(Act::Answer(Answer::Changed));
            }
            Input::Drain => self.draining = true,
            Input::Tick => {}
            Input::Stop(reason) => {
                self.record(now, Record::Stopped(Stopped { reason }), &mut effects);
                return effects;
            }
        }
        self.dispatch(now, &mut effects);
        if self.state.since_snapshot >= SNAPSHOT_RECORDS + 4 * self.state.pending.len() as u64 {
            let snapshot = self.state.snapshot();
            self.record(now, Record::Snapshot(snapshot), &mut effects);
        }
        effects
    }

    /// Takes note of a record that stands in the journal, in replay.
    pub fn apply(&mut self, at: Timestamp, record: &Record) {
        self.state.apply(at, record);
    }

    /// Begins to work after replay: every attempt without an end may have reached the far side or not, so it is made
    /// again under the same id.
    #[must_use]
    pub fn resume(&mut self, now: Timestamp, version: &str, settings: Arc<Settings>) -> Effects {
        let mut effects = Effects::default();
        self.record(now, Record::Started(Started { version: version.to_owned() }), &mut effects);
        for attempt in self.state.under_way() {
            self.attempt_ended(now, attempt, Outcome::Unknown, &mut effects);
        }
        self.configure(now, settings, &mut effects);
        self.dispatch(now, &mut effects);
        effects
    }

    fn configure(&mut self, now: Timestamp, settings: Arc<Settings>, effects: &mut Effects) {
        self.settings = settings;
        let channels = self.settings.channels.values().map(|c| (c.name.clone(), c.kind.clone())).collect();
        let digest = self.settings.digest.clone();
        let kept = |policy: &ChannelPolicy| policy.rates.iter().map(|rate| rate.count).max();
        let kept = |policy: &ChannelPolicy| kept(policy).map(|kept| (policy.name.clone(), kept));
        let attempts_kept = self.settings.channels.values().filter_map(kept).collect();
        self.record(now, Record::Configured(Configured { digest, channels, attempts_kept }), effects);
    }

    fn attempt_ended(
        &mut self,
        now: Timestamp,
        (delivery, attempt): (DeliveryId, u32),
        outcome: Outcome,
        effects: &mut Effects,
    ) {
        let Some(pending) = self.state.pending.get(&delivery) else { return };
        // An attempt that was already closed as unknown may still report; its delivery has gone on since.
        if !pending.in_flight || pending.attempts != attempt {
            return;
        }
        let channel = self.state.names[pending.channel as usize].clone();
        let failures = self.state.queues[pending.channel as usize].failures + 1;
        let retry = self.settings.channels.get(&channel).map(|policy| policy.retry).unwrap_or_default();
        let incident = pending.incident;
        let decided_at = pending.decided_at;
        let next: Next =
            retry::after(&Ended { delivery, attempt, failures, decided_at, now, outcome: &outcome }, &retry);
        let ended = AttemptEnded { delivery, incident, channel, attempt, outcome, next };
        self.record(now, Record::AttemptEnded(ended), effects);
    }

    pub(crate) fn record(&mut self, now: Timestamp, record: Record, effects: &mut Effects) {
        self.state.apply(now, &record);
        effects.records.push(record);
    }
}
