//! The section `history`: a table that gets every incident, whatever the routes say. It is a channel of its own, called
//! `history`, that no route names.

use super::channels::{ConfiguredChannel, describe_channel, read_channel};
use super::named::{Named, items_of, report, report_unknown, text_of};
use balefire_channels::{Host, KINDS, Kind};
use balefire_engine::Stale;
use balefire_engine::route::HISTORY;
use balefire_model::settings::{FieldDoc, Key, Node, Reader, Shape};

/// The kinds that keep a history: those with a row for each incident that can be acknowledged.
fn kinds() -> &'static [Kind] {
    let place = KINDS.iter().position(|kind| kind.key == "postgres").expect("the kind is in the list");
    &KINDS[place..=place]
}

/// Reads it; `declared` are the names that stand under `channels`.
pub(super) fn read_history(reader: &Reader<'_>, declared: &[String], host: &Host) -> Option<ConfiguredChannel> {
    let doc = "A table that gets every incident, whatever the routes say: a channel of its own with the name `history`, and \
               the settings that all channels share. See docs/postgres.md.";
    let sample = Reader::describing(reader.session());
    describe_channel(&sample, kinds());
    let shape = Shape::Section(sample.finish());
    reader.known(FieldDoc { name: HISTORY, doc, shape, required: false, default: None });
    let node = reader.node(HISTORY)?;
    if let Some(other) = reader.node("channels").and_then(|channels| channels.get(HISTORY)) {
        let what = "a channel has the name of the section `history`, which is one".to_owned();
        report(reader.session(), other, "channels.history", what, "another name, or no section `history`");
    }
    let inner = || Reader::new(reader.session(), node, HISTORY);
    let key = Key { name: HISTORY.to_owned(), place: node.place.clone() };
    let channel = read_channel(Named { key: &key, reader: inner() }, HISTORY, kinds(), host);
    check(&inner(), declared, channel.as_ref());
    channel
}

/// What would keep an incident out of the table, and fallbacks that are no channel.
fn check(inner: &Reader<'_>, declared: &[String], channel: Option<&ConfiguredChannel>) {
    for name in ["storm", "digest"] {
        if inner.node(name).is_some() {
            inner.reject(
                name,
                "makes one row of many, and the history has one for each",
                "a channel with it under `channels`",
            );
        }
    }
    if channel.is_some_and(|channel| channel.stale != Stale::All) {
        inner.reject("stale", "leaves incidents out, and the history has each", "`policy: all`");
    }
    let names = items_of(inner, "fallback").iter().filter_map(|item| item.get("channel"));
    for (node, name) in names.filter_map(|node: &Node| Some((node, text_of(node)?))) {
        if !declared.iter().any(|known| known == name) {
            let what = format!("there is no channel {:?}", balefire_model::text::cut(name, 80));
            report_unknown(inner.session(), node, "history.fallback.channel", what, declared);
        }
    }
}
