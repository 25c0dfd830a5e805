//! `shopctl`, the very program that people get. `cargo xtask install` puts it where it is looked for.

use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use crate::cluster::NAMESPACE;

/// What a command printed, and how it ended.
pub struct Answer {
    pub code: Option<i32>,
    pub text: String,
    pub complaints: String,
}

impl Answer {
    /// The command, run to its end.
    ///
    /// # Errors
    /// When it does not start, or prints what is no text.
    pub async fn of(command: &mut Command) -> Result<Self> {
        let output = command.output().await;
        let output = output.context("`cargo xtask install` makes shopctl")?;
        Ok(Self {
            code: output.status.code(),
            text: String::from_utf8(output.stdout)?,
            complaints: String::from_utf8(output.stderr)?,
        })
    }

    /// What it printed with `--output json`.
    ///
    /// # Errors
    /// When that is no JSON; what it complained of is the error.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| self.complaints.clone())
    }
}

/// The command with these arguments, about the Shop that the demo and the tests use. It says nothing of the cluster.
pub fn command(arguments: &[&str]) -> Command {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../.state/bin/shopctl");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["--namespace", NAMESPACE])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}
