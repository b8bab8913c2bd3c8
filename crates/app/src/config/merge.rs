//! Several files become one tree: mappings are joined at any depth, lists are appended, and what two files both set is a
//! problem that names both places. Nothing is overridden silently, so the order of files decides only the order of lists.

use balefire_model::settings::{Node, Problem, Value};

/// Mappings whose entries are one thing each: two files cannot both describe half of it.
const WHOLE_ENTRIES: &[&str] = &["channels", "inputs", "http.tokens"];

/// Joins `more` into `base`.
pub(crate) fn merge(base: &mut Node, more: Node, problems: &mut Vec<Problem>) {
    join(base, more, "", problems);
}

fn join(base: &mut Node, more: Node, path: &str, problems: &mut Vec<Problem>) {
    match (&mut base.value, more.value) {
        (_, Value::Null) => {}
        (Value::Null, value) => *base = Node { place: more.place, value },
        (Value::List(items), Value::List(more)) => items.extend(more),
        (Value::Map(entries), Value::Map(more)) => {
            for (key, node) in more {
                let inner = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                match entries.iter_mut().find(|(known, _)| known.name == key.name) {
                    None => entries.push((key, node)),
                    Some((known, _)) if WHOLE_ENTRIES.contains(&path) => problems.push(Problem {
                        place: key.place,
                        path: inner,
                        what: format!("`{}` is defined twice; first at {}", key.name, known.place),
                        allowed: None,
                        hint: Some("give one of the two another name".to_owned()),
                    }),
                    Some((_, known)) => join(known, node, &inner, problems),
                }
            }
        }
        _ => problems.push(Problem {
            place: more.place,
            path: path.to_owned(),
            what: format!("is set twice; first at {}", base.place),
            allowed: None,
            hint: Some("keep one of the two".to_owned()),
        }),
    }
}
