use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::shop::{Person, Shop};

#[tokio::test]
async fn a_cart_is_priced_from_the_offers_of_the_moment() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.offer("mug", 1, 1250, "EUR").await;
    shop.offer("pen", 1, 99, "EUR").await;
    assert_eq!(
        shop.get(&buyer, "/cart").await.body,
        json!({"items": [], "total": null})
    );

    shop.fill_cart(&buyer, "mug", 2).await;
    shop.fill_cart(&buyer, "pen", 10).await;
    shop.fill_cart(&buyer, "pen", 3).await;
    shop.offer("mug", 2, 1000, "EUR").await;
    let cart = shop.get(&buyer, "/cart").await.body;
    assert_eq!(cart["total"], json!({"amount": 2297, "currency": "EUR"}));
    assert_eq!(
        cart["items"][0],
        json!({
            "sku": "mug", "title": "Title of mug", "quantity": 2, "removed": false,
            "unit_price": {"amount": 1000, "currency": "EUR"}, "line_total": {"amount": 2000, "currency": "EUR"},
        })
    );
    assert_eq!(
        shop.get(&Person::buyer(), "/cart").await.body["items"],
        json!([]),
        "somebody else's cart"
    );

    let emptier = shop
        .ask(&buyer, Method::DELETE, "/cart/items/mug", None)
        .await;
    assert_eq!(emptier.body["total"]["amount"], 297);
    let same = shop
        .ask(&buyer, Method::DELETE, "/cart/items/mug", None)
        .await;
    assert_eq!(
        same.status,
        StatusCode::OK,
        "taking out what is not there is no error"
    );
}

#[tokio::test]
async fn what_cannot_be_in_a_cart_is_refused_with_its_code() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.offer("mug", 1, 1250, "EUR").await;
    shop.offer("import", 1, 900, "USD").await;
    shop.offer("old", 1, 100, "EUR").await;
    shop.fill_cart(&buyer, "old", 1).await;
    shop.backends
        .say(
            "shop.search.product.removed.v1",
            "old",
            2,
            json!({"sku": "old"}),
        )
        .await;
    chassis::testing::eventually("the offer is gone", || async {
        let cart = shop.get(&buyer, "/cart").await.body;
        (cart["items"][0]["removed"] == true).then_some(())
    })
    .await;
    shop.fill_cart(&buyer, "mug", 1).await;

    for (sku, body, status, code) in [
        ("mug", json!({"quantity": 0}), 422, "invalid"),
        ("mug", json!({"quantity": 100}), 422, "invalid"),
        ("mug", json!({"quantity": "many"}), 422, "invalid"),
        (
            "mug",
            json!({"quantity": 99_999_999_999_i64}),
            422,
            "invalid",
        ),
        ("unheard-of", json!({"quantity": 1}), 404, "unknown_sku"),
        ("no%20sku", json!({"quantity": 1}), 404, "not_found"),
        ("old", json!({"quantity": 2}), 409, "offer_removed"),
        ("import", json!({"quantity": 1}), 409, "mixed_currencies"),
    ] {
        let answer = shop
            .put(&buyer, &format!("/cart/items/{sku}"), body.clone())
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (status, code),
            "{sku} {body}"
        );
    }
    let nobody = shop.service.http.get(shop.service.at("/cart"));
    let answer = crate::shop::answer(nobody).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (401, "unauthenticated")
    );
}
