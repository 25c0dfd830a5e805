//! What the tests do to the shop behind the pages.

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::window::setting;

/// Runs kubectl in the namespace of the shop.
pub(crate) async fn kubectl(arguments: &[&str]) -> Result<()> {
    let context = setting("KUBE_CONTEXT")?;
    let mut command = Command::new("kubectl");
    command.args(["--context", &context, "--namespace=demo"]);
    let output = command.args(arguments).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {arguments:?}: {said}");
    Ok(())
}
