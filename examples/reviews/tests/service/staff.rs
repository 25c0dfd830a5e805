//! Staff hides what must not be read.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{REMOVED, Shop, mine, problem, review};

fn hide(review: &Value) -> String {
    format!("/reviews/{}/hide", review["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_hidden_review_is_seen_by_its_buyer_alone_and_counts_no_more() {
    let shop = Shop::open().await;
    let (buyer, bad) = shop.written("mug", 1).await;
    let (_, good) = shop.written("mug", 5).await;
    for _ in 0..2 {
        let (status, hidden) = shop.as_admin(Method::POST, &hide(&bad)).await;
        assert_eq!((status, &hidden["hidden"]), (200, &json!(true)));
    }
    assert_eq!(shop.shown("mug").await, (vec![good], 1, 5));
    let events = shop.published(REMOVED, 1).await;
    assert_eq!(events.len(), 1, "hidden once: {events:?}");
    assert_eq!(events[0]["data"]["review_id"], bad["id"]);
    assert_eq!(events[0]["sequence"], 2);

    let (_, seen) = shop.as_user(buyer, Method::GET, &mine("mug")).await;
    assert_eq!(
        (&seen["hidden"], &seen["title"]),
        (&json!(true), &bad["title"])
    );
    let refused = shop.write(buyer, "mug", &review(1)).await;
    assert_eq!(problem(&refused), (409, "review_hidden"));
}

/// Or it could be removed and written anew.
#[tokio::test]
async fn what_was_hidden_stays_hidden_though_its_words_are_removed() {
    let shop = Shop::open().await;
    let (buyer, bad) = shop.written("mug", 1).await;
    shop.as_admin(Method::POST, &hide(&bad)).await;
    let removed = shop.as_user(buyer, Method::DELETE, &mine("mug")).await;
    assert_eq!(removed.0, 204);
    let (_, seen) = shop.as_user(buyer, Method::GET, &mine("mug")).await;
    assert_eq!((&seen["title"], &seen["text"]), (&json!(""), &json!("")));
    assert_eq!(seen["name"], Value::Null);
    let refused = shop.write(buyer, "mug", &review(1)).await;
    assert_eq!(problem(&refused), (409, "review_hidden"));
    assert_eq!(shop.shown("mug").await, (vec![], 0, 0));
    let events = shop.published(REMOVED, 1).await;
    assert_eq!(events.len(), 1, "it went once: {events:?}");
}

#[tokio::test]
async fn only_staff_hides_and_only_what_there_is() {
    let shop = Shop::open().await;
    let (buyer, bad) = shop.written("mug", 1).await;
    let refused = shop.as_user(buyer, Method::POST, &hide(&bad)).await;
    assert_eq!(problem(&refused), (403, "forbidden"));
    assert_eq!(shop.shown("mug").await.1, 1);
    let nothing = format!("/reviews/{}/hide", Uuid::now_v7());
    let refused = shop.as_admin(Method::POST, &nothing).await;
    assert_eq!(problem(&refused), (404, "not_found"));
}
