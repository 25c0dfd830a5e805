//! Events under the smallest service: applied once, parked, tried again, dead; two versions of a service side by side.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::PullConsumer;
use chassis::testing::{self, Backends, TestEvent, TestService, eventually, look};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::notes::{NEWS, Notes, NotesNext, SUBSCRIBED, write_note};

async fn received(backends: &Backends, aggregate: &str) -> Option<(i64, i64)> {
    look(
        &backends.direct_db(),
        "select sequence, times from received where aggregate = $1",
        &[&aggregate],
    )
    .await
    .first()
    .map(|row| (row.get(0), row.get(1)))
}

async fn count(backends: &Backends, sql: &str) -> i64 {
    look(&backends.direct_db(), sql, &[]).await[0].get(0)
}

async fn until_count(backends: &Backends, sql: &str, expected: i64) {
    eventually(&format!("{expected} of {sql}"), || async {
        (count(backends, sql).await == expected).then_some(())
    })
    .await;
}

async fn listed(service: &TestService, path: &str) -> Vec<Value> {
    let answer = service.http.get(service.admin_at(path)).send().await;
    answer.expect("an answer").json().await.expect("a list")
}

/// So many events of each kind.
async fn say_both_kinds(backends: &Backends, count: usize) {
    for n in 0..count {
        for (kind, name) in [(SUBSCRIBED, "subscribed"), (NEWS, "news")] {
            let about = format!("{name}-{n}");
            backends
                .publish_event(kind, &about, 1, json!({"when": "now"}))
                .await;
        }
    }
}

const DEAD: &str = "select count(*) from failed_events where dead_at is not null";

#[tokio::test]
async fn an_event_is_applied_once_and_only_the_latest_of_an_aggregate_counts() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let event = TestEvent::now(SUBSCRIBED, "a", 2, json!({ "when": "now" }));
    for _ in 0..3 {
        backends.deliver(&event).await;
    }
    // Several are worked on at once: what comes late must not come before what it is later than.
    service.until_processed(SUBSCRIBED, 3).await;
    backends
        .publish_event(SUBSCRIBED, "a", 1, json!({ "when": "now" }))
        .await;
    backends
        .publish_event(SUBSCRIBED, "b", 1, json!({ "when": "now" }))
        .await;
    service.until_processed(SUBSCRIBED, 5).await;
    assert_eq!(received(&backends, "a").await, Some((2, 1)));
    assert_eq!(received(&backends, "b").await, Some((1, 1)));
    service.stop().await;
}

#[tokio::test]
async fn broken_events_end_among_the_dead_letters_and_the_queue_goes_on() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    // With a character that PostgreSQL's text does not take.
    backends
        .publish(SUBSCRIBED, "no JSON at all \0".to_owned())
        .await;
    let never = backends
        .publish_event(SUBSCRIBED, "a", 1, json!({ "when": "never" }))
        .await;
    backends
        .publish_event(SUBSCRIBED, "c", 1, json!({ "no": "when" }))
        .await;
    backends
        .publish_event(SUBSCRIBED, "b", 1, json!({ "when": "now" }))
        .await;
    eventually("the good one is applied", || received(&backends, "b")).await;
    let letters = eventually("three are dead", || async {
        let letters = listed(&service, "/dead-letters").await;
        (letters.len() == 3).then_some(letters)
    })
    .await;
    let causes: Vec<_> = letters
        .iter()
        .map(|l| l["cause"].as_str().unwrap())
        .collect();
    for part in ["no CloudEvent", "never is never", "missing field `when`"] {
        assert!(
            causes.iter().any(|c| c.contains(part)),
            "{part} in {causes:?}"
        );
    }
    let path = format!("/dead-letters/{never}");
    let letter = service
        .http
        .get(service.admin_at(&path))
        .send()
        .await
        .unwrap();
    assert!(
        letter.json::<Value>().await.unwrap()["payload"]
            .as_str()
            .unwrap()
            .contains("never")
    );
    let again = service
        .http
        .post(service.admin_at(&format!("{path}/retry")))
        .send()
        .await
        .unwrap();
    assert_eq!(
        again.status(),
        StatusCode::CONFLICT,
        "it is as broken as before"
    );
    look(
        &backends.direct_db(),
        "update failed_events set payload = replace(payload, 'never', 'now') where id = $1",
        &[&never],
    )
    .await;
    let again = service
        .http
        .post(service.admin_at(&format!("{path}/retry")))
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(received(&backends, "a").await, Some((1, 1)));
    assert_eq!(listed(&service, "/dead-letters").await.len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn an_event_is_what_its_subject_says() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let forged = json!({
        "specversion": "1.0", "id": Uuid::now_v7(), "source": "/shop/others", "type": NEWS, "subject": "a",
        "time": "2026-01-02T03:04:05Z", "sequence": 1, "data": {"when": "now"},
    });
    backends.publish(SUBSCRIBED, forged.to_string()).await;
    let letters = eventually("it is dead", || async {
        let letters = listed(&service, "/dead-letters").await;
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    let cause = letters[0]["cause"].as_str().unwrap();
    assert!(
        cause.contains(NEWS) && cause.contains(SUBSCRIBED),
        "{cause}"
    );
    assert_eq!(received(&backends, "a").await, None);
    service.stop().await;
}

#[tokio::test]
async fn the_old_version_leaves_a_new_kind_to_the_new_one_beside_it() {
    let backends = Backends::new().await;
    let old = testing::start::<Notes>(&backends, &[]).await;
    let new = testing::start::<NotesNext>(&backends, &[]).await;
    say_both_kinds(&backends, 40).await;
    until_count(&backends, "select count(*) from received", 80).await;
    old.stop().await;
    backends
        .publish_event(NEWS, "later", 1, json!({"when": "now"}))
        .await;
    eventually("it is applied", || received(&backends, "later")).await;
    assert_eq!(
        count(&backends, "select count(*) from received where times > 1").await,
        0
    );
    assert_eq!(
        count(&backends, "select count(*) from failed_events").await,
        0
    );
    new.stop().await;
}

#[tokio::test]
async fn what_is_published_while_only_the_old_version_runs_waits_for_the_new_one() {
    let backends = Backends::new().await;
    let new = testing::start::<NotesNext>(&backends, &[]).await;
    let old = testing::start::<Notes>(&backends, &[]).await;
    new.stop().await;
    say_both_kinds(&backends, 20).await;
    until_count(&backends, "select count(*) from received", 20).await;
    let new = testing::start::<NotesNext>(&backends, &[]).await;
    until_count(&backends, "select count(*) from received", 40).await;
    assert_eq!(
        count(&backends, "select count(*) from failed_events").await,
        0
    );
    old.stop().await;
    new.stop().await;
}

#[tokio::test]
async fn hundreds_of_parked_events_hold_up_nobody_and_are_released_by_what_they_wait_for() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let waiting = json!({"when": "after", "note": "milk", "at_most_s": 3600});
    for n in 0..300 {
        backends
            .publish_event(SUBSCRIBED, &format!("w{n}"), 1, waiting.clone())
            .await;
    }
    backends
        .publish_event(SUBSCRIBED, "ready", 1, json!({"when": "now"}))
        .await;
    eventually("the one behind them is applied", || {
        received(&backends, "ready")
    })
    .await;
    let parked = "select count(*) from failed_events where waits_for = 'milk' and dead_at is null";
    until_count(&backends, parked, 300).await;
    eventually("the metric tells", || async {
        let metrics = service.metrics().await;
        metrics.contains("\nevents_parked 300\n").then_some(())
    })
    .await;
    let first = &listed(&service, "/parked-events?limit=1").await[0];
    assert_eq!(first["waits_for"], "milk");
    assert!(first["expires_at"].is_string(), "{first}");
    // Far from their next look by themselves: what comes now comes from the release.
    let far = "update failed_events set due_at = now() + interval '1 hour'";
    look(&backends.direct_db(), far, &[]).await;

    write_note(&service, "milk").await;
    until_count(&backends, "select count(*) from received", 301).await;
    assert_eq!(
        count(&backends, "select count(*) from failed_events").await,
        0
    );
    service.stop().await;
}

#[tokio::test]
async fn what_waits_too_long_is_dead_and_can_be_tried_again() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let waiting = json!({"when": "after", "note": "milk", "at_most_s": 1});
    let id = backends.publish_event(SUBSCRIBED, "a", 1, waiting).await;
    let letters = eventually("it is dead", || async {
        let letters = listed(&service, "/dead-letters").await;
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    assert_eq!(letters[0]["cause"], "the note is not there");
    assert!(listed(&service, "/parked-events").await.is_empty());
    write_note(&service, "milk").await;
    let retry = service.admin_at(&format!("/dead-letters/{id}/retry"));
    let answer = service.http.post(retry).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(received(&backends, "a").await, Some((1, 1)));
    service.stop().await;
}

#[tokio::test]
async fn a_panic_and_a_refused_statement_are_failures_of_their_event_alone() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let panics = backends
        .publish_event(SUBSCRIBED, "panic", 1, json!({"when": "panic"}))
        .await;
    backends
        .publish_event(SUBSCRIBED, "mended", 1, json!({"when": "refused"}))
        .await;
    backends
        .publish_event(SUBSCRIBED, "ready", 1, json!({"when": "now"}))
        .await;
    eventually("the good one is applied", || received(&backends, "ready")).await;
    let attempts = "select coalesce(min(attempts), 0)::bigint from failed_events";
    eventually("both are tried again", || async {
        let both = count(&backends, "select count(*) from failed_events").await == 2;
        (both && count(&backends, attempts).await >= 2).then_some(())
    })
    .await;
    let cause = look(
        &backends.direct_db(),
        "select cause from failed_events where id = $1",
        &[&panics],
    )
    .await[0]
        .get::<_, String>(0);
    assert_eq!(cause, "the handler panicked: a mistake in the handler");
    // Its tenth failure is the last.
    let last = "update failed_events set attempts = 9, due_at = now() where id = $1";
    look(&backends.direct_db(), last, &[&panics]).await;
    until_count(&backends, DEAD, 1).await;
    // What was mended in the meantime is applied by the next try.
    let mended = "update failed_events set payload = replace(payload, '\"refused\"', '\"now\"'), due_at = now()
                  where dead_at is null";
    look(&backends.direct_db(), mended, &[]).await;
    eventually("it is applied", || received(&backends, "mended")).await;
    service.stop().await;
}

#[tokio::test]
async fn what_the_previous_version_left_to_be_tried_again_is_tried_again() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let id = Uuid::now_v7();
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/shop/others", "type": SUBSCRIBED, "subject": "a",
        "time": "2026-01-02T03:04:05Z", "sequence": 1, "data": {"when": "now"},
    });
    let left = "insert into failed_events (id, subject, payload, attempts, cause) values ($1, $2, $3, 1, 'not yet')";
    look(
        &backends.direct_db(),
        left,
        &[&id, &SUBSCRIBED, &event.to_string()],
    )
    .await;
    eventually("it is applied", || received(&backends, "a")).await;
    assert_eq!(
        count(&backends, "select count(*) from failed_events").await,
        0
    );
    service.stop().await;
}

#[tokio::test]
async fn a_stop_hands_back_what_was_pulled_and_not_begun() {
    let backends = Backends::new().await;
    let first = testing::start::<Notes>(&backends, &[]).await;
    let mut connection = backends.direct_db().get().await.unwrap();
    let lock = connection.transaction().await.unwrap();
    let hold = "set local idle_in_transaction_session_timeout = 0; lock table received";
    lock.batch_execute(hold).await.unwrap();
    for n in 0..60 {
        backends
            .publish_event(SUBSCRIBED, &format!("{n}"), 1, json!({"when": "now"}))
            .await;
    }
    let stream = backends.jetstream().await.get_stream("SHOP").await.unwrap();
    let delivered = || async {
        let consumer: PullConsumer = stream
            .get_consumer("notes-shop-others-note-published-v1")
            .await
            .ok()?;
        Some(consumer.cached_info().num_ack_pending)
    };
    // Eight are begun and wait for the table.
    eventually("more than can be begun are pulled", || async {
        (delivered().await? > 8).then_some(())
    })
    .await;
    let (http, ready) = (first.http.clone(), first.admin_at("/readyz"));
    let stopping = tokio::spawn(first.stop());
    eventually("it stops", || async {
        let answer = http.get(ready.clone()).send().await.ok()?;
        (answer.status() != reqwest::StatusCode::OK).then_some(())
    })
    .await;
    // What was begun goes on.
    lock.commit().await.unwrap();
    stopping.await.unwrap();
    let second = testing::start::<Notes>(&backends, &[]).await;
    let started = Instant::now();
    until_count(&backends, "select count(*) from received", 60).await;
    // Nothing had to wait until the broker noticed that nobody answers, which it does after 30 s.
    let took = started.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    second.stop().await;
}

#[tokio::test]
async fn what_a_broken_database_refuses_to_keep_is_delivered_again_until_it_is_mended() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let break_it = "alter table failed_events add constraint broken check (attempts < 0) not valid";
    look(&backends.direct_db(), break_it, &[]).await;
    let never = backends
        .publish_event(SUBSCRIBED, "a", 1, json!({ "when": "never" }))
        .await;
    backends
        .publish_event(SUBSCRIBED, "b", 1, json!({ "when": "now" }))
        .await;
    service.until_processed(SUBSCRIBED, 2).await;
    eventually("the one behind it is applied", || received(&backends, "b")).await;
    let metrics = service.metrics().await;
    let waits = "outcome=\"refused\"}";
    assert!(metrics.contains(waits), "{metrics}");

    let mend = "alter table failed_events drop constraint broken";
    look(&backends.direct_db(), mend, &[]).await;
    until_count(&backends, DEAD, 1).await;
    let letters = listed(&service, "/dead-letters").await;
    assert_eq!(letters[0]["id"], never.to_string());
    service.stop().await;
}

/// Longer than there are times in PostgreSQL.
#[tokio::test]
async fn an_event_that_would_wait_for_ever_is_kept() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let waiting = json!({"when": "after", "note": "milk", "at_most_s": u64::MAX});
    backends.publish_event(SUBSCRIBED, "a", 1, waiting).await;
    let parked = "select count(*) from failed_events where waits_for = 'milk'";
    until_count(&backends, parked, 1).await;
    write_note(&service, "milk").await;
    eventually("it is applied", || received(&backends, "a")).await;
    service.stop().await;
}

#[tokio::test]
async fn a_letter_that_was_discarded_does_not_come_back_with_the_next_delivery() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let event = TestEvent::now(SUBSCRIBED, "a", 1, json!({ "when": "never" }));
    let deliver_both = async || {
        backends.deliver(&event).await;
        backends.publish(SUBSCRIBED, "no event".to_owned()).await;
    };
    deliver_both().await;
    until_count(&backends, DEAD, 2).await;
    for letter in listed(&service, "/dead-letters").await {
        let path = format!("/dead-letters/{}", letter["id"].as_str().unwrap());
        let discarded = service.http.delete(service.admin_at(&path)).send();
        assert_eq!(discarded.await.unwrap().status(), StatusCode::NO_CONTENT);
    }
    deliver_both().await;
    service.until_processed(SUBSCRIBED, 4).await;
    assert_eq!(count(&backends, DEAD).await, 0);
    service.stop().await;
}

#[tokio::test]
async fn dead_letters_are_paged_discarded_and_end_after_a_month() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let fill = "insert into failed_events (id, subject, payload, attempts, cause, dead_at)
        select gen_random_uuid(), 'x', '', 1, 'c', now() - interval '1 second' * (n / 7) from generate_series(1, 250) n";
    look(&backends.direct_db(), fill, &[]).await;
    let (mut seen, mut path) = (vec![], "/dead-letters".to_owned());
    loop {
        let page = listed(&service, &path).await;
        let ids = page.iter().map(|l| l["id"].as_str().unwrap().to_owned());
        seen.extend(ids);
        match page.last() {
            Some(last) if page.len() == 100 => {
                path = format!("/dead-letters?after={}", last["id"].as_str().unwrap());
            }
            _ => break,
        }
    }
    assert_eq!(seen.len(), 250);
    let one = service.admin_at(&format!("/dead-letters/{}", seen[99]));
    let discard = || service.http.delete(one.clone()).send();
    assert_eq!(discard().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(discard().await.unwrap().status(), StatusCode::NOT_FOUND);
    let behind = format!("/dead-letters?limit=1&after={}", seen[99]);
    assert_eq!(listed(&service, &behind).await[0]["id"], seen[100]);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 250);

    let age = "update failed_events set dead_at = now() - interval '31 days' where id::text < '8'";
    look(&backends.direct_db(), age, &[]).await;
    let old = "select count(*) from failed_events where dead_at < now() - interval '30 days'";
    until_count(&backends, old, 0).await;
    assert!(count(&backends, DEAD).await > 0, "the younger ones stay");
    service.stop().await;
}
