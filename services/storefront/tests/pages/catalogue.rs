//! The search and what it shows.

use reqwest::StatusCode;
use serde_json::json;

use crate::shop::{Shop, mug};

#[tokio::test]
async fn products_are_found_with_a_typo_narrowed_and_sorted() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let mut lamp = mug(4999);
    (lamp["title"], lamp["category"], lamp["brand"]) = (
        json!("Oak Table Lantern"),
        json!("Lighting"),
        json!("Halden"),
    );
    shop.sells("LAMP-1", lamp, 0).await;
    shop.shows("/?q=oak", "Sold out").await;
    let browser = shop.browser();
    let typo = browser.get("/?q=lanern").await;
    typo.says("/products/LAMP-1").says("1 product");
    let all = browser.get("/?q=&from=&to=&sort=-price").await;
    let at = |sku: &str| all.text.find(&format!("/products/{sku}")).unwrap();
    assert!(at("LAMP-1") < at("MUG-1"), "highest price first");
    all.says("2 products")
        .says("value=\"Lighting\"")
        .says("Sold out");
    let cheap = browser.get("/?to=20").await;
    assert!(cheap.has("MUG-1") && !cheap.has("LAMP-1"));
    let kitchen = browser.get("/?category=Kitchen").await;
    kitchen.says("value=\"Kitchen\" checked").says("1 product");
    browser
        .get("/?from=cheap")
        .await
        .says("A price is a number like 12.50");
    browser.get("/?q=quux").await.says("Nothing fits that.");
    let stocked = browser.get("/?in_stock=true").await;
    assert!(stocked.has("MUG-1") && !stocked.has("LAMP-1"));
}

#[tokio::test]
async fn more_than_one_page_has_a_next_one() {
    let shop = Shop::open().await;
    for n in 0..26 {
        let path = format!("M-{n:02}");
        shop.sells_mugs(&path, 1000 + n, 1).await;
    }
    let first = shop.shows("/?sort=price", "26 products").await;
    let browser = shop.browser();
    first.says("/products/M-23");
    assert!(!first.has("/products/M-24"));
    let (_, next) = first.text.split_once("class=\"button\" href=\"").unwrap();
    let next = next
        .split('"')
        .next()
        .unwrap()
        .replace("&#38;", "&")
        .replace("&amp;", "&");
    let second = browser.get(&next).await;
    second.says("/products/M-25");
    assert!(!second.has("/products/M-23") && !second.has("class=\"button\""));
}

#[tokio::test]
async fn pages_speak_the_language_of_the_browser_or_the_chosen_one() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let browser = shop.browser();
    let german = browser.request(reqwest::Method::GET, "/products/MUG-1");
    let german = browser
        .send(german.header("accept-language", "de-AT,de;q=0.9,en;q=0.5"))
        .await;
    german
        .says("<html lang=\"de\">")
        .says("In den Warenkorb")
        .says("19,99\u{a0}€");
    browser.get("/products/MUG-1").await.says("Add to cart");
    let fields = [("language", "de"), ("back", "/products/MUG-1")];
    let chosen = browser.post("/language", &fields).await;
    assert_eq!(chosen.at.path(), "/products/MUG-1");
    chosen.says("In den Warenkorb");
    browser.get("/").await.says("<html lang=\"de\">");
}

#[tokio::test]
async fn what_there_is_not_is_a_page_that_leads_on() {
    let shop = Shop::open().await;
    let browser = shop.browser();
    for path in [
        "/nothing",
        "/products/NONE",
        "/products/..%2Fadmin",
        "/orders/not-an-id",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            page.headers["content-type"], "text/html; charset=utf-8",
            "{path}"
        );
        page.says("To the shop");
    }
    let program = shop.plain("/nothing").await;
    assert_eq!(program.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        program.headers()["content-type"],
        "application/problem+json"
    );
}
