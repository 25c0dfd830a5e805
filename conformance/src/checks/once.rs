//! An event that comes again.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::check::{Check, Need};
use crate::scene::{Cause, EFFECT, Scene, Stimulus};

pub(super) const ONCE: Check = Check {
    line: "events.once",
    expects: "the same event under another Nats-Msg-Id is counted as a duplicate, and nothing more is published",
    needs: &[Need::Subscribes],
    run: |scene| Box::pin(once(scene)),
};

async fn once(scene: &mut Scene) -> Result<String> {
    let kind = scene.kind()?;
    let event = scene.event.clone();
    let event = event.context("no event was applied before")?;
    let first = all_published(scene, &event).await?;
    let before = ids(scene).await?;
    let applied = scene.service.processed(&kind, "applied").await?;
    let duplicates = scene.service.processed(&kind, "duplicate").await?;
    for time in 2..=3 {
        let message_id = format!("{}-{time}", event["id"].as_str().unwrap_or_default());
        scene.stage.publish_as(&event, &message_id).await?;
    }
    scene
        .service
        .until_processed(&kind, "duplicate", duplicates + 2.0, EFFECT)
        .await?;
    let now = scene.service.processed(&kind, "applied").await?;
    ensure!(now == applied, "{now} times applied, and {applied} before");
    let second = all_published(scene, &event).await?;
    let barriers: Vec<_> = first.iter().chain(&second).collect();
    for event in scene.stage.own_events(&scene.run).await? {
        let is_known = before.contains(&event.message_id);
        ensure!(
            is_known || barriers.iter().any(|cause| cause.is_of(&event)),
            "it has published {} once more: {}",
            event.subject,
            event.payload
        );
    }
    Ok(match first {
        Some(_) => "2 duplicates, and nothing more published",
        None => {
            "2 duplicates; what is published was not looked at: no conformance.yaml names what makes it publish"
        }
    }
    .to_owned())
}

/// Waits until all is published that came of this event and of what was before now: an outbox is published in its order, so
/// something new is made to go through it, where it is known how. Returns what that was.
async fn all_published(scene: &Scene, event: &Value) -> Result<Option<Cause>> {
    match scene.run.stimulus() {
        Some(Stimulus::Event { kind }) => {
            let cause = Cause::Event(event.clone());
            scene.published_because(kind, &cause).await?;
        }
        Some(Stimulus::Request { .. }) => {}
        None => return Ok(None),
    }
    Ok(Some(scene.make_it_publish().await?.cause))
}

/// The `Nats-Msg-Id` of each event that it has published.
async fn ids(scene: &Scene) -> Result<BTreeSet<Option<String>>> {
    let events = scene.stage.own_events(&scene.run).await?;
    Ok(events.into_iter().map(|event| event.message_id).collect())
}
