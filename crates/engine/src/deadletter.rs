//! Deliveries that were given up, until somebody sends them on their way again or gives them up for good.

use crate::engine::{Answer, Effects, Engine};
use crate::open::opens;
use crate::state::Pending;
use balefire_model::record::{AttemptEnded, Purged, Redriven};
use balefire_model::{Acknowledgement, Cause, DeliveryId, IncidentId, Position, Reason, Record, Repeats, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many are remembered. The oldest go first; they stay in the history.
const COUNT_MAX: usize = 1_000_000;

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// About which incident.
    pub incident: IncidentId,
    /// Where the incident's record stands.
    pub accepted_at: Position,
    /// To which channel.
    pub channel: String,
    /// The incident's severity.
    pub severity: Severity,
    /// Why the notification was made.
    pub reason: Reason,
    /// The channel that should have carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<String>,
    /// When the incident was resolved, where it tells of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// The acknowledgement that it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledgement: Option<Acknowledgement>,
    /// How often the incident came, where it tells of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
    /// The incident that it belongs to, where the channel keeps acknowledgements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<IncidentId>,
    /// What of it has arrived, as [`balefire_model::Outcome::posted`] gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<String>,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was given up.
    pub at: Timestamp,
    /// The class of the reason.
    pub cause: Cause,
    /// The reason in words: the last reply, most of the time.
    pub why: String,
    /// The channels that were asked to step in for its own: none is asked twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed_on: Vec<String>,
}

/// As much of a reply as is kept in memory; the journal has all of it.
const WHY_BYTES_MAX: usize = 500;

impl DeadLetter {
    pub(crate) fn new(at: Timestamp, ended: &AttemptEnded, pending: &Pending, why: (Cause, &String)) -> DeadLetter {
        DeadLetter {
            incident: pending.incident,
            accepted_at: pending.accepted_at,
            channel: ended.channel.clone(),
            severity: pending.severity,
            reason: pending.reason,
            stands_in_for: pending.stands_in_for(),
            resolved_at: pending.resolved_at(),
            acknowledgement: pending.acknowledgement(),
            repeats: pending.repeats(),
            repeat_of: pending.repeat_of(),
            reached: ended.outcome.posted().map(str::to_owned).or_else(|| pending.reached()),
            attempts: pending.attempts,
            at,
            cause: why.0,
            why: balefire_model::text::cut(why.1, WHY_BYTES_MAX).into(),
            handed_on: Vec::new(),
        }
    }
}

/// All of them, in the order in which they were given up.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeadLetters {
    letters: BTreeMap<u64, (DeliveryId, DeadLetter)>,
    places: BTreeMap<DeliveryId, u64>,
    /// How many each channel has.
    counts: BTreeMap<String, usize>,
    next: u64,
}

impl DeadLetters {
    pub(crate) fn insert(&mut self, delivery: DeliveryId, letter: DeadLetter) {
        self.remove(delivery);
        *self.counts.entry(letter.channel.clone()).or_default() += 1;
        self.letters.insert(self.next, (delivery, letter));
        self.places.insert(delivery, self.next);
        self.next += 1;
        if self.letters.len() > COUNT_MAX
            && let Some((_, (oldest, _))) = self.letters.first_key_value()
        {
            self.remove(*oldest);
        }
    }

    pub(crate) fn take(&mut self, delivery: DeliveryId) -> Option<DeadLetter> {
        let place = self.places.remove(&delivery)?;
        let (_, letter) = self.letters.remove(&place)?;
        if let Some(count) = self.counts.get_mut(&letter.channel) {
            *count -= 1;
        }
        Some(letter)
    }

    pub(crate) fn get(&self, delivery: DeliveryId) -> Option<&DeadLetter> {
        self.places.get(&delivery).map(|place| &self.letters[place].1)
    }

    pub(crate) fn handed_on(&mut self, delivery: DeliveryId, channel: &str) {
        if let Some(place) = self.places.get(&delivery)
            && let Some((_, letter)) = self.letters.get_mut(place)
        {
            letter.handed_on.push(channel.to_owned());
        }
    }

    pub(crate) fn remove(&mut self, delivery: DeliveryId) {
        self.take(delivery);
    }

    /// How many a channel has.
    pub(crate) fn count(&self, channel: &str) -> usize {
        self.counts.get(channel).copied().unwrap_or(0)
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(DeliveryId, DeadLetter)> {
        self.letters.values()
    }
}

/// Which dead letters are meant: all conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// These, whatever else they are; all where it is empty.
    pub deliveries: Vec<DeliveryId>,
    /// Of these incidents; all where it is empty.
    pub incidents: Vec<IncidentId>,
    /// To this channel.
    pub channel: Option<String>,
    /// Given up for this cause.
    pub cause: Option<Cause>,
    /// Given up before this time.
    pub before: Option<Timestamp>,
}

impl DeadLetterFilter {
    fn takes(&self, delivery: DeliveryId, letter: &DeadLetter) -> bool {
        (self.deliveries.is_empty() || self.deliveries.contains(&delivery))
            && (self.incidents.is_empty() || self.incidents.contains(&letter.incident))
            && self.channel.as_ref().is_none_or(|channel| *channel == letter.channel)
            && self.cause.is_none_or(|cause| cause == letter.cause)
            && self.before.is_none_or(|before| letter.at < before)
    }
}

/// What is to become of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterOrder {
    /// Which.
    pub filter: DeadLetterFilter,
    /// Who says so.
    pub by: String,
    /// Given up for good, for this reason; without it they go on their way again.
    pub purge: Option<String>,
}

/// The most that one order moves: what has to fit into one batch of the journal. The answer says how many are left.
pub const ORDER_MAX: usize = 10_000;

impl Engine {
    /// The dead letters that a filter takes, the oldest first.
    pub fn dead_letters<'a>(
        &'a self,
        filter: &'a DeadLetterFilter,
    ) -> impl Iterator<Item = &'a (DeliveryId, DeadLetter)> + 'a {
        self.state.dead.iter().filter(|(delivery, letter)| filter.takes(*delivery, letter))
    }

    /// Does what was ordered, [`ORDER_MAX`] letters at a time.
    pub(crate) fn move_dead_letters(
        &mut self,
        now: Timestamp,
        order: &DeadLetterOrder,
        effects: &mut Effects,
    ) -> Answer {
        let mut chosen: Vec<(DeliveryId, Reason, IncidentId, String)> = Vec::new();
        let mut left = 0;
        for (delivery, letter) in self.dead_letters(&order.filter) {
            if chosen.len() < ORDER_MAX {
                chosen.push((*delivery, letter.reason, letter.incident, letter.channel.clone()));
            } else {
                left += 1;
            }
        }
        // An end and a note of who takes care come after all that they are about, also where they were given up first.
        // The last note is redriven last: it waits for the earlier ones, and they must not wait for it.
        let notes = &self.state.open;
        chosen.sort_by_cached_key(|(delivery, reason, incident, channel)| {
            let is_last_note = *reason == Reason::Acked && notes.newest_note(*incident, channel) == Some(*delivery);
            (!opens(*reason), is_last_note)
        });
        let moved: Vec<DeliveryId> = chosen.iter().map(|(delivery, ..)| *delivery).collect();
        let later = chosen.iter().filter(|(_, reason, ..)| matches!(reason, Reason::Resolved | Reason::Acked));
        let of_later: BTreeSet<IncidentId> = later.map(|(_, _, incident, _)| *incident).collect();
        let mut opened: Option<BTreeMap<_, Vec<DeliveryId>>> = None;
        let mut noted: BTreeMap<(IncidentId, String), Vec<DeliveryId>> = BTreeMap::new();
        for (delivery, reason, incident, channel) in chosen {
            let by = order.by.clone();
            if let Some(comment) = order.purge.clone() {
                let purged = Purged { delivery, incident, channel, by, comment };
                self.record(now, Record::Purged(purged), effects);
                continue;
            }
            let mut behind = Vec::new();
            if matches!(reason, Reason::Resolved | Reason::Acked) {
                let opened = opened.get_or_insert_with(|| self.on_their_way(&of_later));
                behind.extend(opened.get(&(incident, channel.clone())).into_iter().flatten());
            }
            if reason == Reason::Acked {
                // Somebody takes care, and nobody does: the later word is the one that counts.
                let before = noted.entry((incident, channel.clone())).or_default();
                behind.extend(before.iter());
                before.push(delivery);
            }
            self.record(now, Record::Redriven(Redriven { delivery, incident, channel, by, behind }), effects);
            self.close_again(now, delivery, &order.by, effects);
            self.acknowledge_also(now, delivery, effects);
        }
        Answer::Moved { deliveries: Arc::new(moved), left }
    }

    /// What has not arrived yet of these incidents, by incident and channel.
    fn on_their_way(&self, of: &BTreeSet<IncidentId>) -> BTreeMap<(IncidentId, String), Vec<DeliveryId>> {
        let mut found: BTreeMap<_, Vec<DeliveryId>> = BTreeMap::new();
        let is_of = |pending: &&Pending| opens(pending.reason) && of.contains(&pending.incident);
        for (delivery, pending) in self.state.pending.iter().filter(|(_, pending)| is_of(pending)) {
            let channel = self.state.names[pending.channel as usize].clone();
            found.entry((pending.incident, channel)).or_default().push(*delivery);
        }
        found
    }
}
