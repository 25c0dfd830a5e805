//! The database or the broker is away.

use super::*;

#[tokio::test]
async fn without_its_database_the_service_searches_and_says_no_to_writes() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    replica.keep("L", &lamp()).await;
    replica.finds("q=oak", &["L"]).await;

    backends.database_proxy.cut();
    assert_eq!(replica.skus("q=oak").await, ["L"]);
    let refused = replica.put("L", &titled("Ash Lamp")).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 503, "unavailable").await;
    problem(replica.get("/products/L").await, 503, "unavailable").await;
    let mut line = lamp();
    line["sku"] = "L".into();
    problem(replica.import(line.to_string()).await, 503, "unavailable").await;
    eventually("the index is known to be old", || async {
        (replica.metric("shop_search_freshness_seconds").await > 1.0).then_some(())
    })
    .await;
    assert_eq!(replica.skus("q=oak").await, ["L"]);

    backends.database_proxy.heal();
    eventually("writes are taken again", || async {
        let answer = replica.put("L", &titled("Ash Lamp")).send().await.unwrap();
        answer.status().is_success().then_some(())
    })
    .await;
    replica.finds("q=ash", &["L"]).await;
    eventually("the index is fresh", || async {
        (replica.metric("shop_search_freshness_seconds").await < 1.0).then_some(())
    })
    .await;
    replica.stop().await;
}

#[tokio::test]
async fn without_the_broker_writes_are_taken_and_said_later() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    backends.nats_proxy.cut();
    replica.keep("L", &lamp()).await;
    replica.finds("q=oak", &["L"]).await;
    backends.nats_proxy.heal();
    eventually("the event is published", || async {
        let events = backends.published("shop.search.product.upserted.v1").await;
        events.iter().any(|e| e["subject"] == "L").then_some(())
    })
    .await;
    replica.stop().await;
}
