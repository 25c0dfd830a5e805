//! From a start with nothing there to a service that is ready, and then what it answers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tempfile::NamedTempFile;
use tokio::net::TcpStream;

use super::{calls, grpc, http, login, observe};
use crate::check::{Check, Need, Scenario};
use crate::docker::State;
use crate::document::Schema;
use crate::proxy::Way;
use crate::run::Run;
use crate::scene::Scene;
use crate::service::last_words;
use crate::stage::{Stage, USER};
use crate::wait::until;

/// Seconds, on a machine that proves several services at once.
const SOON: Duration = Duration::from_secs(10);

pub(super) static BIRTH: Scenario = Scenario {
    name: "birth",
    slow: false,
    set_up: |run| Box::pin(set_up(run)),
    checks: &[
        Check {
            line: "start.listens",
            expects: "all of its ports listen within 10 s, with nothing there",
            needs: &[],
            run: |scene| Box::pin(listens(scene)),
        },
        Check {
            line: "image.unprivileged",
            expects: "it runs as user 65532 with a read-only root and no capability",
            needs: &[],
            run: |scene| Box::pin(unprivileged(scene)),
        },
        Check {
            line: "probes.live",
            expects: "/livez says 200 and the process stays, with nothing there",
            needs: &[],
            run: |scene| Box::pin(lives(scene)),
        },
        Check {
            line: "probes.waits",
            expects: "/readyz says 503 and names what is missing: database, broker",
            needs: &[],
            run: |scene| Box::pin(names_what_is_missing(scene)),
        },
        grpc::WAITS,
        Check {
            line: "schema.behind",
            expects: "/readyz says 503 and `the schema of the database is behind: version 0 found, …` before the migration",
            needs: &[Need::Database],
            run: |scene| Box::pin(says_that_it_is_behind(scene)),
        },
        Check {
            line: "migrate.together",
            expects: "two migrations at once both end with 0",
            needs: &[Need::Database],
            run: |scene| Box::pin(migrates_together(scene)),
        },
        Check {
            line: "probes.ready",
            expects: "/readyz says 200 within 10 s of the last thing that was missing",
            needs: &[],
            run: |scene| Box::pin(gets_ready(scene)),
        },
        Check {
            line: "migrate.again",
            expects: "a migration beside the running service, with nothing to do, ends with 0",
            needs: &[Need::Database],
            run: |scene| Box::pin(migrates_again(scene)),
        },
        Check {
            line: "migrate.says",
            expects: "/dev/termination-log has {\"schema\": {\"version\": …, \"oldest\": …}} with the numbers of the document",
            needs: &[Need::Database, Need::Schema],
            run: |scene| Box::pin(migration_says(scene)),
        },
        grpc::READY,
        grpc::LOGIN,
        calls::PROBLEMS,
        http::UNKNOWN_PATH,
        http::ADMIN_APART,
        http::HEAD_SIZE,
        http::REQUEST,
        login::HTTP,
        http::BODY_SIZE,
        http::BODY_SHAPE,
        http::IDEMPOTENCY,
        observe::METRICS_FORMAT,
        observe::METRICS_NAMES,
        observe::LOG_LINES,
        observe::LOG_TRACE,
        observe::LOG_SECRETS,
        observe::MEMORY,
    ],
};

async fn set_up(run: Arc<Run>) -> Result<Scene> {
    let stage = Stage::dark(&run).await?;
    Scene::start(run, stage, &[("LOG", "debug")]).await
}

async fn listening(scene: &Scene) -> Result<()> {
    let service = &scene.service;
    let ports = [service.http, service.admin].into_iter();
    for address in ports.chain(service.grpc) {
        if TcpStream::connect(address).await.is_err() {
            bail!(
                "port {} does not listen: {}",
                address.port(),
                last_words(&service.container).await?
            );
        }
    }
    Ok(())
}

async fn listens(scene: &mut Scene) -> Result<String> {
    until(Duration::from_secs(20), || listening(scene)).await?;
    let took = scene.started.elapsed();
    ensure!(took <= SOON, "after {:.1} s", took.as_secs_f64());
    Ok(format!("after {:.1} s", took.as_secs_f64()))
}

async fn unprivileged(scene: &mut Scene) -> Result<String> {
    let container = &scene.service.container;
    ensure!(
        container.state().await? == State::Running,
        "{}",
        last_words(container).await?
    );
    let users = container.users().await?;
    ensure!(
        users.iter().all(|user| user == USER),
        "processes of the users {}",
        users.join(", ")
    );
    Ok(format!("processes of the users {}", users.join(", ")))
}

async fn lives(scene: &mut Scene) -> Result<String> {
    let answer = scene.service.admin("/livez").await?;
    ensure!(answer.status == 200, "{answer}");
    ensure!(
        scene.service.container.state().await? == State::Running,
        "{}",
        last_words(&scene.service.container).await?
    );
    Ok(answer.to_string())
}

async fn names_what_is_missing(scene: &mut Scene) -> Result<String> {
    let document = &scene.run.document;
    let has_events = !document.publishes.is_empty() || !document.subscribes.is_empty();
    let missing = [
        ("database", document.database.is_some()),
        ("broker", has_events),
    ];
    let missing: Vec<_> = missing
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| name)
        .collect();
    let answer = scene.service.admin("/readyz").await?;
    if missing.is_empty() {
        return Ok(format!("it needs nothing: {answer}"));
    }
    ensure!(answer.status == 503, "{answer}");
    ensure!(
        missing.iter().all(|name| answer.text.contains(name)),
        "{answer}"
    );
    Ok(answer.to_string())
}

async fn says_that_it_is_behind(scene: &mut Scene) -> Result<String> {
    scene.stage.database_way.set(Way::Open);
    let sentence = "the schema of the database is behind: version 0 found, ";
    until(Duration::from_secs(10), || async {
        let answer = scene.service.admin("/readyz").await?;
        ensure!(
            answer.status == 503 && answer.text.contains(sentence),
            "{answer}"
        );
        Ok(answer.to_string())
    })
    .await
}

/// Starts a migration and waits for its end.
async fn migrate(scene: &Scene) -> Result<i32> {
    let migration = scene
        .stage
        .start(&scene.run, &scene.run.document.migrate, &[])
        .await?;
    match migration.ended(Duration::from_secs(60)).await? {
        Some(0) => Ok(0),
        Some(_) => bail!("{}", last_words(&migration).await?),
        None => bail!("a migration does not end within a minute"),
    }
}

async fn migrates_together(scene: &mut Scene) -> Result<String> {
    let (first, second) = tokio::try_join!(migrate(scene), migrate(scene))?;
    Ok(format!("ended with {first} and {second}"))
}

async fn gets_ready(scene: &mut Scene) -> Result<String> {
    scene.stage.database_way.set(Way::Open);
    scene.stage.broker_way.set(Way::Open);
    let took = scene.service.ready(Duration::from_secs(30)).await?;
    ensure!(took <= SOON, "after {:.1} s", took.as_secs_f64());
    Ok(format!("after {:.1} s", took.as_secs_f64()))
}

async fn migrates_again(scene: &mut Scene) -> Result<String> {
    let code = migrate(scene).await?;
    let answer = scene.service.admin("/readyz").await?;
    ensure!(answer.status == 200, "ended with {code}, and then {answer}");
    Ok(format!("ended with {code}"))
}

/// The last words of a migration, in a file as kubelet gives it to each container.
async fn migration_says(scene: &mut Scene) -> Result<String> {
    let run = &scene.run;
    let file = NamedTempFile::new()?;
    fs::set_permissions(file.path(), Permissions::from_mode(0o666))?;
    let volume = format!("{}:/dev/termination-log", file.path().display());
    let (env, further) = (
        scene.stage.environment(run),
        ["--volume".to_owned(), volume],
    );
    let migrate = &run.document.migrate;
    let migration = scene.stage.start_with(run, migrate, &env, &further).await?;
    match migration.ended(Duration::from_secs(60)).await? {
        Some(0) => {}
        Some(_) => bail!("{}", last_words(&migration).await?),
        None => bail!("a migration does not end within a minute"),
    }
    let text = fs::read_to_string(file.path())?;
    let says: LastWords = serde_json::from_str(&text)
        .with_context(|| format!("/dev/termination-log has {text:?}"))?;
    let Said {
        version,
        oldest,
        since,
    } = says.schema;
    ensure!(
        run.document.schema == Some(Schema { version, oldest }),
        "{text}"
    );
    ensure!(
        oldest == 1 || since.is_some(),
        "it does not say since when: {text}"
    );
    Ok(text)
}

#[derive(Deserialize)]
struct LastWords {
    schema: Said,
}

/// As the operator reads it: nothing has a default.
#[derive(Deserialize)]
struct Said {
    version: i64,
    oldest: i64,
    since: Option<String>,
}
