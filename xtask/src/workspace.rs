//! What cargo says of the workspace: its packages, what they depend on, and where their crates begin. Knows no rule.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace as `cargo metadata --no-deps` describes it.
pub(crate) struct Workspace {
    /// Its members.
    pub(crate) packages: Vec<Package>,
    /// Where builds go.
    pub(crate) target: PathBuf,
}

/// A member.
pub(crate) struct Package {
    /// Its name, such as `balefire-model`.
    pub(crate) name: String,
    /// Its manifest's path, relative to the root.
    pub(crate) manifest: String,
    /// What it depends on.
    pub(crate) dependencies: Vec<Dependency>,
    /// The first file of each of its crates, relative to the root.
    pub(crate) roots: Vec<String>,
}

/// One dependency of a member.
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) name: String,
    /// Whether only tests, examples and benches see it.
    pub(crate) is_dev: bool,
}

/// A program that is started as if by hand. `cargo run` tells us in the environment which package we are; a build that
/// inherits that compiles every crate anew whose build script looks at it (ring), and all that depends on it.
pub(crate) fn started(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.starts_with(of))) {
            command.env_remove(name);
        }
    }
    command
}

/// How the binary under test is built.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    /// As it is shipped: minutes.
    Release,
    /// As the tests are.
    Debug,
}

impl Workspace {
    /// The binary under test: what `BALEFIRE_BIN` names, else built now.
    pub(crate) fn binary(&self, build: Build) -> Result<PathBuf> {
        if let Some(binary) = std::env::var_os("BALEFIRE_BIN") {
            return Ok(PathBuf::from(binary));
        }
        let (profile, place) = match build {
            Build::Release => ("release", "release/balefire"),
            Build::Debug => ("dev", "debug/balefire"),
        };
        let build = ["build", "--profile", profile, "--package", "balefire-app", "--locked"];
        let status = started("cargo").args(build).status().context("cannot run cargo")?;
        ensure!(status.success(), "the build failed");
        Ok(self.target.join(place))
    }

    /// Asks cargo.
    pub(crate) fn load(root: &Path) -> Result<Workspace> {
        let output = started("cargo")
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(root)
            .output()
            .context("cannot run cargo metadata")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "cargo metadata failed: {}", said.trim());
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
        Workspace::parse(root, &metadata).context("cargo metadata has another form than expected")
    }

    fn parse(root: &Path, metadata: &Value) -> Option<Workspace> {
        let relative = |path: &Value| {
            let path = Path::new(path.as_str()?);
            Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())
        };
        let package = |package: &Value| {
            let dependency = |dependency: &Value| {
                let name = dependency["name"].as_str()?.to_owned();
                Some(Dependency { name, is_dev: dependency["kind"] == "dev" })
            };
            Some(Package {
                name: package["name"].as_str()?.to_owned(),
                manifest: relative(&package["manifest_path"])?,
                dependencies: package["dependencies"].as_array()?.iter().map(dependency).collect::<Option<_>>()?,
                roots: package["targets"]
                    .as_array()?
                    .iter()
                    .map(|t| relative(&t["src_path"]))
                    .collect::<Option<_>>()?,
            })
        };
        Some(Workspace {
            packages: metadata["packages"].as_array()?.iter().map(package).collect::<Option<_>>()?,
            target: PathBuf::from(metadata["target_directory"].as_str()?),
        })
    }

    /// A workspace for a test: each member's name and its dependencies; `dev:` before a name marks those of tests.
    #[cfg(test)]
    pub(crate) fn of(members: &[(&str, &[&str])]) -> Workspace {
        let package = |(name, dependencies): &(&str, &[&str])| Package {
            name: (*name).to_owned(),
            manifest: format!("crates/{}/Cargo.toml", name.trim_start_matches("balefire-")),
            dependencies: dependencies
                .iter()
                .map(|text| Dependency {
                    name: text.trim_start_matches("dev:").to_owned(),
                    is_dev: text.starts_with("dev:"),
                })
                .collect(),
            roots: Vec::new(),
        };
        Workspace { packages: members.iter().map(package).collect(), target: PathBuf::from("target") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_started_does_not_hear_which_package_we_are() {
        // `cargo test` tells us as `cargo run` does.
        let command = started("true");
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(removed.contains(&"CARGO_PKG_NAME".as_ref()) && removed.contains(&"CARGO_MANIFEST_DIR".as_ref()));
    }

    #[test]
    fn metadata_becomes_members_with_paths_relative_to_the_root() {
        let metadata = serde_json::json!({
            "target_directory": "/r/target",
            "packages": [{
                "name": "balefire-sim",
                "manifest_path": "/r/crates/sim/Cargo.toml",
                "dependencies": [{"name": "balefire-model", "kind": null}, {"name": "tempfile", "kind": "dev"}],
                "targets": [{"src_path": "/r/crates/sim/src/lib.rs"}],
            }],
        });
        let workspace = Workspace::parse(Path::new("/r"), &metadata).unwrap();
        let sim = &workspace.packages[0];
        assert_eq!(sim.manifest, "crates/sim/Cargo.toml");
        assert_eq!(sim.roots, ["crates/sim/src/lib.rs"]);
        assert_eq!(sim.dependencies.iter().map(|d| d.is_dev).collect::<Vec<_>>(), [false, true]);
    }
}
