//! Waiting until a state holds, with a deadline and the last thing seen. The only place that sleeps.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a test waits for what should come soon. Long, because a loaded machine is slow and a green test never waits
/// to the end.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const REST: Duration = Duration::from_millis(10);

/// Looks until `look` gives something, and returns it. `look` gives what it saw instead where the state does not hold
/// yet.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for and what was seen last.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, look)
}

/// As [`until`], with a patience of one's own.
///
/// # Panics
/// When the patience is over.
pub fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if begin.elapsed() > patience => {
                panic!("after {} s still not: {what}; last seen: {seen}", patience.as_secs())
            }
            Err(_) => sleep(REST),
        }
    }
}

/// Lets time pass: for a receiver that is slow on purpose, never to wait for the thing under test.
pub fn pause(time: Duration) {
    sleep(time);
}
