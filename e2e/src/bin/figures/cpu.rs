//! What a search and an order cost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::cluster::{Cluster, SHOP};
use e2e::shop::{ADMIN_EMAIL, Account, Shop};
use e2e::usage::{self, Usage};
use e2e::wait::until;
use futures::StreamExt;

use crate::{ms, protocols, row};

const SEARCHES: usize = 3000;
const ORDERS: usize = 100;
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);

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
    let admin = administrator(cluster, &shop).await?;
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

pub(crate) async fn administrator(cluster: &Cluster, shop: &Shop) -> Result<Account> {
    let keys = format!("{SHOP}-users-keys");
    let password = cluster.secret(&keys, "ADMIN_PASSWORD").await?;
    // The account is made by a worker of users a moment after its start.
    until("the administrator can log in", PATIENCE, || async {
        shop.log_in(ADMIN_EMAIL, &password).await.map(Some)
    })
    .await
}

/// Lets the shop rest, search and sell.
pub(crate) async fn costs(cluster: &Cluster, shop: &Shop, admin: &Account) -> Result<Costs> {
    let idle = measured(cluster, async {
        // Long enough that the kubelets' ten seconds blur little.
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    })
    .await?;
    let idle_per_second = total(&idle.used) / idle.seconds;

    let words = [
        "cofee grindr",
        "kettle",
        "wool blanket",
        "bicycle",
        "desk lamp oak",
        "tent",
    ];
    let searches = measured(cluster, async {
        futures::stream::iter(0..SEARCHES)
            .map(|n| async move {
                shop.search(&[("q", words[n % words.len()]), ("limit", "20")])
                    .await
                    .map(drop)
            })
            .buffer_unordered(AT_ONCE)
            .fold(Ok(()), async |all: Result<()>, one| all.and(one))
            .await
    })
    .await?;
    let per_search = (total(&searches.used) - idle_per_second * searches.seconds) / SEARCHES as f64;

    let orders = orders(cluster, shop, admin, idle_per_second).await?;
    Ok(Costs {
        idle: idle_per_second,
        per_search,
        per_order: orders.cpu,
        searches: SEARCHES as f64 / searches.work_seconds,
        orders: orders.per_second,
    })
}

/// What orders cost.
pub(crate) struct Orders {
    /// In seconds for each, less what the shop uses while idle.
    pub(crate) cpu: f64,
    /// Until paid.
    per_second: f64,
}

/// Lets the shop sell.
pub(crate) async fn orders(
    cluster: &Cluster,
    shop: &Shop,
    admin: &Account,
    idle: f64,
) -> Result<Orders> {
    let sku = shop.product_for_sale(admin, ORDERS as u32).await?;
    let mut buyers = vec![];
    for n in 0..AT_ONCE {
        buyers.push(shop.register(&format!("Figure{n}")).await?);
    }
    let orders = measured(cluster, async {
        let each = ORDERS / AT_ONCE;
        let all = buyers
            .iter()
            .map(|buyer| order_often(shop, buyer, &sku, each));
        futures::future::try_join_all(all).await.map(drop)
    })
    .await?;
    let ordered = (ORDERS / AT_ONCE * AT_ONCE) as f64;
    Ok(Orders {
        cpu: (total(&orders.used) - idle * orders.seconds) / ordered,
        per_second: ordered / orders.work_seconds,
    })
}

async fn order_often(shop: &Shop, buyer: &Account, sku: &str, times: usize) -> Result<()> {
    for _ in 0..times {
        let order = shop.buy(buyer, sku, 1, "tok_approved").await?;
        ensure!(order["state"] == "paid", "an order was not paid: {order}");
    }
    Ok(())
}

struct Measured {
    used: BTreeMap<String, f64>,
    /// Between the two measurements.
    seconds: f64,
    /// Of the work alone.
    work_seconds: f64,
}

async fn measured(cluster: &Cluster, work: impl Future<Output = Result<()>>) -> Result<Measured> {
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

fn total(used: &BTreeMap<String, f64>) -> f64 {
    used.values().sum()
}
