//! Every dependency has its line in the decisions, and no line outlives its dependency. Versions stand in one place, the
//! workspace's manifest.

use super::Finding;
use crate::tree::Tree;

const TABLE: &str = "docs/decisions/dependencies.md";

/// The table's columns after the name.
const COLUMNS: usize = 4;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let wanted = section(tree, "Cargo.toml", "[workspace.dependencies]");
    let wanted: Vec<_> = wanted.into_iter().filter(|(_, name, _)| !name.starts_with("balefire-")).collect();
    let lines = table(tree);
    let mut findings = own_versions(tree);
    for (line, name, _) in &wanted {
        if !lines.iter().any(|(_, known, _)| known == name) {
            let allowed =
                "a line in docs/decisions/dependencies.md: what it does for us, weight, upkeep, how we would leave";
            findings.push(Finding::new(
                "Cargo.toml",
                *line,
                format!("{name} has no line"),
                "a dependency is a decision",
                allowed,
            ));
        }
    }
    for (line, name, cells) in &lines {
        if !wanted.iter().any(|(_, known, _)| known == name) {
            let what = format!("{name} is not a dependency");
            findings.push(Finding::new(TABLE, *line, what, "the line has outlived its reason", "remove it"));
        }
        if *cells != COLUMNS {
            let what = format!("{name} has {cells} of {COLUMNS} reasons");
            findings.push(Finding::new(TABLE, *line, what, "an empty reason is none", "fill every column"));
        }
    }
    findings
}

/// Members that name a version themselves.
fn own_versions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let members = tree.files().map(|(path, _)| path);
    for path in members.filter(|path| path.ends_with("/Cargo.toml") && !path.starts_with("fuzz/")) {
        for table in ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"] {
            for (line, name, rest) in section(tree, path, table) {
                if !name.ends_with(".workspace") && !rest.contains("workspace = true") {
                    let why = "versions stand in one place";
                    let allowed = format!("{name}.workspace = true");
                    findings.push(Finding::new(path, line, format!("{name} names its own version"), why, allowed));
                }
            }
        }
    }
    findings
}

/// The lines `name = ...` below a heading of a manifest: line, name, what follows.
fn section<'a>(tree: &'a Tree, path: &str, heading: &str) -> Vec<(usize, &'a str, &'a str)> {
    let lines = tree.text(path).unwrap_or("").lines().enumerate();
    let below = lines.skip_while(|(_, line)| line.trim() != heading).skip(1);
    below
        .take_while(|(_, line)| !line.starts_with('['))
        .filter(|(_, line)| !line.starts_with('#'))
        .filter_map(|(index, line)| line.split_once('=').map(|(name, rest)| (index + 1, name.trim(), rest)))
        .collect()
}

/// The table's lines: line, name, how many of the other cells say something.
fn table(tree: &Tree) -> Vec<(usize, &str, usize)> {
    let lines = tree.text(TABLE).unwrap_or("").lines().enumerate();
    let rows = lines.filter(|(_, line)| line.starts_with('|')).skip(2);
    rows.map(|(index, line)| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap_or("").trim_matches('`');
        (index + 1, name, cells.filter(|cell| !cell.is_empty()).count())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(manifest: &str, table: &str, member: &str) -> Vec<String> {
        let tree = Tree::of(&[("Cargo.toml", manifest), (TABLE, table), ("crates/a/Cargo.toml", member)]);
        check(&tree).into_iter().map(|finding| finding.what).collect()
    }

    const HEAD: &str = "| name | for | weight | upkeep | leave |\n|---|---|---|---|---|\n";

    #[test]
    fn dependencies_and_lines_match_one_to_one() {
        let manifest = "[workspace.dependencies]\nbalefire-a = { path = \"a\" }\nserde = \"1\"\nregex = \"1\"\n\n[profile.dev]\nx = 1\n";
        let full = format!("{HEAD}| `serde` | a | b | c | d |\n| regex | a | b | c | d |\n");
        assert!(what(manifest, &full, "").is_empty());
        let other = format!("{HEAD}| serde | a | b |  | d |\n| chrono | a | b | c | d |\n");
        assert_eq!(
            what(manifest, &other, ""),
            ["regex has no line", "serde has 3 of 4 reasons", "chrono is not a dependency"]
        );
    }

    #[test]
    fn a_member_names_no_version_of_its_own() {
        let member = "[dependencies]\nserde.workspace = true\nregex = { workspace = true }\nrand = \"0.9\"\n";
        assert_eq!(what("", HEAD, member), ["rand names its own version"]);
    }
}
