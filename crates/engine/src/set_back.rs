//! A clock that is set back: what waits for a time goes on waiting for as long as it would have, and not until the clock
//! shows that time once more. Does not know what the times are for.

use crate::engine::{Effects, Engine};
use crate::queue::Queue;
use crate::state::State;
use balefire_model::Record;
use balefire_model::record::ClockSetBack;
use jiff::{SignedDuration, Timestamp};

impl Engine {
    /// Takes note where the clock shows less than at `from`, the time of the last record.
    pub(crate) fn look_at_clock(&mut self, now: Timestamp, from: Timestamp, effects: &mut Effects) {
        if now < from {
            self.record(now, Record::ClockSetBack(ClockSetBack { from }), effects);
        }
    }
}

impl State {
    /// Moves every time that something is counted from or waits for.
    pub(crate) fn set_back(&mut self, by: SignedDuration) {
        let earlier = |time: Timestamp| time.checked_sub(by).unwrap_or(Timestamp::MIN);
        for pending in self.pending.values_mut() {
            pending.decided_at = earlier(pending.decided_at.into()).into();
            pending.due = pending.due.map(|due| earlier(due.into()).into());
        }
        self.queues.iter_mut().for_each(|queue| queue.set_back(earlier));
        self.open.set_back(earlier);
        self.runs.set_back(earlier);
        self.reports.set_back(earlier);
        self.matters.set_back(earlier);
        self.key_ages.iter_mut().for_each(|(since, _)| *since = earlier(*since));
    }
}

impl Queue {
    fn set_back(&mut self, earlier: impl Fn(Timestamp) -> Timestamp) {
        let times = [&mut self.paused_until, &mut self.summarised_at, &mut self.recovered_at, &mut self.looked_at];
        for time in times {
            *time = time.map(&earlier);
        }
        self.failing = self.failing.map(|(since, cause)| (earlier(since), cause));
        self.recent.iter_mut().for_each(|attempt| *attempt = earlier(*attempt));
        self.waiting = self.waiting.iter().map(|(due, rank)| (earlier(*due), *rank)).collect();
    }
}
