//! Every Rust file opens with `//!`: its one job, and what it must not know.

use super::Finding;
use crate::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let says_nothing = |text: &str| {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
        first.strip_prefix("//!").is_none_or(|rest| rest.trim().is_empty())
    };
    let silent = tree.sources().iter().filter(|source| says_nothing(&source.text));
    silent
        .map(|source| {
            let allowed = "open with `//!`: its one job, and what it must not know";
            Finding::new(&source.path, 1, "no header comment", "a stranger cannot see what the file is for", allowed)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_its_job_is_found() {
        let tree = Tree::of(&[
            ("a.rs", "//! Its job.\nfn a() {}\n"),
            ("b.rs", "fn b() {}\n//! Late.\n"),
            ("c.rs", "//!\nfn c() {}\n"),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["b.rs", "c.rs"]);
    }
}
