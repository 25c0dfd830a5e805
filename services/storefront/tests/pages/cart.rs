//! What a guest is told of products that a search does not find.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::browser::Browser;
use crate::shop::{alone, mug};

/// A search that is cut off before it finds anything, which a real one is only where the machine is very busy. The catalogue behind it
/// sells one product, knows that another is not sold, and does not answer for a third.
async fn cut_off() -> String {
    let nothing = json!({
        "items": [], "total": 0, "facets": { "category": [], "brand": [] }, "partial": true,
    });
    let routes = Router::new()
        .route("/products", get(async || axum::Json(nothing)))
        .route("/products/{sku}", get(product));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, routes).await });
    format!("http://{address}")
}

async fn product(Path(sku): Path<String>) -> Response {
    let gone =
        json!({ "title": "Not Found", "status": 404, "code": "not_found", "detail": "gone" });
    match sku.as_str() {
        "MUG-1" => {
            let mut product = mug(1999);
            product["sku"] = json!(sku);
            axum::Json(product).into_response()
        }
        "GONE-1" => (StatusCode::NOT_FOUND, axum::Json(gone)).into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[tokio::test]
async fn only_what_is_known_to_be_sold_no_more_is_said_to_be() {
    let storefront = alone(&cut_off().await).await;
    let browser = Browser::new(&storefront.url);
    browser.get("/").await;
    let line = async |sku: &str| {
        browser
            .post("/cart", &[("sku", sku), ("quantity", "2")])
            .await;
        let cart = browser.get("/cart").await;
        let (_, line) = cart.text.split_once(&format!("/products/{sku}")).unwrap();
        line.split("</li>").next().unwrap().to_owned()
    };
    let (unknown, gone) = ("It cannot be looked up just now.", "No longer sold.");
    let mug = line("MUG-1").await;
    assert!(mug.contains("Blue Mug") && mug.contains("€39.98"), "{mug}");
    assert!(!mug.contains(unknown) && !mug.contains(gone), "{mug}");
    let lost = line("LOST-1").await;
    assert!(lost.contains(unknown) && !lost.contains(gone), "{lost}");
    let sold_out = line("GONE-1").await;
    assert!(
        sold_out.contains(gone) && !sold_out.contains(unknown),
        "{sold_out}"
    );
    let kept = browser.cookie("__Host-cart").unwrap();
    assert!(kept.contains("LOST-1:2"), "{kept}");
}
