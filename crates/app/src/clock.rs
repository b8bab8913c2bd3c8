//! The only place that reads a clock.

use jiff::Timestamp;
use std::time::Instant;

/// The wall clock, cut to microseconds: what the journal keeps.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// The monotonic clock, to measure how long something takes.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
