//! Every path that a document names exists: in backticks, in links and in commands. `*` and `<name>` stand for any name;
//! at least one file must fit.

use super::Finding;
use crate::tree::Tree;
use std::collections::BTreeSet;

const WHY: &str = "a stranger who follows the document ends nowhere";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let places = Places::of(tree);
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut in_block = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
                continue;
            }
            let missing =
                if in_block { missing_in_command(&places, line) } else { missing_in_prose(&places, directory, line) };
            for name in missing {
                let what = format!("{name} does not exist");
                findings.push(Finding::new(
                    path,
                    index + 1,
                    what,
                    WHY,
                    "a path from the root, or for links from the document",
                ));
            }
        }
    }
    findings
}

fn missing_in_prose(places: &Places<'_>, directory: &str, line: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for span in line.split('`').skip(1).step_by(2) {
        missing
            .extend(span.split_whitespace().filter(|word| places.claims(word) && !places.has(word)).map(str::to_owned));
    }
    for rest in line.split("](").skip(1) {
        let link = rest.split([')', ' ']).next().unwrap_or("");
        let target = link.split('#').next().unwrap_or("");
        if !target.is_empty() && !link.contains(':') && !places.has(&joined(directory, target)) {
            missing.push(link.to_owned());
        }
    }
    missing
}

fn missing_in_command(places: &Places<'_>, line: &str) -> Vec<String> {
    let words = line.split(|c: char| c.is_whitespace() || "\"'=(),".contains(c));
    words.filter(|word| places.claims(word) && !places.has(word)).map(str::to_owned).collect()
}

/// A link's target from the root.
fn joined(directory: &str, target: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// All files and directories.
struct Places<'a> {
    all: BTreeSet<&'a str>,
    names: BTreeSet<&'a str>,
    top: BTreeSet<&'a str>,
}

impl<'a> Places<'a> {
    fn of(tree: &'a Tree) -> Places<'a> {
        let mut places = Places { all: BTreeSet::new(), names: BTreeSet::new(), top: BTreeSet::new() };
        for (path, _) in tree.files() {
            places.all.insert(path);
            places.names.insert(path.rsplit('/').next().unwrap_or(path));
            for (at, _) in path.match_indices('/') {
                places.all.insert(&path[..at]);
            }
            if let Some((top, _)) = path.split_once('/') {
                places.top.insert(top);
            }
        }
        places
    }

    /// Whether a word says that it is a path of ours: it begins with one of our directories, or is a Rust file's name.
    fn claims(&self, word: &str) -> bool {
        let word = clean(word);
        if word.contains("::") || word.contains("://") {
            return false;
        }
        match word.split_once('/') {
            Some((top, _)) => self.top.contains(top),
            None => word.ends_with(".rs"),
        }
    }

    fn has(&self, word: &str) -> bool {
        let word = clean(word);
        if word.is_empty() || self.all.contains(word) || self.names.contains(word) {
            return true;
        }
        let pattern: Vec<&str> = word.split('/').collect();
        pattern.iter().any(|part| part.contains(['*', '<']))
            && self.all.iter().any(|place| {
                let parts: Vec<&str> = place.split('/').collect();
                parts.len() == pattern.len() && parts.iter().zip(&pattern).all(|(part, pattern)| fits(part, pattern))
            })
    }
}

/// Without what surrounds a path in a sentence, and without a line number.
fn clean(word: &str) -> &str {
    let word = word.trim_start_matches("./").trim_end_matches(['.', ',', ';', ':', '/']);
    match word.split_once(':') {
        Some((path, line)) if line.chars().all(|c| c.is_ascii_digit()) => path,
        _ => word,
    }
}

/// Whether a name fits a pattern with at most one `*` or `<name>`.
fn fits(name: &str, pattern: &str) -> bool {
    let (before, after) = match (pattern.split_once('*'), pattern.split_once('<')) {
        (Some((before, after)), _) => (before, after),
        (None, Some((before, rest))) => (before, rest.split_once('>').map_or("", |(_, after)| after)),
        (None, None) => return name == pattern,
    };
    name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("docs/a.md", text),
            ("README.md", ""),
            ("crates/model/src/id.rs", "//! Ids."),
            ("scripts/test", ""),
        ]);
        check(&tree).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn paths_that_exist_are_not_found_whatever_their_form() {
        let text = "`crates/model/src/id.rs`, `id.rs`, `crates/model/`, `crates/*/src/id.rs`, `crates/<c>/src`, `scripts/test --all`\n\
                    [readme](../README.md#top) [web](https://x.example/docs/z.md) `text/plain` `a/b`\n\
                    ```\n$ ./scripts/test\n```\n";
        assert!(missing(text).is_empty(), "{:?}", missing(text));
    }

    #[test]
    fn a_path_that_is_gone_is_found_in_prose_links_and_commands() {
        let text = "`crates/model/src/gone.rs` `lost.rs` `crates/*/gone`\n[x](gone.md)\n```\nscripts/gone --x\n```\n";
        let gone = ["crates/model/src/gone.rs", "lost.rs", "crates/*/gone", "gone.md", "scripts/gone"];
        assert_eq!(missing(text), gone.map(|name| format!("{name} does not exist")));
    }
}
