//! Looks through JSON that is passed on unread: how deep it nests, and whether its escapes mean characters. Expects
//! text that a JSON parser has accepted; never recurses.

use serde_json::value::RawValue;

use std::ops::Range;

/// How deep a value nests: 0 for a scalar, 1 for a list of scalars.
pub(super) fn depth(json: &str) -> usize {
    let bytes = json.as_bytes();
    let (mut depth, mut deepest, mut at) = (0usize, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at + 1),
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// Whether a value nests deeper than `max`.
pub(super) fn is_deeper(json: &str, max: usize) -> bool {
    // Counting brackets takes a twentieth of the time of following them, and settles nearly every case.
    let opening = json.bytes().filter(|byte| byte | 0x20 == b'{').count();
    opening > max && depth(json) > max
}

/// The place of the closing quotation mark of the string whose text begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// The first `\uXXXX` that is half of a surrogate pair without the other half (RFC 8259, section 8.2). Parsers differ in
/// what they make of it, and many refuse the whole text.
pub(super) fn lone_surrogate(json: &str) -> Option<Range<usize>> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(next) = bytes.get(at..)?.iter().position(|byte| *byte == b'\\') {
        at += next;
        match escape_unit(bytes, at) {
            Some(0xd800..=0xdbff) => match escape_unit(bytes, at + 6) {
                Some(0xdc00..=0xdfff) => at += 12,
                _ => return Some(at..at + 6),
            },
            Some(0xdc00..=0xdfff) => return Some(at..at + 6),
            Some(_) => at += 6,
            None => at += 2,
        }
    }
    None
}

/// The UTF-16 unit that a `\uXXXX` at this place names.
fn escape_unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// The value to keep: as the sender wrote it, but that line breaks, which valid JSON has only between tokens, become spaces.
/// So an incident stays one line wherever it is written, and no sender can begin another.
pub(super) fn on_one_line(value: &RawValue) -> Box<RawValue> {
    let text = value.get();
    if !text.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return value.to_owned();
    }
    let text = text.replace(['\n', '\r'], " ");
    RawValue::from_string(text).expect("white space for white space leaves JSON valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings_only() {
        let of = depth;
        assert_eq!(of("1"), 0);
        assert_eq!(of("[]"), 1);
        assert_eq!(of(r#"{"a":[1,{"b":"[[[[{{{{"}],"c\"[":"\\"}"#), 3);
        assert_eq!(of(&("[".repeat(1_000_000) + &"]".repeat(1_000_000))), 1_000_000);
    }

    #[test]
    fn only_surrogates_without_their_other_half_are_found() {
        assert_eq!(lone_surrogate(r#""\ud83d\ude00""#), None);
        assert_eq!(lone_surrogate(r#""\\ud800 \u0000 \n""#), None);
        assert_eq!(lone_surrogate(r#""a\ud800""#), Some(2..8));
        assert_eq!(lone_surrogate(r#""\uDE00\uD83D""#), Some(1..7));
        assert_eq!(lone_surrogate(r#""\ud800\ud83d\ude00""#), Some(1..7));
    }
}
