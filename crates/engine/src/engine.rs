//! The engine: one function from a time and an input to effects.

use crate::acknowledge::{AcksSeen, Unacknowledged};
use crate::deadletter::{DeadLetter, DeadLetterFilter, DeadLetterOrder};
use crate::dedup::DedupSettings;
use crate::gather::{Ending, Gather};
use crate::queue::ChannelPolicy;
use crate::report::ReportSettings;
use crate::retry::{self, Ended};
use crate::route::Routing;
use crate::runs::RunSettings;
use crate::state::State;
use crate::submit::Submission;
use crate::tally::Tally;
use balefire_model::channel::Reason;
use balefire_model::record::{
    Assigned, AttemptEnded, Configured, Next, Noted, Reporting, Started, StateChanged, Stopped,
};
use balefire_model::{Acknowledgement, DeliveryId, IncidentId, Outcome, Position, Record, Repeats, Severity};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
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
    /// When runs end that nobody ends.
    pub runs: RunSettings,
    /// When incidents must be reported; `None`: nobody is reminded.
    pub reports: Option<ReportSettings>,
    /// What is known again.
    pub dedup: DedupSettings,
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
    /// Somebody says who takes care of an incident. The caller has checked that it exists.
    Assign(Assigned),
    /// Somebody writes something down about an incident. The caller has checked that it exists.
    Note(Noted),
    /// Somebody has reported an incident. The caller has checked that it exists.
    Report(Reporting),
    /// Somebody decides on dead letters.
    DeadLetters(DeadLetterOrder),
    /// Somebody asks for dead letters.
    ListDeadLetters {
        /// Which.
        filter: DeadLetterFilter,
        /// The most that the answer holds.
        limit: usize,
    },
    /// Somebody asks what of a channel's incidents nobody has acknowledged, to look whether the far side says otherwise.
    Unacknowledged {
        /// The channel.
        channel: String,
        /// Where the last answer ended.
        before: Option<IncidentId>,
    },
    /// A channel's far side has been found to say that incidents are acknowledged.
    AcksSeen(AcksSeen),
    /// Incidents that are to become one message were counted; the answer to [`Act::Gather`].
    Gathered {
        /// Which.
        gather: Gather,
        /// What they have in common.
        tally: Box<Tally>,
    },
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
    /// Read these incidents, count them, and come back with [`Input::Gathered`].
    Gather(Gather),
    /// No channel can carry this: say it wherever somebody may look.
    Alarm(String),
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
    /// The dead letters are on their way again, or purged.
    Moved {
        /// Which.
        deliveries: Arc<Vec<DeliveryId>>,
        /// How many the filter takes beside these.
        left: usize,
    },
    /// What nobody has acknowledged.
    Unacknowledged(Arc<Unacknowledged>),
    /// The dead letters that were asked for, the oldest first.
    DeadLetters {
        /// They.
        letters: Arc<Vec<(DeliveryId, DeadLetter)>>,
        /// How many the filter takes beside these.
        left: usize,
    },
}

/// One attempt to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// About which incident.
    pub incident: IncidentId,
    /// How bad it is.
    pub severity: Severity,
    /// Where the incident's record stands.
    pub accepted_at: Position,
    /// To which channel.
    pub channel: String,
    /// Why now.
    pub reason: Reason,
    /// The channel that should have carried it.
    pub stands_in_for: Option<String>,
    /// When the incident was resolved, where it tells of that.
    pub resolved_at: Option<Timestamp>,
    /// The acknowledgement that it tells of.
    pub acknowledgement: Option<Acknowledgement>,
    /// How often the incident came, where it tells of that. What stands at `accepted_at` is the last one then.
    pub repeats: Option<Box<Repeats>>,
    /// The incident that this one belongs to, where the channel keeps acknowledgements.
    pub repeat_of: Option<IncidentId>,
    /// What of it has arrived in earlier attempts.
    pub reached: Option<String>,
    /// Where the message stands that it closes.
    pub opened: Option<String>,
    /// Without the user's template.
    pub plain: bool,
    /// 1 for the first.
    pub attempt: u32,
}

/// A snapshot is due after this many records, and four more for each delivery and each incident that would go into it:
/// so it costs little beside what it saves.
const SNAPSHOT_RECORDS: u64 = 50_000;

/// The largest snapshot: what a journal takes as one record. Where the memory is larger, a start reads on from the last
/// snapshot that fitted, which takes longer and loses nothing.
const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

/// What each delivery and each incident takes in a snapshot at least.
const HELD_BYTES_MIN: usize = 150;

/// The engine: its settings and its memory.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: State,
    pub(crate) draining: bool,
    /// What was gathered and ends bit by bit, by the number of its channel. A start gathers anew what is left of it.
    pub(crate) endings: VecDeque<(usize, Ending)>,
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
        self.look_at_clock(now, self.state.clock, &mut effects);
        match input {
            Input::Submit(submission) => {
                let answer = self.submit(now, submission, &mut effects);
                effects.acts.push(Act::Answer(answer));
            }
            Input::AttemptEnded { delivery, attempt, outcome } => {
                self.attempt_ended(now, (delivery, attempt), outcome, &mut effects);
            }
            Input::Change(change) => {
                self.change(now, change, &mut effects);
                effects.acts.push(Act::Answer(Answer::Changed));
            }
            Input::Assign(assigned) => {
                self.record(now, Record::Assigned(assigned), &mut effects);
                effects.acts.push(Act::Answer(Answer::Changed));
            }
            Input::Note(noted) => {
                self.record(now, Record::Noted(noted), &mut effects);
                effects.acts.push(Act::Answer(Answer::Changed));
            }
            Input::Report(reporting) => {
                self.report(now, reporting, &mut effects);
                effects.acts.push(Act::Answer(Answer::Changed));
            }
            Input::Unacknowledged { channel, before } => {
                let found = self.unacknowledged(&channel, before);
                effects.acts.push(Act::Answer(Answer::Unacknowledged(Arc::new(found))));
            }
            Input::AcksSeen(seen) => {
                self.take_over(now, seen, &mut effects);
                effects.acts.push(Act::Answer(Answer::Changed));
            }
            Input::Configure(settings) => {
                self.configure(now, settings, &mut effects);
                effects.acts.push(Act::Answer(Answer::Changed));
            }
            Input::DeadLetters(order) => {
                let answer = self.move_dead_letters(now, &order, &mut effects);
                effects.acts.push(Act::Answer(answer));
            }
            Input::ListDeadLetters { filter, limit } => {
                let mut chosen = self.dead_letters(&filter);
                let letters: Vec<_> = chosen.by_ref().take(limit).cloned().collect();
                let left = chosen.count();
                effects.acts.push(Act::Answer(Answer::DeadLetters { letters: Arc::new(letters), left }));
            }
            Input::Gathered { gather, tally } => self.gathered(now, gather, &tally, &mut effects),
            Input::Drain => self.draining = true,
            Input::Tick => {}
            Input::Stop(reason) => {
                self.record(now, Record::Stopped(Stopped { reason }), &mut effects);
                return effects;
            }
        }
        self.close_runs(now, &mut effects);
        self.watch_reports(now, &mut effects);
        self.end_unseen(now, &mut effects);
        self.escalate(now, &mut effects);
        self.fall_back(now, &mut effects);
        self.gather(now, &mut effects);
        self.dispatch(now, &mut effects);
        self.remember(now, &mut effects);
        effects
    }

    /// Takes a snapshot, if one is due and fits.
    fn remember(&mut self, now: Timestamp, effects: &mut Effects) {
        let held = self.state.pending.len() + self.state.open.len() + self.state.dead.len() + self.state.reports.len();
        let held = held + self.state.matters.len();
        if self.state.since_snapshot < SNAPSHOT_RECORDS + 4 * held as u64 {
            return;
        }
        // What cannot fit is not even written: that would take more memory than what is remembered.
        let may_fit = held <= SNAPSHOT_BYTES_MAX / HELD_BYTES_MIN;
        let snapshot = may_fit.then(|| self.state.snapshot());
        match snapshot.filter(|snapshot| snapshot.get().len() <= SNAPSHOT_BYTES_MAX) {
            Some(snapshot) => self.record(now, Record::Snapshot(snapshot), effects),
            // Not tried again with every step: it takes time.
            None => self.state.since_snapshot = 0,
        }
    }

    /// Takes note of a record that stands in the journal, in replay.
    pub fn apply(&mut self, at: Timestamp, record: &Record) {
        self.state.apply(at, record);
    }

    /// Passes over an accepted incident, in replay: what the memory keeps of it is in the records about it.
    pub fn pass(&mut self) {
        self.state.pass();
    }

    /// Begins to work after replay: every attempt without an end may have reached the far side or not, so it is made
    /// again under the same id.
    #[must_use]
    pub fn resume(&mut self, now: Timestamp, version: &str, settings: Arc<Settings>) -> Effects {
        let mut effects = Effects::default();
        let clock = self.state.clock;
        self.record(now, Record::Started(Started { version: version.to_owned() }), &mut effects);
        self.look_at_clock(now, clock, &mut effects);
        for attempt in self.state.under_way() {
            self.attempt_ended(now, attempt, Outcome::Unknown, &mut effects);
        }
        self.configure(now, settings, &mut effects);
        self.watch_reports(now, &mut effects);
        self.end_unseen(now, &mut effects);
        self.escalate(now, &mut effects);
        self.fall_back(now, &mut effects);
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
        let (incident, decided_at, number) = (pending.incident, pending.decided_at.into(), pending.channel);
        // The user's template may be at fault: once without it, before the message is given up.
        let has_template = self.settings.channels.get(&channel).is_some_and(|policy| policy.has_template);
        let plain_next = has_template && !pending.plain && retry::is_payload_fault(&outcome);
        let next: Next = match plain_next {
            true => Next::Retry(now),
            false => retry::after(&Ended { delivery, attempt, failures, decided_at, now, outcome: &outcome }, &retry),
        };
        let closers = self.state.closers(delivery);
        let given_up = match &next {
            Next::GiveUp { cause, reason } => Some((*cause, reason.clone())),
            Next::Done | Next::Retry(_) => None,
        };
        let ended = AttemptEnded { delivery, incident, channel, attempt, outcome: outcome.clone(), next, plain_next };
        self.record(now, Record::AttemptEnded(ended), effects);
        if let Some((cause, reason)) = given_up {
            self.has_not_arrived(now, (delivery, "was given up"), closers, effects);
            self.fall_back_at_once(now, delivery, (cause, &reason), effects);
        }
        self.check_health(now, number, &outcome, effects);
    }

    pub(crate) fn record(&mut self, now: Timestamp, record: Record, effects: &mut Effects) {
        self.state.apply(now, &record);
        effects.records.push(record);
    }
}
