use anyhow::{Context, Result};
use async_nats::jetstream::consumer::pull;
use e2e::cluster::SHOP;
use e2e::wait::until;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::support::{PATIENCE, broker_as, own_events, world};

#[tokio::test]
async fn a_database_takes_no_connection_from_a_pod_that_is_not_its_service() -> Result<()> {
    let world = world().await?;
    let databases = world.cluster.api::<StatefulSet>();
    let database = databases.get(&format!("{SHOP}-orders-db")).await?;
    let image = database
        .spec
        .and_then(|s| s.template.spec)
        .and_then(|s| s.containers.first()?.image.clone())
        .context("the image of a database")?;
    let pods = world.cluster.api::<Pod>();
    // A new pod is open for a moment, until the policies have reached its node: so it asks until it is refused, and ends
    // well when it was refused five times in a row. `pg_isready` answers 2 where nothing answers.
    let script = format!(
        "refused=0; for n in $(seq 40); do if pg_isready -q -t 1 -h {SHOP}-orders-db; then refused=0; else refused=$((refused+1)); fi; \
         [ $refused -lt 5 ] || exit 0; sleep 0.2; done; exit 1"
    );
    let stranger: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "stranger" },
        "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "stranger", "image": image, "command": ["sh", "-c", script],
        }] },
    }))?;
    pods.create(&PostParams::default(), &stranger).await?;
    let phase = until("the stranger has an answer", PATIENCE, || async {
        let phase = pods
            .get("stranger")
            .await?
            .status
            .and_then(|s| s.phase)
            .unwrap_or_default();
        Ok(matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase))
    })
    .await;
    pods.delete("stranger", &DeleteParams::default()).await?;
    assert_eq!(phase?, "Succeeded", "the database answered a stranger");
    Ok(())
}

#[tokio::test]
async fn a_service_cannot_speak_for_another_nor_harm_its_events() -> Result<()> {
    let world = world().await?;
    let jetstream = broker_as(&world.cluster, "email").await?;
    let mut stream = jetstream.get_stream("SHOP").await?;
    let before = stream.info().await?.state.last_sequence;

    let forged = jetstream
        .publish("shop.orders.order.paid.v1", "forged".into())
        .await?;
    assert!(
        forged.await.is_err(),
        "only orders publishes what orders did"
    );
    let of_orders = "orders-shop-payments-payment-captured-v1";
    assert!(stream.delete_consumer(of_orders).await.is_err());
    assert!(stream.purge().await.is_err());
    assert!(jetstream.delete_stream("SHOP").await.is_err());
    let emptied = async_nats::jetstream::stream::Config {
        max_messages: 1,
        ..stream.cached_info().config.clone()
    };
    assert!(jetstream.update_stream(&emptied).await.is_err());

    let unsaid = jetstream
        .publish("shop.email.email.read.v1", "not in the document".into())
        .await?;
    assert!(
        unsaid.await.is_err(),
        "it publishes what its document says and no more"
    );
    assert_eq!(stream.info().await?.state.last_sequence, before);
    let bound = stream.cached_info().config.max_bytes;
    assert!(bound > 0, "the operator gives the stream a bound: {bound}");
    Ok(())
}

#[tokio::test]
async fn a_service_reads_what_it_subscribes_to_and_no_more() -> Result<()> {
    let world = world().await?;
    let jetstream = broker_as(&world.cluster, "payments").await?;
    let stream = jetstream.get_stream("SHOP").await?;
    let last = stream.cached_info().state.last_sequence;
    assert!(stream.get_raw_message(last).await.is_err());

    let reading = |name: &str, kind: &str| pull::Config {
        name: Some(name.to_owned()),
        filter_subject: kind.to_owned(),
        ..Default::default()
    };
    for (name, kind) in [
        ("payments", "shop.users.user.registered.v1"),
        ("payments-outbox", "shop.users.user.registered.v1"),
        (
            "email-shop-users-user-registered-v1",
            "shop.users.user.registered.v1",
        ),
    ] {
        let made = stream.create_consumer(reading(name, kind)).await;
        assert!(made.is_err(), "{name} reads {kind}");
    }
    let of_email = "email-shop-users-user-registered-v1";
    assert!(stream.consumer_info(of_email).await.is_err());
    assert!(!own_events(&jetstream, "payments").await?.is_empty());

    // What others are answered is not shown to it.
    let payments = jetstream.client();
    let mut overheard = payments.subscribe("_INBOX.>").await?;
    payments.flush().await?;
    let email = broker_as(&world.cluster, "email").await?;
    email.get_stream("SHOP").await?;
    jetstream.get_stream("SHOP").await?;
    assert!(overheard.next().now_or_never().flatten().is_none());
    Ok(())
}
