//! The arrows between the workspace's crates: who may depend on whom. The table is the law; the manifests are compared
//! with it.

use super::Finding;
use crate::workspace::Workspace;

/// Each crate of the product, what it may depend on, and what its tests may use besides.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("model", &[], &[]),
    ("engine", &["model"], &[]),
    ("evidence", &["model"], &[]),
    ("store", &["model"], &[]),
    ("intake", &["model"], &[]),
    ("channels", &["model"], &[]),
    ("watch", &["model"], &[]),
    ("app", &["model", "engine", "evidence", "store", "intake", "channels", "watch"], &[]),
    ("sim", &["model", "engine", "channels", "evidence"], &["store"]),
];

const WHY: &str = "an arrow that the architecture does not have";

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let Some(name) = package.name.strip_prefix("balefire-") else { continue };
        if !package.manifest.starts_with("crates/") {
            continue;
        }
        let Some((_, product, tests)) = ARROWS.iter().find(|(known, _, _)| *known == name) else {
            let allowed = "give the crate its arrows in xtask/src/tidy/arrows.rs and in ARCHITECTURE.md";
            findings.push(Finding::new(&package.manifest, 1, format!("crate {name} has no place"), WHY, allowed));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(on) = dependency.name.strip_prefix("balefire-") else { continue };
            if product.contains(&on) || dependency.is_dev && tests.contains(&on) {
                continue;
            }
            let test_only = if tests.contains(&on) { " in [dependencies]" } else { "" };
            let what = format!("{name} depends on {on}{test_only}");
            findings.push(Finding::new(&package.manifest, 1, what, WHY, allowed(product, tests)));
        }
    }
    findings
}

fn allowed(product: &[&str], tests: &[&str]) -> String {
    let product = if product.is_empty() { "nothing".to_owned() } else { product.join(", ") };
    let tests = if tests.is_empty() { String::new() } else { format!("; in tests also {}", tests.join(", ")) };
    format!("allowed: {product}{tests}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(members: &[(&str, &[&str])]) -> Vec<String> {
        check(&Workspace::of(members)).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn the_arrows_of_the_architecture_are_allowed() {
        let members: &[(&str, &[&str])] = &[
            ("balefire-engine", &["balefire-model", "regex"]),
            ("balefire-app", &["balefire-store", "balefire-engine"]),
            ("balefire-sim", &["balefire-engine", "dev:balefire-store"]),
        ];
        assert!(what(members).is_empty());
    }

    #[test]
    fn any_other_arrow_is_found_and_so_is_a_crate_without_a_place() {
        let members: &[(&str, &[&str])] = &[
            ("balefire-engine", &["balefire-store"]),
            ("balefire-model", &["dev:balefire-engine"]),
            ("balefire-sim", &["balefire-store"]),
            ("balefire-misc", &[]),
        ];
        let expected = [
            "engine depends on store",
            "model depends on engine",
            "sim depends on store in [dependencies]",
            "crate misc has no place",
        ];
        assert_eq!(what(members), expected);
    }
}
