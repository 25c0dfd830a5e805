//! Each refusal with its code.

use super::*;

#[tokio::test]
async fn only_administrators_write() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    let http = &replica.service.http;
    let product = replica.service.at("/products/L");
    let import = replica.service.at("/products/import");
    let buyer = token(Uuid::now_v7(), &["buyer"]);
    // Whatever is sent: who may not write learns nothing of what a good request is.
    for request in [
        http.put(product.clone()).json(&lamp()),
        http.put(product.clone()).body("{"),
        http.put(product.clone()).json(&json!([1])),
        http.put(product.clone()).body(vec![b'x'; 300_000]),
        http.put(replica.service.at("/products/a%20b")).body("{"),
        http.delete(product.clone()),
        http.post(import).body("{}"),
    ] {
        let anonymous = request.try_clone().unwrap().send().await.unwrap();
        problem(anonymous, 401, "unauthenticated").await;
        problem(
            request.bearer_auth(&buyer).send().await.unwrap(),
            403,
            "forbidden",
        )
        .await;
    }
    replica.stop().await;
}

#[tokio::test]
async fn wrong_products_are_refused_with_the_field() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    for (field, value) in [
        ("title", json!("")),
        ("title", json!("x".repeat(201))),
        ("title", json!("a\0b")),
        ("description", json!("\0")),
        ("brand", json!(" ")),
        ("price", json!({"amount": 0, "currency": "EUR"})),
        (
            "price",
            json!({"amount": 10_000_000_000_i64, "currency": "EUR"}),
        ),
        ("price", json!({"amount": 1, "currency": "XAU"})),
        ("price", json!({"amount": 1, "currency": "EURO"})),
        ("price", json!({"amount": 1.5, "currency": "EUR"})),
        ("attributes", json!({"": "x"})),
        ("on_hand", json!(1)),
    ] {
        let mut product = lamp();
        product[field] = value;
        problem(
            replica.put("L", &product).send().await.unwrap(),
            422,
            "invalid",
        )
        .await;
    }
    for sku in ["a%20b", "a%00", &"x".repeat(65)] {
        problem(
            replica.put(sku, &lamp()).send().await.unwrap(),
            422,
            "invalid",
        )
        .await;
        problem(
            replica.get(&format!("/products/{sku}")).await,
            404,
            "not_found",
        )
        .await;
    }
    let url = replica.service.at("/products/L");
    let broken = replica
        .service
        .http
        .put(url)
        .bearer_auth(&replica.token)
        .body("{")
        .send()
        .await
        .unwrap();
    problem(broken, 400, "malformed_json").await;
    problem(replica.get("/products/L").await, 404, "not_found").await;
    replica.stop().await;
}

#[tokio::test]
async fn wrong_searches_are_refused_and_odd_ones_answered() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    let long = format!("q={}", "x".repeat(201));
    for query in [
        &long,
        "limit=0",
        "limit=101",
        "limit=x",
        "sort=best",
        "cursor=here",
        "category=",
        "brand=Nordlys&brand=",
        "currency=EURO",
        "min_price=2&max_price=1",
        "in_stock=maybe",
        "limit=",
        "sort=",
        "q=",
        "brand=",
        "cursor=",
        "min_price",
    ] {
        problem(
            replica.get(&format!("/products?{query}")).await,
            422,
            "invalid",
        )
        .await;
    }
    let many = vec!["brand=x"; 51].join("&");
    problem(
        replica.get(&format!("/products?{many}")).await,
        422,
        "invalid",
    )
    .await;
    let most = format!(
        "q={}",
        "🎧"
            .repeat(200)
            .chars()
            .map(|_| "%F0%9F%8E%A7")
            .collect::<String>()
    );
    for query in [
        &most,
        "q=%00",
        "q=%22%27%3C",
        "q=the",
        "unknown=1",
        "q=a&sort=newest&min_price=0",
    ] {
        assert_eq!(replica.search(query).await["total"], 0, "{query}");
    }
    replica.stop().await;
}
