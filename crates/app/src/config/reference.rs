//! docs/configuration.md, generated from the same descriptions that the reader leaves behind.

use super::resolve::fields;
use balefire_model::settings::{FieldDoc, Shape};
use std::fmt::Write;

const INTRODUCTION: &str = include_str!("reference.md");

/// The reference as Markdown.
#[must_use]
pub(crate) fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    section(&mut text, "", "The file", "", &fields());
    text
}

/// A table of the fields, and then a section for each that has fields of its own.
fn section(text: &mut String, path: &str, title: &str, doc: &str, fields: &[FieldDoc]) {
    line(text, &format!("\n## {title}\n"));
    if !doc.is_empty() {
        line(text, &format!("{}\n", sentence(doc)));
    }
    if fields.is_empty() {
        line(text, "No settings.");
        return;
    }
    line(text, "| setting | takes | if not set | meaning |");
    line(text, "|---|---|---|---|");
    for field in fields {
        let unset = match (&field.default, field.required) {
            // More than a word is an explanation.
            (Some(default), _) if default.contains(' ') => default.clone(),
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "must be set".to_owned(),
            (None, false) => String::new(),
        };
        let row = [format!("`{}`", field.name), takes(&field.shape), unset, sentence(field.doc)];
        line(text, &format!("| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    for field in fields {
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        match &field.shape {
            Shape::Section(inner) => section(text, &path, &format!("`{path}`"), field.doc, inner),
            Shape::Map(item) => {
                if let Shape::Section(inner) = item.as_ref() {
                    section(text, &format!("{path}.NAME"), &format!("`{path}.NAME`"), field.doc, inner);
                }
            }
            Shape::List(item) => {
                if let Shape::Section(inner) = item.as_ref() {
                    section(text, &format!("{path}[]"), &format!("`{path}[]`"), field.doc, inner);
                }
            }
            Shape::Any | Shape::Text(_) | Shape::Secret | Shape::Bool | Shape::Integer { .. } | Shape::OneOf(_) => {}
        }
    }
}

fn takes(shape: &Shape) -> String {
    match shape {
        Shape::Text(form) => (*form).to_owned(),
        Shape::Secret => "a secret: text, or `{file: PATH}`".to_owned(),
        Shape::Any => "anything".to_owned(),
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Shape::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Section(_) => "a mapping, see below".to_owned(),
        Shape::List(item) => match item.as_ref() {
            Shape::Section(_) => "a list of mappings, see below".to_owned(),
            item => format!("{}; one, or a list", takes(item)),
        },
        Shape::Map(item) => match item.as_ref() {
            Shape::Section(_) => "names of your own, see below".to_owned(),
            item => format!("names of your own, each with: {}", takes(item)),
        },
    }
}

/// With a capital and a full stop, whoever wrote it.
fn sentence(doc: &str) -> String {
    let mut chars = doc.chars();
    let mut text: String = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    text.push_str(chars.as_str());
    if !text.is_empty() && !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes everything");
}
