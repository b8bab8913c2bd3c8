//! The incidents that were accepted last, so that sending them needs no reading. Bounded; what has left it is read from
//! the journal again.

use balefire_model::{Incident, Position};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many incidents are kept. With those of ordinary size this is a megabyte or two.
const COUNT_MAX: usize = 1024;

#[derive(Default)]
pub(crate) struct Recent {
    incidents: HashMap<Position, Arc<Incident>>,
    order: VecDeque<Position>,
}

/// Larger ones are not kept: a few of them would fill the memory.
const TEXT_BYTES_MAX: usize = 8 * 1024;

impl Recent {
    pub(crate) fn insert(&mut self, position: Position, incident: Arc<Incident>) {
        let extra: usize = incident.extra.0.iter().map(|(_, value)| value.get().len()).sum();
        let events: usize = incident.events.iter().map(|event| event.get().len()).sum();
        if incident.title.len() + incident.description.len() + extra + events > TEXT_BYTES_MAX {
            return;
        }
        self.incidents.insert(position, incident);
        self.order.push_back(position);
        if self.order.len() > COUNT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.incidents.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, position: Position) -> Option<Arc<Incident>> {
        self.incidents.get(&position).cloned()
    }
}
