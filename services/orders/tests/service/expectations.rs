//! A buyer pays what he saw, or is told what is different.

use serde_json::json;

use crate::payments::Manner;
use crate::shop::{Person, Shop};

#[tokio::test]
async fn a_price_that_changed_unseen_is_not_charged() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 1250, 10).await;
    shop.fill_cart(&buyer, "mug", 2).await;
    let seen = shop.checkout(&buyer).await;
    for (sequence, amount, currency) in [(2, 1300, "EUR"), (3, 1200, "EUR"), (4, 1250, "USD")] {
        shop.offer("mug", sequence, amount, currency).await;
        let key = format!("k{sequence}");
        let refused = shop.order_as(&buyer, &key, &seen).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (409, "price_changed")
        );
        let (old, new) = (&refused.body["expected"], &refused.body["cart"]);
        assert_eq!(
            *old,
            json!({"cart_version": 1, "total": {"amount": 2500, "currency": "EUR"}})
        );
        assert_eq!(
            new["total"],
            json!({"amount": 2 * amount, "currency": currency})
        );
        assert_eq!(
            *new,
            shop.get(&buyer, "/cart").await.body,
            "the whole cart as it is now"
        );
        assert_eq!(refused.body["errors"][0]["pointer"], "expected_total");
        assert_eq!(
            shop.order_as(&buyer, &key, &seen).await,
            refused,
            "kept under its key"
        );
    }
    assert_eq!(shop.stock("mug").await, (10, 0, 10), "nothing is reserved");
    assert_eq!(shop.count("select count(*) from orders").await, 0);

    shop.offer("mug", 5, 1300, "EUR").await;
    let order = shop.order(&buyer, "seen-again").await.order();
    let paid = shop.until(order, "paid").await;
    assert_eq!(paid["total"], json!({"amount": 2600, "currency": "EUR"}));
    assert_eq!(
        shop.payments.amount(order),
        json!({"amount": 2600, "currency": "EUR"})
    );
}

/// It took what the buyer saw and ignored it, so it bound the key to the payment token alone.
#[tokio::test]
async fn an_order_that_the_previous_version_took_is_answered_again_under_its_key() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 1250, 10).await;
    shop.fill_cart(&buyer, "mug", 2).await;
    let seen = shop.checkout(&buyer).await;
    let first = shop.order_as(&buyer, "k", &seen).await;
    let mut another = seen.clone();
    another["cart_version"] = json!(2);
    let refused = shop.order_as(&buyer, "k", &another).await;
    assert_eq!(
        refused.code(),
        "idempotency_key_reused",
        "seen is part of it"
    );

    let as_before = "update idempotency set fingerprint = sha256(convert_to('\"tok_approved\"', 'UTF8')) where key = 'k' returning key";
    assert_eq!(shop.look(as_before, &[]).await.len(), 1);
    assert_eq!(shop.order_as(&buyer, "k", &seen).await, first);
    another["payment_token"] = json!("tok_slow");
    let refused = shop.order_as(&buyer, "k", &another).await;
    assert_eq!(refused.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn a_cart_that_changed_unseen_is_not_ordered_whatever_it_costs() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.sell("cup", 100, 10).await;
    shop.fill_cart(&buyer, "mug", 1).await;
    let seen = shop.checkout(&buyer).await;
    // The other tab takes the cup for the mug: the total is the same.
    shop.fill_cart(&buyer, "cup", 1).await;
    shop.ask(&buyer, reqwest::Method::DELETE, "/cart/items/mug", None)
        .await;
    let refused = shop.order_as(&buyer, "k", &seen).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (409, "cart_changed")
    );
    assert_eq!(refused.body["expected"]["cart_version"], 1);
    assert_eq!(refused.body["cart"]["version"], 3);
    assert_eq!(refused.body["cart"]["items"][0]["sku"], "cup");
    assert_eq!(shop.stock("cup").await, (10, 0, 10));
    assert_eq!(shop.count("select count(*) from orders").await, 0);
}

#[tokio::test]
async fn an_order_without_what_the_buyer_saw_is_refused() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.fill_cart(&buyer, "mug", 1).await;
    for field in ["cart_version", "expected_total", "payment_token"] {
        let mut body = shop.checkout(&buyer).await;
        body.as_object_mut().unwrap().remove(field);
        let refused = shop.order_as(&buyer, "k", &body).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (422, "invalid"),
            "{field}"
        );
    }
}

/// Whoever's card is declined tries another one: everything is there for it.
#[tokio::test]
async fn what_a_cancelled_order_held_is_back_in_the_cart() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 3).await;
    shop.sell("pen", 50, 3).await;
    shop.fill_cart(&buyer, "mug", 2).await;
    shop.fill_cart(&buyer, "pen", 1).await;
    shop.payments.take("authorise", Manner::Declines);
    let declined = shop.order_patiently(&buyer).await;
    shop.until(declined, "cancelled").await;
    let cart = shop.get(&buyer, "/cart").await.body;
    let lines: Vec<_> = cart["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["sku"].clone(), item["quantity"].clone()))
        .collect();
    assert_eq!(
        lines,
        [(json!("mug"), json!(2)), (json!("pen"), json!(1))],
        "{cart}"
    );
    assert_eq!(cart["total"]["amount"], 250);

    shop.payments.take("authorise", Manner::Fine);
    let order = shop.order_patiently(&buyer).await;
    shop.until(order, "paid").await;
    assert_eq!(shop.stock("mug").await, (1, 0, 1));
    assert_eq!(shop.get(&buyer, "/cart").await.body["items"], json!([]));
    shop.assert_books_are_right().await;
}

#[tokio::test]
async fn what_the_buyer_did_meanwhile_wins_over_what_comes_back() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 3).await;
    shop.sell("pen", 50, 3).await;
    shop.fill_cart(&buyer, "mug", 2).await;
    shop.fill_cart(&buyer, "pen", 1).await;
    shop.payments.take("authorise", Manner::StillAtIt);
    let order = shop.order_patiently(&buyer).await;
    shop.fill_cart(&buyer, "mug", 1).await;
    shop.withdraw("pen", 2).await;
    shop.payments.settle(order, "declined");
    shop.until(order, "cancelled").await;
    let cart = shop.get(&buyer, "/cart").await.body;
    assert_eq!(cart["items"].as_array().unwrap().len(), 1, "{cart}");
    assert_eq!(
        (&cart["items"][0]["sku"], &cart["items"][0]["quantity"]),
        (&json!("mug"), &json!(1))
    );
}

/// Orders that come to nothing give back units and fill carts, while their buyers fill and order the same carts.
#[tokio::test]
async fn carts_that_fill_and_empty_at_once_block_nobody() {
    let shop = Shop::open().await;
    for sku in ["a", "b"] {
        shop.sell(sku, 100, 1000).await;
    }
    shop.payments.take("authorise", Manner::Declines);
    let buyers: Vec<_> = (0..6).map(|_| Person::buyer()).collect();
    let orders = buyers.iter().map(async |buyer| {
        let mut orders = vec![];
        for _ in 0..5 {
            shop.fill_cart(buyer, "b", 1).await;
            shop.fill_cart(buyer, "a", 1).await;
            let answer = shop.order(buyer, &uuid::Uuid::now_v7().to_string()).await;
            match answer.status.as_u16() {
                202 => orders.push(answer.order()),
                409 => assert_eq!(answer.code(), "cart_changed", "{}", answer.body),
                other => panic!("{other}: {}", answer.body),
            }
        }
        orders
    });
    let orders = futures::future::join_all(orders).await.concat();
    for order in orders {
        shop.until(order, "cancelled").await;
    }
    assert_eq!(shop.stock("a").await, (1000, 0, 1000));
    shop.assert_books_are_right().await;
}
