//! Cloudmarker's configuration becomes ours: stores and alerts become channels, audits become routes, and what gathers and
//! judges stays with Cloudmarker, which sends its records here. Pure: the command reads and writes the files.

mod audits;
mod base;
mod mail;
mod merge;
mod params;
mod plugins;
mod secrets;
#[cfg(test)]
mod tests;

pub(crate) use base::SEARCH_PATH;
pub(crate) use secrets::SecretFile;

use super::{At, Out, Report, Verdict, yaml};
use crate::config::parse_yaml;
use audits::Audit;
use balefire_model::settings::{Key, Node, Place, Problem, Value, suggest};
use params::Params;
use secrets::Secrets;
use std::collections::BTreeMap;

/// What is known at the top of a configuration.
const TOP_LEVEL: [&str; 6] = ["plugins", "audits", "run", "schedule", "email", "logger"];

/// The sections that held plugins before April 2019.
const OLD_SECTIONS: [&str; 4] = ["clouds", "stores", "events", "alerts"];

/// The channel that hears of begins and ends.
const NOTICES: &str = "run-notices";

/// One file that was read.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its name in places.
    pub name: String,
    pub text: String,
}

/// Where what is written will be, as absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The directory of secrets' files.
    pub secrets: String,
    /// The file that is laid over Cloudmarker's own.
    pub overlay: String,
    /// The data directory.
    pub data: String,
}

/// What a configuration came to.
#[derive(Debug)]
pub(crate) struct Imported {
    /// Our configuration.
    pub balefire: String,
    /// What Cloudmarker gets as its last file, so that it sends its records here.
    pub overlay: String,
    pub secrets: Vec<SecretFile>,
    pub report: Report,
}

/// Imports the files, the later over the earlier.
///
/// # Errors
/// What in them is no YAML.
pub(crate) fn import(files: &[File], target: &Target) -> Result<Imported, Vec<Problem>> {
    let mut importer =
        Importer { report: Report::default(), secrets: Secrets::new(&target.secrets), channels: BTreeMap::new() };
    let tree = importer.tree(files)?;
    importer.top_level(&tree);
    let audits = audits::read(&tree, &mut importer.report);
    let mut routes = Vec::new();
    importer.notices(&tree, &audits, &mut routes);
    for audit in &audits {
        importer.audit(audit, &tree, &mut routes);
    }
    importer.rest(&tree, &audits);
    let settings = [
        ("data", Out::text(&*target.data)),
        ("channels", Out::Map(importer.channels.into_values().collect())),
        ("routing", Out::text("custom")),
        ("routes", Out::List(routes)),
    ];
    let settings = settings.into_iter().filter(|(_, value)| *value != Out::Map(Vec::new()));
    let settings = Out::Map(settings.map(|(key, value)| (key.to_owned(), value)).collect());
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let names = if names.is_empty() { base::NAME.to_owned() } else { names.join(", ") };
    let names = balefire_model::text::one_line(&names).into_owned();
    Ok(Imported {
        balefire: format!("# Made by `balefire import cloudmarker` of {names}.\n{}", yaml(&settings)),
        overlay: audits::overlay(&audits),
        secrets: importer.secrets.files,
        report: importer.report,
    })
}

struct Importer {
    report: Report,
    secrets: Secrets,
    /// By the plugin's key: the name and the settings.
    channels: BTreeMap<String, (String, Out)>,
}

impl Importer {
    /// Cloudmarker's own configuration with the files laid over it.
    fn tree(&mut self, files: &[File]) -> Result<Node, Vec<Problem>> {
        let parsed = parse_yaml(base::TEXT, base::NAME);
        let mut tree = parsed.node.expect("our text is YAML");
        unplace(&mut tree);
        let mut problems = Vec::new();
        for file in files {
            let mut parsed = parse_yaml(&file.text, &file.name);
            problems.append(&mut parsed.problems);
            let Some(mut node) = parsed.node else { continue };
            match &mut node.value {
                Value::Null => {
                    let text = "the file is empty: Cloudmarker does not start with it; here it says nothing";
                    self.report.note(Verdict::Changed, At(&file.name, None), "", text);
                }
                Value::Map(entries) => {
                    self.old_sections(entries);
                    merge::merge(&mut tree, node);
                }
                _ => problems.push(Problem {
                    place: node.place.clone(),
                    path: String::new(),
                    what: format!("found {}", node.found()),
                    allowed: Some("a mapping with `plugins`, `audits` and `run`".to_owned()),
                    hint: None,
                }),
            }
        }
        if problems.is_empty() { Ok(tree) } else { Err(problems) }
    }

    /// Joins sections of plugins from before there was one for all.
    fn old_sections(&mut self, entries: &mut Vec<(Key, Node)>) {
        for name in OLD_SECTIONS {
            let Some(at) = entries.iter().position(|(key, _)| key.name == name) else { continue };
            let (key, node) = entries.remove(at);
            let text = "the section from before April 2019, which Cloudmarker skips today; its plugins count here";
            self.report.note(Verdict::Changed, At(name, Some(&key.place)), "plugins", text);
            match entries.iter_mut().find(|(known, _)| known.name == "plugins") {
                Some((_, plugins)) => merge::merge(plugins, node),
                None => entries.push((Key { name: "plugins".to_owned(), place: key.place }, node)),
            }
        }
    }

    /// What stands at the top, beside plugins, audits and `email`.
    fn top_level(&mut self, tree: &Node) {
        for (key, node) in entries(tree) {
            match key.name.as_str() {
                "schedule" if key.place.line > 0 => self.schedule(key, node),
                "logger" if key.place.line > 0 => {
                    let text = "it stays Cloudmarker's; Balefire logs to standard error, which systemd keeps";
                    self.report.note(Verdict::Stays, At("logger", Some(&key.place)), "", text);
                }
                name if TOP_LEVEL.contains(&name) => {}
                name => {
                    let hint = suggest(name, TOP_LEVEL);
                    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                    let text = format!("Cloudmarker knows no such setting and skips it in silence{hint}");
                    self.report.note(Verdict::NoCounterpart, At(name, Some(&key.place)), "", &text);
                }
            }
        }
    }

    fn schedule(&mut self, key: &Key, node: &Node) {
        match &node.value {
            Value::Scalar { text, quoted: false } if text.contains(':') => {
                let text = format!(
                    "{text} without quotes is a number in YAML 1.1: Cloudmarker does not start with it; \
                                    put it in quotes there"
                );
                self.report.note(Verdict::Changed, At("schedule", Some(&key.place)), "", &text);
            }
            _ => {
                let text = "Cloudmarker goes on keeping it; `runs.schedules` takes its place where Balefire shall start \
                            the audits: with catch-up, and an alert where one fails";
                self.report.note(Verdict::Stays, At("schedule", Some(&key.place)), "", text);
            }
        }
    }

    /// The mails at the begin and at the end.
    fn notices(&mut self, tree: &Node, audits: &[Audit], routes: &mut Vec<Out>) {
        let Some(node) = tree.get("email").filter(|node| node.value != Value::Null) else { return };
        let to = format!("channels.{NOTICES}.email");
        let mut params = Params::new(Some(node), &node.place, "email", &to, &mut self.report);
        let settings = mail::email(&mut params, NOTICES, &mut self.secrets);
        params.finish("send_email");
        let text = "a mail at the begin and at the end of each audit; \"all audits\" has no mails of its own, and no mail \
                    server can hold an audit up any more";
        self.report.note(Verdict::Changed, At("email", Some(&node.place)), &to, text);
        if audits.is_empty() {
            return;
        }
        self.channels.insert(NOTICES.to_owned(), (NOTICES.to_owned(), Out::map([("email", settings)])));
        for audit in audits {
            // Stores and alerts have marks each; one of the two is told of.
            let target = if audit.alerts.is_empty() { "store" } else { "alert" };
            let conditions = [
                audits::of_audit(audit),
                audits::of_target(target),
                "record_type in (begin_audit, end_audit)".to_owned(),
            ];
            routes.push(audits::route(&format!("{} begins and ends", audit.key), &conditions, &[NOTICES], true));
        }
    }

    fn audit(&mut self, audit: &Audit, tree: &Node, routes: &mut Vec<Out>) {
        for (role, target, keys) in [("stores", "store", &audit.stores), ("alerts", "alert", &audit.alerts)] {
            let mut to: Vec<String> = Vec::new();
            for (key, place) in keys {
                let path = format!("audits.{}.{role}", audit.key);
                match self.channel(key, tree) {
                    Some(name) if to.contains(&name) => {}
                    Some(name) => {
                        self.report.note(
                            Verdict::Mapped,
                            At(&path, Some(place)),
                            &format!("routes, channels.{name}"),
                            "",
                        );
                        to.push(name);
                    }
                    None => {
                        let text = format!("there is no plugin {key:?}: Cloudmarker does not start with it");
                        self.report.note(Verdict::NoCounterpart, At(&path, Some(place)), "", &text);
                    }
                }
            }
            if !to.is_empty() {
                let to: Vec<&str> = to.iter().map(String::as_str).collect();
                let conditions = [audits::of_audit(audit), audits::of_target(target)];
                routes.push(audits::route(&format!("{} {role}", audit.key), &conditions, &to, false));
            }
        }
    }

    /// The channel that a plugin becomes, made once; none where there is no such plugin.
    fn channel(&mut self, key: &str, tree: &Node) -> Option<String> {
        if let Some((name, _)) = self.channels.get(key) {
            return Some(name.clone());
        }
        let plugin = tree.get("plugins").and_then(|plugins| plugins.get(key))?;
        let path = format!("plugins.{key}");
        let class = plugin.get("plugin").and_then(params::text_of).unwrap_or_default();
        let name = self.name_of(key);
        for (known, _) in entries(plugin).filter(|(known, _)| !["plugin", "params"].contains(&known.name.as_str())) {
            let hint = suggest(&known.name, ["plugin", "params"]);
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            let text = format!("Cloudmarker skips it in silence{hint}");
            let setting = format!("{path}.{}", known.name);
            self.report.note(Verdict::NoCounterpart, At(&setting, Some(&known.place)), "", &text);
        }
        let kind = plugins::kind_of(class);
        let to = format!("channels.{name}.{kind}");
        self.tell_class(&path, class, plugin, &to);
        let path = format!("{path}.params");
        let mut params = Params::new(plugin.get("params"), &plugin.place, &path, &to, &mut self.report);
        let (kind, settings) = plugins::channel(class, &mut params, &name, &mut self.secrets);
        params.finish(class);
        self.channels.insert(key.to_owned(), (name.clone(), Out::map([(kind, settings)])));
        Some(name)
    }

    fn tell_class(&mut self, path: &str, class: &str, plugin: &Node, to: &str) {
        let place = plugin.get("plugin").map_or(&plugin.place, |node| &node.place);
        let setting = format!("{path}.plugin");
        match plugins::short(class) {
            _ if !class.contains('.') => {
                let text = "is no class with its module: Cloudmarker does not start with it";
                self.report.note(Verdict::Changed, At(&setting, Some(place)), to, text);
            }
            Some("EmailAlert") => {
                let text = "the mail of a run is one for people, with severities and links; marks alone make no mail";
                self.report.note(Verdict::Changed, At(&setting, Some(place)), to, text);
            }
            Some("SlackAlert") => {
                let text =
                    "one recipient that cannot be reached keeps the others from nothing; marks alone make no message";
                self.report.note(Verdict::Changed, At(&setting, Some(place)), to, text);
            }
            Some("EsStore" | "MongoDBStore" | "SplunkHECStore") => {
                self.report.note(
                    Verdict::Mapped,
                    At(&setting, Some(place)),
                    to,
                    "under ids of ours: a repeat is no copy",
                );
            }
            _ => {
                let text = "runs unchanged under `python3 -m balefire.host`: put Balefire's `python` directory and the class \
                            on that Python's path";
                self.report.note(Verdict::Mapped, At(&setting, Some(place)), to, text);
            }
        }
    }

    /// A channel's name for a plugin's key: what cannot stand in one becomes `-`.
    fn name_of(&self, key: &str) -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let plain: String = key.chars().take(56).map(|c| if fits(c) { c } else { '-' }).collect();
        let plain = if plain.is_empty() { "channel".to_owned() } else { plain };
        let is_taken = |name: &str| self.channels.values().any(|(known, _)| known == name);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        std::iter::once(plain.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or(plain)
    }

    /// Plugins that are no channel: those that gather and judge, and those that nobody uses.
    fn rest(&mut self, tree: &Node, audits: &[Audit]) {
        let Some(plugins) = tree.get("plugins") else { return };
        for (key, _) in entries(plugins).filter(|(key, _)| key.place.line > 0) {
            let path = format!("plugins.{}", key.name);
            if self.channels.contains_key(&key.name) {
                continue;
            }
            let gathers = audits.iter().any(|audit| audit.others.contains(&key.name));
            let text =
                if gathers { "it gathers or judges, which Balefire does not do" } else { "no audit in `run` uses it" };
            self.report.note(Verdict::Stays, At(&path, Some(&key.place)), "", text);
        }
    }
}

/// A mapping's entries; none of anything else.
fn entries(node: &Node) -> impl Iterator<Item = (&Key, &Node)> {
    let entries: &[(Key, Node)] = match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    };
    entries.iter().map(|(key, node)| (key, node))
}

/// Takes the places away: what no file says has none.
fn unplace(node: &mut Node) {
    let nowhere = || Place { file: base::NAME.into(), line: 0, column: 0 };
    node.place = nowhere();
    match &mut node.value {
        Value::Map(entries) => {
            for (key, node) in entries {
                key.place = nowhere();
                unplace(node);
            }
        }
        Value::List(items) => items.iter_mut().for_each(unplace),
        Value::Null | Value::Scalar { .. } => {}
    }
}
