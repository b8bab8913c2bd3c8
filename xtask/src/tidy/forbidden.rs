//! Calls and attributes that the house forbids, each with its reason and what to write instead.

use super::Finding;
use crate::tree::{Source, Tree, find_word_start};

/// Where a rule holds.
#[derive(PartialEq)]
enum Where {
    Everywhere,
    Tests,
}

struct Rule {
    pattern: &'static str,
    holds: Where,
    why: &'static str,
    allowed: &'static str,
    /// Files and directories that may.
    except: &'static [&'static str],
}

impl Rule {
    fn holds_in(&self, source: &Source, line: usize) -> bool {
        let is_excepted = self.except.iter().any(|path| source.path.starts_with(path));
        !is_excepted && (self.holds == Where::Everywhere || source.is_test(line))
    }
}

/// The one file that may let time pass while it polls a process from outside.
const WAIT: &str = "tests/src/wait.rs";

/// Where the runtime is started, there is no runtime's thread to stop.
const START: &[&str] = &["crates/app/src/main.rs", "crates/app/src/cli/", "crates/app/src/listen/tail/tests.rs"];

const RULES: &[Rule] = &[
    Rule {
        pattern: "#[allow(",
        holds: Where::Everywhere,
        why: "an allowance outlives its cause unnoticed",
        allowed: "#[expect(lint, reason = \"...\")]",
        except: &[],
    },
    Rule {
        pattern: "#![allow(",
        holds: Where::Everywhere,
        why: "an allowance outlives its cause unnoticed",
        allowed: "#![expect(lint, reason = \"...\")]",
        except: &[],
    },
    Rule {
        pattern: "unbounded_channel",
        holds: Where::Everywhere,
        why: "a queue without a bound is a memory leak in waiting",
        allowed: "a bounded channel, and a constant that says why that size",
        except: &[],
    },
    Rule {
        pattern: "mpsc::channel()",
        holds: Where::Everywhere,
        why: "a queue without a bound is a memory leak in waiting",
        allowed: "mpsc::sync_channel(bound)",
        except: &[],
    },
    Rule {
        pattern: "block_on(",
        holds: Where::Everywhere,
        why: "it stops a thread of the runtime",
        allowed: "await it, or give it to a thread of its own",
        except: START,
    },
    Rule {
        pattern: "#[ignore]",
        holds: Where::Everywhere,
        why: "a test that nobody runs tells nothing",
        allowed: "#[ignore = \"the reason, and who runs it\"]",
        except: &[],
    },
    Rule {
        pattern: "sleep(",
        holds: Where::Tests,
        why: "a test that waits for time is slow or wrong, or both",
        allowed: "wait for an event; from outside a process, poll with tests/src/wait.rs",
        except: &[WAIT],
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        for (number, line) in source.code_lines() {
            for rule in RULES.iter().filter(|rule| rule.holds_in(source, number)) {
                if find_word_start(line, rule.pattern).is_some() {
                    findings.push(Finding::new(&source.path, number, rule.pattern, rule.why, rule.allowed));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn every_rule_finds_its_pattern() {
        for rule in RULES {
            assert_eq!(lines("tests/a.rs", &format!("\n    {}\n", rule.pattern)), [2], "{}", rule.pattern);
        }
    }

    #[test]
    fn what_is_allowed_instead_is_not_found() {
        let text =
            "#[expect(dead_code)]\n#[ignore = \"by hand\"]\nlet (a, b) = mpsc::channel(64);\nspawn_blocking(x)\n";
        assert!(lines("tests/a.rs", text).is_empty());
    }

    #[test]
    fn time_may_pass_in_the_product_and_in_the_one_file_that_polls() {
        let text = "fn a() { sleep(x) }\n#[cfg(test)]\nmod tests {\n    fn b() { sleep(x) }\n}\n";
        assert_eq!(lines("crates/app/src/run.rs", text), [4]);
        assert!(lines(WAIT, text).is_empty());
    }

    #[test]
    fn a_runtime_is_entered_where_it_is_started_and_nowhere_else() {
        let text = "runtime.block_on(serve())\n";
        assert!(lines("crates/app/src/cli/serve.rs", text).is_empty());
        assert_eq!(lines("crates/app/src/core/driver.rs", text), [1]);
    }
}
