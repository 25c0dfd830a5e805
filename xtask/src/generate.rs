//! `cargo xtask generate`: files that are written from code and checked in, so that a change of a contract, a board or an alert is seen in
//! review.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{
    observability,
    workspace::{self, Program, Workspace},
};

/// Prints what is generated from the operator's types: package and binary. A program of its own, because xtask itself is compiled
/// before every command, and kube with it would make the first one minutes slower.
const SHOP_API: &str = "xtask-shop-api";
/// Folders of contracts that hold generated files and nothing else.
const FOLDERS: [&str; 2] = ["openapi", "events"];
/// The same of the operator's chart.
const DASHBOARDS: &str = "charts/shop-operator/files/dashboards";

#[derive(Args)]
pub(crate) struct Options {
    /// Change nothing; fail and name the files that differ
    #[arg(long)]
    check: bool,
}

/// Path below the workspace's root, and content.
type Files = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut cargo = workspace::cargo();
    cargo.current_dir(&workspace.root);
    let services = workspace.services();
    let packages: Vec<_> = services.iter().map(|s| s.package.as_str()).collect();
    let binaries: Vec<_> = services.iter().map(|s| s.binary.as_str()).collect();
    workspace::build(
        cargo,
        &["--quiet"],
        &[&packages[..], &[SHOP_API]].concat(),
        &[&binaries[..], &[SHOP_API]].concat(),
    )?;

    let files = generated(&workspace)?;
    let stale = stale(&workspace.root, &services, &files)?;
    let different: Vec<_> = files
        .iter()
        .filter(|(path, content)| {
            fs::read(workspace.root.join(path)).ok().as_ref() != Some(content)
        })
        .collect();
    if options.check {
        return report(different.iter().map(|(path, _)| path.as_path()), &stale);
    }
    for (path, content) in different {
        write(&workspace.root.join(path), content)?;
        println!("wrote {}", path.display());
    }
    for path in stale {
        fs::remove_file(workspace.root.join(&path))?;
        println!("removed {}", path.display());
    }
    Ok(())
}

/// Everything that the programs generate, and what is written here as data.
fn generated(workspace: &Workspace) -> Result<Files> {
    let mut files: Files = observability::files()?;
    let definition = output(workspace, SHOP_API, &["definition"])?;
    files.insert("crds/shops.yaml".into(), definition.clone());
    // Helm reads only files of the chart's own folder.
    files.insert("charts/shop-operator/files/shops.yaml".into(), definition);
    files.insert(
        "docs/shop-api.md".into(),
        output(workspace, SHOP_API, &["reference"])?,
    );
    for service in workspace
        .services()
        .iter()
        .filter(|s| workspace.keeps_something(s))
    {
        let document = output(workspace, &service.binary, &["openapi"])?;
        let file = format!("openapi/{}.json", service.binary);
        files.insert(contracts(service).join(file), document);
        events(workspace, service, &mut files)?;
    }
    Ok(files)
}

/// Where the contracts of a service are: those of the shop's own together, those of an example beside it.
fn contracts(service: &Program) -> PathBuf {
    if service.is_example() {
        service.folder.join("contracts")
    } else {
        "contracts".into()
    }
}

fn events(workspace: &Workspace, service: &Program, files: &mut Files) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder
        .path()
        .to_str()
        .context("the temporary folder's name is not UTF-8")?;
    output(workspace, &service.binary, &["events", path])?;
    for entry in fs::read_dir(folder.path())? {
        let entry = entry?;
        let path = contracts(service).join("events").join(entry.file_name());
        let twice = files
            .insert(path.clone(), fs::read(entry.path())?)
            .is_some();
        ensure!(
            !twice,
            "{} is written by {} and by another service; an event has one owner",
            path.display(),
            service.binary
        );
    }
    Ok(())
}

/// What a freshly built program prints.
fn output(workspace: &Workspace, program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let path = workspace.target.join("debug").join(program);
    let shown = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(&path)
        .args(arguments)
        .output()
        .with_context(|| format!("{} does not start", path.display()))?;
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        shown(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

/// Files in generated folders that nothing writes any more.
fn stale(root: &Path, services: &[Program], files: &Files) -> Result<BTreeSet<PathBuf>> {
    let contracts: BTreeSet<_> = services.iter().map(contracts).collect();
    let folders = contracts
        .iter()
        .flat_map(|path| FOLDERS.map(|folder| path.join(folder)))
        .chain([DASHBOARDS.into()]);
    let mut stale = BTreeSet::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else {
            continue;
        };
        for entry in entries {
            let path = folder.join(entry?.file_name());
            if !files.contains_key(&path) {
                stale.insert(path);
            }
        }
    }
    Ok(stale)
}

fn report<'a>(different: impl Iterator<Item = &'a Path>, stale: &BTreeSet<PathBuf>) -> Result<()> {
    let different = different.map(|path| format!("{} is not what the code says", path.display()));
    let stale = stale
        .iter()
        .map(|path| format!("{} is not generated any more", path.display()));
    let findings: Vec<_> = different.chain(stale).collect();
    if findings.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\nrun `cargo xtask generate` and look at the difference",
        findings.join("\n")
    )
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("{} cannot be written", path.display()))
}
