//! The broker and the database go away, and come back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;

use super::calls;
use crate::check::{Check, Need, Scenario};
use crate::proxy::Way;
use crate::run::Run;
use crate::scene::{EFFECT, Scene, Stimulus};
use crate::service::{SoFar, answer};
use crate::trial::Words;
use crate::wait::until;

/// How long a service may take to notice that something is back.
const BACK: Duration = Duration::from_secs(15);

pub(super) static OUTAGES: Scenario = Scenario {
    name: "outages",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(Scene::ready(run, &[])),
    checks: &[
        Check {
            line: "broker.away",
            expects: "without the broker requests go on, and /livez and /readyz say 200",
            needs: &[Need::Request, Need::Publishes],
            run: |scene| Box::pin(broker_away(scene)),
        },
        Check {
            line: "broker.back",
            expects: "when the broker is back, what waited is published once and events are applied, within 15 s",
            needs: &[Need::Publishes],
            run: |scene| Box::pin(broker_back(scene)),
        },
        Check {
            line: "broker.lost",
            expects: "what the broker has acknowledged and lost is published again, and nothing else",
            needs: &[Need::Stimulus],
            run: |scene| Box::pin(broker_lost(scene)),
        },
        Check {
            line: "database.away",
            expects: "without the database a request is a problem document 503 with Retry-After within 3 s, and /livez and /readyz say 200",
            needs: &[Need::Request, Need::Database],
            run: |scene| Box::pin(database_away(scene)),
        },
        Check {
            line: "database.back",
            expects: "when the database is back, requests are answered and events that came meanwhile are applied, within 15 s",
            needs: &[Need::Database],
            run: |scene| Box::pin(database_back(scene)),
        },
        Check {
            line: "http.deadline",
            expects: "with a database that says nothing, a request with x-deadline-ms: 500 is answered 503 or 504 within 2 s",
            needs: &[Need::Request, Need::Database],
            run: |scene| Box::pin(deadline(scene)),
        },
        calls::DEADLINE,
    ],
};

async fn probes_are_well(scene: &Scene) -> Result<()> {
    for path in ["/livez", "/readyz"] {
        let answer = scene.service.admin(path).await?;
        ensure!(answer.status == 200, "{path}: {answer}");
    }
    Ok(())
}

async fn broker_away(scene: &mut Scene) -> Result<String> {
    scene.stage.broker_way.set(Way::Cut);
    // The first come before it has noticed.
    for _ in 0..10 {
        let words = Words::fresh();
        let answer = scene.service.ask_for(&scene.run, &words).await?;
        ensure!(
            answer.status.is_success(),
            "its request is answered {answer}"
        );
        scene.words = Some(words);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    probes_are_well(scene).await?;
    Ok("10 requests answered".to_owned())
}

async fn broker_back(scene: &mut Scene) -> Result<String> {
    scene.stage.broker_way.set(Way::Open);
    if let (Some(Stimulus::Request { kind }), Some(words)) = (scene.run.stimulus(), scene.words) {
        let seen = || async {
            let count = scene.count_of(kind, &words).await?;
            ensure!(count == 1, "{count} events {kind} of one request");
            Ok(())
        };
        until(BACK, seen).await?;
        // Once what comes behind it is there, so is whatever was sent twice.
        scene.make_it_publish().await?;
        seen().await?;
    }
    if scene.run.event_kind().is_some() {
        scene.one_applied(BACK).await?;
    }
    Ok("all came through".to_owned())
}

async fn broker_lost(scene: &mut Scene) -> Result<String> {
    let first = scene.make_it_publish().await?.event;
    // Until it has noted that the first is published, the second may follow.
    let lost = scene.make_it_publish().await?.event;
    scene.stage.broker_way.set(Way::Cut);
    let foreign = json!({"type": "shop.conformance.something.happened.v1", "id": "1"});
    scene.stage.lose(lost.sequence - 1, &foreign).await?;
    scene.stage.broker_way.set(Way::Open);
    let id = lost
        .message_id
        .context("what it published has no Nats-Msg-Id")?;
    let again = until(Duration::from_secs(25), || async {
        let events = scene.stage.own_events(&scene.run).await?;
        let again = events
            .into_iter()
            .find(|event| event.message_id.as_deref() == Some(&id));
        again.context("what was lost has not come again")
    })
    .await?;
    ensure!(
        again.payload == lost.payload,
        "it came again with another content"
    );
    let events = scene.stage.own_events(&scene.run).await?;
    let of_first = events
        .iter()
        .filter(|event| event.message_id == first.message_id)
        .count();
    ensure!(of_first == 1, "what was not lost is there {of_first} times");
    Ok(format!("{id} came again"))
}

async fn database_away(scene: &mut Scene) -> Result<String> {
    scene.stage.database_way.set(Way::Cut);
    let answer = scene.service.ask(&scene.run).await?;
    answer.problem(503).map_err(|wrong| anyhow!(wrong))?;
    ensure!(
        answer.header("retry-after").is_some(),
        "503 without Retry-After"
    );
    ensure!(
        answer.took < Duration::from_secs(3),
        "after {:.1?}",
        answer.took
    );
    probes_are_well(scene).await?;
    Ok(format!("503 after {:.1?}", answer.took))
}

async fn database_back(scene: &mut Scene) -> Result<String> {
    let kind = scene.run.event_kind().map(str::to_owned);
    let mut before = SoFar::default();
    if let Some(kind) = &kind {
        before = scene.service.so_far(kind).await?;
        scene.stage.database_way.set(Way::Cut);
        scene.stage.publish(&scene.run.new_event()?).await?;
        // It was looked at, and could not be applied.
        scene
            .service
            .until_processed(kind, "waiting", before.waiting + 1.0, EFFECT)
            .await?;
    }
    scene.stage.database_way.set(Way::Open);
    if scene.run.trial.request.is_some() {
        until(BACK, || async {
            let answer = scene.service.ask(&scene.run).await?;
            ensure!(
                answer.status.is_success(),
                "its request is answered {answer}"
            );
            Ok(())
        })
        .await?;
    }
    if let Some(kind) = &kind {
        scene.service.one_more_applied(kind, before, BACK).await?;
    }
    Ok("all came through".to_owned())
}

async fn deadline(scene: &mut Scene) -> Result<String> {
    scene.stage.database_way.set(Way::Silent);
    let request = scene
        .service
        .request(&scene.run, scene.run.request()?, &Words::fresh())?;
    let answer = answer(request.header("x-deadline-ms", "500")).await;
    scene.stage.database_way.set(Way::Open);
    let answer = answer?;
    ensure!([503, 504].contains(&answer.status.as_u16()), "{answer}");
    ensure!(
        answer.took < Duration::from_secs(2),
        "{} after {:.1?}",
        answer.status,
        answer.took
    );
    Ok(format!("{} after {:.1?}", answer.status, answer.took))
}
