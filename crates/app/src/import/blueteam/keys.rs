//! The settings of a configuration by their paths: each is told of once, and what nobody has told of in the end is told as
//! what nobody knows. Knows no setting's meaning.

use crate::config::is_understood;
use crate::import::{At, Out, Report, Verdict, entries, text_of};
use balefire_model::settings::{Key, Node, Place, Value, suggest};
use std::collections::BTreeSet;

/// What the engine and its monitor read, as paths.
const KNOWN: [&str; 34] = [
    "database.host",
    "database.port",
    "database.name",
    "database.user",
    "database.password",
    "monitoring.poll_interval_sec",
    "monitoring.log_retention_days",
    "monitoring.verbose",
    "alerting.email.enabled",
    "alerting.email.smtp_host",
    "alerting.email.smtp_port",
    "alerting.email.from_address",
    "alerting.email.recipients",
    "alerting.syslog.enabled",
    "alerting.syslog.facility",
    "collectors.db_audit.enabled",
    "collectors.syslog.enabled",
    "collectors.syslog.path",
    "collectors.nginx.enabled",
    "collectors.nginx.path",
    "collectors.php_errors.enabled",
    "collectors.php_errors.paths",
    "collectors.redteam.enabled",
    "collectors.redteam.reports_dir",
    "correlation.window_seconds",
    "correlation.rules.brute_force.threshold",
    "correlation.rules.brute_force.window_seconds",
    "correlation.rules.credential_stuffing.threshold",
    "correlation.rules.credential_stuffing.window_seconds",
    "correlation.rules.data_exfiltration.threshold",
    "correlation.rules.data_exfiltration.window_seconds",
    "compliance.framework",
    "compliance.target_level",
    "compliance.controls_count",
];

/// Sections as a whole: what becomes of what stands in them, and what takes their place.
const SECTIONS: [(&str, &str); 4] = [
    (
        "collectors",
        "Balefire gathers nothing: the monitor goes on collecting, and hands its incidents over with `from balefire.blueteam \
         import AlertEngine`; programs that write JSON lines need no collector: `inputs: {NAME: {tail: {path: FILE}}}`",
    ),
    (
        "correlation",
        "Balefire correlates nothing: the monitor's rules stay as they are; their names are `detected_by` here, by which \
         routes choose: `match: detected_by = brute_force`",
    ),
    ("compliance", "no alert depends on it: the monitor and its dashboard keep it"),
    (
        "monitoring",
        "Balefire does not poll: an incident goes out when it comes in; nothing here depends on it, the monitor keeps it",
    ),
];

/// The tree, and what was told of it.
pub(super) struct Keys<'a> {
    tree: &'a Node,
    told: BTreeSet<Vec<String>>,
    pub(super) report: Report,
}

impl<'a> Keys<'a> {
    pub(super) fn new(tree: &'a Node) -> Keys<'a> {
        Keys { tree, told: BTreeSet::new(), report: Report::default() }
    }

    /// A setting; `null` counts as not set.
    pub(super) fn node(&self, path: &str) -> Option<&'a Node> {
        let node = path.split('.').try_fold(self.tree, |node, name| node.get(name))?;
        (node.value != Value::Null).then_some(node)
    }

    /// A setting's text. One that is none counts as not set, and is told.
    pub(super) fn text(&mut self, path: &str) -> Option<&'a str> {
        let node = self.node(path)?;
        let text = text_of(node);
        if text.is_none() {
            let said = format!("found {}; allowed: a text. It counts as not set", node.found());
            self.tell(Verdict::NoCounterpart, path, "", &said);
        }
        text
    }

    /// A setting's texts: a list, or one alone.
    pub(super) fn texts(&self, path: &str) -> Vec<&'a str> {
        match self.node(path).map(|node| (node, &node.value)) {
            Some((_, Value::List(items))) => items.iter().filter_map(text_of).collect(),
            Some((node, _)) => text_of(node).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Says what became of a setting, where it stands or not; `to` is the whole path of ours and may be empty.
    pub(super) fn tell(&mut self, verdict: Verdict, path: &str, to: &str, text: &str) {
        let place = self.place(path).cloned();
        self.report.note(verdict, At(path, place.as_ref()), to, text);
        self.told.insert(path.split('.').map(str::to_owned).collect());
    }

    /// Says what became of a setting where it is set.
    pub(super) fn tell_set(&mut self, verdict: Verdict, path: &str, to: &str, text: &str) {
        if self.node(path).is_some() {
            self.tell(verdict, path, to, text);
        }
    }

    /// Where a setting stands.
    fn place(&self, path: &str) -> Option<&'a Place> {
        let node = path.split('.').try_fold(self.tree, |node, name| node.get(name));
        node.map(|node| &node.place)
    }

    /// A text for our configuration: references to the environment stay, as far as they can be read.
    pub(super) fn value(&mut self, path: &str, text: &str) -> Out {
        if text.contains("${") { Out::Reference(self.written(path, text)) } else { Out::text(text) }
    }

    /// The same as a part of a longer text.
    pub(super) fn written(&mut self, path: &str, text: &str) -> String {
        if !text.contains("${") || is_understood(text) {
            return text.to_owned();
        }
        let said = "holds a reference that cannot be read, and is taken as text; allowed: ${NAME}, ${NAME:-default}";
        self.tell(Verdict::Changed, path, "", said);
        text.replace("${", "$${")
    }

    /// Tells of everything of which nobody has told, and gives the report.
    pub(super) fn finish(mut self) -> Report {
        let tree = self.tree;
        self.rest(tree, &mut Vec::new());
        self.report
    }

    fn rest(&mut self, node: &Node, path: &mut Vec<String>) {
        for (key, node) in entries(node) {
            path.push(key.name.clone());
            match &node.value {
                Value::Map(inner) if !inner.is_empty() => self.rest(node, path),
                _ if self.told.contains(path) => {}
                _ => self.unknown(key, node, path),
            }
            path.pop();
        }
    }

    fn unknown(&mut self, key: &Key, node: &Node, path: &[String]) {
        let shown = path.join(".");
        let of_section = SECTIONS.iter().find(|(section, _)| path.first().is_some_and(|first| first == section));
        let is_known = KNOWN.contains(&shown.as_str()) || shown.starts_with("correlation.rules.");
        let hint = suggest(&shown, KNOWN).filter(|_| !is_known);
        let text = match (of_section, hint) {
            _ if matches!(node.value, Value::Null | Value::Map(_)) => "is empty, and says nothing".to_owned(),
            (_, Some(hint)) => format!("the engine reads no such setting; {hint}"),
            (Some((_, text)), None) => (*text).to_owned(),
            (None, None) => "the engine reads no such setting, and neither does Balefire".to_owned(),
        };
        self.report.note(Verdict::NoCounterpart, At(&shown, Some(&key.place)), "", &text);
    }
}
