//! Sessions in cookies.

use reqwest::StatusCode;

use crate::browser::Browser;
use crate::shop::{PASSWORD, Shop};

#[tokio::test]
async fn a_session_outlives_its_access_token_and_ends_with_the_log_out() {
    let shop = Shop::open().await;
    let browser = shop.buyer("ada").await;
    let refresh = browser.cookie("__Host-refresh").unwrap();
    browser.forget("__Host-access");
    browser
        .get("/orders")
        .await
        .says("You have not ordered anything yet.");
    assert!(browser.cookie("__Host-access").is_some());
    let renewed = browser.cookie("__Host-refresh").unwrap();
    assert_ne!(renewed, refresh);

    browser
        .post("/logout", &[])
        .await
        .says("You are logged out.");
    assert_eq!(browser.cookie("__Host-access"), None);
    assert_eq!(browser.cookie("__Host-refresh"), None);
    let thief = shop.browser();
    let cookie = format!("__Host-refresh={renewed}");
    let request = thief
        .request(reqwest::Method::GET, "/orders")
        .header("cookie", cookie);
    thief.send(request).await.says("<h1>Log in</h1>");
}

#[tokio::test]
async fn all_devices_are_logged_out_at_once_or_it_is_said_that_they_are_not() {
    let shop = Shop::open().await;
    let here = shop.buyer("ada").await;
    let there = shop.browser();
    let fields = [("email", "ada@shop.example"), ("password", PASSWORD)];
    there.get("/login").await;
    there.post("/login", &fields).await.says("Log out");
    here.get("/orders").await.says("Log out on all devices");

    shop.users_proxy.cut();
    let everywhere = [("everywhere", "true")];
    let refused = here.post("/logout", &everywhere).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(here.cookie("__Host-refresh").is_some());
    shop.users_proxy.heal();

    here.post("/logout", &everywhere)
        .await
        .says("You are logged out here; on other devices within 15 minutes.");
    there.forget("__Host-access");
    there.get("/orders").await.says("<h1>Log in</h1>");
}

#[tokio::test]
async fn two_requests_with_the_same_old_session_both_go_on() {
    let shop = Shop::open().await;
    let browser = shop.buyer("ada").await;
    browser.forget("__Host-access");
    let (one, other) = tokio::join!(browser.get("/orders"), browser.get("/cart"));
    one.says("Log out");
    other.says("Log out");
    browser.get("/cart").await.says("Log out");
}

#[tokio::test]
async fn a_wrong_password_and_a_taken_address_are_told() {
    let shop = Shop::open().await;
    shop.buyer("ada").await;
    let browser = shop.browser();
    browser.get("/login").await;
    let wrong = browser.post(
        "/login",
        &[
            ("email", "ada@shop.example"),
            ("password", "wrong"),
            ("next", "/"),
        ],
    );
    let wrong = wrong.await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    wrong
        .says("do not belong together")
        .says("value=\"ada@shop.example\"");
    assert!(!wrong.has("value=\"wrong\""), "a password never comes back");
    let taken = shop.register(&browser, "ada").await;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    taken.says("This address has an account.");
}

#[tokio::test]
async fn a_field_that_users_refuses_is_marked_with_its_reason() {
    let shop = Shop::open().await;
    let browser = shop.browser();
    let key = browser.get("/register").await.field("key");
    let fields = [
        ("key", key.as_str()),
        ("email", "bea@shop.example"),
        ("password", "short"),
        ("name", "Bea"),
    ];
    let refused = browser.post("/register", &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    refused
        .says("id=\"password-wrong\"")
        .says("value=\"bea@shop.example\"");
}

#[tokio::test]
async fn a_log_in_leads_back_to_where_it_was_asked_for_and_never_to_another_site() {
    let shop = Shop::open().await;
    shop.buyer("ada").await;
    for (next, to) in [
        ("/orders", "/orders"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
    ] {
        let browser = shop.browser();
        browser.get("/login").await;
        let fields = [
            ("email", "ada@shop.example"),
            ("password", PASSWORD),
            ("next", next),
        ];
        let page = browser.post("/login", &fields).await;
        assert_eq!(page.at.path(), to, "{next}");
        page.says("You are logged in.");
        assert!(
            !browser.get(to).await.has("You are logged in."),
            "it is said once"
        );
    }
}

#[tokio::test]
async fn what_cannot_come_along_at_the_log_in_is_told() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let browser = shop.browser();
    browser.get("/").await;
    for sku in ["MUG-1", "GONE-1"] {
        browser
            .post("/cart", &[("sku", sku), ("quantity", "1")])
            .await;
    }
    browser.get("/cart").await.says("No longer sold.");
    shop.register(&browser, "ada")
        .await
        .says("came along: 1; that could not")
        .says(": 1.");
}

/// Who tries passwords through the pages is one client, and others are others.
#[tokio::test]
async fn the_limits_of_users_count_who_is_before_the_browser() {
    let shop = Shop::open().await;
    shop.buyer("ada").await;
    let try_from = async |browser: &Browser, password: &str| {
        let fields = [("email", "ada@shop.example"), ("password", password)];
        browser.post("/login", &fields).await.status
    };
    let thief = Browser::at(shop.url(), [127, 0, 0, 66].into());
    thief.get("/login").await;
    let mut tries = 0;
    while try_from(&thief, "wrong").await != StatusCode::TOO_MANY_REQUESTS {
        tries += 1;
        assert!(tries < 60, "no limit after {tries} tries");
    }
    let owner = Browser::at(shop.url(), [127, 0, 0, 67].into());
    owner.get("/login").await;
    assert_eq!(try_from(&owner, PASSWORD).await, StatusCode::OK);
}

/// Two clicks on "log in", or one whose answer was lost.
#[tokio::test]
async fn a_log_in_that_is_sent_twice_does_not_double_the_cart() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 50).await;
    shop.buyer("ada").await;
    let browser = shop.browser();
    browser.get("/login").await;
    browser
        .post("/cart", &[("sku", "MUG-1"), ("quantity", "2")])
        .await;
    let fields = [("email", "ada@shop.example"), ("password", PASSWORD)];
    let log_in = || browser.post("/login", &fields);
    tokio::join!(log_in(), log_in());
    browser
        .get("/cart")
        .await
        .says("name=\"quantity\" value=\"2\"");
}

#[tokio::test]
async fn pages_of_members_are_not_kept_for_who_comes_after_them() {
    let shop = Shop::open().await;
    let browser = shop.buyer("ada").await;
    let orders = browser.get("/orders").await;
    assert_eq!(orders.headers["cache-control"], "private, no-store");
    let token = browser.cookie("__Host-csrf").unwrap();
    let request = browser.request(reqwest::Method::POST, "/logout");
    let body = crate::browser::form(&[("csrf", &token)]);
    let kind = "application/x-www-form-urlencoded";
    let out = browser
        .once(request.header("content-type", kind).body(body))
        .await;
    assert_eq!(out.headers["clear-site-data"], "\"cache\"");
}
