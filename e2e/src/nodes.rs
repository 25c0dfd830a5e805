//! The nodes of a kind cluster: containers of this machine's engine.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The cluster of `make up`.
pub const LOCAL: &str = "shopkeeper";

/// The names of the nodes of a cluster.
///
/// # Errors
/// When the engine cannot be asked.
pub fn of(cluster: &str) -> Result<Vec<String>> {
    let of_cluster = format!("label=io.x-k8s.kind.cluster={cluster}");
    let nodes = Command::new("docker")
        .args(["ps", "--format", "{{.Names}}", "--filter", &of_cluster])
        .output()
        .context("docker")?;
    let nodes = String::from_utf8(nodes.stdout)?;
    Ok(nodes.lines().map(str::to_owned).collect())
}

/// Gives the image of a service a second name on every node: a new version to roll out.
///
/// # Errors
/// When the engine cannot be asked, or no node has the image.
pub fn tag(cluster: &str, service: &str, from: &str, to: &str) -> Result<()> {
    let image = |version: &str| format!("localhost/shopkeeper/{service}:{version}");
    let mut tagged = 0;
    for node in of(cluster)? {
        let status = Command::new("docker")
            .args(["exec", &node, "ctr", "-n", "k8s.io", "images", "tag"])
            .args(["--force", &image(from), &image(to)])
            .output()?;
        tagged += usize::from(status.status.success());
    }
    ensure!(
        tagged > 0,
        "no node holds the image of {service} in version {from}"
    );
    Ok(())
}
