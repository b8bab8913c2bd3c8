//! The checker's part for runs: what was collected goes out once for each run and channel, all of it, and when the run is
//! over. Reads the journal only.

use crate::ledger::Ledger;
use balefire_model::Reason;
use balefire_model::record::{Routed, RunEnded};
use balefire_model::run::{RunId, RunMark};
use balefire_model::{IncidentId, Position};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of runs.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Where the records stand that wait for a channel.
    waiting: BTreeMap<RunId, BTreeMap<String, Vec<Position>>>,
    /// Runs whose end has come and is not told yet.
    ending: BTreeSet<RunId>,
    /// The runs that end with an incident, until it is routed.
    told_by: BTreeMap<IncidentId, RunEnded>,
    /// How many parts a run had.
    parts: BTreeMap<RunId, u32>,
    /// How many deliveries there were for runs.
    pub done: u64,
}

impl Ledger {
    /// Takes note of what was decided about an incident: of a run, or of the end of one.
    pub(crate) fn run_routed(&mut self, routed: &Routed) {
        let told = routed.deliveries.iter().filter(|planned| planned.reason == Reason::Run);
        let told: BTreeSet<String> = told.map(|planned| planned.channel.clone()).collect();
        match self.runs.told_by.remove(&routed.incident) {
            Some(ended) => {
                let waiting = self.runs.waiting.remove(&ended.id).unwrap_or_default();
                let expected: BTreeSet<String> = waiting.keys().cloned().collect();
                let within = waiting.values().flatten().all(|at| (ended.from..=ended.to).contains(at));
                self.runs.done += told.len() as u64;
                let fault = || format!("{ended:?} is told to {told:?}, and {waiting:?} wait");
                self.demand(told == expected && within, fault);
            }
            None => self.demand(told.is_empty(), || format!("{} is told as the end of a run", routed.incident)),
        }
        let Some(step) = &routed.run else {
            return self.demand(routed.collected.is_empty(), || format!("{} is collected for no run", routed.incident));
        };
        let is_open = self.runs.waiting.contains_key(&step.id);
        let is_over = !is_open && self.runs.parts.contains_key(&step.id);
        if step.mark == RunMark::End {
            if is_over {
                return self.demand(routed.collected.is_empty(), || format!("{step:?} is collected once more"));
            }
            self.runs.ending.insert(step.id.clone());
        }
        let waiting = self.runs.waiting.entry(step.id.clone()).or_default();
        for channel in &routed.collected {
            waiting.entry(channel.clone()).or_default().push(routed.accepted_at);
        }
    }

    /// A run is over: one part after the other, each told by an incident of its own.
    pub(crate) fn run_ended(&mut self, ended: &RunEnded) {
        let part = self.runs.parts.entry(ended.id.clone()).or_default();
        *part += 1;
        let in_order = *part == ended.part;
        let known = self.incidents.contains_key(&ended.incident);
        self.runs.ending.remove(&ended.id);
        self.runs.told_by.insert(ended.incident, ended.clone());
        self.demand(in_order && known, || format!("{ended:?} is not the next part of its run, or is told by nobody"));
    }

    /// When everything has come to rest, no run is open whose end has come, and none is half told.
    pub(crate) fn check_runs(&mut self) {
        let (ending, told_by) = (self.runs.ending.clone(), self.runs.told_by.clone());
        self.demand(ending.is_empty() && told_by.is_empty(), || format!("{ending:?} and {told_by:?} are not over"));
    }
}
