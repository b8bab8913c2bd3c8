//! An incident from flags: the same for `send` and `routes test`. Does not judge it: the same decoder judges what comes
//! from flags, files and senders.

use balefire_model::incident::Extra;
use clap::Args;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// One incident.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Incident")]
pub(crate) struct Described {
    /// One line for people
    #[arg(short, long)]
    pub title: Option<String>,
    /// critical, high, medium, low or info; another word counts as the configured default, with a note
    #[arg(short, long, requires = "title")]
    severity: Option<String>,
    /// The rule or sensor that found it
    #[arg(long, value_name = "NAME", requires = "title")]
    detected_by: Option<String>,
    /// Text for people, of any number of lines
    #[arg(long, value_name = "TEXT", requires = "title")]
    description: Option<String>,
    /// A NIST SP 800-171 control such as 3.3.4; can be repeated, or be a list with commas
    #[arg(long, value_name = "CONTROL", value_delimiter = ',', requires = "title")]
    nist: Vec<String>,
    /// Controlled unclassified information is involved
    #[arg(long, requires = "title")]
    cui: bool,
    /// A name and a value to route by; can be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value, requires = "title")]
    label: Vec<(String, String)>,
    /// Your own identifier of it
    #[arg(long, value_name = "ID", requires = "title")]
    incident_id: Option<String>,
    /// When it happened, such as 2026-11-22T03:00:00Z
    #[arg(long, value_name = "TIME", requires = "title")]
    event_time: Option<String>,
    /// Incidents with the same fingerprint are about the same thing; made from the other fields if not given
    #[arg(long, value_name = "TEXT", requires = "title")]
    fingerprint: Option<String>,
    /// Any other field, its value as JSON, such as --field 'ports=[22, 23]'; can be repeated
    #[arg(long, value_name = "NAME=JSON", value_parser = name_json, requires = "title")]
    field: Vec<(String, Box<RawValue>)>,
}

impl Described {
    /// The incident as JSON on one line; none where no title was given.
    pub(crate) fn json(&self) -> Option<String> {
        let title = self.title.as_ref()?;
        let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.push((name.to_owned(), to_raw_value(&value).expect("a JSON value is JSON")));
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::String);
        set("title", Some(Value::String(title.clone())));
        set("severity", text(&self.severity));
        set("detected_by", text(&self.detected_by));
        set("description", text(&self.description));
        set("nist_controls", (!self.nist.is_empty()).then(|| self.nist.clone().into()));
        set("cui_involved", self.cui.then_some(Value::Bool(true)));
        set("incident_id", text(&self.incident_id));
        set("event_time", text(&self.event_time));
        set("fingerprint", text(&self.fingerprint));
        let labels: Map<String, Value> =
            self.label.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
        set("labels", (!labels.is_empty()).then_some(Value::Object(labels)));
        fields.extend(self.field.iter().cloned());
        Some(serde_json::to_string(&Extra(fields)).expect("JSON values under string keys are JSON"))
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("allowed: KEY=VALUE".to_owned()),
    }
}

fn name_json(text: &str) -> Result<(String, Box<RawValue>), String> {
    const ALLOWED: &str = "allowed: NAME=JSON, such as port=22 or note='\"a text\"'";
    let (name, json) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or(ALLOWED)?;
    let value: Box<RawValue> = serde_json::from_str(json).map_err(|error| format!("{error}; {ALLOWED}"))?;
    // Between the tokens a line break means nothing, and inside of texts there is none.
    let value = if value.get().contains(['\n', '\r']) {
        RawValue::from_string(value.get().replace(['\n', '\r'], " ")).map_err(|error| error.to_string())?
    } else {
        value
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        described: Described,
    }

    fn json(words: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from(["x"].iter().chain(words)).map_err(|error| error.to_string())?;
        Ok(line.described.json().unwrap_or_default())
    }

    #[test]
    fn every_flag_becomes_its_field() {
        let made = json(&[
            "--title",
            "T \"x\"",
            "--severity",
            "High",
            "--nist",
            "3.3.4,3.3.5",
            "--nist",
            "3.1.1",
            "--cui",
            "--label",
            "host=web-1",
            "--label",
            "q=a=b",
            "--field",
            "n=1.10",
            "--field",
            "o={\"a\":\n1}",
        ]);
        let expected = r#"{"title":"T \"x\"","severity":"High","nist_controls":["3.3.4","3.3.5","3.1.1"],"cui_involved":true,"labels":{"host":"web-1","q":"a=b"},"n":1.10,"o":{"a": 1}}"#;
        assert_eq!(made.unwrap(), expected);
    }

    #[test]
    fn what_is_no_field_is_refused_with_what_is_allowed() {
        assert!(json(&["--title", "t", "--label", "novalue"]).unwrap_err().contains("KEY=VALUE"));
        assert!(json(&["--title", "t", "--field", "a=b"]).unwrap_err().contains("NAME=JSON"));
        assert!(json(&["--severity", "high"]).unwrap_err().contains("--title"));
    }
}
