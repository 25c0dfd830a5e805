//! No page has a violation of what axe checks (<https://github.com/dequelabs/axe-core>), in light colours and in dark ones.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fantoccini::Locator;
use serde_json::{Value, json};

use crate::devtools::DevTools;
use crate::window::{Window, setting};

/// Frames hold mails, which are as email wrote them.
const FIND: &str = "const done = arguments[arguments.length - 1]; \
    axe.run(document, { iframes: false, resultTypes: ['violations'] }).then( \
        found => done(found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).slice(0, 3)}`)), \
        error => done([String(error)]))";

/// What axe finds on the page that is shown.
async fn is_accessible(window: &Window) -> Result<()> {
    let axe = std::fs::read_to_string(setting("E2E_AXE")?).context("axe-core")?;
    for scheme in ["light", "dark"] {
        let wish = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        let emulate = DevTools("Emulation.setEmulatedMedia", wish);
        window.client.issue_cmd(emulate).await?;
        window.client.execute(&axe, vec![]).await?;
        let found = window.client.execute_async(FIND, vec![]).await?;
        let none = found.as_array().is_some_and(Vec::is_empty);
        let path = window.path().await?;
        ensure!(none, "{path} in {scheme}: {found:#}");
    }
    Ok(())
}

async fn are_accessible(window: &Window, paths: &[&str]) -> Result<()> {
    for path in paths {
        window.goto(path).await?;
        is_accessible(window).await?;
    }
    Ok(())
}

const MAIL: &str = "main a[href^='/mails/']";

const REFUND: &str = "form[action$='/refunds'] button";

/// A mail is written when the order is confirmed, and the page has it when it is loaded after that.
async fn mail_is_there(window: &Window) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(30);
    while window.client.find(Locator::Css(MAIL)).await.is_err() {
        ensure!(
            Instant::now() < until,
            "no mail on: {}",
            window.text().await?
        );
        window.client.refresh().await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn pages_of_buyers_have_no_violation() -> Result<()> {
    let window = Window::open("accessible").await?;
    let open = [
        "/",
        "/?q=lamp&in_stock=true",
        "/?q=nothinglikethat",
        "/cart",
        "/login",
        "/register",
        "/nothing",
    ];
    are_accessible(&window, &open).await?;
    window.goto("/?in_stock=true&q=lamp").await?;
    window.click(".cards li a").await?;
    window.see(".product").await?;
    is_accessible(&window).await?;
    window.choose("lamp").await?;
    are_accessible(&window, &["/cart"]).await?;
    window.goto("/checkout").await?;
    window.register().await?;
    window.see("form[action='/checkout']").await?;
    is_accessible(&window).await?;
    window.keep("checkout-dark").await?;
    window.click("form[action='/checkout'] button").await?;
    window.see(".state.paid").await?;
    is_accessible(&window).await?;
    mail_is_there(&window).await?;
    window.click(MAIL).await?;
    window.see("iframe.mail").await?;
    window.keep("mail").await?;
    is_accessible(&window).await?;
    are_accessible(&window, &["/orders"]).await?;
    window.close().await
}

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn pages_of_staff_have_no_violation() -> Result<()> {
    let window = Window::open("staff-accessible").await?;
    window.log_in_as_staff().await?;
    let pages = [
        "/staff/orders",
        "/staff/mails",
        "/staff/products/new",
        "/staff/import",
        "/staff/operations",
        "/staff/letters",
    ];
    are_accessible(&window, &pages).await?;
    window.goto("/?q=lamp").await?;
    window.click(".cards li a").await?;
    window.click("main a[href^='/staff/products/']").await?;
    window.see("#sku").await?;
    is_accessible(&window).await?;

    // An order of their own, to have money to give back.
    window.choose("lamp").await?;
    window.goto("/checkout").await?;
    window.click("form[action='/checkout'] button").await?;
    window.see(".state.paid").await?;
    window.client.refresh().await?;
    window.see(REFUND).await?;
    is_accessible(&window).await?;
    window.fill("input[name=amount]", "nothing").await?;
    window.click(REFUND).await?;
    window.see("#trouble").await?;
    is_accessible(&window).await?;
    window.fill("input[name=amount]", "1").await?;
    window.click(REFUND).await?;
    // The page loads itself anew when the order hears of it.
    window.read("Refunded").await?;
    window.keep("refund").await?;
    window.close().await
}

/// The check itself: a picture without words is found.
#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn a_violation_is_found() -> Result<()> {
    let window = Window::open("inaccessible").await?;
    window.goto("/").await?;
    let spoil = "document.querySelector('main').append(document.createElement('img'))";
    window.client.execute(spoil, Vec::<Value>::new()).await?;
    let found = is_accessible(&window).await;
    let found = found.expect_err("a violation").to_string();
    ensure!(found.contains("image-alt"), "{found}");
    window.close().await
}
