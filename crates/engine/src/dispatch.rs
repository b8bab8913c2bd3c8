//! Which deliveries go out now.

use crate::engine::{Act, Effects, Engine, Job};
use balefire_model::record::AttemptStarted;
use balefire_model::{DeliveryId, Record};
use jiff::Timestamp;

impl Engine {
    /// When a [`crate::Input::Tick`] would change something, if nothing else happens before; may be in the past.
    #[must_use]
    pub fn wakes_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.draining {
            return None;
        }
        let escalates = self.state.open.next_due().map(|(due, ..)| due);
        let queues = self.state.names.iter().zip(&self.state.queues).enumerate();
        let wakes = queues.filter_map(|(index, (name, queue))| {
            let policy = self.settings.channels.get(name)?;
            let dues = [queue.wakes_at(now, policy), self.falls_back_at(index, policy), self.gathers_at(index, policy)];
            dues.into_iter().flatten().min()
        });
        let goes_on = (!self.endings.is_empty()).then_some(now);
        let runs = self.state.runs.closes_at(self.settings.runs.close_after);
        let reports = self.settings.reports.and_then(|_| self.state.reports.next_at());
        let unseen = self.state.matters.over_at(self.settings.dedup.resolve_after);
        wakes.chain(escalates).chain(goes_on).chain(runs).chain(reports).chain(unseen).min()
    }

    /// Starts every attempt that may start now. What belongs to a channel that is not configured any more waits: it is
    /// not forgotten, and goes on when the channel comes back.
    pub(crate) fn dispatch(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.draining {
            return;
        }
        let settings = self.settings.clone();
        for index in 0..self.state.names.len() {
            let Some(policy) = settings.channels.get(&self.state.names[index]) else { continue };
            while let Some(delivery) = self.state.queues[index].take(now, policy) {
                self.start(now, delivery, &policy.name, effects);
            }
        }
    }

    fn start(&mut self, now: Timestamp, delivery: DeliveryId, channel: &str, effects: &mut Effects) {
        let pending = self.state.pending.get(&delivery).expect("what is queued is pending");
        let job = Job {
            delivery,
            incident: pending.incident,
            severity: pending.severity,
            accepted_at: pending.accepted_at,
            channel: channel.to_owned(),
            reason: pending.reason,
            stands_in_for: pending.stands_in_for(),
            resolved_at: pending.resolved_at(),
            acknowledgement: pending.acknowledgement(),
            repeats: pending.repeats().map(Box::new),
            repeat_of: pending.repeat_of(),
            reached: pending.reached(),
            opened: pending.opened(),
            plain: pending.plain,
            attempt: pending.attempts + 1,
        };
        let started =
            AttemptStarted { delivery, incident: job.incident, channel: job.channel.clone(), attempt: job.attempt };
        self.record(now, Record::AttemptStarted(started), effects);
        effects.acts.push(Act::Send(job));
    }
}
