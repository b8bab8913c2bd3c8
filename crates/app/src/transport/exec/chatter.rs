//! What a program says on its standard error, in our log: line by line, harmless, without the secrets that it was given,
//! and never more than the log can bear.

use super::lines::{Line, Lines};
use balefire_model::text::{cut, one_line};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Sleep;

/// Longer lines are cut.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// Lines in one [`SPELL`]: enough for a traceback. What is more is counted.
const LINES_MAX: u32 = 100;
const SPELL: Duration = Duration::from_secs(1);
/// As much of the last line as a failure quotes.
const QUOTE_BYTES_MAX: usize = 300;

/// The standard error of one program.
pub(super) struct Chatter {
    channel: String,
    hidden: Vec<String>,
    lines: Lines,
    /// As it came: most of the lines of a flood are never shown.
    last: Vec<u8>,
    told: u32,
    left_out: u64,
    /// When more may be told.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Chatter {
    pub(super) fn new(channel: &str, hidden: &[&str]) -> Chatter {
        Chatter {
            channel: channel.to_owned(),
            hidden: hidden.iter().map(|text| (*text).to_owned()).collect(),
            lines: Lines::new(LINE_BYTES_MAX),
            last: Vec::new(),
            told: 0,
            left_out: 0,
            pause: None,
        }
    }

    /// Takes what the program said.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
        while let Some(line) = self.lines.next() {
            self.tell(line);
        }
    }

    /// Takes what it said last, without a line break, and says how much was left out.
    pub(super) fn end(&mut self) {
        if let Some(line) = self.lines.rest() {
            self.tell(line);
        }
        self.tell_left_out();
    }

    /// Completes when more may be told; never where nothing was told lately. Cancel-safe.
    pub(super) async fn pause(&mut self) {
        match &mut self.pause {
            Some(pause) => pause.await,
            None => std::future::pending().await,
        }
        self.pause = None;
        self.told = 0;
        self.tell_left_out();
    }

    /// The last line that was not blank, to say why a program ended.
    pub(super) fn last(&self) -> Option<String> {
        let text = self.clean(&String::from_utf8_lossy(&self.last));
        (!text.is_empty()).then(|| cut(&text, QUOTE_BYTES_MAX).into_owned())
    }

    /// The text without the secrets that the program knows, as one harmless line.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.hidden {
            text = text.replace(secret, "***");
        }
        one_line(&text).into_owned()
    }

    fn tell(&mut self, line: Line) {
        let is_cut = matches!(line, Line::Cut(_));
        let (Line::Whole(bytes) | Line::Cut(bytes)) = line;
        if bytes.trim_ascii().is_empty() {
            return;
        }
        self.last = bytes;
        if self.told == LINES_MAX {
            self.left_out += 1;
            return;
        }
        let text = self.clean(&String::from_utf8_lossy(&self.last));
        let mark = if is_cut { "… [cut]" } else { "" };
        tracing::info!(channel = %self.channel, line = %format!("{text}{mark}"), "the program says");
        self.told += 1;
        self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(SPELL)));
    }

    fn tell_left_out(&mut self) {
        let lines = std::mem::take(&mut self.left_out);
        if lines > 0 {
            tracing::warn!(channel = %self.channel, lines, "the program says more than the log takes; lines were left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_cannot_act_and_does_not_repeat_a_secret() {
        let mut chatter = Chatter::new("soc", &["hunter2-long"]);
        chatter.hear(b"password hunter2-long\x1b[31m\xff is wrong\n\n  \n");
        assert_eq!(chatter.last().as_deref(), Some("password ***\\u{1b}[31m\u{fffd} is wrong"));
    }

    #[tokio::test]
    async fn a_flood_is_counted_and_not_told() {
        let mut chatter = Chatter::new("soc", &[]);
        for _ in 0..1000 {
            chatter.hear(&b"x\n".repeat(100));
        }
        assert_eq!((chatter.told, chatter.left_out), (LINES_MAX, 100_000 - u64::from(LINES_MAX)));
        chatter.pause().await;
        assert_eq!((chatter.told, chatter.left_out), (0, 0));
    }
}
