//! What it hears of and what it tells.

use chassis::testing::TestEvent;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{ORDER_CONFIRMED, REMOVED, Shop, WRITTEN, mine, problem, review};

#[tokio::test]
async fn each_change_is_told_of_once_and_counted_up() {
    let shop = Shop::open().await;
    let (buyer, first) = shop.written("mug", 4).await;
    for stars in [4, 2] {
        shop.write(buyer, "mug", &review(stars)).await;
    }
    shop.as_user(buyer, Method::DELETE, &mine("mug")).await;
    let removed = shop.published(REMOVED, 1).await;
    let written = shop.published(WRITTEN, 2).await;
    let told: Vec<_> = written.iter().chain(&removed).collect();
    let sequences: Vec<_> = told.iter().map(|event| event["sequence"].clone()).collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert!(told.iter().all(|event| event["subject"] == first["id"]));
    let stars = |stars: i64| json!({"review_id": first["id"], "sku": "mug", "stars": stars});
    assert_eq!(told[0]["data"], stars(4));
    assert_eq!(told[1]["data"], stars(2));
    let gone = json!({"review_id": first["id"], "sku": "mug"});
    assert_eq!(told[2]["data"], gone);
}

#[tokio::test]
async fn an_order_that_is_told_of_twice_is_one_purchase_of_each_product() {
    let shop = Shop::open().await;
    let (buyer, order) = (Uuid::now_v7(), Uuid::now_v7().to_string());
    let data =
        json!({"buyer_id": buyer, "items": [{"sku": "mug"}, {"sku": "lamp"}, {"sku": "mug"}]});
    let event = TestEvent::now(ORDER_CONFIRMED, &order, 2, data);
    for _ in 0..2 {
        shop.backends.deliver(&event).await;
    }
    shop.service.until_processed(ORDER_CONFIRMED, 2).await;
    for sku in ["mug", "lamp"] {
        let (status, answer) = shop.write(buyer, sku, &review(5)).await;
        assert_eq!(status, 201, "{answer}");
    }
    let other = shop.write(buyer, "cup", &review(5)).await;
    assert_eq!(problem(&other), (403, "not_bought"));
}
