//! Measures the operator with many Shops on a real API server that has no kubelet and no controller: `make bench-operator`.
//!
//! What these would do is done by `hands`, only once and only where something changed, so that whatever else the API server is
//! asked to write comes from the process that is measured. A plain controller as kube's documentation teaches it is measured
//! beside it, over the same objects and in the same run: machines differ, the ratios hold.

mod deployments;
mod edits;
mod hands;
mod measure;
mod objects;
mod plain;
mod pods;
mod process;
mod requests;
mod shops;
mod stores;
mod table;
mod troubled;

use std::{net::SocketAddr, sync::LazyLock, time::Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure and print a table. Fails where the operator misses an aim that does not depend on how fast the machine is.
    Measure(measure::Options),
    /// Run the plain controller, which tells on this address how often it has reconciled.
    Plain {
        #[arg(long)]
        metrics: SocketAddr,
    },
    /// Keep whole objects in kube's stores, and say on this address when they are filled.
    Stores {
        #[arg(long)]
        metrics: SocketAddr,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    e2e::install_crypto();
    match Arguments::parse().command {
        Command::Measure(options) => measure::run(&options).await,
        Command::Plain { metrics } => plain::run(metrics).await,
        Command::Stores { metrics } => stores::run(metrics).await,
    }
}

/// Progress, for people, with the seconds since the first word.
fn say(what: &str) {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    eprintln!("{:5} s  {what}", FIRST.elapsed().as_secs());
}
