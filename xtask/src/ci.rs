//! Everything that must hold before a change is merged, in one list. Knows the steps and their order; what a step checks
//! is the business of the tool that it calls.

use crate::workspace::{Workspace, started};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::time::{Duration, Instant};

/// One line of the list.
struct Step {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// Whether `--quick` leaves it out.
    is_slow: bool,
}

const fn step(name: &'static str, program: &'static str, arguments: &'static [&'static str]) -> Step {
    Step { name, program, arguments, environment: &[], is_slow: false }
}

const fn slow(step: Step) -> Step {
    Step { is_slow: true, ..step }
}

/// In order: what is quick and fails often comes first.
const STEPS: &[Step] = &[
    step("format", "cargo", &["fmt", "--all", "--check"]),
    step("tidy", "cargo", &["xtask", "tidy"]),
    step("lints", "cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    slow(step("licences and bans", "cargo", &["deny", "--locked", "check", "bans", "licenses", "sources"])),
    step("tests", "cargo", &["test", "--workspace", "--exclude", "balefire-tests", "--locked", "--no-fail-fast"]),
    Step {
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
        ..step("documentation", "cargo", &["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"])
    },
    slow(step("release build", "cargo", &["build", "--release", "--package", "balefire-app", "--locked"])),
    slow(step("end to end", "cargo", &["test", "--package", "balefire-tests", "--locked", "--no-fail-fast"])),
];

/// What a step came to.
enum Ending {
    Passed(Duration),
    Failed(Duration),
    LeftOut,
}

/// Runs the steps, all of them also after a failure, and prints a summary.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let is_quick = match arguments {
        [] => false,
        [only] if only == "--quick" => true,
        other => bail!("ci does not know {other:?}; allowed: --quick"),
    };
    let workspace = Workspace::load(&std::env::current_dir().context("no current directory")?)?;
    // The end-to-end tests run the binary that users get.
    let binary = workspace.target.join("release/balefire");
    let mut endings = Vec::new();
    for (index, step) in STEPS.iter().enumerate() {
        if is_quick && step.is_slow {
            endings.push((step, Ending::LeftOut));
            continue;
        }
        println!("== {}/{} {}: {} {}", index + 1, STEPS.len(), step.name, step.program, step.arguments.join(" "));
        let begin = Instant::now();
        let passed = execute(step, &binary)?;
        let took = begin.elapsed();
        println!("== {} {} in {:.1} s\n", step.name, if passed { "passed" } else { "FAILED" }, took.as_secs_f64());
        endings.push((step, if passed { Ending::Passed(took) } else { Ending::Failed(took) }));
    }
    print!("{}", summary(&endings));
    Ok(!endings.iter().any(|(_, ending)| matches!(ending, Ending::Failed(_))))
}

fn execute(step: &Step, binary: &Path) -> Result<bool> {
    let mut command = started(step.program);
    command.args(step.arguments).envs(step.environment.iter().copied()).env("BALEFIRE_BIN", binary);
    let status = command.status().with_context(|| format!("cannot run {} for the step {}", step.program, step.name))?;
    Ok(status.success())
}

fn summary(endings: &[(&Step, Ending)]) -> String {
    let mut text = String::new();
    for (step, ending) in endings {
        let (word, took) = match ending {
            Ending::Passed(took) => ("passed", Some(took)),
            Ending::Failed(took) => ("FAILED", Some(took)),
            Ending::LeftOut => ("left out", None),
        };
        let seconds = took.map_or(String::new(), |took| format!("{:8.1} s", took.as_secs_f64()));
        text.push_str(&format!("{:<20} {word:<9}{seconds}\n", step.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_every_step_with_its_ending_and_its_time() {
        let endings = [
            (&STEPS[0], Ending::Passed(Duration::from_millis(1500))),
            (&STEPS[1], Ending::Failed(Duration::from_secs(20))),
            (&STEPS[3], Ending::LeftOut),
        ];
        let expected = "format               passed        1.5 s\n\
                        tidy                 FAILED       20.0 s\n\
                        licences and bans    left out \n";
        assert_eq!(summary(&endings), expected);
    }

    #[test]
    fn the_quick_list_still_holds_format_tidy_lints_tests_and_documentation() {
        let quick: Vec<_> = STEPS.iter().filter(|step| !step.is_slow).map(|step| step.name).collect();
        assert_eq!(quick, ["format", "tidy", "lints", "tests", "documentation"]);
    }
}
