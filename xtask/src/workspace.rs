//! What the workspace holds: its programs, their versions, and how cargo is called.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A program that runs in a cluster.
pub(crate) struct Program {
    pub(crate) package: String,
    pub(crate) binary: String,
    /// What it does when its image is started without arguments.
    pub(crate) command: &'static str,
    /// Below the workspace's root.
    pub(crate) folder: PathBuf,
}

impl Program {
    /// Whether it is a service of another team, that a Shop brings and not the operator.
    pub(crate) fn is_example(&self) -> bool {
        self.folder.starts_with("examples")
    }
}

/// The package of the tools that people run beside a cluster.
pub(crate) const TOOLS: &str = "e2e";

/// The command for people beside a Shop: package and binary.
pub(crate) const SHOPCTL: &str = "shopctl";

/// The operator's package and binary.
pub(crate) const OPERATOR: &str = "shop-operator";

/// The contracts that some packages compile.
const GRPC: &str = "contracts/grpc";

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
    name: String,
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

    /// The services: crates with a document beside their manifest, but for the one that hosts the others and is none itself.
    pub(crate) fn services(&self) -> Vec<Program> {
        let mut services = self.described();
        services.retain(|program| !self.hosts(program));
        services
    }

    fn hosts(&self, program: &Program) -> bool {
        self.says(program, "hosts: true")
    }

    /// What keeps nothing has no API of its own to describe, and says nothing to others.
    pub(crate) fn keeps_something(&self, service: &Program) -> bool {
        self.says(service, "database: PostgreSQL")
    }

    /// Whether its document has this line.
    fn says(&self, program: &Program, wanted: &str) -> bool {
        let document = self.root.join(&program.folder).join("service.yaml");
        let text = fs::read_to_string(document).unwrap_or_default();
        text.lines().any(|line| line == wanted)
    }

    /// Crates with a document beside their manifest.
    fn described(&self) -> Vec<Program> {
        let packages = self.packages.iter();
        let services = packages.filter(|package| package.folder().join("service.yaml").exists());
        let service = |package: &Package| {
            let folder = package.folder().strip_prefix(&self.root).ok()?;
            Some(Program {
                package: package.name.clone(),
                binary: folder.file_name()?.to_str()?.to_owned(),
                command: "serve",
                folder: folder.to_owned(),
            })
        };
        services.filter_map(service).collect()
    }

    /// Every program, the services first.
    pub(crate) fn programs(&self) -> Vec<Program> {
        let mut programs = self.described();
        programs.push(Program {
            package: OPERATOR.into(),
            binary: OPERATOR.into(),
            command: "run",
            folder: "operator".into(),
        });
        programs
    }

    /// Under which license all of it is, as an SPDX expression.
    pub(crate) fn license(&self) -> &str {
        self.packages.first().map_or("", |package| &package.license)
    }

    /// What cargo says about the package of a program.
    pub(crate) fn package(&self, program: &Program) -> Result<&Package> {
        let mut packages = self.packages.iter();
        packages
            .find(|package| package.name == program.package)
            .with_context(|| format!("the workspace has no package {}", program.package))
    }

    /// Folders that a package is built from: of crates of this workspace, its own included, and of the contracts that they compile.
    pub(crate) fn folders<'a>(&'a self, package: &'a Package) -> BTreeSet<&'a Path> {
        let dependencies = package.dependencies.iter();
        let paths = dependencies
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
            .filter_map(|dependency| dependency.path.as_deref());
        let packages =
            paths.filter_map(|path| self.packages.iter().find(|other| other.folder() == path));
        let folders = packages.flat_map(|other| self.folders(other));
        let contracts = package.compiles_contracts().then_some(Path::new(GRPC));
        folders.chain([package.folder()]).chain(contracts).collect()
    }
}

impl Package {
    /// Whether its build compiles contracts of gRPC.
    fn compiles_contracts(&self) -> bool {
        let mut dependencies = self.dependencies.iter();
        dependencies.any(|dependency| dependency.name == "protox")
    }

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
    use std::fs;

    use super::*;

    #[test]
    fn a_service_is_built_from_its_own_folder_and_the_chassis() {
        let workspace = Workspace::load().unwrap();
        let folders = |name: &str| {
            let programs = workspace.programs();
            let program = programs.iter().find(|p| p.binary == name).unwrap();
            let package = workspace.package(program).unwrap();
            let folders = workspace.folders(package).into_iter();
            let relative = folders.map(|f| f.strip_prefix(&workspace.root).unwrap_or(f).to_owned());
            relative.collect::<Vec<_>>()
        };
        assert_eq!(
            folders("users"),
            ["postgres-auth", "services/chassis", "services/users"].map(Path::new)
        );
        assert_eq!(
            folders(OPERATOR),
            ["operator", "postgres-auth"].map(Path::new)
        );
        for name in ["payments", "orders", "monolith"] {
            assert!(folders(name).contains(&GRPC.into()), "{name}");
        }
    }

    #[test]
    fn the_process_that_hosts_others_has_them_all() {
        let workspace = Workspace::load().unwrap();
        let described = workspace.described();
        let host = described.iter().find(|program| workspace.hosts(program));
        let host = workspace.package(host.unwrap()).unwrap();
        let folders = workspace.folders(host);
        let mut services = workspace.services();
        services.retain(|service| !service.is_example());
        for service in services {
            let package = workspace.package(&service).unwrap();
            assert!(folders.contains(package.folder()), "{}", service.binary);
        }
    }

    /// Whoever lists the services must be told of each new one. Nobody outside of their folders does, but where it is said why.
    #[test]
    fn adding_a_service_is_adding_a_folder() {
        let workspace = Workspace::load().unwrap();
        let names: Vec<_> = workspace.services().into_iter().map(|s| s.binary).collect();
        assert!(names.len() >= 5, "{names:?}");
        let tracked = Command::new("git")
            .env_remove("GIT_DIR")
            .env_remove("GIT_INDEX_FILE")
            .args([
                "ls-files",
                "operator/src",
                "operator/build.rs",
                "xtask",
                "dev",
                "charts",
            ])
            .args(["e2e/src/bin/figures", "Makefile", ".ci"])
            // What is generated, tests, and clients of the contracts, who name those whom they call.
            .args([
                ":!charts/*/files/*",
                ":!dev/observe/stack/dashboard-*",
                ":!operator/src/api/rules",
                ":!dev/contracts",
            ])
            // Boards and alerts of the shop's own figures say in words what they are of; each service has those of `service.rs`.
            .arg(":!xtask/src/observability")
            .current_dir(&workspace.root)
            .output()
            .unwrap();
        assert!(tracked.status.success(), "{tracked:?}");
        let tracked = String::from_utf8(tracked.stdout).unwrap();
        let lists = |path: &&str| {
            let Ok(text) = fs::read_to_string(workspace.root.join(path)) else {
                return false; // no text
            };
            let words: BTreeSet<_> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
            names
                .iter()
                .filter(|name| words.contains(name.as_str()))
                .count()
                >= 4
        };
        let lists: Vec<_> = tracked.lines().filter(lists).collect();
        // They print where the shop is reached.
        assert_eq!(lists, ["dev/run.sh", "dev/up.sh"]);
    }
}
