//! Many products at once.

use super::*;

fn line(sku: &str, title: &str) -> String {
    let mut product = titled(title);
    product["sku"] = sku.into();
    product.to_string()
}

#[tokio::test]
async fn good_lines_are_kept_and_bad_ones_reported_with_number_and_code() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    replica.keep("old", &titled("Old Lamp")).await;
    replica.keep("same", &titled("Same Lamp")).await;
    let lines = [
        line("new", "New Lamp"),
        "{".to_owned(),
        String::new(),
        line("old", "Older Lamp"),
        line("a b", "Lamp"),
        line("import", "Lamp"),
        line("..", "Lamp"),
        line("same", "Same Lamp"),
        "x".repeat(200_000),
        line("untitled", ""),
        line("twice", "First"),
        line("twice", "Second"),
    ];
    let answer = replica.import(lines.join("\r\n")).await;
    assert_eq!(answer.status(), 200);
    let report: Value = answer.json().await.unwrap();
    let failed: Vec<_> = report["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["line"].as_u64().unwrap(), f["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        failed,
        [
            (2, "malformed_json"),
            (5, "invalid"),
            (6, "invalid"),
            (7, "invalid"),
            (9, "line_too_long"),
            (10, "invalid")
        ]
    );
    assert_eq!(
        (&report["created"], &report["updated"], &report["unchanged"]),
        (&2.into(), &2.into(), &1.into()),
        "{report}"
    );
    let twice: Value = replica.get("/products/twice").await.json().await.unwrap();
    assert_eq!(twice["title"], "Second", "the later line wins");
    replica.finds("q=older", &["old"]).await;
    replica.stop().await;
}

#[tokio::test]
async fn twelve_hundred_products_are_one_request_and_the_same_again_changes_nothing() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    let lines: Vec<_> = (0..1200)
        .map(|n| line(&format!("L-{n:04}"), &format!("Lamp {n}")))
        .collect();
    let report: Value = replica.import(lines.join("\n")).await.json().await.unwrap();
    assert_eq!(
        (&report["created"], &report["failed"]),
        (&1200.into(), &json!([]))
    );
    let again: Value = replica.import(lines.join("\n")).await.json().await.unwrap();
    assert_eq!(
        (&again["unchanged"], &again["created"], &again["updated"]),
        (&1200.into(), &0.into(), &0.into())
    );
    eventually("all of them are found", || async {
        (replica.search("q=lamp").await["total"] == 1200).then_some(())
    })
    .await;
    assert_eq!(replica.metric("shop_search_documents").await, 1200.0);
    let rows =
        chassis::testing::look(&backends.direct_db(), "select count(*) from outbox", &[]).await;
    assert_eq!(rows[0].get::<_, i64>(0), 1200, "one event a product");
    replica.stop().await;
}

#[tokio::test]
async fn an_import_has_limits_and_what_came_before_them_is_kept() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    let many = format!("{}\n{}x", line("first", "First"), "\n".repeat(9_999));
    let refused = problem(replica.import(many).await, 413, "too_large").await;
    assert!(
        refused["detail"].as_str().unwrap().contains("10000"),
        "{refused}"
    );
    assert_eq!(replica.get("/products/first").await.status(), 200);
    replica.stop().await;
}
