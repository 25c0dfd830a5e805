//! The same shop as services and as one process: two fresh Shops, one after the other, in one run.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::second_shop;
use e2e::seed::seed;
use serde_json::{Value, json};

use crate::cpu::{Costs, costs};
use crate::memory::{idle, mib};
use crate::ms;

/// Of the node ports; the first Shop has 30.
const PORTS: u16 = 31;

struct Subject {
    /// From apply to Ready, in seconds.
    ready: f64,
    pods: usize,
    /// Working sets in bytes, with the catalogue, idle.
    memory: u64,
    costs: Costs,
}

/// Prints both, with the ratio of each figure.
pub(crate) async fn beside_each_other(cluster: &Cluster) -> Result<()> {
    let spec = cluster.shop().await?["spec"].clone();
    let services = measure(cluster, "Services", spec.clone()).await?;
    let monolith = measure(cluster, "Monolith", spec).await?;
    println!("| what | services | monolith | ratio |\n|---|---|---|---|");
    let row = |what: &str, of: &dyn Fn(&Subject) -> f64, shown: &dyn Fn(f64) -> String| {
        let (one, other) = (of(&services), of(&monolith));
        println!(
            "| {what} | {} | {} | {:.2} |",
            shown(one),
            shown(other),
            other / one
        );
    };
    row("pods", &|s| s.pods as f64, &|n| format!("{n:.0}"));
    row("apply to Ready, a fresh shop", &|s| s.ready, &|s| {
        format!("{s:.1} s")
    });
    row("idle memory, the whole shop", &|s| s.memory as f64, &|b| {
        mib(b as u64)
    });
    row("CPU per search", &|s| s.costs.per_search, &ms);
    row("searches per second", &|s| s.costs.searches, &|n| {
        format!("{n:.0}")
    });
    row("CPU per order", &|s| s.costs.per_order, &ms);
    row("orders per second", &|s| s.costs.orders, &|n| {
        format!("{n:.1}")
    });
    Ok(())
}

async fn measure(cluster: &Cluster, topology: &str, mut spec: Value) -> Result<Subject> {
    spec["topology"] = json!(topology);
    let started = Instant::now();
    let cluster = second_shop::make(cluster, "figures-topology", PORTS, spec).await?;
    cluster.ready(Duration::from_secs(300)).await?;
    let ready = started.elapsed().as_secs_f64();
    let shop = second_shop::reach(&cluster, PORTS).await?;
    let admin = cluster.administrator(&shop).await?;
    seed(&shop, &admin).await?;
    let pods = idle(&cluster).await?;
    let subject = Subject {
        ready,
        pods: pods.len(),
        memory: pods.values().map(|pod| pod.memory).sum(),
        costs: costs(&cluster, &shop, &admin).await?,
    };
    second_shop::drop_it(&cluster).await?;
    Ok(subject)
}
