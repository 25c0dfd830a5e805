//! Events that cannot be applied: the dead letters, and how a person deals with them.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::check::{Check, Need};
use crate::events::new_trace;
use crate::scene::{EFFECT, Scene};
use crate::wait::until;

use super::observe::line_of_trace;

pub(super) const POISON: Check = Check {
    line: "events.poison",
    expects: "what is no event, has wrong data, another version of CloudEvents or another type is a dead letter with a cause, and the next event is applied",
    needs: &[Need::Subscribes, Need::Database],
    run: |scene| Box::pin(poison(scene)),
};
pub(super) const ADMIN: Check = Check {
    line: "events.letters",
    expects: "a dead letter is listed, read, tried again (409 while it is broken), and forgotten for good when it is discarded",
    needs: &[Need::Subscribes, Need::Database],
    run: |scene| Box::pin(letters(scene)),
};
pub(super) const PARKED: Check = Check {
    line: "events.parked",
    expects: "/parked-events is a list, and what waits in it says for what",
    needs: &[Need::Subscribes, Need::Database],
    run: |scene| Box::pin(parked(scene)),
};
pub(super) const LOG: Check = Check {
    line: "log.events",
    expects: "what is logged of an event has the trace_id of its envelope's `traceparent`",
    needs: &[Need::Subscribes, Need::Database],
    run: |scene| Box::pin(trace(scene)),
};

/// The event with data that are not as agreed.
fn with_wrong_data(mut event: Value) -> Value {
    event["data"] = json!("nothing of what was agreed");
    event
}

/// The dead letters, once there are so many.
async fn dead(scene: &Scene, count: usize) -> Result<Vec<Value>> {
    until(EFFECT, || async {
        let answer = scene.service.admin("/dead-letters").await?;
        ensure!(answer.status == 200, "/dead-letters: {answer}");
        let Value::Array(letters) = answer.json() else {
            return Err(anyhow!("/dead-letters is no list: {answer}"));
        };
        ensure!(
            letters.len() >= count,
            "{} dead letters of {count}: {answer}",
            letters.len()
        );
        Ok(letters)
    })
    .await
}

async fn poison(scene: &mut Scene) -> Result<String> {
    let kind = scene.kind()?;
    let before = dead(scene, 0).await?.len();
    let mut other_version = scene.run.new_event()?;
    other_version["specversion"] = json!("9.9");
    let mut other_type = scene.run.new_event()?;
    other_type["type"] = json!("shop.conformance.something.else.v1");
    let wrong_data = with_wrong_data(scene.run.new_event()?);
    let payloads = [
        "this is no JSON".to_owned(),
        other_version.to_string(),
        other_type.to_string(),
        wrong_data.to_string(),
    ];
    for payload in &payloads {
        scene.stage.publish_raw(&kind, payload.clone()).await?;
    }
    scene
        .one_applied(EFFECT)
        .await
        .context("a good event behind them")?;
    let letters = dead(scene, before + payloads.len()).await?;
    let has_cause = |letter: &Value| {
        letter["cause"]
            .as_str()
            .is_some_and(|cause| !cause.is_empty())
    };
    ensure!(
        letters.iter().all(has_cause),
        "a letter without a cause: {letters:?}"
    );
    let causes: Vec<_> = letters
        .iter()
        .filter_map(|letter| letter["cause"].as_str())
        .collect();
    Ok(causes.join("; "))
}

async fn letters(scene: &mut Scene) -> Result<String> {
    let (kind, service) = (scene.kind()?, &scene.service);
    let event = with_wrong_data(scene.run.new_event()?);
    scene.stage.publish(&event).await?;
    let path = format!("/dead-letters/{}", event["id"].as_str().unwrap_or_default());
    let letter = until(EFFECT, || async {
        let answer = service.admin(&path).await?;
        ensure!(answer.status == 200, "GET {path}: {answer}");
        Ok(answer.json())
    })
    .await?;
    for field in ["id", "subject", "cause", "first_at", "dead_at", "payload"] {
        ensure!(
            letter[field].is_string(),
            "a dead letter without {field}: {letter}"
        );
    }
    ensure!(
        letter["attempts"].as_i64() >= Some(1),
        "a dead letter without attempts: {letter}"
    );
    let page = service.admin("/dead-letters?limit=1").await?;
    ensure!(
        page.json().as_array().map(Vec::len) == Some(1),
        "/dead-letters?limit=1: {page}"
    );
    let retried = service
        .admin_call(Method::POST, &format!("{path}/retry"))
        .await?;
    retried
        .problem(409)
        .map_err(|wrong| anyhow!("retry of a broken one: {wrong}"))?;
    let discarded = service.admin_call(Method::DELETE, &path).await?;
    ensure!(discarded.status == 204, "DELETE: {discarded}");
    let gone = service.admin(&path).await?;
    gone.problem(404)
        .map_err(|wrong| anyhow!("a discarded letter: {wrong}"))?;
    let duplicates = service.processed(&kind, "duplicate").await?;
    scene.stage.publish(&event).await?;
    service
        .until_processed(&kind, "duplicate", duplicates + 1.0, EFFECT)
        .await
        .context("a discarded event that comes again")?;
    Ok("200, 409 on retry, 204 on DELETE, then 404".to_owned())
}

async fn parked(scene: &mut Scene) -> Result<String> {
    let answer = scene.service.admin("/parked-events").await?;
    ensure!(answer.status == 200, "{answer}");
    let Value::Array(parked) = answer.json() else {
        return Err(anyhow!("no list: {answer}"));
    };
    for event in &parked {
        let has = ["id", "subject", "cause", "waits_for", "expires_at"]
            .into_iter()
            .find(|field| !event[*field].is_string());
        ensure!(
            has.is_none(),
            "a parked event without {}: {event}",
            has.unwrap_or_default()
        );
    }
    Ok(format!("{} parked", parked.len()))
}

async fn trace(scene: &mut Scene) -> Result<String> {
    let (trace, traceparent) = new_trace();
    let mut event = with_wrong_data(scene.run.new_event()?);
    event["traceparent"] = traceparent.into();
    scene.stage.publish(&event).await?;
    until(EFFECT, || async {
        let found = scene
            .service
            .admin(&format!(
                "/dead-letters/{}",
                event["id"].as_str().unwrap_or_default()
            ))
            .await?;
        ensure!(found.status == 200, "{found}");
        Ok(())
    })
    .await?;
    tokio::time::timeout(Duration::from_secs(10), line_of_trace(scene, &trace)).await?
}
