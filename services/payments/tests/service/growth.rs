//! What a payment takes of the volume: run by hand, for the figures in the documents.

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::Shop;

const PAYMENTS: i64 = 1_000;

/// `cargo test -p shop-payments --test service -- --ignored --nocapture bytes_per_payment`
#[tokio::test]
#[ignore = "takes a minute and asserts nothing"]
async fn bytes_per_payment() {
    let shop = Shop::open().await;
    for _ in 0..PAYMENTS / 10 {
        futures::future::join_all((0..10).map(|_| shop.captured())).await;
    }
    let refunded = shop.captured().await;
    shop.ask(&refunded, "refund", &json!({"all": true}))
        .await
        .payment(StatusCode::OK);
    let rows = shop
        .rows(
            "select c.oid::regclass::text, pg_total_relation_size(c.oid), (xpath('/row/n/text()',
                    query_to_xml(format('select count(*) as n from %s', c.oid::regclass), false, true, '')))[1]::text::bigint
             from pg_class c where relkind = 'r' and relnamespace::regnamespace::text in ('public', 'simulator') order by 2 desc",
            &[],
        )
        .await;
    println!(
        "{:<22} {:>16} {:>17}",
        "table", "rows per payment", "bytes per payment"
    );
    let mut sum = 0;
    for row in rows {
        let (table, bytes, rows): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let per_payment = |n: i64| n as f64 / PAYMENTS as f64;
        println!(
            "{table:<22} {:>16.2} {:>17.0}",
            per_payment(rows),
            per_payment(bytes)
        );
        sum += bytes;
    }
    println!(
        "{:<22} {:>16} {:>17.0}",
        "all",
        "",
        sum as f64 / PAYMENTS as f64
    );
}
