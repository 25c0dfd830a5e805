//! Settings: a wrong one ends the start, a secret may stand in a file.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{image, limits, password};
use crate::check::{Check, Need, Scenario};
use crate::docker::Container;
use crate::environment::Environment;
use crate::run::Run;
use crate::scene::Scene;
use crate::service::{Service, last_words};

/// How long a process may take to say that a setting is wrong.
const SHORT: Duration = Duration::from_secs(10);

pub(super) static SETTINGS: Scenario = Scenario {
    name: "settings",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(Scene::ready(run, &[])),
    checks: &[
        Check {
            line: "settings.missing",
            expects: "without DATABASE_URL it ends with 2, and the last line on standard error names it",
            needs: &[Need::Database],
            run: |scene| Box::pin(missing(scene)),
        },
        Check {
            line: "settings.wrong",
            expects: "with a wrong ADMIN_ADDR it ends with 2, and the last line on standard error names it",
            needs: &[],
            run: |scene| Box::pin(wrong(scene)),
        },
        Check {
            line: "settings.file",
            expects: "it gets ready with every secret in the file that NAME_FILE names",
            needs: &[],
            run: |scene| Box::pin(files(scene)),
        },
        Check {
            line: "settings.file-unreadable",
            expects: "with a NATS_URL_FILE that is not there it ends with 2, and the last line on standard error names it",
            needs: &[Need::Events],
            run: |scene| Box::pin(unreadable(scene)),
        },
        Check {
            line: "exit.other",
            expects: "an address that it cannot listen on ends it with 1 and one sentence that names the setting",
            needs: &[],
            run: |scene| Box::pin(cannot_listen(scene)),
        },
        image::ARGUMENTS,
        image::CPU,
        password::PASSWORD,
        limits::LIMITS,
    ],
};

/// Waits for the end with this code and for a last line that has `name` in it.
async fn ends(container: Container, code: i32, name: &str) -> Result<String> {
    let Some(seen) = container.ended(SHORT).await? else {
        bail!("it runs after {} s", SHORT.as_secs());
    };
    let (_, stderr) = container.logs().await?;
    let words = stderr.lines().last().unwrap_or_default();
    ensure!(
        seen == code && words.contains(name),
        "{}",
        last_words(&container).await?
    );
    Ok(format!("{code}: {words}"))
}

async fn start(scene: &Scene, env: &[(&str, &str)]) -> Result<Container> {
    scene
        .stage
        .start(&scene.run, &scene.run.document.serve, env)
        .await
}

async fn missing(scene: &mut Scene) -> Result<String> {
    ends(
        start(scene, &[("DATABASE_URL", "")]).await?,
        2,
        "DATABASE_URL",
    )
    .await
}

async fn wrong(scene: &mut Scene) -> Result<String> {
    ends(
        start(scene, &[("ADMIN_ADDR", "somewhere")]).await?,
        2,
        "ADMIN_ADDR",
    )
    .await
}

async fn unreadable(scene: &mut Scene) -> Result<String> {
    let env = [("NATS_URL", ""), ("NATS_URL_FILE", "/no/such/file")];
    ends(start(scene, &env).await?, 2, "NATS_URL_FILE").await
}

async fn cannot_listen(scene: &mut Scene) -> Result<String> {
    // Of a network that is set aside for documents (RFC 5737).
    ends(
        start(scene, &[("HTTP_ADDR", "192.0.2.1:8080")]).await?,
        1,
        "HTTP_ADDR",
    )
    .await
}

async fn files(scene: &mut Scene) -> Result<String> {
    let folder = tempfile::tempdir()?;
    // The service in its container is another user.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let Environment { secrets, plain } = Environment::of(&scene.run, &scene.stage);
    let mut env = plain;
    let names: Vec<_> = secrets
        .iter()
        .map(|(name, _)| format!("{name}_FILE"))
        .collect();
    for (name, value) in secrets {
        std::fs::write(folder.path().join(&name), format!("{value}\n"))?;
        env.push((format!("{name}_FILE"), format!("/secrets/{name}")));
    }
    let volume = [
        "--volume".to_owned(),
        format!("{}:/secrets:ro", folder.path().display()),
    ];
    let run = &scene.run;
    let container = scene
        .stage
        .start_with(run, &run.document.serve, &env, &volume)
        .await?;
    let service = Service::of(run, container).await?;
    service
        .ready(Duration::from_secs(20))
        .await
        .context("it does not get ready")?;
    Ok(names.join(", "))
}
