//! The checker's part for messages that stand for many: each delivery is told of in one of them at most, each of them is
//! about what was counted for it, and nothing critical is ever among that.

use crate::ledger::{Course, Ledger};
use crate::process::Letter;
use crate::world::World;
use balefire_engine::{ChannelPolicy, Gather, Input, SUMMARY, Stale, Tally};
use balefire_model::record::{Routed, Suppressed};
use balefire_model::{DeliveryId, Incident, IncidentId, Reason, Record, Severity};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::agenda::Event;
use crate::plan::SECOND;

/// The longest time until what was asked for is counted, in microseconds.
const COUNTING_MAX: u64 = 60 * SECOND;

/// From one time of the day to the next, also where the clocks change.
const DAY_MAX: SignedDuration = SignedDuration::from_hours(25);

/// How long a storm's first message waits for company.
const COMPANY: SignedDuration = SignedDuration::from_secs(10);

/// A message that stands for many.
#[derive(Debug)]
struct Summary {
    channel: String,
    rule: String,
    /// For how many, by its own words.
    count: usize,
    members: BTreeSet<DeliveryId>,
    is_routed: bool,
}

/// What is known of messages that stand for many.
#[derive(Debug, Default)]
pub(crate) struct Summaries {
    /// What the engine wanted to have counted and has not told of.
    asked: Vec<Gather>,
    /// Until when the answer may take, for each channel: virtual time, in microseconds since the beginning.
    counted_by: BTreeMap<String, u64>,
    /// When the last message of the kind was decided on, for each channel.
    summarised_at: BTreeMap<String, Timestamp>,
    made: BTreeMap<IncidentId, Summary>,
    /// Those that were made in this batch.
    new: Vec<IncidentId>,
    told_in: BTreeMap<DeliveryId, IncidentId>,
}

impl Summaries {
    /// A delivery is decided on once more, under its id.
    pub(crate) fn forget(&mut self, delivery: DeliveryId) {
        self.told_in.remove(&delivery);
    }

    /// How many of them there are, and of how many deliveries they tell.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let members = self.made.values().map(|summary| summary.members.len() as u64).sum();
        (self.made.len() as u64, members)
    }
}

impl World {
    /// The engine wants to know what incidents have in common. That takes its time, may be lost with the process, and
    /// comes twice where an answer is kept while the disk is full.
    pub(crate) fn begin_to_count(&mut self, life: u64, gather: Gather) {
        self.note(format_args!("to be counted for {}: {} ({:?})", gather.channel, gather.items.len(), gather.cause));
        self.ledger.summaries.counted_by.insert(gather.channel.clone(), self.now + COUNTING_MAX + 10 * SECOND);
        self.ledger.summaries.asked.push(gather.clone());
        let after = self.random.pick(&[0, 1_000, SECOND, COUNTING_MAX]);
        if self.chance(100) {
            let again = self.random.between(after, COUNTING_MAX);
            self.agenda.plan(self.now + again, Event::Counted { life, gather: gather.clone() });
        }
        self.agenda.plan(self.now + after, Event::Counted { life, gather });
    }

    /// They are counted.
    pub(crate) fn counted(&mut self, life: u64, gather: Gather) {
        if self.process.as_ref().is_none_or(|process| process.life != life) {
            return;
        }
        let mut tally = Box::new(Tally::default());
        for (_, position) in &gather.items {
            let place = usize::try_from(position.0).expect("a simulated journal is short");
            match self.records.get(place) {
                Some(Record::Accepted(incident)) => tally.add(incident),
                _ => tally.add_unreadable(),
            }
        }
        self.post(Letter::plain(Input::Gathered { gather, tally }));
    }
}

impl Ledger {
    /// Takes an incident that stands for many; false where it is another one.
    pub(crate) fn summary_accepted(&mut self, incident: &Incident) -> bool {
        if incident.detected_by != SUMMARY {
            return false;
        }
        let label = |name: &str| incident.labels.get(name).cloned().unwrap_or_default();
        let count = incident.title.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        let (channel, rule) = (label("channel"), label("cause"));
        let members = BTreeSet::new();
        let summary = Summary { channel, rule, count, members, is_routed: false };
        self.summaries.made.insert(incident.id, summary);
        self.summaries.new.push(incident.id);
        true
    }

    /// It goes to its channel, ahead of what it stands for; nothing else is a summary.
    pub(crate) fn summary_routed(&mut self, at: Timestamp, routed: &Routed) {
        let summaries = routed.deliveries.iter().filter(|planned| planned.reason == Reason::Summary).count();
        let right = match (self.summaries.made.get_mut(&routed.incident), &routed.deliveries[..]) {
            (Some(summary), [planned]) => {
                summary.is_routed = true;
                self.summaries.summarised_at.insert(summary.channel.clone(), at);
                summaries == 1 && planned.channel == summary.channel && routed.severity == Severity::Critical
            }
            (Some(_), _) => false,
            (None, _) => summaries == 0,
        };
        self.demand(right, || format!("{routed:?} is not the message that stands for many, or should be"));
    }

    /// Whether it is true that a delivery is told of in a message that stands for many: that message was decided on
    /// before, for its channel, and the delivery is neither critical nor told of elsewhere.
    pub(crate) fn is_told_of(&self, suppressed: &Suppressed, course: &Course) -> bool {
        let made = |id: &IncidentId| self.summaries.made.get(id);
        named_in(&suppressed.because).as_ref().and_then(made).is_some_and(|summary| {
            summary.is_routed
                && summary.channel == course.channel
                && summary.rule == suppressed.rule
                && course.severity < Severity::Critical
                && !course.delivered
                && !self.summaries.told_in.contains_key(&suppressed.delivery)
        })
    }

    /// Takes note of a delivery that is told of in a message that stands for many, if it is.
    pub(crate) fn told_of(&mut self, suppressed: &Suppressed) {
        let Some(id) = named_in(&suppressed.because) else { return };
        if let Some(summary) = self.summaries.made.get_mut(&id) {
            summary.members.insert(suppressed.delivery);
            self.summaries.told_in.insert(suppressed.delivery, id);
        }
    }

    /// Whether a channel hears only of what is still open, and this is over and was never on its way.
    pub(crate) fn wants_open_only(&self, course: &Course) -> bool {
        let policy = self.lanes.get(&course.channel).and_then(|lane| lane.policy.as_ref());
        let wants = policy.is_some_and(|policy| policy.stale == Stale::OpenOnly);
        wants && course.tells() && self.follow.resolved.contains(&course.incident)
    }

    /// What the records of one append must have brought: the messages that were made are about what was counted for
    /// them, each once, and all of that has ended.
    pub(crate) fn check_summaries(&mut self) {
        for id in std::mem::take(&mut self.summaries.new) {
            let summary = &self.summaries.made[&id];
            let is_in = |delivery: &DeliveryId| match self.summaries.told_in.get(delivery) {
                Some(told_in) => *told_in == id,
                // While it was counted, it was called off for another reason.
                None => self.called_off.contains(delivery) && self.courses[delivery].ended,
            };
            let is_it = |gather: &Gather| {
                let items: BTreeSet<DeliveryId> = gather.items.iter().map(|(delivery, _)| *delivery).collect();
                gather.channel == summary.channel
                    && gather.cause.as_str() == summary.rule
                    && gather.items.len() == summary.count
                    && summary.members.is_subset(&items)
                    && items.iter().all(is_in)
            };
            match self.summaries.asked.iter().position(is_it) {
                Some(place) if summary.is_routed => _ = self.summaries.asked.swap_remove(place),
                _ => self.faults.push(format!("{summary:?} is not what was counted: {:?}", self.summaries.asked)),
            }
        }
    }

    /// What waits to be told of together does not go out by itself.
    pub(crate) fn check_held(&mut self, at: Timestamp, delivery: DeliveryId, channel: &str) {
        let (Some(course), Some(lane)) = (self.courses.get(&delivery), self.lanes.get(channel)) else { return };
        let Some(policy) = &lane.policy else { return };
        let is_held = gathered_up_to(policy, |up_to, above| {
            let many = lane.open.range(up_to_key(up_to)..).take(above).count() == above;
            // Where all others wait for it, it is not held.
            let mut others = lane.open.iter().filter(|(_, other)| *other != delivery);
            let has_company = above == 1 || others.any(|(_, other)| self.may_join(at, *other, up_to));
            course.severity <= up_to && many && has_company
        });
        self.demand(is_held.is_none(), || format!("{delivery} goes to {channel} by itself, against {is_held:?}"));
    }

    /// Whether a delivery is under way, waits for a time, or lies ready to be told of with another.
    fn may_join(&self, at: Timestamp, delivery: DeliveryId, up_to: Severity) -> bool {
        let course = &self.courses[&delivery];
        let waits = course.under_way || course.due.is_some_and(|due| due > at);
        waits || (course.severity <= up_to && !self.is_behind(course))
    }

    /// A message that stands for many and should have been made by now.
    pub(crate) fn overdue_summary(&self, now: u64, at: Timestamp) -> Option<String> {
        self.lanes.iter().find_map(|(channel, lane)| {
            let policy = lane.policy.as_ref()?;
            if self.summaries.counted_by.get(channel).is_some_and(|counted_by| now < *counted_by) {
                return None;
            }
            let last = self.summaries.summarised_at.get(channel).copied();
            gathered_up_to(policy, |up_to, above| {
                if lane.open.range(up_to_key(up_to)..).take(above).count() < above {
                    return false;
                }
                let ready: Vec<&Course> = lane
                    .open
                    .range(up_to_key(up_to)..)
                    .map(|(_, id)| &self.courses[id])
                    .filter(|course| !course.under_way && course.due.is_none() && !self.is_behind(course))
                    .collect();
                // The clock may have been set back between two decisions.
                let latest = ready.iter().map(|course| course.decided_at).max();
                let (least, wait) = if above == 1 { (1, DAY_MAX) } else { (2, COMPANY) };
                let every = policy.storm.filter(|_| above > 1).map(|storm| storm.every).unwrap_or_default();
                let every = SignedDuration::try_from(every).expect("hours at most");
                ready.len() >= least
                    && latest.is_some_and(|latest| latest + wait <= at)
                    && last.is_none_or(|last| last + every <= at)
            })
            .map(|rule| format!("what waits for {channel} is not told of together, as {rule:?} wants"))
        })
    }
}

/// The first of a policy's rules by which deliveries are gathered that `holds`, given the highest severity that it takes
/// and from how many on.
fn gathered_up_to(policy: &ChannelPolicy, holds: impl Fn(Severity, usize) -> bool) -> Option<String> {
    let digest = policy.digest.as_ref().filter(|digest| holds(digest.up_to, 1)).map(|digest| format!("{digest:?}"));
    let storm = policy.storm.filter(|storm| holds(storm.up_to, storm.above as usize));
    digest.or_else(|| storm.map(|storm| format!("{storm:?}")))
}

/// Where the deliveries up to a severity begin among those that are open.
fn up_to_key(up_to: Severity) -> (Reverse<Severity>, DeliveryId) {
    (Reverse(up_to), DeliveryId(uuid::Uuid::nil()))
}

/// The incident in which a delivery is told of, by the words of its end.
fn named_in(because: &str) -> Option<IncidentId> {
    because.strip_prefix("it is told of in incident ")?.split(',').next()?.parse().ok()
}
