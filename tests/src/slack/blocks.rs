//! What Block Kit allows (docs.slack.dev/reference/block-kit, as of November 2026), and what a reader sees. Knows no method.

use serde_json::Value;

const BLOCKS_MAX: usize = 50;
const FIELDS_MAX: usize = 10;
const ELEMENTS_MAX: usize = 10;

/// Checks a list of blocks.
///
/// # Errors
/// What the real one would not take.
pub fn check(list: &Value) -> Result<(), String> {
    let list = list.as_array().ok_or("no list")?;
    if list.is_empty() || list.len() > BLOCKS_MAX {
        return Err(format!("{} blocks", list.len()));
    }
    list.iter()
        .enumerate()
        .try_for_each(|(place, block)| check_block(block).map_err(|why| format!("block {place}: {why}")))
}

fn check_block(block: &Value) -> Result<(), String> {
    let keys: Vec<&str> = block.as_object().ok_or("no object")?.keys().map(String::as_str).collect();
    let only = |allowed: &[&str]| match keys.iter().find(|key| !allowed.contains(key)) {
        Some(key) => Err(format!("unknown key {key}")),
        None => Ok(()),
    };
    match block["type"].as_str() {
        Some("divider") => only(&["type", "block_id"]),
        Some("header") => {
            only(&["type", "text", "block_id"])?;
            check_text(&block["text"], 150, &["plain_text"])
        }
        Some("section") => {
            only(&["type", "text", "fields", "block_id"])?;
            let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
            if block["text"].is_null() && fields.is_empty() || fields.len() > FIELDS_MAX {
                return Err(format!("a section with {} fields", fields.len()));
            }
            if !block["text"].is_null() {
                check_text(&block["text"], 3_000, &["plain_text", "mrkdwn"])?;
            }
            fields.iter().try_for_each(|field| check_text(field, 2_000, &["plain_text", "mrkdwn"]))
        }
        Some("context") => {
            only(&["type", "elements", "block_id"])?;
            let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
            if elements.is_empty() || elements.len() > ELEMENTS_MAX {
                return Err(format!("{} elements", elements.len()));
            }
            elements.iter().try_for_each(|element| check_text(element, 3_000, &["plain_text", "mrkdwn"]))
        }
        other => Err(format!("unsupported type {other:?}")),
    }
}

fn check_text(text: &Value, limit: usize, kinds: &[&str]) -> Result<(), String> {
    let kind = text["type"].as_str().unwrap_or_default();
    if !kinds.contains(&kind) {
        return Err(format!("a text of type {kind:?}"));
    }
    let wrong_key = if kind == "mrkdwn" { "emoji" } else { "verbatim" };
    if !text[wrong_key].is_null() {
        return Err(format!("{wrong_key} has no meaning in {kind}"));
    }
    let chars = text["text"].as_str().ok_or("no text")?.chars().count();
    if chars == 0 || chars > limit { Err(format!("{chars} characters, at most {limit}")) } else { Ok(()) }
}

/// Every text of a message as it was sent: the text for notifications first.
#[must_use]
pub fn texts(body: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    collect(body, &mut texts);
    texts
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            texts.extend(fields.get("text").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, texts));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        _ => {}
    }
}

/// What Slack reads as its own syntax in a text: mentions and links, without their brackets.
#[must_use]
pub fn syntax(text: &str) -> Vec<String> {
    let parts = text.split('<').skip(1);
    parts.map(|part| part.split('>').next().unwrap_or(part).to_owned()).collect()
}
