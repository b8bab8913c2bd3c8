//! Whether an incident is taken in: the only place where load is shed, and critical is shed last. Knows how full
//! things are, not what fills them.

use balefire_model::Severity;
use std::time::Duration;

/// How full the engine is. The fuller of the two queues counts.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Bytes that wait to be written or sent.
    pub queued_bytes: u64,
    /// How many may wait; 0 takes nothing.
    pub queued_bytes_max: u64,
    /// Incidents that wait.
    pub queued: u64,
    /// How many may wait; 0 takes nothing.
    pub queued_max: u64,
    /// Whether the journal can grow.
    pub disk: DiskState,
}

/// Whether the journal can grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskState {
    /// There is room.
    Writable,
    /// What is left is kept for high and critical.
    Reserve,
    /// Nothing can be written.
    Unwritable,
}

/// What becomes of an incident at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is taken in.
    Accept,
    /// It is not; the sender must keep it and come back.
    Refuse {
        /// How long the sender should wait. Longer for lower severities, so that room goes to the worse ones first.
        retry_after: Duration,
        /// Why, in words.
        why: &'static str,
    },
}

/// Decides for one incident. Every severity has its own limit: info is refused from 50 % of either queue on, low from
/// 60 %, medium from 75 %, high from 90 %, critical from 100 %.
#[must_use]
pub fn admit(severity: Severity, load: &Load) -> Admission {
    let refuse = |why| Admission::Refuse { retry_after: retry_after(severity), why };
    match load.disk {
        DiskState::Unwritable => return refuse("the journal cannot be written"),
        DiskState::Reserve if severity < Severity::High => {
            return refuse("the disk is nearly full; what is left is kept for high and critical");
        }
        DiskState::Reserve | DiskState::Writable => {}
    }
    let percent = percent_max(severity);
    if reaches(load.queued_bytes, load.queued_bytes_max, percent) {
        return refuse("too many bytes wait for this severity");
    }
    if reaches(load.queued, load.queued_max, percent) {
        return refuse("too many incidents wait for this severity");
    }
    Admission::Accept
}

/// How full a queue may be, in percent, before a severity is refused.
fn percent_max(severity: Severity) -> u64 {
    match severity {
        Severity::Info => 50,
        Severity::Low => 60,
        Severity::Medium => 75,
        Severity::High => 90,
        Severity::Critical => 100,
    }
}

fn retry_after(severity: Severity) -> Duration {
    Duration::from_secs(match severity {
        Severity::Info => 30,
        Severity::Low => 15,
        Severity::Medium => 5,
        Severity::High => 2,
        Severity::Critical => 1,
    })
}

fn reaches(queued: u64, max: u64, percent: u64) -> bool {
    u128::from(queued) * 100 >= u128::from(max) * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(bytes: u64, queued: u64, disk: DiskState) -> Load {
        Load { queued_bytes: bytes, queued_bytes_max: 1000, queued, queued_max: 1000, disk }
    }

    /// The severities that are taken in, worst first.
    fn taken(load: &Load) -> Vec<&'static str> {
        let taken = Severity::ALL.into_iter().filter(|severity| admit(*severity, load) == Admission::Accept);
        taken.map(Severity::as_str).collect()
    }

    #[test]
    fn each_severity_has_its_own_limit_in_either_queue_and_critical_is_shed_last() {
        let table: [(u64, &[&str]); 11] = [
            (0, &["critical", "high", "medium", "low", "info"]),
            (499, &["critical", "high", "medium", "low", "info"]),
            (500, &["critical", "high", "medium", "low"]),
            (599, &["critical", "high", "medium", "low"]),
            (600, &["critical", "high", "medium"]),
            (749, &["critical", "high", "medium"]),
            (750, &["critical", "high"]),
            (899, &["critical", "high"]),
            (900, &["critical"]),
            (999, &["critical"]),
            (1000, &[]),
        ];
        for (filled, expected) in table {
            assert_eq!(taken(&load(filled, 0, DiskState::Writable)), expected, "{filled} of 1000 bytes");
            assert_eq!(taken(&load(0, filled, DiskState::Writable)), expected, "{filled} of 1000 incidents");
        }
    }

    #[test]
    fn the_disk_s_reserve_is_for_high_and_critical_and_a_broken_disk_takes_nothing() {
        assert_eq!(taken(&load(0, 0, DiskState::Reserve)), ["critical", "high"]);
        assert_eq!(taken(&load(950, 0, DiskState::Reserve)), ["critical"]);
        assert_eq!(taken(&load(0, 0, DiskState::Unwritable)), [""; 0]);
    }

    #[test]
    fn a_queue_without_room_takes_nothing() {
        let closed = Load { queued_max: 0, ..load(0, 0, DiskState::Writable) };
        assert_eq!(taken(&closed), [""; 0]);
    }

    #[test]
    fn a_refusal_says_why_and_when_to_come_back() {
        let refused = admit(Severity::Info, &load(500, 0, DiskState::Writable));
        let why = "too many bytes wait for this severity";
        assert_eq!(refused, Admission::Refuse { retry_after: Duration::from_secs(30), why });
    }

    proptest! {
        #[test]
        fn a_worse_severity_is_never_refused_where_a_lesser_one_is_taken(
            bytes: u64, bytes_max: u64, queued: u64, queued_max: u64, reserve: bool,
        ) {
            let disk = if reserve { DiskState::Reserve } else { DiskState::Writable };
            let load = Load { queued_bytes: bytes, queued_bytes_max: bytes_max, queued, queued_max, disk };
            let taken = taken(&load);
            prop_assert_eq!(&taken[..], &Severity::ALL.map(Severity::as_str)[..taken.len()]);
        }
    }
}
