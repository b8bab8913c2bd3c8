//! The configuration of the blue team's monitor (BT-08) becomes ours: its alerting becomes channels and a preset of routes,
//! its database the table of alerts. Collectors and correlation stay with the monitor. Pure: the command reads and writes
//! the files.

mod channels;
mod dialect;
mod keys;
#[cfg(test)]
mod tests;

pub(crate) use dialect::Dialect;

use super::secrets::Secrets;
use super::{At, File, Out, Report, SecretFile, Verdict, merge, yaml};
use crate::config::{Environment, parse_yaml};
use balefire_model::settings::{Node, Place, Problem, Value};
use keys::Keys;

/// What the command line says.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The directory of secrets' files, as an absolute path.
    pub secrets: String,
    /// The data directory.
    pub data: String,
    /// The engine whose texts and routes are wanted; none: the one that the files give away.
    pub dialect: Option<Dialect>,
    /// Whether one of the files is a `config.local.yaml`.
    pub has_local: bool,
}

/// What a configuration came to.
#[derive(Debug)]
pub(crate) struct Imported {
    /// Our configuration.
    pub balefire: String,
    pub secrets: Vec<SecretFile>,
    pub report: Report,
}

/// Imports the files, the later over the earlier. The environment says what is switched on where a reference stands for it;
/// nothing of it is written down.
///
/// # Errors
/// What in them is no YAML.
pub(crate) fn import(files: &[File], target: &Target, env: &Environment<'_>) -> Result<Imported, Vec<Problem>> {
    let mut empty = Vec::new();
    let tree = tree(files, &mut empty)?;
    let (dialect, because) = match target.dialect {
        Some(dialect) => (dialect, "as --dialect says"),
        None => dialect::detect(&tree, target.has_local),
    };
    let mut keys = Keys::new(&tree);
    for file in empty {
        keys.report.note(Verdict::Changed, At(file, None), "", "the file is empty: it says nothing");
    }
    let to = format!("routing: {}", dialect.as_str());
    let said = format!("{because}; --dialect plan or --dialect shipped chooses");
    keys.report.note(Verdict::Mapped, At("(the engine)", None), &to, &said);
    let mut secrets = Secrets::new(&target.secrets);
    let (channels, history) =
        channels::Making { dialect, env, keys: &mut keys, secrets: &mut secrets }.channels_and_history();
    let mut settings = vec![("data".to_owned(), Out::text(&*target.data))];
    if !channels.is_empty() {
        settings.push(("channels".to_owned(), Out::Map(channels)));
    }
    // Every incident is a row, whatever its severity and whatever the preset says.
    settings.extend(history.map(|table| ("history".to_owned(), Out::map([("postgres", table)]))));
    if dialect == Dialect::Shipped {
        settings.push(("internal_scan".to_owned(), marker(&mut keys)));
    }
    settings.push(("routing".to_owned(), Out::text(dialect.as_str())));
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let names = balefire_model::text::one_line(&names.join(", ")).into_owned();
    Ok(Imported {
        balefire: format!("# Made by `balefire import blueteam` of {names}.\n{}", yaml(&Out::Map(settings))),
        secrets: secrets.files,
        report: keys.finish(),
    })
}

/// Where a scanner says that it works, in place of the file that everybody could make.
fn marker(keys: &mut Keys<'_>) -> Out {
    let said = "the engine's marker of an internal scan; it counts no more, since every user could make it: let the scanner put \
                down /run/balefire/scan-active as root, or name time intervals in `internal_scan: {windows: [...]}`";
    let at = At("(/tmp/cyber-guardian-scan-active.marker)", None);
    keys.report.note(Verdict::Changed, at, "internal_scan.marker", said);
    Out::map([("marker", Out::map([("path", Out::text("/run/balefire/scan-active"))]))])
}

/// The files laid over each other, and the names of those in which nothing stands.
fn tree<'f>(files: &'f [File], empty: &mut Vec<&'f str>) -> Result<Node, Vec<Problem>> {
    let name = files.first().map_or("", |file| file.name.as_str());
    let mut tree = Node { place: Place { file: name.into(), line: 0, column: 0 }, value: Value::Map(Vec::new()) };
    let mut problems = Vec::new();
    for file in files {
        let mut parsed = parse_yaml(&file.text, &file.name);
        problems.append(&mut parsed.problems);
        let Some(node) = parsed.node else { continue };
        match &node.value {
            Value::Null => empty.push(&file.name),
            Value::Map(_) => merge::merge(&mut tree, node),
            _ => problems.push(Problem {
                place: node.place.clone(),
                path: String::new(),
                what: format!("found {}", node.found()),
                allowed: Some("a mapping with `alerting`, `database` and `monitoring`".to_owned()),
                hint: None,
            }),
        }
    }
    if problems.is_empty() { Ok(tree) } else { Err(problems) }
}
