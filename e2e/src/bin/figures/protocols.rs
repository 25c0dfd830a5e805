//! The same orders over the other protocol.

use std::time::Duration;

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::shop::{Account, Shop};
use serde_json::{Value, json};

use crate::cpu::{Costs, Orders, orders};
use crate::{ms, row};

/// Prints what an order costs so, beside what it costs over HTTP.
pub(crate) async fn print(
    cluster: &Cluster,
    shop: &Shop,
    admin: &Account,
    costs: &Costs,
) -> Result<()> {
    let over_grpc = over_grpc(cluster, shop, admin, costs.idle).await?;
    row(
        "CPU per order over gRPC",
        &ms(over_grpc.cpu),
        &format!(
            "the same, but that orders asks payments so: {:.2} of it over HTTP",
            over_grpc.cpu / costs.per_order
        ),
    );
    Ok(())
}

/// What an order costs while orders asks payments over gRPC.
async fn over_grpc(cluster: &Cluster, shop: &Shop, admin: &Account, idle: f64) -> Result<Orders> {
    let ask = async |protocols: Value| {
        let services = json!({ "orders": { "protocols": protocols } });
        let patch = json!({ "spec": { "services": services } });
        cluster.patch_shop(patch).await?;
        cluster.ready(Duration::from_secs(300)).await
    };
    let orders = match ask(json!({ "payments": "Grpc" })).await {
        Ok(_) => orders(cluster, shop, admin, idle).await,
        Err(error) => Err(error),
    };
    // Whatever came of it, the shop is as it was.
    let restored = ask(Value::Null).await;
    let orders = orders?;
    restored?;
    Ok(orders)
}
