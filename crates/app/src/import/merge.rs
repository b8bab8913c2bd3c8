//! Several files become one tree, as Cloudmarker and the blue team's monitor do it: mappings are joined at any depth, and everything else, lists too,
//! is replaced by what comes later.

use balefire_model::settings::{Node, Value};

/// Lays `more` over `base`.
pub(super) fn merge(base: &mut Node, more: Node) {
    match (&mut base.value, more.value) {
        (Value::Map(entries), Value::Map(more)) => {
            for (key, node) in more {
                match entries.iter_mut().find(|(known, _)| known.name == key.name) {
                    Some((place, known)) => {
                        place.place = key.place;
                        merge(known, node);
                    }
                    None => entries.push((key, node)),
                }
            }
        }
        (_, value) => *base = Node { place: more.place, value },
    }
}
