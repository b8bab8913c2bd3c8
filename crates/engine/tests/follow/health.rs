//! A channel that fails is an incident, and so is its recovery.

use crate::bench::{Bench, backed, channel, delivered, forgetful, pair, rejected, settings};
use balefire_engine::{CHANNEL_FAILING, CHANNEL_RECOVERED, ChannelPolicy, FallbackOn};
use balefire_model::{Cause, Record, Severity, State};

#[test]
fn refused_credentials_are_told_at_once_and_other_failures_after_three_in_a_row() {
    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    let told = ["hook fails: auth", "balefire.channel_failing", "tell: pager", "try pager"];
    assert_eq!(bench.end(1, "hook", rejected(Cause::Auth)), told);

    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    let (seconds, words) = bench.fail(0, "hook", 2);
    assert!(words.is_empty());
    let (_, words) = bench.fail(seconds, "hook", 1);
    assert_eq!(words, ["hook fails: network", "balefire.channel_failing", "tell: pager", "try pager"]);
}

#[test]
fn who_heard_of_a_failure_hears_of_the_recovery_once_each() {
    // The failure is told to the pager, which fails too, so that the spare channel stands in.
    let pager = backed("pager", &[("spare", 0, FallbackOn::Any)]);
    let mut bench = Bench::new(settings(vec![channel("hook"), pager, forgetful("spare")], &[]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Auth));
    assert_eq!(bench.end(2, "pager", rejected(Cause::Auth))[2..4], ["tell: spare", "plan fallback: spare"]);
    bench.end(3, "spare", delivered());
    bench.end(3, "spare", delivered());
    let words = work_again(&mut bench, 3);
    assert_eq!(words[..4], ["hook works", "plan resolved: pager", "balefire.channel_recovered", "tell:"], "{words:?}");
}

#[test]
fn when_every_channel_fails_the_alarm_is_raised() {
    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Auth));
    assert_eq!((bench.alarms(), bench.engine.every_channel_fails()), (0, false));
    let words = bench.end(2, "pager", rejected(Cause::Auth));
    assert_eq!(words, ["pager fails: auth", "balefire.channel_failing", "tell:"]);
    assert_eq!((bench.alarms(), bench.engine.every_channel_fails()), (1, true));
}

/// Waits until the channel is tried again, and lets it work.
fn work_again(bench: &mut Bench, mut seconds: i64) -> Vec<String> {
    let mut words = Vec::new();
    while !words.iter().any(|word: &String| word == "try hook") {
        seconds += 10;
        words = bench.tick(seconds);
    }
    bench.end(seconds, "hook", delivered())
}

/// One channel that fails, and one that was told so.
fn told(pager: ChannelPolicy) -> Bench {
    let mut bench = Bench::new(settings(vec![channel("hook"), pager], &[]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Auth));
    bench.end(2, "pager", delivered());
    bench
}

#[test]
fn a_recovery_is_one_message_to_each_who_heard_of_the_failure() {
    let mut bench = told(channel("pager"));
    let words = work_again(&mut bench, 2);
    let expected = ["hook works", "plan resolved: pager", "balefire.channel_recovered", "tell:", "try pager"];
    assert_eq!(words, expected, "as the end of what it was told");
    assert_eq!(bench.last_job().incident, bench.found(CHANNEL_FAILING).id);
    let silent = bench.records.iter().any(|record| match record {
        Record::Routed(routed) => routed.history_only.as_ref().is_some_and(|why| why.contains("hears that incident")),
        _ => false,
    });
    assert!(silent, "the incident of the recovery says why it goes to nobody");

    let mut bench = told(forgetful("pager"));
    let words = work_again(&mut bench, 2);
    let expected = ["hook works", "balefire.channel_recovered", "tell: pager", "try pager"];
    assert_eq!(words, expected, "by itself, where the channel wants to hear of no ends");
    assert_eq!(bench.last_job().incident, bench.found(CHANNEL_RECOVERED).id);
}

#[test]
fn a_recovery_is_told_also_where_somebody_resolved_the_failure_before() {
    let mut bench = told(channel("pager"));
    let failing = bench.found(CHANNEL_FAILING);
    assert_eq!(bench.change_of(3, failing.id, State::Resolved), ["plan resolved: pager", "try pager"]);
    bench.end(4, "pager", delivered());
    let words = work_again(&mut bench, 4);
    assert_eq!(words, ["hook works", "balefire.channel_recovered", "tell: pager", "try pager"]);
    let recovered = bench.found(CHANNEL_RECOVERED);
    let said = format!("The incident that told so, {}, was resolved before that.", failing.id);
    assert!(recovered.description.contains(&said), "{}", recovered.description);
}

#[test]
fn a_history_tells_nobody_and_has_also_what_is_told_while_it_fails() {
    let mut with = (*pair()).clone();
    with.routing.history = Some("history".to_owned());
    with.channels.insert("history".to_owned(), channel("history"));
    let mut bench = Bench::new(std::sync::Arc::new(with));
    bench.submit(0, 1, Severity::High);
    let words = bench.end(1, "history", rejected(Cause::Auth));
    assert_eq!(words[..3], ["history fails: auth", "balefire.channel_failing", "tell: pager history"], "{words:?}");
    // The one that people hear over fails, too: a table is nobody.
    bench.end(2, "hook", rejected(Cause::Auth));
    let words = bench.end(3, "pager", rejected(Cause::Auth));
    assert_eq!(words[..3], ["pager fails: auth", "balefire.channel_failing", "tell: history"], "{words:?}");
    assert_eq!(bench.alarms(), 1);
}
