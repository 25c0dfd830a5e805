//! Events become mails that are kept, and administrators can read them.

use std::collections::BTreeSet;

use chassis::testing::{self, Backends, TestEvent, eventually, is_as_documented, look};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support;
use crate::support::{ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_REFUNDED, USER_REGISTERED};

#[tokio::test]
async fn without_a_mail_server_every_mail_is_kept_and_said_so() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    let (bought, lost) = (Uuid::now_v7(), Uuid::now_v7());
    backends
        .publish_event(
            ORDER_CONFIRMED,
            &bought.to_string(),
            3,
            support::confirmed(bought, user),
        )
        .await;
    backends
        .publish_event(
            ORDER_CANCELLED,
            &lost.to_string(),
            2,
            support::cancelled(lost, user),
        )
        .await;

    let mails = support::mails_with(&service, &format!("user_id={user}"), 3, "kept").await;
    let mut kinds: Vec<&str> = mails
        .iter()
        .map(|mail| mail["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["order_cancelled", "order_confirmed", "welcome"]);
    assert!(
        mails
            .iter()
            .all(|mail| mail["to"] == "zoe@home.example" && mail["sent_at"].is_null())
    );

    is_as_documented(
        &service.metrics().await,
        &["All services", "Services with a database", "email"],
    );

    let published = support::published(&backends, support::EMAIL_SENT, 3).await;
    let of_order: Vec<&Value> = published
        .iter()
        .filter(|e| e["order_id"] == json!(bought))
        .collect();
    assert_eq!(of_order.len(), 1);
    assert_eq!(of_order[0]["status"], "kept");
    assert_eq!(of_order[0]["kind"], "order_confirmed");
    assert_eq!(of_order[0]["user_id"], json!(user));

    let line = "shop_email_attempts_total{kind=\"order_confirmed\",status=\"kept\"} 1";
    eventually("the mail is counted", || async {
        service.metrics().await.contains(line).then_some(())
    })
    .await;
}

/// Whoever registers may do so with the address of somebody else.
#[tokio::test]
async fn no_mail_holds_what_a_stranger_has_chosen() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let name = "WIN a prize: http://win.example";
    let user = support::register(&backends, "stranger@home.example", name).await;
    let order = Uuid::now_v7();
    for (subject, sequence, data) in [
        (ORDER_CONFIRMED, 3, support::confirmed(order, user)),
        (ORDER_CANCELLED, 4, support::cancelled(order, user)),
        (ORDER_REFUNDED, 5, support::refunded(order, user, 1999)),
    ] {
        backends
            .publish_event(subject, &order.to_string(), sequence, data)
            .await;
    }
    for mail in support::mails_with(&service, "", 4, "kept").await {
        let path = format!("/mails/{}", mail["id"].as_str().unwrap());
        let mail: Value = support::get(&service, &path).await.json().await.unwrap();
        let content = mail.to_string();
        assert!(
            !content.contains("WIN") && !content.contains("win.example"),
            "{content}"
        );
    }
}

#[tokio::test]
async fn each_refund_of_an_order_is_told_of_once() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    let order = Uuid::now_v7();
    let refund = |sequence, refunded| {
        let data = support::refunded(order, user, refunded);
        TestEvent::now(ORDER_REFUNDED, &order.to_string(), sequence, data)
    };
    for event in [refund(5, 500), refund(6, 1999)] {
        backends.deliver(&event).await;
        backends.deliver(&event).await;
    }
    support::mails_with(&service, "kind=order_refunded", 2, "kept").await;
    service.until_processed(ORDER_REFUNDED, 4).await;
    let mails = support::mails(&service, &format!("order_id={order}")).await;
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0]["subject"], "A refund for your order A72489D4");
}

#[tokio::test]
async fn a_mail_can_be_read_and_previewed_safely() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let user = support::register(&backends, "zoe@home.example", "<script>Zoë</script>").await;
    let order = Uuid::now_v7();
    backends
        .publish_event(
            ORDER_CONFIRMED,
            &order.to_string(),
            3,
            support::confirmed(order, user),
        )
        .await;
    let mails = support::mails_with(&service, &format!("order_id={order}"), 1, "kept").await;
    let id = mails[0]["id"].as_str().unwrap();

    let mail: Value = support::get(&service, &format!("/mails/{id}"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(mail["order_id"], json!(order));
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains("2 x Tea <pot>: 39.98 EUR"), "{text}");
    assert!(text.contains("Total: 39.98 EUR"), "{text}");

    let answer = support::get(&service, &format!("/mails/{id}/preview")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none';") && policy.contains("sandbox"),
        "{policy}"
    );
    assert!(!policy.contains("script-src"), "{policy}");
    let page = answer.text().await.unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("Zoë"), "what a stranger chose: {page}");
    assert!(page.contains("Tea &lt;pot&gt;"), "{page}");
}

#[tokio::test]
async fn redelivered_events_and_two_instances_make_one_mail() {
    let backends = Backends::new().await;
    let first = support::start(&backends, &[]).await;
    let second = support::start(&backends, &[]).await;
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    support::mails_with(&first, &format!("user_id={user}"), 1, "kept").await;

    let order = Uuid::now_v7();
    // The same event again and again, and the same fact under other ids.
    let (about, data) = (order.to_string(), support::confirmed(order, user));
    let event = TestEvent::now(ORDER_CONFIRMED, &about, 3, data.clone());
    for _ in 0..5 {
        backends.deliver(&event).await;
        backends
            .publish_event(ORDER_CONFIRMED, &about, 3, data.clone())
            .await;
    }
    // And one more, for which the mail below is waited for.
    let last = Uuid::now_v7();
    backends
        .publish_event(
            ORDER_CANCELLED,
            &last.to_string(),
            2,
            support::cancelled(last, user),
        )
        .await;
    support::mails_with(&second, &format!("order_id={last}"), 1, "kept").await;
    eventually("all ten deliveries are answered", || async {
        let answered =
            first.processed(ORDER_CONFIRMED).await + second.processed(ORDER_CONFIRMED).await;
        (answered >= 10).then_some(())
    })
    .await;
    assert_eq!(
        support::mails(&first, &format!("order_id={order}"))
            .await
            .len(),
        1
    );
    let published = support::published(&backends, support::EMAIL_SENT, 3).await;
    assert_eq!(
        published
            .iter()
            .filter(|e| e["order_id"] == json!(order))
            .count(),
        1
    );
}

#[tokio::test]
async fn an_order_waits_for_its_buyer() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let (user, order) = (Uuid::now_v7(), Uuid::now_v7());
    backends
        .publish_event(
            ORDER_CONFIRMED,
            &order.to_string(),
            3,
            support::confirmed(order, user),
        )
        .await;
    service.until_processed(ORDER_CONFIRMED, 1).await;
    assert!(support::mails(&service, "").await.is_empty());

    support::register_as(&backends, user, "zoe@home.example", "Zoë").await;
    support::mails_with(&service, &format!("order_id={order}"), 1, "kept").await;
}

#[tokio::test]
async fn hundreds_of_orders_of_unknown_buyers_hold_up_no_other_mail() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    // As after an older copy of the database was put back: these have registered, and it is not known here.
    let buyers: Vec<Uuid> = (0..300).map(|_| Uuid::now_v7()).collect();
    for buyer in &buyers {
        let order = Uuid::now_v7();
        let data = support::confirmed(order, *buyer);
        let about = order.to_string();
        backends
            .publish_event(ORDER_CONFIRMED, &about, 3, data)
            .await;
    }
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    let order = Uuid::now_v7();
    let data = support::confirmed(order, user);
    let about = order.to_string();
    backends
        .publish_event(ORDER_CONFIRMED, &about, 3, data)
        .await;
    support::mails_with(&service, &format!("order_id={order}"), 1, "kept").await;
    eventually("the metric tells who waits", || async {
        let metrics = service.metrics().await;
        metrics.contains("\nevents_parked 300\n").then_some(())
    })
    .await;

    let late = buyers[7];
    support::register_as(&backends, late, "max@home.example", "Max").await;
    let both = format!("user_id={late}");
    support::mails_with(&service, &both, 2, "kept").await;
}

#[tokio::test]
async fn a_broken_event_becomes_a_dead_letter_and_the_next_goes_on() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let broken = backends
        .publish_event(USER_REGISTERED, "x", 1, json!({"user_id": 7}))
        .await;
    let data = json!({"user_id": Uuid::now_v7(), "email": "nobody at home", "name": "Zoë"});
    let nowhere = backends.publish_event(USER_REGISTERED, "y", 1, data).await;
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    support::mails_with(&service, &format!("user_id={user}"), 1, "kept").await;

    let letters = eventually("both are dead letters", || async {
        let answer = service
            .http
            .get(service.admin_at("/dead-letters"))
            .send()
            .await
            .ok()?;
        let letters: Vec<Value> = answer.json().await.ok()?;
        (letters.len() == 2).then_some(letters)
    })
    .await;
    let cause = |id: Uuid| {
        let letter = letters
            .iter()
            .find(|letter| letter["id"] == json!(id))
            .unwrap();
        letter["cause"].as_str().unwrap().to_owned()
    };
    assert!(cause(broken).contains("not as agreed"), "{}", cause(broken));
    assert!(
        cause(nowhere).contains("the address of user"),
        "{}",
        cause(nowhere)
    );
    assert!(
        !cause(nowhere).contains("nobody at home"),
        "{}",
        cause(nowhere)
    );
}

#[tokio::test]
async fn the_list_is_filtered_and_paged_newest_first() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    let other = support::register(&backends, "max@home.example", "Max").await;
    support::mails_with(&service, "kind=welcome", 2, "kept").await;
    for _ in 0..3 {
        let order = Uuid::now_v7();
        backends
            .publish_event(
                ORDER_CANCELLED,
                &order.to_string(),
                2,
                support::cancelled(order, user),
            )
            .await;
    }
    support::mails_with(
        &service,
        &format!("user_id={user}&kind=order_cancelled"),
        3,
        "kept",
    )
    .await;
    assert_eq!(
        support::mails(&service, &format!("user_id={other}"))
            .await
            .len(),
        1
    );

    let (mut cursor, mut seen) = (String::new(), vec![]);
    loop {
        let page: Value = support::get(&service, &format!("/mails?limit=2{cursor}"))
            .await
            .json()
            .await
            .unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(
            items
                .iter()
                .map(|mail| mail["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut expected = seen.clone();
    expected.sort_unstable();
    expected.dedup();
    expected.reverse();
    assert_eq!(seen, expected);
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn old_mails_are_removed_and_failed_ones_later() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    for name in ["new", "old", "failed", "forgotten"] {
        support::register(&backends, &format!("{name}@home.example"), "Zoë").await;
    }
    support::mails_with(&service, "", 4, "kept").await;
    service.stop().await;
    let age = "update mails set created_at = now() - $2::text::interval, status = $3 where to_address like $1 returning id";
    for (name, days, status) in [
        ("old", "15 days", "kept"),
        ("failed", "15 days", "failed"),
        ("forgotten", "91 days", "failed"),
    ] {
        let name = format!("{name}@%");
        look(&backends.direct_db(), age, &[&name, &days, &status]).await;
    }
    let service = support::start(&backends, &[]).await;
    let left = eventually("old mails are removed", || async {
        let left = support::mails(&service, "").await;
        (left.len() == 2).then_some(left)
    })
    .await;
    // Their events are handled side by side, so either may be the newer one.
    let addresses: BTreeSet<_> = left
        .iter()
        .map(|mail| mail["to"].as_str().unwrap())
        .collect();
    let expected = BTreeSet::from(["failed@home.example", "new@home.example"]);
    assert_eq!(addresses, expected);
}

#[tokio::test]
async fn whoever_a_mail_was_sent_to_reads_it_and_nobody_else() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let zoe = support::register(&backends, "zoe@home.example", "Zoe").await;
    let max = support::register(&backends, "max@home.example", "Max").await;
    let mails = support::mails_with(&service, &format!("user_id={zoe}"), 1, "kept").await;
    support::mails_with(&service, &format!("user_id={max}"), 1, "kept").await;
    let id = mails[0]["id"].as_str().unwrap();
    let get = async |who: Uuid, path: &str| {
        let token = testing::token(who, &["buyer"]);
        let request = service.http.get(service.at(path)).bearer_auth(token);
        request.send().await.unwrap()
    };
    for path in ["/mails".to_owned(), format!("/mails?user_id={zoe}")] {
        let list: Value = get(zoe, &path).await.json().await.unwrap();
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{path}: {list}");
        assert_eq!(items[0]["id"], id, "{path}");
    }
    for path in [format!("/mails/{id}"), format!("/mails/{id}/preview")] {
        assert_eq!(get(zoe, &path).await.status(), StatusCode::OK, "{path}");
        assert_eq!(
            get(max, &path).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn only_administrators_read_mails_of_others() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    let id = Uuid::now_v7();
    let buyer = Uuid::now_v7();
    for (path, status, code) in [
        (
            format!("/mails?user_id={id}"),
            StatusCode::FORBIDDEN,
            "forbidden",
        ),
        (format!("/mails/{id}"), StatusCode::NOT_FOUND, "not_found"),
        (
            format!("/mails/{id}/preview"),
            StatusCode::NOT_FOUND,
            "not_found",
        ),
        ("/delivery".to_owned(), StatusCode::FORBIDDEN, "forbidden"),
    ] {
        let ask = || service.http.get(service.at(&path));
        assert_eq!(
            ask().send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
        let buyer = ask().bearer_auth(testing::token(buyer, &["buyer"]));
        let answer = buyer.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], code);
    }
    for (path, code) in [
        (format!("/mails/{id}"), "not_found"),
        (format!("/mails/{id}/preview"), "not_found"),
        ("/mails/seven".to_owned(), "not_found"),
        ("/mails?limit=0".to_owned(), "invalid"),
        ("/mails?limit=101".to_owned(), "invalid"),
        ("/mails?kind=letter".to_owned(), "invalid"),
        ("/mails?cursor=x".to_owned(), "invalid"),
        // Not everybody's mails, because a page forgot whose it wanted.
        ("/mails?user_id=".to_owned(), "invalid"),
        ("/mails?limit=".to_owned(), "invalid"),
    ] {
        let body: Value = support::get(&service, &path).await.json().await.unwrap();
        assert_eq!(body["code"], code, "{path}");
    }
}

#[tokio::test]
async fn an_outage_of_the_database_is_a_clear_answer_and_loses_nothing() {
    let backends = Backends::new().await;
    let service = support::start(&backends, &[]).await;
    assert_eq!(
        support::get(&service, "/mails").await.status(),
        StatusCode::OK
    );
    backends.database_proxy.cut();
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    let answer = support::get(&service, "/mails").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));

    backends.database_proxy.heal();
    eventually("the list answers again", || async {
        (support::get(&service, "/mails").await.status() == StatusCode::OK).then_some(())
    })
    .await;
    support::mails_with(&service, &format!("user_id={user}"), 1, "kept").await;
}

#[tokio::test]
async fn two_connections_are_enough_for_many_mails_and_readers() {
    let backends = Backends::new().await;
    let few = [("DATABASE_MAX_CONNECTIONS", "2".to_owned())];
    let service = support::start(&backends, &few).await;
    for n in 0..10 {
        support::register(&backends, &format!("u{n}@home.example"), "Zoë").await;
    }
    let reader = || support::mails_with(&service, "limit=100", 10, "kept");
    tokio::join!(reader(), reader(), reader(), reader());
    assert!(backends.connections().await <= 2);
}
