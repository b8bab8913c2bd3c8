//! The house rules that a compiler does not know, one file each. A check looks at files in memory and returns findings;
//! it changes nothing and knows no other check.

mod ambient;
mod arrows;
mod changelog;
mod decisions;
mod doc_paths;
mod file_length;
mod forbidden;
mod function_length;
mod header;
mod markers;
mod names;
mod orphans;
mod pure;
mod ratchet;
mod runtime;

use crate::tree::Tree;
use crate::workspace::Workspace;
use anyhow::Result;
use std::fmt;
use std::path::Path;

/// One place where a rule is not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root.
    pub(crate) path: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// What was found.
    pub(crate) what: String,
    /// Why it is a fault.
    pub(crate) why: &'static str,
    /// What is allowed.
    pub(crate) allowed: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, why: &'static str, allowed: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, what: what.into(), why, allowed: allowed.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}; {}", self.path, self.line, self.what, self.why, self.allowed)
    }
}

/// Runs every check and prints what they found.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let tree = Tree::load(root)?;
    let workspace = Workspace::load(root)?;
    let findings = findings(&tree, &workspace);
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", tree.files().count(), findings.len());
    Ok(findings.is_empty())
}

fn findings(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let mut all = [
        arrows::check(workspace),
        runtime::check(workspace),
        ambient::check(tree),
        pure::check(tree),
        orphans::check(tree, workspace),
        header::check(tree),
        names::check(tree),
        markers::check(tree),
        forbidden::check(tree),
        function_length::check(tree),
        file_length::check(tree),
        doc_paths::check(tree),
        changelog::check(tree),
        decisions::check(tree),
    ]
    .concat();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_says_where_what_why_and_what_is_allowed() {
        let finding = Finding::new("a/b.rs", 7, "sleep", "time must not pass in tests", "wait for an event");
        assert_eq!(finding.to_string(), "a/b.rs:7: sleep; time must not pass in tests; wait for an event");
    }
}
