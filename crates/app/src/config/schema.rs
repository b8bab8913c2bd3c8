//! The JSON Schema of the whole configuration, for editors. Made of the same descriptions that the reader leaves behind.

use super::named::NAME_FORM;
use super::resolve::fields;
use balefire_channels::KINDS;
use balefire_model::settings::Shape;
use serde_json::{Map, Value, json};

/// JSON Schema, draft 2020-12.
#[must_use]
pub(crate) fn schema() -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), "Balefire configuration".into());
    if let Value::Object(sections) = Shape::Section(fields()).schema() {
        schema.extend(sections);
    }
    let mut schema = Value::Object(schema);
    for pointer in [
        "/properties/channels",
        "/properties/inputs",
        "/properties/http/properties/tokens",
        "/properties/runs/properties/schedules",
    ] {
        let Some(Value::Object(named)) = schema.pointer_mut(pointer) else { continue };
        named
            .insert("propertyNames".to_owned(), json!({"pattern": "^[A-Za-z0-9_.-]{1,64}$", "description": NAME_FORM}));
        // A key without a value, as after commenting out all that stood below it.
        named.insert("type".to_owned(), json!(["object", "null"]));
    }
    // Each mapping beside these kinds has exactly one of them.
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.key).collect();
    one_of_keys(&mut schema, "/properties/channels/additionalProperties", &kinds);
    one_of_keys(&mut schema, "/properties/inputs/additionalProperties", &["tail"]);
    schema
}

fn one_of_keys(schema: &mut Value, pointer: &str, keys: &[&str]) {
    if let Some(Value::Object(section)) = schema.pointer_mut(pointer) {
        section.insert("type".to_owned(), "object".into());
        let choices: Vec<_> = keys.iter().map(|key| json!({"required": [key]})).collect();
        section.insert("oneOf".to_owned(), choices.into());
    }
}
