//! One question in place of many.

use chassis::testing::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::shop::{Shop, pay};

const ORDERS: &str = include_str!("../../../../contracts/graphql/orders.graphql");

async fn ask(browser: &Browser, question: &Value) -> (StatusCode, Value) {
    let request = browser.request(Method::POST, "/graphql");
    let mut request = request.json(question).build().unwrap();
    // A program, though with the session of a browser.
    let accepted = "application/graphql-response+json".parse().unwrap();
    request.headers_mut().insert("accept", accepted);
    let answer = reqwest::Client::new().execute(request).await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Tries of calls to neighbours so far.
async fn calls(shop: &Shop) -> u64 {
    let metrics = shop.metrics().await;
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("http_client_request_duration_seconds_count"));
    counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

async fn buys(browser: &Browser, sku: &str) {
    browser
        .post("/cart", &[("sku", sku), ("quantity", "1")])
        .await;
    let checkout = browser.get("/checkout").await;
    let order = pay(browser, &checkout, "tok_approved").await;
    eventually("it is paid", || async {
        browser
            .get(order.at.path())
            .await
            .has("state paid")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_page_of_orders_with_products_and_stories_is_five_calls_at_most() {
    let shop = Shop::open().await;
    let browser = shop.buyer("ada").await;
    for n in 0..4 {
        let sku = format!("MUG-{n}");
        shop.sells_mugs(&sku, 1999, 5).await;
        buys(&browser, &sku).await;
        // A search hears of the stock a moment after the product.
        let in_stock = format!("/?q={sku}&in_stock=true");
        shop.shows(&in_stock, &format!("/products/{sku}")).await;
    }
    let all = browser.get("/orders").await;
    assert_eq!(all.text.matches("<th scope=\"row\">").count(), 4);
    let before = calls(&shop).await;
    let (status, answer) = ask(&browser, &json!({ "query": ORDERS })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    let orders = answer["data"]["me"]["orders"]["items"].as_array().unwrap();
    assert_eq!(orders.len(), 4);
    for order in orders {
        assert_eq!(order["payment"], "TAKEN", "{order}");
        assert_eq!(order["lines"][0]["product"]["inStock"], true, "{order}");
        assert_eq!(order["timeline"][0]["service"], "orders", "{order}");
    }
    let asked = calls(&shop).await - before;
    assert!(asked <= 5, "{asked} calls");
}

#[tokio::test]
async fn a_neighbour_that_is_away_leaves_the_rest_with_a_code() {
    let shop = Shop::open().await;
    let browser = shop.buyer("ada").await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    buys(&browser, "MUG-1").await;
    shop.search_proxy.cut();
    let (status, answer) = ask(&browser, &json!({ "query": ORDERS })).await;
    assert_eq!(status, StatusCode::OK);
    let order = &answer["data"]["me"]["orders"]["items"][0];
    assert_eq!(order["state"], "paid", "{answer}");
    assert_eq!(order["lines"][0]["product"], Value::Null);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAVAILABLE");
    assert_eq!(answer["errors"][0]["extensions"]["service"], "search");
    let (_, nobody) = ask(&shop.browser(), &json!({ "query": ORDERS })).await;
    assert_eq!(nobody["data"]["me"], Value::Null, "{nobody}");
}

#[tokio::test]
async fn only_known_documents_are_answered_and_one_at_a_time() {
    let shop = Shop::open().await;
    let browser = shop.browser();
    for (question, code) in [
        (json!({ "query": "{ me { name } }" }), "unknown_document"),
        (
            json!([{ "query": ORDERS }, { "query": ORDERS }]),
            "malformed_question",
        ),
        (
            json!({ "query": "{ __schema { types { name } } }" }),
            "unknown_document",
        ),
    ] {
        let (status, answer) = ask(&browser, &question).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{question}");
        assert_eq!(answer["code"], code, "{question}");
    }
}
