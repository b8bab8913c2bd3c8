//! Runs: their records are collected, and go out once for each channel when the run is over, whatever happens in between.

use balefire_engine::matcher::Matcher;
use balefire_engine::route::{Preset, Route, Routing};
use balefire_engine::{
    Act, ChannelPolicy, Engine, Input, Job, RUN_ENDED, RUN_STARTED, RunSettings, Settings, Submission,
};
use balefire_model::record::{Routed, RunEnd, RunEnded};
use balefire_model::{Incident, Outcome, Reason, Record, RunKey, RunMark, RunPart, Severity};
use made::{at, incident};
use std::sync::Arc;
use std::time::Duration;

mod made;

const CLOSE_AFTER: i64 = 600;

/// Everything goes to `mail`, which collects, `disk`, which collects with marks, and `chat`, which does not.
fn settings() -> Arc<Settings> {
    let policy = |(name, collects, marks): (&str, bool, bool)| {
        let name = name.to_owned();
        let kind = "webhook".to_owned();
        (name.clone(), ChannelPolicy { name, kind, in_flight: 8, collects, marks, ..ChannelPolicy::default() })
    };
    let channels = [("mail", true, false), ("disk", true, true), ("chat", false, false)].map(policy);
    let route = Route {
        name: "all".to_owned(),
        matchers: vec![Matcher::parse("detected_by = test").expect("a condition")],
        to: channels.iter().map(|(name, _)| name.clone()).collect(),
        ..Route::default()
    };
    let kinds = channels.iter().map(|(name, policy)| (name.clone(), policy.kind.clone())).collect();
    Arc::new(Settings {
        routing: Routing { routes: vec![route], preset: Preset::Custom, channels: kinds, history: None },
        channels: channels.into(),
        digest: "d".to_owned(),
        dedup: balefire_engine::DedupSettings::default(),
        runs: RunSettings { close_after: Duration::from_secs(CLOSE_AFTER.unsigned_abs()) },
        ..Settings::default()
    })
}

struct Bench {
    engine: Engine,
    records: Vec<(i64, Record)>,
    jobs: Vec<Job>,
    number: u32,
}

impl Bench {
    fn new() -> Bench {
        let mut engine = Engine::default();
        let records = engine.resume(at(0), "0", settings()).records;
        let records = records.into_iter().map(|record| (0, record)).collect();
        Bench { engine, records, jobs: Vec::new(), number: 0 }
    }

    fn step(&mut self, seconds: i64, input: Input) {
        let effects = self.engine.step(at(seconds), input);
        self.take(seconds, effects);
    }

    fn take(&mut self, seconds: i64, effects: balefire_engine::Effects) {
        self.records.extend(effects.records.into_iter().map(|record| (seconds, record)));
        for act in effects.acts {
            if let Act::Send(job) = act {
                self.jobs.push(job);
            }
        }
    }

    /// One incident of a run.
    fn send(&mut self, seconds: i64, key: &str, mark: RunMark) {
        self.number += 1;
        let severity = if mark == RunMark::Record { Severity::High } else { Severity::Info };
        let run = RunKey { key: key.to_owned(), version: "1".to_owned(), worker: String::new() };
        let one = Incident { run: Some(RunPart { run, mark }), ..(*incident(self.number, severity)).clone() };
        self.step(seconds, Input::Submit(Submission { incidents: vec![Arc::new(one)], ..Submission::default() }));
    }

    /// The process dies: what is not in the journal is lost. Then it starts again, from a snapshot or from all records.
    fn restart(&mut self, seconds: i64, from_snapshot: bool) {
        let snapshot = self.engine.state().snapshot();
        let mut replayed = Engine::default();
        self.records.iter().for_each(|(seconds, record)| replayed.apply(at(*seconds), record));
        assert_eq!(replayed.state().snapshot().get(), snapshot.get(), "replay is live");
        self.engine = replayed;
        if from_snapshot {
            self.engine = Engine::restore(snapshot.get().as_bytes()).expect("it was written a moment ago");
            self.records.push((seconds, Record::Snapshot(snapshot)));
        }
        let effects = self.engine.resume(at(seconds), "0", settings());
        self.take(seconds, effects);
    }

    fn ended(&self) -> Vec<&RunEnded> {
        let ended = |(_, record): &'_ (i64, Record)| matches!(record, Record::RunEnded(_));
        let records = self.records.iter().filter(|record| ended(record));
        records
            .filter_map(|(_, record)| if let Record::RunEnded(ended) = record { Some(ended) } else { None })
            .collect()
    }

    fn routed(&self) -> impl Iterator<Item = &Routed> {
        self.records
            .iter()
            .filter_map(|(_, record)| if let Record::Routed(routed) = record { Some(routed) } else { None })
    }

    /// The channels that got a delivery for the end of a run, in order.
    fn done(&self) -> Vec<&str> {
        let planned = self.routed().flat_map(|routed| &routed.deliveries);
        planned.filter(|planned| planned.reason == Reason::Run).map(|planned| planned.channel.as_str()).collect()
    }

    fn incident(&self, of: &RunEnded) -> &Incident {
        let accepted = self.records.iter().find_map(|(_, record)| match record {
            Record::Accepted(incident) if incident.id == of.incident => Some(incident),
            _ => None,
        });
        accepted.expect("the incident that tells of the end")
    }
}

#[test]
fn a_record_of_a_run_waits_for_its_end_where_the_channel_collects_and_goes_out_at_once_elsewhere() {
    let mut bench = Bench::new();
    bench.send(1, "a", RunMark::Begin);
    bench.send(2, "a", RunMark::Record);
    let sent: Vec<&str> = bench.jobs.iter().map(|job| job.channel.as_str()).collect();
    assert_eq!(sent, ["chat"], "the mark is no alert, and two channels wait");
    let record = bench.routed().last().expect("it was routed");
    assert_eq!(record.collected, ["mail", "disk"]);
    let mark = bench.routed().next().expect("it was routed");
    assert_eq!((mark.collected.as_slice(), mark.deliveries.len()), (["disk".to_owned()].as_slice(), 0));
    bench.send(3, "a", RunMark::End);
    assert_eq!(bench.done(), ["disk", "mail"]);
    let told = bench.incident(bench.ended()[0]);
    assert_eq!((told.title.as_str(), told.detected_by.as_str()), ("Run a 1: 1 record, 1 finding", RUN_ENDED));
    assert!(told.description.contains("Duration: 00 h 00 m 02 s"), "{}", told.description);
    assert_eq!(told.labels["audit_key"], "a");
}

#[test]
fn an_incident_of_no_run_goes_out_at_once_to_a_channel_that_collects() {
    let mut bench = Bench::new();
    let submission = Submission { incidents: vec![incident(1, Severity::High)], ..Submission::default() };
    bench.step(1, Input::Submit(submission));
    assert_eq!(bench.jobs.len(), 3);
    assert!(bench.routed().all(|routed| routed.collected.is_empty() && routed.run.is_none()));
}

#[test]
fn the_end_of_a_run_is_told_once_however_often_its_mark_comes_and_the_process_dies() {
    for from_snapshot in [false, true] {
        let mut bench = Bench::new();
        bench.send(1, "a", RunMark::Begin);
        bench.restart(2, from_snapshot);
        bench.send(3, "a", RunMark::Record);
        bench.restart(4, from_snapshot);
        bench.send(5, "a", RunMark::End);
        bench.restart(6, from_snapshot);
        bench.send(7, "a", RunMark::End);
        bench.restart(8, from_snapshot);
        bench.step(9 + 2 * CLOSE_AFTER, Input::Tick);
        assert_eq!(bench.ended().len(), 1);
        assert_eq!(bench.done(), ["disk", "mail"]);
        let deliveries: std::collections::BTreeSet<_> =
            bench.jobs.iter().filter(|job| job.reason == Reason::Run).map(|job| job.delivery).collect();
        assert_eq!(deliveries.len(), 2, "a repeated attempt has the same id");
    }
}

#[test]
fn runs_side_by_side_do_not_mix() {
    let mut bench = Bench::new();
    for (second, key) in (1..).zip(["a", "b", "a", "b", "b"]) {
        bench.send(second, key, RunMark::Record);
    }
    bench.send(6, "b", RunMark::End);
    bench.send(7, "a", RunMark::End);
    let told: Vec<(&str, u64)> =
        bench.ended().iter().map(|ended| (ended.id.run.key.as_str(), ended.counts.iter().sum())).collect();
    assert_eq!(told, [("b", 3), ("a", 2)]);
    for ended in bench.ended() {
        let own = bench.routed().filter(|routed| routed.run.as_ref().is_some_and(|step| step.id == ended.id));
        assert!(own.map(|routed| routed.accepted_at).all(|place| (ended.from..=ended.to).contains(&place)));
    }
}

#[test]
fn a_run_that_never_ends_is_closed_with_a_note_after_a_time_that_survives_a_restart() {
    let mut bench = Bench::new();
    bench.send(0, "a", RunMark::Record);
    bench.send(100, "a", RunMark::Record);
    bench.restart(200, true);
    assert_eq!(bench.engine.wakes_at(at(200)), Some(at(100 + CLOSE_AFTER)));
    bench.step(99 + CLOSE_AFTER, Input::Tick);
    assert_eq!(bench.ended().len(), 0);
    bench.step(100 + CLOSE_AFTER, Input::Tick);
    let ended = bench.ended()[0];
    assert_eq!(ended.by, RunEnd::Time);
    assert!(bench.incident(ended).notes[0].contains("its end did not come"), "{:?}", bench.incident(ended).notes);
    assert_eq!(bench.done(), ["disk", "mail"]);
}

#[test]
fn what_comes_after_the_end_is_another_part_and_says_that_it_is_late() {
    let mut bench = Bench::new();
    bench.send(1, "a", RunMark::Record);
    bench.send(2, "a", RunMark::End);
    bench.send(3, "a", RunMark::Record);
    bench.send(4, "a", RunMark::End);
    let ended = bench.ended();
    assert_eq!(ended.iter().map(|ended| ended.part).collect::<Vec<_>>(), [1, 2]);
    assert!(ended[0].to < ended[1].from);
    let late = bench.incident(ended[1]);
    assert!(late.title.starts_with("Run a 1, part 2: 1 record") && late.notes[0].starts_with("late"), "{late:?}");
    let begun = bench
        .records
        .iter()
        .filter(|(_, record)| matches!(record, Record::Accepted(incident) if incident.detected_by == RUN_STARTED));
    assert_eq!(begun.count(), 1, "a run begins once");
}

#[test]
fn a_clock_that_is_set_back_does_not_lengthen_the_wait_for_an_end() {
    let mut bench = Bench::new();
    bench.send(1_000, "a", RunMark::Record);
    bench.step(500, Input::Tick);
    assert_eq!(bench.engine.wakes_at(at(500)), Some(at(500 + CLOSE_AFTER)));
}

#[test]
fn what_a_run_could_not_deliver_stands_in_the_notice_of_its_end() {
    let mut bench = Bench::new();
    bench.send(1, "a", RunMark::Record);
    let job = bench.jobs.last().expect("an attempt to chat").clone();
    let outcome = Outcome::Rejected { cause: balefire_model::Cause::Gone, detail: "404".to_owned() };
    bench.step(2, Input::AttemptEnded { delivery: job.delivery, attempt: job.attempt, outcome });
    bench.send(3, "a", RunMark::End);
    let told = &bench.incident(bench.ended()[0]).description;
    assert!(told.contains("Given up by channel chat meanwhile: 1"), "{told}");
}

#[test]
fn a_history_has_every_record_and_mark_of_a_run_and_what_tells_of_it() {
    let mut with = (*settings()).clone();
    with.routing.history = Some("table".to_owned());
    let table = ChannelPolicy { name: "table".to_owned(), in_flight: 8, ..ChannelPolicy::default() };
    with.channels.insert("table".to_owned(), table);
    let mut bench = Bench::new();
    bench.step(1, Input::Configure(Arc::new(with)));
    for mark in [RunMark::Begin, RunMark::Record, RunMark::End] {
        bench.send(2, "audit", mark);
    }
    let tables: Vec<usize> = bench
        .routed()
        .map(|routed| routed.deliveries.iter().filter(|planned| planned.channel == "table").count())
        .collect();
    assert_eq!(tables, [1; 5], "three of the run, its begin and its end");
}
