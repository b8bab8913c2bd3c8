//! Which incidents were told of as ones that involve controlled unclassified information: a repeat that does so for the first
//! time is worse than what was told. Part of the engine's memory, and like all of it a function of the records.

use balefire_model::IncidentId;
use balefire_model::record::{FollowedUp, Routed, Sighting};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How many are remembered. The oldest go first: of those it is told once more.
const REMEMBERED_MAX: usize = 50_000;

/// The first incident of each matter.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ToldCui(BTreeSet<IncidentId>);

impl ToldCui {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, first: IncidentId) -> bool {
        self.0.contains(&first)
    }

    /// Takes note of an incident that came, where it is the first of its matter and somebody hears of it.
    pub(crate) fn routed(&mut self, routed: &Routed) {
        let first = matches!(routed.sighting, Some(Sighting { repeat: None, says_over: false, is_told: true, .. }));
        if routed.cui_involved && first {
            self.insert(routed.incident);
        }
    }

    /// Takes note that somebody is told that an incident came again.
    pub(crate) fn followed_up(&mut self, followed: &FollowedUp) {
        if followed.cui_involved {
            self.insert(followed.incident);
        }
    }

    pub(crate) fn forget(&mut self, first: IncidentId) {
        self.0.remove(&first);
    }

    fn insert(&mut self, first: IncidentId) {
        self.0.insert(first);
        if self.0.len() > REMEMBERED_MAX {
            self.0.pop_first();
        }
    }
}
