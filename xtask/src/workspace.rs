//! What the workspace holds: its programs, their versions, and how cargo is called.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A program that runs in a cluster.
pub(crate) struct Program {
    pub(crate) package: &'static str,
    pub(crate) binary: &'static str,
    /// What it does when its image is started without arguments.
    pub(crate) command: &'static str,
}

pub(crate) const OPERATOR: Program = Program {
    package: "shop-operator",
    binary: "shop-operator",
    command: "run",
};

pub(crate) const SERVICES: [Program; 5] = [
    service("shop-users", "users"),
    service("shop-orders", "orders"),
    service("shop-email", "email"),
    service("shop-search", "search"),
    service("shop-payments", "payments"),
];

/// The package of the tools that people run beside a cluster.
pub(crate) const TOOLS: &str = "e2e";

const fn service(package: &'static str, binary: &'static str) -> Program {
    Program {
        package,
        binary,
        command: "serve",
    }
}

/// Every program, the services first.
pub(crate) fn programs() -> impl Iterator<Item = &'static Program> {
    SERVICES.iter().chain([&OPERATOR])
}

/// What `cargo metadata` says about this workspace.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    name: String,
    pub(crate) version: String,
    /// SPDX expression.
    pub(crate) license: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    /// None for what the program is built from, else `dev` or `build`.
    kind: Option<String>,
    /// The folder of a crate of this workspace.
    path: Option<PathBuf>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--format-version=1", "--no-deps"])
            .output()
            .context("cargo does not start")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        serde_json::from_slice(&output.stdout).context("cargo metadata answers something unknown")
    }

    /// What cargo says about the package of a program.
    pub(crate) fn package(&self, program: &Program) -> Result<&Package> {
        let mut packages = self.packages.iter();
        packages
            .find(|package| package.name == program.package)
            .with_context(|| format!("the workspace has no package {}", program.package))
    }

    /// Folders of the crates of this workspace that a package is built from, its own included.
    pub(crate) fn folders<'a>(&'a self, package: &'a Package) -> BTreeSet<&'a Path> {
        let dependencies = package.dependencies.iter();
        let paths = dependencies
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
            .filter_map(|dependency| dependency.path.as_deref());
        let packages =
            paths.filter_map(|path| self.packages.iter().find(|other| other.folder() == path));
        let folders = packages.flat_map(|other| self.folders(other));
        folders.chain([package.folder()]).collect()
    }
}

impl Package {
    fn folder(&self) -> &Path {
        let parent = self.manifest_path.parent();
        parent.expect("cargo gives the whole path of each Cargo.toml")
    }
}

/// The cargo that started us, or the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `cargo build` for these binaries; its progress goes to the terminal. Features of dependencies are united over the
/// packages, and another union compiles most dependencies again, so name the same packages however few binaries are wanted.
pub(crate) fn build(
    mut cargo: Command,
    flags: &[&str],
    packages: &[&str],
    binaries: &[&str],
) -> Result<()> {
    cargo.arg("build").args(flags);
    for package in packages {
        cargo.args(["--package", package]);
    }
    for binary in binaries {
        cargo.args(["--bin", binary]);
    }
    let status = cargo.status().context("cargo does not start")?;
    ensure!(
        status.success(),
        "cargo build failed; its words stand above"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_built_from_its_own_folder_and_the_chassis() {
        let workspace = Workspace::load().unwrap();
        let folders = |program| {
            let package = workspace.package(program).unwrap();
            let folders = workspace.folders(package).into_iter();
            let relative = folders.map(|f| f.strip_prefix(&workspace.root).unwrap().to_owned());
            relative.collect::<Vec<_>>()
        };
        assert_eq!(
            folders(&SERVICES[0]),
            ["postgres-auth", "services/chassis", "services/users"].map(Path::new)
        );
        assert_eq!(
            folders(&OPERATOR),
            ["operator", "postgres-auth"].map(Path::new)
        );
    }
}
