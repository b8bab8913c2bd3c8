//! What a job tells of its runs: that one begins, that it ended, that it failed. Pure; knows no timetable.

use crate::look::Moment;
use balefire_model::text::{cut, one_line};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// As much of a job's own words is kept.
const WORDS_BYTES_MAX: usize = 1000;

/// What a source of heartbeats tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is alive; of a job: its run has ended well.
    Alive,
    /// A run begins.
    Began,
    /// A run has failed, in the job's own words, which may be none.
    Failed(String),
}

/// What was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// When anything was told.
    pub(super) last: Option<Moment>,
    /// When the run began that is under way.
    pub(super) began: Option<Moment>,
    /// How long the last one took that ended well.
    pub(super) took: Option<Duration>,
    /// When a run failed that none that ended well has followed, and what it said.
    pub(super) failed: Option<(Moment, String)>,
}

/// The form in the journal. Times are of the wall clock: the other one begins anew with the machine.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    last: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<(Timestamp, String)>,
}

impl Pulse {
    /// Takes note of a sign.
    pub fn take(&mut self, now: Moment, sign: Sign) {
        self.last = Some(now);
        match sign {
            Sign::Began => self.began = Some(now),
            Sign::Alive => {
                self.took = self.began.take().map(|began| now.since(began));
                self.failed = None;
            }
            Sign::Failed(words) => {
                self.began = None;
                self.failed = Some((now, cut(&one_line(words.trim()), WORDS_BYTES_MAX).into_owned()));
            }
        }
    }

    /// For the journal.
    #[must_use]
    pub fn write(&self) -> String {
        let written = Written {
            last: self.last.map(|last| last.wall),
            began: self.began.map(|began| began.wall),
            took_ms: self.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            failed: self.failed.clone().map(|(at, words)| (at.wall, words)),
        };
        serde_json::to_string(&written).expect("times and texts are JSON")
    }

    /// From the journal; `None` where it is not understood.
    #[must_use]
    pub fn read(now: Moment, text: &str) -> Option<Pulse> {
        let written: Written = serde_json::from_str(text).ok()?;
        let moment = |wall: Timestamp| {
            let ago = now.wall.duration_since(wall).max(SignedDuration::ZERO).unsigned_abs();
            Moment { boot: now.boot.saturating_sub(ago), wall }
        };
        Some(Pulse {
            last: written.last.map(moment),
            began: written.began.map(moment),
            took: written.took_ms.map(Duration::from_millis),
            failed: written.failed.map(|(at, words)| (moment(at), words)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    #[test]
    fn a_run_takes_from_its_begin_to_its_end_and_a_failure_lasts_until_one_ends_well() {
        let mut pulse = Pulse::default();
        pulse.take(at(0), Sign::Began);
        pulse.take(at(90), Sign::Alive);
        assert_eq!((pulse.began, pulse.took, pulse.last), (None, Some(Duration::from_secs(90)), Some(at(90))));
        pulse.take(at(100), Sign::Failed(" disk\nfull \u{1b}[2J".to_owned()));
        pulse.take(at(110), Sign::Began);
        let words = pulse.failed.clone().map(|(_, words)| words).unwrap();
        assert!(words.contains("full") && !words.contains(['\n', '\u{1b}']), "{words:?}");
        pulse.take(at(120), Sign::Alive);
        assert_eq!(pulse.failed, None);
    }

    #[test]
    fn what_was_told_survives_a_restart_and_an_unknown_form_begins_anew() {
        let mut pulse = Pulse::default();
        pulse.take(at(0), Sign::Failed("x".repeat(5000)));
        pulse.take(at(5), Sign::Began);
        assert_eq!(Pulse::read(at(50), &pulse.write()), Some(pulse.clone()));
        assert!(pulse.write().len() < 2 * WORDS_BYTES_MAX);
        assert_eq!(Pulse::read(at(0), "12:34"), None);
    }
}
