//! What is remembered of where a message has arrived: a repeat, and the message that it is over, are told.

use crate::bench::{Bench, channel, delivered, pair, rejected, settings};
use balefire_engine::{DeadLetterFilter, DeadLetterOrder, Input};
use balefire_model::{Cause, Outcome, Severity, State};

fn partly(words: &str) -> Outcome {
    Outcome::Rejected { cause: Cause::Network, detail: format!("posted {words}; not C2: down") }
}

fn arrived(words: &str) -> Outcome {
    Outcome::Delivered { receipt: format!("posted {words}") }
}

#[test]
fn a_repeat_knows_whom_the_attempts_before_it_reached_also_after_a_restart() {
    let mut bench = Bench::new(pair());
    bench.submit(1, 1, Severity::High);
    assert_eq!(bench.last_job().reached, None);
    bench.end(2, "hook", partly("C1=C1/1.1"));
    bench.tick(30);
    assert_eq!(bench.last_job().reached.as_deref(), Some("C1=C1/1.1"));
    bench.resume(31, pair());
    bench.tick(40);
    assert_eq!(bench.last_job().reached.as_deref(), Some("C1=C1/1.1"), "an attempt that was cut off");
    bench.end(41, "hook", rejected(Cause::Network));
    bench.tick(400);
    assert_eq!(bench.last_job().reached.as_deref(), Some("C1=C1/1.1"), "words without it take nothing back");
}

#[test]
fn what_is_redriven_knows_whom_it_reached() {
    let mut bench = Bench::new(pair());
    bench.submit(1, 1, Severity::High);
    bench.end(2, "hook", partly("C1=C1/1.1"));
    bench.tick(30);
    bench.end(31, "hook", rejected(Cause::Schema));
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "anna".to_owned(), purge: None };
    bench.step(32, Input::DeadLetters(order));
    assert_eq!(bench.last_job().reached.as_deref(), Some("C1=C1/1.1"));
}

#[test]
fn an_end_knows_where_its_beginning_stands() {
    let mut bench = Bench::new(pair());
    bench.submit(1, 1, Severity::High);
    bench.end(2, "hook", arrived("C1=C1/1.1; not C2: gone"));
    bench.resume(3, pair());
    bench.change(4, 1, State::Resolved);
    let job = bench.last_job();
    assert_eq!((job.opened.as_deref(), job.reached.as_deref()), (Some("C1=C1/1.1"), None));
}

#[test]
fn an_end_that_waited_for_its_beginning_knows_where_that_stands() {
    let mut bench = Bench::new(pair());
    bench.submit(1, 1, Severity::High);
    bench.change(2, 1, State::Resolved);
    bench.end(3, "hook", arrived("C1=C1/1.1"));
    assert_eq!(bench.last_job().opened.as_deref(), Some("C1=C1/1.1"));
}

#[test]
fn each_channel_knows_of_its_own_beginning_only() {
    let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(60, "pager")]));
    bench.submit(1, 1, Severity::High);
    bench.end(2, "hook", arrived("C1=C1/1.1"));
    bench.tick(61);
    bench.end(62, "pager", delivered());
    bench.change(70, 1, State::Resolved);
    let opened = |channel: &str| {
        let jobs = bench.acts.iter().filter_map(|act| match act {
            balefire_engine::Act::Send(job) => Some(job),
            _ => None,
        });
        jobs.filter(|job| job.channel == channel).map(|job| job.opened.clone()).next_back()
    };
    assert_eq!(opened("hook"), Some(Some("C1=C1/1.1".to_owned())));
    assert_eq!(opened("pager"), Some(None));
}
