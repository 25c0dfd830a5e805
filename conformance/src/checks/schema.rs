//! A schema that is behind ends the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::backends::change;
use crate::check::{Check, Need, Scenario};
use crate::docker::State;
use crate::run::Run;
use crate::scene::Scene;
use crate::service::last_words;
use crate::stage::Stage;
use crate::wait::until;

pub(super) static NEVER_MIGRATED: Scenario = Scenario {
    name: "never migrated",
    slow: false,
    set_up: |run| Box::pin(never_migrated(run)),
    checks: &[Check {
        line: "schema.never-migrated",
        expects: "never ready with a schema that stays behind, and after its minute it ends with 3",
        needs: &[Need::Database],
        run: |scene| Box::pin(never_ready(scene)),
    }],
};

pub(super) static REPLACED: Scenario = Scenario {
    name: "schema replaced",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(Scene::ready(run, &[])),
    checks: &[Check {
        line: "schema.replaced",
        expects: "a process whose schema was current and is replaced by an empty one ends with 3 within 30 s",
        needs: &[Need::Database],
        run: |scene| Box::pin(replaced(scene)),
    }],
};

pub(super) static UNREADABLE: Scenario = Scenario {
    name: "schema unreadable",
    slow: false,
    set_up: |run| Box::pin(unreadable(run)),
    checks: &[Check {
        line: "schema.unreadable",
        expects: "while all tables belong to another role, /readyz says 503 and what the database said, for more than a minute; when they are given back, 200",
        needs: &[Need::Database],
        run: |scene| Box::pin(goes_on(scene)),
    }],
};

/// The minute of the contract, and time for a busy machine.
const LIMIT: Duration = Duration::from_secs(75);
/// How long `/readyz` may take.
const ANSWER: Duration = Duration::from_secs(2);
/// Longer than the minute in which one that is behind is waited for.
const REFUSED: Duration = Duration::from_secs(65);

async fn never_migrated(run: Arc<Run>) -> Result<Scene> {
    let stage = Stage::empty(&run).await?;
    Scene::start(run, stage, &[]).await
}

async fn unreadable(run: Arc<Run>) -> Result<Scene> {
    let stage = Stage::migrated(&run).await?;
    run.backends
        .give_tables(stage.database_name()?, "postgres")
        .await?;
    Scene::start(run, stage, &[]).await
}

/// As after a dump that was put back by another role.
async fn goes_on(scene: &mut Scene) -> Result<String> {
    let (service, backends) = (&scene.service, &scene.run.backends);
    let told = until(Duration::from_secs(30), || async {
        let answer = service.admin("/readyz").await?;
        ensure!(
            answer.status == 503 && answer.text.contains("permission denied"),
            "/readyz: {answer}"
        );
        Ok(answer.to_string())
    })
    .await?;
    while scene.started.elapsed() < REFUSED {
        ensure!(
            service.container.state().await? == State::Running,
            "{}",
            last_words(&service.container).await?
        );
        let answer = service.admin("/readyz").await?;
        ensure!(answer.status == 503, "/readyz: {answer}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let role = backends.role().to_owned();
    backends
        .give_tables(scene.stage.database_name()?, &role)
        .await?;
    service.ready(Duration::from_secs(30)).await?;
    Ok(told)
}

async fn replaced(scene: &mut Scene) -> Result<String> {
    let database = scene.stage.database_name()?;
    let administrator = scene.run.backends.administrator(database).await?;
    let role = scene.run.backends.role();
    let sql = format!("drop schema public cascade; create schema public authorization \"{role}\"");
    change(&administrator, &sql).await?;
    ends(scene, Duration::from_secs(30)).await
}

async fn never_ready(scene: &mut Scene) -> Result<String> {
    let (started, service) = (Instant::now(), &scene.service);
    let watched = async {
        loop {
            // Where nobody is any more, nobody says so.
            let readiness = tokio::time::timeout(ANSWER, service.admin("/readyz")).await;
            // Looked at afterwards: the address of one that has ended may be another's already.
            if service.container.state().await? != State::Running {
                return Ok(());
            }
            if let Ok(Ok(readiness)) = readiness {
                ensure!(readiness.status != 200, "ready without a schema");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(LIMIT, watched)
        .await
        .unwrap_or(Ok(()))?;
    let lived = started.elapsed();
    ensure!(
        lived > Duration::from_secs(5),
        "it ended after {:.1} s, before anybody could migrate",
        lived.as_secs_f64()
    );
    ends(scene, Duration::from_secs(1)).await
}

/// Waits for the end with 3.
async fn ends(scene: &mut Scene, limit: Duration) -> Result<String> {
    let container = &scene.service.container;
    let sentence = "the schema of the database is behind";
    match container.ended(limit).await? {
        None => bail!(
            "it runs after {} s; /readyz: {}",
            limit.as_secs(),
            scene.service.admin("/readyz").await?
        ),
        Some(code) => {
            let words = last_words(container).await?;
            ensure!(code == 3 && words.contains(sentence), "{words}");
            Ok(words)
        }
    }
}
