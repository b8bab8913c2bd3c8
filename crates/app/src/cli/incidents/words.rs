//! The words in which people name times, severities and states on the command line, and in which they are told how long
//! something takes.

use crate::clock;
use balefire_model::{Severity, State};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::time::Duration;

/// A time, or how long ago. One that names no zone is UTC, as all times that we show; a date is its midnight.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_seen_from(clock::now(), text)
}

fn moment_seen_from(now: Timestamp, text: &str) -> Result<Timestamp, String> {
    let age = balefire_model::settings::parse_duration(text);
    let moment = match age {
        Some(age) => now.checked_sub(age).ok(),
        None => {
            text.parse().ok().or_else(|| Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()))
        }
    };
    moment.ok_or_else(|| {
        "allowed: a time such as 2026-11-22T03:00:00Z, a date such as 2026-11-22, or an age such as 15m, 2h or 7d"
            .to_owned()
    })
}

/// A time span such as `30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    balefire_model::settings::parse_duration(text).ok_or_else(|| "allowed: a time such as 500ms, 30s or 5m".to_owned())
}

pub(super) fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| format!("allowed: {}", Severity::ALLOWED))
}

pub(super) fn state(text: &str) -> Result<State, String> {
    State::parse(text).ok_or_else(|| "allowed: open, acked, resolved".to_owned())
}

/// How far away a time is: `in 2h 5m`, `2h 5m ago`.
pub(super) fn countdown(now: Timestamp, time: Timestamp) -> String {
    let seconds = time.duration_since(now).as_secs();
    let age = age(seconds.unsigned_abs());
    if seconds < 0 { format!("{age} ago") } else { format!("in {age}") }
}

/// The two largest units of an age: `3d 4h`, `12m 5s`.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, _, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_told_as_what_is_left_of_it() {
        let now: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        assert_eq!(countdown(now, "2026-11-25T02:00:00Z".parse().unwrap()), "in 2d 23h");
        assert_eq!(countdown(now, "2026-11-22T02:59:58Z".parse().unwrap()), "2s ago");
    }

    #[test]
    fn an_age_is_a_time_before_now_and_other_words_are_refused() {
        let now: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        let then: Timestamp = "2026-11-22T01:00:00Z".parse().unwrap();
        assert_eq!(moment_seen_from(now, "2h"), Ok(then));
        assert_eq!(moment_seen_from(now, "2026-11-22T01:00:00Z"), Ok(then));
        assert_eq!(moment_seen_from(now, "2026-11-22 01:00"), Ok(then));
        assert_eq!(moment_seen_from(now, "2026-11-22T02:00+01:00"), Ok(then));
        assert_eq!(moment_seen_from(now, "2026-11-22"), "2026-11-22T00:00:00Z".parse().map_err(|_| String::new()));
        assert!(moment_seen_from(now, "yesterday").unwrap_err().contains("2h"));
    }
}
