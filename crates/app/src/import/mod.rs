//! Configurations of other systems become ours: what is written, and a report of every setting. Pure: files are read and
//! written by the command.

pub(crate) mod blueteam;
pub(crate) mod cloudmarker;
mod merge;
mod out;
mod report;
mod secrets;

pub(crate) use out::{Out, yaml};
pub(crate) use report::{At, Report, Verdict};
pub(crate) use secrets::SecretFile;

use balefire_model::settings::{Key, Node, Value};

/// One file that was read.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its name in places.
    pub name: String,
    pub text: String,
}

/// A mapping's entries; none of anything else.
fn entries(node: &Node) -> impl Iterator<Item = (&Key, &Node)> {
    let entries: &[(Key, Node)] = match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    };
    entries.iter().map(|(key, node)| (key, node))
}

/// A scalar's text.
fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}
