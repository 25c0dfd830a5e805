//! The database or the broker goes away and comes back.

use chassis::testing::{eventually, start_unready};
use serde_json::json;
use shop_users::Users;

use crate::common;
use crate::common::process::Process;
use crate::common::{PASSWORD, Shop, Tokens, problem};

#[tokio::test]
async fn without_its_database_the_service_says_when_to_come_back_and_recovers_by_itself() {
    let shop = Shop::open().await;
    let tokens = shop.tokens_of("ada@shop.example").await;
    shop.backends.database_proxy.cut();
    problem(shop.register("bob@shop.example").await, 503, "unavailable").await;
    problem(
        shop.log_in("ada@shop.example", PASSWORD).await,
        503,
        "unavailable",
    )
    .await;
    problem(shop.refresh(&tokens.refresh).await, 503, "unavailable").await;
    problem(shop.log_out(&tokens.refresh).await, 503, "unavailable").await;
    problem(shop.me(&tokens.access).await, 503, "unavailable").await;
    // The keys need no database: the other services can go on checking tokens.
    let keys = shop
        .users
        .http
        .get(shop.users.at("/.well-known/jwks.json"))
        .send()
        .await
        .unwrap();
    assert_eq!(keys.status(), 200);

    shop.backends.database_proxy.heal();
    eventually("the service has recovered", || async {
        (shop.me(&tokens.access).await.status() == 200).then_some(())
    })
    .await;
    // What was refused did not happen, and what was given out before still works.
    assert_eq!(shop.register("bob@shop.example").await.status(), 201);
    Tokens::of(shop.refresh(&tokens.refresh).await).await;
}

#[tokio::test]
async fn without_the_broker_people_register_and_the_events_follow() {
    let shop = Shop::open().await;
    shop.backends.nats_proxy.cut();
    for n in 0..3 {
        assert_eq!(
            shop.register(&format!("buyer{n}@shop.example"))
                .await
                .status(),
            201
        );
    }
    shop.backends.nats_proxy.heal();
    eventually("all events are published, each once", || async {
        let published = shop
            .backends
            .published("shop.users.user.registered.v1")
            .await;
        let buyers: Vec<_> = published
            .iter()
            .filter(|event| event["data"]["name"] == "Ada Lovelace")
            .collect();
        (buyers.len() == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_order_of_start_does_not_matter() {
    let backends = chassis::testing::Backends::new().await;
    backends.database_proxy.cut();
    backends.nats_proxy.cut();
    let users = start_unready::<Users>(&backends, &common::settings()).await;
    let ready = users
        .http
        .get(users.admin_at("/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), 503);
    let body = json!({"email": "ada@shop.example", "password": PASSWORD});
    let answer = common::send(&users, reqwest::Method::POST, "/sessions", &body).await;
    problem(answer, 503, "unavailable").await;
    backends.database_proxy.heal();
    backends.nats_proxy.heal();
    users.ready().await;
}

#[tokio::test]
async fn a_thousand_refusals_are_a_few_lines() {
    let backends = chassis::testing::Backends::new().await;
    Process::start(&backends, "migrate", &[]).end().await;
    let users = Process::start(&backends, "serve", &[]);
    let url = format!("http://{}/sessions", users.ready().await);
    backends.database_proxy.cut();
    let http = reqwest::Client::new();
    let body = json!({"email": "ada@shop.example", "password": PASSWORD});
    let started = std::time::Instant::now();
    for _ in 0..30 {
        let answer = http.post(&url).json(&body).send().await.unwrap();
        problem(answer, 503, "unavailable").await;
    }
    // One at the start, and one more every ten seconds on a busy machine.
    let most = 1 + usize::try_from(started.elapsed().as_secs() / 10).unwrap();
    users.terminate();
    let logs = users.end().await;
    for line in ["database not available", "request refused for now"] {
        let count = logs.matches(line).count();
        assert!(
            (1..=most).contains(&count),
            "{line}: {count} times, at most {most}"
        );
    }
}
