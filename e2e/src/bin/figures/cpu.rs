//! What a search and an order cost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::shop::{Account, Shop};
use e2e::usage::{self, Usage};
use futures::StreamExt;

use crate::{ms, protocols, row};

const SEARCHES: usize = 3000;
pub(crate) const ORDERS: usize = 100;
pub(crate) const AT_ONCE: usize = 8;

/// What is searched for, in turn.
pub(crate) const WORDS: [&str; 6] = [
    "cofee grindr",
    "kettle",
    "wool blanket",
    "bicycle",
    "desk lamp oak",
    "tent",
];

/// What the shop uses, over all its pods.
pub(crate) struct Costs {
    /// Of a core, while idle.
    pub(crate) idle: f64,
    /// In seconds of CPU, less what it uses while idle.
    pub(crate) per_search: f64,
    pub(crate) per_order: f64,
    /// In a second.
    pub(crate) searches: f64,
    pub(crate) orders: f64,
}

/// What a search and an order cost.
pub(crate) async fn cpu(cluster: &Cluster) -> Result<()> {
    let shop = Shop::new(30)?;
    let admin = cluster.administrator(&shop).await?;
    let costs = costs(cluster, &shop, &admin).await?;
    row(
        "CPU of the idle shop",
        &format!("{:.1} % of a core", costs.idle * 100.0),
        "all pods, over half a minute",
    );
    row(
        "CPU per search",
        &ms(costs.per_search),
        &format!("{SEARCHES} searches with typos, facets and highlights, {AT_ONCE} at once"),
    );
    row(
        "searches per second",
        &format!("{:.0}", costs.searches),
        "the same run, client on the same machine",
    );
    row(
        "CPU per order",
        &ms(costs.per_order),
        "cart, checkout, saga, payment, events, mail; all pods with databases and broker",
    );
    row(
        "CPU of an order in searches",
        &format!("{:.0}", costs.per_order / costs.per_search),
        "ratio of the two above",
    );
    row(
        "orders per second",
        &format!("{:.1}", costs.orders),
        &format!("until paid, {AT_ONCE} buyers at once, client on the same machine"),
    );
    protocols::print(cluster, &shop, &admin, &costs).await
}

/// Lets the shop rest, search and sell.
pub(crate) async fn costs(cluster: &Cluster, shop: &Shop, admin: &Account) -> Result<Costs> {
    let idle_per_second = idle(cluster).await?;
    let searches = searches(cluster, shop, SEARCHES, idle_per_second).await?;
    let orders = orders(cluster, shop, admin, ORDERS, idle_per_second).await?;
    Ok(Costs {
        idle: idle_per_second,
        per_search: searches.cpu,
        per_order: orders.cpu,
        searches: searches.per_second,
        orders: orders.per_second,
    })
}

/// What the shop uses while nobody asks, of a core.
pub(crate) async fn idle(cluster: &Cluster) -> Result<f64> {
    let idle = measured(cluster, async {
        // Long enough that the kubelets' ten seconds blur little.
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    })
    .await?;
    Ok(total(&idle.used) / idle.seconds)
}

/// What many of the same cost.
pub(crate) struct Cost {
    /// In seconds of CPU for each, less what the shop uses while idle.
    pub(crate) cpu: f64,
    /// Of that, in pods of services; with what these use while idle.
    pub(crate) services: f64,
    /// How many in a second; orders until paid.
    per_second: f64,
}

impl Cost {
    fn of(times: usize, work: &Measured, idle: f64) -> Self {
        let times = times as f64;
        // Databases and the broker are of StatefulSets, whose pods have numbers.
        let of_services = work.used.iter().filter(|(pod, _)| !pod.ends_with("-0"));
        Self {
            services: of_services.map(|(_, used)| used).sum::<f64>() / times,
            cpu: (total(&work.used) - idle * work.seconds) / times,
            per_second: times / work.work_seconds,
        }
    }
}

/// Searches the shop so many times.
pub(crate) async fn searches(
    cluster: &Cluster,
    shop: &Shop,
    times: usize,
    idle: f64,
) -> Result<Cost> {
    let searches = measured(cluster, async {
        futures::stream::iter(0..times)
            .map(|n| async move {
                shop.search(&[("q", WORDS[n % WORDS.len()]), ("limit", "20")])
                    .await
                    .map(drop)
            })
            .buffer_unordered(AT_ONCE)
            .fold(Ok(()), async |all: Result<()>, one| all.and(one))
            .await
    })
    .await?;
    Ok(Cost::of(times, &searches, idle))
}

/// Lets the shop sell about so many times.
pub(crate) async fn orders(
    cluster: &Cluster,
    shop: &Shop,
    admin: &Account,
    times: usize,
    idle: f64,
) -> Result<Cost> {
    let sku = shop.product_for_sale(admin, times as u32).await?;
    let mut buyers = vec![];
    for n in 0..AT_ONCE {
        buyers.push(shop.register(&format!("Figure{n}")).await?);
    }
    let each = times / AT_ONCE;
    let orders = measured(cluster, async {
        let all = buyers
            .iter()
            .map(|buyer| order_often(shop, buyer, &sku, each));
        futures::future::try_join_all(all).await.map(drop)
    })
    .await?;
    Ok(Cost::of(each * AT_ONCE, &orders, idle))
}

async fn order_often(shop: &Shop, buyer: &Account, sku: &str, times: usize) -> Result<()> {
    for _ in 0..times {
        let order = shop.buy(buyer, sku, 1, "tok_approved").await?;
        ensure!(order["state"] == "paid", "an order was not paid: {order}");
    }
    Ok(())
}

pub(crate) struct Measured {
    /// In seconds of CPU, by pod.
    pub(crate) used: BTreeMap<String, f64>,
    /// Between the two measurements.
    seconds: f64,
    /// Of the work alone.
    work_seconds: f64,
}

pub(crate) async fn measured(
    cluster: &Cluster,
    work: impl Future<Output = Result<()>>,
) -> Result<Measured> {
    let before = usage::after_now(cluster, &cluster.namespace).await?;
    let started = Instant::now();
    work.await?;
    let work_seconds = started.elapsed().as_secs_f64();
    let after = usage::after_now(cluster, &cluster.namespace).await?;
    let used = after
        .iter()
        .map(|(pod, u)| {
            (
                pod.clone(),
                u.cpu - before.get(pod).map_or(0.0, |b: &Usage| b.cpu),
            )
        })
        .collect();
    Ok(Measured {
        used,
        seconds: started.elapsed().as_secs_f64(),
        work_seconds,
    })
}

pub(crate) fn total(used: &BTreeMap<String, f64>) -> f64 {
    used.values().sum()
}
