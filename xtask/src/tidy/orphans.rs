//! Every Rust file is compiled: it is the root of a crate, or a chain of `mod` leads to it.

use super::Finding;
use crate::tree::{Source, Tree, declared_module, module_directory, module_files};
use crate::workspace::Workspace;
use std::collections::BTreeSet;

pub(super) fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let roots = workspace.packages.iter().flat_map(|package| package.roots.iter().map(String::as_str));
    unreached(tree, roots)
}

/// `fuzz/` is a package outside the workspace; each file of its `fuzz_targets` is a root.
fn unreached<'a>(tree: &'a Tree, roots: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let fuzz = tree.sources().iter().map(|s| s.path.as_str()).filter(|path| path.starts_with("fuzz/fuzz_targets/"));
    let mut open: Vec<(String, bool)> = roots.chain(fuzz).map(|root| (root.to_owned(), true)).collect();
    let mut reached = BTreeSet::new();
    while let Some((path, is_root)) = open.pop() {
        let Some(source) = tree.sources().iter().find(|source| source.path == path) else { continue };
        if reached.insert(path) {
            open.extend(children(source, is_root).into_iter().map(|child| (child, false)));
        }
    }
    let orphans = tree.sources().iter().filter(|source| !reached.contains(&source.path));
    orphans
        .map(|source| {
            let allowed = "add `mod` for it, or delete it";
            Finding::new(&source.path, 1, "orphan file", "no crate compiles it", allowed)
        })
        .collect()
}

/// The files that a file's `mod name;` lines may mean, `#[path]` obeyed.
fn children(source: &Source, is_root: bool) -> Vec<String> {
    let directory = module_directory(&source.path, is_root);
    let raw: Vec<&str> = source.text.lines().collect();
    let mut files = Vec::new();
    for (number, line) in source.code_lines() {
        let Some(name) = declared_module(line) else { continue };
        let before = number.checked_sub(2).and_then(|index| raw.get(index)).map_or("", |line| line.trim());
        match before.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            Some(path) => {
                let beside = source.path.rsplit_once('/').map_or("", |(directory, _)| directory);
                files.push(format!("{beside}/{path}"));
            }
            None => files.extend(module_files(&directory, name)),
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_no_mod_leads_to_is_found() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "pub mod b;\n#[cfg(test)]\nmod tests;\n// mod e;\n"),
            ("a/src/b/mod.rs", "mod c;\npub(crate) mod d;\n"),
            ("a/src/b/c.rs", "mod f;\n"),
            ("a/src/b/d.rs", ""),
            ("a/src/b/c/f.rs", ""),
            ("a/src/tests.rs", ""),
            ("a/src/e.rs", ""),
        ]);
        let found: Vec<_> = unreached(&tree, ["a/src/lib.rs"].into_iter()).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["a/src/e.rs"]);
    }
}
