//! Names that say nothing are not used for files or for anything that our code declares.

use super::Finding;
use crate::tree::{Tree, find_word_start, is_word};

const BANNED: &[&str] = &["util", "utils", "common", "manager", "helper", "helpers", "data2", "misc"];

const DECLARES: &[&str] =
    &["fn ", "struct ", "enum ", "trait ", "mod ", "type ", "const ", "static ", "let ", "let mut ", "macro_rules! "];

const WHY: &str = "the name does not say what it is";
const ALLOWED: &str = "a word of the domain";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in tree.files() {
        if let Some(word) = path.split('/').find_map(banned_word) {
            findings.push(Finding::new(path, 1, format!("{word:?} in a file's name"), WHY, ALLOWED));
        }
    }
    for source in tree.sources() {
        for (number, line) in source.code_lines() {
            for name in DECLARES.iter().filter_map(|keyword| declared(line, keyword)) {
                if let Some(word) = banned_word(name) {
                    findings.push(Finding::new(&source.path, number, format!("{word:?} in {name}"), WHY, ALLOWED));
                }
            }
        }
    }
    findings
}

fn declared<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = &line[find_word_start(line, keyword)? + keyword.len()..];
    let name = rest.split(|c| !is_word(c)).next()?;
    (!name.is_empty()).then_some(name)
}

/// The banned word among the words of a name in any of the usual spellings.
fn banned_word(name: &str) -> Option<String> {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() {
            words.push(' ');
        }
        words.push(if is_word(character) && character != '_' { character.to_ascii_lowercase() } else { ' ' });
    }
    words.split_whitespace().find(|word| BANNED.contains(word)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_words_are_found_in_file_names_and_in_declarations() {
        let tree = Tree::of(&[
            ("src/string_utils.rs", ""),
            ("src/a.rs", "struct RouteManager;\nfn parse_helper() {}\nuse hyper_util::x;\nlet commonly = 1;\n"),
            ("src/b.rs", "// the fn helper is gone\n"),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        let at = |path: &str, line| (path.to_owned(), line);
        assert_eq!(found, [at("src/string_utils.rs", 1), at("src/a.rs", 1), at("src/a.rs", 2)]);
    }
}
