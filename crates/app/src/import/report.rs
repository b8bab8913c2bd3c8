//! What became of every setting of a configuration that was imported. Never shows a secret: callers hand it words, names
//! and what is no secret.

use balefire_model::settings::Place;
use balefire_model::text::{cut, one_line};
use serde::Serialize;

/// How much of a value a line shows.
const SHOWN_BYTES_MAX: usize = 120;

/// What became of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It means the same here.
    Mapped,
    /// It is here, and means something else.
    Changed,
    /// It stays where it is.
    Stays,
    /// There is nothing like it here.
    NoCounterpart,
}

impl Verdict {
    /// What needs a person most comes first.
    const ALL: [(Verdict, &'static str); 4] = [
        (Verdict::NoCounterpart, "Without counterpart"),
        (Verdict::Changed, "Changed in meaning"),
        (Verdict::Stays, "Stays in Cloudmarker"),
        (Verdict::Mapped, "Mapped"),
    ];
}

/// A setting's path, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a>(pub &'a str, pub Option<&'a Place>);

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    pub verdict: Verdict,
    /// The setting's path, such as `plugins.mail.params.host`.
    pub setting: String,
    /// Where it stands; none for what was not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Our setting that takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What there is to say.
    pub text: String,
}

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub lines: Vec<Line>,
}

impl Report {
    /// Takes note of a setting. `to` may be empty.
    pub(crate) fn note(&mut self, verdict: Verdict, at: At<'_>, to: &str, text: &str) {
        let At(setting, place) = at;
        let shown = |text: &str| one_line(&cut(text, 4 * SHOWN_BYTES_MAX)).into_owned();
        self.lines.push(Line {
            verdict,
            setting: shown(setting),
            place: place.filter(|place| place.line > 0).map(|place| shown(&format!("{}:{}", place.file, place.line))),
            to: (!to.is_empty()).then(|| shown(to)),
            text: shown(text),
        });
    }

    /// How many lines have this verdict.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }

    /// The report for people; what needs them most comes first.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (verdict, title) in Verdict::ALL {
            let count = self.count(verdict);
            if count == 0 {
                continue;
            }
            text.push_str(&format!("{title} ({count}):\n"));
            for line in self.lines.iter().filter(|line| line.verdict == verdict) {
                let place = line.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
                let to = line.to.as_ref().map(|to| format!(" -> {to}")).unwrap_or_default();
                let said = if line.text.is_empty() { String::new() } else { format!(": {}", line.text) };
                text.push_str(&format!("  {place}{}{to}{said}\n", line.setting));
            }
            text.push('\n');
        }
        text
    }
}

/// A value as a line may show it.
pub(super) fn quoted(value: &str) -> String {
    format!("{:?}", cut(value, SHOWN_BYTES_MAX))
}
