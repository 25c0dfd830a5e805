//! Events in and out, with everything there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
use serde_json::Value;
use uuid::Uuid;

use super::{letters, once};
use crate::backends::Backends;
use crate::check::{Check, Need, Scenario};
use crate::events::{Published, durable};
use crate::run::Run;
use crate::scene::{EFFECT, Made, Scene};
use crate::wait::until;

/// The bound on connections to the database in this scenario.
const CONNECTIONS: i64 = 3;
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) static EVENTS: Scenario = Scenario {
    name: "events",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(Scene::ready(run, &[("DATABASE_MAX_CONNECTIONS", "3")])),
    checks: &[
        Check {
            line: "broker.stream",
            expects: "the stream SHOP of shop.> keeps events in files for 7 days, the oldest go first",
            needs: &[Need::Publishes],
            run: |scene| Box::pin(stream(scene)),
        },
        Check {
            line: "broker.consumers",
            expects: "a durable consumer <service>-<kind> for each kind, from the beginning of the stream, acknowledged by hand within 30 s, 256 at once, gone after 7 days",
            needs: &[Need::Subscribes],
            run: |scene| Box::pin(consumers(scene)),
        },
        Check {
            line: "events.applied",
            expects: "an event of another service is applied and counted",
            needs: &[Need::Subscribes],
            run: |scene| Box::pin(applied(scene)),
        },
        once::ONCE,
        Check {
            line: "mail.once",
            expects: "an event that came twice has sent one mail",
            needs: &[Need::Mail, Need::Subscribes],
            run: |scene| Box::pin(one_mail(scene)),
        },
        Check {
            line: "events.contracts",
            expects: "every example of every kind that it subscribes to is read: applied, or parked until something is known",
            needs: &[Need::Subscribes],
            run: |scene| Box::pin(contracts(scene)),
        },
        letters::PARKED,
        letters::POISON,
        letters::ADMIN,
        letters::LOG,
        Check {
            line: "events.envelope",
            expects: "what it publishes is a CloudEvent of its own kinds as its schema says, and Nats-Msg-Id is its id",
            needs: &[Need::Stimulus],
            run: |scene| Box::pin(envelope(scene)),
        },
        Check {
            line: "events.trace",
            expects: "what it publishes carries on the trace of what made it publish",
            needs: &[Need::Stimulus],
            run: |scene| Box::pin(trace(scene)),
        },
        Check {
            line: "database.connections",
            expects: "never more connections than DATABASE_MAX_CONNECTIONS (3) says, with 40 requests at once and every table locked",
            needs: &[Need::Database, Need::Request],
            run: |scene| Box::pin(connections(scene)),
        },
        Check {
            line: "broker.rights",
            expects: "it asks the broker for nothing that it may not",
            needs: &[],
            run: |scene| Box::pin(rights(scene)),
        },
    ],
};

async fn stream(scene: &mut Scene) -> Result<String> {
    let mut stream = scene.stage.stream().await?;
    let config = &stream.info().await?.config;
    let is_as_agreed = config.subjects == ["shop.>"]
        && config.storage == StorageType::File
        && config.retention == RetentionPolicy::Limits
        && config.discard == DiscardPolicy::Old
        && config.max_age == WEEK
        && config.max_bytes > 0
        && config.duplicate_window == Duration::from_secs(120);
    ensure!(is_as_agreed, "{config:?}");
    Ok(format!("{} bytes at most", config.max_bytes))
}

async fn consumers(scene: &mut Scene) -> Result<String> {
    let document = &scene.run.document;
    for kind in &document.subscribes {
        let config = scene.stage.consumer(&document.name, kind).await?.config;
        let is_as_agreed = config.filter_subject == *kind
            && config.ack_policy == AckPolicy::Explicit
            && config.deliver_policy == DeliverPolicy::All
            && config.ack_wait == Duration::from_secs(30)
            && config.max_ack_pending == 256
            // As often as it takes.
            && config.max_deliver < 1
            && config.inactive_threshold == WEEK;
        ensure!(
            is_as_agreed,
            "{}: {config:?}",
            durable(&document.name, kind)
        );
    }
    Ok(format!("{} consumers", document.subscribes.len()))
}

async fn applied(scene: &mut Scene) -> Result<String> {
    let (kind, event) = (scene.kind()?, scene.run.new_event()?);
    let before = scene.service.so_far(&kind).await?;
    scene.stage.publish(&event).await?;
    scene.event = Some(event);
    scene
        .service
        .one_more_applied(&kind, before, EFFECT)
        .await?;
    Ok(kind)
}

async fn one_mail(scene: &mut Scene) -> Result<String> {
    let event = scene.event.clone().context("no event was applied before")?;
    scene.mail_of(&event, EFFECT).await?;
    // What comes behind it shows that it does not come again.
    let next = scene.run.new_event()?;
    scene.stage.publish(&next).await?;
    scene.mail_of(&next, EFFECT).await?;
    let count = scene.mails_of(&event)?;
    ensure!(count == 1, "{count} mails");
    Ok("one mail".to_owned())
}

async fn contracts(scene: &mut Scene) -> Result<String> {
    let mut count = 0;
    for kind in &scene.run.document.subscribes {
        let examples = scene.run.contracts.examples(kind)?;
        let before = read(scene, kind).await?;
        for example in &examples {
            scene.stage.publish(example).await?;
        }
        count += examples.len();
        let wanted = before + examples.len() as f64;
        until(EFFECT, || async {
            let seen = read(scene, kind).await?;
            ensure!(
                seen >= wanted,
                "{kind}: {} of {} read",
                seen - before,
                examples.len()
            );
            Ok(())
        })
        .await?;
    }
    let letters = scene.service.admin("/dead-letters").await?.json();
    let is_expected = |letter: &&Value| {
        scene
            .run
            .trial
            .refuses
            .iter()
            .any(|kind| letter["subject"] == kind.as_str())
    };
    let unexpected = letters
        .as_array()
        .into_iter()
        .flatten()
        .find(|letter| !is_expected(letter));
    ensure!(
        unexpected.is_none(),
        "a dead letter: {}",
        unexpected.unwrap_or(&Value::Null)
    );
    Ok(format!("{count} examples"))
}

/// How many events of a kind had any outcome.
async fn read(scene: &Scene, kind: &str) -> Result<f64> {
    let samples = scene.service.metrics().await?;
    let of_kind = samples
        .iter()
        .filter(|s| s.is("events_processed_total", &[("subject", kind)]));
    Ok(of_kind.map(|sample| sample.value).sum())
}

async fn envelope(scene: &mut Scene) -> Result<String> {
    let event = scene.make_it_publish().await?.event;
    check_envelope(&scene.run, &event)?;
    // All that it has published in this scenario, not only the last.
    for event in scene.stage.own_events(&scene.run).await? {
        check_envelope(&scene.run, &event)?;
    }
    Ok(format!(
        "{} {}",
        event.subject,
        event.message_id.unwrap_or_default()
    ))
}

pub(super) fn check_envelope(run: &Run, event: &Published) -> Result<()> {
    let envelope = event.envelope();
    let text = |field: &str| envelope[field].as_str().unwrap_or_default();
    ensure!(
        run.document.publishes.contains(&event.subject),
        "{} is not in its document",
        event.subject
    );
    for (field, wanted) in [
        ("specversion", "1.0"),
        ("type", event.subject.as_str()),
        ("source", &format!("/shop/{}", run.document.name)),
        ("datacontenttype", "application/json"),
    ] {
        ensure!(
            text(field) == wanted,
            "{field} is {}, not {wanted}",
            envelope[field]
        );
    }
    ensure!(
        Uuid::parse_str(text("id")).is_ok(),
        "id is {}",
        envelope["id"]
    );
    ensure!(
        !text("subject").is_empty(),
        "there is no subject: {envelope}"
    );
    ensure!(
        envelope["sequence"].is_i64(),
        "sequence is {}",
        envelope["sequence"]
    );
    let format = &time::format_description::well_known::Rfc3339;
    ensure!(
        time::OffsetDateTime::parse(text("time"), format).is_ok(),
        "time is {}",
        envelope["time"]
    );
    ensure!(
        event.message_id.as_deref() == Some(text("id")),
        "Nats-Msg-Id is {:?}, and the id {}",
        event.message_id,
        envelope["id"]
    );
    match run.contracts.schema(&event.subject)? {
        Some(schema) => {
            let validator = jsonschema::validator_for(&schema)
                .map_err(|error| anyhow!("the schema of {}: {error}", event.subject))?;
            let checked = validator.validate(&envelope["data"]);
            checked.map_err(|error| {
                anyhow!(
                    "the data of {}: {error} at {}",
                    event.subject,
                    error.instance_path()
                )
            })
        }
        None => Ok(()),
    }
}

async fn trace(scene: &mut Scene) -> Result<String> {
    let Made { event, trace, .. } = scene.make_it_publish().await?;
    let envelope = event.envelope();
    let traceparent = envelope["traceparent"]
        .as_str()
        .context("the envelope has no traceparent")?;
    ensure!(
        traceparent.contains(&trace),
        "trace {trace}, and traceparent {traceparent}"
    );
    let headers = event.headers.unwrap_or_default();
    let header = headers
        .get("traceparent")
        .context("the message has no traceparent")?;
    // The span that publishes it is another one than the one that made it true.
    ensure!(
        header.as_str().starts_with(&format!("00-{trace}-")) && header.as_str().len() == 55,
        "header {header:?}, and envelope {traceparent}"
    );
    Ok(traceparent.to_owned())
}

/// All tables are locked, so that every request that can get a connection keeps it, and the connections are counted meanwhile.
async fn connections(scene: &mut Scene) -> Result<String> {
    let backends = &scene.run.backends;
    let database = scene.stage.database_name()?;
    let (counter, holder) = (
        backends.administrator("postgres").await?,
        backends.administrator(database).await?,
    );
    let tables = Backends::tables(&holder).await?;
    holder
        .batch_execute(&format!("begin; lock table {}", tables.join(", ")))
        .await?;
    let requests = futures::future::join_all((0..40).map(|_| scene.service.ask(&scene.run)));
    let count = async {
        let mut most = 0;
        for _ in 0..50 {
            most = most.max(backends.connections(&counter, database).await?);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        holder.batch_execute("rollback").await?;
        anyhow::Ok(most)
    };
    let (answers, most) = tokio::join!(requests, count);
    // Beside those of the service, the one that holds the tables.
    let most = most? - 1;
    if let Some(Err(error)) = answers.iter().find(|answer| answer.is_err()) {
        bail!("a request was not answered: {error:#}");
    }
    ensure!(most > 0, "no connection was seen");
    ensure!(most <= CONNECTIONS, "{most} connections");
    Ok(format!("{most} at most"))
}

async fn rights(scene: &mut Scene) -> Result<String> {
    let refusals = scene.run.backends.refusals(&scene.stage.user).await?;
    ensure!(refusals.is_empty(), "{}", refusals.join("; "));
    Ok("nothing was refused".to_owned())
}
