//! The repository's text files in memory, and Rust sources with comments and strings blanked out, so that a search for
//! code finds code only. Knows no rule.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Directories that are not sources: results of builds and runs.
const SKIPPED: &[&str] = &[".git", "target", "fuzz/target", "fuzz/corpus", "fuzz/artifacts", "balefire-data"];

/// All files, by path relative to the root, with `/` between the parts.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    sources: Vec<Source>,
}

/// One Rust file.
pub(crate) struct Source {
    /// Relative to the root.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// The same lines; comments and the contents of strings and characters are spaces.
    pub(crate) code: String,
    /// For each line whether it is part of a test.
    test_lines: Vec<bool>,
}

impl Source {
    /// The code's lines, numbered from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether a line, counted from 1, is part of a test.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }
}

impl Tree {
    /// Reads the files below `root`.
    pub(crate) fn load(root: &Path) -> Result<Tree> {
        let mut files = BTreeMap::new();
        collect(root, "", &mut files)?;
        Ok(Tree::new(files))
    }

    fn new(files: BTreeMap<String, String>) -> Tree {
        let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
        let mut sources: Vec<Source> = rust
            .map(|(path, text)| {
                let code = blank(text);
                let test_lines = test_lines(path, &code);
                Source { path: path.clone(), text: text.clone(), code, test_lines }
            })
            .collect();
        let tests: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
        for source in sources.iter_mut().filter(|source| tests.contains(&source.path)) {
            source.test_lines.fill(true);
        }
        Tree { files, sources }
    }

    /// A tree for a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    /// Every file's path and text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// One file's text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The Rust files.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }
}

fn collect(root: &Path, below: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    let directory = root.join(below);
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", directory.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if SKIPPED.contains(&path.as_str()) {
            continue;
        }
        let kind = entry.file_type().with_context(|| format!("cannot look at {path}"))?;
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
            files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(())
}

/// Where the child modules of a file live: beside `mod.rs` and crate roots, else in a directory of the file's name.
pub(crate) fn module_directory(path: &str, is_root: bool) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if is_root || name == "mod.rs" || name == "lib.rs" || name == "main.rs" {
        return directory.to_owned();
    }
    format!("{directory}/{}", name.trim_end_matches(".rs"))
}

/// The files that `mod name;` may mean.
pub(crate) fn module_files(directory: &str, name: &str) -> [String; 2] {
    [format!("{directory}/{name}.rs"), format!("{directory}/{name}/mod.rs")]
}

/// The name in a line `mod name;`.
pub(crate) fn declared_module(line: &str) -> Option<&str> {
    let line = line.trim().strip_suffix(';')?;
    let name = line.strip_prefix("mod ").or_else(|| line.rsplit_once(" mod ").map(|(_, name)| name))?;
    name.chars().all(is_word).then_some(name)
}

/// The files behind `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<String> {
    let directory = module_directory(&source.path, false);
    source
        .code_lines()
        .filter(|(number, _)| source.is_test(*number))
        .filter_map(|(_, line)| declared_module(line))
        .flat_map(|name| module_files(&directory, name))
        .collect()
}

fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let count = code.lines().count();
    if path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs") {
        return vec![true; count];
    }
    let mut marked = vec![false; count];
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(code, start + "#[cfg(test)]".len());
        for line in &mut marked[line_of(code, start) - 1..line_of(code, end)] {
            *line = true;
        }
        from = end.max(start + 1);
    }
    marked
}

/// The line, counted from 1, of a byte offset.
pub(crate) fn line_of(code: &str, offset: usize) -> usize {
    code[..offset].matches('\n').count() + 1
}

/// The offset of the `;` or the closing brace with which the item ends that begins at `from`. `;` in brackets, as in
/// `[u8; 4]`, does not count.
pub(crate) fn item_end(code: &str, from: usize) -> usize {
    let mut braces = 0usize;
    let mut brackets = 0usize;
    for (offset, character) in code[from..].char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces <= 1 => return from + offset,
            '}' => braces -= 1,
            ';' if braces == 0 && brackets == 0 => return from + offset,
            _ => {}
        }
    }
    code.len().saturating_sub(1)
}

/// Whether a character may stand in an identifier.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where `needle` stands in `line` with no identifier character before it.
pub(crate) fn find_word_start(line: &str, needle: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = line[from..].find(needle) {
        let at = from + found;
        if !line[..at].ends_with(is_word) {
            return Some(at);
        }
        from = at + needle.len();
    }
    None
}

/// Replaces comments and the contents of strings and characters by spaces, and keeps every line break.
fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = skip_comment(&characters, at).or_else(|| skip_literal(&characters, at));
        match end {
            Some(end) => {
                let quoted = characters[at] != '/';
                for (index, character) in characters[at..end].iter().enumerate() {
                    let edge = quoted && (index == 0 || at + index + 1 == end);
                    code.push(if *character == '\n' || edge { *character } else { ' ' });
                }
                at = end;
            }
            None => {
                code.push(characters[at]);
                at += 1;
            }
        }
    }
    code
}

/// The end of the comment that begins here.
fn skip_comment(text: &[char], at: usize) -> Option<usize> {
    match (text[at], text.get(at + 1)) {
        ('/', Some('/')) => Some(text[at..].iter().position(|c| *c == '\n').map_or(text.len(), |n| at + n)),
        ('/', Some('*')) => {
            let mut depth = 0;
            let mut here = at;
            while here < text.len() {
                match (text[here], text.get(here + 1)) {
                    ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
                    ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
                    _ => here += 1,
                }
                if depth == 0 {
                    break;
                }
            }
            Some(here)
        }
        _ => None,
    }
}

/// The end of the string or character that begins here; `None` for a lifetime.
fn skip_literal(text: &[char], at: usize) -> Option<usize> {
    if text[at] == '"' {
        return Some(skip_quoted(text, at, '"'));
    }
    if text[at] == '\'' {
        let is_character = text.get(at + 1) == Some(&'\\') || text.get(at + 2) == Some(&'\'');
        return is_character.then(|| skip_quoted(text, at, '\''));
    }
    let starts_raw = text[at] == 'r' && !(at > 0 && is_word(text[at - 1]) && !matches!(text[at - 1], 'b' | 'c'));
    if !starts_raw {
        return None;
    }
    let hashes = text[at + 1..].iter().take_while(|c| **c == '#').count();
    if text.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut here = at + 2 + hashes;
    while here < text.len() {
        if text[here] == '"' && text[here + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(here + 1 + hashes);
        }
        here += 1;
    }
    Some(text.len())
}

fn skip_quoted(text: &[char], at: usize, quote: char) -> usize {
    let mut here = at + 1;
    while here < text.len() {
        match text[here] {
            '\\' => here += 2,
            c if c == quote => return here + 1,
            _ => here += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let code =
            blank("let a = \"sleep(1)\"; // sleep(2)\n/* sleep(3) /* */ */ let b = r#\"sleep(\"4)\"#; sleep(5);");
        assert_eq!(code.matches("sleep(").count(), 1, "{code}");
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn a_lifetime_opens_no_character_and_a_quote_character_opens_no_string() {
        let code = blank("fn a<'x>(y: &'x str) { let q = '\"'; let b = '\\''; let n = b'\\\\'; run(q) }");
        assert!(code.contains("fn a<'x>(y: &'x str)"), "{code}");
        assert!(code.contains("run(q)"), "{code}");
    }

    #[test]
    fn lines_of_test_modules_and_of_test_files_are_tests() {
        let tree = Tree::of(&[
            (
                "a/src/lib.rs",
                "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod law;\n",
            ),
            ("a/src/law.rs", "fn d() {}\n"),
            ("a/tests/e.rs", "fn e() {}\n"),
        ]);
        let lines = |path: &str| {
            let source = tree.sources().iter().find(|source| source.path == path).unwrap();
            source.test_lines.clone()
        };
        assert_eq!(lines("a/src/lib.rs"), [false, true, true, true, true, false, true, true]);
        assert_eq!(lines("a/src/law.rs"), [true]);
        assert_eq!(lines("a/tests/e.rs"), [true]);
    }
}
