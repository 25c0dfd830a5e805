//! The whole way of staff.

use anyhow::{Result, ensure};
use uuid::Uuid;

use crate::window::Window;

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn staff_make_a_product_count_it_import_others_and_follow_orders_and_mails() -> Result<()> {
    let window = Window::open("staff").await?;
    window.log_in_as_staff().await?;
    let sku = format!("T-{}", &Uuid::new_v4().simple().to_string()[..8]);
    window.goto("/staff/products/new").await?;
    for (field, text) in [
        ("#sku", sku.as_str()),
        ("#title", "Traveller's Kettle"),
        ("#description", "Folds."),
        ("#brand", "Nordlys"),
        ("#category", "Kitchen"),
        ("#price", "24.50"),
    ] {
        window.fill(field, text).await?;
    }
    window.keep("new-product").await?;
    window
        .click("form[action='/staff/products'] button")
        .await?;
    window.read("Saved.").await?;
    window.fill("input[name=on_hand]", "7").await?;
    window.click("form[action$='/stock'] button").await?;
    window.see("input[name=on_hand][value='7']").await?;
    window.keep("product").await?;
    window.goto(&format!("/products/{sku}")).await?;
    window.read("€24.50").await?;

    window.goto("/staff/import").await?;
    window.fill("#lines", "{\"sku\":").await?;
    window.click("form[action='/staff/import'] button").await?;
    window.see("[role=status] .out").await?;
    window.keep("import").await?;

    window.goto("/staff/orders").await?;
    window.see("main table").await?;
    window.keep("orders").await?;
    window.goto("/staff/mails").await?;
    window.see("main table").await?;
    window.keep("mails").await?;
    window.goto("/staff/operations").await?;
    window.read("payments").await?;
    // The first look has no rate; the page tells the next one by itself.
    window.see("td.rate").await?;
    window.keep("operations").await?;
    window.goto("/staff/letters").await?;
    window.read("email").await?;
    window.keep("letters").await?;

    window.goto(&format!("/staff/products/{sku}")).await?;
    window.click("form[action$='/remove'] button").await?;
    window.goto(&format!("/products/{sku}")).await?;
    let text = window.text().await?;
    ensure!(!text.contains("Traveller"), "it is gone: {text}");
    window.close().await
}
