//! A question to `journalctl`, which may take longer than one look. Knows no message.

use crate::look::Moment;
use crate::sensors::child::{Child, Said};
use balefire_model::text::{cut, one_line};
use std::io;
use std::time::Duration;

/// So much may be answered to one question.
const ANSWER_MAX: usize = 1 << 20;

/// So long is waited in one look, and so long in all.
pub(crate) const WAIT: Duration = Duration::from_millis(400);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A question to `journalctl`, and its answer when it is there.
#[derive(Default)]
pub(crate) struct Question {
    asked: Option<(Child, Moment)>,
    pub(crate) answer: Option<Said>,
}

impl Question {
    /// Asks, or waits on for what was asked.
    pub(crate) fn ask(&mut self, now: Moment, arguments: &[&str]) -> io::Result<()> {
        if self.answer.is_some() {
            return Ok(());
        }
        let (mut child, began) = match self.asked.take() {
            Some(asked) => asked,
            None => (Child::begin("journalctl", arguments, None, ANSWER_MAX)?, now),
        };
        self.answer = child.poll(WAIT)?;
        if self.answer.is_none() {
            if now.since(began) > ANSWER_WITHIN {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.asked = Some((child, began));
        }
        Ok(())
    }

    /// It has not answered yet.
    pub(crate) fn is_open(&self) -> bool {
        self.asked.is_some()
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }
}

/// What it complains of, and whether that is of a right that we lack.
pub(crate) fn complaint(said: &Said) -> (String, bool) {
    let text = String::from_utf8_lossy(&said.err);
    let text = cut(&one_line(text.trim()), 300).into_owned();
    let is_right = text.contains("insufficient permissions") || text.contains("not seeing messages");
    (text, is_right)
}
