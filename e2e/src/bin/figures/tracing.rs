//! What traces cost: the same searches and orders with all traces sent and with none, in turns.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::cluster::Cluster;
use e2e::shop::{Account, Shop};
use serde_json::{Value, json};

use crate::cpu::{Cost, idle, orders, searches};
use crate::row;

const ROUNDS: usize = 2;
const SEARCHES: usize = 6000;
const ORDERS: usize = 400;

/// What was measured with traces, or without, in every round.
#[derive(Default)]
struct Side {
    searches: Vec<Cost>,
    orders: Vec<Cost>,
}

/// Prints what a search and an order cost with traces, beside what they cost without.
pub(crate) async fn beside_none(cluster: &Cluster) -> Result<()> {
    let shop = Shop::new(30)?;
    let admin = cluster.administrator(&shop).await?;
    let before = cluster.shop().await?["spec"]["telemetry"].clone();
    let endpoint = before["otlp"]["endpoint"].as_str();
    endpoint.context("the Shop sends no traces; `make observe` has it send them")?;

    let sides = rounds(cluster, &shop, &admin, &before).await;
    // Also where that failed: the shop is to be as it was.
    send(cluster, &before["otlp"], &before["sampling"]).await?;
    let [off, on] = sides?;
    println!("| what | figure | how |\n|---|---|---|");
    tell("search", &on.searches, &off.searches, SEARCHES);
    tell("order", &on.orders, &off.orders, ORDERS);
    Ok(())
}

/// Without and with traces. Who comes first changes from round to round, so that none always has the warmer machine.
async fn rounds(
    cluster: &Cluster,
    shop: &Shop,
    admin: &Account,
    telemetry: &Value,
) -> Result<[Side; 2]> {
    let mut sides = [Side::default(), Side::default()];
    let idle = idle(cluster).await?;
    for round in 0..ROUNDS {
        let turns = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for turn in turns {
            // Spans are made where they are sent to nobody, too, unless none is to be kept.
            match turn {
                0 => send(cluster, &Value::Null, &json!("0")).await?,
                _ => send(cluster, &telemetry["otlp"], &json!("1")).await?,
            }
            let side = &mut sides[turn];
            let found = searches(cluster, shop, SEARCHES, idle).await?;
            let sold = orders(cluster, shop, admin, ORDERS, idle).await?;
            eprintln!(
                "round {round}, {}: {} a search, {} an order, {} of it in services",
                ["without", "with"][turn],
                ms(found.cpu),
                ms(sold.cpu),
                ms(sold.services)
            );
            side.searches.push(found);
            side.orders.push(sold);
        }
    }
    Ok(sides)
}

async fn send(cluster: &Cluster, otlp: &Value, sampling: &Value) -> Result<()> {
    let telemetry = json!({ "otlp": otlp, "sampling": sampling });
    let patch = json!({ "spec": { "telemetry": telemetry } });
    cluster.patch_shop(patch).await?;
    cluster.ready(Duration::from_secs(300)).await?;
    Ok(())
}

/// Two rows: what each costs, and what of that is in the services, where spans are made. What the databases do of themselves in the
/// meantime is larger than that.
fn tell(what: &str, on: &[Cost], off: &[Cost], times: usize) {
    let all = |cost: &Cost| cost.cpu;
    let (on_all, off_all) = (median(on, all), median(off, all));
    row(
        &format!("CPU per {what} with all traces"),
        &ms(on_all),
        &format!(
            "{:+.1} % of the {} without any; medians of {ROUNDS} rounds of {times}, in turns",
            (on_all / off_all - 1.0) * 100.0,
            ms(off_all)
        ),
    );
    let services = |cost: &Cost| cost.services;
    let (on, off) = (median(on, services), median(off, services));
    row(
        "… in the services alone",
        &ms(on),
        &format!(
            "{} without any; the difference is {:+.1} % of what all of it costs without",
            ms(off),
            (on - off) / off_all * 100.0
        ),
    );
}

/// A search is less than one.
fn ms(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1000.0)
}

/// 0 of none.
fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let mut sorted: Vec<_> = costs.iter().map(of).collect();
    sorted.sort_by(f64::total_cmp);
    let (upper, lower) = (sorted.len() / 2, sorted.len().saturating_sub(1) / 2);
    let at = |n: usize| sorted.get(n).copied().unwrap_or_default();
    f64::midpoint(at(lower), at(upper))
}
