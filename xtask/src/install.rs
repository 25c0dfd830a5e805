//! `cargo xtask install`: shopctl into a folder, also under the name by which kubectl finds it.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use tempfile::NamedTempFile;

use crate::{
    release,
    workspace::{SHOPCTL, Workspace},
};

/// With a program of this name on the path, `kubectl shop` is a command.
const PLUGIN: &str = "kubectl-shop";

#[derive(Args)]
pub(crate) struct Options {
    /// The folder, from the root of the repository; best one that is on your PATH
    #[arg(long, value_name = "DIR", default_value = ".state/bin")]
    to: PathBuf,
}

/// Builds and installs it, and says where.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::load()?;
    release::build(&workspace, &["--quiet"], &[SHOPCTL])?;
    let folder = workspace.root.join(&options.to);
    let cannot = || format!("nothing can be written to {}", folder.display());
    fs::create_dir_all(&folder).with_context(cannot)?;
    // Under another name first: one that runs may not be written to.
    let new = NamedTempFile::new_in(&folder).with_context(cannot)?;
    fs::copy(release::path(&workspace, SHOPCTL), &new).with_context(cannot)?;
    new.persist(folder.join(SHOPCTL)).with_context(cannot)?;
    let plugin = folder.join(PLUGIN);
    if fs::symlink_metadata(&plugin).is_err() {
        symlink(SHOPCTL, &plugin).with_context(cannot)?;
    }
    println!("{}", folder.join(SHOPCTL).display());
    Ok(())
}
