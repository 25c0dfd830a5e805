//! Programs in Go: each a folder of services/ with a `go.mod` and its `VERSION`. They take the place of a service, so they are built
//! only where they are named.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// A program in Go.
pub(crate) struct GoProgram {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) folder: PathBuf,
}

/// All that there are.
pub(crate) fn programs(workspace: &Workspace) -> Result<Vec<GoProgram>> {
    let services = workspace.root.join("services");
    let folders = fs::read_dir(&services)
        .with_context(|| format!("{} cannot be read", services.display()))?;
    let mut programs = vec![];
    for folder in folders {
        let folder = folder?.path();
        if !folder.join("go.mod").exists() {
            continue;
        }
        let version = folder.join("VERSION");
        let version = fs::read_to_string(&version).with_context(|| {
            format!(
                "{} cannot be read; a program in Go has its version there",
                version.display()
            )
        })?;
        let name = folder.file_name().and_then(|name| name.to_str());
        programs.push(GoProgram {
            name: name
                .context("a folder of services/ has no name in UTF-8")?
                .to_owned(),
            version: version.trim().to_owned(),
            folder,
        });
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// Builds a static program, the same on every machine with the same Go, and says where it is.
pub(crate) fn build(workspace: &Workspace, program: &GoProgram) -> Result<PathBuf> {
    let binary = workspace.target.join("go").join(&program.name);
    let status = go(&program.folder)
        // What git says of the tree would make another program of each commit.
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"])
        .arg("-o")
        .arg(&binary)
        .status()
        .context("go does not start; install Go from https://go.dev/dl/ and put it on PATH")?;
    ensure!(
        status.success(),
        "go build of {} failed; its words stand above",
        program.name
    );
    Ok(binary)
}

/// Go in a folder, without what a machine has set for its other work.
fn go(folder: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOENV", "off")
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOEXPERIMENT", "")
        .env("GOOS", "linux")
        .env("GOARCH", "amd64")
        .env("GOAMD64", "v1");
    go
}
