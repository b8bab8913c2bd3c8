//! Texts that the user writes as a template (Jinja syntax), for all kinds. Whatever a template does, it ends, its output has
//! a bound and is what its form says, and values cannot break out of the place where they are put. Everything that can be
//! known when the configuration is read is an error there; what fails later is told to the caller, who has another text.

mod schema;

use crate::body::one_line_json;
use crate::fit::fit;
use crate::mark;
use crate::shown::line;
use crate::slack::escape_mrkdwn;
use balefire_model::settings::Reader;
use balefire_model::text::{lines, one_line};
use balefire_model::{Delivery, Incident};
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, escape_formatter};
use std::borrow::Cow;
use std::io;

/// Instructions that one rendering may take; a loop over a thousand labels takes some ten thousand.
const FUEL: u64 = 200_000;
/// Bytes of the template itself.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// As much of a fault as a message tells.
const NOTE_BYTES_MAX: usize = 300;
const NAME: &str = "template";

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A body of JSON: values are written as JSON, and the whole must be JSON.
    Json,
    /// A body of HTML or XML: values are escaped.
    Markup,
    /// Any other body: values lose their control characters, the rest is what the user wrote.
    Text,
    /// Lines for people, without a character that acts.
    Lines,
    /// HTML for people, without a character that acts.
    Page,
    /// One line: line breaks of the template become spaces, those of values are shown.
    Line,
    /// Lines in Slack's mrkdwn: values lose what is syntax there.
    Mrkdwn,
}

impl Form {
    /// The form that a media type asks for.
    pub(crate) fn of_content_type(content_type: &str) -> Form {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/json" => Form::Json,
            "text/html" | "text/xml" | "application/xml" => Form::Markup,
            _ if kind.ends_with("+json") => Form::Json,
            _ if kind.ends_with("+xml") => Form::Markup,
            _ => Form::Text,
        }
    }

    fn escape(self) -> AutoEscape {
        match self {
            Form::Json => AutoEscape::Json,
            Form::Markup | Form::Page => AutoEscape::Html,
            Form::Text | Form::Lines => AutoEscape::None,
            Form::Line => AutoEscape::Custom(Cow::Borrowed(ONE_LINE)),
            Form::Mrkdwn => AutoEscape::Custom(Cow::Borrowed(MRKDWN)),
        }
    }

    /// What becomes of the whole output. Values have been made harmless before; lists, mappings and what a filter such as
    /// `safe` or `tojson` gives out have not.
    fn finish(self, output: String) -> String {
        match self {
            Form::Json | Form::Markup | Form::Text => output,
            Form::Lines | Form::Page | Form::Mrkdwn => lines(&output).into_owned(),
            // An escape of ours would break a string of JSON.
            Form::Line if is_json(&output) => {
                let line = one_line_json(output.trim().as_bytes().to_vec());
                String::from_utf8(line).expect("JSON on one line is text as it was before")
            }
            Form::Line => {
                let rows: Vec<&str> = output.lines().map(str::trim).filter(|row| !row.is_empty()).collect();
                one_line(&rows.join(" ")).into_owned()
            }
        }
    }
}

/// The name of the escaping that shows line breaks.
const ONE_LINE: &str = "one-line";
/// The name of the escaping for Slack.
const MRKDWN: &str = "mrkdwn";

/// A template that has been compiled and tried.
pub(crate) struct Template {
    environment: Environment<'static>,
    form: Form,
    /// It asks why the message goes out, so it tells that itself.
    tells_reason: bool,
    /// It asks for whom the message stands in.
    tells_stand_in: bool,
}

/// The debug form does not show the text: people write tokens into it.
impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("form", &self.form).finish_non_exhaustive()
    }
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// It does not compile or does not run.
    #[error("{0}")]
    Template(#[from] minijinja::Error),
    /// It does not run for one of the made-up deliveries.
    #[error("{sample}{source}")]
    Sample {
        /// Which one, in words; empty for the ordinary one.
        sample: &'static str,
        /// What happens there.
        source: Box<TemplateError>,
    },
    /// The template itself is too long.
    #[error("is longer than {TEMPLATE_BYTES_MAX} bytes")]
    Long,
    /// More output than allowed.
    #[error("its output is longer than {0} bytes")]
    Large(usize),
    /// No output.
    #[error("its output is empty")]
    Empty,
    /// The output is not what the content type says.
    #[error("its output is not JSON, which the content type says it is: {0} (values are quoted by themselves)")]
    NotJson(serde_json::Error),
    /// The incident cannot be shown to a template.
    #[error("the incident cannot be shown to a template: {0}")]
    Context(serde_json::Error),
}

impl Template {
    /// The template of a setting. What is wrong with it is reported there.
    pub(crate) fn read(
        reader: &Reader<'_>,
        name: &'static str,
        doc: &'static str,
        form: Form,
        limit: usize,
    ) -> Option<Template> {
        let text = reader.text(name, doc).optional()?;
        match Template::compile(&text, form, limit) {
            Ok(template) => Some(template),
            Err(refused) => {
                reader.reject(name, one_line(&refused.to_string()), "");
                None
            }
        }
    }

    /// Compiles a template, and renders it for made-up deliveries of every reason.
    pub(crate) fn compile(source: &str, form: Form, limit: usize) -> Result<Template, TemplateError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::Long);
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        // An error names what is undefined; in release builds, too.
        environment.set_debug(true);
        environment.set_auto_escape_callback(move |_| form.escape());
        environment.set_formatter(format);
        environment.add_template_owned(NAME, source.to_owned())?;
        let asked = environment.get_template(NAME)?.undeclared_variables(true);
        let asks = |names: &[&str]| names.iter().any(|name| asked.contains(*name));
        let (tells_reason, tells_stand_in) =
            (asks(&["type", "delivery.reason", "delivery"]), asks(&["delivery.stands_in_for", "delivery"]));
        let template = Template { environment, form, tells_reason, tells_stand_in };
        for (sample, context) in schema::samples()? {
            let ran = template.run(context, limit);
            ran.map_err(|error| TemplateError::Sample { sample, source: Box::new(error) })?;
        }
        Ok(template)
    }

    /// The template's output for as much of the incident as gives at most `limit` bytes.
    pub(crate) fn render(&self, delivery: &Delivery<'_>, limit: usize) -> Result<String, TemplateError> {
        let render = |incident: &Incident| self.run(schema::context(delivery, incident)?, limit);
        // What was too long may succeed with less, what failed otherwise will not.
        fit(delivery.incident, limit, render, |rendered| match rendered {
            Ok(text) => text.len(),
            Err(TemplateError::Large(_)) => usize::MAX,
            Err(_) => 0,
        })
    }

    /// The output for people, who must not take it for what it is not: behind the marks of the delivery where the
    /// template does not ask for what they say. JSON is for programs, and has none.
    pub(crate) fn render_marked(&self, delivery: &Delivery<'_>, limit: usize) -> Result<String, TemplateError> {
        let mut mark = String::new();
        if !self.tells_reason {
            mark.push_str(mark::reason(delivery));
        }
        if !self.tells_stand_in {
            mark.push_str(&mark::stand_in(delivery));
        }
        if self.form == Form::Mrkdwn {
            mark = escape_mrkdwn(&mark).into_owned();
        }
        let made = self.render_filled(delivery, limit.saturating_sub(mark.len()))?;
        Ok(if is_json(&made) { made } else { mark + &made })
    }

    /// The output, which must say something.
    pub(crate) fn render_filled(&self, delivery: &Delivery<'_>, limit: usize) -> Result<String, TemplateError> {
        let made = self.render(delivery, limit)?;
        if made.trim().is_empty() { Err(TemplateError::Empty) } else { Ok(made) }
    }

    fn run(&self, context: Value, limit: usize) -> Result<String, TemplateError> {
        let mut output = Bounded { bytes: Vec::new(), limit, exceeded: false };
        let rendered = self.environment.get_template(NAME)?.render_captured_to(context, &mut output).map(|_| ());
        if output.exceeded {
            return Err(TemplateError::Large(limit));
        }
        rendered?;
        if self.form == Form::Json {
            serde_json::from_slice::<serde::de::IgnoredAny>(&output.bytes).map_err(TemplateError::NotJson)?;
        }
        let text = String::from_utf8(output.bytes).expect("templates write text");
        let finished = self.form.finish(text);
        if finished.len() > limit { Err(TemplateError::Large(limit)) } else { Ok(finished) }
    }
}

/// What the user's template makes or, where it is left out or fails, a note that says so, for the built-in text.
pub(crate) fn made<T>(delivery: &Delivery<'_>, render: impl FnOnce() -> Result<T, TemplateError>) -> Result<T, String> {
    if delivery.plain {
        return Err("the template was left out: the far side refused what it made".to_owned());
    }
    render().map_err(|failed| line(&format!("the template failed: {failed}"), NOTE_BYTES_MAX).into_owned())
}

/// Whether a text is an object or a list of JSON.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Values are escaped as the form wants it, and lose their control characters before.
fn format(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    match (state.auto_escape(), value.as_str()) {
        (AutoEscape::None, Some(text)) => Ok(output.write_str(&lines(text))?),
        (AutoEscape::Html, Some(text)) if !value.is_safe() => {
            escape_formatter(output, state, &Value::from(lines(text).into_owned()))
        }
        (AutoEscape::Custom(name), text) if name == MRKDWN && !value.is_safe() => {
            let text = text.map_or_else(|| value.to_string(), str::to_owned);
            Ok(output.write_str(&escape_mrkdwn(&lines(&text)))?)
        }
        // What JSON escapes is left to the end: see `Form::finish`.
        (AutoEscape::Custom(_), Some(text)) if value.is_safe() => Ok(output.write_str(text)?),
        (AutoEscape::Custom(_), Some(text)) => Ok(output.write_str(&one_line(text))?),
        (AutoEscape::Custom(_), None) => Ok(write!(output, "{value}")?),
        _ => escape_formatter(output, state, value),
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
    use balefire_model::Reason;

    fn told(source: &str, form: Form, change: impl FnOnce(&mut Delivery<'_>)) -> String {
        let mut incident = fixture::incident();
        incident.title = "<b>\"q\"</b>\r\u{1b}[31m".into();
        let mut delivery = fixture::delivery(&incident);
        change(&mut delivery);
        match Template::compile(source, form, 1000) {
            Err(refused) => format!("refused: {refused}"),
            Ok(template) => match template.render_marked(&delivery, 1000) {
                Ok(output) => output,
                Err(failed) => format!("failed: {failed}"),
            },
        }
    }

    #[track_caller]
    fn check(source: &str, content_type: &str, expected: &str) {
        let told = told(source, Form::of_content_type(content_type), |_| {});
        assert!(told.starts_with(expected), "{told}");
    }

    #[track_caller]
    fn check_form(source: &str, form: Form, expected: &str) {
        assert_eq!(told(source, form, |_| {}), expected);
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
    fn a_line_is_one_line_whatever_the_template_and_its_values_hold() {
        check_form("{{ incident.title }}\n", Form::Line, "<b>\"q\"</b>\\r\\u{1b}[31m");
        check_form("a\n  b \r\n\n\tc\u{202e}\n", Form::Line, "a b c\\u{202e}");
        check_form("{{ incident.title | safe }}", Form::Line, "<b>\"q\"</b>\\r\\u{1b}[31m");
        check_form("{{ ['a\u{202e}'] }}", Form::Line, "['a\\u{202e}']");
        check_form(
            "{\"t\": {{ (incident.title ~ '\u{202e}') | tojson }}}",
            Form::Line,
            r#"{"t": "\u003cb\u003e\"q\"\u003c/b\u003e\r\u001b[31m\u202e"}"#,
        );
    }

    #[test]
    fn a_page_escapes_markup_and_what_acts_on_the_eye() {
        check_form(
            "<i>{{ incident.title }}</i>",
            Form::Page,
            "<i>&lt;b&gt;&quot;q&quot;&lt;&#x2f;b&gt;\\r\\u{1b}[31m</i>",
        );
        check_form("{{ incident.description }}", Form::Lines, "No audit event for 600 s.\nCheck auditd.");
    }

    #[test]
    fn what_cannot_work_is_refused_before_it_is_needed() {
        check(
            "{{ incident.titel }}",
            "text/plain",
            "refused: undefined value: `incident.titel` is undefined (in template:1)",
        );
        check("a\n{% if %}", "text/plain", "refused: syntax error: unexpected end of block (in template:2)");
        check(r#"{"text": "{{ incident.title }}"}"#, "application/json", "refused: its output is not JSON");
        check("{% for i in range(100000) %}x{% endfor %}", "text/plain", "refused: ");
        check("{{ 'x' * 1001 }}", "text/plain", "refused: its output is longer than 1000 bytes");
        check(&"x".repeat(70_000), "text/plain", "refused: is longer than 65536 bytes");
        check(
            "{{ incident.nist_controls[0] }}",
            "text/plain",
            "refused: for an incident without what a sender may leave out: undefined value",
        );
        check(
            "{% if delivery.reason == 'resolved' %}{{ nobody }}{% endif %}",
            "text/plain",
            "refused: for an incident that is over: undefined value",
        );
    }

    #[test]
    fn what_depends_on_the_incident_fails_when_it_is_rendered() {
        check("{{ incident.labels.zone }}", "text/plain", "failed: undefined value");
        check("{{ incident.labels.zone | default('?') }}", "text/plain", "?");
        check("{{ incident.severity_original }} {{ incident.extra }}", "text/plain", "None {}");
        check(
            "{% for name, value in incident.labels | items %}{{ name }}={{ value }}{% endfor %}",
            "text/plain",
            "host=",
        );
        check("{% if incident.severity == 'low' %}x{% endif %}", "text/plain", "failed: its output is empty");
    }

    #[test]
    fn a_template_that_does_not_say_why_it_goes_out_has_the_marks_before_it() {
        let resolved = |delivery: &mut Delivery<'_>| delivery.reason = Reason::Resolved;
        assert_eq!(told("x", Form::Line, resolved), "[RESOLVED] x");
        assert_eq!(told("{{ delivery.reason }}", Form::Line, resolved), "resolved");
        assert_eq!(told("{{ type }}", Form::Line, resolved), "incident.resolved");
        assert_eq!(told("{\"x\": 1}", Form::Line, resolved), "{\"x\": 1}");
        let stands_in = |delivery: &mut Delivery<'_>| {
            delivery.reason = Reason::Fallback;
            delivery.stands_in_for = Some("soc-mail");
        };
        assert_eq!(told("{{ delivery.reason }}", Form::Line, stands_in), "[FOR soc-mail] fallback");
        assert_eq!(told("for {{ delivery.stands_in_for }}", Form::Line, stands_in), "for soc-mail");
        assert_eq!(told("for {{ delivery.stands_in_for }}", Form::Line, |_| {}), "for None");
    }
}
