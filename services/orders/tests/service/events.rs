//! What orders receives: late, twice, broken, and about orders it does not know.

use std::time::Duration;

use chassis::testing::{TestEvent, eventually};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::shop::{Person, Shop};

const UPSERTED: &str = "shop.search.product.upserted.v1";
const REMOVED: &str = "shop.search.product.removed.v1";
const CAPTURED: &str = "shop.payments.payment.captured.v1";
const SENT: &str = "shop.email.email.sent.v1";

async fn dead_letters(shop: &Shop) -> Vec<Value> {
    let answer = shop
        .service
        .http
        .get(shop.service.admin_at("/dead-letters"))
        .send()
        .await;
    answer.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn only_the_newest_word_about_a_product_counts() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    let upserted = |amount: i64| json!({"sku": "mug", "title": "Mug", "brand": "B", "category": "C", "price": {"amount": amount, "currency": "EUR"}});
    let publish = |sequence, amount| {
        shop.backends
            .publish_event(UPSERTED, "mug", sequence, upserted(amount))
    };
    shop.offer("mug", 5, 500, "EUR").await;
    publish(4, 400).await;
    publish(6, 600).await;
    shop.service.until_processed(UPSERTED, 3).await;
    let newest = "select count(*) from offers where amount = 600";
    assert_eq!(shop.count(newest).await, 1);
    shop.backends
        .publish_event(REMOVED, "mug", 8, json!({"sku": "mug"}))
        .await;
    // Several are worked on at once: what comes late must not come before what it is later than.
    shop.service.until_processed(REMOVED, 1).await;
    publish(7, 700).await;
    shop.service.until_processed(UPSERTED, 4).await;
    let refused = shop
        .put(&buyer, "/cart/items/mug", json!({"quantity": 1}))
        .await;
    assert_eq!(
        refused.code(),
        "offer_removed",
        "an older upsert does not bring it back"
    );
    publish(9, 900).await;
    eventually("it is sold again", || async {
        (shop
            .count("select count(*) from offers where amount = 900 and not removed")
            .await
            == 1)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_event_that_comes_twice_counts_once() {
    let shop = Shop::open().await;
    shop.sell("mug", 100, 10).await;
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(order, "paid").await;
    let (captured, sent) = (captured(order), sent(order));
    for _ in 0..3 {
        shop.backends.deliver(&captured).await;
        shop.backends.deliver(&sent).await;
    }
    shop.service.until_processed(CAPTURED, 3).await;
    shop.service.until_processed(SENT, 3).await;
    let timeline = shop.timeline(order).await;
    let mut told = told_by_others(&timeline);
    told.sort_unstable();
    assert_eq!(told, ["email.sent", "payment.captured"]);
    assert_eq!(shop.stock("mug").await, (9, 0, 9));
    assert_eq!(shop.payments.standing(order), ["captured"]);
}

#[tokio::test]
async fn the_story_is_told_in_the_order_in_which_things_happened_however_late_they_are_received() {
    let shop = Shop::open().await;
    shop.sell("mug", 100, 10).await;
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(order, "paid").await;
    let captured = captured(order);
    let mut sent = sent(order);
    sent.time = captured.time + Duration::from_millis(1);
    // The later one is received first.
    shop.backends.deliver(&sent).await;
    shop.service.until_processed(SENT, 1).await;
    shop.backends.deliver(&captured).await;
    shop.service.until_processed(CAPTURED, 1).await;

    let timeline = shop.timeline(order).await;
    assert_eq!(
        told_by_others(&timeline),
        ["payment.captured", "email.sent"]
    );
    let time = |step: &str, field: &str| {
        let entry = timeline.iter().find(|e| e["step"] == step);
        let time = entry.expect(step)[field].as_str().expect(field);
        OffsetDateTime::parse(time, &Rfc3339).expect("a time")
    };
    // PostgreSQL keeps microseconds.
    let off = time("payment.captured", "at") - captured.time;
    assert!(
        off.abs() < Duration::from_micros(1),
        "the event's own time: {off}"
    );
    assert_eq!(
        time("email.sent", "at") - time("payment.captured", "at"),
        Duration::from_millis(1)
    );
    assert!(time("email.sent", "recorded_at") < time("payment.captured", "recorded_at"));
}

#[tokio::test]
async fn entries_of_the_previous_version_are_told_too() {
    let shop = Shop::open().await;
    shop.sell("mug", 100, 10).await;
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(order, "paid").await;
    // From before the migration, and as the previous version writes while it still runs.
    let before = "insert into timeline (order_id, at, recorded_at, service, step, outcome, detail)
                  values ($1, now(), null, 'email', 'before', 'info', '') returning id";
    shop.look(before, &[&order]).await;
    let meanwhile = "insert into timeline (order_id, at, service, step, outcome, detail)
                     values ($1, now(), 'email', 'meanwhile', 'info', '') returning id";
    shop.look(meanwhile, &[&order]).await;
    let timeline = shop.timeline(order).await;
    let [.., before, meanwhile] = timeline.as_slice() else {
        panic!("{timeline:?}");
    };
    assert_eq!(
        (&before["step"], before.get("recorded_at")),
        (&json!("before"), None)
    );
    assert_eq!(meanwhile["step"], "meanwhile");
    assert!(meanwhile["recorded_at"].is_string(), "{meanwhile}");
}

fn captured(order: Uuid) -> TestEvent {
    let data = json!({"payment_id": Uuid::now_v7(), "order_id": order, "amount": {"amount": 100, "currency": "EUR"}});
    TestEvent::now(CAPTURED, "p", 2, data)
}

fn sent(order: Uuid) -> TestEvent {
    let data = json!({"mail_id": Uuid::now_v7(), "kind": "order_confirmed", "order_id": order, "user_id": Uuid::now_v7(), "status": "kept"});
    TestEvent::now(SENT, "m", 1, data)
}

/// The steps of a timeline that events brought, in its order.
fn told_by_others(timeline: &[Value]) -> Vec<&str> {
    let steps = timeline.iter().map(|e| e["step"].as_str().unwrap());
    steps.filter(|step| step.contains('.')).collect()
}

#[tokio::test]
async fn a_broken_event_is_put_aside_and_the_next_ones_are_processed() {
    let shop = Shop::open().await;
    let publish = async |subject: &str, data: Value| {
        shop.backends.publish_event(subject, "x", 1, data).await;
    };
    let price = |amount: i64, currency: &str| json!({"amount": amount, "currency": currency});
    shop.backends.publish(UPSERTED, "no json".to_owned()).await;
    publish(UPSERTED, json!({"sku": "a"})).await;
    publish(
        UPSERTED,
        json!({"sku": "a b", "title": "t", "price": price(1, "EUR")}),
    )
    .await;
    publish(
        UPSERTED,
        json!({"sku": "a", "title": "t", "price": price(1, "XYZW")}),
    )
    .await;
    publish(
        UPSERTED,
        json!({"sku": "a", "title": "t", "price": price(-1, "EUR")}),
    )
    .await;
    publish(
        UPSERTED,
        json!({"sku": "a", "title": "t".repeat(3000), "price": price(1, "EUR")}),
    )
    .await;
    publish(
        CAPTURED,
        json!({"payment_id": Uuid::now_v7(), "order_id": Uuid::now_v7()}),
    )
    .await;
    shop.offer("good", 1, 100, "EUR").await;
    let letters = eventually("all broken ones are put aside", || async {
        let letters = dead_letters(&shop).await;
        (letters.len() == 7).then_some(letters)
    })
    .await;
    assert!(
        letters
            .iter()
            .all(|l| l["cause"].as_str().is_some_and(|c| !c.is_empty())),
        "{letters:?}"
    );
}

#[tokio::test]
async fn a_mail_about_no_order_is_nothing_to_orders() {
    let shop = Shop::open().await;
    let mail = json!({"mail_id": Uuid::now_v7(), "kind": "welcome", "user_id": Uuid::now_v7(), "status": "sent"});
    shop.backends.publish_event(SENT, "m", 1, mail).await;
    shop.service.until_processed(SENT, 1).await;
    assert_eq!(dead_letters(&shop).await.len(), 0);
}
