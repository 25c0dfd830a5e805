//! What the shop costs, measured in the running cluster and printed as a table. These machines are shared: seconds and
//! milliseconds are of this run, ratios hold between runs.

mod binaries;
mod cpu;
mod memory;
mod ready;

use std::time::Duration;

use anyhow::Result;
use e2e::{cluster::Cluster, services};

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = Cluster::local().await?;
    cluster.ready(Duration::from_secs(120)).await?;
    println!("| what | figure | how |\n|---|---|---|");
    let services = services::all()?;
    memory::memory(&cluster, &services).await?;
    cpu::cpu(&cluster).await?;
    binaries::starts(&services)?;
    binaries::images()?;
    ready::ready(&cluster).await?;
    Ok(())
}

fn row(what: &str, figure: &str, how: &str) {
    println!("| {what} | {figure} | {how} |");
}

fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}
