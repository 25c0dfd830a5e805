//! A mail server that is away.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::retried::{TRIES, growing};
use crate::check::{Check, Need, Scenario};
use crate::run::Run;
use crate::scene::{EFFECT, Scene};
use crate::wait::until;

pub(super) static MAIL: Scenario = Scenario {
    name: "mail",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(set_up(run)),
    checks: &[
        Check {
            line: "mail.retries",
            expects: "a mail server that is away is tried again with growing pauses",
            needs: &[Need::Mail, Need::Subscribes],
            run: |scene| Box::pin(retries(scene)),
        },
        Check {
            line: "mail.delivered",
            expects: "when it is back, the mail comes once",
            needs: &[Need::Mail, Need::Subscribes],
            run: |scene| Box::pin(delivered(scene)),
        },
    ],
};

async fn set_up(run: Arc<Run>) -> Result<Scene> {
    let mut scene = Scene::ready(run, &[]).await?;
    scene.stage.sink.set_away(true);
    let event = scene.run.new_event()?;
    scene.stage.publish(&event).await?;
    scene.event = Some(event);
    Ok(scene)
}

async fn retries(scene: &mut Scene) -> Result<String> {
    let sink = &scene.stage.sink;
    let tries = until(Duration::from_secs(30), || async {
        let tries = sink.tries();
        ensure!(tries.len() >= TRIES, "{} tries in 30 s", tries.len());
        Ok(tries)
    })
    .await?;
    growing(&tries)
}

async fn delivered(scene: &mut Scene) -> Result<String> {
    let event = scene.event.clone().context("no event was published")?;
    scene.stage.sink.set_away(false);
    scene.mail_of(&event, Duration::from_secs(40)).await?;
    // What comes behind it shows that it does not come again.
    let next = scene.run.new_event()?;
    scene.stage.publish(&next).await?;
    scene.mail_of(&next, EFFECT).await?;
    let count = scene.mails_of(&event)?;
    ensure!(count == 1, "{count} mails of one event");
    Ok("one mail".to_owned())
}
