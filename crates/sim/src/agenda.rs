//! What will happen, by time, and among equals in the order in which it was planned.

use crate::network::Sighting;
use balefire_channels::Reply;
use balefire_engine::Gather;
use balefire_model::DeliveryId;
use std::collections::BTreeMap;

/// Something that will happen. What belongs to a process names its life: it does not happen to the next one.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A process begins.
    Start,
    /// The driver goes round.
    Round { life: u64 },
    /// The driver looks whether the disk has room again.
    Retry { life: u64 },
    /// A sender makes a request, or makes it again.
    Request { number: usize },
    /// A sender has waited long enough.
    Patience { number: usize, attempt: u32 },
    /// The tailed file has lines to read.
    Tail { life: u64 },
    /// A person acknowledges or resolves an incident, or decides on dead letters.
    Act,
    /// A message reaches its receiver.
    Arrival { delivery: DeliveryId, sighting: Sighting },
    /// A reply reaches the process.
    Answered { life: u64, flight: u64, reply: Reply },
    /// An attempt has taken as long as it may.
    Timeout { life: u64, flight: u64 },
    /// The incidents of a gathering are counted.
    Counted { life: u64, gather: Gather },
    /// A channel's receiver changes.
    Mood { channel: String },
    /// Another configuration.
    Reload { config: usize },
    /// The disk fills up or is emptied.
    Space { full: bool },
    /// The clock jumps by so many microseconds.
    ClockJump { by: i64 },
    /// An order to stop in good order.
    Stop,
    /// No more faults.
    Settle,
}

#[derive(Debug, Default)]
pub(crate) struct Agenda {
    events: BTreeMap<(u64, u64), Event>,
    planned: u64,
}

impl Agenda {
    /// Plans an event for a time in microseconds since the beginning.
    pub(crate) fn plan(&mut self, at: u64, event: Event) {
        self.events.insert((at, self.planned), event);
        self.planned += 1;
    }

    /// Takes the next event.
    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
