//! Unfinished business is finished or written down as an issue, never left as a mark in a file.

use super::Finding;
use crate::tree::{Tree, is_word};

/// Put together here, so that this file does not find itself.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| !path.ends_with(".lock")) {
        for (index, line) in text.lines().enumerate() {
            if let Some(mark) = line.split(|c| !is_word(c)).find(|word| MARKS.contains(word)) {
                let allowed = "do it now, or write an issue";
                findings.push(Finding::new(path, index + 1, mark, "nobody comes back to a mark in a file", allowed));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_in_any_file_but_not_inside_a_word() {
        let mark = MARKS[0];
        let text = format!("a\n# {mark}: b\n{mark}ist\n");
        let found: Vec<_> = check(&Tree::of(&[("a.sh", &text)])).into_iter().map(|f| (f.line, f.what)).collect();
        assert_eq!(found, [(2, mark.to_owned())]);
    }
}
