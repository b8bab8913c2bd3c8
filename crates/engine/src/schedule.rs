//! What is to be done about a command that runs by a timetable: start it, wait, leave a time out, or end the run before.
//! Decides from where things stand; knows no process, and nothing of what a run brings.

use balefire_model::calendar::Timetable;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A start that comes later than this is no start in time any more: a loaded machine is slow, one that was down is not.
const PUNCTUAL: SignedDuration = SignedDuration::from_secs(60);

/// A clock that is set back by less is one that is being adjusted: what was done stays done until it catches up.
const SET_BACK_MAX: SignedDuration = SignedDuration::from_hours(1);

/// What happens where a run is due while the one before still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out.
    Skip,
    /// It begins when the one before has ended; several that wait are one.
    Queue,
    /// The one before is ended.
    KillPrevious,
}

/// The rules of one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When it is due.
    pub timetable: Timetable,
    /// How late a run that could not begin in time may begin, once; zero for never.
    pub catch_up: Duration,
    /// What happens where it would run twice at once.
    pub overlap: Overlap,
}

/// Where a schedule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Every time up to this one is settled: started, or left out and told so.
    pub settled: Timestamp,
    /// Whether a run is under way.
    pub is_running: bool,
    /// The time that waits for the run under way, if one does.
    pub queued: Option<Timestamp>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing before this time; none where nothing is ever due.
    Wait(Option<Timestamp>),
    /// Start the run of the time `due`; that settles all times up to it.
    Start {
        /// The latest time that is due.
        due: Timestamp,
        /// How many earlier ones it stands for.
        stands_for: u32,
        /// It begins late, because it could not begin in time.
        is_late: bool,
    },
    /// Too late, and too late to catch up: no run, `count` times are settled, up to `due`.
    Missed {
        /// The latest of them.
        due: Timestamp,
        /// How many.
        count: u32,
    },
    /// Left out because the run before is under way.
    Overlapped {
        /// The time that is settled.
        due: Timestamp,
    },
    /// It waits for the run before; not settled.
    Queued {
        /// The time that waits.
        due: Timestamp,
    },
    /// End the run before; then ask again, and it starts.
    EndPrevious {
        /// The time that waits for that.
        due: Timestamp,
    },
    /// The clock was set back: count from this time.
    SetBack(Timestamp),
}

impl Rules {
    /// What is to be done at `now`.
    #[must_use]
    pub fn judge(&self, standing: Standing, now: Timestamp) -> Verdict {
        let Standing { settled, is_running, queued } = standing;
        if settled.duration_since(now) > SET_BACK_MAX {
            return Verdict::SetBack(now);
        }
        let Some((due, count)) = self.timetable.last(settled, now) else {
            return Verdict::Wait(self.timetable.next(settled.max(now)));
        };
        if is_running {
            return match (self.overlap, queued) {
                (Overlap::Skip, _) => Verdict::Overlapped { due },
                // It is told and waits already.
                (Overlap::Queue | Overlap::KillPrevious, Some(_)) => Verdict::Wait(None),
                (Overlap::Queue, None) => Verdict::Queued { due },
                (Overlap::KillPrevious, None) => Verdict::EndPrevious { due },
            };
        }
        let late = now.duration_since(due);
        // What waited for the run before is not late: that was the wish.
        let is_late = queued.is_none() && late > PUNCTUAL;
        let patience = SignedDuration::try_from(self.catch_up).unwrap_or(SignedDuration::MAX);
        match is_late && late > patience {
            true => Verdict::Missed { due, count },
            false => Verdict::Start { due, stands_for: count - 1, is_late },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{}Z", text.replace(' ', "T")).parse().unwrap()
    }

    fn standing(settled: &str) -> Standing {
        Standing { settled: at(settled), is_running: false, queued: None }
    }

    fn rules(cron: &str, catch_up: Duration, overlap: Overlap) -> Rules {
        Rules { timetable: Timetable::cron(cron, TimeZone::UTC).unwrap(), catch_up, overlap }
    }

    #[track_caller]
    fn check(rules: &Rules, standing: Standing, now: &str, expected: Verdict) {
        assert_eq!(rules.judge(standing, at(now)), expected);
    }

    fn start(due: &str, stands_for: u32, is_late: bool) -> Verdict {
        Verdict::Start { due: at(due), stands_for, is_late }
    }

    #[test]
    fn nothing_happens_before_its_time_and_a_run_begins_at_its_time() {
        let nightly = rules("0 2 * * *", HOUR, Overlap::Skip);
        let settled = standing("20 02:00:00");
        check(&nightly, settled, "20 02:00:00", Verdict::Wait(Some(at("21 02:00:00"))));
        check(&nightly, settled, "21 01:59:59.999", Verdict::Wait(Some(at("21 02:00:00"))));
        check(&nightly, settled, "21 02:00:00", start("21 02:00:00", 0, false));
        check(&nightly, settled, "21 02:00:59", start("21 02:00:00", 0, false));
    }

    #[test]
    fn after_a_downtime_one_run_catches_up_for_all_that_were_missed_within_its_window() {
        let nightly = rules("0 2 * * *", 6 * HOUR, Overlap::Skip);
        check(&nightly, standing("18 02:00:00"), "21 07:00:00", start("21 02:00:00", 2, true));
        check(&nightly, standing("18 02:00:00"), "21 08:00:00", start("21 02:00:00", 2, true));
        check(&nightly, standing("18 02:00:00"), "21 08:00:01", Verdict::Missed { due: at("21 02:00:00"), count: 3 });
        check(&nightly, standing("21 02:00:00"), "21 08:00:01", Verdict::Wait(Some(at("22 02:00:00"))));
    }

    #[test]
    fn without_a_window_nothing_is_caught_up_and_a_slow_machine_is_still_in_time() {
        let nightly = rules("0 2 * * *", Duration::ZERO, Overlap::Skip);
        check(&nightly, standing("20 02:00:00"), "21 02:01:00", start("21 02:00:00", 0, false));
        check(&nightly, standing("20 02:00:00"), "21 02:01:01", Verdict::Missed { due: at("21 02:00:00"), count: 1 });
    }

    #[test]
    fn an_overlap_is_left_out_or_waits_once_or_ends_the_run_before() {
        let running = Standing { is_running: true, ..standing("20 02:00:00") };
        let due = at("20 03:00:00");
        let hourly = |overlap| rules("0 * * * *", HOUR, overlap);
        check(&hourly(Overlap::Skip), running, "20 03:00:00", Verdict::Overlapped { due });
        check(&hourly(Overlap::Queue), running, "20 03:00:00", Verdict::Queued { due });
        check(&hourly(Overlap::KillPrevious), running, "20 03:00:00", Verdict::EndPrevious { due });
        check(&hourly(Overlap::Skip), running, "20 02:30:00", Verdict::Wait(Some(due)));
        let queued = Standing { queued: Some(due), ..running };
        check(&hourly(Overlap::Queue), queued, "20 04:00:00", Verdict::Wait(None));
        check(&hourly(Overlap::KillPrevious), queued, "20 04:00:00", Verdict::Wait(None));
    }

    #[test]
    fn what_waited_for_a_run_begins_after_it_once_however_late() {
        let hourly = rules("0 * * * *", Duration::ZERO, Overlap::Queue);
        let waited = Standing { queued: Some(at("20 03:00:00")), ..standing("20 02:00:00") };
        check(&hourly, waited, "20 05:30:00", start("20 05:00:00", 2, false));
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_starts_nothing_again_and_much_counts_anew() {
        let hourly = rules("0 * * * *", HOUR, Overlap::Skip);
        let settled = standing("20 02:00:00");
        check(&hourly, settled, "20 01:59:30", Verdict::Wait(Some(at("20 03:00:00"))));
        check(&hourly, settled, "20 01:00:00", Verdict::Wait(Some(at("20 03:00:00"))));
        check(&hourly, settled, "20 00:59:59", Verdict::SetBack(at("20 00:59:59")));
    }
}
