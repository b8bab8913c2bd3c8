//! The channels that step in for one that fails.

use crate::bench::{Bench, backed, channel, delivered, forgetful, rejected, settings};
use crate::made::at;
use balefire_engine::{Act, ChannelPolicy, DeadLetterFilter, DeadLetterOrder, FallbackOn, Input};
use balefire_model::{Cause, Reason, Severity, State};

#[test]
fn a_fallback_steps_in_by_time_and_by_cause() {
    for (on, cause, expected) in [
        (FallbackOn::Any, Cause::Auth, true),
        (FallbackOn::Auth, Cause::Auth, true),
        (FallbackOn::Network, Cause::Auth, false),
        (FallbackOn::Rejected, Cause::Auth, false),
    ] {
        let channels = vec![backed("hook", &[("spare", 30, on)]), channel("pager"), channel("spare")];
        let mut bench = Bench::new(settings(channels, &[]));
        bench.submit(0, 1, Severity::High);
        bench.end(1, "hook", rejected(cause));
        assert!(!bench.tick(29).contains(&"plan fallback: spare".to_owned()));
        assert_eq!(bench.tick(30).contains(&"plan fallback: spare".to_owned()), expected, "{on:?} for {cause:?}");
        assert!(!bench.tick(31).contains(&"plan fallback: spare".to_owned()), "once");
    }
}

#[test]
fn what_is_given_up_is_handed_on_at_once_and_the_stand_in_says_for_whom() {
    for (on, expected) in
        [(FallbackOn::Any, true), (FallbackOn::Rejected, true), (FallbackOn::Auth, false), (FallbackOn::Network, false)]
    {
        let channels = vec![backed("hook", &[("spare", 3600, on)]), channel("pager"), channel("spare")];
        let mut bench = Bench::new(settings(channels, &[]));
        bench.submit(0, 1, Severity::High);
        let words = bench.end(1, "hook", rejected(Cause::Schema));
        assert_eq!(words == ["plan fallback: spare", "try spare"], expected, "{on:?}: {words:?}");
        let stands_in = |act: &Act| matches!(act, Act::Send(job) if job.stands_in_for.as_deref() == Some("hook"));
        assert_eq!(bench.acts.iter().any(stands_in), expected);
    }
}

#[test]
fn a_stand_in_comes_once_also_for_what_is_redriven() {
    let channels = vec![backed("hook", &[("spare", 3600, FallbackOn::Any)]), channel("pager"), channel("spare")];
    let mut bench = Bench::new(settings(channels, &[]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Schema));
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "anna".to_owned(), purge: None };
    assert_eq!(bench.step(2, Input::DeadLetters(order)), ["again hook", "try hook"]);
    assert!(bench.end(3, "hook", rejected(Cause::Schema)).is_empty(), "the spare channel has it already");
    assert_eq!(bench.engine.state().pending(), 1, "which is the stand-in");
}

/// A channel with another one behind it after half a minute, and incident 1 on its way.
fn spared(spare: balefire_engine::ChannelPolicy) -> Bench {
    let hook = backed("hook", &[("spare", 30, FallbackOn::Any)]);
    let mut bench = Bench::new(settings(vec![hook, channel("pager"), spare], &[]));
    bench.submit(0, 1, Severity::High);
    bench
}

#[test]
fn no_channel_steps_in_for_what_is_over() {
    let mut bench = spared(channel("spare"));
    bench.end(1, "hook", rejected(Cause::Auth));
    assert_eq!(bench.change(10, 1, State::Resolved), ["plan resolved: hook"]);
    assert_eq!(bench.tick(30), ["plan nothing:"]);
    assert!(bench.because().ends_with("; channel spare does not step in: the incident is over"), "{}", bench.because());
    assert_eq!(bench.tick(40), ["plan nothing:"], "nor for the end of what has not gone out");
    assert!(bench.because().ends_with("what this message would close has not gone out"), "{}", bench.because());
    assert!(bench.tick(50).is_empty(), "said once");
}

#[test]
fn no_channel_steps_in_for_what_is_over_and_given_up() {
    let mut bench = spared(channel("spare"));
    bench.change(1, 1, State::Resolved);
    let words = bench.end(2, "hook", rejected(Cause::Schema));
    assert_eq!(words, ["no hook: nothing-to-close", "plan nothing:"]);
    assert_eq!(bench.engine.state().pending(), 0);
}

#[test]
fn what_is_over_stays_over_also_for_who_gives_it_back_at_the_same_time() {
    let mut bench = spared(channel("spare"));
    bench.end(1, "hook", rejected(Cause::Auth));
    bench.change(9, 1, State::Acked);
    bench.change(10, 1, State::Resolved);
    assert!(bench.change(11, 1, State::Open).is_empty());
    assert_eq!(bench.tick(30), ["plan nothing:"]);
}

#[test]
fn the_end_that_another_channel_tells_reads_as_the_end() {
    for (spare, expected) in
        [(channel("spare"), &["plan resolved: spare", "try spare"][..]), (forgetful("spare"), &["plan nothing:"])]
    {
        let mut bench = spared(spare);
        bench.end(1, "hook", delivered());
        assert_eq!(bench.change(2, 1, State::Resolved), ["plan resolved: hook", "try hook"]);
        bench.end(3, "hook", rejected(Cause::Auth));
        assert_eq!(bench.tick(32), expected, "{}", bench.because());
        if expected.len() > 1 {
            let job = bench.last_job();
            assert_eq!((job.reason, job.resolved_at), (Reason::Resolved, Some(at(2))));
            assert_eq!(job.stands_in_for.as_deref(), Some("hook"));
        }
    }
}

#[test]
fn who_hears_of_an_end_does_not_hear_it_for_another_channel_too() {
    let mut bench = spared(channel("spare"));
    bench.end(1, "hook", rejected(Cause::Auth));
    assert_eq!(bench.tick(30), ["plan fallback: spare", "try spare"]);
    bench.end(31, "spare", delivered());
    bench.end(31, "pager", delivered());
    assert_eq!(bench.tick(90), ["try hook"]);
    bench.end(91, "hook", delivered());
    let over = bench.change(100, 1, State::Resolved);
    assert_eq!(over, ["plan resolved: hook spare", "try hook", "try spare"]);
    bench.end(101, "spare", delivered());
    bench.end(101, "hook", rejected(Cause::Auth));
    assert_eq!(bench.tick(131), ["plan nothing:"]);
    assert!(bench.because().ends_with("it hears itself that the incident is over"), "{}", bench.because());
}

#[test]
fn the_escalation_that_another_channel_tells_reads_as_such_and_is_called_off_as_such() {
    let pager = backed("pager", &[("spare", 3600, FallbackOn::Any)]);
    let mut bench = Bench::new(settings(vec![channel("hook"), pager, channel("spare")], &[(5, "pager")]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", delivered());
    bench.tick(5);
    assert_eq!(bench.end(6, "pager", rejected(Cause::Schema)), ["plan escalated: spare", "try spare"]);
    assert_eq!(bench.last_job().stands_in_for.as_deref(), Some("pager"));
    bench.end(7, "spare", rejected(Cause::Network));
    let over = bench.change(7, 1, State::Resolved);
    assert_eq!(over[..2], ["no spare: resolved-first", "plan resolved: hook"]);
}

#[test]
fn who_stands_in_for_an_escalation_and_wants_to_hear_of_no_ends_is_called_off_too() {
    let pager = ChannelPolicy { follows_up: false, ..backed("pager", &[("spare", 3600, FallbackOn::Any)]) };
    let spare = ChannelPolicy { follows_up: false, ..backed("spare", &[("last", 3600, FallbackOn::Any)]) };
    let mut bench = Bench::new(settings(vec![channel("hook"), pager, spare, forgetful("last")], &[(5, "pager")]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", delivered());
    bench.tick(5);
    assert_eq!(bench.end(6, "pager", rejected(Cause::Schema)), ["plan escalated: spare", "try spare"]);
    assert_eq!(bench.end(7, "spare", rejected(Cause::Schema)), ["plan escalated: last", "try last"]);
    bench.end(8, "last", rejected(Cause::Network));
    assert_eq!(bench.change(9, 1, State::Resolved)[..2], ["no last: resolved-first", "plan resolved: hook"]);
}

#[test]
fn a_channel_that_two_steps_name_takes_a_delivery_once() {
    let steps = [("spare", 10, FallbackOn::Auth), ("spare", 20, FallbackOn::Any)];
    for (cause, failures, expected) in [(Cause::Auth, 1, 10), (Cause::Network, 3, 20)] {
        let channels = vec![backed("hook", &steps), channel("pager"), channel("spare")];
        let mut bench = Bench::new(settings(channels, &[]));
        bench.submit(0, 1, Severity::High);
        match cause {
            Cause::Auth => _ = bench.end(1, "hook", rejected(cause)),
            _ => _ = bench.fail(0, "hook", failures),
        }
        let planned: Vec<i64> =
            (10..100).filter(|now| bench.tick(*now).contains(&"plan fallback: spare".to_owned())).collect();
        assert_eq!(planned, [expected], "{cause:?}");
    }
    let given_up = [("spare", 3600, FallbackOn::Any), ("spare", 3600, FallbackOn::Rejected)];
    let mut bench = Bench::new(settings(vec![backed("hook", &given_up), channel("pager"), channel("spare")], &[]));
    bench.submit(0, 1, Severity::High);
    assert_eq!(bench.end(1, "hook", rejected(Cause::Schema)), ["plan fallback: spare", "try spare"]);
}

#[test]
fn who_stood_in_before_a_reload_is_known_by_name_and_whoever_is_new_takes_what_still_waits() {
    let on = FallbackOn::Any;
    let with = |fallback: &[(&str, u64, FallbackOn)]| {
        let channels = vec![backed("hook", fallback), channel("pager"), channel("spare"), channel("other")];
        settings(channels, &[])
    };
    let mut bench = Bench::new(with(&[("spare", 30, on)]));
    bench.submit(0, 1, Severity::High);
    bench.fail(0, "hook", 3);
    assert!(bench.tick(40).contains(&"plan fallback: spare".to_owned()));
    bench.step(41, Input::Configure(with(&[("other", 60, on), ("spare", 30, on)])));
    assert!(!bench.tick(50).contains(&"plan fallback: spare".to_owned()), "it has it");
    assert!(bench.tick(90).contains(&"plan fallback: other".to_owned()), "it was not there before");
}
