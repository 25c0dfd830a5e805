//! Nobody takes the traces, and nobody who buys is the worse for it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::traffic::Traffic;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::world::{PATIENCE, SHOWS_WITHIN, STACK, World, world};

/// How long each part is looked at, at least: with, without, and with the back end of traces again.
const PART: Duration = Duration::from_secs(15);
/// Machines of tests do other things too.
const NOISE: f64 = 2.0;

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn nothing_fails_or_gets_slower_while_nobody_takes_the_traces() -> Result<()> {
    let world = world().await?;
    let failed_before = server_errors(&world).await?;
    let traffic = Traffic::start(&world.shop, &world.admin).await?;
    let watched = watch(&world).await;
    // Whatever happened: the next one wants traces again.
    scale(&world, 1).await?;
    let requests = traffic.stop().await?;
    let [begin, without, with, end] = watched?;

    let part = |from, to| {
        let seen = requests.between(from, to);
        let per_second = seen.requests() as f64 / (to - from).as_secs_f64();
        (seen, per_second)
    };
    let (before, before_rate) = part(begin, without);
    let (away, away_rate) = part(without, with);
    let (after, after_rate) = part(with, end);
    for (part, seen, rate) in [
        ("before", &before, before_rate),
        ("away", &away, away_rate),
        ("after", &after, after_rate),
    ] {
        let p99 = seen.p99() * 1000.0;
        println!("{part}: {rate:.0} requests a second, p99 {p99:.0} ms");
        ensure!(seen.failures.is_empty(), "{part}: {:?}", seen.failures);
        ensure!(seen.requests() > 100, "{part}: {}", seen.requests());
    }
    // Either part with the back end is as good a measure as the other.
    let p99 = f64::max(before.p99(), after.p99());
    let throughput = f64::min(before_rate, after_rate);
    ensure!(away.p99() < p99 * NOISE, "{} s, else {p99} s", away.p99());
    ensure!(away_rate > throughput / NOISE, "{away_rate}, {throughput}");

    // Answers that were tried again are no failures to those who ask, but would be here.
    let failed = server_errors(&world).await?;
    ensure!(failed <= failed_before, "{failed}, {failed_before} before");
    let (buyer, order) = world.paid_order().await?;
    let id = world.trace_of_order(&buyer, &order).await?;
    until("traces come again", SHOWS_WITHIN, || async {
        world.trace(&id).await.map(Some)
    })
    .await?;
    Ok(())
}

/// Lets the traffic go on with, without and again with the back end of traces. Returns when each of it began, and the end.
async fn watch(world: &World) -> Result<[Instant; 4]> {
    let begin = Instant::now();
    tokio::time::sleep(PART).await;
    scale(world, 0).await?;
    let without = Instant::now();
    tokio::time::sleep(PART).await;
    // What is lost is counted, so that nobody has to guess.
    until("lost spans are counted", PATIENCE, || async {
        let lost = "sum(increase(telemetry_spans_dropped_total[1m])) > 0";
        Ok((!world.series(lost).await?.is_empty()).then_some(()))
    })
    .await?;
    let with = Instant::now();
    scale(world, 1).await?;
    let measured = Instant::now();
    tokio::time::sleep(PART.saturating_sub(measured - with)).await;
    Ok([begin, without, with, Instant::now()])
}

/// Gives Jaeger so many replicas, and waits for them.
async fn scale(world: &World, replicas: i32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(world.cluster.client.clone(), STACK);
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    deployments
        .patch("traces", &PatchParams::default(), &patch)
        .await?;
    until("Jaeger has its replicas", PATIENCE, || async {
        let status = deployments.get("traces").await?.status;
        let status = status.context("no status yet")?;
        let ready = status.ready_replicas.unwrap_or_default();
        let there = status.replicas.unwrap_or_default();
        Ok((ready == replicas && there == replicas).then_some(()))
    })
    .await
}

/// How many requests the services have answered with 500 or above, as it was scraped at last.
async fn server_errors(world: &World) -> Result<f64> {
    let asked = "sum(http_server_request_duration_seconds_count{status=~\"5..\"}) or vector(0)";
    let series = world.series(asked).await?;
    let value = series.first().context("no value")?;
    let value = value["value"][1].as_str().context("no number")?;
    Ok(value.parse()?)
}
