//! The image as such: what its entry point takes, and how many threads it starts.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::check::Check;
use crate::environment::Environment;
use crate::scene::Scene;
use crate::service::{Service, last_words};

/// How long it may take to refuse an argument.
const SHORT: Duration = Duration::from_secs(10);
/// No command of any image.
const UNKNOWN: &str = "no-such-command";
/// Threads beside one for each core: those that wait, that collect garbage, or that write to a disk.
const THREADS: usize = 24;

pub(super) const ARGUMENTS: Check = Check {
    line: "image.arguments",
    expects: "with `no-such-command` in place of the document's arguments it ends within 10 s, not with 0, and the last line on standard error names that",
    needs: &[],
    run: |scene| Box::pin(arguments(scene)),
};
pub(super) const CPU: Check = Check {
    line: "resources.cpu",
    expects: "with one core it has 25 threads at most when it is ready",
    needs: &[],
    run: |scene| Box::pin(cpu(scene)),
};

async fn arguments(scene: &mut Scene) -> Result<String> {
    let command = [UNKNOWN.to_owned()];
    let container = scene.stage.start(&scene.run, &command, &[]).await?;
    let Some(code) = container.ended(SHORT).await? else {
        bail!("it runs after {} s", SHORT.as_secs());
    };
    let words = last_words(&container).await?;
    ensure!(code != 0 && words.contains(UNKNOWN), "{words}");
    Ok(words)
}

async fn cpu(scene: &mut Scene) -> Result<String> {
    let (run, stage) = (&scene.run, &scene.stage);
    let Environment { secrets, plain } = Environment::of(run, stage);
    let env: Vec<_> = secrets.into_iter().chain(plain).collect();
    let one = ["--cpus", "1"].map(str::to_owned);
    let container = stage
        .start_with(run, &run.document.serve, &env, &one)
        .await?;
    let service = Service::of(run, container).await?;
    service.ready(Duration::from_secs(30)).await?;
    let threads = service.container.threads().await?;
    ensure!(threads <= 1 + THREADS, "{threads} threads");
    Ok(format!("{threads} threads"))
}
