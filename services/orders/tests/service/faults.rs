//! Database or broker away: nothing is half done, nothing that was promised is lost.

use futures::future::join_all;
use reqwest::StatusCode;

use chassis::testing::eventually;

use crate::payments::Manner;
use crate::shop::{Person, Shop};

#[tokio::test]
async fn without_its_database_it_says_when_to_come_back() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.fill_cart(&buyer, "mug", 1).await;
    let body = shop.checkout(&buyer).await;
    shop.backends.database_proxy.cut();
    for path in ["/cart", "/orders", "/stock/mug"] {
        let answer = shop.get(&buyer, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (503, "unavailable"),
            "{path}"
        );
        assert!(answer.retry_after.is_some(), "{path}");
    }
    let answer = shop.order_as(&buyer, "k", &body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (503, "unavailable")
    );
    shop.backends.database_proxy.heal();
    let order = eventually("the same request succeeds", || async {
        let answer = shop.order_as(&buyer, "k", &body).await;
        (answer.status == StatusCode::ACCEPTED).then(|| answer.order())
    })
    .await;
    shop.until(order, "paid").await;
}

/// The connection is cut at many moments of many checkouts; whoever got no answer asks again with the same key.
#[tokio::test]
async fn a_database_that_goes_away_during_checkouts_leaves_no_half_order() {
    let shop = Shop::open().await;
    let buyers: Vec<_> = (0..24).map(|_| Person::buyer()).collect();
    shop.sell("mug", 100, 1000).await;
    let mut bodies = vec![];
    for buyer in &buyers {
        shop.fill_cart(buyer, "mug", 2).await;
        bodies.push(shop.checkout(buyer).await);
    }
    let buying = join_all(buyers.iter().zip(&bodies).map(async |(buyer, body)| {
        loop {
            let answer = shop.order_as(buyer, "k", body).await;
            match answer.status {
                StatusCode::ACCEPTED => return answer.order(),
                StatusCode::SERVICE_UNAVAILABLE => tokio::task::yield_now().await,
                other => panic!("{other}: {}", answer.body),
            }
        }
    }));
    // The pauses only spread the cuts over the checkouts: nothing waits for them to be long enough.
    let cutting = async {
        for n in 0..8 {
            tokio::time::sleep(std::time::Duration::from_millis(7 + 11 * n)).await;
            shop.backends.database_proxy.cut();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            shop.backends.database_proxy.heal();
        }
    };
    let (orders, ()) = futures::join!(buying, cutting);
    for order in &orders {
        // Some steps lost their answer to the cut: they are repeated when their leases end.
        shop.look(
            "update sagas set lease_until = now(), due_at = now() where order_id = $1 and step <> 'ended' returning order_id",
            &[order],
        )
        .await;
        shop.until(*order, "paid").await;
        assert_eq!(shop.payments.standing(*order), ["captured"]);
    }
    assert_eq!(
        shop.count("select count(*) from orders").await,
        24,
        "one order a buyer"
    );
    assert_eq!(shop.stock("mug").await, (952, 0, 952));
    shop.assert_books_are_right().await;
}

#[tokio::test]
async fn without_the_broker_orders_are_paid_and_told_of_later() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.backends.nats_proxy.cut();
    let order = shop.buy(&buyer, "mug", 1).await;
    shop.until(order, "paid").await;
    assert_eq!(
        shop.backends
            .published("shop.orders.order.confirmed.v1")
            .await
            .len(),
        0
    );
    shop.backends.nats_proxy.heal();
    eventually("the events are published", || async {
        let placed = shop
            .backends
            .published("shop.orders.order.placed.v1")
            .await
            .len();
        let confirmed = shop
            .backends
            .published("shop.orders.order.confirmed.v1")
            .await
            .len();
        ((placed, confirmed) == (1, 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_step_whose_outcome_could_not_be_written_down_is_repeated() {
    let shop = Shop::open().await;
    shop.sell("mug", 100, 10).await;
    shop.payments.take("authorise", Manner::Hangs);
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    eventually("payments was asked", || async {
        (!shop.payments.calls(order).is_empty()).then_some(())
    })
    .await;
    shop.backends.database_proxy.cut();
    let admin = Person::admin();
    eventually("the cut is felt", || async {
        let answer = shop.get(&admin, "/orders").await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    shop.payments.take("authorise", Manner::Fine);
    shop.payments.answer_at_last();
    // The outcome is now known to nobody but the runner, which cannot write it down as long as the cut lasts.
    shop.backends.database_proxy.heal();
    shop.until(order, "paid").await;
    let keys: std::collections::HashSet<_> = shop
        .payments
        .calls(order)
        .into_iter()
        .filter(|c| c.operation == "authorise")
        .map(|c| c.key)
        .collect();
    assert_eq!(
        keys,
        [format!("{order}:authorise")].into(),
        "one key however often"
    );
    assert_eq!(shop.payments.standing(order), ["captured"]);
}
