//! Two tabs of one buyer.

use anyhow::{Result, ensure};

use crate::window::Window;

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn what_is_bought_in_one_tab_is_not_bought_again_in_the_other() -> Result<()> {
    let window = Window::open("tabs").await?;
    window.choose("lamp").await?;
    window.goto("/checkout").await?;
    window.register().await?;
    window.see("form[action='/checkout']").await?;
    let first = window.client.window().await?;
    let second = window.client.new_window(true).await?;
    window.client.switch_to_window(second.handle).await?;
    window.goto("/checkout").await?;
    window.click("form[action='/checkout'] button").await?;
    window.see("#story").await?;
    window.client.switch_to_window(first).await?;
    window.click("form[action='/checkout'] button").await?;
    window.see("main h1").await?;
    let path = window.path().await?;
    ensure!(path == "/orders" || path == "/checkout", "{path}");
    window.goto("/orders").await?;
    let orders = window
        .client
        .find_all(fantoccini::Locator::Css("tbody tr"))
        .await?;
    ensure!(orders.len() == 1, "{} orders", orders.len());
    window.close().await
}
