//! A limit with named exceptions, each with its present size. An exception can only shrink: where the thing is shorter
//! than its line in the ratchet file says, the line must be lowered, and it goes when the limit is kept.

use super::Finding;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// The file with the exceptions: a table per limit, `"name" = size` in each.
pub(super) const FILE: &str = "xtask/ratchet.toml";

/// Something that has a size, and where it is.
pub(super) struct Sized<'a> {
    pub(super) name: String,
    pub(super) path: &'a str,
    pub(super) line: usize,
    pub(super) size: usize,
}

/// A limit of the house.
pub(super) struct Limit {
    /// The table in the ratchet file.
    pub(super) table: &'static str,
    /// What is too long, in a word.
    pub(super) noun: &'static str,
    /// In lines.
    pub(super) max: usize,
    /// Why there is a limit.
    pub(super) why: &'static str,
}

pub(super) fn check(tree: &Tree, limit: &Limit, things: &[Sized<'_>]) -> Vec<Finding> {
    let mut exceptions = exceptions(tree, limit.table);
    let mut findings = Vec::new();
    for thing in things {
        let exception = exceptions.remove(&thing.name);
        let size = thing.size;
        match exception {
            None if size > limit.max => {
                let what = format!("{} {} has {size} lines", limit.noun, thing.name);
                findings.push(Finding::new(thing.path, thing.line, what, limit.why, format!("at most {}", limit.max)));
            }
            Some((_, known)) if size > known => {
                let what = format!("{} {} has grown from {known} to {size} lines", limit.noun, thing.name);
                let why = "an exception may only shrink";
                findings.push(Finding::new(thing.path, thing.line, what, why, format!("at most {known}")));
            }
            Some((line, known)) if size < known || size <= limit.max => {
                let what = format!("{} has {size} lines, not {known}", thing.name);
                let lower =
                    if size <= limit.max { "remove the line".to_owned() } else { format!("lower it to {size}") };
                findings.push(Finding::new(FILE, line, what, "an exception may only shrink", lower));
            }
            _ => {}
        }
    }
    for (name, (line, _)) in exceptions {
        let what = format!("{} {name} does not exist", limit.noun);
        findings.push(Finding::new(FILE, line, what, "an exception for nothing", "remove the line"));
    }
    findings
}

/// The names of one table, with the line and the size of each.
fn exceptions(tree: &Tree, table: &str) -> BTreeMap<String, (usize, usize)> {
    let mut found = BTreeMap::new();
    let mut here = "";
    for (index, line) in tree.text(FILE).unwrap_or("").lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            here = name;
        } else if let Some((name, size)) = line.split_once(" = ").filter(|_| here == table && !line.starts_with('#')) {
            // A size that is no number is 0, which nothing keeps: the check then says so.
            found.insert(name.trim_matches('"').to_owned(), (index + 1, size.parse().unwrap_or(0)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { table: "things", noun: "thing", max: 10, why: "too long" };

    fn what(ratchet: &str, size: usize) -> Vec<String> {
        let tree = Tree::of(&[(FILE, ratchet)]);
        let thing = Sized { name: "a".to_owned(), path: "a.rs", line: 1, size };
        check(&tree, &LIMIT, &[thing]).into_iter().map(|f| format!("{} ({})", f.what, f.allowed)).collect()
    }

    #[test]
    fn what_is_too_long_needs_an_exception_of_exactly_its_size() {
        assert!(what("", 10).is_empty());
        assert_eq!(what("", 11), ["thing a has 11 lines (at most 10)"]);
        assert!(what("[things]\n\"a\" = 11\n", 11).is_empty());
        assert_eq!(what("[others]\n\"a\" = 11\n", 11).len(), 1);
    }

    #[test]
    fn an_exception_can_only_shrink_and_goes_when_it_is_not_needed() {
        assert_eq!(what("[things]\n\"a\" = 12\n", 13), ["thing a has grown from 12 to 13 lines (at most 12)"]);
        assert_eq!(what("[things]\n\"a\" = 12\n", 11), ["a has 11 lines, not 12 (lower it to 11)"]);
        assert_eq!(what("[things]\n\"a\" = 12\n", 9), ["a has 9 lines, not 12 (remove the line)"]);
        assert_eq!(what("[things]\n\"b\" = 12\n", 9), ["thing b does not exist (remove the line)"]);
    }
}
