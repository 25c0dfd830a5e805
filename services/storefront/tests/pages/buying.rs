//! From the search to the order that is paid.

use chassis::testing::eventually;
use reqwest::{Method, StatusCode};

use crate::shop::{Shop, check_out, pay};

#[tokio::test]
async fn a_guest_fills_a_cart_registers_and_buys_what_was_in_it() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let browser = shop.browser();
    browser
        .get("/products/MUG-1")
        .await
        .says("5 in stock")
        .says("€19.99");
    let added = browser.post(
        "/cart",
        &[
            ("sku", "MUG-1"),
            ("quantity", "2"),
            ("back", "/products/MUG-1"),
        ],
    );
    added
        .await
        .says("It is in your cart.")
        .says("<span class=\"count\">2</span>");
    let cart = browser.get("/cart").await;
    cart.says("€39.98").says("Log in to check out");
    browser
        .get("/checkout")
        .await
        .says("name=\"next\" value=\"/checkout\"");

    shop.register(&browser, "ada").await.says("came along: 1.");
    assert_eq!(
        browser.cookie("__Host-cart"),
        None,
        "it is in the account's cart now"
    );
    let checkout = browser.get("/checkout").await;
    checkout.says("2 × Blue Mug").says("€39.98");
    let order = pay(&browser, &checkout, "tok_approved").await;
    assert_eq!(order.status, StatusCode::OK);
    let path = order.at.path().to_owned();
    assert!(path.starts_with("/orders/"), "{path}");
    eventually("it is paid", || async {
        browser.get(&path).await.has("state paid").then_some(())
    })
    .await;
    let order = browser.get(&path).await;
    order.says("the money was taken").says("€19.99 Each");
    browser.get("/orders").await.says(&path).says("Paid");
    browser.get("/products/MUG-1").await.says("3 in stock");
    browser.get("/cart").await.says("Your cart is empty.");
}

#[tokio::test]
async fn two_clicks_on_pay_are_one_order() {
    let (_shop, browser) = Shop::with_a_buyer(5).await;
    let checkout = check_out(&browser, "MUG-1", 1).await;
    let clicks = tokio::join!(
        pay(&browser, &checkout, "tok_approved"),
        pay(&browser, &checkout, "tok_approved")
    );
    assert_eq!(clicks.0.at, clicks.1.at);
    let orders = browser.get("/orders").await;
    assert_eq!(
        orders.text.matches("<th scope=\"row\">").count(),
        1,
        "{}",
        orders.text
    );
}

#[tokio::test]
async fn nobody_pays_another_price_than_the_one_that_was_seen() {
    let (shop, browser) = Shop::with_a_buyer(5).await;
    let checkout = check_out(&browser, "MUG-1", 1).await;
    shop.changes_price("MUG-1", 2999).await;
    eventually("orders knows the new price", || async {
        browser.get("/cart").await.has("€29.99").then_some(())
    })
    .await;
    let refused = pay(&browser, &checkout, "tok_approved").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    refused.says("was €19.99 and is €29.99 now");
    browser
        .get("/orders")
        .await
        .says("You have not ordered anything yet.");
    let order = pay(&browser, &refused, "tok_approved").await;
    assert!(
        order.at.path().starts_with("/orders/"),
        "whoever agrees has it: {}",
        order.at
    );
    order.says("€29.99");
}

#[tokio::test]
async fn more_than_there_is_cannot_be_ordered_and_the_line_says_so() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 2).await;
    let browser = shop.buyer("ada").await;
    browser
        .post("/cart", &[("sku", "MUG-1"), ("quantity", "3")])
        .await;
    browser
        .get("/cart")
        .await
        .says("Only 2 can be ordered now.");
    let checkout = browser.get("/checkout").await;
    let refused = pay(&browser, &checkout, "tok_approved").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    refused
        .says("Not all of it can be ordered now.")
        .says("Only 2 can be ordered now.");
    let changed = browser
        .post("/cart/change", &[("sku", "MUG-1"), ("quantity", "2")])
        .await;
    changed.says("Your cart was changed.");
    assert!(!changed.has("Only 2"), "{}", changed.text);
}

#[tokio::test]
async fn a_declined_card_is_told_and_the_cart_is_full_again() {
    let (_shop, browser) = Shop::with_a_buyer(5).await;
    let checkout = check_out(&browser, "MUG-1", 2).await;
    let order = pay(&browser, &checkout, "tok_declined").await;
    eventually("it is cancelled", || async {
        browser
            .get(order.at.path())
            .await
            .has("state cancelled")
            .then_some(())
    })
    .await;
    let order = browser.get(order.at.path()).await;
    order
        .says("The card was declined.")
        .says("back in your cart");
    browser.get("/cart").await.says("€39.98");
}

#[tokio::test]
async fn two_tabs_that_add_at_once_both_count() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 50).await;
    let browser = shop.buyer("ada").await;
    let add = || browser.post("/cart", &[("sku", "MUG-1"), ("quantity", "1")]);
    tokio::join!(add(), add());
    browser
        .get("/cart")
        .await
        .says("name=\"quantity\" value=\"2\"");
}

#[tokio::test]
async fn a_story_is_told_while_it_happens() {
    let (shop, browser) = Shop::with_a_buyer(5).await;
    let checkout = check_out(&browser, "MUG-1", 1).await;
    let order = pay(&browser, &checkout, "tok_slow").await;
    let live = format!("{}/live", order.at.path());
    let mut stream = browser.request(Method::GET, &live).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    while !heard.contains("state paid") {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(60), stream.chunk());
        let chunk = chunk
            .await
            .expect("news in time")
            .unwrap()
            .expect("it goes on until then");
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    // What a browser hears has data.
    while !heard.contains("event: end\ndata: .") {
        let chunk = stream.chunk().await.unwrap().expect("it says that it ends");
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(
        heard.contains("state pending"),
        "it began before the end: {heard}"
    );
    let other = shop.buyer("eve").await.get(&live).await;
    assert_eq!(
        other.status,
        StatusCode::NOT_FOUND,
        "nobody follows another's order"
    );
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_is_one_order() {
    let (shop, browser) = Shop::with_a_buyer(5).await;
    let checkout = check_out(&browser, "MUG-1", 1).await;
    shop.orders_proxy.cut();
    let unknown = pay(&browser, &checkout, "tok_approved").await;
    assert_eq!(unknown.status, StatusCode::SERVICE_UNAVAILABLE);
    unknown.says("it is not known whether your order was placed");
    assert_eq!(unknown.field("key"), checkout.field("key"));
    shop.orders_proxy.heal();
    let card = unknown.field("card");
    let order = pay(&browser, &unknown, &card).await;
    assert!(order.at.path().starts_with("/orders/"), "{}", order.at);
    let again = pay(&browser, &unknown, &card).await;
    assert_eq!(again.at, order.at);
}

#[tokio::test]
async fn the_mail_of_an_order_is_shown_as_it_was_sent_to_its_buyer_alone() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let browser = shop.buyer("ada").await;
    browser
        .post("/cart", &[("sku", "MUG-1"), ("quantity", "1")])
        .await;
    let checkout = browser.get("/checkout").await;
    let order = pay(&browser, &checkout, "tok_approved").await;
    let order = eventually("the mail is there", || async {
        let page = browser.get(order.at.path()).await;
        page.has("href=\"/mails/").then_some(page)
    })
    .await;
    let (_, rest) = order.text.split_once("href=\"/mails/").unwrap();
    let mail = format!("/mails/{}", rest.split('"').next().unwrap());
    browser
        .get(&mail)
        .await
        .says("ada@shop.example")
        .says(&format!("src=\"{mail}/content\""));
    let content = browser.get(&format!("{mail}/content")).await;
    content.says("Blue Mug");
    let policy = content.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("sandbox") && policy.contains("default-src 'none'"),
        "{policy}"
    );
    let other = shop.buyer("eve").await;
    for path in [mail.clone(), format!("{mail}/content")] {
        assert_eq!(
            other.get(&path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    shop.email_proxy.cut();
    let without = browser.get(order.at.path()).await;
    assert_eq!(without.status, StatusCode::OK);
    without
        .says("Mails cannot be shown just now.")
        .says("Blue Mug");
}
