//! What `fallback` of one channel may say of the others: each one is there, and nobody stands in for itself, not even over
//! others. Looks at the tree, where each name has its place.

use super::ConfiguredChannel;
use super::named::{report, report_unknown, text_of};
use balefire_model::settings::{Key, Node, Reader, Session, Value};
use std::collections::{BTreeSet, VecDeque};

/// Which channel names which, in the file's order.
struct Stands<'a> {
    names: Vec<&'a str>,
    /// For each of `names`: the node that names another, and which one.
    falls_back: Vec<Vec<(&'a Node, usize)>>,
}

/// Reports each fallback that no channel is, and each loop once, at the name that closes it. `reader` is that of the
/// whole configuration.
pub(crate) fn check(reader: &Reader<'_>, declared: &[String]) {
    let Some(Value::Map(channels)) = reader.node("channels").map(|node| &node.value) else { return };
    let session = reader.session();
    let stands = read(session, channels, declared);
    for start in 0..stands.names.len() {
        if let Some((node, way)) = stands.way_back(start) {
            let path = format!("channels.{}.fallback", way[way.len() - 2]);
            let what = match way.as_slice() {
                [_, _] => format!("channel {} stands in for itself", way[0]),
                _ => format!("a loop: {}", way.join(" -> ")),
            };
            report(session, node, &path, what, "channels that do not lead back to this one");
        }
    }
}

fn read<'a>(session: &Session<'_>, entries: &'a [(Key, Node)], declared: &[String]) -> Stands<'a> {
    let names: Vec<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
    let mut falls_back = Vec::with_capacity(names.len());
    for (key, node) in entries {
        let mut known = Vec::new();
        // What has another form was reported by who reads the channel.
        let items = match node.get("fallback") {
            Some(Node { value: Value::List(items), .. }) => items.as_slice(),
            Some(item) => std::slice::from_ref(item),
            None => &[],
        };
        for (node, name) in items.iter().filter_map(|item| item.get("channel")).filter_map(|n| Some((n, text_of(n)?))) {
            match names.iter().position(|known| *known == name) {
                Some(index) => known.push((node, index)),
                None => {
                    let path = format!("channels.{}.fallback.channel", key.name);
                    let what = format!("there is no channel {:?}", balefire_model::text::cut(name, 80));
                    report_unknown(session, node, &path, what, declared);
                }
            }
        }
        falls_back.push(known);
    }
    Stands { names, falls_back }
}

impl Stands<'_> {
    /// The shortest way from a channel back to itself over later ones, so that each loop is found once; and the name that
    /// closes it.
    fn way_back(&self, start: usize) -> Option<(&Node, Vec<&str>)> {
        let mut came_from: Vec<Option<usize>> = vec![None; self.names.len()];
        let mut waiting = VecDeque::from([start]);
        while let Some(at) = waiting.pop_front() {
            for (node, next) in &self.falls_back[at] {
                if *next == start {
                    let before = std::iter::successors(Some(at), |at| came_from[*at]);
                    let mut way: Vec<&str> = before.map(|at| self.names[at]).collect();
                    way.reverse();
                    way.push(self.names[start]);
                    return Some((node, way));
                }
                if *next > start && came_from[*next].is_none() {
                    came_from[*next] = Some(at);
                    waiting.push_back(*next);
                }
            }
        }
        None
    }
}

/// Of the channels that no route and no preset reaches, those that nothing reaches: no channel that is reached falls
/// back to them either.
pub(super) fn unreached<'a>(channels: &'a [ConfiguredChannel], mut unreached: BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut is_changed = true;
    while is_changed {
        let reached = channels.iter().filter(|channel| !unreached.contains(channel.name.as_str()));
        let over: Vec<&str> =
            reached.flat_map(|channel| &channel.fallback).map(|fallback| fallback.channel.as_str()).collect();
        is_changed = over.into_iter().any(|name| unreached.remove(name));
    }
    unreached
}
