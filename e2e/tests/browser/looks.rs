//! How the pages look elsewhere: on a phone, in German, by keyboard.

use anyhow::{Result, ensure};
use fantoccini::key::Key;

use crate::window::Window;

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn a_narrow_phone_scrolls_in_one_direction_and_a_zoomed_page_too() -> Result<()> {
    let window = Window::open("phone").await?;
    // 320 pixels are also what a page of 640 has at 200 % (WCAG 2.2, 1.4.10).
    window.client.set_window_size(500, 800).await?;
    for path in [
        "/",
        "/?q=lamp&in_stock=true",
        "/cart",
        "/login",
        "/register",
        "/nothing",
    ] {
        window.goto(path).await?;
        window
            .client
            .execute("document.documentElement.style.maxWidth = '320px'", vec![])
            .await?;
        let wider = "return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 321 && !e.closest('.hidden')).map(e => e.outerHTML.slice(0, 80))";
        let wide = window.client.execute(wider, vec![]).await?;
        ensure!(wide.as_array().is_some_and(Vec::is_empty), "{path}: {wide}");
        window
            .keep(if path == "/" { "home" } else { "page" })
            .await?;
    }
    window.close().await
}

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn the_language_is_switched_and_kept() -> Result<()> {
    let window = Window::open("german").await?;
    window.goto("/?q=lamp").await?;
    window.click("button[value=de]").await?;
    window.read("Warenkorb").await?;
    window.goto("/cart").await?;
    window.read("Ihr Warenkorb ist leer.").await?;
    window.goto("/").await?;
    window.keep("home").await?;
    window.close().await
}

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn the_keyboard_alone_finds_and_takes_a_product() -> Result<()> {
    let window = Window::open("keyboard").await?;
    window.goto("/").await?;
    let press = async |key: Key| -> Result<()> {
        let focused = window.client.active_element().await?;
        Ok(focused.send_keys(&String::from(char::from(key))).await?)
    };
    press(Key::Tab).await?;
    let skip = window.client.active_element().await?.attr("class").await?;
    ensure!(
        skip.as_deref() == Some("skip"),
        "the first stop leads past the menu: {skip:?}"
    );
    tab_to(&window, "#q").await?;
    window
        .client
        .active_element()
        .await?
        .send_keys("lamp")
        .await?;
    press(Key::Enter).await?;
    window.see("#results mark").await?;
    window.see("#q").await?.click().await?;
    tab_to(&window, ".cards a").await?;
    press(Key::Enter).await?;
    window.see(".product").await?;
    tab_to(&window, ".product button").await?;
    window.keep("focus").await?;
    press(Key::Enter).await?;
    window.read("It is in your cart.").await?;
    window.close().await
}

/// Goes on with the tabulator until something like this has the focus.
async fn tab_to(window: &Window, css: &str) -> Result<()> {
    for _ in 0..60 {
        let is_there = format!("return document.activeElement.matches({css:?})");
        if window.client.execute(&is_there, vec![]).await? == true {
            return Ok(());
        }
        let focused = window.client.active_element().await?;
        focused
            .send_keys(&String::from(char::from(Key::Tab)))
            .await?;
    }
    anyhow::bail!("the tabulator does not come to {css}")
}
