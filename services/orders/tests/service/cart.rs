use reqwest::Method;
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
        json!({"version": 0, "items": [], "total": null})
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
            "sku": "mug", "title": "Title of mug", "quantity": 2, "available": 0, "removed": false,
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
    let again = shop
        .ask(&buyer, Method::DELETE, "/cart/items/mug", None)
        .await;
    assert_eq!(
        (again.status.as_u16(), again.code()),
        (404, "not_in_cart"),
        "nobody is told that something was taken out that was not there"
    );
}

#[tokio::test]
async fn what_cannot_be_in_a_cart_is_refused_with_its_code() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.offer("mug", 1, 1250, "EUR").await;
    shop.offer("dollar-mug", 1, 900, "USD").await;
    shop.offer("old", 1, 100, "EUR").await;
    shop.fill_cart(&buyer, "old", 1).await;
    shop.withdraw("old", 2).await;
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
        ("import", json!({"quantity": 1}), 404, "not_found"),
        ("old", json!({"quantity": 2}), 409, "offer_removed"),
        (
            "dollar-mug",
            json!({"quantity": 1}),
            409,
            "mixed_currencies",
        ),
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

#[tokio::test]
async fn a_line_says_how_much_of_it_is_available_now() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 1).await;
    shop.sell("gone", 100, 0).await;
    shop.offer("never-counted", 1, 100, "EUR").await;
    for sku in ["mug", "gone", "never-counted"] {
        shop.fill_cart(&buyer, sku, 99).await;
    }
    let available = async || {
        let cart = shop.get(&buyer, "/cart").await.body;
        let items = cart["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["available"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(available().await, [1, 0, 0]);
    // What is reserved for somebody is not available to others.
    shop.payments
        .take("authorise", crate::payments::Manner::Unavailable);
    shop.buy(&Person::buyer(), "mug", 1).await;
    assert_eq!(available().await, [0, 0, 0]);
}

#[tokio::test]
async fn a_cart_has_a_version_and_a_write_may_ask_for_it() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 10).await;
    shop.sell("pen", 100, 10).await;
    let write = async |method: Method, sku: &str, quantity: i32, version: &str| {
        let path = format!("/cart/items/{sku}");
        let body = (method == Method::PUT).then(|| json!({"quantity": quantity}));
        let headers = [("if-match", version)];
        shop.ask_with(&buyer, method, &path, body, &headers).await
    };
    let empty = shop.get(&buyer, "/cart").await;
    assert_eq!(
        (empty.etag.as_deref(), &empty.body["version"]),
        (Some("\"0\""), &json!(0))
    );
    let first = write(Method::PUT, "mug", 2, "\"0\"").await;
    assert_eq!(
        (first.status.as_u16(), first.etag.as_deref()),
        (200, Some("\"1\""))
    );
    for (method, sku) in [
        (Method::PUT, "mug"),
        (Method::PUT, "pen"),
        (Method::DELETE, "mug"),
    ] {
        let late = write(method, sku, 3, "\"0\"").await;
        assert_eq!(
            (late.status.as_u16(), late.code()),
            (412, "precondition_failed")
        );
    }
    let same = write(Method::PUT, "mug", 2, "*").await;
    assert_eq!(same.etag, first.etag, "nothing has changed");
    assert_eq!(shop.get(&buyer, "/cart").await.etag, first.etag);
    let gone = write(Method::DELETE, "mug", 0, "\"1\"").await;
    assert_eq!(
        (gone.status.as_u16(), gone.body["version"].as_i64()),
        (200, Some(2))
    );
}

/// Whoever was told that something is out of the cart does not get it.
#[tokio::test]
async fn what_was_taken_out_of_the_cart_is_not_in_the_order() {
    let shop = Shop::open().await;
    for sku in ["a", "b"] {
        shop.sell(sku, 100, 1000).await;
    }
    let buyers: Vec<_> = (0..40).map(|_| Person::buyer()).collect();
    let tries = buyers.iter().map(async |buyer| {
        shop.fill_cart(buyer, "a", 1).await;
        shop.fill_cart(buyer, "b", 1).await;
        let body = shop.checkout(buyer).await;
        let (taken_out, ordered) = futures::join!(
            shop.ask(buyer, Method::DELETE, "/cart/items/b", None),
            shop.order_as(buyer, "k", &body),
        );
        match (taken_out.status.as_u16(), ordered.status.as_u16()) {
            (200, 409) => assert_eq!(ordered.code(), "cart_changed"),
            (404, 202) => assert_eq!(ordered.body["items"][1]["sku"], "b"),
            other => panic!("{other:?}: {} {}", taken_out.body, ordered.body),
        }
    });
    futures::future::join_all(tries).await;
    shop.assert_books_are_right().await;
}
