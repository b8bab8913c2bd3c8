//! A plugin's arguments: each is taken once, and what nobody took is told. Knows no plugin.

use crate::import::report::quoted;
use crate::import::{At, Report, Verdict, text_of};
use balefire_model::settings::{Node, Place, Value};

/// The arguments of one plugin, and what is said about them.
pub(super) struct Params<'a> {
    /// Such as `plugins.mail.params`.
    path: String,
    /// Where ours go, such as `channels.mail.email`.
    to: String,
    place: Place,
    entries: Vec<(&'a str, &'a Node)>,
    taken: Vec<String>,
    pub(super) report: &'a mut Report,
}

impl<'a> Params<'a> {
    pub(super) fn new(
        node: Option<&'a Node>,
        place: &Place,
        path: &str,
        to: &str,
        report: &'a mut Report,
    ) -> Params<'a> {
        let entries = match node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.iter().map(|(key, node)| (key.name.as_str(), node)).collect(),
            _ => Vec::new(),
        };
        if let Some(node) = node.filter(|node| !matches!(node.value, Value::Map(_))) {
            let text =
                format!("found {}; allowed: a mapping of arguments. Cloudmarker does not start with it", node.found());
            report.note(Verdict::NoCounterpart, At(path, Some(&node.place)), "", &text);
        }
        Params { path: path.to_owned(), to: to.to_owned(), place: place.clone(), entries, taken: Vec::new(), report }
    }

    /// An argument that was given; `null` counts as not given.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a Node> {
        self.taken.push(name.to_owned());
        let node = self.entries.iter().find(|(known, _)| *known == name).map(|(_, node)| *node)?;
        (node.value != Value::Null).then_some(node)
    }

    /// An argument's text.
    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        let node = self.take(name)?;
        let text = text_of(node);
        if text.is_none() {
            self.say(Verdict::NoCounterpart, name, "", &format!("found {}; allowed: a text", node.found()));
        }
        text
    }

    /// An argument's texts: a list, or one alone.
    pub(super) fn texts(&mut self, name: &str) -> Vec<&'a str> {
        match self.take(name).map(|node| (node, &node.value)) {
            Some((_, Value::List(items))) => items.iter().filter_map(text_of).collect(),
            Some((node, _)) => text_of(node).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Says that an argument is here under another name, or the same.
    pub(super) fn mapped(&mut self, name: &str, to: &str) {
        self.say(Verdict::Mapped, name, to, "");
    }

    /// Says that an argument means something else now.
    pub(super) fn changed(&mut self, name: &str, to: &str, text: &str) {
        self.say(Verdict::Changed, name, to, text);
    }

    /// Says that an argument that was given has no counterpart.
    pub(super) fn dropped(&mut self, name: &str, text: &str) {
        if self.take(name).is_some() {
            self.say(Verdict::NoCounterpart, name, "", text);
        }
    }

    fn say(&mut self, verdict: Verdict, name: &str, to: &str, text: &str) {
        let node = self.entries.iter().find(|(known, _)| *known == name);
        let place = node.map_or(&self.place, |(_, node)| &node.place).clone();
        let to = if to.is_empty() { String::new() } else { format!("{}.{to}", self.to) };
        self.report.note(verdict, At(&format!("{}.{name}", self.path), Some(&place)), &to, text);
    }

    /// All arguments, for a plugin that nobody knows.
    pub(super) fn all(&mut self) -> Vec<(&'a str, &'a Node)> {
        self.taken.extend(self.entries.iter().map(|(name, _)| (*name).to_owned()));
        self.entries.clone()
    }

    /// Tells what nobody took.
    pub(super) fn finish(mut self, class: &str) {
        for (name, _) in self.entries.clone() {
            if !self.taken.iter().any(|taken| taken == name) {
                let text = format!("{class} has no argument {}; Cloudmarker fails on it", quoted(name));
                self.say(Verdict::NoCounterpart, name, "", &text);
            }
        }
    }
}
