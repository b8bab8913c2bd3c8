//! A file is comfortable at 400 lines and needs a named exception above 800.

use super::Finding;
use super::ratchet::{self, Limit, Sized};
use crate::tree::Tree;

const LIMIT: Limit = Limit { table: "files", noun: "file", max: 800, why: "a long file has more than one job" };

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let sized = |path, text: &str| Sized { name: String::from(path), path, line: 1, size: text.lines().count() };
    let files: Vec<Sized<'_>> = tree.sources().iter().map(|source| sized(source.path.as_str(), &source.text)).collect();
    ratchet::check(tree, &LIMIT, &files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_found_unless_it_is_an_exception() {
        let long = "//! Long.\n".repeat(801);
        let found = check(&Tree::of(&[("a.rs", &long), ("b.rs", "//! Short.\n"), ("long.md", &long)]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "a.rs");
        assert!(check(&Tree::of(&[("a.rs", &long), (ratchet::FILE, "[files]\n\"a.rs\" = 801\n")])).is_empty());
    }
}
