//! The last lines of what a command says: bounded, harmless, and without the secrets that it was given.

use balefire_model::text::one_line;
use std::collections::VecDeque;
use tokio::io::{AsyncRead, AsyncReadExt};

/// As many lines as an incident quotes.
const LINES_MAX: usize = 20;
/// As much of a line as is kept.
const LINE_BYTES_MAX: usize = 500;
/// One read of a pipe; pipes hold 64 KiB.
const CHUNK_BYTES: usize = 16 * 1024;

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<Vec<u8>>,
    /// The line that has no end yet, and whether more of it came than is kept.
    open: Vec<u8>,
    /// Bytes that are kept of a line: a secret must not be cut in two.
    line_bytes: usize,
}

impl Tail {
    /// For a command that knows these secrets.
    pub(super) fn new(secrets: &[String]) -> Tail {
        let longest = secrets.iter().map(String::len).max().unwrap_or(0);
        Tail { line_bytes: LINE_BYTES_MAX + longest + 1, ..Tail::default() }
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = self.line_bytes.saturating_sub(self.open.len());
            let (text, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            self.open.extend_from_slice(&text[..text.len().min(room)]);
            if is_whole {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let line = std::mem::take(&mut self.open);
        if line.trim_ascii().is_empty() {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The lines, oldest first.
    pub(super) fn finish(mut self, secrets: &[String]) -> Vec<String> {
        self.close();
        let clean = |line: &Vec<u8>| {
            let text = without(&String::from_utf8_lossy(line), secrets);
            let text = one_line(&text);
            match text.len() > LINE_BYTES_MAX {
                true => format!("{}… [cut]", &text[..text.floor_char_boundary(LINE_BYTES_MAX)]),
                false => text.into_owned(),
            }
        };
        self.lines.iter().map(clean).collect()
    }
}

/// The text with `***` in place of each secret.
pub(super) fn without(text: &str, secrets: &[String]) -> String {
    secrets.iter().filter(|secret| !secret.is_empty()).fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// Hears a pipe to its end.
pub(super) async fn hear(mut pipe: impl AsyncRead + Unpin, tail: &mut Tail) {
    let mut chunk = vec![0; CHUNK_BYTES];
    // A pipe that fails is at its end.
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        tail.hear(&chunk[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_harmless_and_without_secrets() {
        let secrets = ["hunter2".to_owned()];
        let mut tail = Tail::new(&secrets);
        (0..1000).for_each(|n| tail.hear(format!("line {n}\n\n").as_bytes()));
        tail.hear(b"pass hun");
        tail.hear(b"ter2\x1b[31m\xff");
        let lines = tail.finish(&secrets);
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[0], "line 981");
        assert_eq!(lines[LINES_MAX - 1], "pass ***\\u{1b}[31m\u{fffd}");
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_memory_than_a_line() {
        let mut tail = Tail::new(&[]);
        (0..1000).for_each(|_| tail.hear(&[b'x'; 1000]));
        assert_eq!(tail.open.len(), LINE_BYTES_MAX + 1);
        assert_eq!(tail.finish(&[]), [format!("{}… [cut]", "x".repeat(LINE_BYTES_MAX))]);
    }
}
