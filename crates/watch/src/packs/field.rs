//! Fields of an event that may be anything: a text, a number, an object, or not there. Compares words without their case, as
//! the logs write them now so and now so.

use serde_json::Value;
use std::borrow::Cow;

/// The value at a path such as `requestParameters.name`.
pub(super) fn at<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(event, |value, name| value.get(name))
}

/// A text, or a number as its digits, or `true` and `false`.
pub(super) fn text<'a>(event: &'a Value, path: &str) -> Option<Cow<'a, str>> {
    match at(event, path)? {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        _ => None,
    }
}

/// The first of several paths that has a text.
pub(super) fn first<'a>(event: &'a Value, paths: &[&str]) -> Option<Cow<'a, str>> {
    paths.iter().find_map(|path| text(event, path))
}

/// Whether a text is this word, whatever its case.
pub(super) fn is(event: &Value, path: &str, word: &str) -> bool {
    text(event, path).is_some_and(|text| text.trim().eq_ignore_ascii_case(word))
}
