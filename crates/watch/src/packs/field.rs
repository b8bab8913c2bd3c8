//! Fields of an event that may be anything: a text, a number, an object, or not there. Compares words without their case, as
//! the logs write them now so and now so.

use serde_json::Value;
use std::borrow::Cow;

/// The value at a path such as `requestParameters.name`, which some shippers write as one name with dots.
pub(super) fn at<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    let nested = path.split('.').try_fold(event, |value, name| value.get(name));
    nested.or_else(|| event.get(path))
}

/// A text, or a number as its digits, or `true` and `false`; of XML that became JSON the text of an element with attributes.
pub(super) fn text<'a>(event: &'a Value, path: &str) -> Option<Cow<'a, str>> {
    let value = at(event, path)?;
    scalar(value).or_else(|| scalar(value.get("#text").or_else(|| value.get("Value"))?))
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
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

/// Whether the first text of several paths is one of these words, whatever their case.
pub(super) fn is_any(event: &Value, paths: &[&str], words: &[&str]) -> bool {
    first(event, paths).is_some_and(|text| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word)))
}

/// The items of a list; none where it is none.
pub(super) fn list<'a>(event: &'a Value, path: &str) -> &'a [Value] {
    at(event, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
