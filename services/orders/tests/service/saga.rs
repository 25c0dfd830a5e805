//! The checkout when payments is slow, says no, is away, or answers too late, whatever protocol it speaks.

use std::time::Instant;

use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use chassis::testing::{eventually, look};

use super::open;
use crate::payments::Manner;
use crate::shop::{Person, Shop};

#[tokio::test]
async fn a_declined_payment_cancels_the_order_and_frees_the_stock() {
    let shop = open().await;
    shop.sell("mug", 100, 3).await;
    shop.payments.take("authorise", Manner::Declines);
    let order = shop.buy(&Person::buyer(), "mug", 2).await;
    let cancelled = shop.until(order, "cancelled").await;
    assert_eq!(cancelled["reason"], "payment_declined");
    assert_eq!(shop.stock("mug").await, (3, 0, 3));
    assert_eq!(
        shop.story(order).await,
        [
            "orders reserve done",
            "payments authorise failed",
            "orders cancel compensated"
        ]
    );
    assert!(
        shop.timeline(order).await[1]["detail"]
            .as_str()
            .unwrap()
            .contains("insufficient_funds")
    );
    let event = eventually("the cancellation is published", || async {
        shop.backends
            .published("shop.orders.order.cancelled.v1")
            .await
            .pop()
    })
    .await;
    assert_eq!(event["data"]["reason"], "payment_declined");
    assert_eq!(event["sequence"], 2);
    let available: Vec<_> = eventually("the stock's changes are published", || async {
        let published = shop
            .backends
            .published("shop.orders.stock.changed.v1")
            .await;
        (published.len() == 3).then_some(published)
    })
    .await
    .iter()
    .map(|e| e["data"]["available"].as_i64().unwrap())
    .collect();
    assert_eq!(available, [3, 1, 3]);
    shop.assert_books_are_right().await;
}

#[tokio::test]
async fn a_request_that_payments_refuses_cancels_the_order() {
    let shop = open().await;
    shop.sell("mug", 100, 3).await;
    shop.payments.take("authorise", Manner::Refuses);
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    let cancelled = shop.until(order, "cancelled").await;
    assert_eq!(cancelled["reason"], "payment_refused");
    assert_eq!(shop.stock("mug").await, (3, 0, 3));
}

#[tokio::test]
async fn an_answer_that_is_not_clear_yet_is_asked_for_again_never_guessed() {
    let shop = open().await;
    shop.sell("mug", 100, 3).await;
    shop.payments.take("authorise", Manner::StillAtIt);
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    eventually("it has asked again", || async {
        let story = shop.story(order).await;
        (story
            .iter()
            .filter(|s| *s == "payments authorise retrying")
            .count()
            >= 2)
            .then_some(())
    })
    .await;
    assert_eq!(
        shop.payments.operations(order),
        ["authorise"],
        "the second time it only looks"
    );
    assert_eq!(shop.stock("mug").await, (3, 1, 2), "held meanwhile");
    shop.payments.settle(order, "authorised");
    shop.until(order, "paid").await;
}

#[tokio::test]
async fn an_event_that_is_received_while_a_step_runs_is_not_forgotten() {
    let shop = open().await;
    shop.sell("mug", 100, 3).await;
    shop.payments.take("authorise", Manner::Unavailable);
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    eventually("it waits for its second attempt", || async {
        let sql = "select from sagas where order_id = $1 and attempt > 0 and lease_until is null";
        (!shop.look(sql, &[&order]).await.is_empty()).then_some(())
    })
    .await;
    // After ten attempts the pause is five seconds or more, unless somebody says that there is news.
    shop.payments.take("authorise", Manner::HangsStillAtIt);
    let sql =
        "update sagas set attempt = 10, due_at = now() where order_id = $1 returning order_id";
    shop.look(sql, &[&order]).await;
    eventually("the step runs", || async {
        (shop.payments.standing(order) == ["processing"]).then_some(())
    })
    .await;
    shop.settle(order).await;
    eventually("the event is received", || async {
        let story = shop.story(order).await;
        story
            .contains(&"payments payment.authorised done".to_owned())
            .then_some(())
    })
    .await;
    let started = Instant::now();
    shop.payments.answer_at_last();
    shop.until(order, "paid").await;
    assert!(
        started.elapsed().as_secs() < 5,
        "it asked again before the shortest pause was over"
    );
}

#[tokio::test]
async fn payments_dies_between_authorise_and_capture_and_comes_back() {
    let shop = open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 3).await;
    shop.payments.take("capture", Manner::Unavailable);
    let order = shop.buy(&buyer, "mug", 1).await;
    shop.until(order, "confirmed").await;
    assert_eq!(
        shop.stock("mug").await,
        (2, 0, 2),
        "sold with the confirmation"
    );
    shop.payments.proxy.cut();
    eventually("the timeline says who does not answer", || async {
        let timeline = shop.timeline(order).await;
        let told = timeline.iter().any(|entry| {
            entry["service"] == "payments"
                && entry["step"] == "capture"
                && entry["outcome"] == "retrying"
                && entry["detail"]
                    .as_str()
                    .unwrap()
                    .contains("payments did not answer")
                && entry["detail"].as_str().unwrap().contains("next try in")
        });
        told.then_some(())
    })
    .await;
    // However late: what is confirmed is not taken back.
    shop.let_time_run_out(order).await;
    shop.payments.take("capture", Manner::Fine);
    shop.payments.proxy.heal();
    shop.until(order, "paid").await;
    assert_eq!(shop.payments.standing(order), ["captured"]);
    let operations = shop.payments.operations(order);
    assert!(operations.iter().all(|o| *o != "void"), "{operations:?}");
    shop.assert_books_are_right().await;
}

#[tokio::test]
async fn an_order_that_times_out_frees_its_stock_and_voids_what_was_authorised() {
    let shop = open().await;
    shop.sell("mug", 100, 3).await;
    shop.payments.take("authorise", Manner::Hangs);
    let order = shop.buy(&Person::buyer(), "mug", 3).await;
    eventually("payments has authorised without saying so", || async {
        (shop.payments.standing(order) == ["authorised"]).then_some(())
    })
    .await;
    shop.let_time_run_out(order).await;
    let cancelled = shop.until(order, "cancelled").await;
    assert_eq!(cancelled["reason"], "timed_out");
    assert_eq!(shop.stock("mug").await, (3, 0, 3));
    shop.until_ended(order).await;
    assert_eq!(shop.payments.standing(order), ["voided"]);
    let void = shop
        .payments
        .calls(order)
        .into_iter()
        .find(|c| c.operation == "void")
        .unwrap();
    assert_eq!(void.key, format!("{order}:void"));
    assert_eq!(
        shop.story(order).await.last().unwrap(),
        "payments void compensated"
    );
    shop.assert_books_are_right().await;
}

#[tokio::test]
async fn an_order_times_out_while_payments_is_away_and_is_voided_when_it_is_back() {
    let shop = open().await;
    shop.sell("mug", 100, 1).await;
    shop.payments.take("authorise", Manner::StillAtIt);
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    eventually("payments knows it", || async {
        (!shop.payments.standing(order).is_empty()).then_some(())
    })
    .await;
    shop.payments.proxy.cut();
    shop.let_time_run_out(order).await;
    shop.until(order, "cancelled").await;
    assert_eq!(
        shop.stock("mug").await,
        (1, 0, 1),
        "the stock does not wait for payments"
    );
    // Somebody else buys it meanwhile; the first payment must not be taken any more.
    shop.payments.settle(order, "authorised");
    shop.payments.proxy.heal();
    shop.until_ended(order).await;
    assert_eq!(shop.payments.standing(order), ["voided"]);
}

#[tokio::test]
async fn a_payment_that_turns_up_after_the_end_is_voided() {
    let shop = open().await;
    shop.sell("mug", 100, 1).await;
    shop.payments.take("authorise", Manner::Refuses);
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(order, "cancelled").await;
    let payment = shop.payments.appear(order, "authorised");
    let data = json!({"payment_id": payment, "order_id": order, "amount": {"amount": 100, "currency": "EUR"}});
    shop.backends
        .publish_event("shop.payments.payment.authorised.v1", "p", 1, data)
        .await;
    eventually("it is voided", || async {
        (shop.payments.standing(order) == ["voided"]).then_some(())
    })
    .await;
    shop.until_ended(order).await;
    assert_eq!(shop.stock("mug").await, (1, 0, 1), "released once");
}

#[tokio::test]
async fn two_replicas_share_the_work_and_do_nothing_twice() {
    let shop = open().await;
    let other = shop.replica().await;
    shop.sell("mug", 100, 1000).await;
    let buyers: Vec<_> = (0..40).map(|_| Person::buyer()).collect();
    let orders = join_all(buyers.iter().map(|buyer| shop.buy(buyer, "mug", 1))).await;
    for order in &orders {
        shop.until(*order, "paid").await;
        // On a busy machine one asks again under the same key.
        let mut keys: Vec<_> = shop
            .payments
            .calls(*order)
            .into_iter()
            .map(|c| c.key)
            .collect();
        keys.dedup();
        let expected = ["authorise", "capture"].map(|operation| format!("{order}:{operation}"));
        assert_eq!(keys, expected);
    }
    assert_eq!(shop.stock("mug").await, (960, 0, 960));
    shop.assert_books_are_right().await;
    other.stop().await;
}

#[tokio::test]
async fn who_lost_the_lease_writes_nothing() {
    let shop = open().await;
    shop.sell("mug", 100, 3).await;
    shop.payments.take("authorise", Manner::Hangs);
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    eventually("payments was asked", || async {
        (!shop.payments.calls(order).is_empty()).then_some(())
    })
    .await;
    // The lease ends while the first runner still waits; another one takes over and brings the order to its end.
    shop.payments.take("authorise", Manner::Fine);
    shop.look(
        "update sagas set lease_until = now(), due_at = now() where order_id = $1 returning order_id",
        &[&order],
    )
    .await;
    shop.until(order, "paid").await;
    assert_eq!(
        shop.payments.standing(order),
        ["captured"],
        "one payment for both"
    );
    // The stop waits for the first runner, which gets no answer in time and would try the authorisation again.
    let Shop {
        service, backends, ..
    } = shop;
    service.stop().await;
    let db = backends.direct_db();
    let sql = "select step, state from sagas join orders on id = order_id where id = $1";
    let rows = look(&db, sql, &[&order]).await;
    let standing: (String, String) = (rows[0].get(0), rows[0].get(1));
    assert_eq!(standing, ("ended".to_owned(), "paid".to_owned()));
    let stock = look(&db, "select on_hand, reserved from stock", &[]).await;
    let units: (i32, i32) = (stock[0].get(0), stock[0].get(1));
    assert_eq!(units, (2, 0), "sold once");
    let entries = look(
        &db,
        "select from timeline where order_id = $1 and step = 'authorise'",
        &[&order],
    )
    .await;
    assert_eq!(entries.len(), 1, "only one runner wrote");
}

#[tokio::test]
async fn what_a_dead_replica_left_behind_is_taken_up() {
    let shop = open().await;
    shop.sell("mug", 100, 3).await;
    shop.payments.take("authorise", Manner::Unavailable);
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    eventually("it has been tried", || async {
        (!shop.payments.calls(order).is_empty()).then_some(())
    })
    .await;
    shop.look(
        "update sagas set version = version + 1, lease_until = now() + interval '1 s', due_at = now() + interval '1 s'
         where order_id = $1 returning order_id",
        &[&order],
    )
    .await;
    shop.payments.take("authorise", Manner::Fine);
    shop.until(order, "paid").await;
}

#[tokio::test]
async fn a_stop_finishes_what_has_begun() {
    let shop = open().await;
    shop.sell("mug", 100, 100).await;
    let buyers: Vec<_> = (0..10).map(|_| Person::buyer()).collect();
    let orders: Vec<Uuid> = join_all(buyers.iter().map(|buyer| shop.buy(buyer, "mug", 1))).await;
    let Shop {
        service, backends, ..
    } = shop;
    service.stop().await;
    let sql = "select from sagas where lease_until is not null";
    let leased = look(&backends.direct_db(), sql, &[]).await;
    assert_eq!(
        leased.len(),
        0,
        "every step that had begun was written down"
    );
    assert_eq!(orders.len(), 10);
}

#[tokio::test]
async fn the_metrics_tell_how_checkouts_go() {
    let shop = open().await;
    shop.sell("mug", 100, 100).await;
    let paid = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(paid, "paid").await;
    shop.payments.take("authorise", Manner::Declines);
    let declined = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(declined, "cancelled").await;
    for line in [
        "shop_orders_placed_total 2",
        "shop_orders_finished_total{state=\"paid\",reason=\"\"} 1",
        "shop_orders_finished_total{state=\"cancelled\",reason=\"payment_declined\"} 1",
        "shop_orders_saga_step_duration_seconds_count{step=\"capture\",outcome=\"done\"} 1",
        "shop_orders_sagas_unfinished",
        "shop_orders_oldest_saga_age_seconds",
    ] {
        // What is counted is counted after the commit that could be seen above.
        eventually(&format!("{line} is told"), || async {
            shop.service.metrics().await.contains(line).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_the_provider_refused_is_asked_again_under_a_new_key() {
    let shop = open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.payments.take("capture", Manner::ProviderRefuses);
    let order = shop.buy(&buyer, "mug", 1).await;
    shop.until(order, "confirmed").await;
    eventually("the provider refused twice", || async {
        let captures = shop.payments.operations(order);
        (captures.iter().filter(|o| **o == "capture").count() >= 2).then_some(())
    })
    .await;
    shop.payments.take("capture", Manner::Fine);
    shop.until(order, "paid").await;
    let mut keys: Vec<_> = shop
        .payments
        .calls(order)
        .into_iter()
        .map(|c| c.key)
        .collect();
    keys.truncate(4);
    assert_eq!(
        keys,
        ["authorise", "capture", "capture:1", "capture:2"].map(|key| format!("{order}:{key}"))
    );
    assert_eq!(shop.payments.standing(order), ["captured"]);
}

#[tokio::test]
async fn a_refused_void_is_asked_again_under_a_new_key() {
    let shop = open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.payments.take("authorise", Manner::StillAtIt);
    shop.payments.take("void", Manner::ProviderRefuses);
    let order = shop.buy(&buyer, "mug", 1).await;
    eventually("payments has it", || async {
        (shop.payments.standing(order) == ["processing"]).then_some(())
    })
    .await;
    shop.let_time_run_out(order).await;
    shop.until(order, "cancelled").await;
    shop.payments.settle(order, "authorised");
    eventually("the provider refused", || async {
        let keys = shop.payments.calls(order);
        keys.iter()
            .any(|c| c.key.ends_with(":void:1"))
            .then_some(())
    })
    .await;
    shop.payments.take("void", Manner::Fine);
    shop.until_ended(order).await;
    assert_eq!(shop.payments.standing(order), ["voided"]);
}
