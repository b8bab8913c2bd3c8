//! A clock that is set back: no wait grows by that, and none is forgotten.

use crate::bench::{Bench, backed, channel, delivered, pair, rejected, settings};
use crate::made::at;
use balefire_engine::{ChannelPolicy, FallbackOn, Rate};
use balefire_model::{Cause, Outcome, Record, Severity};
use std::time::Duration;

/// A wrong clock shows this; it is set back to 0.
const LATE: i64 = 20 * 24 * 3600;

/// When the first attempt at a channel is made, from a time on.
fn next_try(bench: &mut Bench, from: i64, channel: &str) -> i64 {
    let mut seconds = from;
    while !bench.tick(seconds).contains(&format!("try {channel}")) {
        let wakes = bench.engine.wakes_at(at(seconds)).unwrap();
        seconds = (wakes.as_second() - at(0).as_second()).max(seconds + 1);
    }
    seconds
}

#[test]
fn a_failing_channel_is_tried_again_as_soon_as_its_policy_says() {
    let mut bench = Bench::new(pair());
    bench.submit(LATE, 1, Severity::High);
    let (_, words) = bench.fail(LATE, "hook", 3);
    assert!(words.contains(&"hook fails: network".to_owned()), "{words:?}");
    let tried = next_try(&mut bench, 0, "hook");
    assert!((1..=5).contains(&tried), "after the third failure, 4 s, and not after {tried} s");
    assert!(bench.records.iter().any(|record| matches!(record, Record::ClockSetBack(set) if set.from >= at(LATE))));
}

#[test]
fn a_far_side_that_asked_for_patience_gets_it_and_no_more() {
    let mut bench = Bench::new(pair());
    bench.submit(LATE, 1, Severity::High);
    bench.end(LATE, "hook", Outcome::Deferred { after_ms: Some(3_600_000), detail: "429".to_owned() });
    assert_eq!(next_try(&mut bench, 0, "hook"), 3600);
}

#[test]
fn a_wait_goes_on_where_the_clock_is_set_back_within_it() {
    let mut bench = Bench::new(pair());
    bench.submit(100, 1, Severity::High);
    bench.end(100, "hook", Outcome::Deferred { after_ms: Some(60_000), detail: "429".to_owned() });
    assert!(bench.submit(130, 2, Severity::High).is_empty());
    assert_eq!(next_try(&mut bench, 110, "hook"), 140, "half of it was over");
}

#[test]
fn a_rate_holds_and_opens_after_its_window() {
    let rate = Rate { count: 2, per: Duration::from_secs(60) };
    let hook = ChannelPolicy { rates: vec![rate], in_flight: 8, ..channel("hook") };
    let mut bench = Bench::new(settings(vec![hook, channel("pager")], &[]));
    for number in 1..=3 {
        bench.submit(LATE, number, Severity::Critical);
    }
    assert_eq!(next_try(&mut bench, 0, "hook"), 60);
}

#[test]
fn an_escalation_and_a_fallback_come_no_later() {
    let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(60, "pager")]));
    bench.submit(LATE, 1, Severity::High);
    bench.end(LATE, "hook", delivered());
    assert!(bench.tick(0).is_empty());
    assert_eq!(bench.engine.wakes_at(at(0)), Some(at(60)));
    assert_eq!(bench.tick(60), ["plan escalated: pager", "try pager"]);

    let hook = backed("hook", &[("spare", 90, FallbackOn::Any)]);
    let mut bench = Bench::new(settings(vec![hook, channel("pager"), channel("spare")], &[]));
    bench.submit(LATE, 1, Severity::High);
    bench.end(LATE, "hook", rejected(Cause::Auth));
    bench.tick(0);
    assert!(!bench.tick(89).contains(&"plan fallback: spare".to_owned()));
    assert!(bench.tick(90).contains(&"plan fallback: spare".to_owned()));
}

#[test]
fn a_start_sees_that_the_clock_was_set_back_while_we_were_away() {
    let mut bench = Bench::new(pair());
    bench.submit(LATE, 1, Severity::High);
    bench.end(LATE, "hook", rejected(Cause::Auth));
    assert_eq!(bench.resume(0, pair()), ["try pager"], "whose attempt has no known end");
    let tried = next_try(&mut bench, 0, "hook");
    assert!((45..=75).contains(&tried), "a minute, and not {tried} s");
}
