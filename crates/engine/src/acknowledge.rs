//! Acknowledgements in both directions: channels that keep a note of them hear of ours, and what such a channel's far side
//! notes is taken over. What is known is not told again, in neither direction.

use crate::engine::{Effects, Engine};
use crate::open::{Open, opens};
use balefire_model::record::{FollowUp, FollowedUp, Planned, StateChanged};
use balefire_model::text::one_line;
use balefire_model::{Acknowledgement, DeliveryId, IncidentId, Position, Reason, Record, State};
use jiff::Timestamp;

/// How many incidents the far side is asked about at once.
pub const ASKED_MAX: usize = 10_000;

/// Incidents that nobody has acknowledged as far as is known, and that have arrived at a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unacknowledged {
    /// They.
    pub incidents: Vec<IncidentId>,
    /// Where the next answer goes on; `None`: from the newest.
    pub next: Option<IncidentId>,
    /// Where the journal stood.
    pub asked_at: Position,
}

/// What a channel's far side says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcksSeen {
    /// The channel.
    pub channel: String,
    /// Where it says so, for people: the name of a table.
    pub place: String,
    /// [`Unacknowledged::asked_at`] of the answer that this follows.
    pub asked_at: Position,
    /// Those that are acknowledged there.
    pub found: Vec<AckSeen>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckSeen {
    /// Which incident.
    pub incident: IncidentId,
    /// By whom, as it stands there: anybody's text.
    pub by: String,
    /// When, as it stands there.
    pub at: String,
    /// Whether more of it stands there that is not acknowledged, such as its repeats.
    pub is_partial: bool,
}

impl Engine {
    pub(crate) fn unacknowledged(&self, channel: &str, before: Option<IncidentId>) -> Unacknowledged {
        let (incidents, next) = self.state.open.unacknowledged(channel, before, ASKED_MAX);
        Unacknowledged { incidents, next, asked_at: self.state.position() }
    }

    /// Takes over what the far side says, where nothing has happened to the incident since it was asked: what it said
    /// then may be our own word, and taken back meanwhile.
    pub(crate) fn take_over(&mut self, now: Timestamp, seen: AcksSeen, effects: &mut Effects) {
        let AcksSeen { channel, place, asked_at, found } = seen;
        for AckSeen { incident, by, at, is_partial } in found {
            let is_new = |open: &&Open| open.changed_at() <= asked_at && open.is_unacknowledged(&channel);
            let Some(before) = self.state.open.get(incident).filter(is_new).cloned() else { continue };
            let at = if at.is_empty() { String::new() } else { format!(" at {}", Acknowledgement::name(&at)) };
            let comment = format!("acknowledged in {place} (channel {channel}){at}");
            let change = StateChanged { incident, state: State::Acked, by: Acknowledgement::name(&by), comment };
            self.record(now, Record::StateChanged(change), effects);
            // Who has acknowledged one row there has acknowledged all of the incident.
            let from = (!is_partial).then_some(channel.as_str());
            self.tell_acknowledgement(now, &before, from, effects);
        }
    }

    /// Tells the channels that want to know what has become of an incident's acknowledgement since it was like this; not
    /// the one that it came from.
    pub(crate) fn tell_acknowledgement(
        &mut self,
        now: Timestamp,
        before: &Open,
        from: Option<&str>,
        effects: &mut Effects,
    ) {
        let about = before.about;
        let open = self.state.open.get(about.incident);
        let Some(acknowledgement) = open.and_then(|open| open.acknowledgement_since(before)) else { return };
        let others = before.heard().filter(|channel| from != Some(*channel));
        let deliveries: Vec<Planned> = others.filter_map(|channel| self.acknowledgement_to(before, channel)).collect();
        if !deliveries.is_empty() {
            let because = match &acknowledgement {
                Acknowledgement::Given { by, .. } => format!("acknowledged by {}", one_line(by)),
                Acknowledgement::TakenBack { of } => format!("the acknowledgement by {} was taken back", one_line(of)),
            };
            let cause = FollowUp::Acknowledgement(acknowledgement);
            self.record(now, Record::FollowedUp(about.followed_up(cause, because, deliveries)), effects);
        }
    }

    /// The message to a channel, after all that is still on its way there.
    fn acknowledgement_to(&self, open: &Open, channel: &str) -> Option<Planned> {
        self.settings.channels.get(channel).filter(|policy| policy.hears_acks)?;
        self.after_what_was_told(open, self.acknowledgement_of(open.about.incident, channel))
    }

    /// Each change of an incident has its own: it is told by where the journal stands.
    fn acknowledgement_of(&self, incident: IncidentId, channel: &str) -> Planned {
        let word = format!("{}-{}", Reason::Acked.as_str(), self.state.position());
        let delivery = DeliveryId::derive(incident, &word, channel);
        Planned { delivery, ..self.plan_of(incident, Reason::Acked, channel.to_owned()) }
    }

    /// Further messages about an incident. Where it is acknowledged, a channel that keeps such notes hears that, too: it may
    /// hear of the incident for the first time.
    pub(crate) fn tell_more(&mut self, now: Timestamp, followed: FollowedUp, effects: &mut Effects) {
        let deliveries: Vec<DeliveryId> = followed.deliveries.iter().map(|planned| planned.delivery).collect();
        self.record(now, Record::FollowedUp(followed), effects);
        for delivery in deliveries {
            self.acknowledge_also(now, delivery, effects);
        }
    }

    /// What is on its way is acknowledged there, too, where it is here.
    pub(crate) fn acknowledge_also(&mut self, now: Timestamp, delivery: DeliveryId, effects: &mut Effects) {
        let Some(pending) = self.state.pending.get(&delivery).filter(|pending| opens(pending.reason)) else { return };
        let channel = self.state.names[pending.channel as usize].clone();
        let about = pending.about();
        let acked = self.state.open.get(about.incident).and_then(|open| open.acked().cloned());
        let hears = self.settings.channels.get(&channel).is_some_and(|policy| policy.hears_acks);
        if let (Some((by, at)), true) = (acked, hears) {
            let planned = Planned { behind: Some(delivery), ..self.acknowledgement_of(about.incident, &channel) };
            let because = format!("acknowledged by {}; delivery {delivery} goes out before that", one_line(&by));
            let cause = FollowUp::Acknowledgement(Acknowledgement::Given { by, at });
            self.record(now, Record::FollowedUp(about.followed_up(cause, because, vec![planned])), effects);
        }
    }
}
