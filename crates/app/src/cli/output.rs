//! Standard output and standard error of the commands: written in one place, so that a closed pipe is no failure and a
//! full disk is. Does not know what it writes.

use crate::environment;
use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// What standard output can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Whether escape sequences for colours are wanted.
    pub colors: bool,
    /// How wide it is; none where it is no terminal, and nothing needs cutting.
    pub columns: Option<usize>,
    /// Whether a person looks at it.
    pub is_terminal: bool,
}

impl Screen {
    fn of_stdout() -> Screen {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let size = if is_terminal { rustix::termios::tcgetwinsize(&stdout).ok() } else { None };
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        Screen { colors: environment::colors_on_stdout(), columns, is_terminal }
    }
}

/// Why output could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// Whoever read it has read enough, as `head` does.
    #[error("standard output is closed")]
    Closed,
    /// Anything else, such as a full disk.
    #[error("cannot write to standard output")]
    Failed(#[source] io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> OutputError {
        if error.kind() == io::ErrorKind::BrokenPipe { OutputError::Closed } else { OutputError::Failed(error) }
    }
}

/// Standard output. What was written is not out before [`Output::flush`].
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    /// What it can show.
    pub screen: Screen,
}

impl Output {
    pub(crate) fn new() -> Output {
        Output { out: BufWriter::new(io::stdout().lock()), screen: Screen::of_stdout() }
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), OutputError> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), OutputError> {
        self.text(line)?;
        self.text("\n")
    }

    /// Writes a value as JSON for people and scripts: over several lines.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), OutputError> {
        let text = serde_json::to_string_pretty(value).expect("our values have string keys and no failing serialisers");
        self.raw_json(&text)
    }

    /// Writes a value as JSON on one line.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), OutputError> {
        let text = serde_json::to_string(value).expect("our values have string keys and no failing serialisers");
        self.raw_json(&text)
    }

    /// Writes JSON text as it came, so that a sender's numbers and names stay what they were.
    pub(crate) fn raw_json(&mut self, json: &str) -> Result<(), OutputError> {
        self.line(&self.shown(json.trim_ascii_end()))
    }

    /// Everything written so far is out.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        Ok(self.out.flush()?)
    }

    /// JSON text as the screen may get it: a file or a pipe gets every character as it is.
    fn shown(&self, json: &str) -> String {
        if self.screen.is_terminal { inert_json(json) } else { json.to_owned() }
    }
}

/// JSON that means the same and cannot act on a terminal: what could is written as the escape `\uXXXX`. Line breaks
/// between tokens stay.
pub(crate) fn inert_json(json: &str) -> String {
    let mut inert = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '\r' | '\t') {
            // Raw, they stand between tokens only, where they mean nothing.
            inert.push(' ');
        } else if c == '\n' || !balefire_model::text::is_unsafe(c) {
            inert.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                inert.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    inert
}

/// Tells a person something on standard error, without harm from what it quotes.
pub(crate) fn tell(text: &str) {
    tell_raw(&format!("{}\n", balefire_model::text::lines(text)));
}

/// Shows how far something is, over the last such line, where a person looks at standard error.
pub(crate) fn progress(text: &str) {
    if io::stderr().is_terminal() {
        tell_raw(&format!("\r\u{1b}[K{}", balefire_model::text::one_line(text)));
    }
}

/// Removes the line of [`progress`].
pub(crate) fn progress_ends() {
    progress("");
}

fn tell_raw(text: &str) {
    // Where standard error cannot be written there is no place left to say so; the exit code still tells.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_for_a_terminal_means_the_same_and_holds_nothing_that_acts() {
        let value = serde_json::json!({ "a": "x\u{202e}y\u{9b}31m\u{e0001}", "b": [1, "ä"] });
        let inert = inert_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!inert.chars().any(|c| c != '\n' && balefire_model::text::is_unsafe(c)), "{inert}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&inert).unwrap(), value);
    }

    #[test]
    fn a_closed_pipe_is_not_a_failure() {
        assert!(matches!(OutputError::from(io::Error::from(io::ErrorKind::BrokenPipe)), OutputError::Closed));
        assert!(matches!(OutputError::from(io::Error::from(io::ErrorKind::StorageFull)), OutputError::Failed(_)));
    }
}
