//! What the pods hold while nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use e2e::cluster::{Cluster, SHOP};
use e2e::services::Service;
use e2e::usage::{self, Usage};

use crate::row;

/// The pods of the shop after a minute and a half of quiet: connections to databases that nobody uses are closed after a minute.
pub(crate) async fn idle(cluster: &Cluster) -> Result<BTreeMap<String, Usage>> {
    tokio::time::sleep(Duration::from_secs(90)).await;
    usage::after_now(cluster, &cluster.namespace).await
}

/// Working sets, idle.
pub(crate) async fn memory(cluster: &Cluster, services: &[Service]) -> Result<()> {
    let usage = idle(cluster).await?;
    let mut groups: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (pod, usage) in &usage {
        let group = if pod.contains("-db-0") {
            "a database"
        } else if pod.starts_with(&format!("{SHOP}-nats")) {
            "broker"
        } else {
            services
                .iter()
                .map(|service| service.name.as_str())
                .find(|name| pod.starts_with(&format!("{SHOP}-{name}-")))
                .unwrap_or("other")
        };
        groups.entry(group).or_default().push(usage.memory);
    }
    for (group, pods) in &groups {
        let mean = pods.iter().sum::<u64>() / pods.len() as u64;
        row(
            &format!("idle memory, {group}"),
            &mib(mean),
            &format!("working set, mean of {}", pods.len()),
        );
    }
    let total: u64 = usage.values().map(|u| u.memory).sum();
    row(
        "idle memory, the whole shop",
        &mib(total),
        &format!(
            "working sets of {} pods, with databases and broker, after a minute and a half of quiet",
            usage.len()
        ),
    );
    row(
        "… that is in no file",
        &mib(usage.values().map(|u| u.anonymous).sum()),
        "anonymous memory of the same pods; the rest is file cache, which the kernel takes back, and the shared buffers of PostgreSQL",
    );
    let operator = usage::after_now(cluster, "shop-system").await?;
    row(
        "idle memory, operator",
        &mib(operator.values().map(|u| u.memory).sum()),
        "working set",
    );
    Ok(())
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1024.0 / 1024.0)
}
