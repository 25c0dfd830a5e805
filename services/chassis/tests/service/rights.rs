//! What a service needs at the broker: the rights that the operator gives it by its document, and no more.

use chassis::testing::{self, Backends, eventually, look};
use serde_json::json;

use crate::notes::{Notes, SUBSCRIBED, WRITTEN, write_note};

/// Older than all others, and more than the relay takes at once.
const REFUSED: &str = "
    insert into outbox (id, subject, envelope)
    select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'shop.notes.note.forgotten.v1', '{}'
    from generate_series(1, 250) n";

#[tokio::test]
async fn a_service_works_with_the_rights_that_its_document_gives_it() {
    let backends = Backends::new().await;
    let broker = backends.nats_url_as_notes();
    let service = testing::start::<Notes>(&backends, &[("NATS_URL", &broker)]).await;
    write_note(&service, "mine").await;
    backends
        .publish_event(SUBSCRIBED, "theirs", 1, json!({"when": "now"}))
        .await;
    eventually("both events have arrived", || async {
        let applied = look(&backends.direct_db(), "select 1 from received", &[]).await;
        (backends.published(WRITTEN).await.len() == 1 && applied.len() == 1).then_some(())
    })
    .await;
    service.stop().await;
    let db = backends.direct_db();
    let published =
        "select id, stream_sequence, published_at::text from outbox where published_at is not null";
    let before = look(&db, published, &[]).await;
    assert_eq!(before.len(), 1);
    // It is ready once it has seen that the broker still has what it published.
    let again = testing::start::<Notes>(&backends, &[("NATS_URL", &broker)]).await;
    again.stop().await;
    let after = look(&db, published, &[]).await;
    let what = |rows: &[chassis::db::Row]| -> Vec<(uuid::Uuid, i64, String)> {
        rows.iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .collect()
    };
    assert_eq!(what(&after), what(&before), "nothing was published again");
}

#[tokio::test]
async fn replicas_take_turns_at_looking_for_what_the_broker_lost() {
    let backends = Backends::new().await;
    let broker = backends.nats_url_as_notes();
    let settings = [("NATS_URL", broker.as_str())];
    let first = testing::start::<Notes>(&backends, &settings).await;
    for text in ["a", "b", "c"] {
        write_note(&first, text).await;
    }
    eventually("all is acknowledged", || async {
        let sql = "select 1 from outbox where published_at is not null";
        (look(&backends.direct_db(), sql, &[]).await.len() == 3).then_some(())
    })
    .await;
    // Each looks before it is ready.
    let others = (0..4).map(|_| testing::start::<Notes>(&backends, &settings));
    let others = futures::future::join_all(others).await;
    let unpublished = "select 1 from outbox where published_at is null";
    assert!(
        look(&backends.direct_db(), unpublished, &[])
            .await
            .is_empty()
    );
    assert_eq!(backends.published(WRITTEN).await.len(), 3);
    for service in others.into_iter().chain([first]) {
        service.stop().await;
    }
}

#[tokio::test]
async fn events_that_the_broker_does_not_take_hold_up_no_others() {
    let backends = Backends::new().await;
    let broker = backends.nats_url_as_notes();
    let service = testing::start::<Notes>(&backends, &[("NATS_URL", &broker)]).await;
    let db = backends.direct_db();
    let connection = db.get().await.expect("the test's database");
    connection.batch_execute(REFUSED).await.expect("rows");
    write_note(&service, "after").await;
    eventually("the note is published", || async {
        (backends.published(WRITTEN).await.len() == 1).then_some(())
    })
    .await;
    let kept = look(&db, "select 1 from outbox where published_at is null", &[]).await;
    assert_eq!(kept.len(), 250, "what is refused is kept");
    service.stop().await;
}
