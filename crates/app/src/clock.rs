//! The only place that reads a clock.

use balefire_watch::Moment;
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// The wall clock, cut to microseconds: what the journal keeps.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// The monotonic clock, to measure how long something takes.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// This moment on the wall clock, and on the clock that nobody sets and that goes on while the machine sleeps.
pub(crate) fn moment() -> Moment {
    let boot = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(boot.tv_nsec).unwrap_or(0);
    Moment { boot: Duration::new(seconds, nanos), wall: now() }
}
