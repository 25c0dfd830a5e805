//! Every replica shows what was written, soon.

use super::*;

#[tokio::test]
async fn a_write_is_visible_on_every_replica_and_a_removal_too() {
    let backends = Backends::new().await;
    let (one, two) = (
        Replica::start(&backends).await,
        Replica::start(&backends).await,
    );
    one.keep("L", &lamp()).await;
    tokio::join!(one.finds("q=oak", &["L"]), two.finds("q=oak", &["L"]));

    two.keep("L", &titled("Ash Table")).await;
    tokio::join!(one.finds("q=ash", &["L"]), two.finds("q=ash", &["L"]));

    assert_eq!(one.delete("L").send().await.unwrap().status(), 204);
    tokio::join!(one.finds("q=ash", &[]), two.finds("q=ash", &[]));
    eventually("the index is known to be fresh", || async {
        (one.metric("shop_search_freshness_seconds").await < 1.0).then_some(())
    })
    .await;
    // Each of the three writes was found at each replica, and said how long that took.
    for replica in [&one, &two] {
        eventually("each write has said when it was found", || async {
            let found = replica
                .metric("shop_search_index_delay_seconds_count")
                .await;
            (found == 3.0).then_some(())
        })
        .await;
        let seconds = replica.metric("shop_search_index_delay_seconds_sum").await;
        assert!(seconds > 0.0 && seconds < 30.0, "{seconds}");
    }
    let sections = [
        "All services",
        "Services with a database",
        "Services with gRPC",
        "search",
    ];
    is_as_documented(&one.service.metrics().await, &sections);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_new_process_builds_its_index_from_the_catalogue() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    replica.keep("L", &lamp()).await;
    replica.keep("gone", &lamp()).await;
    assert_eq!(replica.delete("gone").send().await.unwrap().status(), 204);
    let folder = replica.stop().await;
    let replica = Replica::start_in(&backends, folder).await;
    assert_eq!(replica.skus("q=oak").await, ["L"], "ready means built");
    assert!(replica.metric("shop_search_rebuild_seconds").await > 0.0);
    replica.stop().await;
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_not_missed_and_holds_nobody_up() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    let mut connection = backends.direct_db().get().await.unwrap();
    let patient = "set idle_in_transaction_session_timeout = 0";
    connection.batch_execute(patient).await.unwrap();
    let late = connection.transaction().await.unwrap();
    late.batch_execute(
        "insert into products (sku, version, title, description, brand, category, amount, currency)
         values ('late', 1, 'Late Lamp', '', 'B', 'C', 1, 'EUR')",
    )
    .await
    .unwrap();
    replica.keep("early", &titled("Early Lamp")).await;
    replica.finds("q=lamp", &["early"]).await;
    replica.keep("next", &titled("Next Lamp")).await;
    replica.finds("q=lamp", &["early", "next"]).await;
    late.commit().await.unwrap();
    replica.finds("q=lamp", &["early", "late", "next"]).await;
    replica.stop().await;
}

/// A dump brings the ids of transactions of the server that it comes from, higher or lower than those of this one.
#[tokio::test]
async fn a_restored_dump_is_indexed_in_place_of_what_was_there() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    replica.keep("L", &titled("New Lamp")).await;
    replica.keep("gone", &titled("Later Lamp")).await;
    replica.finds("q=lamp", &["L", "gone"]).await;

    let mut connection = backends.direct_db().get().await.unwrap();
    let restore = connection.transaction().await.unwrap();
    restore
        .batch_execute(
            "truncate products, stock;
             insert into products (sku, version, title, description, brand, category, amount, currency, changed)
             values ('L', 1, 'Old Lamp', '', 'B', 'C', 1, 'EUR', '5'), ('far', 1, 'Far Lamp', '', 'B', 'C', 1, 'EUR', '99999999')",
        )
        .await
        .unwrap();
    restore.commit().await.unwrap();
    replica.finds("q=lamp", &["L", "far"]).await;
    assert_eq!(replica.skus("q=old").await, ["L"]);
    replica.keep("far", &titled("Near Lamp")).await;
    replica.finds("q=near", &["far"]).await;
    replica.stop().await;
}
