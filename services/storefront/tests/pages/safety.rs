//! What others plant stays text, and what others send is not done.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::browser::form;
use crate::shop::{Shop, pay};

const PLANTED: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";

#[tokio::test]
async fn a_script_in_any_field_stays_text_on_every_page() {
    let shop = Shop::open().await;
    let planted = json!({
        "title": format!("Mug {PLANTED}"),
        "description": format!("Holds {PLANTED}"),
        "brand": PLANTED,
        "category": PLANTED,
        "price": { "amount": 1999, "currency": "EUR" },
        "attributes": { "<script>alert(1)</script>": PLANTED },
        "pictures": [{ "url": "/pictures/x\"><script>alert(1)</script>", "width": 1, "height": 1, "alt": PLANTED }],
    });
    shop.sells("MUG-1", planted, 5).await;
    let browser = shop.buyer("ada").await;
    browser
        .post("/cart", &[("sku", "MUG-1"), ("quantity", "1")])
        .await;
    let query = form(&[("q", "mug"), ("category", PLANTED), ("from", PLANTED)]);
    let words = form(&[("q", PLANTED)]);
    let next = form(&[("next", &format!("/{PLANTED}"))]);
    let mut pages = Vec::new();
    for path in [
        "/",
        &format!("/?{query}"),
        &format!("/?{words}"),
        "/products/MUG-1",
        "/cart",
        "/checkout",
        &format!("/nothing?{words}"),
    ] {
        pages.push(browser.get(path).await);
    }
    let order = pay(
        &browser,
        pages
            .iter()
            .find(|page| page.at.path() == "/checkout")
            .unwrap(),
        "tok_approved",
    )
    .await;
    pages.push(browser.get("/orders").await);
    pages.push(order);
    let guest = shop.browser();
    pages.push(guest.get(&format!("/login?{next}")).await);
    let fields = [
        ("email", PLANTED),
        ("password", PLANTED),
        ("name", PLANTED),
        ("next", PLANTED),
    ];
    pages.push(guest.post("/login", &fields).await);
    let key = guest.get("/register").await.field("key");
    pages.push(
        guest
            .post("/register", &[&fields[..], &[("key", &key)]].concat())
            .await,
    );
    for page in &pages {
        assert!(
            !page.has("<script>alert") && !page.has("<img src=x"),
            "{}: {}",
            page.at,
            page.text
        );
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    let shown = pages.iter().filter(|page| page.has("alert(1)")).count();
    assert!(
        shown >= 8,
        "the text is shown where it was written: on {shown} pages"
    );
}

#[tokio::test]
async fn a_form_from_elsewhere_changes_nothing() {
    let (_shop, browser) = Shop::with_a_buyer(5).await;
    let token = browser.cookie("__Host-csrf").unwrap();
    let send = async |token: &str, site: Option<&str>| {
        let mut request = browser.request(Method::POST, "/cart");
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        let body = form(&[("sku", "MUG-1"), ("quantity", "1"), ("csrf", token)]);
        let kind = "application/x-www-form-urlencoded";
        browser
            .send(request.header("content-type", kind).body(body))
            .await
    };
    for (token, site) in [("", None), ("wrong", None), (&*token, Some("cross-site"))] {
        let page = send(token, site).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{token:?} {site:?}");
        page.says("was not sent from a page of this shop");
    }
    browser.get("/cart").await.says("Your cart is empty.");
    send(&token, None).await.says("It is in your cart.");
}

#[tokio::test]
async fn sessions_are_kept_from_scripts_and_pages_from_caches() {
    let shop = Shop::open().await;
    let browser = shop.browser();
    let page = browser.get("/").await;
    assert_eq!(page.headers["cache-control"], "private, no-cache");
    for set in page.headers.get_all("set-cookie") {
        let set = set.to_str().unwrap();
        for part in ["HttpOnly", "Secure", "SameSite=Lax"] {
            assert!(set.contains(part), "{set}");
        }
    }
    let key = browser.get("/register").await.field("key");
    let fields = [
        ("key", key.as_str()),
        ("email", "ada@shop.example"),
        ("password", crate::shop::PASSWORD),
        ("name", "Ada"),
        ("csrf", &browser.cookie("__Host-csrf").unwrap()),
    ];
    let request = browser
        .request(Method::POST, "/register")
        .body(form(&fields));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = browser.once(request).await;
    let sets: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert!(sets.len() >= 2, "{sets:?}");
    for set in sets {
        let set = set.to_str().unwrap();
        assert!(set.contains("HttpOnly") && set.contains("Secure"), "{set}");
    }
}

#[tokio::test]
async fn what_a_form_never_sends_is_refused_in_words() {
    let shop = Shop::open().await;
    let browser = shop.browser();
    browser.get("/").await;
    for (path, fields) in [
        ("/cart", &[("sku", "MUG-1"), ("quantity", "many")][..]),
        ("/cart", &[("sku", "../admin"), ("quantity", "1")]),
        ("/cart", &[("quantity", "1")]),
        ("/checkout", &[("key", "x")]),
        ("/register", &[("email", "x")]),
    ] {
        let page = browser.post(path, fields).await;
        assert!(page.status.is_client_error(), "{path}: {}", page.status);
        page.says("To the shop");
    }
}
