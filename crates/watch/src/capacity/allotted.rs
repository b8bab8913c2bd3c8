//! How much of what logs may take they do take, where that is less than their file system: auditd's `num_logs` times
//! `max_log_file`, journald's `SystemMaxUse`. What is full there is overwritten. Pure.

use crate::look::{Failure, Moment};
use crate::sensors::stored::Stored;
use balefire_model::Severity;
use std::time::Duration;

/// From so much on (in percent), old records are removed for new ones: one file of some is always being filled.
const FULL: u64 = 75;

/// What logs may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allotted {
    pub(super) bytes: u64,
    /// For how long records must be kept.
    pub(super) retain: Option<Duration>,
}

impl Allotted {
    /// How much of it is taken, in percent.
    pub(super) fn percent(&self, stored: &Stored) -> f64 {
        stored.bytes as f64 * 100.0 / self.bytes.max(1) as f64
    }

    /// Records that are removed before their time.
    pub(super) fn too_short(&self, now: Moment, stored: &Stored, path: &str) -> Option<Failure> {
        let retain = self.retain?;
        let oldest = stored.oldest?;
        let age = u64::try_from(now.wall.as_second().saturating_sub(oldest)).unwrap_or(0);
        let is_full = u128::from(stored.bytes) * 100 >= u128::from(self.bytes) * u128::from(FULL);
        if !is_full || age >= retain.as_secs() {
            return None;
        }
        let hours = |seconds: u64| seconds as f64 / 3600.0;
        let summary = format!(
            "{path}: logs take {:.0} % of their {} bytes, and the oldest file is {:.1} h old; records are removed before {:.1} h",
            self.percent(stored),
            self.bytes,
            hours(age),
            hours(retain.as_secs()),
        );
        let failure = Failure::new("capacity.retain", Severity::Medium, summary);
        Some(failure.cured_by("let the logs take more (auditd: num_logs, max_log_file; journald: SystemMaxUse)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn what_is_overwritten_before_its_time_is_told_and_a_young_log_with_room_is_not() {
        let now = Moment { boot: Duration::from_secs(9), wall: Timestamp::from_second(1_000_000).unwrap() };
        let allotted = Allotted { bytes: 1000, retain: Some(Duration::from_secs(86_400)) };
        let told = |bytes, oldest| {
            let stored = Stored { bytes, oldest: Some(oldest), ..Stored::default() };
            allotted.too_short(now, &stored, "/var/log/audit").is_some()
        };
        assert!(told(900, 1_000_000 - 3_600));
        assert!(!told(900, 1_000_000 - 90_000));
        assert!(!told(300, 1_000_000 - 3_600));
    }
}
