//! Only the application has an async runtime: everything else is testable without one.

use super::Finding;
use crate::workspace::Workspace;

const RUNTIMES: &[&str] = &[
    "tokio",
    "tokio-util",
    "tokio-stream",
    "tokio-rustls",
    "async-std",
    "smol",
    "pollster",
    "futures",
    "hyper",
    "axum",
];

/// The packages that may have one: the application, and those that talk to it from outside.
const ALLOWED: &[&str] = &["balefire-app", "balefire-tests", "xtask"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let others = workspace.packages.iter().filter(|package| !ALLOWED.contains(&package.name.as_str()));
    let finding = |manifest: &str, name: &str| {
        let why = "only app has an async runtime";
        Finding::new(manifest, 1, format!("depends on {name}"), why, "return data that app sends, and test it as data")
    };
    others
        .flat_map(|package| package.dependencies.iter().map(|dependency| (&package.manifest, &dependency.name)))
        .filter(|(_, name)| RUNTIMES.contains(&name.as_str()))
        .map(|(manifest, name)| finding(manifest, name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_outside_the_application_is_found_also_in_tests() {
        let members: &[(&str, &[&str])] =
            &[("balefire-app", &["tokio"]), ("balefire-store", &["tokio"]), ("balefire-sim", &["dev:tokio", "regex"])];
        let found: Vec<_> = check(&Workspace::of(members)).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["crates/store/Cargo.toml", "crates/sim/Cargo.toml"]);
    }
}
