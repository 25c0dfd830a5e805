//! A release that goes wrong in its second wave, and takes itself back while somebody buys.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, condition};
use e2e::shop::{Account, Shop};
use e2e::traffic::Traffic;
use e2e::{nodes, services};
use serde_json::{Value, json};

use crate::title;

/// How long it is looked at before anything changes.
const REST: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn release(shop: &Shop, admin: &Account) -> Result<()> {
    let cluster = Cluster::local().await?;
    cluster.ready(PATIENCE).await?;
    let before = cluster.shop().await?;
    let version = before["spec"]["version"].as_str().context("spec.version")?;
    let next = format!("{version}-demo");
    for service in services::all()? {
        nodes::tag(nodes::LOCAL, &service.name, version, &next)?;
    }

    title("Somebody buys, and somebody searches, one after the other and all the while");
    let traffic = Traffic::start(shop, admin).await?;
    tokio::time::sleep(REST).await;

    title(&format!(
        "Version {next} for all, and a setting for orders that it will refuse"
    ));
    println!("  The images are those of {version} under another name.");
    let env = json!([{ "name": "DATABASE_MAX_CONNECTIONS", "value": "many" }]);
    let began = Instant::now();
    cluster
        .patch_shop(patch(&next, &json!({"gate": "5s"}), &env))
        .await?;
    let told = tell_until_taken_back(&cluster, lines(&before["status"]), began).await;

    title("What it says now");
    let shop_now = cluster.shop().await?;
    let (_, message) = condition(&shop_now, "Ready").unwrap_or_default();
    println!("  {message}");
    println!(
        "  The Shop asks for {} as before.",
        shop_now["spec"]["version"]
    );

    title("The version that ran, and no setting: what the Shop asks for is what runs");
    cluster
        .patch_shop(patch(version, &Value::Null, &Value::Null))
        .await?;
    cluster.ready(PATIENCE).await?;
    let requests = traffic.stop().await?;
    let (rest, during) = (requests.before(began), requests.since(began));
    told?;
    println!("  ready");

    title("What those who bought and searched saw of it");
    for (name, seen) in [("at rest", &rest), ("during all this", &during)] {
        println!(
            "  {name:<16} {:>6} requests, {} failed, p99 {:.0} ms",
            seen.requests(),
            seen.failures.len(),
            seen.p99() * 1000.0
        );
    }
    println!(
        "  p99 of it in p99 at rest: {:.2}",
        during.p99() / rest.p99()
    );
    ensure!(
        during.failures.is_empty(),
        "requests failed: {:?}",
        during.failures
    );
    Ok(())
}

fn patch(version: &str, rollout: &Value, env: &Value) -> Value {
    json!({ "spec": { "version": version, "rollout": rollout, "services": { "orders": { "env": env } } } })
}

/// Prints what changes in the status, until the release of the shop is taken back.
async fn tell_until_taken_back(
    cluster: &Cluster,
    before: Vec<String>,
    began: Instant,
) -> Result<()> {
    let mut told = before;
    loop {
        let shop = cluster.shop().await?;
        let lines = lines(&shop["status"]);
        for line in lines.iter().filter(|line| !told.contains(line)) {
            println!("  {:>5.1} s  {line}", began.elapsed().as_secs_f64());
        }
        told = lines;
        let stage = shop["status"]["release"]["stage"].as_str();
        let of_this = shop["status"]["release"]["version"] == shop["spec"]["version"];
        if of_this && stage == Some("TakenBack") {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "not in time: {}",
            shop["status"]
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How far the release is, and that of each service.
fn lines(status: &Value) -> Vec<String> {
    let of_shop = &status["release"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first = format!(
        "the shop: {} of {}",
        text(&of_shop["stage"]),
        text(&of_shop["version"])
    );
    let releases = status["releases"].as_array().into_iter().flatten();
    let services = releases.map(|release| {
        let (name, stage) = (text(&release["name"]), text(&release["stage"]));
        let why = [&release["held"]["message"], &release["cause"]];
        let why = why.into_iter().find_map(Value::as_str);
        let why = why.map(|why| format!(" ({})", shortened(why)));
        let why = why.unwrap_or_default();
        format!("{name}: {stage}{why}")
    });
    [first].into_iter().chain(services).collect()
}

/// The whole of it stands at the end.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}
