//! Clock, environment and randomness come in through one file of the application each; everything else gets them as
//! values, so that it can be tested and replayed.

use super::Finding;
use crate::tree::{Tree, find_word_start};

struct Source {
    what: &'static str,
    /// Whether a test in a directory of its own may read it, to run itself again with other settings.
    is_for_tests: bool,
    calls: &'static [&'static str],
    home: &'static str,
}

const SOURCES: &[Source] = &[
    Source {
        what: "clock",
        is_for_tests: false,
        calls: &["Timestamp::now", "Zoned::now", "SystemTime::now", "Instant::now", "Utc::now", "Local::now"],
        home: "crates/app/src/clock.rs",
    },
    Source {
        what: "environment",
        is_for_tests: true,
        calls: &["env::var(", "env::var_os(", "env::vars(", "env::vars_os("],
        home: "crates/app/src/environment.rs",
    },
    Source {
        what: "randomness",
        is_for_tests: false,
        calls: &[
            "now_v7",
            "new_v4",
            "new_v7",
            "thread_rng",
            "OsRng",
            "getrandom",
            "rand::",
            "RandomState::new",
            "fastrand::",
        ],
        home: "crates/app/src/ids.rs",
    },
];

impl Source {
    fn is_free_in(&self, path: &str) -> bool {
        self.home == path || self.is_for_tests && path.contains("/tests/")
    }
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources().iter().filter(|source| is_product(&source.path)) {
        for (number, line) in source.code_lines() {
            for ambient in SOURCES.iter().filter(|ambient| !ambient.is_free_in(&source.path)) {
                for call in ambient.calls.iter().filter(|call| find_word_start(line, call).is_some()) {
                    let what = format!("{} reads the {}", call.trim_end_matches(['(', ':']), ambient.what);
                    let why = "the same inputs must give the same effects";
                    let allowed = format!("take it as a value; only {} may read it", ambient.home);
                    findings.push(Finding::new(&source.path, number, what, why, allowed));
                }
            }
        }
    }
    findings
}

/// Examples, benches and files called `speed.rs` in tests measure, which takes a clock; they are no part of the binary.
fn is_product(path: &str) -> bool {
    let measures = path.contains("/examples/") || path.contains("/benches/");
    let measures = measures || path.contains("/tests/") && path.ends_with("/speed.rs");
    path.starts_with("crates/") && !measures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_found_anywhere_but_at_home() {
        let text = "fn a() { let now = Timestamp::now(); }\n";
        let tree = Tree::of(&[
            ("crates/app/src/clock.rs", text),
            ("crates/app/src/run.rs", text),
            ("crates/engine/src/step.rs", "// Timestamp::now() is forbidden here.\n"),
            ("crates/intake/examples/speed.rs", text),
            ("tests/src/lib.rs", text),
        ]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("crates/app/src/run.rs", 1));
    }

    #[test]
    fn environment_and_randomness_are_found_too() {
        let tree = Tree::of(&[(
            "crates/store/src/lib.rs",
            "fn a() { std::env::var(\"HOME\") }\nfn b() { Uuid::now_v7() }\nfn c() { operand::new() }\n",
        )]);
        let lines: Vec<_> = check(&tree).into_iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2]);
    }
}
