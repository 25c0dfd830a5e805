//! `cargo xtask run`: a tool of the workspace, built with the flags of the images, so that both share what is compiled.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::{
    release,
    workspace::{OPERATOR, Workspace},
};

#[derive(Args)]
pub(crate) struct Options {
    tool: Tool,
    /// What the tool is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tool {
    Demo,
    Figures,
    BenchOperator,
}

impl Tool {
    /// The tool's binary, and then those that it starts from beside its own.
    fn binaries(self) -> &'static [&'static str] {
        match self {
            Self::Demo => &["demo"],
            Self::Figures => &["figures"],
            Self::BenchOperator => &["bench-operator", OPERATOR],
        }
    }
}

/// Builds the tool and becomes it; returns only where it does not start.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::load()?;
    let binaries = options.tool.binaries();
    release::build(&workspace, &["--quiet"], binaries)?;
    let path = release::path(&workspace, binaries[0]);
    let error = Command::new(&path).args(&options.arguments).exec();
    Err(error).with_context(|| format!("{} does not start", path.display()))
}
