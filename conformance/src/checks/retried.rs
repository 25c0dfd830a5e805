//! An event that fails for a while, and is applied after that.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use crate::backends::Backends;
use crate::check::{Check, Need};
use crate::scene::{EFFECT, Scene};

/// Enough to see pauses grow.
pub(super) const TRIES: usize = 5;
/// How long they may take: with pauses that double from one second on, half of it.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) const RETRIED: Check = Check {
    line: "events.retried",
    expects: "an event that the database refuses is tried again with growing pauses, counted as retried, and applied when it refuses no more",
    needs: &[Need::Subscribes, Need::Database],
    run: |scene| Box::pin(retried(scene)),
};

/// Makes each insertion into a table fail, and counts them: what a sequence has given is not taken back.
const FAIL: &str = "
    create sequence if not exists conformance_tries;
    create or replace function conformance_fails() returns trigger language plpgsql security definer as $$ begin
        perform nextval('public.conformance_tries');
        raise exception 'the suite lets this fail for a while';
    end $$;
    create trigger conformance_fails before insert on {table} for each row execute function conformance_fails();";

async fn retried(scene: &mut Scene) -> Result<String> {
    let (kind, backends) = (scene.kind()?, &scene.run.backends);
    let client = backends.administrator(scene.stage.database_name()?).await?;
    let inboxes = inboxes(scene, &client).await?;
    for table in &inboxes {
        client
            .batch_execute(&FAIL.replace("{table}", table))
            .await?;
    }
    let before = scene.service.so_far(&kind).await?;
    let counted = scene.service.processed(&kind, "retried").await?;
    scene.stage.publish(&scene.run.new_event()?).await?;
    let tries = tries(&client).await?;
    let now = scene.service.processed(&kind, "retried").await?;
    ensure!(now > counted, "no event was counted as retried");
    for table in &inboxes {
        let sql = format!("drop trigger conformance_fails on {table}");
        client.batch_execute(&sql).await?;
    }
    let words = growing(&tries)?;
    scene.service.one_more_applied(&kind, before, LIMIT).await?;
    Ok(format!("{words}, then applied"))
}

/// Where the ids of applied events are: the tables in which one stands that was just applied.
async fn inboxes(scene: &Scene, client: &Client) -> Result<Vec<String>> {
    let (kind, event) = (scene.kind()?, scene.run.new_event()?);
    let before = scene.service.so_far(&kind).await?;
    scene.stage.publish(&event).await?;
    scene
        .service
        .one_more_applied(&kind, before, EFFECT)
        .await?;
    let id = event["id"].as_str().unwrap_or_default();
    let mut found = vec![];
    for table in Backends::tables(client).await? {
        let sql =
            format!("select exists (select from {table} t where t::text like '%' || $1 || '%')");
        if client.query_one(&sql, &[&id]).await?.get(0) {
            found.push(table);
        }
    }
    ensure!(
        !found.is_empty(),
        "the id of an applied event is in no table"
    );
    Ok(found)
}

/// When the event was tried.
async fn tries(client: &Client) -> Result<Vec<Instant>> {
    let sql = "select case when is_called then last_value else 0 end from conformance_tries";
    let started = Instant::now();
    let mut tries = vec![];
    while tries.len() < TRIES {
        let count: i64 = client.query_one(sql, &[]).await?.get(0);
        tries.resize(tries.len().max(usize::try_from(count)?), Instant::now());
        ensure!(
            started.elapsed() < LIMIT,
            "{count} tries in {} s",
            LIMIT.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(tries)
}

/// What the pauses are, where they grow. A machine that stands still for a moment makes a pause longer, so the shortest and the
/// last say most of what the service chose.
pub(super) fn growing(tries: &[Instant]) -> Result<String> {
    let pauses = tries.windows(2).take(TRIES - 1);
    let pauses: Vec<_> = pauses
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect();
    let words: Vec<_> = pauses.iter().map(|pause| format!("{pause:.1}")).collect();
    let words = format!("pauses of {} s", words.join(", "));
    let shortest = pauses.iter().copied().fold(f64::INFINITY, f64::min);
    let grow = pauses.last().is_some_and(|last| *last >= 1.5 * shortest);
    ensure!(grow && pauses.iter().sum::<f64>() >= 1.0, "{words}");
    Ok(words)
}
