//! The ledger over HTTP, and what the database itself refuses.

use chassis::db;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Answer, Shop, eur, id, order};

#[tokio::test]
async fn the_ledger_holds_captures_and_refunds_by_currency() {
    let shop = Shop::open().await;
    let empty = shop.get("/ledger").await.payment(StatusCode::OK);
    assert_eq!(empty, json!({"balanced": true, "accounts": []}));

    shop.pay("tok_approved").await;
    shop.pay("tok_declined").await;
    let payment = shop.captured().await;
    let part = shop
        .ask(&payment, "refund", &json!({"amount": eur(500)}))
        .await;
    part.payment(StatusCode::OK);
    let mut yen = order("tok_approved");
    yen["amount"] = json!({"amount": 300, "currency": "JPY"});
    let yen = Answer::of(shop.post("/payments", "yen", &yen))
        .await
        .payment(StatusCode::CREATED);
    shop.ask(&yen, "capture", &json!({}))
        .await
        .payment(StatusCode::OK);

    let account = |account: &str, currency: &str, balance: i64| json!({"account": account, "currency": currency, "balance": balance});
    let ledger = shop.get("/ledger").await.payment(StatusCode::OK);
    let expected: Value = json!({"balanced": true, "accounts": [
        account("merchant_sales", "EUR", -1999),
        account("merchant_sales", "JPY", -300),
        account("provider_receivable", "EUR", 1499),
        account("provider_receivable", "JPY", 300),
        account("refunds", "EUR", 500),
    ]});
    assert_eq!(ledger, expected);
}

/// Posts a transfer with these entries past the service; the constraint that refused it, if one did.
async fn posted(shop: &Shop, entries: &[(&str, &str, i64)]) -> Option<String> {
    let payment = shop.pay("tok_approved").await;
    let attempts = shop
        .rows(
            "select id from attempts where payment_id = $1",
            &[&id(&payment)],
        )
        .await;
    let attempt: Uuid = attempts[0].get(0);
    let transfer = Uuid::now_v7();
    let mut connection = shop.db.get().await.unwrap();
    let tx = connection.transaction().await.unwrap();
    let sql = "insert into ledger_transfers (id, payment_id, attempt_id) values ($1, $2, $3)";
    db::execute(&tx, sql, &[&transfer, &id(&payment), &attempt])
        .await
        .unwrap();
    let sql = "insert into ledger_entries (transfer_id, account, currency, amount) values ($1, $2, $3, $4)";
    for (account, currency, amount) in entries {
        db::execute(&tx, sql, &[&transfer, account, currency, amount])
            .await
            .unwrap();
    }
    let error = tx.commit().await.err()?;
    Some(error.constraint().unwrap_or("none").to_owned())
}

#[tokio::test]
async fn the_database_refuses_a_transfer_that_is_not_balanced() {
    let shop = Shop::open().await;
    let (sales, receivable) = ("merchant_sales", "provider_receivable");
    let refused = Some("ledger_is_balanced".to_owned());
    assert_eq!(
        posted(&shop, &[(receivable, "EUR", 10), (sales, "EUR", -10)]).await,
        None
    );
    assert_eq!(
        posted(&shop, &[(receivable, "EUR", 10), (sales, "EUR", -9)]).await,
        refused
    );
    assert_eq!(posted(&shop, &[(receivable, "EUR", 10)]).await, refused);
    assert_eq!(
        posted(&shop, &[(receivable, "EUR", 10), (sales, "USD", -10)]).await,
        refused
    );
    assert_eq!(posted(&shop, &[]).await, refused);
}

#[tokio::test]
async fn the_database_refuses_to_change_or_forget_what_was_posted() {
    let shop = Shop::open().await;
    shop.captured().await;
    let connection = shop.db.get().await.unwrap();
    for sql in [
        "update ledger_entries set amount = 0",
        "delete from ledger_entries",
        "truncate ledger_entries",
        "update ledger_transfers set created_at = now()",
        "delete from ledger_transfers",
        "truncate ledger_transfers, ledger_entries",
    ] {
        let error = db::execute(&connection, sql, &[]).await.expect_err(sql);
        assert_eq!(error.constraint(), Some("ledger_is_append_only"), "{sql}");
    }
    assert_eq!(shop.rows("select from ledger_entries", &[]).await.len(), 2);
}

#[tokio::test]
async fn a_transfer_that_is_not_balanced_shows_although_the_accounts_are() {
    let shop = Shop::open().await;
    shop.captured().await;
    shop.captured().await;
    // Past the constraints, as a hand with the owner's rights could: one transfer has too much, another too little.
    let connection = shop.db.get().await.unwrap();
    for sql in [
        "alter table ledger_entries disable trigger user",
        "update ledger_entries set amount = amount + 1
         where (transfer_id, account) = ((select id from ledger_transfers order by id desc limit 1), 'merchant_sales')",
        "update ledger_entries set amount = amount - 1
         where (transfer_id, account) = ((select id from ledger_transfers order by id limit 1), 'merchant_sales')",
    ] {
        db::execute(&connection, sql, &[]).await.expect(sql);
    }
    let ledger = shop.get("/ledger").await.payment(StatusCode::OK);
    let account = |account: &str, balance: i64| json!({"account": account, "currency": "EUR", "balance": balance});
    let expected = json!({"balanced": false, "accounts": [
        account("merchant_sales", -3998),
        account("provider_receivable", 3998),
    ]});
    assert_eq!(ledger, expected);
}
