//! The journal's records: every fact that the engine needs after a restart and every step that `balefire why` tells.
//! A record states what was decided; replay applies it and never decides again.

use crate::channel::{Acknowledgement, Reason, Repeats};
use crate::id::{DeliveryId, IncidentId, Position};
use crate::incident::{Incident, State};
use crate::journal::Entry;
use crate::outcome::{Cause, Outcome};
use crate::run::{RunId, RunMark};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One fact. The variant's number ([`Record::kind`]) and the payload's JSON are the stored form, version 1.
#[derive(Clone, Debug)]
pub enum Record {
    /// An engine began to work on this journal.
    Started(Started),
    /// A sender's request with an `Idempotency-Key` was taken; comes before its incidents.
    Submitted(Submitted),
    /// An incident was taken in.
    Accepted(Arc<Incident>),
    /// It was decided who hears of an incident.
    Routed(Routed),
    /// An attempt is about to be made.
    AttemptStarted(AttemptStarted),
    /// An attempt ended, and what follows.
    AttemptEnded(AttemptEnded),
    /// Somebody acknowledged or resolved an incident.
    StateChanged(StateChanged),
    /// A configuration came into force.
    Configured(Configured),
    /// How far an input was read, and that everything before is accepted or refused.
    InputRead(InputRead),
    /// The engine's whole state, so that a start need not read everything.
    Snapshot(Box<serde_json::value::RawValue>),
    /// The engine stopped in good order.
    Stopped(Stopped),
    /// More notifications of an incident follow from what happened after it was routed.
    FollowedUp(FollowedUp),
    /// A delivery will not be made, by a rule that has a name.
    Suppressed(Suppressed),
    /// A channel began to fail, or works again.
    HealthChanged(HealthChanged),
    /// Somebody sent dead letters on their way again.
    Redriven(Redriven),
    /// Somebody gave dead letters up for good.
    Purged(Purged),
    /// The clock shows an earlier time than it did: what waits for a time waits for as long as before.
    ClockSetBack(ClockSetBack),
    /// A run is over. Stands right behind the incident that tells of it.
    RunEnded(RunEnded),
    /// Somebody said who takes care of an incident.
    Assigned(Assigned),
    /// Somebody wrote something down about an incident.
    Noted(Noted),
    /// A step on the way to the report that the law asks for.
    Reporting(Reporting),
}

/// See [`Record::Started`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The program's version.
    pub version: String,
}

/// See [`Record::Submitted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// SHA-256, in hexadecimal, of source, NUL and key.
    pub key: String,
    /// SHA-256, in hexadecimal, of the body: the same key with another body is a sender's mistake.
    pub body: String,
    /// The ids that the request's accepted items got, in order.
    pub incidents: Vec<IncidentId>,
}

/// See [`Record::Routed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    /// Which incident.
    pub incident: IncidentId,
    /// Where its `Accepted` record stands.
    pub accepted_at: Position,
    /// The incident's severity, by which queues are ordered.
    pub severity: crate::Severity,
    /// Whether controlled unclassified information is involved.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cui_involved: bool,
    /// The routes that took it, in order. Empty: recorded only.
    pub routes: Vec<RouteTaken>,
    /// The deliveries that follow, each channel once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Planned>,
    /// Why it is recorded only, where no delivery follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_only: Option<String>,
    /// Who hears of it if nobody acknowledges it in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
    /// The run that it is part of, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStep>,
    /// The channels that get it with the other records of its run, when the run is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collected: Vec<String>,
    /// How it is known again, where repeats of it are looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sighting: Option<Sighting>,
}

/// How an incident is known again, and what it is to those before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// What it is about: stands for its fingerprint.
    pub matter: uuid::Uuid,
    /// Stands for its sender's own identifier, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<uuid::Uuid>,
    /// The incident that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<RepeatOf>,
    /// It says that something is over, and is nothing to be known again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub says_over: bool,
    /// Whether anybody hears of it beside archives.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_told: bool,
    /// What follows from that in words, where some archive hears of it; see [`Routed::history_only`] else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
}

/// The incident that another one repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatOf {
    /// The first one.
    pub of: IncidentId,
    /// Which repeat of it this is, from 1.
    pub number: u64,
}

/// What an incident is to its run, as far as the engine remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStep {
    /// Which run.
    #[serde(flatten)]
    pub id: RunId,
    /// What the incident is to it.
    pub mark: RunMark,
}

/// One step of an escalation, decided with the route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// The route that asks for it.
    pub route: String,
    /// When.
    pub due: Timestamp,
    /// The channels.
    pub to: Vec<String>,
}

/// One route's part in a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTaken {
    /// The route's name.
    pub route: String,
    /// What in the incident met which condition.
    pub because: String,
    /// The channels that it names.
    pub channels: Vec<String>,
    /// The time interval, by its name, because of which they hear nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_by: Option<String>,
}

/// One delivery that was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its id.
    pub delivery: DeliveryId,
    /// To which channel.
    pub channel: String,
    /// Why now.
    pub reason: Reason,
    /// The channel that should have carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<String>,
    /// The delivery that must have ended before this one may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<DeliveryId>,
    /// Further ones that must have ended, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind_also: Vec<DeliveryId>,
    /// Something that it closes has arrived, so that it goes out whatever becomes of what it waits for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_opened: bool,
    /// Where the message stands that it closes, as [`crate::Outcome::posted`] gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<String>,
    /// The incident that it belongs to there, where the channel keeps acknowledgements and this is a repeat of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<IncidentId>,
    /// Whether the channel wants to hear when the incident is over.
    #[serde(default, skip_serializing_if = "is_false")]
    pub follows_up: bool,
}

/// See [`Record::AttemptStarted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// About which incident.
    pub incident: IncidentId,
    /// To which channel.
    pub channel: String,
    /// 1 for the first.
    pub attempt: u32,
}

/// See [`Record::AttemptEnded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// About which incident.
    pub incident: IncidentId,
    /// To which channel.
    pub channel: String,
    /// Which attempt.
    pub attempt: u32,
    /// What it came to.
    pub outcome: Outcome,
    /// What follows.
    pub next: Next,
    /// The next attempt leaves the user's template out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub plain_next: bool,
}

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Nothing: the delivery has reached its end.
    Done,
    /// Another attempt, not before this time.
    Retry(Timestamp),
    /// No further attempt.
    GiveUp {
        /// The class of the reason; `network` also where the time allowed ran out.
        cause: Cause,
        /// The reason in words.
        reason: String,
    },
}

/// See [`Record::StateChanged`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChanged {
    /// Which incident.
    pub incident: IncidentId,
    /// What it is from now on.
    pub state: State,
    /// Who said so.
    pub by: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// See [`Record::Configured`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// SHA-256, in hexadecimal, of the configuration's text, before substitution.
    pub digest: String,
    /// The channels' names and kinds.
    pub channels: Vec<(String, String)>,
    /// How many attempts of a channel have to be remembered for its rates, where it has any: a replay remembers as many
    /// as the engine did.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attempts_kept: BTreeMap<String, u32>,
}

/// See [`Record::InputRead`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRead {
    /// The input's name in the configuration.
    pub input: String,
    /// Which file it was, so that a rotated one is known again. Opaque to the engine.
    pub file: String,
    /// The byte after the last line that was taken.
    pub offset: u64,
}

/// See [`Record::Stopped`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// What stopped it.
    pub reason: String,
}

/// See [`Record::FollowedUp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowedUp {
    /// Which incident.
    pub incident: IncidentId,
    /// Where its `Accepted` record stands.
    pub accepted_at: Position,
    /// The incident's severity, by which queues are ordered.
    pub severity: crate::Severity,
    /// Whether controlled unclassified information is involved in what it tells of; only where it tells of a repeat.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cui_involved: bool,
    /// What it follows from.
    pub cause: FollowUp,
    /// The whole matter in words.
    pub because: String,
    /// The deliveries that follow; may be none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Planned>,
    /// Further steps of its escalation, after those that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
}

/// What a follow-up follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUp {
    /// The incident is over.
    Resolved,
    /// Somebody has acknowledged the incident, or taken that back.
    Acknowledgement(Acknowledgement),
    /// The time of an escalation's step has come: the number of the step among those of the incident, from 0.
    Escalated(u32),
    /// A channel fails: the delivery that waits for it, and which of the channel's fallbacks steps in, from 0.
    Fallback {
        /// What waits.
        delivery: DeliveryId,
        /// Which fallback.
        step: u32,
        /// The channel that it names.
        channel: String,
    },
    /// It came again. `accepted_at` is where the last repeat stands, which the message shows.
    Repeated(Repeats),
}

/// See [`Record::Suppressed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// About which incident.
    pub incident: IncidentId,
    /// To which channel.
    pub channel: String,
    /// The rule's name.
    pub rule: String,
    /// The whole matter in words.
    pub because: String,
}

/// See [`Record::HealthChanged`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChanged {
    /// Which channel.
    pub channel: String,
    /// Since when it fails; `None`: it works again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// The class of the last failure.
    pub cause: Cause,
    /// What the last attempt came to, in words.
    pub detail: String,
    /// How many deliveries wait.
    pub waiting: u64,
    /// The incident that tells of it.
    pub told_by: IncidentId,
}

/// See [`Record::Redriven`]. Each delivery goes on under its id, with its time to try beginning anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redriven {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// About which incident.
    pub incident: IncidentId,
    /// To which channel.
    pub channel: String,
    /// Who said so.
    pub by: String,
    /// What is on its way to that channel and must end before, where this tells that the incident is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<DeliveryId>,
}

/// See [`Record::Purged`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// About which incident.
    pub incident: IncidentId,
    /// To which channel.
    pub channel: String,
    /// Who said so.
    pub by: String,
    /// Why, in their words.
    pub comment: String,
}

/// See [`Record::ClockSetBack`]. What it was set back to is the record's own time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSetBack {
    /// The time of the record before.
    pub from: Timestamp,
}

/// See [`Record::RunEnded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnded {
    /// Which run.
    #[serde(flatten)]
    pub id: RunId,
    /// Which part of it, from 1: what comes after a run's end makes another part.
    pub part: u32,
    /// The incident that tells of it: the record before.
    pub incident: IncidentId,
    /// Where its first record stands.
    pub from: Position,
    /// Where its last record stands.
    pub to: Position,
    /// Why it is over.
    pub by: RunEnd,
    /// How many records it has of each severity, info first; without marks.
    pub counts: [u64; 5],
}

/// Why a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Its sender said so.
    Mark,
    /// Nothing more came for too long.
    Time,
    /// Too many runs were open at once.
    Crowd,
}

/// See [`Record::Assigned`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Which incident.
    pub incident: IncidentId,
    /// Whose it is from now on; `None`: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who said so.
    pub by: String,
}

/// See [`Record::Noted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Which incident.
    pub incident: IncidentId,
    /// What.
    pub text: String,
    /// Who wrote it.
    pub by: String,
}

/// See [`Record::Reporting`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reporting {
    /// Which incident.
    pub incident: IncidentId,
    /// What happened.
    #[serde(flatten)]
    pub step: ReportStep,
}

/// What happened on the way to an incident's report (DFARS 252.204-7012(c)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum ReportStep {
    /// It must be reported, and the clock runs.
    Due {
        /// What it is called, cut to a line.
        title: String,
        /// When somebody is reminded; `None`: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remind_at: Option<Timestamp>,
        /// When the time is over.
        due: Timestamp,
    },
    /// The time will be over soon.
    Reminded {
        /// The incident that tells of it.
        told_by: IncidentId,
    },
    /// The time is over.
    Overdue {
        /// The incident that tells of it.
        told_by: IncidentId,
    },
    /// Somebody has reported it.
    Reported {
        /// Who.
        by: String,
        /// Under which number, or why no report is needed, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reference: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A stored entry that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A kind from the future.
    #[error("record kind {0} is not known to this version of balefire")]
    Kind(u16),
    /// The payload is not what the kind says.
    #[error("payload of a {kind} record does not fit")]
    Payload {
        /// The kind's name.
        kind: &'static str,
        /// What did not fit.
        #[source]
        source: serde_json::Error,
    },
}

impl Record {
    /// The kind's number in the stored form. Never changes its meaning.
    #[must_use]
    pub fn kind(&self) -> u16 {
        match self {
            Record::Started(_) => kind::STARTED,
            Record::Submitted(_) => kind::SUBMITTED,
            Record::Accepted(_) => kind::ACCEPTED,
            Record::Routed(_) => kind::ROUTED,
            Record::AttemptStarted(_) => kind::ATTEMPT_STARTED,
            Record::AttemptEnded(_) => kind::ATTEMPT_ENDED,
            Record::StateChanged(_) => kind::STATE_CHANGED,
            Record::Configured(_) => kind::CONFIGURED,
            Record::InputRead(_) => kind::INPUT_READ,
            Record::Snapshot(_) => kind::SNAPSHOT,
            Record::Stopped(_) => kind::STOPPED,
            Record::FollowedUp(_) => kind::FOLLOWED_UP,
            Record::Suppressed(_) => kind::SUPPRESSED,
            Record::HealthChanged(_) => kind::HEALTH_CHANGED,
            Record::Redriven(_) => kind::REDRIVEN,
            Record::Purged(_) => kind::PURGED,
            Record::ClockSetBack(_) => kind::CLOCK_SET_BACK,
            Record::RunEnded(_) => kind::RUN_ENDED,
            Record::Assigned(_) => kind::ASSIGNED,
            Record::Noted(_) => kind::NOTED,
            Record::Reporting(_) => kind::REPORTING,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self, at: Timestamp) -> Entry {
        self.encode_with(at, &mut Vec::new())
    }

    /// The stored form, made in `scratch`, whose content does not matter: with one that is kept, a record is copied once
    /// and not at each step of its growth.
    #[must_use]
    pub fn encode_with(&self, at: Timestamp, scratch: &mut Vec<u8>) -> Entry {
        scratch.clear();
        match self {
            Record::Started(r) => json(r, scratch),
            Record::Submitted(r) => json(r, scratch),
            Record::Accepted(r) => json(&**r, scratch),
            Record::Routed(r) => json(r, scratch),
            Record::AttemptStarted(r) => json(r, scratch),
            Record::AttemptEnded(r) => json(r, scratch),
            Record::StateChanged(r) => json(r, scratch),
            Record::Configured(r) => json(r, scratch),
            Record::InputRead(r) => json(r, scratch),
            Record::Snapshot(r) => scratch.extend_from_slice(r.get().as_bytes()),
            Record::Stopped(r) => json(r, scratch),
            Record::FollowedUp(r) => json(r, scratch),
            Record::Suppressed(r) => json(r, scratch),
            Record::HealthChanged(r) => json(r, scratch),
            Record::Redriven(r) => json(r, scratch),
            Record::Purged(r) => json(r, scratch),
            Record::ClockSetBack(r) => json(r, scratch),
            Record::RunEnded(r) => json(r, scratch),
            Record::Assigned(r) => json(r, scratch),
            Record::Noted(r) => json(r, scratch),
            Record::Reporting(r) => json(r, scratch),
        }
        Entry { kind: self.kind(), at, payload: scratch.as_slice().to_vec() }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`] for a kind or a payload that this version does not know.
    pub fn decode(entry: &Entry) -> Result<Record, DecodeError> {
        let bytes = &entry.payload;
        Ok(match entry.kind {
            kind::STARTED => Record::Started(parse("started", bytes)?),
            kind::SUBMITTED => Record::Submitted(parse("submitted", bytes)?),
            kind::ACCEPTED => Record::Accepted(Arc::new(parse("accepted", bytes)?)),
            kind::ROUTED => Record::Routed(parse("routed", bytes)?),
            kind::ATTEMPT_STARTED => Record::AttemptStarted(parse("attempt_started", bytes)?),
            kind::ATTEMPT_ENDED => Record::AttemptEnded(parse("attempt_ended", bytes)?),
            kind::STATE_CHANGED => Record::StateChanged(parse("state_changed", bytes)?),
            kind::CONFIGURED => Record::Configured(parse("configured", bytes)?),
            kind::INPUT_READ => Record::InputRead(parse("input_read", bytes)?),
            kind::SNAPSHOT => Record::Snapshot(parse("snapshot", bytes)?),
            kind::STOPPED => Record::Stopped(parse("stopped", bytes)?),
            kind::FOLLOWED_UP => Record::FollowedUp(parse("followed_up", bytes)?),
            kind::SUPPRESSED => Record::Suppressed(parse("suppressed", bytes)?),
            kind::HEALTH_CHANGED => Record::HealthChanged(parse("health_changed", bytes)?),
            kind::REDRIVEN => Record::Redriven(parse("redriven", bytes)?),
            kind::PURGED => Record::Purged(parse("purged", bytes)?),
            kind::CLOCK_SET_BACK => Record::ClockSetBack(parse("clock_set_back", bytes)?),
            kind::RUN_ENDED => Record::RunEnded(parse("run_ended", bytes)?),
            kind::ASSIGNED => Record::Assigned(parse("assigned", bytes)?),
            kind::NOTED => Record::Noted(parse("noted", bytes)?),
            kind::REPORTING => Record::Reporting(parse("reporting", bytes)?),
            other => return Err(DecodeError::Kind(other)),
        })
    }
}

/// Kinds that a reader may want to know without decoding.
pub mod kind {
    /// [`super::Record::Started`].
    pub const STARTED: u16 = 1;
    /// [`super::Record::Submitted`].
    pub const SUBMITTED: u16 = 2;
    /// [`super::Record::Accepted`].
    pub const ACCEPTED: u16 = 3;
    /// [`super::Record::Routed`].
    pub const ROUTED: u16 = 4;
    /// [`super::Record::AttemptStarted`].
    pub const ATTEMPT_STARTED: u16 = 5;
    /// [`super::Record::AttemptEnded`].
    pub const ATTEMPT_ENDED: u16 = 6;
    /// [`super::Record::StateChanged`].
    pub const STATE_CHANGED: u16 = 7;
    /// [`super::Record::Configured`].
    pub const CONFIGURED: u16 = 8;
    /// [`super::Record::InputRead`].
    pub const INPUT_READ: u16 = 9;
    /// [`super::Record::Snapshot`].
    pub const SNAPSHOT: u16 = 10;
    /// [`super::Record::Stopped`].
    pub const STOPPED: u16 = 11;
    /// [`super::Record::FollowedUp`].
    pub const FOLLOWED_UP: u16 = 12;
    /// [`super::Record::Suppressed`].
    pub const SUPPRESSED: u16 = 13;
    /// [`super::Record::HealthChanged`].
    pub const HEALTH_CHANGED: u16 = 14;
    /// [`super::Record::Redriven`].
    pub const REDRIVEN: u16 = 15;
    /// [`super::Record::Purged`].
    pub const PURGED: u16 = 16;
    /// [`super::Record::ClockSetBack`].
    pub const CLOCK_SET_BACK: u16 = 17;
    /// [`super::Record::RunEnded`].
    pub const RUN_ENDED: u16 = 18;
    /// [`super::Record::Assigned`].
    pub const ASSIGNED: u16 = 21;
    /// [`super::Record::Noted`].
    pub const NOTED: u16 = 22;
    /// [`super::Record::Reporting`].
    pub const REPORTING: u16 = 23;

    /// The kind's name as `balefire journal cat` prints it.
    #[must_use]
    pub fn name(kind: u16) -> &'static str {
        match kind {
            STARTED => "started",
            SUBMITTED => "submitted",
            ACCEPTED => "accepted",
            ROUTED => "routed",
            ATTEMPT_STARTED => "attempt_started",
            ATTEMPT_ENDED => "attempt_ended",
            STATE_CHANGED => "state_changed",
            CONFIGURED => "configured",
            INPUT_READ => "input_read",
            SNAPSHOT => "snapshot",
            STOPPED => "stopped",
            FOLLOWED_UP => "followed_up",
            SUPPRESSED => "suppressed",
            HEALTH_CHANGED => "health_changed",
            REDRIVEN => "redriven",
            PURGED => "purged",
            CLOCK_SET_BACK => "clock_set_back",
            RUN_ENDED => "run_ended",
            ASSIGNED => "assigned",
            NOTED => "noted",
            REPORTING => "reporting",
            _ => "unknown",
        }
    }
}

fn json<T: Serialize>(value: &T, into: &mut Vec<u8>) {
    serde_json::to_writer(into, value).expect("records have string keys and no failing serialisers")
}

fn parse<'a, T: Deserialize<'a>>(kind: &'static str, bytes: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(|source| DecodeError::Payload { kind, source })
}
