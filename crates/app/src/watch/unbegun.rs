//! A watcher that begins with its first look: to begin may touch what it watches, and that may hang.

use balefire_watch::{Around, Look, Moment, Plan, Watcher};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// One that begins with its first look.
pub(super) struct Unbegun {
    plan: Arc<dyn Plan>,
    kept: Option<Value>,
    begun: Option<Box<dyn Watcher>>,
}

impl Unbegun {
    /// Not begun yet. `kept` is what one of the same name said last to [`Watcher::memory`].
    pub(super) fn watcher(plan: &Arc<dyn Plan>, kept: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(Unbegun { plan: plan.clone(), kept: kept.cloned(), begun: None })
    }
}

impl Watcher for Unbegun {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        let begun = self.begun.get_or_insert_with(|| self.plan.begin(self.kept.take().as_ref()));
        begun.look(now, around)
    }

    fn memory(&self) -> Option<Value> {
        self.begun.as_ref().map_or_else(|| self.kept.clone(), |begun| begun.memory())
    }

    fn round_trip(&self) -> Option<Duration> {
        self.begun.as_ref().and_then(|begun| begun.round_trip())
    }

    fn next(&self) -> Option<Duration> {
        self.begun.as_ref().and_then(|begun| begun.next())
    }
}
