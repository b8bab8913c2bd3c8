//! What was given up, what a template spoilt, and what is kept for critical.

use crate::bench::{Bench, channel, delivered, id, pair, rejected, settings};
use crate::made::at;
use balefire_engine::{Act, Answer, ChannelPolicy, DeadLetterFilter, DeadLetterOrder, Input, Rate};
use balefire_model::{Cause, Reason, Severity, State};
use std::time::Duration;

#[test]
fn dead_letters_are_listed_redriven_and_purged_by_filter() {
    let mut bench = Bench::new(pair());
    for number in 1..=3 {
        bench.submit(0, number, Severity::High);
        bench.end(1, "hook", rejected(if number == 3 { Cause::Size } else { Cause::Schema }));
    }
    let dead = |bench: &Bench| bench.engine.dead_letters(&DeadLetterFilter::default()).count();
    assert_eq!(dead(&bench), 3);
    let order = |filter, purge: Option<&str>| {
        let purge = purge.map(str::to_owned);
        Input::DeadLetters(DeadLetterOrder { filter, by: "anna".to_owned(), purge })
    };
    let size = DeadLetterFilter { cause: Some(Cause::Size), ..DeadLetterFilter::default() };
    assert_eq!(bench.step(2, order(size, Some("too old"))), ["purged hook"]);
    let one = DeadLetterFilter { incidents: vec![id(1)], ..DeadLetterFilter::default() };
    assert_eq!(bench.step(3, order(one, None)), ["again hook", "try hook"]);
    let Some(Act::Answer(Answer::Moved { deliveries, left: 0 })) =
        bench.acts.iter().rfind(|act| matches!(act, Act::Answer(_)))
    else {
        panic!("no answer")
    };
    assert_eq!((deliveries.len(), dead(&bench)), (1, 1));
    assert!(bench.end(4, "hook", delivered()).is_empty());
    assert_eq!((dead(&bench), bench.engine.state().pending()), (1, 0));
}

#[test]
fn what_a_template_may_have_spoilt_is_tried_once_without_it() {
    let hook = ChannelPolicy { has_template: true, ..channel("hook") };
    let mut bench = Bench::new(settings(vec![hook, channel("pager")], &[]));
    bench.submit(0, 1, Severity::High);
    assert_eq!(bench.end(1, "hook", rejected(Cause::Schema)), ["try hook"]);
    assert!(matches!(bench.acts.last(), Some(Act::Send(job)) if job.plain));
    assert!(bench.end(2, "hook", rejected(Cause::Schema)).is_empty());
    assert_eq!(bench.engine.dead_letters(&DeadLetterFilter::default()).count(), 1);
}

#[test]
fn a_part_of_the_window_and_of_each_rate_is_kept_for_critical() {
    let windowed = |in_flight| ChannelPolicy { in_flight, ..channel("hook") };
    let rated = |count| ChannelPolicy { rates: vec![Rate { count, per: Duration::from_secs(60) }], ..windowed(1000) };
    for (policy, others, all) in [
        (windowed(3), 3, 3),
        (windowed(4), 3, 4),
        (windowed(16), 14, 16),
        (windowed(128), 120, 128),
        (rated(4), 4, 4),
        (rated(10), 8, 10),
    ] {
        let shown = format!("{policy:?}");
        let mut bench = Bench::new(settings(vec![policy, channel("pager")], &[]));
        let mut submit = |severity, from: u32| -> usize {
            (from..from + 200).map(|number| bench.submit(0, number, severity).len()).sum()
        };
        assert_eq!(submit(Severity::High, 0), others, "{shown}");
        assert_eq!(submit(Severity::Critical, 1000), all - others, "{shown}");
    }
}

#[test]
fn what_is_sent_again_for_an_incident_that_is_over_is_closed_again_and_tells_when_it_was_over() {
    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Schema));
    assert!(bench.change(60, 1, State::Resolved).is_empty(), "nothing has opened there");
    let filter = DeadLetterFilter::default();
    let again = Input::DeadLetters(DeadLetterOrder { filter, by: "anna".to_owned(), purge: None });
    assert_eq!(bench.step(600, again), ["again hook", "plan resolved: hook", "try hook"]);
    assert!(bench.because().contains("anna sent delivery"), "{}", bench.because());
    assert_eq!(bench.last_job().reason, Reason::Opened);
    assert_eq!(bench.end(601, "hook", delivered()), ["try hook"]);
    assert_eq!(bench.last_job().reason, Reason::Resolved);
    assert_eq!(bench.last_job().resolved_at, Some(at(60)));
}

#[test]
fn an_end_that_is_sent_again_comes_after_what_is_sent_again_with_it() {
    let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(30, "hook")]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", delivered());
    assert_eq!(bench.tick(30), ["plan escalated: hook", "try hook"]);
    assert_eq!(bench.change(31, 1, State::Resolved), ["plan resolved: hook"]);
    assert_eq!(bench.end(32, "hook", rejected(Cause::Schema)), ["try hook"], "the opening has arrived");
    assert!(bench.end(33, "hook", rejected(Cause::Schema)).is_empty());
    let filter = DeadLetterFilter::default();
    let again = Input::DeadLetters(DeadLetterOrder { filter, by: "anna".to_owned(), purge: None });
    assert_eq!(bench.step(600, again), ["again hook", "again hook", "try hook"]);
    assert_eq!(bench.last_job().reason, Reason::Escalated);
    assert_eq!(bench.end(601, "hook", rejected(Cause::Schema)), ["try hook"], "the end goes out all the same");
    assert_eq!(bench.last_job().reason, Reason::Resolved);
}

#[test]
fn an_end_that_waits_for_one_message_waits_for_another_that_is_redriven_meanwhile() {
    let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(60, "hook")]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Schema));
    assert_eq!(bench.tick(60), ["plan escalated: hook", "try hook"]);
    assert_eq!(bench.change(61, 1, State::Resolved), ["plan resolved: hook"]);
    let filter = DeadLetterFilter::default();
    let again = Input::DeadLetters(DeadLetterOrder { filter, by: "anna".to_owned(), purge: None });
    assert_eq!(bench.step(62, again), ["again hook"], "one at a time");
    assert_eq!(bench.end(63, "hook", delivered()), ["try hook"]);
    assert!(matches!(bench.acts.last(), Some(Act::Send(job)) if job.reason == Reason::Opened));
    assert_eq!(bench.end(64, "hook", rejected(Cause::Schema)), ["try hook"], "something has arrived that it closes");
    assert!(matches!(bench.acts.last(), Some(Act::Send(job)) if job.reason == Reason::Resolved));
}
