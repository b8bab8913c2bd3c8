//! Mappings with names of the user's own, each a mapping of fixed names: channels, inputs, tokens. Knows none of them.

use balefire_engine::OWN_SOURCE;
use balefire_model::settings::{FieldDoc, Key, Node, Problem, Reader, Session, Shape, Value, suggest};
use std::collections::HashMap;

/// What a name may be: it appears in paths, logs, metrics and headers.
pub(crate) const NAME_FORM: &str = "1 to 64 of the characters a-z A-Z 0-9 _ . -";

/// How many names a message lists.
const NAMES_SHOWN_MAX: usize = 20;

/// Where a named mapping stands.
pub(crate) struct Named<'a> {
    /// The user's name for it.
    pub(crate) key: &'a Key,
    /// Its settings.
    pub(crate) reader: Reader<'a>,
}

/// Reads each entry of the mapping `name` with `read`, and describes it by reading nothing.
pub(crate) fn read_named<'a, T>(
    reader: &Reader<'a>,
    name: &'static str,
    doc: &'static str,
    describe: impl FnOnce(&Reader<'_>),
    mut read: impl FnMut(Named<'a>) -> T,
) -> Vec<T> {
    let session = reader.session();
    let sample = Reader::describing(session);
    describe(&sample);
    let shape = Shape::Map(Box::new(Shape::Section(sample.finish())));
    reader.known(FieldDoc { name, doc, shape, required: false, default: None });
    let Some(node) = reader.node(name) else { return Vec::new() };
    let path = reader.path_of(name);
    let entries = Reader::new(session, node, &path).entries();
    entries
        .iter()
        .map(|(key, node)| {
            let path = format!("{path}.{}", key.name);
            if !is_name(&key.name) {
                let shown = balefire_model::text::cut(&key.name, 80);
                report(session, &key_node(key), &path, format!("found the name {shown:?}"), NAME_FORM);
            }
            read(Named { key, reader: Reader::new(session, node, &path) })
        })
        .collect()
}

/// Reports a source whose name is that of what we tell ourselves: what it sends would pass for ours.
pub(crate) fn report_own_source(session: &Session<'_>, key: &Key, path: &str) {
    if key.name == OWN_SOURCE {
        let what = "the name is that of the source of what Balefire itself tells".to_owned();
        let (place, path) = (key.place.clone(), format!("{path}.{OWN_SOURCE}"));
        session.report(Problem { place, path, what, allowed: Some("any other name".to_owned()), hint: None });
    }
}

/// Reports that a mapping must have exactly one of several keys. Where an unknown key stands in it, that is the better
/// message, and [`Reader::finish`] gives it.
pub(crate) fn exactly_one<'a, K: Copy>(
    reader: &Reader<'a>,
    path: &str,
    choices: &[(&'static str, K)],
    shared: &[&str],
) -> Option<(&'static str, K, &'a Node)> {
    let found: Vec<_> =
        choices.iter().filter_map(|(key, kind)| reader.node(key).map(|node| (*key, *kind, node))).collect();
    let names: Vec<_> = choices.iter().map(|(key, _)| *key).collect();
    let known = |name: &str| names.contains(&name) || shared.contains(&name);
    match found.as_slice() {
        [one] => Some(*one),
        [] if reader.is_describing() || reader.entries().iter().any(|(key, _)| !known(&key.name)) => None,
        [] => {
            let node = Node { place: reader.place().clone(), value: Value::Null };
            report(reader.session(), &node, path, "names no kind".to_owned(), &format!("one of {}", names.join(", ")));
            None
        }
        [_, (_, _, second), ..] => {
            let keys: Vec<_> = found.iter().map(|(key, _, _)| *key).collect();
            report(reader.session(), second, path, format!("names {} at once", keys.join(" and ")), "one kind");
            None
        }
    }
}

/// The items of a list, or the one that stands alone; each knows its place.
pub(crate) fn items_of<'a>(reader: &Reader<'a>, name: &str) -> &'a [Node] {
    match reader.node(name) {
        None => &[],
        Some(Node { value: Value::List(items), .. }) => items,
        Some(Node { value: Value::Null, .. }) => &[],
        Some(node) => std::slice::from_ref(node),
    }
}

/// A node's text, where it is one.
pub(crate) fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// The items that are texts. That the others are none was reported by who reads the setting.
pub(crate) fn texts_of<'a>(reader: &Reader<'a>, name: &str) -> impl Iterator<Item = (&'a Node, &'a str)> {
    items_of(reader, name).iter().filter_map(|node| text_of(node).map(|text| (node, text)))
}

/// Reports a problem at a node.
pub(crate) fn report(session: &Session<'_>, node: &Node, path: &str, what: String, allowed: &str) {
    let (place, path) = (node.place.clone(), path.to_owned());
    session.report(Problem { place, path, what, allowed: Some(allowed.to_owned()), hint: None });
}

/// Reports a name that nothing has, with the one that was probably meant.
pub(crate) fn report_unknown(session: &Session<'_>, node: &Node, path: &str, what: String, known: &[String]) {
    let found = text_of(node).unwrap_or_default();
    let allowed = match known.len() {
        0 => "none is configured".to_owned(),
        1..=NAMES_SHOWN_MAX => known.join(", "),
        count => format!("{} and {} more", known[..NAMES_SHOWN_MAX].join(", "), count - NAMES_SHOWN_MAX),
    };
    session.report(Problem {
        place: node.place.clone(),
        path: path.to_owned(),
        what,
        allowed: Some(allowed),
        hint: suggest(found, known.iter().map(String::as_str)),
    });
}

/// Reports each second item of the list `setting` with one `name`: `why` could not tell them apart.
pub(crate) fn report_repeated(reader: &Reader<'_>, setting: &str, what: &str) {
    let Some(Value::List(items)) = reader.node(setting).map(|node| &node.value) else { return };
    let mut seen = HashMap::new();
    for (index, name) in items.iter().enumerate().filter_map(|(index, item)| item.get("name").map(|name| (index, name)))
    {
        let Some(text) = text_of(name) else { continue };
        if let Some(first) = seen.insert(text, &name.place) {
            let shown = balefire_model::text::cut(text, 80);
            reader.session().report(Problem {
                place: name.place.clone(),
                path: format!("{setting}[{index}].name"),
                what: format!("another {what} has the name {shown:?}; first at {first}"),
                allowed: None,
                hint: Some("give one of the two another name".to_owned()),
            });
        }
    }
}

/// A key as a node, to report at its place.
fn key_node(key: &Key) -> Node {
    Node { place: key.place.clone(), value: Value::Scalar { text: key.name.clone(), quoted: true } }
}

/// Whether it has the form [`NAME_FORM`].
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
