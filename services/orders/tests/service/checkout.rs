use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use chassis::testing::{self, eventually};

use crate::payments::Manner;
use crate::shop::{Person, Shop};

#[tokio::test]
async fn a_cart_becomes_an_order_that_is_paid() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 1250, 10).await;
    shop.sell("pen", 99, 10).await;
    shop.fill_cart(&buyer, "mug", 2).await;
    shop.fill_cart(&buyer, "pen", 1).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let headers = [
        ("idempotency-key", "first"),
        ("traceparent", &format!("00-{trace}-b7ad6b7169203331-01")),
    ];
    let body = shop.checkout(&buyer).await;
    let placed = shop
        .ask_with(&buyer, Method::POST, "/orders", Some(body), &headers)
        .await;
    let order = placed.order();
    assert_eq!(placed.location, Some(format!("/orders/{order}")));
    assert_eq!(placed.body["state"], "pending");
    assert_eq!(
        placed.body["total"],
        json!({"amount": 2599, "currency": "EUR"})
    );
    assert_eq!(
        shop.get(&buyer, "/cart").await.body["items"],
        json!([]),
        "the cart is empty now"
    );

    let path = format!("/orders/{order}?wait=20");
    let paid = shop.get(&buyer, &path).await.body;
    assert_eq!(paid["state"], "paid", "{paid}");
    assert!(paid["confirmed_at"].is_string() && paid["finished_at"].is_string());
    assert_eq!(shop.stock("mug").await, (8, 0, 8));
    assert_eq!(shop.stock("pen").await, (9, 0, 9));
    assert_eq!(shop.payments.standing(order), ["captured"]);
    assert_eq!(
        shop.payments.amount(order),
        json!({"amount": 2599, "currency": "EUR"})
    );
    assert_eq!(shop.payments.token(order), "tok_approved");
    let keys: Vec<_> = shop
        .payments
        .calls(order)
        .into_iter()
        .map(|c| c.key)
        .collect();
    assert_eq!(
        keys,
        [format!("{order}:authorise"), format!("{order}:capture")]
    );

    assert_eq!(
        shop.story(order).await,
        [
            "orders reserve done",
            "payments authorise done",
            "orders confirm done",
            "payments capture done",
            "orders pay done",
        ]
    );
    for subject in ["placed", "confirmed"] {
        let subject = format!("shop.orders.order.{subject}.v1");
        let event = eventually("the event is published", || async {
            shop.backends.published(&subject).await.pop()
        })
        .await;
        assert_eq!(event["subject"], json!(order));
        assert_eq!(event["data"]["buyer_id"], json!(buyer.id));
        assert_eq!(
            event["data"]["items"][0],
            json!({
                "sku": "mug", "title": "Title of mug", "quantity": 2, "unit_price": {"amount": 1250, "currency": "EUR"},
            })
        );
        assert_eq!(event["data"]["total"]["amount"], 2599);
    }
    shop.assert_books_are_right().await;
}

#[tokio::test]
async fn nothing_remembers_the_payment_token() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.fill_cart(&buyer, "mug", 1).await;
    let mut body = shop.checkout(&buyer).await;
    body["payment_token"] = json!("tok_secret_of_buyer");
    let placed = shop.order_as(&buyer, "k", &body).await;
    shop.until(placed.order(), "paid").await;
    for table in ["sagas", "orders", "timeline", "outbox", "idempotency"] {
        let sql = format!("select count(*) from {table} t where t::text like '%tok_secret%'");
        assert_eq!(shop.count(&sql).await, 0, "{table}");
    }
}

#[tokio::test]
async fn the_last_unit_is_sold_once() {
    let shop = Shop::open().await;
    shop.sell("last", 100, 1).await;
    shop.sell("plenty", 100, 100).await;
    let buyers: Vec<_> = (0..8).map(|_| Person::buyer()).collect();
    for buyer in &buyers {
        shop.fill_cart(buyer, "plenty", 1).await;
        shop.fill_cart(buyer, "last", 1).await;
    }
    let answers = join_all(buyers.iter().map(|buyer| shop.order(buyer, "k"))).await;
    let (won, lost): (Vec<_>, Vec<_>) = buyers
        .iter()
        .zip(&answers)
        .partition(|(_, answer)| answer.status == StatusCode::ACCEPTED);
    assert_eq!(won.len(), 1, "{answers:?}");
    for (buyer, answer) in lost {
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (409, "out_of_stock")
        );
        assert_eq!(answer.body["errors"][0]["pointer"], "last");
        assert_eq!(
            answer.body["errors"].as_array().unwrap().len(),
            1,
            "only what is short is named"
        );
        let cart = shop.get(buyer, "/cart").await.body;
        assert_eq!(
            cart["items"].as_array().unwrap().len(),
            2,
            "the cart is kept"
        );
    }
    shop.until(won[0].1.order(), "paid").await;
    assert_eq!(shop.stock("last").await, (0, 0, 0));
    assert_eq!(shop.stock("plenty").await, (99, 0, 99));
    assert_eq!(shop.count("select count(*) from orders").await, 1);
    shop.assert_books_are_right().await;
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.fill_cart(&buyer, "mug", 1).await;
    let body = shop.checkout(&buyer).await;
    let twins = join_all((0..6).map(|_| shop.order_as(&buyer, "twin", &body))).await;
    assert!(twins.iter().all(|twin| *twin == twins[0]), "{twins:?}");
    let order = twins[0].order();
    shop.until(order, "paid").await;
    let later = shop.order_as(&buyer, "twin", &body).await;
    assert_eq!(later, twins[0], "the answer, not the order as it is now");
    assert_eq!(shop.count("select count(*) from orders").await, 1);

    let mut other_body = body.clone();
    other_body["payment_token"] = json!("tok_other");
    let reused = shop.order_as(&buyer, "twin", &other_body).await;
    assert_eq!(
        (reused.status.as_u16(), reused.code()),
        (422, "idempotency_key_reused")
    );
    let somebody = Person::buyer();
    let stranger = shop.order(&somebody, "twin").await;
    assert_eq!(stranger.code(), "cart_empty", "keys are each buyer's own");
}

#[tokio::test]
async fn a_refusal_is_kept_under_its_key_too() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 1).await;
    shop.fill_cart(&buyer, "mug", 2).await;
    let body = shop.checkout(&buyer).await;
    let refused = shop.order_as(&buyer, "k1", &body).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (409, "out_of_stock")
    );
    assert_eq!(refused.body["errors"][0]["detail"], "2 wanted, 1 available");
    shop.put(&Person::admin(), "/stock/mug", json!({"on_hand": 5}))
        .await;
    assert_eq!(shop.order_as(&buyer, "k1", &body).await, refused);
    shop.until(shop.order(&buyer, "k2").await.order(), "paid")
        .await;
}

#[tokio::test]
async fn what_cannot_be_ordered_is_refused_with_its_code() {
    testing::traces();
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    let empty = shop.order(&buyer, "k1").await;
    assert_eq!((empty.status.as_u16(), empty.code()), (422, "cart_empty"));
    assert!(empty.body["trace_id"].is_string(), "{}", empty.body);
    let no_key = shop
        .ask(
            &buyer,
            Method::POST,
            "/orders",
            Some(shop.checkout(&buyer).await),
        )
        .await;
    assert_eq!(
        (no_key.status.as_u16(), no_key.code()),
        (400, "idempotency_key_missing")
    );
    for token in ["", "with space", &"x".repeat(201)] {
        let mut body = shop.checkout(&buyer).await;
        body["payment_token"] = json!(token);
        let bad = shop.order_as(&buyer, "k2", &body).await;
        assert_eq!(
            (bad.status.as_u16(), bad.code()),
            (422, "invalid"),
            "{token}"
        );
        assert_eq!(bad.body["errors"][0]["pointer"], "payment_token");
    }
    for (body, pointer, detail) in [
        (json!(["tok_approved"]), "", "must be an object"),
        (json!({}), "payment_token", "is missing"),
        (
            json!({"payment_token": 5}),
            "payment_token",
            "must be a text",
        ),
    ] {
        let headers = [("idempotency-key", "k2")];
        let bad = shop
            .ask_with(&buyer, Method::POST, "/orders", Some(body), &headers)
            .await;
        assert_eq!((bad.status.as_u16(), bad.code()), (422, "invalid"));
        let error = &bad.body["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["detail"]),
            (&json!(pointer), &json!(detail))
        );
    }

    shop.fill_cart(&buyer, "mug", 1).await;
    shop.sell("tea", 100, 10).await;
    shop.fill_cart(&buyer, "tea", 1).await;
    shop.offer("tea", 2, 100, "USD").await;
    let mixed = shop.order(&buyer, "k3").await;
    assert_eq!(
        (mixed.status.as_u16(), mixed.code()),
        (409, "mixed_currencies")
    );
    shop.withdraw("tea", 3).await;
    let removed = shop.order(&buyer, "k4").await;
    assert_eq!(
        (removed.status.as_u16(), removed.code()),
        (409, "offer_removed")
    );
    assert_eq!(removed.body["errors"][0]["pointer"], "tea");
    assert_eq!(shop.count("select count(*) from orders").await, 0);
}

/// Payments would refuse it, and the buyer would learn it from a cancelled order.
#[tokio::test]
async fn what_cannot_be_paid_is_not_ordered() {
    let shop = Shop::open().await;
    for (sku, amount, currency, code) in [
        ("yacht", 5_000_000_000, "EUR", "total_too_large"),
        ("gift", 0, "EUR", "not_payable"),
        ("nugget", 100, "XAU", "not_payable"),
    ] {
        let buyer = Person::buyer();
        shop.sell(sku, 100, 10).await;
        shop.offer(sku, 2, amount, currency).await;
        shop.fill_cart(&buyer, sku, 2).await;
        let refused = shop.order(&buyer, "k").await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, code));
        assert_eq!(shop.stock(sku).await, (10, 0, 10));
    }
}

#[tokio::test]
async fn an_order_is_its_buyers_own() {
    let shop = Shop::open().await;
    let (buyer, stranger) = (Person::buyer(), Person::buyer());
    shop.sell("mug", 100, 100).await;
    let mut orders = vec![];
    for _ in 0..5 {
        orders.push(shop.buy(&buyer, "mug", 1).await);
    }
    for path in [
        format!("/orders/{}", orders[0]),
        format!("/orders/{}/timeline", orders[0]),
    ] {
        assert_eq!(
            shop.get(&stranger, &path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
        assert_eq!(
            shop.get(&Person::admin(), &path).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    let unknown = shop
        .get(&buyer, &format!("/orders/{}", Uuid::now_v7()))
        .await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code()),
        (404, "not_found")
    );
    let long = shop
        .get(&buyer, &format!("/orders/{}?wait=21", orders[0]))
        .await;
    assert_eq!((long.status.as_u16(), long.code()), (422, "invalid"));

    let mut seen: Vec<Uuid> = vec![];
    let mut path = "/orders?limit=2".to_owned();
    loop {
        let page = shop.get(&buyer, &path).await.body;
        for order in page["items"].as_array().unwrap() {
            seen.push(order["id"].as_str().unwrap().parse().unwrap());
        }
        let Value::String(cursor) = &page["next_cursor"] else {
            break;
        };
        path = format!("/orders?limit=2&cursor={cursor}");
    }
    orders.reverse();
    assert_eq!(seen, orders, "newest first, each once");
    assert_eq!(
        shop.get(&stranger, "/orders").await.body,
        json!({"items": [], "next_cursor": null})
    );
    let wrong = shop.get(&buyer, "/orders?limit=101").await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (422, "invalid"));
}

#[tokio::test]
async fn whoever_waits_is_told_at_once_and_no_longer_than_asked() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 100).await;
    shop.payments.take("authorise", Manner::StillAtIt);
    let order = shop.buy(&buyer, "mug", 1).await;
    let started = std::time::Instant::now();
    let path = format!("/orders/{order}?wait=1");
    assert_eq!(shop.get(&buyer, &path).await.body["state"], "pending");
    assert!(started.elapsed().as_secs_f64() >= 1.0);
    let headers = [("x-deadline-ms", "3000")];
    let path = format!("/orders/{order}?wait=20");
    let impatient = shop
        .ask_with(&buyer, Method::GET, &path, None, &headers)
        .await;
    assert_eq!(
        impatient.status,
        StatusCode::OK,
        "it answers before the caller gives up"
    );

    // Left alone, the saga would ask again in an hour: the event wakes it, and the saga whoever waits.
    eventually("the saga waits", || async {
        let later = "update sagas set due_at = now() + interval '1 hour'
                     where order_id = $1 and lease_until is null returning order_id";
        (!shop.look(later, &[&order]).await.is_empty()).then_some(())
    })
    .await;
    let (answer, ()) = futures::join!(shop.get(&buyer, &path), shop.settle(order));
    assert_eq!(answer.body["state"], "paid");
}

#[tokio::test]
async fn so_many_may_wait_and_the_next_are_answered_at_once() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 100).await;
    shop.payments.take("authorise", Manner::StillAtIt);
    let order = shop.buy(&buyer, "mug", 1).await;
    let path = format!("/orders/{order}?wait=20");
    let started = std::time::Instant::now();
    let mut answers: FuturesUnordered<_> = (0..80).map(|_| shop.get(&buyer, &path)).collect();
    for _ in 64..80 {
        let answer = answers.next().await.unwrap();
        assert_eq!(answer.body["state"], "pending", "{}", answer.body);
    }
    assert!(
        started.elapsed().as_secs() < 20,
        "they were answered before those who wait"
    );
    shop.settle(order).await;
    while let Some(answer) = answers.next().await {
        assert_eq!(answer.body["state"], "paid", "{}", answer.body);
    }
}

#[tokio::test]
async fn two_connections_are_enough_for_many_checkouts_at_once() {
    let shop = Shop::open_with(&[("DATABASE_MAX_CONNECTIONS", "2")]).await;
    shop.sell("mug", 100, 100).await;
    let buyers: Vec<_> = (0..8).map(|_| Person::buyer()).collect();
    let paid = buyers.iter().map(async |buyer| {
        let order = shop.buy(buyer, "mug", 1).await;
        let path = format!("/orders/{order}?wait=20");
        shop.get(buyer, &path).await;
        shop.until(order, "paid").await;
    });
    join_all(paid).await;
    shop.assert_books_are_right().await;
    assert!(shop.backends.connections().await <= 2);
}
