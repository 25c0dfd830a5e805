//! The same orders over either protocol: orders asks payments the one way and then the other.

use std::time::Duration;

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::shop::{Account, Shop};
use serde_json::{Value, json};

use crate::cpu::{Costs, ORDERS, orders};
use crate::{ms, row};

/// Prints what an order costs over gRPC, beside what it costs over HTTP. Both are measured with pods of orders that are new, so that
/// neither has run for longer.
pub(crate) async fn print(
    cluster: &Cluster,
    shop: &Shop,
    admin: &Account,
    costs: &Costs,
) -> Result<()> {
    let over = async |protocols: Value| -> Result<f64> {
        let services = json!({ "orders": { "protocols": protocols } });
        let patch = json!({ "spec": { "services": services } });
        cluster.patch_shop(patch).await?;
        cluster.ready(Duration::from_secs(300)).await?;
        Ok(orders(cluster, shop, admin, ORDERS, costs.idle).await?.cpu)
    };
    let grpc = over(json!({ "payments": "Grpc" })).await;
    // Also where that failed: the shop is to be as it was.
    let http = over(Value::Null).await;
    let (grpc, http) = (grpc?, http?);
    row(
        "CPU per order over gRPC",
        &ms(grpc),
        &format!(
            "orders asks payments so; {:.2} of the {} over HTTP, both with pods of orders that are new",
            grpc / http,
            ms(http)
        ),
    );
    Ok(())
}
