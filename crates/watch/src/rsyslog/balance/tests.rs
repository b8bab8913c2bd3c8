//! Rounds of counters as rsyslogd wrote them, and what is wrong after each.

use super::super::rounds::Rounds;
use super::*;

const FILL: Fill = Fill { size: Some(1000), warn: 50, high: 80 };

/// What rsyslogd 8.2302 wrote of an input, a queue before a dead target and an output that fails.
fn interval(second: usize, (submitted, enqueued): (u64, u64), (size, discarded): (u64, u64), failed: u64) -> String {
    let stamp = format!("Sun Nov 22 20:{:02}:{:02} 2026: ", second / 60, second % 60);
    [
        r#"{ "name": "global", "origin": "dynstats", "values": { } }"#.to_owned(),
        format!(
            r#"{{ "name": "imuxsock", "origin": "imuxsock", "submitted": {submitted}, "ratelimit.discarded": 0 }}"#
        ),
        r#"{ "name": "TCP-127.0.0.1-59999", "origin": "omfwd", "bytes.sent": 0 }"#.to_owned(),
        format!(
            r#"{{ "name": "fwd", "origin": "core.action", "processed": {enqueued}, "failed": {failed}, "suspended": 0 }}"#
        ),
        format!(
            r#"{{ "name": "fwd queue", "origin": "core.queue", "size": {size}, "enqueued": {enqueued}, "full": 0, "discarded.full": 0, "discarded.nf": {discarded}, "maxqsize": 80 }}"#
        ),
        format!(
            r#"{{ "name": "main Q", "origin": "core.queue", "size": 0, "enqueued": {enqueued}, "full": 0, "discarded.full": 0, "discarded.nf": 0, "maxqsize": 86 }}"#
        ),
    ]
    .map(|object| format!("{stamp}{object}\n"))
    .concat()
}

/// Submitted and enqueued; in the queue of the action and discarded by it; failed in all.
type Interval = ((u64, u64), (u64, u64), u64);

/// What is wrong after each interval.
fn check(intervals: &[Interval]) -> Vec<Vec<String>> {
    let (mut balance, mut rounds, mut seen) = (Balance::default(), Rounds::default(), Vec::new());
    for (number, (input, queue, failed)) in intervals.iter().enumerate() {
        for line in interval(number * 10, *input, *queue, *failed).lines() {
            assert_eq!(rounds.take(line), None);
        }
        balance.take(rounds.settle().unwrap(), FILL);
        seen.push(balance.failures().into_iter().map(|failure| failure.id).collect());
    }
    seen
}

#[test]
fn what_is_submitted_and_not_enqueued_is_lost_until_two_intervals_are_clean() {
    let quiet = (0, 0);
    let seen = check(&[((0, 0), quiet, 0), ((303, 23), quiet, 0), ((313, 33), quiet, 0), ((320, 40), quiet, 0)]);
    assert_eq!(seen, [vec![], vec!["syslog.input_loss"], vec!["syslog.input_loss"], vec![]]);
}

#[test]
fn where_nothing_comes_nothing_is_over() {
    let quiet = (0, 0);
    let lost = |last: &[Interval]| {
        let first = [((0, 0), quiet, 0), ((303, 23), quiet, 0), ((303, 23), quiet, 0), ((303, 23), quiet, 0)];
        check(&[&first[..], last].concat()).pop().unwrap()
    };
    assert_eq!(lost(&[]), ["syslog.input_loss"]);
    assert_eq!(lost(&[((310, 30), quiet, 0), ((310, 30), quiet, 0)]), ["syslog.input_loss"]);
    assert_eq!(lost(&[((310, 30), quiet, 0), ((311, 31), quiet, 0)]), [""; 0]);
    let failed = |last: &[Interval]| {
        let first = [((0, 0), quiet, 0), ((5, 5), quiet, 5), ((5, 5), quiet, 5), ((5, 5), quiet, 5)];
        check(&[&first[..], last].concat()).pop().unwrap()
    };
    assert_eq!(failed(&[]), ["syslog.action_failed"]);
    assert_eq!(failed(&[((6, 6), quiet, 5), ((7, 7), quiet, 5)]), [""; 0]);
    let dropped = |last: &[Interval]| {
        let first =
            [((0, 0), quiet, 0), ((150, 150), (80, 70), 0), ((150, 150), (80, 70), 0), ((150, 150), (80, 70), 0)];
        check(&[&first[..], last].concat()).pop().unwrap()
    };
    assert!(dropped(&[]).contains(&"syslog.queue_loss".to_owned()));
    assert_eq!(dropped(&[((150, 150), (20, 70), 0), ((151, 151), (0, 70), 0)]), [""; 0]);
}

#[test]
fn a_restart_knows_what_was_wrong() {
    let mut balance = Balance::default();
    let round = |balance: &mut Balance, second: usize, failed: u64| {
        let mut rounds = Rounds::default();
        for line in interval(second, (failed, failed), (0, 0), failed).lines() {
            rounds.take(line);
        }
        balance.take(rounds.settle().unwrap(), FILL);
    };
    round(&mut balance, 0, 0);
    round(&mut balance, 10, 5);
    let kept: Opens = serde_json::from_value(serde_json::to_value(balance.open()).unwrap()).unwrap();
    let mut next = Balance::new(false, kept);
    for second in [20, 30, 40, 50] {
        round(&mut next, second, 5);
    }
    assert_eq!(next.failures().len(), 1, "nothing has gone through it since");
}

#[test]
fn what_is_on_its_way_between_two_counters_is_not_lost() {
    let quiet = (0, 0);
    let rounds = [(0, 0), (1000, 992), (2000, 1997), (3000, 2991), (4000, 4000)].map(|input| (input, quiet, 0));
    assert!(check(&rounds).into_iter().all(|seen| seen.is_empty()));
}

#[test]
fn a_few_messages_that_never_come_are_lost() {
    let quiet = (0, 0);
    let seen = check(&[((0, 0), quiet, 0), ((1000, 995), quiet, 0), ((1000, 995), quiet, 0)]);
    assert_eq!((seen[1].len(), seen[2].as_slice()), (0, &["syslog.input_loss".to_owned()][..]));
    let steady: Vec<_> = (0..30).map(|round| ((round * 1000, round * 999), quiet, 0)).collect();
    assert!(check(&steady).into_iter().any(|seen| !seen.is_empty()), "a little, again and again, is told");
}

#[test]
fn a_dead_target_shows_in_its_queue_while_its_action_says_nothing_failed() {
    let seen = check(&[((0, 0), (0, 0), 0), ((150, 150), (80, 70), 0), ((200, 200), (80, 120), 0)]);
    assert_eq!(seen[1], ["syslog.queue_loss"]);
    assert_eq!(seen[2], ["syslog.queue_growth", "syslog.queue_loss"]);
}

#[test]
fn a_queue_that_fills_is_told_with_the_time_that_is_left() {
    let seen = check(&[((0, 0), (0, 0), 0), ((600, 600), (500, 0), 0), ((950, 950), (800, 0), 0)]);
    assert_eq!(seen[1], ["syslog.queue_growth"]);
    assert_eq!(until_full(500, 800, 1000), ", full in 1 intervals");
}

#[test]
fn an_output_that_fails_is_told_and_its_losses_are_summed() {
    let mut balance = Balance::default();
    for (number, failed) in [0, 150, 593].into_iter().enumerate() {
        let mut rounds = Rounds::default();
        for line in interval(number * 10, (failed, failed), (0, 0), failed).lines() {
            rounds.take(line);
        }
        balance.take(rounds.settle().unwrap(), FILL);
    }
    let failures = balance.failures();
    assert_eq!((failures[0].id.as_str(), failures[0].loss.as_ref().unwrap().count), ("syslog.action_failed", 593));
}

#[test]
fn a_daemon_that_starts_anew_has_lost_nothing_by_that() {
    let quiet = (0, 0);
    let seen = check(&[((500, 500), quiet, 0), ((700, 700), quiet, 0), ((20, 20), quiet, 0), ((40, 40), quiet, 0)]);
    assert!(seen.into_iter().all(|seen| seen.is_empty()));
}

#[test]
fn a_round_that_comes_in_pieces_is_no_loss() {
    let mut balance = Balance::default();
    let lines = |second: usize, messages: u64| -> Vec<String> {
        interval(second, (messages, messages), (0, 0), 0).lines().map(str::to_owned).collect()
    };
    let mut take = |lines: &[String]| {
        let mut rounds = Rounds::default();
        lines.iter().for_each(|line| assert_eq!(rounds.take(line), None));
        balance.take(rounds.settle().unwrap(), FILL);
        assert_eq!(balance.failures(), [], "{lines:?}");
    };
    let first = lines(0, 0);
    take(&first[..3]);
    take(&first[3..]);
    for (number, messages) in [300, 600, 900].into_iter().enumerate() {
        let all = lines(10 + number * 10, messages);
        for piece in all.chunks(2) {
            take(piece);
        }
    }
}
