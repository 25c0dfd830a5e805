//! Registering and looking at one's account.

use std::collections::BTreeMap;

use chassis::testing::{eventually, is_as_documented, look};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::common;
use crate::common::{PASSWORD, Shop, account, metric, problem};

#[tokio::test]
async fn the_page_has_each_metric_with_its_type_and_labels_and_no_other() {
    let shop = Shop::open().await;
    let body = json!({"email": "ada@shop.example", "password": PASSWORD, "name": "Ada"});
    assert_eq!(shop.post("/users", &body).await.status(), 201);
    is_as_documented(
        &shop.users.metrics().await,
        &["All services", "Services with a database", "users"],
    );
}

#[tokio::test]
async fn who_registers_has_an_account_and_an_event_tells_of_it() {
    let shop = Shop::open().await;
    let body =
        json!({"email": "  Ada@Shop.EXAMPLE ", "password": PASSWORD, "name": " Ada Lovelace "});
    let response = shop.post("/users", &body).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let user: Value = response.json().await.unwrap();
    assert_eq!(user["email"], "Ada@shop.example");
    assert_eq!(user["name"], "Ada Lovelace");
    assert_eq!(user["roles"], json!(["buyer"]));
    assert!(user.get("password").is_none() && user.get("password_hash").is_none());

    let tokens = common::Tokens::of(shop.log_in("ada@SHOP.example", PASSWORD).await).await;
    let me: Value = shop.me(&tokens.access).await.json().await.unwrap();
    assert_eq!(me, user);

    let event = eventually("user.registered is published", || async {
        let published = shop
            .backends
            .published("shop.users.user.registered.v1")
            .await;
        published
            .into_iter()
            .find(|event| event["subject"] == user["id"])
    })
    .await;
    assert_eq!(
        event["data"],
        json!({"user_id": user["id"], "email": "Ada@shop.example", "name": "Ada Lovelace"})
    );
    assert_eq!(event["sequence"], 1);
    assert_eq!(event["source"], "/shop/users");
    assert_eq!(
        metric(
            &shop.users,
            "shop_users_registrations_total{outcome=\"created\"}"
        )
        .await,
        1.0
    );
}

#[tokio::test]
async fn an_address_has_one_account_whatever_its_spelling() {
    let shop = Shop::open().await;
    assert_eq!(shop.register("ada@shop.example").await.status(), 201);
    for twin in [
        "ada@shop.example",
        "ADA@shop.example",
        " ada@Shop.Example\t",
    ] {
        problem(shop.register(twin).await, 409, "email_taken").await;
    }
}

#[tokio::test]
async fn of_twins_that_register_at_once_one_succeeds() {
    let shop = Shop::open().await;
    let attempts = (0..8).map(|n| {
        let email = if n % 2 == 0 {
            "ada@shop.example"
        } else {
            "Ada@shop.example"
        };
        shop.register(email)
    });
    let mut statuses = BTreeMap::new();
    for response in futures::future::join_all(attempts).await {
        *statuses.entry(response.status().as_u16()).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(201, 1), (409, 7)]));
    let db = shop.backends.direct_db();
    let accounts = look(
        &db,
        "select 1 from users where lower(email) = 'ada@shop.example'",
        &[],
    )
    .await;
    assert_eq!(accounts.len(), 1);
    let events = look(
        &db,
        "select 1 from outbox where lower(envelope) like '%ada@shop.example%'",
        &[],
    )
    .await;
    assert_eq!(events.len(), 1, "one account, one event");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let shop = Shop::open().await;
    let cases = [
        ("email", json!("ada")),
        ("email", json!(format!("{}@shop.example", "a".repeat(250)))),
        ("email", json!("ada\u{0}@shop.example")),
        ("password", json!("elevenchars")),
        ("password", json!("p".repeat(129))),
        ("name", json!("")),
        ("name", json!("   ")),
        ("name", json!("n".repeat(101))),
        ("name", json!("Ada\u{0}Lovelace")),
        ("name", json!("Ada\r\nBcc: all@shop.example")),
        ("name", json!("WIN 1000 EUR http://win.example/x")),
        ("name", json!("win.example")),
        ("name", json!("\u{200b}\u{2060}")),
        ("name", json!(["Ada"])),
        ("password", json!("passwordpassword")),
        ("password", json!(" ".repeat(12))),
        ("password", json!("Password2026!!")),
        ("password", json!("ADA@shop.example")),
        ("password", json!(123456789012_i64)),
    ];
    for (field, value) in cases {
        let mut body = account("ada@shop.example");
        body[field] = value.clone();
        let problem = problem(shop.post("/users", &body).await, 422, "invalid").await;
        assert_eq!(problem["errors"][0]["pointer"], field, "{value}");
    }
    for (body, pointer, detail) in [
        (json!({}), "email", "is missing"),
        (
            json!(["a@b.example", PASSWORD, "A"]),
            "",
            "must be an object",
        ),
        (
            json!({"email": 1, "password": PASSWORD, "name": "Ada"}),
            "email",
            "must be a text",
        ),
    ] {
        let problem = problem(shop.post("/users", &body).await, 422, "invalid").await;
        let error = json!([{"pointer": pointer, "detail": detail}]);
        assert_eq!(problem["errors"], error, "{body}");
    }
    let request = shop
        .users
        .http
        .post(shop.users.at("/users"))
        .body("{\"email\": ");
    problem(request.send().await.unwrap(), 400, "malformed_json").await;
    let mut large = account("ada@shop.example");
    large["name"] = json!("n".repeat(1 << 20));
    problem(shop.post("/users", &large).await, 413, "too_large").await;
}

#[tokio::test]
async fn the_longest_that_is_allowed_is_accepted() {
    let shop = Shop::open().await;
    let password: String = (0..128)
        .map(|n: u32| ['ä', 'ö', 'ü', 'ß'][(n * n % 7 % 4) as usize])
        .collect();
    let password = format!("x{}", &password[2..]);
    let body = json!({
        "email": format!("{}@{}.{}.{}.example", "a".repeat(64), "b".repeat(63), "c".repeat(63), "d".repeat(53)),
        "password": password,
        "name": "ö".repeat(100),
    });
    assert_eq!(body["email"].as_str().unwrap().len(), 254);
    let response = shop.post("/users", &body).await;
    assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
    let response = shop
        .log_in(body["email"].as_str().unwrap(), &password)
        .await;
    assert_eq!(response.status(), 201);
}

#[tokio::test]
async fn one_client_cannot_register_without_end() {
    let shop = Shop::open().await;
    let tokens = shop.tokens_of("ada@shop.example").await;
    // At once: one more is let in each second, and a busy machine needs some for all of them.
    let all = (0..200).map(|_| shop.register("ada@shop.example"));
    let (mut let_in, mut refused) = (0, 0);
    for answer in futures::future::join_all(all).await {
        match answer.status().as_u16() {
            429 => {
                problem(answer, 429, "rate_limited").await;
                refused += 1;
            }
            // Who waits too long for a core to hash the password.
            503 => {
                problem(answer, 503, "overloaded").await;
                let_in += 1;
            }
            _ => {
                problem(answer, 409, "email_taken").await;
                let_in += 1;
            }
        }
    }
    assert!(
        let_in >= 59 && refused > 0,
        "{let_in} let in, {refused} refused"
    );
    let limited = "shop_users_registrations_total{outcome=\"limited\"}";
    assert_eq!(metric(&shop.users, limited).await, f64::from(refused));
    // Who has an account goes on.
    assert_eq!(shop.me(&tokens.access).await.status(), 200);
    common::Tokens::of(shop.log_in("ada@shop.example", PASSWORD).await).await;
}

#[tokio::test]
async fn a_repeated_registration_with_its_key_gets_the_first_answer() {
    let shop = Shop::open().await;
    let send = async |key: &str, body: &Value| {
        let request = shop.users.http.post(shop.users.at("/users")).json(body);
        request.header("idempotency-key", key).send().await.unwrap()
    };
    let body = account("ada@shop.example");
    let first = send("form-1", &body).await;
    assert_eq!(first.status(), 201);
    let first: Value = first.json().await.unwrap();
    let again = send("form-1", &body).await;
    assert_eq!(again.status(), 201);
    assert_eq!(again.json::<Value>().await.unwrap(), first);

    problem(send("form-2", &body).await, 409, "email_taken").await;
    let mut other = body.clone();
    other["name"] = json!("Someone else");
    problem(send("form-1", &other).await, 422, "idempotency_key_reused").await;
    let mut other = body.clone();
    other["password"] = json!("another good password");
    problem(send("form-1", &other).await, 422, "idempotency_key_reused").await;
    problem(send("with space", &body).await, 422, "invalid").await;
    // Another person's key of the same name is another key.
    assert_eq!(
        send("form-1", &account("bob@shop.example")).await.status(),
        201
    );
}

#[tokio::test]
async fn a_password_is_the_same_on_every_keyboard() {
    let shop = Shop::open().await;
    let mut body = account("zoe@shop.example");
    body["password"] = json!("zoe\u{308} takes a cafe\u{301}");
    assert_eq!(shop.post("/users", &body).await.status(), 201);
    for password in [
        "zo\u{eb} takes a caf\u{e9}",
        "zoe\u{308} takes a cafe\u{301}",
    ] {
        common::Tokens::of(shop.log_in("zoe@shop.example", password).await).await;
    }
}

#[tokio::test]
async fn without_a_good_token_there_is_no_account_to_see() {
    let shop = Shop::open().await;
    let tokens = shop.tokens_of("ada@shop.example").await;
    let (head, signature) = tokens.access.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let foreign = chassis::testing::token(uuid::Uuid::now_v7(), &["admin"]);
    for token in ["", "nonsense", &forged, &foreign, &tokens.refresh] {
        problem(shop.me(token).await, 401, "unauthenticated").await;
    }
    let bare = shop.send(Method::GET, "/me", &json!({})).await;
    problem(bare, 401, "unauthenticated").await;

    let db = shop.backends.direct_db();
    look(
        &db,
        "delete from users where email = 'ada@shop.example' returning 1",
        &[],
    )
    .await;
    problem(shop.me(&tokens.access).await, 401, "unauthenticated").await;
}

#[tokio::test]
async fn two_connections_are_enough_for_many_at_once() {
    let backends = chassis::testing::Backends::new().await;
    let mut settings = common::settings();
    settings.push(("DATABASE_MAX_CONNECTIONS", "2"));
    let users = chassis::testing::start::<shop_users::Users>(&backends, &settings).await;
    let shop = Shop { backends, users };
    let emails: Vec<_> = (0..8).map(|n| format!("buyer{n}@shop.example")).collect();
    let all = emails.iter().map(async |email| {
        let tokens = shop.tokens_of(email).await;
        let next = common::Tokens::of(shop.refresh(&tokens.refresh).await).await;
        assert_eq!(shop.me(&next.access).await.status(), 200);
        assert_eq!(shop.log_out(&next.refresh).await.status(), 204);
    });
    futures::future::join_all(all).await;
    assert!(shop.backends.connections().await <= 2);
}
