//! Acknowledgements: channels that keep a note of them hear of ours, and what their far side notes is taken over.

use crate::bench::{Bench, backed, channel, delivered, id, rejected, settings};
use crate::made::at;
use balefire_engine::{
    AckSeen, AcksSeen, Act, Answer, ChannelPolicy, DeadLetterFilter, DeadLetterOrder, FallbackOn, Input, Unacknowledged,
};
use balefire_model::record::StateChanged;
use balefire_model::{Acknowledgement, Cause, Outcome, Position, Reason, Record, Severity, State};
use std::sync::Arc;

/// One that keeps acknowledgements.
fn table(name: &str) -> ChannelPolicy {
    ChannelPolicy { hears_acks: true, ..channel(name) }
}

/// A table that was told of incident 1.
fn told() -> Bench {
    let mut bench = Bench::new(settings(vec![table("hook"), channel("pager")], &[(60, "pager")]));
    bench.submit(1, 1, Severity::High);
    bench.end(2, "hook", delivered());
    bench
}

fn unacknowledged(bench: &mut Bench, seconds: i64) -> Arc<Unacknowledged> {
    bench.step(seconds, Input::Unacknowledged { channel: "hook".to_owned(), before: None });
    match bench.acts.pop() {
        Some(Act::Answer(Answer::Unacknowledged(found))) => found,
        other => panic!("{other:?}"),
    }
}

fn noted(bench: &mut Bench, seconds: i64, asked_at: Position) -> Vec<String> {
    noted_on(bench, seconds, asked_at, false)
}

fn noted_on(bench: &mut Bench, seconds: i64, asked_at: Position, is_partial: bool) -> Vec<String> {
    let there = AckSeen { incident: id(1), by: "bob".to_owned(), at: "2026-11-22".to_owned(), is_partial };
    let (channel, place) = ("hook".to_owned(), "s.t".to_owned());
    bench.step(seconds, Input::AcksSeen(AcksSeen { channel, place, asked_at, found: vec![there] }))
}

/// The changes of state that were recorded, in words.
fn changes(bench: &Bench) -> Vec<String> {
    let told = |record: &Record| match record {
        Record::StateChanged(StateChanged { state, by, comment, .. }) => Some(format!("{state} {by}: {comment}")),
        _ => None,
    };
    bench.records.iter().filter_map(told).collect()
}

fn acknowledgement(bench: &Bench) -> Acknowledgement {
    assert_eq!(bench.last_job().reason, Reason::Acked);
    bench.last_job().acknowledgement.clone().unwrap()
}

#[test]
fn an_acknowledgement_and_its_end_go_to_a_channel_that_keeps_them_each_once() {
    let mut bench = told();
    assert_eq!(bench.change(3, 1, State::Acked), ["plan acked: hook", "try hook"]);
    assert_eq!(acknowledgement(&bench), Acknowledgement::Given { by: "anna".to_owned(), at: at(3) });
    let first = bench.last_job().delivery;
    bench.end(4, "hook", delivered());
    assert!(bench.change(5, 1, State::Acked).is_empty(), "it is known");
    assert_eq!(bench.change(6, 1, State::Open), ["plan acked: hook", "try hook"]);
    assert_eq!(acknowledgement(&bench), Acknowledgement::TakenBack { of: "anna".to_owned() });
    bench.end(7, "hook", delivered());
    assert_eq!(bench.change(8, 1, State::Acked), ["plan acked: hook", "try hook"]);
    assert_ne!(bench.last_job().delivery, first, "another message");
    bench.end(9, "hook", delivered());
    assert_eq!(bench.change(10, 1, State::Resolved), ["plan resolved: hook", "try hook"]);
}

#[test]
fn who_keeps_no_acknowledgements_hears_of_none() {
    let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[]));
    bench.submit(1, 1, Severity::High);
    bench.end(2, "hook", delivered());
    assert!(bench.change(3, 1, State::Acked).is_empty());
    assert!(bench.change(4, 1, State::Open).is_empty());
}

#[test]
fn acknowledgements_wait_for_the_message_and_for_each_other_also_over_a_restart() {
    let mut bench = Bench::new(settings(vec![table("hook"), channel("pager")], &[]));
    bench.submit(1, 1, Severity::High);
    for (seconds, state) in [(2, State::Acked), (3, State::Open), (4, State::Acked), (5, State::Resolved)] {
        assert_eq!(bench.change(seconds, 1, state).len(), 1, "{state}: planned, not tried");
    }
    bench.resume(6, settings(vec![table("hook"), channel("pager")], &[]));
    let mut reasons = Vec::new();
    for seconds in 10..15 {
        bench.tick(seconds * 10);
        let Acknowledgement::Given { by, .. } = bench
            .last_job()
            .acknowledgement
            .clone()
            .unwrap_or(Acknowledgement::Given { by: "-".to_owned(), at: at(0) })
        else {
            reasons.push("taken back".to_owned());
            bench.end(seconds * 10, "hook", delivered());
            continue;
        };
        reasons.push(format!("{} {by}", bench.last_job().reason.as_str()));
        bench.end(seconds * 10, "hook", delivered());
    }
    assert_eq!(reasons, ["opened -", "acked anna", "taken back", "acked anna", "resolved -"]);
    assert_eq!(bench.engine.state().pending(), 0);
}

#[test]
fn what_was_never_told_is_not_acknowledged_and_is_when_it_is_sent_again() {
    let mut bench = Bench::new(settings(vec![table("hook"), channel("pager")], &[]));
    bench.submit(1, 1, Severity::High);
    bench.change(2, 1, State::Acked);
    bench.change(3, 1, State::Open);
    bench.change(4, 1, State::Acked);
    let nothing = "no hook: nothing-to-close";
    assert_eq!(bench.end(5, "hook", rejected(Cause::Schema)), [nothing, nothing, nothing]);
    assert_eq!(bench.engine.state().pending(), 0);
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "eve".to_owned(), purge: None };
    assert_eq!(bench.step(6, Input::DeadLetters(order)), ["again hook", "plan acked: hook", "try hook"]);
    assert_eq!(bench.end(7, "hook", delivered()), ["try hook"]);
    assert_eq!(acknowledgement(&bench), Acknowledgement::Given { by: "anna".to_owned(), at: at(4) });
}

#[test]
fn an_acknowledgement_that_was_given_up_says_the_same_when_it_is_sent_again() {
    let mut bench = told();
    bench.change(3, 1, State::Acked);
    bench.end(4, "hook", rejected(Cause::Schema));
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "eve".to_owned(), purge: None };
    assert_eq!(bench.step(5, Input::DeadLetters(order)), ["again hook", "try hook"]);
    assert_eq!(acknowledgement(&bench), Acknowledgement::Given { by: "anna".to_owned(), at: at(3) });
}

#[test]
fn no_other_channel_steps_in_for_an_acknowledgement() {
    let hook = ChannelPolicy { hears_acks: true, ..backed("hook", &[("pager", 0, FallbackOn::Any)]) };
    let mut bench = Bench::new(settings(vec![hook, channel("pager")], &[]));
    bench.submit(1, 1, Severity::High);
    bench.end(2, "hook", delivered());
    bench.change(3, 1, State::Acked);
    bench.end(4, "hook", rejected(Cause::Schema));
    assert!(bench.because().contains("an acknowledgement is for the channel that keeps it"), "{}", bench.because());
}

#[test]
fn what_the_far_side_notes_is_taken_over_once_and_stops_the_escalation() {
    let mut bench = told();
    let asked = unacknowledged(&mut bench, 3);
    assert_eq!((asked.incidents.as_slice(), asked.next), (&[id(1)][..], None));
    assert!(noted(&mut bench, 4, asked.asked_at).is_empty(), "nothing is said to who has said so");
    assert!(noted(&mut bench, 5, asked.asked_at).is_empty());
    assert_eq!(changes(&bench), ["acked bob: acknowledged in s.t (channel hook) at 2026-11-22"]);
    assert!(unacknowledged(&mut bench, 6).incidents.is_empty());
    assert!(bench.tick(60).is_empty(), "nobody is called");
    assert_eq!(bench.change(61, 1, State::Open), ["plan acked: hook", "try hook"]);
    assert_eq!(acknowledgement(&bench), Acknowledgement::TakenBack { of: "bob".to_owned() });
}

#[test]
fn what_the_far_side_notes_goes_on_to_other_channels_that_keep_it() {
    let mut bench = Bench::new(settings(vec![table("hook"), table("pager")], &[(2, "pager")]));
    bench.submit(1, 1, Severity::High);
    bench.end(2, "hook", delivered());
    bench.tick(4);
    bench.end(5, "pager", delivered());
    let asked = unacknowledged(&mut bench, 6);
    assert_eq!(noted(&mut bench, 7, asked.asked_at), ["plan acked: pager", "try pager"]);
}

#[test]
fn what_is_noted_of_a_repeat_alone_goes_back_to_all_of_it() {
    let mut bench = told();
    let asked = unacknowledged(&mut bench, 3);
    assert_eq!(noted_on(&mut bench, 4, asked.asked_at, true), ["plan acked: hook", "try hook"]);
    assert_eq!(acknowledgement(&bench), Acknowledgement::Given { by: "bob".to_owned(), at: at(4) });
    assert!(unacknowledged(&mut bench, 5).incidents.is_empty());
    bench.end(6, "hook", delivered());
    assert_eq!(changes(&bench).len(), 1);
}

#[test]
fn a_table_that_steps_in_for_another_channel_after_it_was_acknowledged_hears_that_too() {
    let hook = backed("hook", &[("table", 60, FallbackOn::Any)]);
    let mut bench = Bench::new(settings(vec![hook, table("table"), channel("pager")], &[]));
    bench.submit(1, 1, Severity::High);
    bench.change(2, 1, State::Acked);
    let (seconds, _) = bench.fail(3, "hook", 3);
    let words = bench.tick(seconds + 120);
    let stands_in = ["plan fallback: table", "plan acked: table"];
    assert!(words.windows(2).any(|pair| pair == stands_in), "{words:?}");
    bench.end(seconds + 121, "table", delivered());
    bench.tick(seconds + 122);
    assert_eq!(acknowledgement(&bench), Acknowledgement::Given { by: "anna".to_owned(), at: at(2) });
}

#[test]
fn a_table_that_takes_over_what_was_given_up_after_it_was_acknowledged_hears_that_too() {
    let hook = backed("hook", &[("table", 60, FallbackOn::Rejected)]);
    let mut bench = Bench::new(settings(vec![hook, table("table"), channel("pager")], &[]));
    bench.submit(1, 1, Severity::High);
    bench.change(2, 1, State::Acked);
    let words = bench.end(3, "hook", rejected(Cause::Schema));
    assert_eq!(words, ["plan fallback: table", "plan acked: table", "try table"]);
}

#[test]
fn a_table_knows_to_which_incident_a_repeat_belongs_also_when_it_is_sent_again() {
    let archive = ChannelPolicy { repeats: true, ..table("hook") };
    let mut bench = Bench::new(settings(vec![archive, channel("pager")], &[]));
    let same = |number| {
        let mut same = (*crate::made::incident(number, Severity::High)).clone();
        same.fingerprint = balefire_model::Fingerprint("f".to_owned());
        balefire_engine::Submission { incidents: vec![Arc::new(same)], ..Default::default() }
    };
    bench.step(1, Input::Submit(same(1)));
    assert_eq!(bench.last_job().repeat_of, None);
    bench.end(2, "hook", delivered());
    bench.step(3, Input::Submit(same(2)));
    assert_eq!((bench.last_job().incident, bench.last_job().repeat_of), (id(2), Some(id(1))));
    bench.end(4, "hook", rejected(Cause::Schema));
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "eve".to_owned(), purge: None };
    bench.step(5, Input::DeadLetters(order));
    assert_eq!((bench.last_job().incident, bench.last_job().repeat_of), (id(2), Some(id(1))));
}

#[test]
fn our_own_word_does_not_come_back_as_another_ones() {
    let mut bench = told();
    let asked = unacknowledged(&mut bench, 3);
    // Everything happens between the question and its answer, which saw the middle of it.
    bench.change(4, 1, State::Acked);
    bench.end(5, "hook", delivered());
    bench.change(6, 1, State::Open);
    noted(&mut bench, 7, asked.asked_at);
    assert!(unacknowledged(&mut bench, 8).incidents.is_empty(), "the end of ours is still on its way");
    bench.end(9, "hook", delivered());
    noted(&mut bench, 10, asked.asked_at);
    assert_eq!(changes(&bench), ["acked anna: ", "open anna: "]);
    let again = unacknowledged(&mut bench, 11);
    assert_eq!(again.incidents, [id(1)]);
    noted(&mut bench, 12, again.asked_at);
    assert_eq!(changes(&bench).len(), 3, "what stands there now is somebody's");
}

#[test]
fn what_is_over_or_unknown_is_not_acknowledged_by_a_note() {
    let mut bench = told();
    let asked = unacknowledged(&mut bench, 3);
    bench.change(4, 1, State::Resolved);
    noted(&mut bench, 5, asked.asked_at);
    assert_eq!(changes(&bench), ["resolved anna: "]);
}

#[test]
fn every_open_incident_is_asked_about_in_time_and_the_newest_each_time() {
    let mut bench = Bench::new(settings(vec![ChannelPolicy { in_flight: 64, ..table("hook") }, channel("pager")], &[]));
    for number in 1..=13_000 {
        bench.submit(1, number, Severity::Low);
        bench.end(1, "hook", delivered());
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut before = None;
    for seconds in 2..5 {
        bench.step(seconds, Input::Unacknowledged { channel: "hook".to_owned(), before });
        let Some(Act::Answer(Answer::Unacknowledged(found))) = bench.acts.pop() else { panic!("no answer") };
        assert!(found.incidents.len() <= 10_000 && found.incidents.contains(&id(13_000)));
        seen.extend(found.incidents.iter().copied());
        before = found.next;
    }
    assert_eq!(seen.len(), 13_000);
}

/// A table with room for several, to which a note of who takes care did not get through, and of which the note that nobody does
/// ended like this.
fn taken_back_after_a_dead_note(second: Outcome) -> Bench {
    let hook = ChannelPolicy { in_flight: 4, ..table("hook") };
    let mut bench = Bench::new(settings(vec![hook, channel("pager")], &[(60, "pager")]));
    bench.submit(1, 1, Severity::High);
    bench.end(2, "hook", delivered());
    assert_eq!(bench.change(3, 1, State::Acked), ["plan acked: hook", "try hook"]);
    bench.end(4, "hook", rejected(Cause::Schema));
    assert_eq!(bench.change(5, 1, State::Open), ["plan acked: hook", "try hook"]);
    bench.end(6, "hook", second);
    bench
}

fn order_all() -> DeadLetterOrder {
    DeadLetterOrder { filter: DeadLetterFilter::default(), by: "anna".to_owned(), purge: None }
}

fn redrive_all() -> Input {
    Input::DeadLetters(order_all())
}

#[test]
fn of_notes_that_are_redriven_together_the_later_word_comes_last() {
    let mut bench = taken_back_after_a_dead_note(rejected(Cause::Schema));
    assert_eq!(bench.step(7, redrive_all()), ["again hook", "again hook", "try hook"]);
    assert!(matches!(acknowledgement(&bench), Acknowledgement::Given { .. }));
    assert_eq!(bench.end(8, "hook", delivered()), ["try hook"]);
    assert!(matches!(acknowledgement(&bench), Acknowledgement::TakenBack { .. }));
}

#[test]
fn notes_that_are_redriven_wait_for_each_other_in_one_direction_only() {
    let mut bench = taken_back_after_a_dead_note(rejected(Cause::Schema));
    // The earlier one goes again alone, and is given up after the later one.
    let DeadLetterOrder { filter, by, purge } = order_all();
    let first = bench.engine.dead_letters(&filter).next().unwrap().0;
    let filter = DeadLetterFilter { deliveries: vec![first], ..filter };
    assert_eq!(bench.step(7, Input::DeadLetters(DeadLetterOrder { filter, by, purge })), ["again hook", "try hook"]);
    bench.end(8, "hook", rejected(Cause::Schema));
    assert_eq!(bench.step(9, redrive_all()), ["again hook", "again hook", "try hook"]);
    assert!(matches!(acknowledgement(&bench), Acknowledgement::Given { .. }));
    assert_eq!(bench.end(10, "hook", delivered()), ["try hook"]);
    assert!(matches!(acknowledgement(&bench), Acknowledgement::TakenBack { .. }));
}

#[test]
fn a_note_that_has_not_gone_out_waits_for_an_earlier_one_that_is_redriven() {
    let mut bench = taken_back_after_a_dead_note(rejected(Cause::Network));
    assert_eq!(bench.step(7, redrive_all()), ["again hook", "try hook"]);
    assert!(bench.tick(3600).iter().all(|word| !word.starts_with("try hook")));
    assert!(bench.end(3601, "hook", delivered()).contains(&"try hook".to_owned()));
    assert!(matches!(acknowledgement(&bench), Acknowledgement::TakenBack { .. }));
}
