//! The administrator's account, which comes from the settings.

use chassis::testing::{Backends, look, start};
use reqwest::Method;
use serde_json::{Value, json};
use shop_users::Users;

use crate::common;
use crate::common::{ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD, Tokens, log_in, problem, send};

#[tokio::test]
async fn the_account_is_there_when_the_service_is_ready_however_many_replicas_start() {
    let backends = Backends::new().await;
    // Migrated once first: what starts at once below are the replicas.
    start::<Users>(&backends, &common::settings())
        .await
        .stop()
        .await;
    let settings = common::settings();
    let (one, two) = tokio::join!(
        start::<Users>(&backends, &settings),
        start::<Users>(&backends, &settings)
    );
    for replica in [&one, &two] {
        let tokens = Tokens::of(log_in(replica, ADMIN_EMAIL, ADMIN_PASSWORD).await).await;
        let me = replica
            .http
            .get(replica.at("/me"))
            .bearer_auth(&tokens.access)
            .send()
            .await
            .unwrap();
        let me: Value = me.json().await.unwrap();
        assert_eq!(me["roles"], json!(["buyer", "admin"]));
        assert_eq!(me["email"], ADMIN_EMAIL);
    }
    let db = backends.direct_db();
    assert_eq!(look(&db, "select 1 from users", &[]).await.len(), 1);
    assert_eq!(
        look(&db, "select 1 from outbox", &[]).await.len(),
        1,
        "published once"
    );
}

#[tokio::test]
async fn a_new_password_in_the_settings_is_the_new_password() {
    let backends = Backends::new().await;
    let before = start::<Users>(&backends, &common::settings()).await;
    let old = Tokens::of(log_in(&before, ADMIN_EMAIL, ADMIN_PASSWORD).await).await;
    before.stop().await;

    // An unchanged setting changes nothing: who is logged in stays so.
    let same = start::<Users>(&backends, &common::settings()).await;
    let old = Tokens::of(
        send(
            &same,
            Method::POST,
            "/sessions/refresh",
            &json!({"refresh_token": old.refresh}),
        )
        .await,
    )
    .await;
    same.stop().await;

    let mut settings = common::settings();
    settings.push(("ADMIN_PASSWORD", "another good password"));
    let after = start::<Users>(&backends, &settings).await;
    problem(
        log_in(&after, ADMIN_EMAIL, ADMIN_PASSWORD).await,
        401,
        "wrong_credentials",
    )
    .await;
    let refresh = send(
        &after,
        Method::POST,
        "/sessions/refresh",
        &json!({"refresh_token": old.refresh}),
    )
    .await;
    problem(refresh, 401, "refresh_token_invalid").await;
    Tokens::of(log_in(&after, ADMIN_EMAIL, "another good password").await).await;
}

#[tokio::test]
async fn whoever_took_the_address_before_is_locked_out() {
    let backends = Backends::new().await;
    let mut settings = common::settings();
    settings.push(("ADMIN_EMAIL", "someone.else@shop.example"));
    let before = start::<Users>(&backends, &settings).await;
    let taken = send(
        &before,
        Method::POST,
        "/users",
        &common::account("Admin@shop.example"),
    )
    .await;
    assert_eq!(taken.status(), 201);
    let squatter = Tokens::of(log_in(&before, ADMIN_EMAIL, PASSWORD).await).await;
    before.stop().await;

    let after = start::<Users>(&backends, &common::settings()).await;
    problem(
        log_in(&after, ADMIN_EMAIL, PASSWORD).await,
        401,
        "wrong_credentials",
    )
    .await;
    let refresh = send(
        &after,
        Method::POST,
        "/sessions/refresh",
        &json!({"refresh_token": squatter.refresh}),
    )
    .await;
    problem(refresh, 401, "refresh_token_invalid").await;
    Tokens::of(log_in(&after, ADMIN_EMAIL, ADMIN_PASSWORD).await).await;
}

#[tokio::test]
async fn the_former_administrator_is_none_any_more() {
    let backends = Backends::new().await;
    let mut settings = common::settings();
    settings.push(("ADMIN_EMAIL", "former@shop.example"));
    let before = start::<Users>(&backends, &settings).await;
    let old = Tokens::of(log_in(&before, "former@shop.example", ADMIN_PASSWORD).await).await;
    before.stop().await;

    let after = start::<Users>(&backends, &common::settings()).await;
    let refresh = json!({"refresh_token": old.refresh});
    let refresh = send(&after, Method::POST, "/sessions/refresh", &refresh).await;
    problem(refresh, 401, "refresh_token_invalid").await;
    for (email, roles) in [
        ("former@shop.example", json!(["buyer"])),
        (ADMIN_EMAIL, json!(["buyer", "admin"])),
    ] {
        let tokens = Tokens::of(log_in(&after, email, ADMIN_PASSWORD).await).await;
        let me = after.http.get(after.at("/me")).bearer_auth(&tokens.access);
        let me: Value = me.send().await.unwrap().json().await.unwrap();
        assert_eq!(me["roles"], roles, "{email}");
    }
}
