//! What a search and an order cost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::cluster::{Cluster, NAMESPACE, SHOP};
use e2e::shop::{ADMIN_EMAIL, Account, Shop};
use e2e::usage::{self, Usage};
use futures::StreamExt;

use crate::{ms, row};

const SEARCHES: usize = 3000;
const ORDERS: usize = 100;
const AT_ONCE: usize = 8;

/// CPU of a search and of an order, over all pods of the shop, less what the shop uses while idle.
pub(crate) async fn cpu(cluster: &Cluster) -> Result<()> {
    let shop = Shop::new(30)?;
    let password = cluster
        .secret(&format!("{SHOP}-users-keys"), "ADMIN_PASSWORD")
        .await?;
    let admin = shop.log_in(ADMIN_EMAIL, &password).await?;

    let idle = measured(cluster, async {
        // Long enough that the kubelets' ten seconds blur little.
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    })
    .await?;
    let idle_per_second = total(&idle.used) / idle.seconds;
    row(
        "CPU of the idle shop",
        &format!("{:.1} % of a core", idle_per_second * 100.0),
        "all pods, over half a minute",
    );

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
            .map(|n| {
                let shop = &shop;
                async move {
                    shop.search(&[("q", words[n % words.len()]), ("limit", "20")])
                        .await
                        .map(drop)
                }
            })
            .buffer_unordered(AT_ONCE)
            .fold(Ok(()), async |all: Result<()>, one| all.and(one))
            .await
    })
    .await?;
    let per_search = (total(&searches.used) - idle_per_second * searches.seconds) / SEARCHES as f64;
    row(
        "CPU per search",
        &ms(per_search),
        &format!("{SEARCHES} searches with typos, facets and highlights, {AT_ONCE} at once"),
    );
    row(
        "searches per second",
        &format!("{:.0}", SEARCHES as f64 / searches.work_seconds),
        "the same run, client on the same machine",
    );

    let sku = shop.product_for_sale(&admin, ORDERS as u32).await?;
    let mut buyers = vec![];
    for n in 0..AT_ONCE {
        buyers.push(shop.register(&format!("Figure{n}")).await?);
    }
    let orders = measured(cluster, async {
        let each = ORDERS / AT_ONCE;
        let all = buyers
            .iter()
            .map(|buyer| order_often(&shop, buyer, &sku, each));
        futures::future::try_join_all(all).await.map(drop)
    })
    .await?;
    let ordered = (ORDERS / AT_ONCE * AT_ONCE) as f64;
    let per_order = (total(&orders.used) - idle_per_second * orders.seconds) / ordered;
    row(
        "CPU per order",
        &ms(per_order),
        "cart, checkout, saga, payment, events, mail; all pods with databases and broker",
    );
    row(
        "CPU of an order in searches",
        &format!("{:.0}", per_order / per_search),
        "ratio of the two above",
    );
    row(
        "orders per second",
        &format!("{:.1}", ordered / orders.work_seconds),
        &format!("until paid, {AT_ONCE} buyers at once, client on the same machine"),
    );
    Ok(())
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
    let before = usage::after_now(cluster, NAMESPACE).await?;
    let started = Instant::now();
    work.await?;
    let work_seconds = started.elapsed().as_secs_f64();
    let after = usage::after_now(cluster, NAMESPACE).await?;
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
