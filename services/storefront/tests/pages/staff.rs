//! What staff see and do, and nobody else.

use chassis::testing::eventually;
use reqwest::StatusCode;

use crate::browser::{Browser, Page};
use crate::shop::{ADMIN, PASSWORD, Shop, pay};

pub(crate) async fn staff(shop: &Shop) -> Browser {
    let browser = shop.browser();
    browser.get("/login").await;
    let fields = [("email", ADMIN), ("password", PASSWORD)];
    browser
        .post("/login", &fields)
        .await
        .says("href=\"/staff\"");
    browser
}

#[tokio::test]
async fn there_is_nothing_for_buyers_and_guests() {
    let shop = Shop::open().await;
    let (guest, buyer) = (shop.browser(), shop.buyer("ada").await);
    for path in [
        "/staff",
        "/staff/orders",
        "/staff/mails",
        "/staff/import",
        "/staff/products/new",
        "/staff/operations",
        "/staff/operations/live",
        "/staff/letters",
        "/staff/letters/email/01890000-0000-7000-8000-000000000000",
    ] {
        for browser in [&guest, &buyer] {
            assert_eq!(
                browser.get(path).await.status,
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
    for (path, fields) in [
        ("/staff/products", [("sku", "MUG-1")]),
        ("/staff/products/MUG-1/stock", [("on_hand", "1")]),
        ("/staff/products/MUG-1/remove", [("x", "")]),
        ("/staff/import", [("lines", "{}")]),
        (
            "/staff/orders/01890000-0000-7000-8000-000000000000/refunds",
            [("amount", "1")],
        ),
        (
            "/staff/mails/01890000-0000-7000-8000-000000000000/retry",
            [("x", "")],
        ),
        (
            "/staff/letters/email/01890000-0000-7000-8000-000000000000/retry",
            [("x", "")],
        ),
        (
            "/staff/letters/email/01890000-0000-7000-8000-000000000000/discard",
            [("x", "")],
        ),
    ] {
        for browser in [&guest, &buyer] {
            let refused = browser.post(path, &fields).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

/// What a form says of the version at which it was made: that of the product first, that of the stock last.
fn versions(page: &Page) -> Vec<String> {
    let fields = page.text.split("name=\"version\" value=\"").skip(1);
    let values = fields.map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
    values.collect()
}

#[tokio::test]
async fn a_product_is_made_changed_counted_and_removed() {
    let shop = Shop::open().await;
    let browser = staff(&shop).await;
    let currency = browser.get("/staff/products/new").await.field("currency");
    let fields = |price: &'static str, version: &'static str| {
        [
            ("sku", "MUG-9"),
            ("version", version),
            ("title", "Tall Mug"),
            ("description", "Holds more."),
            ("brand", "Nordlys"),
            ("category", "Kitchen"),
            ("price", price),
            ("currency", "EUR"),
            ("attributes", "colour: white\nmade in: Oslo"),
        ]
    };
    assert_eq!(currency, "EUR");
    let wrong = browser.post("/staff/products", &fields("cheap", "")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    wrong
        .says("A price is a number like 12.50.")
        .says("Tall Mug");
    let refused = browser.post("/staff/products", &fields("0", "")).await;
    refused.says("price");
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    browser
        .post("/staff/products", &fields("24.50", ""))
        .await
        .says("Saved.");
    let product = browser.get("/products/MUG-9").await;
    product
        .says("€24.50")
        .says("Oslo")
        .says("/staff/products/MUG-9");
    let again = browser.post("/staff/products", &fields("1", "")).await;
    again.says("There is a product with this article number already.");
    let edit = browser.get("/staff/products/MUG-9").await;
    assert_eq!(versions(&edit), ["1", ""]);
    browser
        .post("/staff/products", &fields("25", "1"))
        .await
        .says("value=\"25.00\"");
    let late = browser.post("/staff/products", &fields("1", "1")).await;
    late.says("Somebody changed this product meanwhile.");
    late.says("<h2>Stock</h2>").says("value=\"1\"");

    let count = async |on_hand: &str, version: &str| {
        let fields = [("on_hand", on_hand), ("version", version)];
        browser.post("/staff/products/MUG-9/stock", &fields).await
    };
    let counted = count("7", "").await;
    counted.says("Saved.").says("value=\"7\"");
    browser.get("/products/MUG-9").await.says("7 in stock");
    let version = versions(&counted).pop().expect("a version");
    count("2000000", &version)
        .await
        .says("This count was refused");
    // Two people have counted, or one while it was sold.
    count("6", &version).await.says("Saved.");
    count("5", &version)
        .await
        .says("Units were sold or counted meanwhile.");
    browser.get("/products/MUG-9").await.says("6 in stock");
    browser
        .post("/staff/products/MUG-9/remove", &[])
        .await
        .says("no longer in the catalogue");
    assert_eq!(
        browser.get("/products/MUG-9").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_import_reports_each_line_that_was_not_taken_and_keeps_it() {
    let shop = Shop::open().await;
    let browser = staff(&shop).await;
    let good = r#"{"sku":"CUP-1","title":"Cup","description":"","brand":"B","category":"C","price":{"amount":500,"currency":"EUR"}}"#;
    let lines = format!("{good}\r\nnot json\r\n{}", good.replace("CUP-1", "CUP-2"));
    let report = browser.post("/staff/import", &[("lines", &lines)]).await;
    report.says("<dt>Created</dt><dd>2</dd>").says("Line 2:");
    report.says(">not json</textarea>");
    browser.get("/products/CUP-2").await.says("€5.00");
}

fn cup(sku: &str) -> String {
    let rest = r#""title":"Cup","description":"","brand":"B","category":"C","price":{"amount":500,"currency":"EUR"}}"#;
    format!(r#"{{"sku":"{sku}",{rest}"#)
}

/// Its form has more than a megabyte, and its report would have, too.
#[tokio::test]
async fn a_long_import_is_taken_and_its_report_is_cut() {
    let shop = Shop::open().await;
    let browser = staff(&shop).await;
    let mut lines = vec![r#"{"title":"it has no sku"}"#.to_owned(); 30_000];
    lines.push(cup("CUP-1"));
    let lines = lines.join("\r\n");
    let report = browser.post("/staff/import", &[("lines", &lines)]).await;
    assert_eq!(report.status, StatusCode::OK);
    report
        .says("<dt>Created</dt><dd>1</dd>")
        .says("<dd>30000</dd>")
        .says("Line 100:")
        .says("and 29900 more");
    assert!(!report.has("Line 101:"));
    browser.get("/products/CUP-1").await.says("€5.00");

    let lines = "x".repeat(1024 * 1024 + 1);
    let refused = browser.post("/staff/import", &[("lines", &lines)]).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    refused
        .says("This is more than 1 MiB.")
        .says("xxx</textarea>");
}

#[tokio::test]
async fn what_was_imported_before_search_went_away_is_told_and_the_rest_is_kept() {
    let shop = Shop::open().await;
    let browser = staff(&shop).await;
    let lines = format!("{}\r\n{}", cup("CUP-1"), "x\r\n".repeat(200_000));
    let fields = [("lines", lines.as_str())];
    let cut = async {
        let taken = r#"peer="search",method="POST",route="/products/import",outcome="200""#;
        eventually("the first part is taken", || async {
            shop.metrics().await.contains(taken).then_some(())
        })
        .await;
        shop.search_proxy.cut();
    };
    let (report, ()) = tokio::join!(browser.post("/staff/import", &fields), cut);
    assert_eq!(report.status, StatusCode::SERVICE_UNAVAILABLE);
    report
        .says("The import broke off on the way.")
        .says("<dt>Created</dt><dd>1</dd>")
        .says("\nx\nx</textarea>");
    shop.search_proxy.heal();
}

#[tokio::test]
async fn a_shop_that_does_not_let_its_pages_look_is_told_so() {
    let shop = Shop::open().await;
    let browser = staff(&shop).await;
    for path in ["/staff/operations", "/staff/letters"] {
        let page = browser.get(path).await;
        page.says("set operates: true for this service");
    }
    let letter = "/staff/letters/email/01890000-0000-7000-8000-000000000000";
    browser
        .get(letter)
        .await
        .says("The service does not answer");
    let discarded = browser.post(&format!("{letter}/discard"), &[]).await;
    discarded.says("it is not known whether anything was done");
}

#[tokio::test]
async fn orders_of_all_are_found_by_state_and_by_number() {
    let shop = Shop::open().await;
    shop.sells_mugs("MUG-1", 1999, 5).await;
    let buyer = shop.buyer("ada").await;
    buyer
        .post("/cart", &[("sku", "MUG-1"), ("quantity", "1")])
        .await;
    let checkout = buyer.get("/checkout").await;
    let order = pay(&buyer, &checkout, "tok_approved").await;
    let browser = staff(&shop).await;
    let path = order.at.path().to_owned();
    eventually("it is listed as paid", || async {
        browser
            .get("/staff/orders?state=paid&number=")
            .await
            .has(&path)
            .then_some(())
    })
    .await;
    let number = path[path.len() - 8..].to_ascii_uppercase();
    browser
        .get(&format!("/staff/orders?number={number}"))
        .await
        .says(&path);
    assert!(
        !browser
            .get("/staff/orders?state=cancelled")
            .await
            .has(&path)
    );
    assert!(
        !browser
            .get("/staff/orders?number=nonsense")
            .await
            .has(&path)
    );
    browser.get(&path).await.says("the money was taken");
}

#[tokio::test]
async fn a_mail_that_was_kept_is_sent_again() {
    let shop = Shop::open().await;
    shop.buyer("ada").await;
    let browser = staff(&shop).await;
    let mails = eventually("her welcome is kept", || async {
        let page = browser.get("/staff/mails?status=kept").await;
        page.has("ada@shop.example").then_some(page)
    })
    .await;
    mails.says("<option value=\"kept\" selected>Kept</option>");
    let german = browser.request(reqwest::Method::GET, "/staff/mails?status=kept");
    let german = browser.send(german.header("accept-language", "de")).await;
    german.says("<td>Behalten</td>");
    let (_, rest) = mails.text.split_once("action=\"/staff/mails/").unwrap();
    let retry = format!("/staff/mails/{}", rest.split('"').next().unwrap());
    browser
        .post(&retry, &[])
        .await
        .says("waits to go out again");
}
