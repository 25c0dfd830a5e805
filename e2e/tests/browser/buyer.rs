//! The whole way of a buyer.

use anyhow::{Result, ensure};
use fantoccini::Locator;

use crate::window::Window;

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn a_buyer_finds_while_typing_buys_and_watches_the_order_until_it_is_paid() -> Result<()> {
    let window = Window::open("buyer").await?;
    window.goto("/").await?;
    window.keep("home").await?;
    window.fill("#q", "cofee").await?;
    // Nobody has sent the form.
    window.see("#results mark").await?;
    window.keep("search").await?;
    let address = window.client.current_url().await?;
    ensure!(
        address.query().unwrap_or_default().contains("q=cofee"),
        "{address}"
    );

    window.click(".cards li a").await?;
    window.see(".product").await?;
    window.client.back().await?;
    window.see("#results mark").await?;
    let words = window.see("#q").await?.prop("value").await?;
    ensure!(
        words.as_deref() == Some("cofee"),
        "the search is there again: {words:?}"
    );

    window.click(".cards li a").await?;
    window.keep("product").await?;
    window.fill("input[name=quantity]", "2").await?;
    window.click(".product button").await?;
    window.read("It is in your cart.").await?;
    window.goto("/cart").await?;
    window.keep("cart").await?;
    window.click("main a.button").await?;
    window.register().await?;
    window.read("came along: 1.").await?;
    window.keep("checkout").await?;
    window.click("input[value=tok_slow]").await?;
    let pay = window.see("form[action='/checkout'] button").await?;
    // Two clicks before the first one is answered.
    let twice = "arguments[0].click(); arguments[0].click();";
    window
        .client
        .execute(twice, vec![serde_json::to_value(&pay)?])
        .await?;
    window
        .see(".state.pending, .state.confirmed, .state.paid")
        .await?;
    window
        .client
        .execute("window.wasNotLoadedAnew = true", vec![])
        .await?;
    window.keep("order-begun").await?;
    window.see(".state.paid").await?;
    window.read("the money was taken").await?;
    let same = window
        .client
        .execute("return window.wasNotLoadedAnew", vec![])
        .await?;
    ensure!(same == true, "the page itself tells the story");
    window.keep("order-paid").await?;

    window.goto("/orders").await?;
    let orders = window.client.find_all(Locator::Css("tbody tr")).await?;
    ensure!(orders.len() == 1, "two clicks are {} orders", orders.len());
    window.keep("orders").await?;
    window.click("form[action='/logout'] button").await?;
    window.read("You are logged out.").await?;
    window.close().await
}

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn a_buyer_without_javascript_does_the_same() -> Result<()> {
    let window = Window::without_javascript("plain").await?;
    window.goto("/").await?;
    window.fill("#q", "cofee").await?;
    window.click(".bar button").await?;
    window.see("#results mark").await?;
    window.click(".filters summary").await?;
    window.click("input[name=in_stock]").await?;
    window.click(".filters button").await?;
    window
        .see(".filters[open] input[name=in_stock]:checked")
        .await?;
    window.keep("filters").await?;
    window.click(".cards li a").await?;
    window.click(".product button").await?;
    window.read("It is in your cart.").await?;
    window.goto("/checkout").await?;
    window.register().await?;
    window.click("input[value=tok_slow]").await?;
    window.click("form[action='/checkout'] button").await?;
    window.see("#story").await?;
    // The page loads itself anew until then.
    window.see(".state.paid").await?;
    window.close().await
}
