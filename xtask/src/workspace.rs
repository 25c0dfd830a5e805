//! What the workspace holds: its programs, their versions, and how cargo is called.

use std::{collections::HashMap, path::PathBuf, process::Command};

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
struct Package {
    name: String,
    version: String,
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

    /// The version of each package, by its name.
    pub(crate) fn versions(&self) -> HashMap<&str, &str> {
        let packages = self.packages.iter();
        packages
            .map(|package| (package.name.as_str(), package.version.as_str()))
            .collect()
    }
}

/// The cargo that started us, or the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `cargo build` for the programs; its progress goes to the terminal.
pub(crate) fn build(mut cargo: Command, flags: &[&str], wanted: &[&Program]) -> Result<()> {
    cargo.arg("build").args(flags);
    // All packages are named, however few programs are wanted: features of dependencies are united over the named packages,
    // and another union would compile most dependencies again.
    for program in programs() {
        cargo.args(["--package", program.package]);
    }
    for program in wanted {
        cargo.args(["--bin", program.binary]);
    }
    let status = cargo.status().context("cargo does not start")?;
    ensure!(
        status.success(),
        "cargo build failed; its words stand above"
    );
    Ok(())
}
