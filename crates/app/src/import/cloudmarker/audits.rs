//! The audits that run: who of them stores and who alerts, the routes that say so, and the file by which Cloudmarker sends
//! their records here.

use super::base::is_own_event_or_cloud;
use crate::import::{At, Out, Report, Verdict, entries, text_of, yaml};
use balefire_model::settings::{Node, Place, Value, suggest};

/// The keys of an audit.
const KEYS: [&str; 4] = ["clouds", "stores", "events", "alerts"];

/// The plugin that sends to us, in Cloudmarker's configuration.
pub(super) const SENDER: &str = "balefire";

/// One audit.
#[derive(Clone, Debug)]
pub(super) struct Audit {
    pub(super) key: String,
    /// Plugins' keys, and where they stand.
    pub(super) stores: Vec<(String, Place)>,
    pub(super) alerts: Vec<(String, Place)>,
    /// The keys of its clouds and events.
    pub(super) others: Vec<String>,
}

/// The audits that `run` names.
pub(super) fn read(tree: &Node, report: &mut Report) -> Vec<Audit> {
    let named = tree.get("run").map(|node| names(node, "run", report)).unwrap_or_default();
    if named.is_empty() {
        report.note(
            Verdict::NoCounterpart,
            At("run", tree.get("run").map(|node| &node.place)),
            "",
            "it names no audit",
        );
    }
    let mut audits: Vec<Audit> = Vec::new();
    for (key, place) in &named {
        match tree.get("audits").and_then(|audits| audits.get(key)) {
            Some(_) if audits.iter().any(|audit| audit.key == *key) => {
                report.note(
                    Verdict::Changed,
                    At("run", Some(place)),
                    "",
                    "the same audit once more, which changes nothing here",
                );
            }
            Some(node) => audits.push(audit(key, node, tree, report)),
            None => {
                let text = format!("there is no audit {key:?}: Cloudmarker does not start with it");
                report.note(Verdict::NoCounterpart, At("run", Some(place)), "", &text);
            }
        }
    }
    for (key, _) in tree.get("audits").into_iter().flat_map(entries).filter(|(key, _)| key.place.line > 0) {
        if !named.iter().any(|(name, _)| *name == key.name) {
            let setting = format!("audits.{}", key.name);
            report.note(Verdict::NoCounterpart, At(&setting, Some(&key.place)), "", "not in `run`: it does not run");
        }
    }
    audits
}

fn audit(key: &str, node: &Node, tree: &Node, report: &mut Report) -> Audit {
    for (known, _) in entries(node).filter(|(known, _)| !KEYS.contains(&known.name.as_str())) {
        let hint = suggest(&known.name, KEYS).map(|hint| format!("; {hint}")).unwrap_or_default();
        let setting = format!("audits.{key}.{}", known.name);
        let text = format!("Cloudmarker skips it in silence{hint}");
        report.note(Verdict::NoCounterpart, At(&setting, Some(&known.place)), "", &text);
    }
    let of = |name: &str, report: &mut Report| {
        let setting = format!("audits.{key}.{name}");
        node.get(name).map(|node| names(node, &setting, report)).unwrap_or_default()
    };
    let mut others = Vec::new();
    for name in ["clouds", "events"] {
        for (plugin, place) in of(name, report) {
            let setting = format!("audits.{key}.{name}");
            let is_known = tree.get("plugins").is_some_and(|plugins| plugins.get(&plugin).is_some());
            if is_known || is_own_event_or_cloud(&plugin) {
                report.note(
                    Verdict::Stays,
                    At(&setting, Some(&place)),
                    "",
                    &format!("{plugin:?} works there as before"),
                );
            } else {
                let text = format!("there is no plugin {plugin:?}: Cloudmarker does not start with it");
                report.note(Verdict::NoCounterpart, At(&setting, Some(&place)), "", &text);
            }
            others.push(plugin);
        }
    }
    let (stores, alerts) = (of("stores", report), of("alerts", report));
    Audit { key: key.to_owned(), stores, alerts, others }
}

/// The names of a list; what is none is told.
fn names(node: &Node, setting: &str, report: &mut Report) -> Vec<(String, Place)> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        Value::Scalar { .. } => {
            let text =
                "one text counts as one name; Cloudmarker takes each letter of it for a name, and does not start";
            report.note(Verdict::Changed, At(setting, Some(&node.place)), "", text);
            std::slice::from_ref(node)
        }
        Value::Map(entries) => {
            let text = "a mapping, of which Cloudmarker takes the keys; write a list";
            report.note(Verdict::Changed, At(setting, Some(&node.place)), "", text);
            return entries.iter().map(|(key, _)| (key.name.clone(), key.place.clone())).collect();
        }
    };
    let mut names = Vec::new();
    for item in items {
        match text_of(item) {
            Some(text) => names.push((text.to_owned(), item.place.clone())),
            None => {
                let text = format!("found {}; allowed: a name. Cloudmarker does not start with it", item.found());
                report.note(Verdict::NoCounterpart, At(setting, Some(&item.place)), "", &text);
            }
        }
    }
    names
}

/// The condition that a record is of this audit.
pub(super) fn of_audit(audit: &Audit) -> String {
    format!("audit_key = {}", value(&audit.key))
}

/// The condition that a record went to a store, or to an alert.
pub(super) fn of_target(target: &str) -> String {
    format!("target_type = {target}")
}

/// A value of a condition, in quotes where it needs them.
pub(super) fn value(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A route.
pub(super) fn route(name: &str, conditions: &[String], to: &[&str], goes_on: bool) -> Out {
    let name: String = balefire_model::text::one_line(name).chars().take(64).collect();
    let mut route = vec![
        ("name".to_owned(), Out::text(name)),
        ("match".to_owned(), Out::texts(conditions.iter().map(String::as_str))),
        ("to".to_owned(), Out::texts(to.iter().copied())),
    ];
    if goes_on {
        route.push(("continue".to_owned(), Out::Plain("true".to_owned())));
    }
    Out::Map(route)
}

/// The file that is laid over Cloudmarker's own: lists replace each other there. Where Balefire tells of begins and ends,
/// Cloudmarker does not do it beside it.
pub(super) fn overlay(audits: &[Audit], is_told: bool) -> String {
    let sender = Out::map([
        ("plugin", Out::text("balefire.store.BalefireStore")),
        ("params", Out::map([("url", Out::text("http://127.0.0.1:9480"))])),
    ]);
    let mut changed = Vec::new();
    for audit in audits {
        let mut roles = Vec::new();
        for (role, plugins) in [("stores", &audit.stores), ("alerts", &audit.alerts)] {
            if !plugins.is_empty() {
                roles.push((role.to_owned(), Out::texts([SENDER])));
            }
        }
        if !roles.is_empty() {
            changed.push((audit.key.clone(), Out::Map(roles)));
        }
    }
    let head = "# The last file of Cloudmarker's: `cloudmarker -c YOUR-FILES THIS-FILE`. Its records go to Balefire then;\n\
                # `python` of Balefire must be on its PYTHONPATH.\n";
    let mut overlay =
        vec![("plugins".to_owned(), Out::map([(SENDER, sender)])), ("audits".to_owned(), Out::Map(changed))];
    overlay.extend(is_told.then(|| ("email".to_owned(), Out::Plain("null".to_owned()))));
    format!("{head}{}", yaml(&Out::Map(overlay)))
}
