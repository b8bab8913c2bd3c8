//! The changelog has a place for what is not released yet.

use super::Finding;
use crate::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let text = tree.text("CHANGELOG.md").unwrap_or("");
    if text.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased")) {
        return Vec::new();
    }
    let why = "visible changes are told in the user's words as they are made";
    vec![Finding::new("CHANGELOG.md", 1, "no section Unreleased", why, "a line `## Unreleased`")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_without_a_place_for_the_next_release_is_found() {
        assert_eq!(check(&Tree::of(&[("CHANGELOG.md", "# Changes\n\n## 0.1.0\n")])).len(), 1);
        assert_eq!(check(&Tree::of(&[])).len(), 1);
        assert!(check(&Tree::of(&[("CHANGELOG.md", "# Changes\n\n## Unreleased\n")])).is_empty());
    }
}
