//! Where JSON breaks, and in words what could stand there. Knows nothing of incidents.

use crate::error::{Place, shown};

/// Finds lines and columns. Asked for places in rising order, it reads the text once however many there are.
pub(super) struct Locator<'a> {
    bytes: &'a [u8],
    /// Bytes before `bytes` that belong to the body: a byte order mark.
    skipped: usize,
    seen: usize,
    line: usize,
    line_start: usize,
}

impl<'a> Locator<'a> {
    pub(super) fn new(bytes: &'a [u8], skipped: usize) -> Locator<'a> {
        Locator { bytes, skipped, seen: 0, line: 1, line_start: 0 }
    }

    pub(super) fn place(&mut self, at: usize) -> Place {
        let at = at.min(self.bytes.len());
        if at < self.seen {
            (self.seen, self.line, self.line_start) = (0, 1, 0);
        }
        for (offset, byte) in self.bytes[self.seen..at].iter().enumerate() {
            if *byte == b'\n' {
                self.line += 1;
                self.line_start = self.seen + offset + 1;
            }
        }
        self.seen = at;
        Place { line: self.line, column: at - self.line_start + 1, byte: at + self.skipped }
    }
}

/// A syntax error in terms of the text that was parsed.
pub(super) struct Broken {
    /// The byte in the text.
    pub(super) at: usize,
    /// What is there.
    pub(super) found: String,
    /// What could be there.
    pub(super) allowed: String,
}

/// Reads a parser's error on `text`.
pub(super) fn broken(text: &str, error: &serde_json::Error) -> Broken {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => text.match_indices('\n').nth(line - 2).map_or(0, |(at, _)| at + 1),
    };
    let at = if error.is_eof() { text.len() } else { (line_start + error.column().saturating_sub(1)).min(text.len()) };
    // The parser stops before a control character or after it, depending on what it wanted to do with the string.
    let at = if error.to_string().starts_with("control character") {
        let near = at.saturating_sub(1);
        text.as_bytes()[near..].iter().position(|byte| *byte < 0x20).map_or(at, |offset| near + offset)
    } else {
        text.floor_char_boundary(at)
    };
    let found = match text[at..].chars().next() {
        None => "the end of the text".to_owned(),
        Some(c) => format!("`{}`", shown(c.encode_utf8(&mut [0; 4]))),
    };
    Broken { at, found, allowed: allowed(error) }
}

fn allowed(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let words = match message {
        "EOF while parsing a list" | "expected `,` or `]`" => "`,` and the next value, or `]` at the end of the list",
        "EOF while parsing an object" | "expected `,` or `}`" => {
            "`,` and the next field, or `}` at the end of the object"
        }
        "EOF while parsing a string" => "`\"` at the end of the string",
        "EOF while parsing a value" | "expected value" => {
            "a value: a string in double quotes, a number, true, false, null, a list or an object"
        }
        "expected ident" => "true, false or null",
        "expected `:`" => "`:` between a field's name and its value",
        "expected `\"`" | "key must be a string" => "a field's name in double quotes",
        "invalid escape" => "an escape that JSON knows: \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX",
        "unexpected end of hex escape" | "lone leading surrogate in hex escape" => {
            "a \\uXXXX escape of a character, beyond \\uffff in pairs such as \\ud83d\\ude00"
        }
        "invalid number" => "a number such as 0, -1, 2.5 or 1e6",
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "no control characters in a string; write them as escapes such as \\n or \\u0000"
        }
        "trailing comma" => "a value after `,`; the last one has no comma",
        "trailing characters" => "nothing after the end of the value",
        other => other,
    };
    words.to_owned()
}
