//! Many deliveries become one message: in a storm, after an outage, and once a day. Decides when and which; the counting
//! needs the incidents, which are in the journal, and is done outside. Critical ones are never gathered.

use crate::engine::{Act, Effects, Engine};
use crate::health::{OWN_SOURCE, own};
use crate::queue::{ChannelPolicy, Queue, Rank};
use crate::retry::later;
use crate::tally::Tally;
use balefire_model::record::{Planned, RouteTaken, Routed, Suppressed};
use balefire_model::{DeliveryId, Incident, Position, Reason, Record, Severity};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Who finds it, in `detected_by`.
pub const SUMMARY: &str = "balefire.summary";

/// How many deliveries go into one message at most.
const GATHERED_MAX: usize = 250_000;
/// How many are ended in one step, so that no step is long.
const ENDED_MAX: usize = 2_000;
/// How long a storm's first message waits for company.
const COMPANY: Duration = Duration::from_secs(10);

/// When too much is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// So many deliveries waiting are a storm; at least 2.
    pub above: u32,
    /// The time from one summary to the next.
    pub every: Duration,
    /// The highest severity that is gathered; never critical.
    pub up_to: Severity,
}

/// What becomes of the backlog after an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stale {
    /// Everything goes out, the worst first.
    #[default]
    All,
    /// What is older than this when the channel works again goes into one message.
    Digest(Duration),
    /// What has been resolved meanwhile does not go out.
    OpenOnly,
}

/// One message a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// When.
    pub at: Time,
    /// By the clock of this zone.
    pub zone: TimeZone,
    /// The highest severity that waits for it; never critical.
    pub up_to: Severity,
}

impl Digest {
    /// The first time for a digest after a moment. A time that a change of the clocks leaves out comes as much later; one
    /// that comes twice is taken the first time.
    fn next(&self, after: Timestamp) -> Timestamp {
        let mut day = after.to_zoned(self.zone.clone()).date();
        for _ in 0..3 {
            if let Ok(zoned) = day.to_datetime(self.at).to_zoned(self.zone.clone())
                && zoned.timestamp() > after
            {
                return zoned.timestamp();
            }
            day = day.saturating_add(1.day());
        }
        Timestamp::MAX
    }
}

/// Why deliveries are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatherCause {
    /// More than the channel should carry one by one.
    Storm,
    /// They are old: the channel has just come back.
    Stale,
    /// The time for the day's message.
    Digest,
}

impl GatherCause {
    /// The rule's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GatherCause::Storm => "storm",
            GatherCause::Stale => "stale",
            GatherCause::Digest => "digest",
        }
    }
}

/// Deliveries that are to become one message, in the order in which they were decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// To which channel.
    pub channel: String,
    /// Why.
    pub cause: GatherCause,
    /// They, and where their incidents stand.
    pub items: Vec<(DeliveryId, Position)>,
    /// Where the journal ended when this was asked for: which question the count answers.
    pub asked_at: Position,
}

/// Deliveries whose message is decided on, and which end one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    items: VecDeque<DeliveryId>,
    rule: &'static str,
    because: String,
}

impl Queue {
    /// The highest severity that does not go out one by one just now.
    pub(crate) fn held_up_to(&self, policy: &ChannelPolicy) -> Option<Severity> {
        let digest = policy.digest.as_ref().map(|digest| digest.up_to);
        let storm = policy.storm.filter(|storm| self.is_storm(storm) && self.has_company(storm.up_to));
        let storm = storm.map(|storm| storm.up_to);
        [digest, storm, self.gathering.map(|(up_to, _)| up_to)].into_iter().flatten().max()
    }

    fn is_storm(&self, storm: &Storm) -> bool {
        self.counts[..=storm.up_to as usize].iter().sum::<usize>() >= storm.above as usize
    }

    /// Whether what is ready may yet be told of with others. Where all others wait for it, it never would.
    fn has_company(&self, up_to: Severity) -> bool {
        self.in_flight > 0 || !self.waiting.is_empty() || self.has_two_ready(up_to)
    }

    /// Whether there is something to tell of together: the others of a storm may be under way, or wait for one that is.
    fn has_two_ready(&self, up_to: Severity) -> bool {
        self.ready.range(Rank::first_of(up_to)..).nth(1).is_some()
    }

    /// The one that was never tried and was decided on first, of a severity.
    fn first_ready(&self, severity: Severity) -> Option<DeliveryId> {
        let first = self.ready.range(Rank::first_of(severity)..).next()?;
        (first.severity() == severity).then(|| self.delivery(first))
    }
}

impl Engine {
    /// When something is due to be gathered for a channel: why, up to which severity, and when.
    fn gathers(&self, index: usize, policy: &ChannelPolicy) -> Option<(GatherCause, Severity, Timestamp)> {
        let queue = &self.state.queues[index];
        if queue.gathering.is_some() {
            return None;
        }
        let digest = policy.digest.as_ref().and_then(|digest| {
            let oldest = self.oldest_ready(queue, digest.up_to)?;
            Some((GatherCause::Digest, digest.up_to, digest.next(oldest)))
        });
        let storm = policy.storm.filter(|storm| queue.is_storm(storm) && queue.has_two_ready(storm.up_to));
        let storm = storm.and_then(|storm| {
            let together = later(self.oldest_ready(queue, storm.up_to)?, COMPANY);
            let due = queue.summarised_at.map_or(together, |last| together.max(later(last, storm.every)));
            Some((GatherCause::Storm, storm.up_to, due))
        });
        let stale = queue.recovered_at.filter(|at| queue.looked_at != Some(*at)).and_then(|recovered| {
            let Stale::Digest(after) = policy.stale else { return None };
            let oldest = self.oldest_ready(queue, Severity::High)?;
            (later(oldest, after) <= recovered).then_some((GatherCause::Stale, Severity::High, recovered))
        });
        [digest, storm, stale].into_iter().flatten().min_by_key(|(.., due)| *due)
    }

    /// When [`Engine::gather`] has something to do for a channel.
    pub(crate) fn gathers_at(&self, index: usize, policy: &ChannelPolicy) -> Option<Timestamp> {
        self.gathers(index, policy).map(|(.., due)| due)
    }

    fn oldest_ready(&self, queue: &Queue, up_to: Severity) -> Option<Timestamp> {
        let severities = Severity::ALL.into_iter().filter(|severity| *severity <= up_to);
        let firsts = severities.filter_map(|severity| queue.first_ready(severity));
        firsts.filter_map(|delivery| self.state.pending.get(&delivery)).map(|pending| pending.decided_at.into()).min()
    }

    /// Begins to gather where it is time, and goes on with what was gathered.
    pub(crate) fn gather(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.draining {
            return;
        }
        let settings = self.settings.clone();
        for index in 0..self.state.names.len() {
            let Some(policy) = settings.channels.get(&self.state.names[index]) else { continue };
            let Some((cause, up_to, due)) = self.gathers(index, policy) else { continue };
            if due > now {
                continue;
            }
            let items = self.gatherable(index, (cause, up_to), policy);
            let queue = &mut self.state.queues[index];
            if cause == GatherCause::Stale {
                queue.looked_at = queue.recovered_at;
            }
            if items.len() >= if cause == GatherCause::Digest { 1 } else { 2 } {
                let asked_at = self.state.position;
                queue.gathering = Some((up_to, asked_at));
                effects.acts.push(Act::Gather(Gather { channel: policy.name.clone(), cause, items, asked_at }));
            }
        }
        self.end_gathered(now, effects);
    }

    fn gatherable(
        &self,
        index: usize,
        (cause, up_to): (GatherCause, Severity),
        policy: &ChannelPolicy,
    ) -> Vec<(DeliveryId, Position)> {
        let queue = &self.state.queues[index];
        let ready = queue.ready.range(Rank::first_of(up_to)..);
        let waiting = queue.waiting.iter().map(|(_, rank)| rank).filter(|rank| rank.severity() <= up_to);
        let mut chosen = Vec::new();
        for rank in ready.chain(waiting) {
            let delivery = queue.delivery(rank);
            let pending = &self.state.pending[&delivery];
            let fits = match (cause, policy.stale) {
                (GatherCause::Stale, Stale::Digest(after)) => {
                    queue.recovered_at.is_some_and(|recovered| later(pending.decided_at.into(), after) <= recovered)
                }
                _ => true,
            };
            if fits {
                chosen.push((pending.order, delivery, pending.accepted_at));
            }
        }
        chosen.sort_unstable();
        chosen.into_iter().take(GATHERED_MAX).map(|(_, delivery, at)| (delivery, at)).collect()
    }

    /// The incidents were counted: decides on the message, and on the end of what is in it.
    pub(crate) fn gathered(&mut self, now: Timestamp, gather: Gather, tally: &Tally, effects: &mut Effects) {
        let Gather { channel, cause, items, asked_at } = gather;
        let Some(index) = self.state.names.iter().position(|name| *name == channel) else { return };
        let is_asked = self.state.queues[index].gathering.is_some_and(|(_, asked)| asked == asked_at);
        let is_told = self.endings.iter().any(|(ending, _)| *ending == index);
        if self.draining || !is_asked || is_told {
            // Who has read the journal again since then has forgotten it and begins anew; so does the next start, since
            // what the message stands for is not ended any more before a stop.
            return;
        }
        let incident = summary(now, &channel, cause, tally, self.state.position());
        let (id, accepted_at) = (incident.id, self.state.position());
        let because = format!("{} deliveries to {channel} became one message ({})", items.len(), cause.as_str());
        let taken =
            RouteTaken { route: OWN_SOURCE.to_owned(), because, channels: vec![channel.clone()], muted_by: None };
        let planned = Planned { follows_up: false, ..self.plan_of(id, Reason::Summary, channel) };
        let (mut routes, mut deliveries) = (vec![taken], vec![planned]);
        if let Some(taken) = self.settings.routing.goes_into_history(None) {
            let plan = |channel: &String| self.plan_of(id, Reason::Opened, channel.clone());
            deliveries.extend(taken.channels.iter().map(plan));
            routes.push(taken);
        }
        let routed = Routed {
            incident: id,
            accepted_at,
            // The place in the queue: it stands for others, and what it stands for must not hold it up.
            severity: Severity::Critical,
            cui_involved: false,
            routes,
            deliveries,
            history_only: None,
            escalations: Vec::new(),
            run: None,
            collected: Vec::new(),
            sighting: None,
        };
        self.record(now, Record::Accepted(Arc::new(incident)), effects);
        self.record(now, Record::Routed(routed), effects);
        let because = format!("it is told of in incident {id}, with {} others", items.len().saturating_sub(1));
        let items = items.into_iter().map(|(delivery, _)| delivery).collect();
        self.endings.push_back((index, Ending { items, rule: cause.as_str(), because }));
    }

    /// Ends deliveries that are told of in a message, a few at a time.
    fn end_gathered(&mut self, now: Timestamp, effects: &mut Effects) {
        let mut left = ENDED_MAX;
        while left > 0
            && let Some((index, mut ending)) = self.endings.pop_front()
        {
            while left > 0
                && let Some(delivery) = ending.items.pop_front()
            {
                left -= 1;
                let Some(pending) = self.state.pending.get(&delivery).filter(|pending| !pending.in_flight) else {
                    continue;
                };
                let suppressed = Suppressed {
                    delivery,
                    incident: pending.incident,
                    channel: self.state.names[pending.channel as usize].clone(),
                    rule: ending.rule.to_owned(),
                    because: ending.because.clone(),
                };
                self.suppress(now, suppressed, effects);
            }
            if ending.items.is_empty() {
                self.state.queues[index].gathering = None;
            } else {
                self.endings.push_front((index, ending));
            }
        }
    }
}

fn summary(now: Timestamp, channel: &str, cause: GatherCause, tally: &Tally, position: Position) -> Incident {
    let why = match cause {
        GatherCause::Storm => "more came than this channel should carry one by one",
        GatherCause::Stale => "they had waited while the channel failed",
        GatherCause::Digest => "this channel gets one message a day",
    };
    let title = format!("{} incidents in one message: {}", tally.count(), tally.severities());
    let description = format!("Told of together because {why}. Each one is in the history.\n{}", tally.tell(now));
    let seed = format!("{SUMMARY}\n{channel}\n{position}");
    let labels = [("channel", channel.to_owned()), ("cause", cause.as_str().to_owned())];
    let incident = own(now, &seed, (SUMMARY, tally.worst_severity()), (title, description), &labels);
    Incident { cui_involved: tally.has_cui(), nist_controls: Vec::new(), ..incident }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(at: &str, zone: &str) -> Digest {
        Digest { at: at.parse().unwrap(), zone: TimeZone::get(zone).unwrap(), up_to: Severity::Medium }
    }

    fn next(digest: &Digest, after: &str) -> String {
        digest.next(after.parse().unwrap()).to_string()
    }

    #[test]
    fn a_digest_comes_at_its_time_by_the_clock_of_its_zone() {
        let berlin = digest("08:00", "Europe/Berlin");
        assert_eq!(next(&berlin, "2026-01-10T06:59:59Z"), "2026-01-10T07:00:00Z");
        assert_eq!(next(&berlin, "2026-01-10T07:00:00Z"), "2026-01-11T07:00:00Z");
        assert_eq!(next(&berlin, "2026-07-10T05:59:59Z"), "2026-07-10T06:00:00Z");
        assert_eq!(next(&digest("00:30", "Pacific/Auckland"), "2026-11-22T10:00:00Z"), "2026-11-22T11:30:00Z");
    }

    #[test]
    fn a_digest_comes_once_on_the_days_on_which_the_clocks_change() {
        let berlin = digest("02:30", "Europe/Berlin");
        // Left out on 29 March 2026.
        assert_eq!(next(&berlin, "2026-03-29T00:00:00Z"), "2026-03-29T01:30:00Z");
        assert_eq!(next(&berlin, "2026-03-29T01:30:00Z"), "2026-03-30T00:30:00Z");
        // Twice on 25 October 2026.
        assert_eq!(next(&berlin, "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(next(&berlin, "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
    }
}
