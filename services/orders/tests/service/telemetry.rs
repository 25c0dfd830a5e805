//! What those who look after the shop are told: figures as the page says, and where the trace and the logs of an order are.

use chassis::testing::is_as_documented;
use serde_json::Value;

use crate::shop::{Person, Shop};

#[tokio::test]
async fn the_page_has_each_metric_with_its_type_and_labels_and_no_other() {
    let shop = Shop::open().await;
    shop.sell("mug", 100, 10).await;
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(order, "paid").await;
    is_as_documented(
        &shop.service.metrics().await,
        &[
            "All services",
            "Services with a database",
            "Services that call others",
            "orders",
        ],
    );
}

#[tokio::test]
async fn staff_find_the_trace_and_the_logs_of_an_order_and_its_buyer_is_not_told_of_them() {
    chassis::testing::traces();
    let shop = Shop::open_with(&[
        ("TRACE_LINK", "https://traces.example/trace/{traceId}"),
        ("LOGS_LINK", "https://logs.example/?query={orderId}"),
    ])
    .await;
    shop.sell("mug", 100, 10).await;
    let buyer = Person::buyer();
    let order = shop.buy(&buyer, "mug", 1).await;
    shop.until(order, "paid").await;

    let path = format!("/orders/{order}/timeline");
    let timeline = shop.get(&Person::admin(), &path).await.body;
    let trace = timeline["entries"][0]["trace_id"].as_str().unwrap();
    let expected = format!("https://traces.example/trace/{trace}");
    assert_eq!(timeline["links"]["trace"], expected);
    let expected = format!("https://logs.example/?query={order}");
    assert_eq!(timeline["links"]["logs"], expected);

    let of_buyer = shop.get(&buyer, &path).await.body;
    assert_eq!(of_buyer["entries"], timeline["entries"]);
    assert_eq!(of_buyer["links"], Value::Null, "{of_buyer}");
    let url = shop.service.admin_at(&format!("/orders/{order}/timeline"));
    let of_on_call = shop.service.http.get(url).send().await.unwrap();
    let of_on_call: Value = of_on_call.json().await.unwrap();
    assert_eq!(of_on_call["links"], timeline["links"]);
}
