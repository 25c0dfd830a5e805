//! What the mail server refuses: of one mail, or of all because of a setting.

use chassis::testing::{Backends, TestService, eventually, look};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support;
use crate::support::sink::{Manner, Sink};
use crate::support::{EMAIL_BOUNCED, EMAIL_SENT};

async fn register(backends: &Backends, names: &[&str]) {
    for name in names {
        support::register(backends, &format!("{name}@home.example"), "Zoë").await;
    }
}

/// Waits until no mail goes out for this reason, and returns what the service says of it.
async fn stopped(service: &TestService, reason: &str) -> Value {
    eventually(&format!("no mail goes out: {reason}"), || async {
        let delivery = support::delivery(service).await;
        (delivery["state"] == "stopped" && delivery["reason"] == reason).then_some(delivery)
    })
    .await
}

/// Waits until the service has met the mail server this often with this outcome.
async fn attempts(service: &TestService, status: &str, least: usize) {
    eventually(&format!("{least} attempts are {status}"), || async {
        let label = format!("shop_email_attempts_total{{kind=\"welcome\",status=\"{status}\"}} ");
        let metrics = service.metrics().await;
        let count = metrics.lines().find_map(|line| line.strip_prefix(&label));
        (count?.parse::<usize>().unwrap() >= least).then_some(())
    })
    .await;
}

/// Lets mails go at once that are put off.
async fn hurry(backends: &Backends) {
    let sql = "update mails set due_at = now() where status = 'queued' returning id";
    look(&backends.direct_db(), sql, &[]).await;
}

#[tokio::test]
async fn a_wrong_setting_fails_no_mail_and_all_go_out_when_it_is_right() {
    for manner in [Manner::RefusesSender, Manner::DeniesRelay] {
        let (backends, sink) = (Backends::new().await, Sink::start().await);
        let service = support::start(&backends, &support::smtp(sink.port)).await;
        assert_eq!(support::delivery(&service).await["state"], "working");
        sink.behave(manner);
        register(&backends, &["a", "b", "c"]).await;
        // More attempts than there are mails: none was given up by the first ones.
        attempts(&service, "sender_refused", 4).await;
        let delivery = stopped(&service, "sender_refused").await;
        let code = if manner == Manner::RefusesSender {
            553
        } else {
            554
        };
        assert_eq!(
            (&delivery["smtp_code"], &delivery["waiting"]),
            (&json!(code), &json!(3))
        );
        let gauge = "shop_email_stopped{reason=\"sender_refused\"} 1";
        assert!(service.metrics().await.contains(gauge));
        assert!(support::mails(&service, "status=failed").await.is_empty());

        sink.behave(Manner::Takes);
        hurry(&backends).await;
        support::mails_with(&service, "", 3, "sent").await;
        assert_eq!(sink.mails().len(), 3);
        assert!(backends.published(EMAIL_BOUNCED).await.is_empty());
        let delivery = support::delivery(&service).await;
        assert_eq!(
            (&delivery["state"], &delivery["waiting"]),
            (&json!("working"), &json!(0))
        );
        let gauge = "shop_email_stopped{reason=\"sender_refused\"} 0";
        assert!(service.metrics().await.contains(gauge));
    }
}

#[tokio::test]
async fn a_recipient_that_is_refused_like_a_sender_fails_once_others_have_passed() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    sink.behave_to("odd", Manner::DeniesRelay);
    register(&backends, &["odd"]).await;
    stopped(&service, "sender_refused").await;
    register(&backends, &["good"]).await;
    // The good one shows that it is not the sender, and lets the odd one go again.
    let failed = eventually("the odd one has failed", || async {
        support::mails(&service, "status=failed").await.pop()
    })
    .await;
    assert_eq!(failed["to"], "odd@home.example");
    support::mails_with(&service, "status=sent", 1, "sent").await;
    assert_eq!(support::delivery(&service).await["state"], "working");
    let bounced = support::published(&backends, EMAIL_BOUNCED, 1).await;
    assert_eq!(
        (&bounced[0]["reason"], &bounced[0]["smtp_code"]),
        (&json!("refused"), &json!(554))
    );
}

#[tokio::test]
async fn a_mail_that_has_failed_is_sent_again_when_asked_for() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    sink.behave(Manner::Refuses);
    register(&backends, &["zoe"]).await;
    let failed = support::mails_with(&service, "", 1, "failed").await;
    let path = format!("/mails/{}/retry", failed[0]["id"].as_str().unwrap());
    // It is as if it were new, however old it is.
    let age = "update mails set created_at = now() - interval '30 days' returning id";
    look(&backends.direct_db(), age, &[]).await;

    let queued = support::post(&service, &path).await;
    assert_eq!(queued.status(), 200);
    assert_eq!(queued.json::<Value>().await.unwrap()["status"], "queued");
    eventually("it has failed once more", || async {
        (backends.published(EMAIL_BOUNCED).await.len() == 2).then_some(())
    })
    .await;
    sink.behave(Manner::Takes);
    support::mails_with(&service, "", 1, "failed").await;
    assert_eq!(support::post(&service, &path).await.status(), 200);
    support::mails_with(&service, "", 1, "sent").await;
    support::published(&backends, EMAIL_SENT, 1).await;
    let sequence = |event: &Value| event["sequence"].as_i64().unwrap();
    let mut sequences: Vec<_> = backends
        .published(EMAIL_BOUNCED)
        .await
        .iter()
        .map(sequence)
        .collect();
    sequences.extend(backends.published(EMAIL_SENT).await.iter().map(sequence));
    sequences.sort_unstable();
    assert_eq!(
        sequences,
        [1, 2, 3],
        "each end of the journey is an event of its own"
    );

    let refused = support::post(&service, &path).await;
    assert_eq!(refused.status(), 409);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "not_failed");
    let nothing = format!("/mails/{}/retry", Uuid::now_v7());
    assert_eq!(support::post(&service, &nothing).await.status(), 404);
}

#[tokio::test]
async fn one_slow_mail_holds_nobody_up() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    sink.behave_to("slow", Manner::FallsSilent);
    register(&backends, &["slow"]).await;
    eventually("the server has the slow one", || async {
        (sink.mails().len() == 1).then_some(())
    })
    .await;
    register(&backends, &["a", "b", "c"]).await;
    support::mails_with(&service, "status=sent", 3, "sent").await;
    let sending = support::mails(&service, "status=sending").await;
    assert_eq!(sending[0]["to"], "slow@home.example");
}

#[tokio::test]
async fn a_mail_that_the_server_has_is_not_sent_again_because_the_database_was_away() {
    let (backends, sink) = (Backends::new().await, Sink::start().await);
    let service = support::start(&backends, &support::smtp(sink.port)).await;
    sink.behave(Manner::HoldsAnswer);
    register(&backends, &["zoe"]).await;
    eventually("the server has the mail", || async {
        (sink.mails().len() == 1).then_some(())
    })
    .await;
    backends.database_proxy.cut();
    sink.behave(Manner::Takes);
    sink.answer();
    // The outage is longer than the lease.
    let over = "update mails set due_at = now() - interval '1 minute' where status = 'sending' returning id";
    assert_eq!(look(&backends.direct_db(), over, &[]).await.len(), 1);
    eventually("the mark has failed", || async {
        let metrics = service.metrics().await;
        metrics.contains("shop_email_unmarked 1").then_some(())
    })
    .await;
    backends.database_proxy.heal();
    support::mails_with(&service, "", 1, "sent").await;
    // A mail that comes later is sent: so the one before was not waiting to go out again.
    register(&backends, &["max"]).await;
    support::mails_with(&service, "", 2, "sent").await;
    assert_eq!(sink.mails().len(), 2);
}
