//! A source that sends by a timetable. An event from a little before a time on counts for that time: too late it is told as
//! late, and much too late as missed. The times are the wall clock's, the deadlines behind them are not.

use super::{Pulse, span};
use crate::look::{Failure, Look, Moment, Sight};
use crate::watcher::{Around, Heard, Plan, Takes, Watcher};
use balefire_model::Severity;
use balefire_model::calendar::Timetable;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// What is expected.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) id: String,
    pub(super) timetable: Timetable,
    pub(super) start_grace: Duration,
    pub(super) run_max: Duration,
    pub(super) early_tolerance: Duration,
    pub(super) severity: Severity,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What cannot be read is as if it were not there: then the first look begins anew.
        let kept = kept.and_then(|kept| Kept::deserialize(kept).ok());
        Box::new(Slots { settings: self.clone(), kept, due: None, previous: None, late: None })
    }

    fn takes(&self) -> Takes {
        Takes::Runs
    }
}

/// What a restart must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Times before this one are nobody's business.
    from: Timestamp,
    /// The last time that was kept.
    done: Option<Timestamp>,
}

/// The last time that has come.
#[derive(Clone, Copy, Debug)]
struct Due {
    time: Timestamp,
    /// When it came, on the clock that nobody sets.
    came: Moment,
    next: Timestamp,
}

struct Slots {
    settings: Settings,
    kept: Option<Kept>,
    due: Option<Due>,
    previous: Option<Moment>,
    /// The run that was told as late and was not heard since.
    late: Option<Failure>,
}

impl Watcher for Slots {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        let pulse = around.pulse(&self.settings.id).unwrap_or_default();
        self.judge(now, around.source(&self.settings.id), &pulse)
    }

    fn memory(&self) -> Option<Value> {
        self.kept.map(|kept| serde_json::to_value(kept).expect("two times are JSON"))
    }
}

impl Slots {
    fn judge(&mut self, now: Moment, heard: Option<Heard>, pulse: &Pulse) -> Look {
        let told = heard.map(|heard| heard.last.wall);
        let look = self.timeliness(now, told.max(pulse.last.map(|last| last.wall)));
        match &look.sight {
            Sight::Failing(late) => self.late = late.first().cloned(),
            Sight::Ok { .. } => self.late = None,
            Sight::Unknown { .. } | Sight::Blind { .. } => {}
        }
        let mut failures = self.of_runs(now, pulse);
        if failures.is_empty() {
            return match (look.sight, pulse.began, pulse.took) {
                (Sight::Ok { proof }, Some(began), _) => Look::ok(format!("{proof}; one runs since {:.0}", began.wall)),
                (Sight::Ok { proof }, None, Some(took)) => Look::ok(format!("{proof}; it took {}", span(took))),
                (sight, ..) => sight.into(),
            };
        }
        failures.extend(self.late.clone());
        Look::of(failures, "")
    }

    /// What the job itself tells of its runs.
    fn of_runs(&self, now: Moment, pulse: &Pulse) -> Vec<Failure> {
        let Settings { id, run_max, severity, .. } = &self.settings;
        let mut failures = Vec::new();
        if let Some(began) = pulse.began.filter(|began| now.since(*began) > *run_max) {
            let summary = format!(
                "source {id}: the run that began at {:.0} has not ended after {} (limit {})",
                began.wall,
                span(now.since(began)),
                span(*run_max)
            );
            let cure = format!("see what {id} is doing; its end, its failure or its next begin ends this");
            let failure = Failure::new("source.overrun", *severity, summary).cured_by(cure);
            failures.push(failure.since(began.wall).allowed_for(*run_max));
        }
        if let Some((at, words)) = &pulse.failed {
            let words = if words.is_empty() { "it gave no reason" } else { words };
            let summary = format!("source {id}: the run of {:.0} failed: {words}", at.wall);
            let failure = Failure::new("source.failed", *severity, summary).caused_by(words).since(at.wall);
            failures.push(failure.cured_by(format!("see the log of {id}; a run that ends well ends this")));
        }
        failures.into_iter().map(|failure| failure.labelled("source_name", id.clone())).collect()
    }

    /// Whether the runs come when they are due.
    fn timeliness(&mut self, now: Moment, heard: Option<Timestamp>) -> Look {
        let previous = self.previous.replace(now);
        let kept = self.kept.get_or_insert(Kept { from: now.wall, done: None });
        let Some(due) = newest(&self.settings.timetable, self.due, previous, now) else {
            return Look::unknown("the timetable has no time that has come");
        };
        self.due = Some(due);
        let early = SignedDuration::try_from(self.settings.early_tolerance).unwrap_or(SignedDuration::MAX);
        let from = due.time.checked_sub(early).unwrap_or(due.time);
        if heard.is_some_and(|heard| heard >= from) {
            kept.done = kept.done.max(Some(due.time));
        }
        if kept.done >= Some(due.time) {
            let last = heard.map_or(String::new(), |heard| format!(", with the event of {heard:.0}"));
            return Look::ok(format!("the run of {:.0} was heard{last}", due.time));
        }
        if due.time < kept.from {
            return Look::unknown(format!("waits for the run of {:.0}", due.next));
        }
        self.lateness(now, due)
    }

    fn lateness(&self, now: Moment, due: Due) -> Look {
        let Settings { id, start_grace, run_max, severity, timetable, .. } = &self.settings;
        let late = now.since(due.came);
        if late <= *start_grace {
            return Look::unknown(format!("waits for the run of {:.0}, at most {}", due.time, span(*start_grace)));
        }
        let is_missed = late > start_grace.saturating_add(*run_max);
        let (severity, word) = match is_missed {
            true => (*severity, "missed"),
            false => (Severity::Medium.min(*severity), "late"),
        };
        let summary = format!("source {id}: the run of {:.0} is {word}, by {} so far", due.time, span(late));
        let failure = Failure::new("source.late", severity, summary)
            .caused_by(format!("no event has come for {:.0}; expected: {}", due.time, timetable.text()))
            .cured_by(format!("see whether {id} was started, and what it says; its next run ends this"))
            .since(due.time)
            .allowed_for(*start_grace)
            .labelled("source_name", id.clone())
            .labelled("missed", is_missed.to_string());
        Look::of(vec![failure], "")
    }
}

/// The last time that has come, and when. One cannot have come before the look at which it had not: a clock that is set
/// forward takes nothing from the grace.
fn newest(timetable: &Timetable, known: Option<Due>, previous: Option<Moment>, now: Moment) -> Option<Due> {
    if let Some(due) = known.filter(|due| due.time <= now.wall && now.wall < due.next) {
        return Some(due);
    }
    let time = timetable.latest(now.wall)?;
    let next = timetable.next(now.wall).unwrap_or(Timestamp::MAX);
    if let Some(due) = known.filter(|due| due.time == time) {
        return Some(Due { next, ..due });
    }
    let ago = now.wall.duration_since(time).max(SignedDuration::ZERO).unsigned_abs();
    let boot = now.boot.saturating_sub(ago).max(previous.map_or(now.boot, |previous| previous.boot));
    Some(Due { time, came: Moment { boot, wall: time }, next })
}

#[cfg(test)]
mod tests {
    use super::super::Sign;
    use super::*;
    use jiff::tz::TimeZone;

    const DAY: i64 = 86_400;

    fn settings() -> Settings {
        Settings {
            id: "backup".to_owned(),
            timetable: Timetable::cron("0 2 * * *", TimeZone::UTC).unwrap(),
            start_grace: Duration::from_secs(600),
            run_max: Duration::from_secs(4 * 3600),
            early_tolerance: Duration::from_secs(300),
            severity: Severity::High,
        }
    }

    /// So many seconds after 02:00 of the first day.
    fn at(seconds: i64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 / DAY * DAY + 2 * 3600 + seconds).unwrap();
        Moment { boot: Duration::from_secs(u64::try_from(10 * DAY + seconds).unwrap()), wall }
    }

    fn slots(kept: Option<&Value>) -> Slots {
        let kept = kept.map(|kept| Kept::deserialize(kept).unwrap());
        Slots { settings: settings(), kept, due: None, previous: None, late: None }
    }

    fn word(look: &Look) -> (&'static str, Option<Severity>) {
        match &look.sight {
            Sight::Ok { .. } => ("ok", None),
            Sight::Failing(failures) => ("failing", Some(failures[0].severity)),
            Sight::Unknown { .. } => ("unknown", None),
            Sight::Blind { .. } => ("blind", None),
        }
    }

    fn judge(slots: &mut Slots, now: i64, last: Option<i64>) -> (&'static str, Option<Severity>) {
        word(&slots.judge(at(now), last.map(|last| Heard { last: at(last), count: 1 }), &Pulse::default()))
    }

    #[test]
    fn a_run_is_late_and_then_missed_until_its_event_comes() {
        let mut slots = slots(None);
        assert_eq!(judge(&mut slots, -3600, None).0, "unknown", "yesterday's run is nobody's business");
        assert_eq!(judge(&mut slots, -1, None).0, "unknown");
        assert_eq!(judge(&mut slots, 0, None).0, "unknown");
        assert_eq!(judge(&mut slots, 600, None).0, "unknown");
        assert_eq!(judge(&mut slots, 601, None), ("failing", Some(Severity::Medium)));
        assert_eq!(judge(&mut slots, 601 + 4 * 3600, None), ("failing", Some(Severity::High)));
        assert_eq!(judge(&mut slots, 30_000, Some(29_999)).0, "ok");
        assert_eq!(judge(&mut slots, DAY - 1, Some(29_999)).0, "ok");
        assert_eq!(judge(&mut slots, DAY + 601, Some(29_999)).0, "failing");
    }

    #[test]
    fn an_event_that_is_a_little_early_counts_and_a_much_earlier_one_does_not() {
        let mut slots = slots(None);
        judge(&mut slots, -3600, None);
        judge(&mut slots, -300, Some(-301));
        assert_eq!(judge(&mut slots, 601, Some(-301)).0, "failing");
        assert_eq!(judge(&mut slots, 602, Some(-300)).0, "ok");
    }

    #[test]
    fn a_clock_that_is_set_forward_over_a_time_leaves_its_grace() {
        let mut slots = slots(None);
        judge(&mut slots, -3600, None);
        let forward = |boot: i64| Moment { boot: at(boot).boot, wall: at(boot + 5 * 3600).wall };
        assert_eq!(word(&slots.judge(forward(-3599), None, &Pulse::default())).0, "unknown");
        assert_eq!(word(&slots.judge(forward(-3600 + 600), None, &Pulse::default())).0, "unknown");
        assert_eq!(word(&slots.judge(forward(-3600 + 602), None, &Pulse::default())).0, "failing");
    }

    #[test]
    fn a_restart_knows_whether_the_last_run_was_heard() {
        let mut first = slots(None);
        judge(&mut first, -10, None);
        judge(&mut first, 5, Some(5));
        assert_eq!(judge(&mut slots(first.memory().as_ref()), 4000, None).0, "ok");
        let mut second = slots(first.memory().as_ref());
        assert_eq!(judge(&mut second, DAY + 1000, None).0, "unknown", "the grace begins with the first look");
        assert_eq!(judge(&mut second, DAY + 1601, None).0, "failing");
    }

    fn ids(look: &Look) -> Vec<&str> {
        match &look.sight {
            Sight::Failing(failures) => failures.iter().map(|failure| failure.id.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_run_that_does_not_end_is_told_after_its_time_and_one_that_fails_until_one_ends_well() {
        let (mut slots, mut pulse) = (slots(None), Pulse::default());
        slots.judge(at(-3600), None, &pulse);
        pulse.take(at(60), Sign::Began);
        let begun = slots.judge(at(700), None, &pulse);
        assert_eq!(word(&begun).0, "ok", "its begin is in time");
        assert_eq!(word(&slots.judge(at(60 + 4 * 3600), None, &pulse)).0, "ok");
        assert_eq!(ids(&slots.judge(at(61 + 4 * 3600), None, &pulse)), ["source.overrun"]);
        pulse.take(at(20_000), Sign::Failed("exit code 3".to_owned()));
        assert_eq!(ids(&slots.judge(at(20_001), None, &pulse)), ["source.failed"]);
        pulse.take(at(21_000), Sign::Began);
        assert_eq!(ids(&slots.judge(at(21_001), None, &pulse)), ["source.failed"], "a begin proves nothing");
        pulse.take(at(21_060), Sign::Alive);
        let look = slots.judge(at(21_061), None, &pulse);
        assert!(matches!(&look.sight, Sight::Ok { proof } if proof.ends_with("it took 1 min 0 s")), "{look:?}");
    }

    #[test]
    fn a_run_that_was_late_stays_so_beside_one_that_failed_until_one_is_heard() {
        let (mut slots, mut pulse) = (slots(None), Pulse::default());
        slots.judge(at(-3600), None, &pulse);
        pulse.take(at(60), Sign::Failed(String::new()));
        assert_eq!(ids(&slots.judge(at(61), None, &pulse)), ["source.failed"]);
        assert_eq!(ids(&slots.judge(at(DAY + 601), None, &pulse)), ["source.failed", "source.late"]);
        assert_eq!(ids(&slots.judge(at(2 * DAY + 1), None, &pulse)), ["source.failed", "source.late"]);
        pulse.take(at(2 * DAY + 10), Sign::Alive);
        assert_eq!(word(&slots.judge(at(2 * DAY + 11), None, &pulse)).0, "ok");
    }

    #[test]
    fn what_a_job_told_before_a_restart_counts_after_it() {
        let (mut first, mut pulse) = (slots(None), Pulse::default());
        judge(&mut first, -3600, None);
        pulse.take(at(30), Sign::Alive);
        let read = Pulse::read(at(700), &pulse.write()).unwrap();
        assert_eq!(word(&slots(first.memory().as_ref()).judge(at(700), None, &read)).0, "ok");
    }
}
