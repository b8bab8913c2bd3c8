//! Cloudmarker's configuration becomes ours: stores and alerts become channels, audits become routes, and what gathers and
//! judges stays with Cloudmarker, which sends its records here. Pure: the command reads and writes the files.

mod audits;
mod base;
mod files;
mod mail;
mod notices;
mod params;
mod plugins;
#[cfg(test)]
mod tests;
mod timetable;

pub(crate) use base::{SEARCH_PATH, TEXT as BASE};

use super::secrets::{SecretFile, Secrets};
use super::{At, File, Out, Report, Verdict, entries, merge, text_of, yaml};
use crate::config::parse_yaml;
use audits::Audit;
use balefire_model::settings::{Key, Node, Place, Problem, Value, suggest};
use params::Params;
use std::collections::{BTreeMap, BTreeSet};

/// What is known at the top of a configuration.
const TOP_LEVEL: [&str; 6] = ["plugins", "audits", "run", "schedule", "email", "logger"];

/// The sections that held plugins before April 2019.
const OLD_SECTIONS: [&str; 4] = ["clouds", "stores", "events", "alerts"];

/// Where what is written will be, as absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The directory of secrets' files.
    pub secrets: String,
    /// The file that is laid over Cloudmarker's own.
    pub overlay: String,
    /// The data directory.
    pub data: String,
    /// The user's home, for `~` in paths.
    pub home: Option<String>,
    pub start: Start,
}

/// How Cloudmarker is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// Its command.
    pub program: String,
    /// The Python that has its classes.
    pub python: String,
    /// The directory of our Python package, where it is not installed for that Python.
    pub python_path: Option<String>,
    /// Its files as absolute paths, the later over the earlier.
    pub files: Vec<String>,
    /// Whether Balefire starts it from now on.
    pub keeps_time: bool,
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
    let mut importer = Importer::new(target);
    let tree = importer.tree(files)?;
    importer.top_level(&tree);
    let audits = audits::read(&tree, &mut importer.report);
    importer.stores = audits.iter().flat_map(|audit| &audit.stores).map(|(key, _)| key.clone()).collect();
    let runs = timetable::runs(&tree, target, &mut importer.report);
    let mut routes = Vec::new();
    let is_told = importer.notices(&tree, &audits, &mut routes);
    let own = routes.len();
    for audit in &audits {
        importer.audit(audit, &tree, &mut routes);
    }
    if !importer.channels.is_empty()
        && let Some(route) = importer.failures()
    {
        routes.insert(own, route);
    }
    importer.rest(&tree, &audits);
    let mut settings = vec![("data", Out::text(&*target.data))];
    let channels = Out::Map(importer.channels.into_values().collect());
    settings.extend((channels != Out::Map(Vec::new())).then_some(("channels", channels)));
    settings.extend(runs.map(|runs| ("runs", runs)));
    settings.extend([("routing", Out::text("custom")), ("routes", Out::List(routes))]);
    let settings = Out::Map(settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let names = if names.is_empty() { base::NAME.to_owned() } else { names.join(", ") };
    let names = balefire_model::text::one_line(&names).into_owned();
    Ok(Imported {
        balefire: format!("# Made by `balefire import cloudmarker` of {names}.\n{}", yaml(&settings)),
        overlay: audits::overlay(&audits, is_told),
        secrets: importer.secrets.files,
        report: importer.report,
    })
}

struct Importer<'t> {
    target: &'t Target,
    report: Report,
    secrets: Secrets,
    /// The keys of plugins that are stores of an audit that runs.
    stores: BTreeSet<String>,
    /// By the plugin's key: the name and the settings.
    channels: BTreeMap<String, (String, Out)>,
}

impl<'t> Importer<'t> {
    fn new(target: &'t Target) -> Importer<'t> {
        let secrets = Secrets::new(&target.secrets);
        Importer { target, report: Report::default(), secrets, stores: BTreeSet::new(), channels: BTreeMap::new() }
    }

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
        for (key, _) in entries(tree) {
            match key.name.as_str() {
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
        let class = plugin.get("plugin").and_then(text_of).unwrap_or_default();
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
        let mut making = plugins::Making { name: &name, target: self.target, secrets: &mut self.secrets };
        let mut settings = plugins::channel(class, &mut params, &mut making);
        params.finish(class);
        if let ("email" | "slack", Out::Map(entries), true) = (kind, &mut settings, self.stores.contains(key)) {
            // Of what goes to stores nothing is a finding.
            entries.push(("send_empty".to_owned(), Out::Plain("true".to_owned())));
        }
        let mut channel = vec![(kind.to_owned(), settings)];
        channel.extend(plugins::collects(kind).then(|| ("collect".to_owned(), Out::text("run"))));
        self.channels.insert(key.to_owned(), (name.clone(), Out::Map(channel)));
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
                let text = "one mail for each run that has findings, for people, with severities; `body: cloudmarker` has the \
                            text as before, and `send_empty` a mail for each run";
                self.report.note(Verdict::Changed, At(&setting, Some(place)), to, text);
            }
            Some("SlackAlert") => {
                let text = "one message for each run that has findings, with the records as a file; one recipient that cannot \
                            be reached keeps it from nobody else; `send_empty` makes one for each run";
                self.report.note(Verdict::Changed, At(&setting, Some(place)), to, text);
            }
            Some("EsStore" | "MongoDBStore" | "SplunkHECStore") => {
                let text = "under ids of ours: a repeat is no copy; the marks `begin_audit` and `end_audit` are not stored, \
                            incidents `balefire.run_started` and `balefire.run_ended` tell of them";
                self.report.note(Verdict::Changed, At(&setting, Some(place)), to, text);
            }
            Some("FileStore") => {
                let text =
                    "the same files, put into their places when a run is over, readable for owner and group alone";
                self.report.note(Verdict::Changed, At(&setting, Some(place)), to, text);
            }
            _ => {
                let text = "runs unchanged under `python3 -m balefire.host`, one instance for each run: the class, and \
                            Balefire's directory `python`, must be on that Python's path";
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
