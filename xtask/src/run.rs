//! `cargo xtask run`: a tool of the workspace, built with the flags of the images, so that both share what is compiled.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};
use clap::Args;

use crate::{release, workspace::Workspace};

#[derive(Args)]
pub(crate) struct Options {
    #[arg(value_parser = ["demo", "figures"])]
    tool: String,
    /// What the tool is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// Builds the tool and becomes it; returns only where it does not start.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::load()?;
    release::build(&workspace, &["--quiet"], &[&options.tool])?;
    let path = release::path(&workspace, &options.tool);
    let error = Command::new(&path).args(&options.arguments).exec();
    Err(error).with_context(|| format!("{} does not start", path.display()))
}
