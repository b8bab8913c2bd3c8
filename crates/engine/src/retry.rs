//! What follows an attempt: done, another try at a time, or the end. Jitter is a function of the delivery and the
//! attempt, so that a replay and a second node decide alike.

use balefire_model::record::Next;
use balefire_model::{Cause, DeliveryId, Outcome};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How patient a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failure; doubled after each further one.
    pub initial: Duration,
    /// The longest wait between two tries.
    pub cap: Duration,
    /// How long after the decision to deliver we still try. 28 h by default: a night, a day, and the next morning.
    pub horizon: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            initial: Duration::from_secs(1),
            cap: Duration::from_secs(300),
            horizon: Duration::from_secs(28 * 3600),
        }
    }
}

/// The least wait after refused credentials: a person has to act, and hammering locks accounts.
const AUTH_WAIT: Duration = Duration::from_secs(60);

/// The longest wait that a far side may ask for.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// One attempt that ended, with what the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub delivery: DeliveryId,
    pub attempt: u32,
    /// Failures of the whole channel since its last success, this one included.
    pub failures: u32,
    pub decided_at: Timestamp,
    pub now: Timestamp,
    pub outcome: &'a Outcome,
}

/// Decides what follows.
pub(crate) fn after(ended: &Ended<'_>, retry: &Retry) -> Next {
    let back_off = back_off(retry, ended.attempt.max(ended.failures), ended.delivery, ended.attempt);
    match ended.outcome {
        Outcome::Delivered { .. } => Next::Done,
        Outcome::Unknown => Next::Retry(ended.now),
        Outcome::Deferred { after_ms, detail } => {
            let asked = after_ms.map(Duration::from_millis).unwrap_or(back_off);
            within_horizon(ended, retry, asked.min(ASKED_WAIT_MAX), Cause::Quota, detail)
        }
        Outcome::Rejected { cause: cause @ (Cause::Size | Cause::Schema | Cause::Gone), detail } => {
            Next::GiveUp { cause: *cause, reason: detail.clone() }
        }
        Outcome::Rejected { cause: Cause::Auth, detail } => {
            within_horizon(ended, retry, back_off.max(AUTH_WAIT), Cause::Auth, detail)
        }
        Outcome::Rejected { cause, detail } => within_horizon(ended, retry, back_off, *cause, detail),
    }
}

/// Whether the far side wanted nothing of what was sent, so that another body may do better.
pub(crate) fn is_payload_fault(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected { cause: Cause::Schema | Cause::Size, .. })
}

fn within_horizon(ended: &Ended<'_>, retry: &Retry, wait: Duration, cause: Cause, detail: &str) -> Next {
    let next = later(ended.now, wait);
    if next <= later(ended.decided_at, retry.horizon) {
        return Next::Retry(next);
    }
    let reason = format!("not delivered within {} s and {} attempts: {detail}", retry.horizon.as_secs(), ended.attempt);
    Next::GiveUp { cause, reason }
}

/// Exponential, capped, and spread over 75 % to 125 % so that what failed together does not return together.
fn back_off(retry: &Retry, exponent: u32, delivery: DeliveryId, attempt: u32) -> Duration {
    let doubled = retry.initial.saturating_mul(1_u32.checked_shl(exponent.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(retry.cap).mul_f64(0.75 + 0.5 * spread(delivery, attempt))
}

/// A number in 0..1 from the delivery and the attempt: FNV-1a, 64 bits.
fn spread(delivery: DeliveryId, attempt: u32) -> f64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in delivery.0.as_bytes().iter().chain(&attempt.to_be_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    f64::from(u32::try_from(hash >> 32).expect("32 bits are left")) / f64::from(u32::MAX)
}

/// `wait` after `time`; the end of time where that is past it.
pub(crate) fn later(time: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| time.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn next(outcome: &Outcome, attempt: u32, age: Duration) -> Next {
        let delivery = DeliveryId::derive("01935f1c-7c00-7000-8000-000000000001".parse().unwrap(), "opened", "hook");
        let now = later(NOW, age);
        after(&Ended { delivery, attempt, failures: attempt, decided_at: NOW, now, outcome }, &Retry::default())
    }

    fn wait(outcome: &Outcome, attempt: u32) -> f64 {
        match next(outcome, attempt, Duration::ZERO) {
            Next::Retry(at) => at.duration_since(NOW).as_secs_f64(),
            other => panic!("expected a retry, got {other:?}"),
        }
    }

    fn rejected(cause: Cause) -> Outcome {
        Outcome::Rejected { cause, detail: "because".into() }
    }

    #[test]
    fn network_failures_back_off_up_to_the_cap() {
        let network = rejected(Cause::Network);
        let waits: Vec<f64> = [1, 2, 3, 9, 40].map(|attempt| wait(&network, attempt)).to_vec();
        for (wait, expected) in waits.iter().zip([1.0, 2.0, 4.0, 256.0, 300.0]) {
            assert!((expected * 0.75..=expected * 1.25).contains(wait), "{wait} is not around {expected}");
        }
        assert_eq!(wait(&network, 3), waits[2], "the same attempt waits the same time");
    }

    #[test]
    fn refused_credentials_wait_at_least_a_minute() {
        assert!(wait(&rejected(Cause::Auth), 1) >= 60.0);
    }

    #[test]
    fn a_far_side_that_asks_for_patience_gets_what_it_asked_for() {
        let deferred = |after_ms| Outcome::Deferred { after_ms, detail: "429".into() };
        assert_eq!(wait(&deferred(Some(7_000)), 1), 7.0);
        assert_eq!(wait(&deferred(Some(u64::MAX)), 1), 86_400.0);
        assert!(wait(&deferred(None), 1) > 0.0);
    }

    #[test]
    fn what_cannot_get_better_is_given_up_at_once() {
        for cause in [Cause::Size, Cause::Schema, Cause::Gone] {
            let expected = Next::GiveUp { cause, reason: "because".into() };
            assert_eq!(next(&rejected(cause), 1, Duration::ZERO), expected);
        }
    }

    #[test]
    fn after_the_horizon_it_is_given_up_with_the_last_reply() {
        let Next::GiveUp { cause, reason } = next(&rejected(Cause::Network), 5, Duration::from_secs(28 * 3600)) else {
            panic!("not given up");
        };
        assert_eq!(cause, Cause::Network);
        assert!(reason.ends_with("5 attempts: because"), "{reason}");
    }

    #[test]
    fn an_unknown_outcome_is_tried_again_at_once() {
        assert_eq!(next(&Outcome::Unknown, 1, Duration::ZERO), Next::Retry(NOW));
    }
}
