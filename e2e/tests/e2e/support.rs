//! What every test starts with, and looks that several share.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{Context, Message};
use e2e::cluster::{Cluster, SHOP};
use e2e::pods::port_of;
use e2e::shop::{Account, Shop};
use e2e::wait::until;
use futures::TryStreamExt;
use serde_json::Value;

/// Longer than anything here takes beside a load on all cores: it costs time only where a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A shop that is Ready, with an administrator logged in.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) shop: Shop,
    pub(crate) admin: Account,
}

/// Applies `examples/shop.yaml`, as it is, and waits until it is Ready.
pub(crate) async fn world() -> Result<World> {
    let cluster = Cluster::for_tests().await?;
    cluster.apply_manifest(&manifest()?).await?;
    cluster.ready(PATIENCE).await?;
    let shop = Shop::new(31)?;
    let admin = cluster.administrator(&shop).await?;
    Ok(World {
        cluster,
        shop,
        admin,
    })
}

/// The example that a person would apply.
pub(crate) fn manifest() -> Result<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/shop.yaml");
    std::fs::read_to_string(path).context("examples/shop.yaml")
}

/// A local port to a service's pod.
pub(crate) async fn port_of_service(cluster: &Cluster, service: &str, port: u16) -> Result<u16> {
    let labels = format!(
        "app.kubernetes.io/instance={SHOP},app.kubernetes.io/name={service},app.kubernetes.io/component=service"
    );
    port_of(&cluster.client, &cluster.namespace, &labels, port).await
}

/// The broker, with a service's own credentials.
pub(crate) async fn broker_as(cluster: &Cluster, service: &str) -> Result<Context> {
    let secret = format!("{SHOP}-{service}-broker");
    let (user, password) = (
        cluster.secret(&secret, "username").await?,
        cluster.secret(&secret, "password").await?,
    );
    let labels = format!("app.kubernetes.io/instance={SHOP},app.kubernetes.io/component=broker");
    let port = port_of(&cluster.client, &cluster.namespace, &labels, 4222).await?;
    let broker = async_nats::ConnectOptions::new()
        .custom_inbox_prefix(format!("_INBOX.{user}"))
        .user_and_password(user, password)
        .connect(format!("127.0.0.1:{port}"))
        .await?;
    // The broker leaves what is not allowed unanswered.
    let jetstream = async_nats::jetstream::ContextBuilder::new()
        .timeout(Duration::from_secs(5))
        .ack_timeout(Duration::from_secs(5));
    Ok(jetstream.build(broker))
}

/// All events of `service` that are in the stream. It reads them through the consumer that its relay looks through, which may be
/// at it: then once more.
pub(crate) async fn own_events(jetstream: &Context, service: &str) -> Result<Vec<Message>> {
    let name = format!("{service}-outbox");
    let stream = jetstream.get_stream("SHOP").await?;
    until("the events are read", PATIENCE, || async {
        // Not there, most of the time.
        let _ = stream.delete_consumer(&name).await;
        let consumer: PullConsumer = stream
            .create_consumer(pull::Config {
                name: Some(name.clone()),
                filter_subject: format!("shop.{service}.>"),
                ack_policy: AckPolicy::None,
                ..Default::default()
            })
            .await?;
        let expected = usize::try_from(consumer.cached_info().num_pending)?;
        let messages = consumer.fetch().max_messages(expected.max(1)).messages();
        let messages: Vec<_> = messages.await?.try_collect().await.unwrap_or_default();
        Ok((messages.len() == expected).then_some(messages))
    })
    .await
}

/// The ledger of payments, which is not exposed.
pub(crate) async fn ledger(cluster: &Cluster) -> Result<Value> {
    let token = cluster
        .secret(&format!("{SHOP}-payments-keys"), "API_TOKEN")
        .await?;
    let port = port_of_service(cluster, "payments", 8080).await?;
    let answer = reqwest::Client::new()
        .get(format!("http://127.0.0.1:{port}/ledger"))
        .bearer_auth(token)
        .send()
        .await?;
    Ok(answer.error_for_status()?.json().await?)
}

/// The payments of an order.
pub(crate) async fn payments(cluster: &Cluster, order: &str) -> Result<Value> {
    let token = cluster
        .secret(&format!("{SHOP}-payments-keys"), "API_TOKEN")
        .await?;
    let port = port_of_service(cluster, "payments", 8080).await?;
    let answer = reqwest::Client::new()
        .get(format!("http://127.0.0.1:{port}/payments?order_id={order}"))
        .bearer_auth(token)
        .send()
        .await?;
    Ok(answer.error_for_status()?.json().await?)
}
