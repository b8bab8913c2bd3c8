//! Repeats: what is one, who hears of it and when, and what ends it.

use crate::bench::{Bench, channel, delivered, forgetful, id, rejected, settings};
use crate::made::{at, incident};
use balefire_engine::{ChannelPolicy, DedupSettings, Input, Settings, Submission};
use balefire_model::incident::Extra;
use balefire_model::record::Routed;
use balefire_model::{Cause, Fingerprint, Incident, Reason, Record, Severity, State};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: i64 = 60;

fn archive() -> ChannelPolicy {
    ChannelPolicy { repeats: true, ..forgetful("archive") }
}

fn with(channels: Vec<ChannelPolicy>, dedup: DedupSettings) -> Arc<Settings> {
    Arc::new(Settings { dedup, ..(*settings(channels, &[(3600 * 9, "pager")])).clone() })
}

fn usual() -> Arc<Settings> {
    with(vec![channel("hook"), channel("pager")], DedupSettings::default())
}

/// An incident with the fingerprint `f`.
fn same(number: u32, severity: Severity) -> Incident {
    Incident { fingerprint: Fingerprint("f".to_owned()), ..(*incident(number, severity)).clone() }
}

fn over(number: u32, word: &str) -> Incident {
    let status = RawValue::from_string(format!("\"{word}\"")).unwrap();
    Incident { extra: Extra(vec![("status".to_owned(), status)]), ..same(number, Severity::Info) }
}

fn submit(bench: &mut Bench, seconds: i64, incident: Incident) -> Vec<String> {
    let submission = Submission { incidents: vec![Arc::new(incident)], ..Submission::default() };
    bench.step(seconds, Input::Submit(submission))
}

fn routed(bench: &Bench) -> &Routed {
    let routed = bench.records.iter().rev().find_map(|record| match record {
        Record::Routed(routed) => Some(routed),
        _ => None,
    });
    routed.unwrap()
}

/// One that was told at 0, and what the second of its kind brings.
fn second_at(seconds: i64, severity: Severity) -> Vec<String> {
    let mut bench = Bench::new(usual());
    submit(&mut bench, 0, same(1, Severity::Medium));
    bench.end(1, "hook", delivered());
    submit(&mut bench, seconds, same(2, severity))
}

#[test]
fn a_repeat_is_told_again_when_the_last_message_is_old_or_it_is_worse() {
    let again = ["plan repeated: hook", "try hook"];
    assert!(second_at(59 * MINUTE, Severity::Medium).is_empty());
    assert_eq!(second_at(1, Severity::High), again);
    assert!(second_at(1, Severity::Low).is_empty());
    assert_eq!(second_at(60 * MINUTE, Severity::Medium), ["try hook"], "an hour after it was seen it is a new one");

    let mut bench = Bench::new(usual());
    submit(&mut bench, 0, same(1, Severity::Medium));
    bench.end(1, "hook", delivered());
    assert!(submit(&mut bench, 30 * MINUTE, same(2, Severity::Medium)).is_empty());
    assert_eq!(submit(&mut bench, 60 * MINUTE, same(3, Severity::Low)), again);
    let job = bench.last_job();
    assert_eq!((job.incident, job.severity, job.reason), (id(1), Severity::Low, Reason::Repeated));
    assert_eq!(job.repeats.as_ref().map(|repeats| (repeats.count, repeats.last)), Some((3, id(3))));
    bench.end(3601, "hook", delivered());
    assert_eq!(
        submit(&mut bench, 61 * MINUTE, same(4, Severity::Medium)),
        again,
        "it is worse than what was last told"
    );
}

#[test]
fn a_repeat_that_newly_involves_controlled_information_is_told_at_once_and_the_next_is_not() {
    let cui = |number, severity| Incident { cui_involved: true, ..same(number, severity) };
    let again = ["plan repeated: hook", "try hook"];
    let mut bench = Bench::new(usual());
    submit(&mut bench, 0, same(1, Severity::High));
    bench.end(1, "hook", delivered());
    assert!(submit(&mut bench, 2, same(2, Severity::High)).is_empty());
    assert_eq!(submit(&mut bench, 3, cui(3, Severity::High)), again);
    bench.end(4, "hook", delivered());
    assert!(submit(&mut bench, 5, cui(4, Severity::High)).is_empty(), "it was told that it does");
    bench.resume(6, usual());
    assert!(submit(&mut bench, 7, cui(5, Severity::High)).is_empty(), "a restart forgets nothing");
    bench.change(8, 1, State::Resolved);
    bench.end(9, "hook", delivered());
    assert_eq!(submit(&mut bench, 10, cui(6, Severity::High)), ["try hook"], "a new one");
    bench.end(11, "hook", delivered());
    assert!(submit(&mut bench, 12, cui(7, Severity::High)).is_empty(), "the first message said so");
    assert!(submit(&mut bench, 13, same(8, Severity::High)).is_empty());
}

#[test]
fn controlled_information_that_nobody_was_told_of_is_still_news() {
    let mut quiet = (*usual()).clone();
    quiet.routing.routes[0].to.clear();
    let mut bench = Bench::new(Arc::new(quiet));
    let cui = |number, severity| Incident { cui_involved: true, ..same(number, severity) };
    submit(&mut bench, 0, cui(1, Severity::High));
    bench.step(1, Input::Configure(usual()));
    assert_eq!(submit(&mut bench, 2, same(2, Severity::High)), ["plan repeated: hook", "try hook"]);
    bench.end(3, "hook", delivered());
    assert_eq!(submit(&mut bench, 4, cui(3, Severity::Low)), ["plan repeated: hook", "try hook"]);
}

#[test]
fn a_route_may_say_otherwise_of_repeats_of_what_it_takes() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let routed_with = |general: Option<Duration>, own: DedupSettings| {
        let general = DedupSettings { window: general, ..DedupSettings::default() };
        let mut settings = (*with(vec![channel("hook"), channel("pager")], general)).clone();
        settings.routing.routes[0].dedup = Some(own);
        Bench::new(Arc::new(settings))
    };
    let usual = DedupSettings::default();
    // It looks for none, though all others do.
    let mut bench = routed_with(usual.window, DedupSettings { window: None, ..usual });
    for number in 1..4 {
        assert_eq!(submit(&mut bench, 0, same(number, Severity::High)), ["try hook"]);
        bench.end(0, "hook", delivered());
    }
    // It looks for some, though no other does; and tells of them as often as it says.
    let own = DedupSettings { window: Some(minutes(10)), realert_after: minutes(5), ..usual };
    let mut bench = routed_with(None, own);
    submit(&mut bench, 0, same(1, Severity::High));
    bench.end(1, "hook", delivered());
    assert!(submit(&mut bench, 4 * MINUTE, same(2, Severity::High)).is_empty());
    assert_eq!(submit(&mut bench, 5 * MINUTE, same(3, Severity::High)), ["plan repeated: hook", "try hook"]);
    bench.end(5 * MINUTE, "hook", delivered());
    assert_eq!(submit(&mut bench, 15 * MINUTE, same(4, Severity::High)), ["try hook"], "long after it was seen");
}

#[test]
fn a_repeat_that_nobody_hears_of_says_so() {
    let mut bench = Bench::new(usual());
    submit(&mut bench, 0, same(1, Severity::High));
    submit(&mut bench, 60, same(2, Severity::High));
    let says = routed(&bench).history_only.clone().unwrap();
    assert_eq!(
        says,
        format!(
            "repeat 1 of incident {}, first seen {:.0}; next message not before {:.0}, unless it is worse than high",
            id(1),
            at(0),
            at(3600)
        )
    );
}

#[test]
fn what_is_not_the_same_is_told() {
    let mut bench = Bench::new(usual());
    let own = |number, own: &str| Incident { incident_id: Some(own.to_owned()), ..same(number, Severity::High) };
    assert_eq!(submit(&mut bench, 0, own(1, "a")), ["try hook"]);
    bench.end(0, "hook", delivered());
    assert_eq!(submit(&mut bench, 1, own(2, "b")), ["try hook"], "its sender calls it another one");
    bench.end(1, "hook", delivered());
    assert!(submit(&mut bench, 2, own(3, "a")).is_empty());
    assert!(submit(&mut bench, 3, same(4, Severity::High)).is_empty(), "without a name of its own it may be either");
    assert_eq!(bench.submit(4, 5, Severity::High), ["try hook"], "another fingerprint");
    bench.end(4, "hook", delivered());
    let ours = Incident { detected_by: "balefire.schedule_failed".to_owned(), ..same(6, Severity::High) };
    assert!(submit(&mut bench, 5, ours).contains(&"try pager".to_owned()));
    let off = DedupSettings { window: None, ..DedupSettings::default() };
    let mut bench = Bench::new(with(vec![channel("hook"), channel("pager")], off));
    for number in 1..4 {
        assert_eq!(submit(&mut bench, 0, same(number, Severity::High)), ["try hook"]);
        bench.end(0, "hook", delivered());
    }
}

#[test]
fn a_resolved_incident_is_not_repeated_and_its_end_follows_every_message_about_it() {
    let mut bench = Bench::new(usual());
    submit(&mut bench, 0, same(1, Severity::Medium));
    bench.end(1, "hook", delivered());
    assert_eq!(submit(&mut bench, 2, same(2, Severity::High)), ["plan repeated: hook", "try hook"]);
    assert_eq!(bench.change(3, 1, State::Resolved), ["plan resolved: hook"]);
    assert_eq!(bench.end(4, "hook", delivered()), ["try hook"]);
    assert_eq!((bench.last_job().incident, bench.last_job().reason), (id(1), Reason::Resolved));
    bench.end(5, "hook", delivered());
    assert_eq!(submit(&mut bench, 6, same(3, Severity::Low)), ["try hook"], "a new one");
}

#[test]
fn a_message_that_it_came_again_is_called_off_when_it_is_over() {
    for hook in [channel("hook"), forgetful("hook")] {
        let mut bench = Bench::new(with(vec![hook, channel("pager")], DedupSettings::default()));
        submit(&mut bench, 0, same(1, Severity::Medium));
        bench.end(1, "hook", delivered());
        submit(&mut bench, 2, same(2, Severity::High));
        bench.end(3, "hook", rejected(Cause::Network));
        let words = bench.change(4, 1, State::Resolved);
        assert_eq!(words[0], "no hook: resolved-first", "{words:?}");
    }
}

#[test]
fn an_archive_gets_each_of_them_and_no_message_about_the_first() {
    let to_both = |mut settings: Settings| {
        settings.routing.routes[0].to.push("archive".to_owned());
        Arc::new(settings)
    };
    let settings = with(vec![channel("hook"), channel("pager"), archive()], DedupSettings::default());
    let mut bench = Bench::new(to_both((*settings).clone()));
    assert_eq!(submit(&mut bench, 0, same(1, Severity::Medium)), ["try archive", "try hook"]);
    bench.end(1, "hook", delivered());
    bench.end(1, "archive", delivered());
    assert_eq!(submit(&mut bench, 2, same(2, Severity::Medium)), ["try archive"]);
    assert_eq!((bench.last_job().incident, bench.last_job().reason), (id(2), Reason::Opened));
    assert!(routed(&bench).history_only.is_none());
    assert!(routed(&bench).sighting.as_ref().unwrap().because.starts_with("repeat 1 of incident"));
    bench.end(3, "archive", delivered());
    assert_eq!(submit(&mut bench, 4, same(3, Severity::High)), ["plan repeated: hook", "try archive", "try hook"]);
    bench.end(5, "archive", delivered());
    assert_eq!(submit(&mut bench, 6, over(4, "resolved"))[0], "plan resolved: hook");
}

#[test]
fn an_event_that_says_so_ends_what_is_open_and_tells_nobody_else() {
    for word in ["resolved", "RESOLVED", " Resolved "] {
        let mut bench = Bench::new(usual());
        submit(&mut bench, 0, same(1, Severity::High));
        bench.end(1, "hook", delivered());
        assert_eq!(submit(&mut bench, 2, over(2, word)), ["plan resolved: hook", "try hook"]);
        let says = routed(&bench).history_only.clone();
        assert_eq!(says, Some(format!("it says that incident {} is over", id(1))));
        assert!(bench.because().contains("resolved by test"));
        bench.end(3, "hook", delivered());
        assert!(submit(&mut bench, 4, over(3, word)).is_empty());
        let says = routed(&bench).history_only.clone().unwrap();
        assert!(says.contains("nothing with its fingerprint is open"), "{says}");
    }
    for word in ["firing", "ok", "closed"] {
        let mut bench = Bench::new(usual());
        assert_eq!(submit(&mut bench, 0, over(1, word)), ["try hook"], "any other word is not an end");
    }
}

#[test]
fn what_is_not_seen_for_long_is_over() {
    let day = DedupSettings { resolve_after: Some(Duration::from_secs(86_400)), ..DedupSettings::default() };
    let mut bench = Bench::new(with(vec![channel("hook"), channel("pager")], day));
    submit(&mut bench, 0, same(1, Severity::High));
    bench.end(1, "hook", delivered());
    bench.change(2, 1, State::Acked);
    submit(&mut bench, 1000, same(2, Severity::High));
    assert_eq!(bench.engine.wakes_at(at(1001)), Some(at(87_400)));
    assert!(bench.tick(87_399).is_empty());
    assert_eq!(bench.tick(87_400), ["plan resolved: hook", "try hook"]);
    assert_eq!(bench.because(), "resolved by balefire");
}

#[test]
fn a_worse_repeat_escalates_as_it_would_by_itself() {
    let settings = settings(vec![channel("hook"), channel("pager")], &[(60, "pager")]);
    let mut bench = Bench::new(settings);
    submit(&mut bench, 0, same(1, Severity::Low));
    bench.end(1, "hook", delivered());
    bench.change(2, 1, State::Acked);
    submit(&mut bench, 100, same(2, Severity::Low));
    assert!(bench.tick(200).is_empty(), "what is no worse is taken care of");
    assert_eq!(submit(&mut bench, 300, same(3, Severity::Critical)), ["plan repeated: hook", "try hook"]);
    assert_eq!(bench.tick(360), ["plan escalated: pager", "try pager"]);
    assert_eq!((bench.last_job().incident, bench.last_job().severity), (id(1), Severity::Critical));
}

#[test]
fn a_restart_and_a_clock_that_is_set_back_forget_nothing() {
    let mut bench = Bench::new(usual());
    submit(&mut bench, 10_000, same(1, Severity::High));
    bench.end(10_001, "hook", delivered());
    bench.resume(10_100, usual());
    assert!(submit(&mut bench, 10_200, same(2, Severity::High)).is_empty());
    assert!(submit(&mut bench, 1_000, same(3, Severity::High)).is_empty(), "set back within the window");
    assert_eq!(submit(&mut bench, 1_000 + 3_500, same(4, Severity::High)), ["plan repeated: hook", "try hook"]);
    let shorter = DedupSettings { window: Some(Duration::from_secs(60)), ..DedupSettings::default() };
    bench.end(4_501, "hook", delivered());
    bench.step(4_502, Input::Configure(with(vec![channel("hook"), channel("pager")], shorter)));
    assert_eq!(submit(&mut bench, 4_600, same(5, Severity::High)), ["try hook"], "a reload with a shorter window");
}

#[test]
fn what_was_told_to_nobody_is_told_as_soon_as_somebody_is_to_hear_of_it() {
    let quiet = |is_quiet: bool| {
        let mut settings = (*usual()).clone();
        if is_quiet {
            settings.routing.routes[0].to.clear();
        }
        Arc::new(settings)
    };
    let mut bench = Bench::new(quiet(true));
    assert!(submit(&mut bench, 0, same(1, Severity::High)).is_empty());
    assert!(submit(&mut bench, 1, same(2, Severity::High)).is_empty());
    bench.step(2, Input::Configure(quiet(false)));
    assert_eq!(submit(&mut bench, 3, same(3, Severity::Low)), ["plan repeated: hook", "try hook"]);
}

/// What a watcher of audit logging finds, or says to be over.
fn watched(incident: Incident) -> Incident {
    Incident { source: "balefire".to_owned(), detected_by: "watch.file.missing".to_owned(), ..incident }
}

#[test]
fn what_a_watcher_finds_is_told_again_when_it_is_worse_and_ends_with_its_own_word() {
    let mut bench = Bench::new(usual());
    submit(&mut bench, 0, watched(same(1, Severity::Medium)));
    bench.end(1, "pager", delivered());
    let worse = submit(&mut bench, MINUTE, watched(same(2, Severity::High)));
    assert_eq!(worse, ["watch.file.missing", "tell:", "plan repeated: pager", "try pager"]);
    bench.end(MINUTE + 1, "pager", delivered());
    submit(&mut bench, 2 * MINUTE, watched(over(3, "resolved")));
    let resolved = bench.records.iter().any(|record| match record {
        Record::StateChanged(changed) => changed.incident == id(1) && changed.state == State::Resolved,
        _ => false,
    });
    assert!(resolved, "{:?}", bench.records);
}

#[test]
fn no_sender_hides_or_ends_what_a_watcher_finds() {
    let mut bench = Bench::new(usual());
    submit(&mut bench, 0, same(1, Severity::Critical));
    bench.end(1, "hook", delivered());
    let told = submit(&mut bench, MINUTE, watched(same(2, Severity::Medium)));
    assert_eq!(told, ["watch.file.missing", "tell: pager", "try pager"], "it is no repeat");
    submit(&mut bench, 2 * MINUTE, over(3, "resolved"));
    let ended = bench.records.iter().any(|record| match record {
        Record::StateChanged(changed) => changed.incident == id(2),
        _ => false,
    });
    assert!(!ended, "{:?}", bench.records);
}
