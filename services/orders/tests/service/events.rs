//! What orders hears: late, twice, broken, and about orders it does not know.

use chassis::testing::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Person, Shop};

async fn dead_letters(shop: &Shop) -> Vec<Value> {
    let answer = shop
        .service
        .http
        .get(shop.service.admin_at("/dead-letters"))
        .send()
        .await;
    answer.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn only_the_newest_word_about_a_product_counts() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    let upserted = |amount: i64| json!({"sku": "mug", "title": "Mug", "brand": "B", "category": "C", "price": {"amount": amount, "currency": "EUR"}});
    let say = |sequence, amount| {
        shop.backends.say(
            "shop.search.product.upserted.v1",
            "mug",
            sequence,
            upserted(amount),
        )
    };
    shop.offer("mug", 5, 500, "EUR").await;
    say(4, 400).await;
    say(6, 600).await;
    eventually("the sixth word is applied", || async {
        (shop
            .count("select count(*) from offers where amount = 600")
            .await
            == 1)
            .then_some(())
    })
    .await;
    shop.backends
        .say(
            "shop.search.product.removed.v1",
            "mug",
            8,
            json!({"sku": "mug"}),
        )
        .await;
    say(7, 700).await;
    shop.offer("later", 1, 1, "EUR").await;
    let refused = shop
        .put(&buyer, "/cart/items/mug", json!({"quantity": 1}))
        .await;
    assert_eq!(
        refused.code(),
        "offer_removed",
        "an older upsert does not bring it back"
    );
    say(9, 900).await;
    eventually("it is sold again", || async {
        (shop
            .count("select count(*) from offers where amount = 900 and not removed")
            .await
            == 1)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_event_that_comes_twice_counts_once() {
    let shop = Shop::open().await;
    shop.sell("mug", 100, 10).await;
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(order, "paid").await;
    let payment = json!({"payment_id": Uuid::now_v7(), "order_id": order, "amount": {"amount": 100, "currency": "EUR"}});
    let mail = json!({"mail_id": Uuid::now_v7(), "kind": "order_confirmed", "order_id": order, "user_id": Uuid::now_v7(), "status": "kept"});
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    for _ in 0..3 {
        shop.backends
            .say_as(
                first,
                "shop.payments.payment.captured.v1",
                "p",
                2,
                payment.clone(),
            )
            .await;
        shop.backends
            .say_as(second, "shop.email.email.sent.v1", "m", 1, mail.clone())
            .await;
    }
    shop.offer("later", 1, 1, "EUR").await;
    let story = shop.story(order).await;
    assert_eq!(
        story
            .iter()
            .filter(|s| s.starts_with("payments payment.") || s.starts_with("email"))
            .collect::<Vec<_>>(),
        ["payments payment.captured done", "email email.sent done"]
    );
    assert_eq!(shop.stock("mug").await, (9, 0, 9));
    assert_eq!(shop.payments.standing(order), ["captured"]);
}

#[tokio::test]
async fn a_broken_event_is_put_aside_and_the_next_ones_are_heard() {
    let shop = Shop::open().await;
    let say = async |subject: &str, data: Value| {
        shop.backends.say(subject, "x", 1, data).await;
    };
    let price = |amount: i64, currency: &str| json!({"amount": amount, "currency": currency});
    shop.backends
        .publish("shop.search.product.upserted.v1", "no json".to_owned())
        .await;
    say("shop.search.product.upserted.v1", json!({"sku": "a"})).await;
    say(
        "shop.search.product.upserted.v1",
        json!({"sku": "a b", "title": "t", "price": price(1, "EUR")}),
    )
    .await;
    say(
        "shop.search.product.upserted.v1",
        json!({"sku": "a", "title": "t", "price": price(1, "XYZW")}),
    )
    .await;
    say(
        "shop.search.product.upserted.v1",
        json!({"sku": "a", "title": "t", "price": price(-1, "EUR")}),
    )
    .await;
    say(
        "shop.search.product.upserted.v1",
        json!({"sku": "a", "title": "t".repeat(3000), "price": price(1, "EUR")}),
    )
    .await;
    say(
        "shop.payments.payment.captured.v1",
        json!({"payment_id": Uuid::now_v7(), "order_id": Uuid::now_v7()}),
    )
    .await;
    shop.offer("good", 1, 100, "EUR").await;
    let letters = eventually("all broken ones are put aside", || async {
        let letters = dead_letters(&shop).await;
        (letters.len() == 7).then_some(letters)
    })
    .await;
    assert!(
        letters
            .iter()
            .all(|l| l["cause"].as_str().is_some_and(|c| !c.is_empty())),
        "{letters:?}"
    );
}

#[tokio::test]
async fn a_mail_about_no_order_is_nothing_to_orders() {
    let shop = Shop::open().await;
    let mail = json!({"mail_id": Uuid::now_v7(), "kind": "welcome", "user_id": Uuid::now_v7(), "status": "sent"});
    shop.backends
        .say("shop.email.email.sent.v1", "m", 1, mail)
        .await;
    shop.offer("later", 1, 1, "EUR").await;
    assert_eq!(dead_letters(&shop).await.len(), 0);
}
