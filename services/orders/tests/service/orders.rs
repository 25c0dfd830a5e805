//! What an order says of itself: its number, what was given back, how many may be unpaid, how long its story is kept.

use chassis::testing::{self, TestEvent, eventually, look};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::payments::Manner;
use crate::shop::{Person, Shop};

const REFUNDED: &str = "shop.payments.payment.refunded.v1";

fn refunded(order: Uuid, sequence: i64, amount: i64, total: i64) -> TestEvent {
    let money = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    let data = json!({"payment_id": Uuid::now_v7(), "order_id": order, "amount": money(amount), "total": money(total)});
    TestEvent::now(REFUNDED, "p", sequence, data)
}

#[tokio::test]
async fn a_refund_is_told_by_the_order_its_timeline_and_an_event() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 1000, 10).await;
    let order = shop.buy(&buyer, "mug", 2).await;
    let paid = shop.until(order, "paid").await;
    assert_eq!(paid["refunded"], json!({"amount": 0, "currency": "EUR"}));

    // The later refund is received first, and one of them twice.
    let (first, second) = (refunded(order, 3, 500, 500), refunded(order, 4, 300, 800));
    for event in [&second, &first, &second] {
        shop.backends.deliver(event).await;
    }
    let events = eventually("both refunds are published", || async {
        let events = shop
            .backends
            .published("shop.orders.order.refunded.v1")
            .await;
        (events.len() >= 2).then_some(events)
    })
    .await;
    shop.service.until_processed(REFUNDED, 3).await;
    assert_eq!(events.len(), 2);
    let order_now = shop.get(&buyer, &format!("/orders/{order}")).await.body;
    assert_eq!(
        (&order_now["state"], &order_now["refunded"]["amount"]),
        (&json!("paid"), &json!(800))
    );
    let event = events
        .iter()
        .find(|e| e["data"]["amount"]["amount"] == 300)
        .expect("the second refund");
    assert_eq!(
        event["data"],
        json!({
            "order_id": order, "number": order_now["number"], "buyer_id": buyer.id,
            "amount": {"amount": 300, "currency": "EUR"}, "refunded": {"amount": 800, "currency": "EUR"},
            "total": {"amount": 2000, "currency": "EUR"},
        })
    );
    let timeline = shop.timeline(order).await;
    let mut details: Vec<_> = timeline
        .iter()
        .filter(|e| e["step"] == "payment.refunded")
        .map(|e| e["detail"].as_str().unwrap())
        .collect();
    details.sort_unstable();
    assert_eq!(
        details,
        [
            "payments says: 3.00 EUR was given back",
            "payments says: 5.00 EUR was given back"
        ]
    );
}

#[tokio::test]
async fn an_order_is_found_by_the_number_that_its_mails_call_it() {
    let shop = Shop::open().await;
    let (buyer, stranger) = (Person::buyer(), Person::buyer());
    shop.sell("mug", 100, 10).await;
    let order = shop.buy(&buyer, "mug", 1).await;
    shop.buy(&buyer, "mug", 1).await;
    let paid = shop.until(order, "paid").await;
    let number = paid["number"].as_str().unwrap();
    let text = order.simple().to_string().to_uppercase();
    assert_eq!(number, &text[text.len() - 8..], "as email has it");
    for subject in ["placed", "confirmed"] {
        let subject = format!("shop.orders.order.{subject}.v1");
        eventually("the event has the number", || async {
            let published = shop.backends.published(&subject).await;
            let event = published.iter().find(|e| e["subject"] == json!(order))?;
            assert_eq!(event["data"]["number"], number);
            Some(())
        })
        .await;
    }
    let path = format!("/orders/{order}/timeline");
    assert_eq!(shop.get(&buyer, &path).await.body["number"], number);

    let found = async |who: &Person, number: &str| {
        let list = shop.get(who, &format!("/orders?number={number}")).await;
        list.body["items"].clone()
    };
    let only = json!([paid]);
    assert_eq!(found(&buyer, number).await, only);
    assert_eq!(found(&buyer, &number.to_lowercase()).await, only);
    let mut of_admin = only.clone();
    of_admin[0]["buyer_id"] = json!(buyer.id);
    assert_eq!(found(&Person::admin(), number).await, of_admin);
    assert_eq!(found(&stranger, number).await, json!([]));
    for wrong in ["A72489D", "A72489D4%20", "A72489DX"] {
        let refused = shop.get(&buyer, &format!("/orders?number={wrong}")).await;
        let told = (refused.status.as_u16(), refused.code());
        assert_eq!(told, (422, "invalid"), "{wrong}");
    }
}

#[tokio::test]
async fn an_account_may_leave_so_many_orders_unpaid_in_an_hour() {
    testing::traces();
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 100, 1000).await;
    shop.payments.take("authorise", Manner::Declines);
    let mut orders = vec![];
    shop.fill_cart(&buyer, "mug", 1).await;
    let first_key = Uuid::now_v7().to_string();
    let first_body = shop.checkout(&buyer).await;
    let first = shop.order_as(&buyer, &first_key, &first_body).await;
    orders.push(first.order());
    for _ in 1..20 {
        orders.push(shop.buy(&buyer, "mug", 1).await);
    }
    for order in &orders {
        shop.until(*order, "cancelled").await;
    }
    let body = shop.checkout(&buyer).await;
    let refused = shop.order_as(&buyer, "one-more", &body).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_unpaid_orders")
    );
    assert!(refused.body["trace_id"].is_string(), "{}", refused.body);
    let seconds: u32 = refused.retry_after.unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&seconds), "{seconds}");
    assert_eq!(
        shop.order_as(&buyer, &first_key, &first_body).await,
        first,
        "what was answered before is answered again"
    );
    let other = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(other, "cancelled").await;

    // One counts no more: what ran out of time was not declined.
    shop.payments.take("authorise", Manner::Fine);
    let old = "update orders set cancel_reason = 'timed_out' where id = $1 returning id";
    shop.look(old, &[&orders[0]]).await;
    let order = shop.order_as(&buyer, "one-more", &body).await;
    shop.until(order.order(), "paid").await;
}

/// Whoever tries out cards takes a new account for each few of them.
#[tokio::test]
async fn a_network_may_have_so_many_declined_orders_in_an_hour() {
    let shop = Shop::open().await;
    shop.sell("mug", 100, 1000).await;
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(order, "paid").await;
    // As if there had been a hundred that were declined: the address of this test is in the table. Ids begin with the time.
    let many = "with ids as (
            select ($2 || lpad(to_hex(n), 12, '0'))::uuid as id from generate_series(1, 100) as n
        ), declined as (
            insert into orders (id, buyer_id, state, cancel_reason, total_amount, currency, placed_at, finished_at)
            select id, id, 'cancelled', 'payment_declined', 100, 'EUR', now(), now() from ids returning id
        )
        insert into order_networks (order_id, network)
        select declined.id, network from declined, order_networks where order_id = $1::text::uuid returning order_id";
    let text = order.to_string();
    let decline_a_hundred = async |ids: &str| {
        let rows = shop.look(many, &[&text, &ids]).await;
        assert_eq!(rows.len(), 100);
    };
    decline_a_hundred("01800000-0000-7000-8000-").await;
    let later = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(later, "paid").await;

    decline_a_hundred(&text[..24]).await;
    let buyer = Person::buyer();
    shop.fill_cart(&buyer, "mug", 1).await;
    let refused = shop.order(&buyer, "k").await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_unpaid_orders")
    );
    let paid = "update orders set cancel_reason = 'timed_out' where id <> $1::text::uuid and cancel_reason is not null returning id";
    shop.look(paid, &[&order.to_string()]).await;
    shop.until(shop.order(&buyer, "k").await.order(), "paid")
        .await;
}

#[tokio::test]
async fn old_stories_and_ended_checkouts_are_deleted_and_orders_kept() {
    let shop = Shop::open().await;
    shop.sell("mug", 100, 10).await;
    let order = shop.buy(&Person::buyer(), "mug", 1).await;
    shop.until(order, "paid").await;
    shop.until_ended(order).await;
    // An order of last year, and one of last year whose money could not be taken yet.
    let last_year = |n: u128| Uuid::from_u128((0x0180_0000_0000_7000_8000_0000_0000_0000) + n);
    let (ended, open) = (last_year(1), last_year(2));
    for (id, step, state) in [(ended, "ended", "paid"), (open, "capture", "confirmed")] {
        for sql in [
            "insert into orders (id, buyer_id, state, total_amount, currency, placed_at, confirmed_at, finished_at)
             select $1, $1, state, 100, 'EUR', '2022-05-01', '2022-05-01', case when state = 'paid' then timestamptz '2022-05-01' end
             from (select $3::text as state, $2::text) as wanted returning id",
            "insert into sagas (order_id, step, payment_id, deadline, due_at, started_at)
             select $1, $2, $1, '2022-05-01', 'infinity', '2022-05-01' where $3::text is not null returning order_id",
            "insert into timeline (order_id, at, recorded_at, service, step, outcome, detail)
             select $1, '2022-05-01', '2022-05-01', 'orders', $2, 'info', $3 returning order_id",
        ] {
            let rows = shop.look(sql, &[&id, &step, &state]).await;
            assert_eq!(rows.len(), 1);
        }
    }
    // It looks when it starts.
    let replica = shop.replica().await;
    eventually("what is old is deleted", || async {
        let left = "select (select count(*) from timeline where at < now() - interval '14 days')
                         + (select count(*) from sagas where order_id < '01900000-0000-7000-8000-000000000000' and step = 'ended')";
        (shop.count(left).await == 0).then_some(())
    })
    .await;
    let sagas = "select count(*) from sagas";
    assert_eq!(shop.count(sagas).await, 2, "the new one and the open one");
    assert_eq!(shop.count("select count(*) from orders").await, 3);
    assert!(!shop.timeline(order).await.is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn a_later_migration_disturbs_no_order() {
    let shop = Shop::open_with(&[("DATABASE_MAX_CONNECTIONS", "2")]).await;
    let buyer = Person::buyer();
    shop.sell("mug", 1000, 100).await;
    let whole_way = || async {
        let order = shop.buy(&buyer, "mug", 1).await;
        let paid = shop.until(order, "paid").await;
        let number = paid["number"].as_str().expect("a number");
        for path in [
            "/orders".to_owned(),
            format!("/orders?number={number}"),
            "/cart".to_owned(),
        ] {
            let answer = shop.get(&buyer, &path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        }
        shop.stock("mug").await
    };
    // Often enough that every connection of the pool has kept the statements.
    for _ in 0..4 {
        whole_way().await;
    }
    shop.backends.widen_tables().await;
    assert_eq!(whole_way().await.0, 95);
}

#[tokio::test]
async fn the_administration_tells_the_story_of_an_order_and_nothing_of_its_buyer() {
    let shop = Shop::open().await;
    let buyer = Person::buyer();
    shop.sell("mug", 1250, 10).await;
    let order = shop.buy(&buyer, "mug", 1).await;
    shop.until(order, "paid").await;
    let ask = async |name: &str| {
        let path = format!("/orders/{name}/timeline");
        let asked = reqwest::get(shop.service.admin_at(&path)).await.unwrap();
        (asked.status(), asked.text().await.unwrap())
    };
    let (status, by_id) = ask(&order.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{by_id}");
    let story: Value = serde_json::from_str(&by_id).unwrap();
    assert_eq!(story["state"], "paid", "{story}");
    assert_eq!(
        story["entries"].as_array(),
        Some(&shop.timeline(order).await)
    );
    let number = story["number"].as_str().unwrap();
    assert_eq!(
        ask(&number.to_lowercase()).await,
        (StatusCode::OK, by_id.clone())
    );
    assert!(!by_id.contains(&buyer.id.to_string()), "{by_id}");
    for nobody in [&Uuid::nil().to_string(), "00000000", "mug", "..%2F.."] {
        let (status, problem) = ask(nobody).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{nobody}: {problem}");
        assert!(problem.contains("There is no order"), "{nobody}: {problem}");
    }
}

#[tokio::test]
async fn staff_list_the_orders_of_all_by_their_state_and_nobody_else_does() {
    let shop = Shop::open().await;
    let (one, other, admin) = (Person::buyer(), Person::buyer(), Person::admin());
    shop.sell("mug", 100, 10).await;
    let first = shop.buy(&one, "mug", 1).await;
    shop.until(first, "paid").await;
    let second = shop.buy(&other, "mug", 1).await;
    shop.until(second, "paid").await;
    let ids = |list: &Value| {
        let items = list["items"].as_array().expect("a list").clone();
        items
            .iter()
            .map(|order| order["id"].clone())
            .collect::<Vec<_>>()
    };
    let all = shop.get(&admin, "/orders?of=all").await.body;
    assert_eq!(ids(&all), [json!(second), json!(first)]);
    assert_eq!(all["items"][0]["buyer_id"], json!(other.id));
    let paid = shop
        .get(&admin, "/orders?of=all&state=paid&limit=1")
        .await
        .body;
    assert_eq!(ids(&paid), [json!(second)]);
    let rest = format!("/orders?of=all&state=paid&cursor={second}");
    assert_eq!(ids(&shop.get(&admin, &rest).await.body), [json!(first)]);
    let none = shop
        .get(&admin, "/orders?of=all&state=cancelled")
        .await
        .body;
    assert_eq!(ids(&none), Vec::<Value>::new());

    let refused = shop.get(&one, "/orders?of=all").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let own = shop.get(&one, "/orders").await.body;
    assert_eq!(ids(&own), [json!(first)]);
    assert_eq!(own["items"][0]["buyer_id"], Value::Null);
    let number = all["items"][0]["number"].as_str().expect("a number");
    for wrong in [
        "/orders?of=all&state=lost".to_owned(),
        "/orders?state=paid".to_owned(),
        format!("/orders?of=all&state=paid&number={number}"),
    ] {
        let answer = shop.get(&admin, &wrong).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let found = shop.get(&admin, &format!("/orders?number={number}")).await;
    assert_eq!(ids(&found.body), [json!(second)]);
    let own = format!("/orders?of=own&number={number}");
    let none = shop.get(&admin, &own).await.body;
    assert_eq!(ids(&none), Vec::<Value>::new(), "it is another one's");
}

#[tokio::test]
async fn the_stories_of_several_orders_are_read_at_once_by_their_buyer() {
    let shop = Shop::open().await;
    let (buyer, stranger, admin) = (Person::buyer(), Person::buyer(), Person::admin());
    shop.sell("mug", 100, 10).await;
    let mut orders = vec![];
    for who in [&buyer, &buyer, &stranger] {
        let order = shop.buy(who, "mug", 1).await;
        shop.until(order, "paid").await;
        orders.push(order);
    }
    let path = format!(
        "/timelines?order={}&order={}&order={}",
        orders[0], orders[1], orders[2]
    );
    let told = |answer: &Value| {
        let items = answer["items"].as_array().expect("a list").clone();
        items
            .iter()
            .map(|story| story["order_id"].clone())
            .collect::<Vec<_>>()
    };
    let own = shop.get(&buyer, &path).await.body;
    assert_eq!(told(&own), [json!(orders[0]), json!(orders[1])], "{own}");
    let steps = own["items"][0]["entries"].as_array().expect("entries");
    assert_eq!(steps[0]["step"], "reserve", "oldest first: {own}");
    assert_eq!(told(&shop.get(&admin, &path).await.body).len(), 3);
    // Stories go after two weeks, orders stay.
    let forget = "delete from timeline where order_id = $1 returning 1";
    look(&shop.backends.direct_db(), forget, &[&orders[0]]).await;
    let own = shop.get(&buyer, &path).await.body;
    assert_eq!(told(&own), [json!(orders[0]), json!(orders[1])], "{own}");
    assert_eq!(own["items"][0]["entries"], json!([]));
    let none = shop.get(&buyer, "/timelines").await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
}
