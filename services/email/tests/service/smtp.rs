//! Mails go out by SMTP: once, with a Message-ID of their own, past outages of the mail server.

use std::time::Duration;

use chassis::testing::{Backends, Proxy, eventually, look};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support;
use crate::support::sink::{Manner, Sink};
use crate::support::{EMAIL_BOUNCED, EMAIL_SENT, ORDER_CONFIRMED};

#[tokio::test]
async fn a_mail_is_sent_once_with_its_own_message_id() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    let user = support::register(
        &backends,
        "zoe@home.example",
        "Zachariah\r\nBcc: all@home.example",
    )
    .await;
    let order = Uuid::now_v7();
    backends
        .publish_event(
            ORDER_CONFIRMED,
            &order.to_string(),
            3,
            support::confirmed(order, user),
        )
        .await;

    let mails = support::mails_with(&service, &format!("user_id={user}"), 2, "sent").await;
    assert!(mails.iter().all(|mail| mail["sent_at"].is_string()));
    let taken = sink.mails();
    assert_eq!(taken.len(), 2);
    for mail in &mails {
        let id = format!(
            "Message-ID: <{}@shop.example>\r\n",
            mail["id"].as_str().unwrap()
        );
        assert_eq!(taken.iter().filter(|m| m.contains(&id)).count(), 1, "{id}");
    }
    for mail in &taken {
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("From: Demo <shop@shop.example>"), "{head}");
        assert!(head.contains("To: zoe@home.example"), "{head}");
        assert!(!mail.contains("Zachariah"), "what a stranger chose: {mail}");
        assert!(
            !head
                .lines()
                .any(|line| line.to_lowercase().starts_with("bcc")),
            "{head}"
        );
        assert!(
            body.contains("text/plain") && body.contains("text/html"),
            "{body}"
        );
    }
    let published = support::published(&backends, EMAIL_SENT, 2).await;
    assert!(published.iter().all(|event| event["status"] == "sent"));
    assert_eq!(
        published
            .iter()
            .filter(|event| event["order_id"] == json!(order))
            .count(),
        1
    );
}

#[tokio::test]
async fn many_mails_use_few_connections_and_two_instances_send_each_once() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let first = support::start(&backends, &support::smtp(sink.port)).await;
    let second = support::start(&backends, &support::smtp(sink.port)).await;
    for n in 0..40 {
        support::register(&backends, &format!("u{n}@home.example"), "Zoë").await;
    }
    support::mails_with(&first, "limit=100", 40, "sent").await;
    let taken = sink.mails();
    let mut recipients: Vec<&str> = taken.iter().filter_map(|mail| header(mail, "To")).collect();
    recipients.sort_unstable();
    recipients.dedup();
    assert_eq!((taken.len(), recipients.len()), (40, 40));
    // Four of each instance.
    assert!(
        sink.connections() <= 8,
        "{} connections",
        sink.connections()
    );
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn mails_wait_for_a_mail_server_that_is_away() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let proxy = Proxy::start(&format!("127.0.0.1:{}", sink.port)).await;
    let service = support::start(&backends, &support::smtp(proxy.port())).await;
    support::register(&backends, "zoe@home.example", "Zoë").await;
    support::mails_with(&service, "", 1, "sent").await;

    proxy.cut();
    support::register(&backends, "max@home.example", "Max").await;
    eventually("an attempt failed", || async {
        let mails = support::mails(&service, "limit=1").await;
        let id = mails[0]["id"].as_str()?.to_owned();
        let mail: Value = support::get(&service, &format!("/mails/{id}"))
            .await
            .json()
            .await
            .ok()?;
        (mail["to"] == "max@home.example" && mail["last_error"].is_string()).then_some(())
    })
    .await;
    assert_eq!(sink.mails().len(), 1);

    proxy.heal();
    support::mails_with(&service, "", 2, "sent").await;
    assert_eq!(sink.mails().len(), 2);
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_has_failed_and_bounced() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    sink.behave(Manner::Refuses);
    let user = support::register(&backends, "nobody@home.example", "Nobody").await;
    let failed = support::mails_with(&service, "", 1, "failed").await;
    let id = failed[0]["id"].as_str().unwrap();
    let mail: Value = support::get(&service, &format!("/mails/{id}"))
        .await
        .json()
        .await
        .unwrap();
    assert!(
        mail["last_error"]
            .as_str()
            .unwrap()
            .contains("no such person"),
        "{mail}"
    );

    let bounced = support::published(&backends, EMAIL_BOUNCED, 1).await;
    assert_eq!(bounced.len(), 1);
    assert_eq!(bounced[0]["user_id"], json!(user));
    assert_eq!(bounced[0]["reason"], "refused");
    assert_eq!(bounced[0]["smtp_code"], 550);
    assert!(
        !bounced[0].to_string().contains("nobody@"),
        "no address in events"
    );

    // The next mail is not held up.
    sink.behave(Manner::Takes);
    let next = support::register(&backends, "zoe@home.example", "Zoë").await;
    support::mails_with(&service, &format!("user_id={next}"), 1, "sent").await;
}

#[tokio::test]
async fn a_mail_that_is_put_off_is_tried_again_and_holds_nobody_up() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    sink.behave(Manner::Defers);
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    eventually("the mail was put off", || async {
        let metrics = service.metrics().await;
        metrics
            .contains("shop_email_attempts_total{kind=\"welcome\",status=\"deferred\"} 1")
            .then_some(())
    })
    .await;
    put_off(&backends, user, "1 hour").await;
    sink.behave(Manner::Takes);
    let other = support::register(&backends, "max@home.example", "Max").await;
    support::mails_with(&service, &format!("user_id={other}"), 1, "sent").await;
    assert_eq!(
        support::mails(&service, &format!("user_id={user}")).await[0]["status"],
        "queued"
    );
    put_off(&backends, user, "0").await;
    support::mails_with(&service, &format!("user_id={user}"), 1, "sent").await;
}

#[tokio::test]
async fn a_sender_that_died_half_way_costs_at_most_a_second_mail_with_the_same_message_id() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    support::mails_with(&service, "", 1, "sent").await;
    // As it stands after a crash between the server's answer and the mark, once the lease is over.
    let again = "update mails set status = 'sending', sent_at = null, due_at = now() where user_id = $1 returning id";
    look(&backends.direct_db(), again, &[&user]).await;
    support::mails_with(&service, "", 1, "sent").await;

    let taken = sink.mails();
    assert_eq!(taken.len(), 2);
    assert!(header(&taken[0], "Message-ID").is_some());
    for name in ["Message-ID", "Date", "To", "Subject"] {
        assert_eq!(header(&taken[0], name), header(&taken[1], name));
    }
}

#[tokio::test]
async fn a_mail_in_the_hands_of_a_living_sender_is_left_alone() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    let held = support::register(&backends, "zoe@home.example", "Zoë").await;
    support::mails_with(&service, "", 1, "sent").await;
    let hold = "update mails set status = 'sending', sent_at = null, due_at = now() + interval '1 hour' where user_id = $1 returning id";
    look(&backends.direct_db(), hold, &[&held]).await;
    // The sender goes on with the next one and does not touch the first.
    let next = support::register(&backends, "max@home.example", "Max").await;
    support::mails_with(&service, &format!("user_id={next}"), 1, "sent").await;
    assert_eq!(
        support::mails(&service, &format!("user_id={held}")).await[0]["status"],
        "sending"
    );
    assert_eq!(sink.mails().len(), 2);
}

#[tokio::test]
async fn a_mail_at_which_the_server_hangs_up_is_put_off_and_holds_nobody_up() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    sink.behave(Manner::HangsUp);
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    eventually("the server has seen the mail", || async {
        (!sink.mails().is_empty()).then_some(())
    })
    .await;
    put_off(&backends, user, "1 hour").await;
    sink.behave(Manner::Takes);
    let other = support::register(&backends, "max@home.example", "Max").await;
    support::mails_with(&service, &format!("user_id={other}"), 1, "sent").await;
    put_off(&backends, user, "0").await;
    support::mails_with(&service, "", 2, "sent").await;
    let recipients: Vec<_> = sink
        .mails()
        .iter()
        .map(|m| header(m, "To").map(str::to_owned))
        .collect();
    let [first, second, again] = recipients.as_slice() else {
        panic!("{recipients:?}");
    };
    assert!(first == again && first != second, "{recipients:?}");
    let metrics = service.metrics().await;
    assert!(
        metrics.contains("shop_email_attempts_total{kind=\"welcome\",status=\"deferred\"} 1"),
        "{metrics}"
    );
    let ids: Vec<_> = sink
        .mails()
        .iter()
        .map(|m| header(m, "Message-ID").map(str::to_owned))
        .collect();
    assert_eq!(ids[0], ids[2]);
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_to_a_server_that_should_encrypt() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let mut settings = support::smtp(sink.port);
    settings.retain(|(name, _)| *name != "SMTP_TLS");
    settings.extend([
        ("SMTP_TLS", "StartTls".to_owned()),
        ("SMTP_USERNAME", "shop".to_owned()),
        ("SMTP_PASSWORD", "secret".to_owned()),
    ]);
    let service = support::start(&backends, &settings).await;
    support::register(&backends, "zoe@home.example", "Zoë").await;
    let mail = eventually("an attempt failed", || async {
        let mails = support::mails(&service, "").await;
        let id = mails.first()?["id"].as_str()?.to_owned();
        let mail: Value = support::get(&service, &format!("/mails/{id}"))
            .await
            .json()
            .await
            .ok()?;
        mail["last_error"].is_string().then_some(mail)
    })
    .await;
    let error = mail["last_error"].as_str().unwrap();
    assert!(error.contains("cannot be encrypted"), "{error}");
    assert!(sink.mails().is_empty());
    assert!(sink.connections() > 0);
}

#[tokio::test]
async fn mails_go_out_while_the_broker_is_away_and_are_announced_later() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let proxy = Proxy::start(&format!("127.0.0.1:{}", sink.port)).await;
    proxy.cut();
    let service = support::start(&backends, &support::smtp(proxy.port())).await;
    let user = support::register(&backends, "zoe@home.example", "Zoë").await;
    support::mails_with(&service, "", 1, "queued").await;
    backends.nats_proxy.cut();
    proxy.heal();
    support::mails_with(&service, "", 1, "sent").await;
    assert!(backends.published(EMAIL_SENT).await.is_empty());
    backends.nats_proxy.heal();
    let published = support::published(&backends, EMAIL_SENT, 1).await;
    assert_eq!(published[0]["user_id"], json!(user));
}

#[tokio::test]
async fn stopping_is_quick_while_the_mail_server_is_away() {
    let backends = Backends::new().await;
    // Nobody listens on a port that was just given back.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let service = support::start(&backends, &support::smtp(port)).await;
    support::register(&backends, "zoe@home.example", "Zoë").await;
    eventually("an attempt failed", || async {
        service
            .metrics()
            .await
            .contains("status=\"unreachable\"")
            .then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(10), service.stop())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_a_mail_that_the_server_looks_into() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    sink.behave(Manner::HoldsAnswer);
    support::register(&backends, "zoe@home.example", "Zoë").await;
    eventually("the server has the mail", || async {
        (sink.mails().len() == 1).then_some(())
    })
    .await;
    let (http, ready) = (service.http.clone(), service.admin_at("/readyz"));
    let stop = tokio::spawn(service.stop());
    eventually("it stops", || async {
        let answer = http.get(ready.clone()).send().await.ok()?;
        (!answer.status().is_success()).then_some(())
    })
    .await;
    sink.answer();
    stop.await.unwrap();

    sink.behave(Manner::Takes);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    // A mail that comes later is sent: so the one before does not wait for the end of a lease.
    support::register(&backends, "max@home.example", "Max").await;
    support::mails_with(&service, "", 2, "sent").await;
    assert_eq!(sink.mails().len(), 2);
}

/// Puts the mail to `user` off for as long as the test needs, once the sender has put it back into the queue.
async fn put_off(backends: &Backends, user: Uuid, pause: &str) {
    eventually("the mail is back in the queue", || async {
        let sql = "update mails set due_at = now() + $2::text::interval
                   where user_id = $1 and status = 'queued' and attempts > 0 returning id";
        let rows = look(&backends.direct_db(), sql, &[&user, &pause]).await;
        (rows.len() == 1).then_some(())
    })
    .await;
}

/// The value of a header, unfolded as far as a test needs it.
fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    mail.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
