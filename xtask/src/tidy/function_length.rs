//! A function fits a screen. Counts lines from `fn` to the closing brace in code that rustfmt has laid out.

use super::Finding;
use super::ratchet::{self, Limit, Sized};
use crate::tree::{Source, Tree, find_word_start, is_word, item_end, line_of};
use std::collections::BTreeMap;

const LIMIT: Limit = Limit { table: "functions", noun: "function", max: 70, why: "a function must fit a screen" };

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let functions: Vec<Sized<'_>> = tree.sources().iter().flat_map(functions).collect();
    ratchet::check(tree, &LIMIT, &functions)
}

/// The functions of a file; of those with one name, the longest.
fn functions(source: &Source) -> Vec<Sized<'_>> {
    let mut longest: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut from = 0;
    while let Some(found) = find_word_start(&source.code[from..], "fn ") {
        let start = from + found;
        from = start + "fn ".len();
        let name = source.code[from..].split(|c| !is_word(c)).next().unwrap_or("");
        if name.is_empty() {
            continue;
        }
        let first = line_of(&source.code, start);
        let size = line_of(&source.code, item_end(&source.code, from)) + 1 - first;
        let entry = longest.entry(name).or_insert((first, size));
        if entry.1 < size {
            *entry = (first, size);
        }
    }
    let sized =
        |(name, (line, size))| Sized { name: format!("{} {name}", source.path), path: &source.path, line, size };
    longest.into_iter().map(sized).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_over_the_limit_is_found_and_one_at_the_limit_is_not() {
        let function =
            |name: &str, lines: usize| format!("fn {name}(a: [u8; 4]) {{\n{}}}\n", "    b();\n".repeat(lines - 2));
        let text = format!("{}\ntrait T {{\n    fn short();\n}}\n{}", function("fits", 70), function("long", 71));
        let found = check(&Tree::of(&[("a.rs", &text)]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "function a.rs long has 71 lines");
        assert_eq!(found[0].line, 75);
    }
}
