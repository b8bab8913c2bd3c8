//! What must be reported is told of in time, until somebody says that it was reported; and what nobody takes care of any more
//! goes on escalating.

use crate::bench::{Bench, channel, delivered, forgetful, settings};
use crate::made::{at, incident};
use balefire_engine::{DFARS_DUE, DFARS_OVERDUE, Input, ReportSettings, Settings, Submission};
use balefire_model::record::{ReportStep, Reporting};
use balefire_model::{Incident, IncidentId, Record, Severity, State};
use std::sync::Arc;

const HOUR: i64 = 3_600;

fn watching() -> Arc<Settings> {
    let settings = settings(vec![channel("hook"), channel("pager")], &[]);
    Arc::new(Settings { reports: Some(ReportSettings::default()), ..(*settings).clone() })
}

fn with_cui(number: u32, severity: Severity) -> Arc<Incident> {
    Arc::new(Incident { cui_involved: true, ..(*incident(number, severity)).clone() })
}

fn submit(bench: &mut Bench, seconds: i64, incident: Arc<Incident>) -> IncidentId {
    let id = incident.id;
    bench.step(seconds, Input::Submit(Submission { incidents: vec![incident], ..Submission::default() }));
    bench.end(seconds, "hook", delivered());
    id
}

fn reported(bench: &mut Bench, seconds: i64, incident: IncidentId) -> Vec<String> {
    let step = ReportStep::Reported { by: "anna".to_owned(), reference: "1".to_owned() };
    bench.step(seconds, Input::Report(Reporting { incident, step }))
}

fn steps(bench: &Bench, incident: IncidentId) -> Vec<&ReportStep> {
    let step = |record: &'_ Record| matches!(record, Record::Reporting(reporting) if reporting.incident == incident);
    let of_it = bench.records.iter().filter(|record| step(record));
    of_it
        .map(|record| match record {
            Record::Reporting(reporting) => &reporting.step,
            _ => unreachable!("others were left out"),
        })
        .collect()
}

#[test]
fn a_report_is_asked_for_a_day_before_its_time_is_over_and_told_when_it_is_overdue() {
    let mut bench = Bench::new(watching());
    let id = submit(&mut bench, 0, with_cui(1, Severity::High));
    assert_eq!(bench.engine.wakes_at(at(1)), Some(at(48 * HOUR)));
    assert_eq!(bench.tick(48 * HOUR - 1), Vec::<String>::new());
    assert_eq!(bench.tick(48 * HOUR), [DFARS_DUE, "tell: pager", "try pager"]);
    let reminder = bench.found(DFARS_DUE);
    assert_eq!(reminder.severity, Severity::High);
    assert_eq!(reminder.labels["incident"], id.to_string());
    assert_eq!(bench.tick(72 * HOUR - 1), Vec::<String>::new());
    assert_eq!(bench.tick(72 * HOUR)[..2], [DFARS_OVERDUE, "tell: pager"]);
    assert_eq!(bench.found(DFARS_OVERDUE).severity, Severity::Critical);
    assert!(bench.found(DFARS_OVERDUE).title.contains("incident 1"));
    assert_eq!(bench.tick(720 * HOUR), Vec::<String>::new(), "it is told once");
    assert_eq!(steps(&bench, id).len(), 3);
}

#[test]
fn who_reports_in_time_hears_nothing_and_who_reports_late_ends_what_was_told() {
    let mut bench = Bench::new(watching());
    let first = submit(&mut bench, 0, with_cui(1, Severity::Critical));
    reported(&mut bench, HOUR, first);
    assert_eq!(bench.tick(100 * HOUR), Vec::<String>::new());
    let second = submit(&mut bench, 100 * HOUR, with_cui(2, Severity::High));
    bench.tick(148 * HOUR);
    bench.end(148 * HOUR, "pager", delivered());
    bench.tick(172 * HOUR);
    bench.end(172 * HOUR, "pager", delivered());
    let told = [bench.found(DFARS_DUE).id, bench.found(DFARS_OVERDUE).id];
    let words = reported(&mut bench, 173 * HOUR, second);
    assert_eq!(words.iter().filter(|word| *word == "plan resolved: pager").count(), 2, "{words:?}");
    for incident in told {
        let is_over = |record: &Record| matches!(record, Record::StateChanged(change) if change.incident == incident && change.state == State::Resolved);
        assert!(bench.records.iter().any(is_over));
    }
}

#[test]
fn only_controlled_information_in_high_and_critical_incidents_starts_the_clock() {
    let mut bench = Bench::new(watching());
    submit(&mut bench, 0, with_cui(1, Severity::Medium));
    submit(&mut bench, 0, incident(2, Severity::Critical));
    assert_eq!(bench.tick(100 * HOUR), Vec::<String>::new());
    let test_of = Some("hook".to_owned());
    let incidents = vec![with_cui(3, Severity::Critical)];
    bench.step(101 * HOUR, Input::Submit(Submission { incidents, test_of, ..Submission::default() }));
    bench.end(101 * HOUR, "hook", delivered());
    assert_eq!(bench.tick(200 * HOUR), Vec::<String>::new(), "a test is no incident");
}

#[test]
fn without_the_setting_nothing_is_told_and_with_it_again_what_was_missed_is() {
    let mut bench = Bench::new(watching());
    submit(&mut bench, 0, with_cui(1, Severity::High));
    let silent = settings(vec![channel("hook"), channel("pager")], &[]);
    bench.step(HOUR, Input::Configure(silent));
    assert_eq!(bench.tick(100 * HOUR), Vec::<String>::new());
    assert_eq!(bench.engine.wakes_at(at(100 * HOUR)), None);
    let words = bench.step(101 * HOUR, Input::Configure(watching()));
    assert_eq!(words[..2], [DFARS_OVERDUE, "tell: pager"], "the reminder before it has no meaning any more");
}

#[test]
fn the_clock_runs_on_over_a_restart_and_is_no_longer_when_it_is_set_back() {
    let mut bench = Bench::new(watching());
    submit(&mut bench, 1_000 * HOUR, with_cui(1, Severity::High));
    bench.resume(1_001 * HOUR, watching());
    // Set back by a thousand hours: one of the seventy-two has gone by.
    assert_eq!(bench.tick(HOUR), Vec::<String>::new());
    assert_eq!(bench.tick(48 * HOUR - 1), Vec::<String>::new());
    assert_eq!(bench.tick(48 * HOUR)[0], DFARS_DUE);
    assert_eq!(bench.tick(72 * HOUR)[0], DFARS_OVERDUE);
}

#[test]
fn a_stop_over_the_whole_time_tells_at_the_start() {
    let mut bench = Bench::new(watching());
    submit(&mut bench, 0, with_cui(1, Severity::High));
    let words = bench.resume(80 * HOUR, watching());
    assert_eq!(words[0], DFARS_OVERDUE, "{words:?}");
    assert!(!words.contains(&DFARS_DUE.to_owned()));
}

#[test]
fn what_nobody_takes_care_of_any_more_escalates_as_if_nobody_had() {
    let steps = [(600, "pager"), (1_200, "pager")];
    let mut bench = Bench::new(settings(vec![channel("hook"), forgetful("pager")], &steps));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", delivered());
    bench.change(100, 1, State::Acked);
    assert_eq!(bench.tick(700), Vec::<String>::new());
    bench.change(800, 1, State::Open);
    assert_eq!(bench.tick(1_199), Vec::<String>::new(), "what was due meanwhile is not made up for");
    assert_eq!(bench.tick(1_200), ["plan escalated: pager", "try pager"]);
}
