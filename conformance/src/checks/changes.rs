//! What happens to a database and to a process in the life of a shop: a migration of a later version, a crash, a failure that
//! passes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;

use super::events::check_envelope;
use super::retried;
use crate::backends::{Backends, change};
use crate::check::{Check, Need, Scenario};
use crate::events::new_trace;
use crate::proxy::Way;
use crate::run::Run;
use crate::scene::{Cause, EFFECT, Scene};
use crate::service::{Service, answer};
use crate::trial::Words;

/// So many requests that each connection has prepared their statements.
const REQUESTS: usize = 20;
/// So few at once that none is too many, whatever one costs, and more than there are connections.
const AT_ONCE: usize = 3;

pub(super) static CHANGES: Scenario = Scenario {
    name: "changes",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(Scene::ready(run, &[("DATABASE_MAX_CONNECTIONS", "2")])),
    checks: &[
        Check {
            line: "migrate.expand",
            expects: "when each table has got one more column, requests are answered with 2xx, events are applied at the first try, and /readyz says 200",
            needs: &[Need::Database],
            run: |scene| Box::pin(expand(scene)),
        },
        Check {
            line: "events.outbox",
            expects: "what a request was answered for without the broker is published once by the next process, when the one that answered was killed",
            needs: &[Need::Database, Need::Publishes, Need::RequestPublishes],
            run: |scene| Box::pin(outbox(scene)),
        },
        retried::RETRIED,
    ],
};

/// Has it use all its statements that can be reached from outside.
async fn use_all(scene: &Scene) -> Result<()> {
    if scene.run.trial.request.is_some() {
        let requests = (0..REQUESTS).map(|_| scene.service.ask(&scene.run));
        let mut answers = futures::stream::iter(requests).buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            ensure!(
                answer.status.is_success(),
                "its request is answered {answer}"
            );
        }
    }
    if scene.run.event_kind().is_some() {
        scene.one_applied(EFFECT).await?;
    }
    if scene.run.stimulus().is_some() {
        scene.make_it_publish().await?;
    }
    for path in ["/readyz", "/dead-letters", "/parked-events"] {
        let answer = scene.service.admin(path).await?;
        ensure!(answer.status == 200, "{path}: {answer}");
    }
    Ok(())
}

/// How many events could not be applied at once.
async fn failures(scene: &Scene) -> Result<f64> {
    match scene.run.event_kind() {
        Some(kind) => scene.service.processed(kind, "retried").await,
        None => Ok(0.0),
    }
}

async fn expand(scene: &mut Scene) -> Result<String> {
    use_all(scene).await.context("before there was a column")?;
    let before = failures(scene).await?;
    let backends = &scene.run.backends;
    let client = backends.administrator(scene.stage.database_name()?).await?;
    let tables = Backends::tables(&client).await?;
    for table in &tables {
        let sql = format!("alter table {table} add column conformance text");
        change(&client, &sql).await?;
    }
    use_all(scene).await?;
    let now = failures(scene).await?;
    ensure!(now == before, "{} events failed at first", now - before);
    Ok(format!("{} tables with one more column", tables.len()))
}

async fn outbox(scene: &mut Scene) -> Result<String> {
    let (run, words) = (scene.run.clone(), Words::fresh());
    let request = run.request()?;
    let kind = request.publishes.as_deref();
    let kind = kind.context("its request publishes nothing")?;
    let (trace, traceparent) = new_trace();
    scene.stage.broker_way.set(Way::Cut);
    let asked = scene.service.request(&run, request, &words)?;
    let answer = answer(asked.header("traceparent", &traceparent)).await?;
    ensure!(
        answer.status.is_success(),
        "its request is answered {answer}"
    );
    scene.service.container.signal("KILL").await?;
    let ended = scene.service.container.ended(Duration::from_secs(30)).await;
    ended?.context("it runs after it was killed")?;
    scene.stage.broker_way.set(Way::Open);
    scene.service = Service::start(&run, &scene.stage, &[]).await?;
    scene.service.ready(Duration::from_secs(30)).await?;
    let event = scene
        .published_because(kind, &Cause::Words(words))
        .await
        .context("of the next process")?;
    check_envelope(&run, &event)?;
    ensure!(
        event.payload.contains(&trace),
        "the trace of the request, {trace}, is not in {}",
        event.payload
    );
    // What comes behind it shows that it does not come again.
    scene.make_it_publish().await?;
    let count = scene.count_of(kind, &words).await?;
    ensure!(count == 1, "it was published {count} times");
    Ok(format!("{kind} by the next process"))
}
