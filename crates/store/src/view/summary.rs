//! What an incident's story comes to: its changes, and how far each delivery is. A pure fold over the records.

use super::care::{Assignment, Note};
use super::query::Row;
use super::read::StoryLine;
use balefire_model::record::{AttemptEnded, Next, Planned, Purged, Redriven, RouteTaken, Routed, Suppressed};
use balefire_model::{Cause, DeliveryId, Outcome, Position, Reason, Record, State};
use jiff::Timestamp;
use serde::Serialize;

/// All that is known of one incident.
#[derive(Clone, Debug)]
pub struct IncidentView {
    /// As in a list, with its present state.
    pub row: Row,
    /// Where its record stands in the journal.
    pub accepted_at: Position,
    /// The incident's JSON, byte for byte as in the journal.
    pub json: Vec<u8>,
    /// Who changed its state, in order.
    pub changes: Vec<Change>,
    /// Whose it became, in order.
    pub assignments: Vec<Assignment>,
    /// What people wrote down about it, in order.
    pub notes: Vec<Note>,
    /// The routes that took it.
    pub routes: Vec<RouteTaken>,
    /// Why it is recorded only, where no delivery followed.
    pub history_only: Option<String>,
    /// Its deliveries, in the order in which they were decided.
    pub deliveries: Vec<DeliveryView>,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where its record stands.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// To what.
    pub state: State,
    /// Who said so.
    pub by: String,
    /// Why, in their words; may be empty.
    pub comment: String,
}

/// How far one delivery is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// Its id.
    pub delivery: DeliveryId,
    /// To which channel.
    pub channel: String,
    /// Why the notification was made; unknown where the decision's record is missing.
    pub reason: Option<Reason>,
    /// The channel that should have carried it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<String>,
    /// The delivery that had to end before this one could begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<DeliveryId>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How many attempts were begun.
    pub attempts: u32,
    /// What the last ended attempt came to.
    pub last_outcome: Option<Outcome>,
    /// When that attempt ended.
    pub last_at: Option<Timestamp>,
}

/// Where a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// No attempt was made yet.
    Waiting,
    /// An attempt was begun; its end is not known (yet).
    UnderWay,
    /// The last attempt came to nothing; the next is not before this time.
    Retrying(Timestamp),
    /// The far side has it.
    Delivered,
    /// A rule that has a name kept it back.
    Suppressed {
        /// The rule's name.
        rule: String,
        /// The whole matter in words.
        because: String,
    },
    /// It has ended without the far side having it, as far as we know.
    GivenUp {
        /// The class of the reason, where there is one.
        cause: Option<Cause>,
        /// The reason in words.
        reason: String,
    },
}

impl DeliveryStatus {
    /// Whether something is still to come.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, DeliveryStatus::Waiting | DeliveryStatus::UnderWay | DeliveryStatus::Retrying(_))
    }
}

impl IncidentView {
    /// The view of an incident of which nothing but the incident is known.
    pub(crate) fn new(row: Row, accepted_at: Position, json: Vec<u8>) -> IncidentView {
        IncidentView {
            row,
            accepted_at,
            json,
            changes: Vec::new(),
            assignments: Vec::new(),
            notes: Vec::new(),
            routes: Vec::new(),
            history_only: None,
            deliveries: Vec::new(),
        }
    }

    /// Takes in the next record about the incident.
    pub(crate) fn add(&mut self, line: StoryLine) {
        let StoryLine { position, at, record } = line;
        match record {
            Record::Routed(routed) => self.add_routed(routed),
            Record::AttemptStarted(started) => {
                let delivery = self.delivery(started.delivery, &started.channel);
                delivery.attempts = delivery.attempts.max(started.attempt);
                delivery.status = DeliveryStatus::UnderWay;
            }
            Record::AttemptEnded(ended) => self.add_ended(at, ended),
            Record::StateChanged(change) => {
                let (state, by, comment) = (change.state, change.by, change.comment);
                self.changes.push(Change { position, at, state, by, comment });
            }
            Record::Assigned(assigned) => self.assignments.push(Assignment::new(position, at, assigned)),
            Record::Noted(noted) => self.notes.push(Note::new(position, at, noted)),
            Record::FollowedUp(followed) => self.add_planned(followed.deliveries),
            Record::Suppressed(suppressed) => {
                let Suppressed { delivery, channel, rule, because, .. } = suppressed;
                self.delivery(delivery, &channel).status = DeliveryStatus::Suppressed { rule, because };
            }
            Record::Redriven(Redriven { delivery, channel, .. }) => {
                self.delivery(delivery, &channel).status = DeliveryStatus::Retrying(at);
            }
            Record::Purged(Purged { delivery, channel, by, comment, .. }) => {
                let reason = format!("purged by {by}: {comment}");
                self.delivery(delivery, &channel).status = DeliveryStatus::GivenUp { cause: None, reason };
            }
            // The incident itself is in the row and the JSON; the others concern no incident.
            Record::Accepted(_)
            | Record::Started(_)
            | Record::Submitted(_)
            | Record::Configured(_)
            | Record::InputRead(_)
            | Record::Snapshot(_)
            | Record::HealthChanged(_)
            | Record::ClockSetBack(_)
            | Record::RunEnded(_)
            // How it stands with the report is in the row.
            | Record::Reporting(_)
            | Record::Stopped(_) => {}
        }
    }

    fn add_routed(&mut self, routed: Routed) {
        self.routes.extend(routed.routes);
        self.history_only = routed.history_only;
        self.add_planned(routed.deliveries);
    }

    fn add_planned(&mut self, deliveries: Vec<Planned>) {
        for planned in deliveries {
            let delivery = self.delivery(planned.delivery, &planned.channel);
            delivery.reason = Some(planned.reason);
            delivery.stands_in_for = planned.stands_in_for;
            delivery.behind = planned.behind;
        }
    }

    fn add_ended(&mut self, at: Timestamp, ended: AttemptEnded) {
        let delivery = self.delivery(ended.delivery, &ended.channel);
        delivery.attempts = delivery.attempts.max(ended.attempt);
        delivery.status = match ended.next {
            Next::Done if ended.outcome.is_delivered() => DeliveryStatus::Delivered,
            Next::Done => DeliveryStatus::GivenUp { cause: None, reason: "ended without an answer".to_owned() },
            Next::Retry(time) => DeliveryStatus::Retrying(time),
            Next::GiveUp { cause, reason } => DeliveryStatus::GivenUp { cause: Some(cause), reason },
        };
        delivery.last_outcome = Some(ended.outcome);
        delivery.last_at = Some(at);
    }

    fn delivery(&mut self, id: DeliveryId, channel: &str) -> &mut DeliveryView {
        let index = self.deliveries.iter().position(|known| known.delivery == id).unwrap_or_else(|| {
            self.deliveries.push(DeliveryView {
                delivery: id,
                channel: channel.to_owned(),
                reason: None,
                stands_in_for: None,
                behind: None,
                status: DeliveryStatus::Waiting,
                attempts: 0,
                last_outcome: None,
                last_at: None,
            });
            self.deliveries.len() - 1
        });
        &mut self.deliveries[index]
    }
}
