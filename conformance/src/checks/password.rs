//! A server that wants the password in clear text or as MD5, as one does that only looks like the database.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::asker::Asker;
use crate::check::{Check, Need};
use crate::docker::State;
use crate::scene::Scene;
use crate::service::{Service, last_words};
use crate::wait::until;

/// How long it may take until it has tried several times.
const TRIES: Duration = Duration::from_secs(60);

pub(super) const PASSWORD: Check = Check {
    line: "database.password",
    expects: "a server that asks for the password in clear text or as MD5 is given none, by serve and by migrate, and /readyz says 503 while the process goes on",
    needs: &[Need::Database],
    run: |scene| Box::pin(password(scene)),
};

async fn password(scene: &mut Scene) -> Result<String> {
    let run = scene.run.clone();
    let (of_serve, of_migrate) = (
        Asker::start(run.backends.host()).await?,
        Asker::start(run.backends.host()).await?,
    );
    let url = |asker: &Asker| {
        let (role, password) = (run.backends.role(), &run.backends.password);
        format!("postgres://{role}:{password}@{}/shop", asker.address)
    };
    let env = [("DATABASE_URL", &*url(&of_migrate))];
    let migration = scene.stage.start(&run, &run.document.migrate, &env).await?;
    let env = [("DATABASE_URL", &*url(&of_serve))];
    let service = Service::start(&run, &scene.stage, &env).await?;
    until(TRIES, || both_ways(&of_serve)).await?;
    // It may give up at the first refusal.
    until(TRIES, || async {
        if migration.state().await? != State::Running && of_migrate.seen().clear > 0 {
            return Ok(());
        }
        both_ways(&of_migrate).await
    })
    .await?;
    for (asker, who) in [(&of_serve, "serve"), (&of_migrate, "migrate")] {
        let given = asker.seen().given;
        ensure!(given.is_empty(), "{who} gave it {}", given.join(", "));
    }
    ensure!(
        service.container.state().await? == State::Running,
        "{}",
        last_words(&service.container).await?
    );
    let answer = service.admin("/readyz").await?;
    ensure!(
        answer.status == 503 && answer.text.contains("database"),
        "/readyz: {answer}"
    );
    let seen = of_serve.seen();
    let times = seen.clear + seen.md5;
    Ok(format!("asked {times} times; {answer}"))
}

/// Whether it was asked in both ways.
async fn both_ways(asker: &Asker) -> Result<()> {
    let seen = asker.seen();
    ensure!(
        seen.clear > 0 && seen.md5 > 0,
        "it was asked {} times in clear text and {} times as MD5 within {} s",
        seen.clear,
        seen.md5,
        TRIES.as_secs()
    );
    Ok(())
}
