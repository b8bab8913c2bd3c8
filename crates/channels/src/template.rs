//! Bodies that the user writes as a template (Jinja syntax). Whatever a template does, it ends, its output has a bound and
//! is what its content type says, and values cannot break out of the place where they are put. Everything that can be
//! known when the configuration is read is an error there; what fails later is told to the caller, who has another body.

use crate::body::event_type;
use balefire_model::text::lines;
use balefire_model::{Delivery, DeliveryId, Incident, Reason};
use minijinja::value::{Object, Serde, Value};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, escape_formatter};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Instructions that one rendering may take; a loop over a thousand labels takes some ten thousand.
const FUEL: u64 = 200_000;
/// Bytes of the template itself.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
const NAME: &str = "template";

/// A template that has been compiled and tried.
pub(crate) struct Template {
    environment: Environment<'static>,
    json: bool,
}

/// The debug form does not show the text: people write tokens into it.
impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("json", &self.json).finish_non_exhaustive()
    }
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// It does not compile or does not run.
    #[error("{0}")]
    Template(#[from] minijinja::Error),
    /// The template itself is too long.
    #[error("is longer than {TEMPLATE_BYTES_MAX} bytes")]
    Long,
    /// More output than allowed.
    #[error("its output is longer than {0} bytes")]
    Large(usize),
    /// The output is not what the content type says.
    #[error("its output is not JSON, which the content type says it is: {0} (values are quoted by themselves)")]
    NotJson(serde_json::Error),
    /// The incident cannot be shown to a template.
    #[error("the incident cannot be shown to a template: {0}")]
    Context(serde_json::Error),
}

impl Template {
    /// Compiles a template, and renders it for a made-up incident that has every label.
    pub(crate) fn compile(source: &str, content_type: &str, limit: usize) -> Result<Template, TemplateError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::Long);
        }
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = kind == "application/json" || kind.ends_with("+json");
        let escape = match kind.as_str() {
            _ if json => AutoEscape::Json,
            "text/html" | "text/xml" | "application/xml" => AutoEscape::Html,
            _ if kind.ends_with("+xml") => AutoEscape::Html,
            _ => AutoEscape::None,
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(move |_| escape.clone());
        environment.set_formatter(format);
        environment.add_template_owned(NAME, source.to_owned())?;
        let template = Template { environment, json };
        template.run(sample_context()?, limit)?;
        Ok(template)
    }

    /// The template's output for an incident, at most `limit` bytes.
    pub(crate) fn render(
        &self,
        delivery: &Delivery<'_>,
        incident: &Incident,
        limit: usize,
    ) -> Result<Vec<u8>, TemplateError> {
        let fields = incident_fields(incident)?;
        self.run(context(delivery.id, delivery.channel, delivery.reason, fields), limit)
    }

    fn run(&self, context: Value, limit: usize) -> Result<Vec<u8>, TemplateError> {
        let mut output = Bounded { bytes: Vec::new(), limit, exceeded: false };
        let rendered = self.environment.get_template(NAME)?.render_captured_to(context, &mut output).map(|_| ());
        if output.exceeded {
            return Err(TemplateError::Large(limit));
        }
        rendered?;
        if self.json {
            serde_json::from_slice::<serde::de::IgnoredAny>(&output.bytes).map_err(TemplateError::NotJson)?;
        }
        Ok(output.bytes)
    }
}

/// Values are escaped as the content type wants it; in plain text they lose their control characters.
fn format(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if matches!(state.auto_escape(), AutoEscape::None) => Ok(output.write_str(&lines(text))?),
        _ => escape_formatter(output, state, value),
    }
}

/// The names that a template knows are those of the native body.
fn context(id: DeliveryId, channel: &str, reason: Reason, incident: BTreeMap<String, Value>) -> Value {
    minijinja::context! {
        version => 1,
        type => event_type(reason),
        delivery => minijinja::context! { id => id.to_string(), channel => channel, reason => reason.as_str() },
        incident => Value::from(incident),
    }
}

/// All fields of an incident, those too that its JSON form leaves out when they are empty.
fn incident_fields(incident: &Incident) -> Result<BTreeMap<String, Value>, TemplateError> {
    let mut fields = BTreeMap::from([
        ("severity_original".to_owned(), Value::from(())),
        ("event_time".to_owned(), Value::from(())),
        ("labels".to_owned(), Value::from(BTreeMap::<String, Value>::new())),
        ("notes".to_owned(), Value::from(Vec::<Value>::new())),
        ("extra".to_owned(), Value::from(BTreeMap::<String, Value>::new())),
    ]);
    if let serde_json::Value::Object(present) = serde_json::to_value(incident).map_err(TemplateError::Context)? {
        fields.extend(present.into_iter().map(|(name, value)| (name, Value::from(Serde(&value)))));
    }
    Ok(fields)
}

fn sample_context() -> Result<Value, TemplateError> {
    let incident: Incident = serde_json::from_str(
        r#"{"id": "00000000-0000-7000-8000-000000000000", "title": "a \"title\"", "severity": "high",
            "detected_by": "rule", "description": "two\nlines", "nist_controls": ["3.3.4"], "fingerprint": "0",
            "source": "http", "received_at": "2026-01-01T00:00:00Z"}"#,
    )
    .map_err(TemplateError::Context)?;
    let mut fields = incident_fields(&incident)?;
    fields.insert("labels".to_owned(), Value::from_object(AnyName));
    fields.insert("extra".to_owned(), Value::from_object(AnyName));
    let id = DeliveryId::derive(incident.id, "test", "sample");
    Ok(context(id, "sample", Reason::Test, fields))
}

/// Has every name: which labels senders set cannot be known when the configuration is read.
#[derive(Debug)]
struct AnyName;

impl Object for AnyName {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from("sample"))
    }
}

/// Takes bytes up to a limit and fails then.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.exceeded = true;
            return Err(io::Error::other("the output is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn check(source: &str, content_type: &str, expected: &str) {
        let mut incident = fixture::incident();
        incident.title = "<b>\"q\"</b>\r\u{1b}[31m".into();
        let told = match Template::compile(source, content_type, 1000) {
            Err(refused) => format!("refused: {refused}"),
            Ok(template) => match template.render(&fixture::delivery(&incident), &incident, 1000) {
                Ok(output) => String::from_utf8(output).expect("templates write text"),
                Err(failed) => format!("failed: {failed}"),
            },
        };
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn values_cannot_leave_their_place() {
        check(
            r#"{"text": {{ incident.title }}, "host": {{ incident.labels.host }}}"#,
            "application/json",
            r#"{"text": "#,
        );
        check("<p>{{ incident.title }}</p>", "text/html; charset=utf-8", "<p>&lt;b&gt;&quot;q&quot;&lt;&#x2f;b&gt;");
        check("{{ incident.title }}", "text/plain", "<b>\"q\"</b>\\r\\u{1b}[31m");
    }

    #[test]
    fn what_cannot_work_is_refused_before_it_is_needed() {
        check("{{ incident.titel }}", "text/plain", "refused: undefined value");
        check("{% if %}", "text/plain", "refused: syntax error");
        check(r#"{"text": "{{ incident.title }}"}"#, "application/json", "refused: its output is not JSON");
        check("{% for i in range(100000) %}x{% endfor %}", "text/plain", "refused: ");
        check("{{ 'x' * 1001 }}", "text/plain", "refused: its output is longer than 1000 bytes");
        check(&"x".repeat(70_000), "text/plain", "refused: is longer than 65536 bytes");
    }

    #[test]
    fn what_depends_on_the_incident_fails_when_it_is_rendered() {
        check("{{ incident.labels.zone }}", "text/plain", "failed: undefined value");
        check("{{ incident.labels.zone | default('?') }}", "text/plain", "?");
        check("{{ incident.severity_original }} {{ incident.extra }}", "text/plain", "None {}");
    }
}
