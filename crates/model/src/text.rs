//! Hostile text made harmless: what every channel, log line and terminal shows goes through here. A hostile event is
//! only text: it cannot forge a line, an escape sequence or the direction of reading.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character could act on a terminal, a log or the eye instead of being seen: control characters (C0, DEL,
/// C1), line and paragraph separators, bidirectional controls (Unicode TR 9, section 2), and invisible marks that
/// join, tag or reorder.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The text as one line: every unsafe character, line breaks included, is shown as an escape (`\n`, `\t`, `\u{202e}`).
/// Harmless text comes back as it is.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, |c| !is_unsafe(c))
}

/// The text as lines: line feeds and tabs stay, CR LF becomes LF, everything else unsafe is shown as an escape.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    let text: Cow<'_, str> =
        if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    match text {
        Cow::Borrowed(text) => escape(text, |c| matches!(c, '\n' | '\t') || !is_unsafe(c)),
        Cow::Owned(text) => Cow::Owned(escape(&text, |c| matches!(c, '\n' | '\t') || !is_unsafe(c)).into_owned()),
    }
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&keep) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if keep(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => write!(safe, "\\u{{{:x}}}", u32::from(c)).expect("a String takes everything"),
        }
    }
    Cow::Owned(safe)
}

/// At most `limit` bytes, cut between characters. What was cut is said at the end: `… [cut: 1234 of 5678 bytes]`; the
/// mark counts towards the limit. A limit smaller than the mark gives the mark alone.
#[must_use]
pub fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let mark = |kept: usize| format!("… [cut: {} of {} bytes]", text.len() - kept, text.len());
    let kept = text.floor_char_boundary(limit.saturating_sub(mark(0).len()));
    Cow::Owned(format!("{}{}", &text[..kept], mark(kept)))
}

/// A secret value: prints as `***` wherever it is formatted, and is never serialised.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: String) -> Secret {
        Secret(value)
    }

    /// The value, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn harmless_text_is_borrowed() {
        assert!(matches!(one_line("Brute force from 10.0.0.1 – größer"), Cow::Borrowed(_)));
        assert!(matches!(lines("a\n\tb"), Cow::Borrowed(_)));
    }

    #[test]
    fn controls_are_shown_and_do_not_act() {
        assert_eq!(one_line("a\r\nb\u{1b}[31mc\u{202e}d\0"), "a\\r\\nb\\u{1b}[31mc\\u{202e}d\\u{0}");
        assert_eq!(lines("a\r\nb\rc\u{9b}"), "a\nb\\rc\\u{9b}");
    }

    #[test]
    fn a_cut_says_how_much_is_missing() {
        let text = "ä".repeat(100);
        let cut = cut(&text, 60);
        assert!(cut.len() <= 60, "{}", cut.len());
        assert!(cut.ends_with(" of 200 bytes]"), "{cut}");
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    proptest! {
        #[test]
        fn one_line_is_one_line_of_visible_text(text: String) {
            prop_assert!(!one_line(&text).chars().any(is_unsafe));
        }

        #[test]
        fn a_cut_keeps_the_limit(text: String, limit in 40usize..200) {
            prop_assert!(cut(&text, limit).len() <= limit);
        }
    }
}
