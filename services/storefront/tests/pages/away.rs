//! A neighbour that is away blanks its part alone.

use chassis::testing::eventually;
use reqwest::StatusCode;

use crate::shop::{Shop, pay};

#[tokio::test]
async fn without_search_the_first_page_says_so_and_carts_and_orders_go_on() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let (buyer, guest) = (shop.buyer("ada").await, shop.browser());
    buyer
        .post("/cart", &[("sku", "MUG-1"), ("quantity", "1")])
        .await;
    guest.get("/").await;
    guest
        .post("/cart", &[("sku", "MUG-1"), ("quantity", "1")])
        .await;
    shop.search_proxy.cut();
    let home = buyer.get("/?q=mug").await;
    assert_eq!(home.status, StatusCode::OK);
    home.says("The catalogue cannot be reached just now.")
        .says("value=\"mug\"");
    guest
        .get("/cart")
        .await
        .says("The price cannot be told just now.")
        .says("No total");
    let gone = guest.get("/products/MUG-1").await;
    assert_eq!(gone.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(gone.headers.contains_key("retry-after"));
    let checkout = buyer.get("/checkout").await;
    let order = pay(&buyer, &checkout, "tok_approved").await;
    assert!(order.at.path().starts_with("/orders/"));
    shop.search_proxy.heal();
    eventually("products are back", || async {
        guest.get("/").await.has("/products/MUG-1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_orders_products_are_shown_and_what_a_guest_chose_is_kept() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let buyer = shop.buyer("ada").await;
    shop.orders_proxy.cut();
    let product = buyer.get("/products/MUG-1").await;
    assert_eq!(product.status, StatusCode::OK);
    product.says("How many there are cannot be told just now.");
    let cart = buyer.get("/cart").await;
    assert_eq!(cart.status, StatusCode::SERVICE_UNAVAILABLE);
    cart.says("Nothing is lost");

    let guest = shop.browser();
    guest.get("/").await;
    guest
        .post("/cart", &[("sku", "MUG-1"), ("quantity", "2")])
        .await
        .says("€39.98");
    shop.register(&guest, "bea")
        .await
        .says("what you chose as a guest is kept");
    shop.orders_proxy.heal();
    guest.post("/logout", &[]).await;
    guest.get("/login").await;
    let fields = [
        ("email", "bea@shop.example"),
        ("password", crate::shop::PASSWORD),
    ];
    guest.post("/login", &fields).await.says("came along: 1.");
    guest.get("/cart").await.says("€39.98");
}

#[tokio::test]
async fn without_users_guests_look_around_and_sessions_that_are_good_go_on() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let (buyer, old, guest) = (
        shop.buyer("ada").await,
        shop.buyer("bea").await,
        shop.browser(),
    );
    shop.users_proxy.cut();
    guest.get("/").await.says("/products/MUG-1");
    let fields = [
        ("email", "ada@shop.example"),
        ("password", "whatever it is"),
    ];
    let log_in = guest.post("/login", &fields).await;
    assert_eq!(log_in.status, StatusCode::SERVICE_UNAVAILABLE);
    log_in.says("Accounts cannot be reached just now.");
    buyer
        .get("/orders")
        .await
        .says("You have not ordered anything yet.");
    old.forget("__Host-access");
    assert_eq!(old.get("/").await.status, StatusCode::OK);
    let orders = old.get("/orders").await;
    assert_eq!(orders.status, StatusCode::SERVICE_UNAVAILABLE);
    shop.users_proxy.heal();
    eventually("the session goes on", || async {
        old.get("/orders")
            .await
            .has("You have not ordered")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_neighbours_take_and_fail_is_measured() {
    let shop = Shop::open().await;
    let browser = shop.browser();
    browser.get("/").await;
    browser.get("/products/NONE").await;
    shop.orders_proxy.cut();
    browser.get("/products/NONE").await;
    let metrics = shop.metrics().await;
    chassis::testing::is_as_documented(&metrics, &["All services", "Services that call others"]);
    let all = [
        r#"peer="search",method="GET",route="/products",outcome="200""#,
        r#"peer="search",method="GET",route="/products/{sku}",outcome="404""#,
        r#"peer="orders",method="GET",route="/stock/{sku}",outcome="unreachable""#,
    ];
    for labels in all {
        assert!(metrics.contains(labels), "{labels}: {metrics}");
    }
}
