//! Text from an incident as a channel shows it: harmless, and no longer than the place for it. Costs what is shown, not
//! what was sent: a title of ten megabytes is not escaped only to be cut.

use balefire_model::text::{lines, one_line};
use std::borrow::Cow;

/// One line of at most `limit` bytes; a mark at its end says what was cut.
pub(crate) fn line(text: &str, limit: usize) -> Cow<'_, str> {
    bounded(text, limit, one_line)
}

/// Lines, of at most `limit` bytes in all; a mark at their end says what was cut.
pub(crate) fn paragraphs(text: &str, limit: usize) -> Cow<'_, str> {
    bounded(text.trim_end(), limit, lines)
}

/// What `escape` makes of the text, or of as much of it as fits, never cut within an escape. The mark counts the bytes
/// of the text as it was sent; where it does not fit itself, it stands alone.
pub(crate) fn bounded<'a>(
    text: &'a str,
    limit: usize,
    escape: impl for<'b> Fn(&'b str) -> Cow<'b, str>,
) -> Cow<'a, str> {
    if text.len() <= limit {
        let whole = escape(text);
        if whole.len() <= limit {
            return whole;
        }
    }
    let mark = |kept: usize| format!("… [cut: {} of {} bytes]", text.len() - kept, text.len());
    let room = limit.saturating_sub(mark(0).len());
    let mut shown = String::with_capacity(limit);
    let mut kept = 0;
    while let Some(c) = text[kept..].chars().next() {
        // A line break of two characters is one.
        let bytes = if text[kept..].starts_with("\r\n") { 2 } else { c.len_utf8() };
        let next = escape(&text[kept..kept + bytes]);
        if shown.len() + next.len() > room {
            break;
        }
        shown.push_str(&next);
        kept += bytes;
    }
    shown.push_str(&mark(kept));
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_model::text::is_unsafe;
    use proptest::prelude::*;

    #[test]
    fn what_fits_is_shown_whole_and_what_does_not_says_so() {
        assert_eq!(line("a\r\nb", 10), "a\\r\\nb");
        assert_eq!(line(&"\0".repeat(100), 40), "\\u{0}\\u{0}… [cut: 98 of 100 bytes]");
        assert_eq!(paragraphs(&"ab\r\n".repeat(100), 40), "ab\nab\nab\nab\na… [cut: 381 of 398 bytes]");
        assert_eq!(line("0123456789", 4), "… [cut: 10 of 10 bytes]");
    }

    proptest! {
        #[test]
        fn the_limit_holds_and_nothing_unsafe_is_shown(text: String, limit in 40usize..200) {
            let text = text.repeat(10);
            let shown = line(&text, limit);
            prop_assert!(shown.len() <= limit && !shown.chars().any(is_unsafe));
            prop_assert!(paragraphs(&text, limit).len() <= limit);
        }
    }
}
