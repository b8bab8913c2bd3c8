//! Whether a route sends at a moment, and how it is told that it does not. Knows time intervals and no incident.

use super::Route;
use balefire_model::calendar::TimeInterval;
use jiff::Timestamp;
use std::sync::Arc;

/// Before the names of the intervals outside of which a route sends nothing. No interval's name has a space in it.
const OUTSIDE: &str = "outside ";

impl Route {
    /// The time interval because of which it sends nothing now: its name, or `outside NAME` where it sends only then.
    #[must_use]
    pub fn muted_by(&self, now: Timestamp) -> Option<String> {
        if let Some(interval) = self.mute.iter().find(|interval| interval.contains(now)) {
            return Some(interval.name.clone());
        }
        if self.active.is_empty() || self.active.iter().any(|interval| interval.contains(now)) {
            return None;
        }
        let names: Vec<&str> = self.active.iter().map(|interval| interval.name.as_str()).collect();
        Some(format!("{OUTSIDE}{}", names.join(", ")))
    }

    /// Whether all the intervals in which it sends are among those that mute it.
    pub(super) fn is_always_muted(&self) -> bool {
        let muted = |interval: &Arc<TimeInterval>| self.mute.iter().any(|muting| muting.name == interval.name);
        !self.active.is_empty() && self.active.iter().all(muted)
    }
}

/// What `muted_by` of a route means, such as `muted by time interval nights` or `muted outside time interval
/// office-hours`.
#[must_use]
pub fn told_muted(muted_by: &str) -> String {
    match muted_by.strip_prefix(OUTSIDE) {
        Some(names) => format!("muted outside time interval {names}"),
        None => format!("muted by time interval {muted_by}"),
    }
}
