//! What the shop costs, measured in the running cluster and printed as a table. These machines are shared: seconds and
//! milliseconds are of this run, ratios hold between runs.

mod binaries;
mod cpu;
mod memory;
mod pages;
mod protocols;
mod ready;
mod releases;
mod topologies;
mod tracing;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use e2e::{cluster::Cluster, services};

#[derive(Parser)]
struct Arguments {
    /// What is measured: the running shop, or a fresh monolith beside a fresh shop of services
    #[arg(long, default_value = "services")]
    topology: Topology,
    /// Only what traces cost the running shop; needs `make observe`
    #[arg(long, conflicts_with = "topology")]
    tracing: bool,
    /// Only what the pods hold and what pages cost
    #[arg(long, conflicts_with_all = ["topology", "tracing"])]
    pages: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Topology {
    Services,
    Monolith,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let cluster = Cluster::local().await?;
    cluster.ready(Duration::from_secs(120)).await?;
    if arguments.tracing {
        return tracing::beside_none(&cluster).await;
    }
    if arguments.pages {
        return memory_and_pages(&cluster).await;
    }
    match arguments.topology {
        Topology::Services => running_shop(&cluster).await,
        Topology::Monolith => topologies::beside_each_other(&cluster).await,
    }
}

async fn memory_and_pages(cluster: &Cluster) -> Result<()> {
    head();
    memory::memory(cluster, &services::all()?).await?;
    pages::pages(cluster).await
}

async fn running_shop(cluster: &Cluster) -> Result<()> {
    head();
    let services = services::all()?;
    memory::memory(cluster, &services).await?;
    cpu::cpu(cluster).await?;
    pages::pages(cluster).await?;
    binaries::starts(&services)?;
    binaries::images()?;
    ready::ready(cluster).await?;
    releases::releases(cluster, &services).await?;
    Ok(())
}

fn head() {
    println!("| what | figure | how |\n|---|---|---|");
}

fn row(what: &str, figure: &str, how: &str) {
    println!("| {what} | {figure} | {how} |");
}

fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}
