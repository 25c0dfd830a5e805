//! What the service receives about the stock.

use super::*;

const STOCK: &str = "shop.orders.stock.changed.v1";

async fn publish(backends: &Backends, sku: &str, sequence: i64, available: i64) {
    backends
        .publish_event(
            STOCK,
            sku,
            sequence,
            json!({"sku": sku, "available": available}),
        )
        .await;
}

#[tokio::test]
async fn stock_reaches_every_replica_and_the_latest_wins() {
    let backends = Backends::new().await;
    let (one, two) = (
        Replica::start(&backends).await,
        Replica::start(&backends).await,
    );
    one.keep("L", &lamp()).await;
    one.finds("in_stock=false", &["L"]).await;

    publish(&backends, "L", 2, 5).await;
    tokio::join!(
        one.finds("in_stock=true", &["L"]),
        two.finds("in_stock=true", &["L"])
    );
    assert_eq!(two.search("q=oak").await["items"][0]["in_stock"], true);

    publish(&backends, "L", 1, 0).await;
    publish(&backends, "other", 1, 3).await;
    eventually("all were processed", || async {
        let processed = one.service.processed(STOCK).await + two.service.processed(STOCK).await;
        (processed >= 3).then_some(())
    })
    .await;
    one.keep("other", &lamp()).await;
    one.finds("in_stock=true", &["L", "other"]).await;

    publish(&backends, "L", 3, 0).await;
    tokio::join!(
        one.finds("in_stock=true", &["other"]),
        two.finds("in_stock=true", &["other"])
    );
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_sale_that_leaves_some_does_not_write_the_index() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    replica.keep("L", &lamp()).await;
    publish(&backends, "L", 1, 5).await;
    replica.finds("in_stock=true", &["L"]).await;
    let marks = "select changed::text, available from stock where sku = 'L'";
    let before: String = chassis::testing::look(&backends.direct_db(), marks, &[]).await[0].get(0);
    publish(&backends, "L", 2, 4).await;
    let after: String = eventually("the sale is known", || async {
        let rows = chassis::testing::look(&backends.direct_db(), marks, &[]).await;
        (rows[0].get::<_, i64>(1) == 4).then(|| rows[0].get(0))
    })
    .await;
    assert_eq!(before, after);
    replica.stop().await;
}

#[tokio::test]
async fn a_broken_event_is_laid_aside_and_the_next_one_is_processed() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    replica.keep("L", &lamp()).await;
    backends
        .publish_event(STOCK, "L", 1, json!({"sku": "L"}))
        .await;
    backends
        .publish_event(STOCK, "L", 2, json!({"sku": "L", "available": -1}))
        .await;
    publish(&backends, "L", 3, 5).await;
    replica.finds("in_stock=true", &["L"]).await;
    // Several are worked on at once: the good one may be the first.
    let dead: Value = eventually("both broken ones are laid aside", || async {
        let url = replica.service.admin_at("/dead-letters");
        let answer = replica.service.http.get(url).send().await.ok()?;
        let dead: Value = answer.json().await.ok()?;
        (dead.as_array()?.len() == 2).then_some(dead)
    })
    .await;
    let mut causes: Vec<_> = dead
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["cause"].as_str().unwrap())
        .collect();
    causes.sort_unstable();
    assert!(
        causes[0].contains("available") && causes[1].contains("cannot be -1"),
        "{causes:?}"
    );
    replica.stop().await;
}
