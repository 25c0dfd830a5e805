//! What the broker keeps and what it loses: the limits of the stream, and its volume put back to an older state.

use async_nats::jetstream::stream;
use bytes::Bytes;
use chassis::testing::{self, Backends, TestService, eventually, look};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::notes::{Notes, SUBSCRIBED, WRITTEN, write_note};

/// The stream with its messages and consumers, as it is on the broker's volume.
struct Snapshot {
    config: Value,
    state: Value,
    chunks: Vec<Bytes>,
}

const STREAM_API: &str = "$JS.API.STREAM";

async fn ask(client: &async_nats::Client, subject: String, request: Value) -> Value {
    let answer = client.request(subject, request.to_string().into()).await;
    let answer: Value = serde_json::from_slice(&answer.expect("an answer").payload).expect("JSON");
    assert!(answer.get("error").is_none(), "{answer}");
    answer
}

/// Takes a copy of the stream.
async fn snapshot(backends: &Backends) -> Snapshot {
    let client = backends.jetstream().await.client();
    let inbox = client.new_inbox();
    let mut incoming = client.subscribe(inbox.clone()).await.unwrap();
    let request = json!({ "deliver_subject": inbox });
    let subject = format!("{STREAM_API}.SNAPSHOT.SHOP");
    let answer = ask(&client, subject, request).await;
    let mut chunks = vec![];
    loop {
        let chunk = incoming.next().await.expect("a chunk");
        if chunk.payload.is_empty() {
            break;
        }
        if let Some(reply) = chunk.reply {
            client.publish(reply, Bytes::new()).await.unwrap();
        }
        chunks.push(chunk.payload);
    }
    Snapshot {
        config: answer["config"].clone(),
        state: answer["state"].clone(),
        chunks,
    }
}

/// Puts the copy in the place of the stream.
async fn put_back(backends: &Backends, snapshot: &Snapshot) {
    let jetstream = backends.jetstream().await;
    jetstream.delete_stream("SHOP").await.unwrap();
    let client = jetstream.client();
    let subject = format!("{STREAM_API}.RESTORE.SHOP");
    let request = json!({ "config": snapshot.config, "state": snapshot.state });
    let answer = ask(&client, subject, request).await;
    let to = answer["deliver_subject"].as_str().unwrap().to_owned();
    for chunk in &snapshot.chunks {
        client.request(to.clone(), chunk.clone()).await.unwrap();
    }
    let done = client.request(to, Bytes::new()).await.unwrap();
    let done: Value = serde_json::from_slice(&done.payload).unwrap();
    assert!(done.get("error").is_none(), "{done}");
}

/// The texts of the notes that are in the stream, in its order.
async fn published(backends: &Backends) -> Vec<String> {
    let events = backends.published(WRITTEN).await;
    let texts = events.iter().map(|e| e["data"]["text"].as_str());
    texts.map(|text| text.unwrap().to_owned()).collect()
}

/// Of each event the place in the stream that was acknowledged, and when, in the order in which they happened.
async fn places(backends: &Backends) -> Vec<(i64, String)> {
    let sql = "select stream_sequence, published_at::text from outbox where published_at is not null order by id";
    let rows = look(&backends.direct_db(), sql, &[]).await;
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn until_published(backends: &Backends, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    eventually(&format!("{expected:?} are in the stream"), || async {
        let mut published = published(backends).await;
        published.sort_unstable();
        (published == expected).then_some(())
    })
    .await;
}

/// Notes of which the broker then loses the last three. It comes back, and what others publish gets further than what was
/// lost; the service is still cut off from it.
async fn lose_three_of_six(backends: &Backends, service: &TestService) {
    for text in ["a", "b", "c"] {
        write_note(service, text).await;
    }
    until_published(backends, &["a", "b", "c"]).await;
    let older = snapshot(backends).await;
    for text in ["d", "e", "f"] {
        write_note(service, text).await;
    }
    backends
        .publish_event(SUBSCRIBED, "lost", 1, json!({"when": "now"}))
        .await;
    until_published(backends, &["a", "b", "c", "d", "e", "f"]).await;
    let unpublished = "select count(*) from outbox where published_at is null";
    eventually("all is acknowledged", || async {
        let rows = look(&backends.direct_db(), unpublished, &[]).await;
        (rows[0].get::<_, i64>(0) == 0).then_some(())
    })
    .await;

    backends.nats_proxy.cut();
    put_back(backends, &older).await;
    until_published(backends, &["a", "b", "c"]).await;
    for n in 0..10 {
        let about = format!("other-{n}");
        backends
            .publish_event(SUBSCRIBED, &about, 1, json!({"when": "now"}))
            .await;
    }
}

#[tokio::test]
async fn what_is_published_first_after_a_loss_does_not_hide_it() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    lose_three_of_six(&backends, &service).await;
    backends.nats_proxy.heal();
    write_note(&service, "g").await;
    until_published(&backends, &["a", "b", "c", "d", "e", "f", "g"]).await;
    service.stop().await;
}

#[tokio::test]
async fn what_the_broker_lost_is_published_again_though_others_have_taken_its_place() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    lose_three_of_six(&backends, &service).await;
    backends.nats_proxy.heal();

    until_published(&backends, &["a", "b", "c", "d", "e", "f"]).await;
    // The consumers of the older state go on as well.
    eventually("what others published is applied", || async {
        let received = "select count(*) from received where aggregate like 'other-%'";
        let rows = look(&backends.direct_db(), received, &[]).await;
        (rows[0].get::<_, i64>(0) == 10).then_some(())
    })
    .await;
    // And it is marked once: the next look finds everything in its place, and only what is new is published.
    let before = eventually("all is acknowledged again", || async {
        let places = places(&backends).await;
        (places.len() == 6).then_some(places)
    })
    .await;
    service.stop().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    write_note(&service, "g").await;
    until_published(&backends, &["a", "b", "c", "d", "e", "f", "g"]).await;
    assert_eq!(places(&backends).await[..6], before);
    let metrics = service.metrics().await;
    assert!(
        metrics.contains("\nevents_published_total 1\n"),
        "{metrics}"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_stream_without_bound_gets_one_and_lets_the_oldest_go() {
    let backends = Backends::new().await;
    let jetstream = backends.jetstream().await;
    // As the previous version made it.
    let unbounded = stream::Config {
        name: "SHOP".to_owned(),
        subjects: vec!["shop.>".to_owned()],
        ..Default::default()
    };
    let mut stream = jetstream.create_stream(unbounded).await.unwrap();
    let size = [("EVENTS_MAX_BYTES", "1048576")];
    let service = testing::start::<Notes>(&backends, &size).await;
    let limits = stream.info().await.unwrap().config.clone();
    assert_eq!(limits.max_bytes, 1_048_576);
    assert_eq!(limits.max_age.as_secs(), 7 * 24 * 3600);

    write_note(&service, "old").await;
    until_published(&backends, &["old"]).await;
    let filling = "x".repeat(100_000);
    for _ in 0..30 {
        backends
            .publish("shop.others.filling.v1", filling.clone())
            .await;
    }
    until_published(&backends, &[]).await;
    eventually("the metric tells how full it is", || async {
        let metrics = service.metrics().await;
        let bound = metrics.contains("\nevents_stream_max_bytes 1048576\n");
        let held = metrics
            .lines()
            .find_map(|l| l.strip_prefix("events_stream_bytes "));
        (bound && held?.parse::<u64>().ok()? > 500_000).then_some(())
    })
    .await;
    // What the stream let go is not lost: nobody publishes it again.
    service.stop().await;
    let service = testing::start::<Notes>(&backends, &size).await;
    write_note(&service, "new").await;
    until_published(&backends, &["new"]).await;
    // What is published again carries the time at which it happened.
    let once = "select bool_and(coalesce(published_at > created_at, false)) from outbox
                where envelope like '%\"old\"%'";
    let rows = look(&backends.direct_db(), once, &[]).await;
    assert!(rows[0].get::<_, bool>(0), "it was published again");
    service.stop().await;
}
