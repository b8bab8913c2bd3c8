//! The message that an incident is over, and its escalation.

use crate::bench::{Bench, channel, delivered, forgetful, pair, rejected, settings};
use crate::made::at;
use balefire_engine::{Act, ChannelPolicy, DeadLetterFilter, DeadLetterOrder, Input};
use balefire_model::{Cause, Outcome, Reason, Severity, State};

#[test]
fn an_end_goes_to_whoever_was_told_and_only_once() {
    let mut bench = Bench::new(pair());
    assert_eq!(bench.submit(1, 1, Severity::High), ["try hook"]);
    assert!(bench.end(2, "hook", delivered()).is_empty());
    assert_eq!(bench.change(3, 1, State::Resolved), ["plan resolved: hook", "try hook"]);
    assert!(bench.change(4, 1, State::Resolved).is_empty());
}

#[test]
fn an_end_waits_for_what_it_closes() {
    let mut bench = Bench::new(pair());
    bench.submit(1, 1, Severity::High);
    assert_eq!(bench.change(2, 1, State::Resolved), ["plan resolved: hook"]);
    assert!(bench.end(3, "hook", rejected(Cause::Network)).is_empty(), "the open is tried again first");
    assert_eq!(bench.tick(30), ["try hook"]);
    assert_eq!(bench.end(31, "hook", delivered()), ["try hook"]);
    let Some(Act::Send(job)) = bench.acts.last() else { panic!("nothing is sent") };
    assert_eq!(job.reason, Reason::Resolved);
}

#[test]
fn what_was_never_opened_is_not_closed() {
    let mut bench = Bench::new(pair());
    bench.submit(1, 1, Severity::High);
    bench.change(2, 1, State::Resolved);
    assert_eq!(bench.end(3, "hook", rejected(Cause::Schema)), ["no hook: nothing-to-close"]);
    assert_eq!(bench.engine.state().pending(), 0);
}

#[test]
fn an_escalation_comes_at_its_time_unless_somebody_acts() {
    for (acted, expected) in [
        (None, vec!["plan escalated: pager", "try pager"]),
        (Some(State::Acked), vec![]),
        (Some(State::Resolved), vec![]),
    ] {
        let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(60, "pager")]));
        bench.submit(0, 1, Severity::High);
        bench.end(1, "hook", delivered());
        assert_eq!(bench.engine.wakes_at(at(2)), Some(at(60)));
        assert!(bench.tick(59).is_empty());
        if let Some(state) = acted {
            bench.change(59, 1, state);
        }
        let came: Vec<String> = bench.tick(60).into_iter().filter(|word| word.ends_with("pager")).collect();
        assert_eq!(came, expected, "{acted:?}");
    }
}

#[test]
fn an_escalation_that_waits_is_called_off_when_the_incident_is_over() {
    let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(5, "pager"), (60, "pager")]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", delivered());
    assert_eq!(bench.tick(5), ["plan escalated: pager", "try pager"]);
    assert!(bench.end(6, "pager", rejected(Cause::Network)).is_empty());
    assert_eq!(bench.change(6, 1, State::Resolved), ["no pager: resolved-first", "plan resolved: hook", "try hook"]);
    assert!(bench.tick(60).is_empty(), "the second step does not come either");
}

#[test]
fn an_escalation_that_came_due_while_we_were_away_goes_out_at_the_start() {
    let settings = settings(vec![channel("hook"), channel("pager")], &[(60, "pager")]);
    let mut bench = Bench::new(settings.clone());
    bench.submit(0, 1, Severity::High);
    let words = bench.resume(90, settings);
    assert!(words.contains(&"plan escalated: pager".to_owned()), "{words:?}");
}

#[test]
fn the_end_of_an_incident_waits_for_what_was_redriven() {
    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Schema));
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "anna".to_owned(), purge: None };
    assert_eq!(bench.step(2, Input::DeadLetters(order)), ["again hook", "try hook"]);
    assert_eq!(bench.change(3, 1, State::Resolved), ["plan resolved: hook"]);
    assert_eq!(bench.end(4, "hook", delivered()), ["try hook"]);
}

/// What becomes of the end of an incident of which a channel was told twice, and both messages are under way.
fn end_behind_two(first: Outcome, second: Outcome) -> (Vec<String>, Vec<String>) {
    let hook = ChannelPolicy { in_flight: 2, ..channel("hook") };
    let mut bench = Bench::new(settings(vec![hook, channel("pager")], &[(5, "hook")]));
    bench.submit(0, 1, Severity::High);
    assert_eq!(bench.tick(5), ["plan escalated: hook", "try hook"]);
    assert_eq!(bench.change(6, 1, State::Resolved), ["plan resolved: hook"]);
    (bench.end(7, "hook", first), bench.end(8, "hook", second))
}

#[test]
fn the_end_of_an_incident_overtakes_none_of_the_messages_about_it() {
    let try_hook = vec!["try hook".to_owned()];
    assert_eq!(end_behind_two(delivered(), delivered()), (vec![], try_hook.clone()));
    assert_eq!(end_behind_two(delivered(), rejected(Cause::Network)), (vec![], vec![]));
    assert_eq!(end_behind_two(delivered(), rejected(Cause::Schema)), (vec![], try_hook.clone()));
    assert_eq!(end_behind_two(rejected(Cause::Schema), delivered()), (vec![], try_hook));
    let nothing = vec!["no hook: nothing-to-close".to_owned()];
    assert_eq!(end_behind_two(rejected(Cause::Schema), rejected(Cause::Schema)), (vec![], nothing));
}

#[test]
fn the_end_of_what_has_arrived_goes_out_whatever_becomes_of_a_later_message() {
    for (outcome, expected) in [(delivered(), "try hook"), (rejected(Cause::Schema), "try hook")] {
        let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(5, "hook")]));
        bench.submit(0, 1, Severity::High);
        bench.end(1, "hook", delivered());
        assert_eq!(bench.tick(5), ["plan escalated: hook", "try hook"]);
        assert_eq!(bench.change(6, 1, State::Resolved), ["plan resolved: hook"]);
        assert_eq!(bench.end(7, "hook", outcome), [expected]);
        assert_eq!(bench.last_job().reason, Reason::Resolved);
    }
}

#[test]
fn a_channel_that_wants_to_hear_of_no_ends_is_spared_the_escalation_that_waits_and_the_end() {
    let mut bench = Bench::new(settings(vec![channel("hook"), forgetful("pager")], &[(5, "pager")]));
    for number in 1..=2 {
        bench.submit(i64::from(number) - 1, number, Severity::High);
        bench.end(i64::from(number) - 1, "hook", delivered());
    }
    assert_eq!(bench.tick(5), ["plan escalated: pager", "try pager"]);
    assert_eq!(bench.tick(6), ["plan escalated: pager"], "one at a time");
    let over = bench.change(7, 2, State::Resolved);
    assert_eq!(over, ["no pager: resolved-first", "plan resolved: hook", "try hook"]);
    bench.end(7, "hook", delivered());
    let over = bench.change(8, 1, State::Resolved);
    assert_eq!(over, ["plan resolved: hook", "try hook"], "what is under way is not called back, and not closed");
    assert!(bench.end(9, "pager", delivered()).is_empty());
}

#[test]
fn every_attempt_to_tell_of_an_end_knows_when_that_was() {
    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    assert_eq!(bench.last_job().resolved_at, None);
    bench.end(1, "hook", delivered());
    bench.change(2, 1, State::Resolved);
    bench.end(3, "hook", rejected(Cause::Network));
    bench.tick(30);
    assert_eq!((bench.last_job().attempt, bench.last_job().resolved_at), (2, Some(at(2))));
    bench.resume(40, pair());
    assert_eq!((bench.last_job().attempt, bench.last_job().resolved_at), (3, Some(at(2))), "after a restart");
    bench.end(41, "hook", rejected(Cause::Schema));
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "anna".to_owned(), purge: None };
    bench.step(50, Input::DeadLetters(order));
    assert_eq!((bench.last_job().attempt, bench.last_job().resolved_at), (4, Some(at(2))), "redriven");
}
