use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use chassis::testing::eventually;

use crate::shop::{Answer, Person, Shop, answer};

async fn import(shop: &Shop, who: &Person, body: String) -> Answer {
    let headers = [("content-type", "application/x-ndjson")];
    let token = chassis::testing::token(who.id, &["admin"]);
    let mut request = shop
        .service
        .http
        .post(shop.service.at("/stock/import"))
        .bearer_auth(token)
        .body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    answer(request).await
}

#[tokio::test]
async fn stock_is_set_by_admins_and_its_changes_are_said_in_order() {
    let shop = Shop::open().await;
    let (admin, buyer) = (Person::admin(), Person::buyer());
    assert_eq!(
        shop.get(&buyer, "/stock/mug").await.status,
        StatusCode::NOT_FOUND
    );
    let refused = shop.put(&buyer, "/stock/mug", json!({"on_hand": 5})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (403, "forbidden")
    );
    let wrong_too = shop.put(&buyer, "/stock/mug", json!({"on_hand": -1})).await;
    assert_eq!(wrong_too.status, StatusCode::FORBIDDEN, "whatever is sent");
    for wrong in [-1, 1_000_001] {
        let refused = shop
            .put(&admin, "/stock/mug", json!({"on_hand": wrong}))
            .await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "invalid"));
    }
    for on_hand in [5, 5, 0, 7] {
        let set = shop
            .put(&admin, "/stock/mug", json!({"on_hand": on_hand}))
            .await;
        assert_eq!(set.body["available"], on_hand);
    }
    assert_eq!(shop.stock("mug").await, (7, 0, 7));

    let published = eventually("three changes are published", || async {
        let published = shop
            .backends
            .published("shop.orders.stock.changed.v1")
            .await;
        (published.len() == 3).then_some(published)
    })
    .await;
    let told: Vec<_> = published
        .iter()
        .map(|e| {
            (
                e["subject"].clone(),
                e["sequence"].clone(),
                e["data"]["available"].clone(),
            )
        })
        .collect();
    let expected = [(1, 5), (2, 0), (3, 7)].map(|(n, left)| (json!("mug"), json!(n), json!(left)));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_import_applies_good_lines_names_bad_ones_and_can_be_repeated() {
    let shop = Shop::open().await;
    let admin = Person::admin();
    let mut lines: Vec<_> = (0..1500)
        .map(|n| json!({"sku": format!("p-{n}"), "on_hand": n}).to_string())
        .collect();
    lines[7] = "{broken".to_owned();
    lines[1200] = json!({"sku": "p-1200", "on_hand": -3}).to_string();
    let first = import(&shop, &admin, lines.join("\n")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert_eq!(first.body["updated"], 1498);
    let failed: Vec<_> = first.body["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["line"].clone(), f["code"].clone()))
        .collect();
    assert_eq!(
        failed,
        [
            (json!(8), json!("malformed_json")),
            (json!(1201), json!("invalid"))
        ]
    );
    assert_eq!(shop.stock("p-1499").await, (1499, 0, 1499));

    let again = import(&shop, &admin, lines.join("\n")).await;
    assert_eq!(
        (&again.body["updated"], &again.body["unchanged"]),
        (&json!(0), &json!(1498))
    );

    let many = (0..10_001)
        .map(|n| format!("{{\"sku\": \"q{n}\", \"on_hand\": 1}}\n"))
        .collect();
    let refused = import(&shop, &admin, many).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (413, "too_large")
    );
    let refused = import(&shop, &admin, "x".repeat(3 * 1024 * 1024)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (413, "too_large")
    );
}

#[tokio::test]
async fn what_is_reserved_stays_on_the_shelf() {
    let shop = Shop::open().await;
    let (admin, buyer) = (Person::admin(), Person::buyer());
    shop.payments
        .take("authorise", crate::payments::Manner::Unavailable);
    shop.sell("mug", 100, 5).await;
    let order = shop.buy(&buyer, "mug", 3).await;
    assert_eq!(shop.stock("mug").await, (5, 3, 2));
    let refused = shop.put(&admin, "/stock/mug", json!({"on_hand": 2})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (409, "below_reserved")
    );
    let lines = "{\"sku\": \"mug\", \"on_hand\": 2}".to_owned();
    let imported = import(&shop, &admin, lines).await;
    assert_eq!(imported.body["failed"][0]["code"], "below_reserved");
    let set = shop.put(&admin, "/stock/mug", json!({"on_hand": 3})).await;
    assert_eq!(
        set.body,
        json!({"sku": "mug", "on_hand": 3, "reserved": 3, "available": 0, "version": set.body["version"], "on_offer": true})
    );

    shop.payments
        .take("authorise", crate::payments::Manner::Fine);
    shop.until(order, "paid").await;
    assert_eq!(shop.stock("mug").await, (0, 0, 0));
}

#[tokio::test]
async fn a_count_that_sales_overtook_is_refused() {
    let shop = Shop::open().await;
    let (admin, buyer) = (Person::admin(), Person::buyer());
    let count = async |on_hand: i32, version: &str| {
        let (path, body) = ("/stock/mug", json!({"on_hand": on_hand}));
        let headers = [("if-match", version)];
        shop.ask_with(&admin, Method::PUT, path, Some(body), &headers)
            .await
    };
    for version in ["\"1\"", "*"] {
        let nothing = count(5, version).await;
        let told = (nothing.status.as_u16(), nothing.code());
        assert_eq!(told, (412, "precondition_failed"), "there is none yet");
    }
    shop.sell("mug", 100, 5).await;
    shop.payments
        .take("authorise", crate::payments::Manner::Unavailable);
    let order = shop.buy(&buyer, "mug", 1).await;
    // The unit is reserved when it is counted, and sold when the count arrives.
    let counted = shop.get(&admin, "/stock/mug").await.etag.unwrap();
    shop.payments
        .take("authorise", crate::payments::Manner::Fine);
    shop.until(order, "paid").await;
    shop.until_ended(order).await;
    let overtaken = count(5, &counted).await;
    assert_eq!(overtaken.code(), "precondition_failed");
    assert_eq!(shop.stock("mug").await, (4, 0, 4));

    let counted = shop.get(&admin, "/stock/mug").await.etag.unwrap();
    let set = count(6, &format!("\"0\", {counted}")).await;
    assert_eq!(
        (set.status.as_u16(), &set.body["on_hand"]),
        (200, &json!(6))
    );
    assert_ne!(set.etag, Some(counted.clone()));
    assert_eq!(count(7, &counted).await.status.as_u16(), 412);
    assert_eq!(count(7, &set.etag.unwrap()).await.status.as_u16(), 200);
    assert_eq!(count(8, "*").await.status.as_u16(), 200);
}

/// Buyers of the same products in opposite orders and an import of them all: nobody waits for anybody for ever.
#[tokio::test]
async fn no_two_changes_of_stock_block_one_another() {
    let shop = Shop::open().await;
    for sku in ["a", "b", "c", "d"] {
        shop.sell(sku, 100, 1000).await;
    }
    let buyers: Vec<_> = (0..12).map(|_| Person::buyer()).collect();
    for (n, buyer) in buyers.iter().enumerate() {
        let mut skus = ["a", "b", "c", "d"];
        if n % 2 == 0 {
            skus.reverse();
        }
        for sku in skus {
            shop.fill_cart(buyer, sku, 1).await;
        }
    }
    let orders = join_all(buyers.iter().map(|buyer| shop.order_patiently(buyer)));
    let lines = ["d", "c", "b", "a"].map(|sku| json!({"sku": sku, "on_hand": 500}).to_string());
    let admin = Person::admin();
    let imports = join_all((0..4).map(|_| import(&shop, &admin, lines.join("\n"))));
    let (orders, imports) = futures::join!(orders, imports);
    for imported in imports {
        assert_eq!(
            (imported.status, &imported.body["failed"]),
            (StatusCode::OK, &Value::Array(vec![]))
        );
    }
    for order in orders {
        shop.until(order, "paid").await;
    }
    shop.assert_books_are_right().await;
}

#[tokio::test]
async fn stock_for_what_nobody_sells_is_set_and_said() {
    let shop = Shop::open().await;
    let admin = Person::admin();
    shop.offer("Mug-Blue", 1, 100, "EUR").await;
    shop.offer("pen", 1, 100, "EUR").await;
    shop.offer("old", 1, 100, "EUR").await;
    shop.withdraw("old", 2).await;
    let lines = ["pen", "mug-blue", "unheard-of", "old"]
        .map(|sku| json!({"sku": sku, "on_hand": 5}).to_string());
    let imported = import(&shop, &admin, lines.join("\n")).await.body;
    assert_eq!(imported["updated"], 4);
    assert_eq!(
        imported["not_on_offer"],
        json!([
            {"line": 2, "sku": "mug-blue", "did_you_mean": "Mug-Blue"},
            {"line": 3, "sku": "unheard-of"},
            {"line": 4, "sku": "old"},
        ])
    );
    for (sku, on_offer) in [("Mug-Blue", true), ("mug-blue", false), ("old", false)] {
        let path = format!("/stock/{sku}");
        let set = shop.put(&admin, &path, json!({"on_hand": 6})).await;
        assert_eq!(set.body["on_offer"], on_offer, "{sku}");
    }
}

#[tokio::test]
async fn names_that_no_path_can_hold_are_refused() {
    let shop = Shop::open().await;
    let admin = Person::admin();
    let lines = ["import", ".", ".."].map(|sku| json!({"sku": sku, "on_hand": 5}).to_string());
    let imported = import(&shop, &admin, lines.join("\n")).await.body;
    assert_eq!(imported["updated"], 0);
    let failed = imported["failed"].as_array().unwrap();
    assert!(
        failed.iter().all(|line| line["code"] == "invalid"),
        "{imported}"
    );
    assert_eq!(failed.len(), 3);
}

#[tokio::test]
async fn the_stock_of_several_products_is_read_at_once() {
    let shop = Shop::open().await;
    let (admin, buyer) = (Person::admin(), Person::buyer());
    for (sku, units) in [("mug", 5), ("lamp", 0)] {
        let path = format!("/stock/{sku}");
        shop.put(&admin, &path, json!({"on_hand": units})).await;
    }
    let found = shop
        .get(&buyer, "/stock?sku=mug&sku=lamp&sku=never-set")
        .await
        .body;
    let view = |sku, units| json!({"sku": sku, "on_hand": units, "reserved": 0, "available": units, "version": 1});
    assert_eq!(found, json!({"items": [view("lamp", 0), view("mug", 5)]}));
    for wrong in [
        "/stock",
        "/stock?sku=a%2Fb",
        &format!("/stock?{}", "sku=x&".repeat(101)),
    ] {
        let refused = shop.get(&buyer, wrong).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
}
