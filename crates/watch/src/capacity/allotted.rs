//! How much of what logs may take they do take, where that is less than their file system: auditd's `num_logs` times
//! `max_log_file`, journald's `SystemMaxUse`. What is full there is overwritten, or nothing is written any more. Pure.

use crate::look::{Failure, Moment};
use crate::sensors::stored::Stored;
use balefire_model::Severity;
use std::time::Duration;

/// From so much on (in percent), old records are removed for new ones: one file of some is always being filled.
const FULL: u64 = 75;

/// From so much on it can be told when that will be.
const HALF: u64 = 50;

/// What logs may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allotted {
    pub(super) bytes: u64,
    /// For how long records must be kept.
    pub(super) retain: Option<Duration>,
    pub(super) end: End,
}

/// Whose limit it is, and what is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it is set here.
    Cap,
    /// auditd removes its oldest file.
    Auditd,
    /// auditd writes no more.
    Suspends,
    /// journald removes its oldest file.
    Journald,
}

impl End {
    fn told(self) -> &'static str {
        match self {
            End::Cap => "`cap`",
            End::Auditd => "auditd's num_logs x max_log_file, then the oldest are removed",
            End::Suspends => "auditd's max_log_file, then it suspends its log",
            End::Journald => "journald's SystemMaxUse, then the oldest are removed",
        }
    }
}

impl Allotted {
    /// How much of it is taken, in percent.
    pub(super) fn percent(&self, stored: &Stored) -> f64 {
        stored.bytes as f64 * 100.0 / self.bytes.max(1) as f64
    }

    /// How the logs stand with it, for people.
    pub(super) fn told(&self, now: Moment, stored: &Stored) -> String {
        let percent = self.percent(stored);
        let history =
            age(now, stored).map_or_else(String::new, |age| format!(", the oldest file is {:.1} h old", hours(age)));
        format!("logs take {percent:.1} % of their {} bytes ({}){history}", self.bytes, self.end.told())
    }

    /// Records that are removed before their time, or will be when the rest is full, too.
    pub(super) fn too_short(&self, now: Moment, stored: &Stored, path: &str) -> Option<Failure> {
        let retain = self.retain?;
        let age = age(now, stored)?;
        let reaches = |percent: u64| u128::from(stored.bytes) * 100 >= u128::from(self.bytes) * u128::from(percent);
        // One file alone is being written: how old its first record is, nobody sees.
        let will_be = age as f64 * self.bytes as f64 / stored.bytes.max(1) as f64;
        let is_short = match (reaches(FULL), reaches(HALF)) {
            (true, _) => age < retain.as_secs(),
            (false, true) => stored.files > 1 && will_be < retain.as_secs() as f64,
            (false, false) => false,
        };
        if !is_short {
            return None;
        }
        let kept =
            if reaches(FULL) { String::new() } else { format!(", {:.1} h when they are full", will_be / 3600.0) };
        let summary = format!(
            "{path}: {}{kept}; records are removed before {:.1} h",
            self.told(now, stored),
            hours(retain.as_secs()),
        );
        let failure = Failure::new("capacity.retain", Severity::Medium, summary);
        Some(failure.cured_by("let the logs take more (auditd: num_logs, max_log_file; journald: SystemMaxUse)"))
    }
}

/// For how long the file that was not written for the longest was not, in seconds.
fn age(now: Moment, stored: &Stored) -> Option<u64> {
    stored.oldest.map(|oldest| u64::try_from(now.wall.as_second().saturating_sub(oldest)).unwrap_or(0))
}

fn hours(seconds: u64) -> f64 {
    seconds as f64 / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn what_is_overwritten_before_its_time_is_told_and_a_young_log_with_room_is_not() {
        let now = Moment { boot: Duration::from_secs(9), wall: Timestamp::from_second(1_000_000).unwrap() };
        let allotted = Allotted { bytes: 1000, retain: Some(Duration::from_secs(86_400)), end: End::Auditd };
        let told = |bytes, hours_old: i64| {
            let stored = Stored { bytes, oldest: Some(1_000_000 - hours_old * 3_600), files: 3 };
            allotted.too_short(now, &stored, "/var/log/audit").map(|failure| failure.summary)
        };
        assert!(told(900, 1).is_some() && told(900, 25).is_none() && told(300, 1).is_none());
        let early = told(500, 10).unwrap();
        assert!(early.contains("50.0 % of their 1000 bytes") && early.contains("20.0 h when they are full"), "{early}");
        assert!(told(500, 13).is_none(), "26 hours will be kept");
    }
}
