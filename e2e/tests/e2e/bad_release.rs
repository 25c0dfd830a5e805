//! Releases that are bad though their pods get ready: errors, slow answers, a leak. The service is the one of
//! `conformance/broken`, which joins the running shop.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, SHOP};
use e2e::wait::until;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::shopctl::ask;
use crate::support::{PATIENCE, World, release_of, world};

/// Each asks five times a second.
const ASKERS: u32 = 12;

const SERVICE: &str = "reference";

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The entry of the service in a Shop: `bad` is how a release of it is.
fn entry(image: &str, bad: &str) -> Result<Value> {
    let path = format!("{ROOT}/conformance/broken/service.yaml");
    let text = std::fs::read_to_string(&path).context(path)?;
    let mut definition: Value = serde_yaml::from_str(&text)?;
    // The API server asks it on behalf of this test.
    definition["public"] = json!(true);
    let env = json!([{"name": "BAD", "value": bad}]);
    Ok(json!({"image": image, "definition": definition, "env": env}))
}

async fn bring(world: &World, entry: Value) -> Result<()> {
    let spec = json!({"services": {SERVICE: entry}});
    world.cluster.patch_shop(json!({"spec": spec})).await?;
    Ok(())
}

fn image() -> Result<String> {
    let script = format!("{ROOT}/conformance/broken/image.sh");
    let printed = Command::new(script).output()?;
    ensure!(printed.status.success(), "the image is not made");
    Ok(String::from_utf8(printed.stdout)?.trim().to_owned())
}

/// Those who ask the service for something, all the while.
struct Askers {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    tasks: Vec<JoinHandle<()>>,
}

impl Askers {
    fn start(cluster: &Cluster) -> Self {
        let (stop, asked) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let tasks = (0..ASKERS).map(|_| {
            let (cluster, stop, asked) = (cluster.clone(), stop.clone(), asked.clone());
            tokio::spawn(async move {
                let path = format!(
                    "/api/v1/namespaces/{}/services/{SHOP}-{SERVICE}:8080/proxy/greeting",
                    cluster.namespace
                );
                let mut pace = interval(Duration::from_millis(200));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    // What it answers is for the operator to judge.
                    let _ = cluster.text(&path).await;
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self {
            tasks: tasks.collect(),
            stop,
            asked,
        }
    }

    async fn have_asked(&self, count: u32) -> Result<()> {
        let count = self.asked.load(Ordering::Relaxed) + count;
        until("requests are answered", PATIENCE, || async {
            Ok((self.asked.load(Ordering::Relaxed) >= count).then_some(()))
        })
        .await
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.tasks).await;
    }
}

/// Ships a release that is bad in this way, until it is taken back for a cause that says so; and what runs again.
async fn goes_back(world: &World, image: &str, bad: &str, cause: &str) -> Result<()> {
    let good = release_of(&world.cluster, SERVICE).await?["good"].clone();
    let began = Instant::now();
    bring(world, entry(image, bad)?).await?;
    let failed = until("it is taken back", PATIENCE, || async {
        let release = release_of(&world.cluster, SERVICE).await?;
        ensure!(release["stage"] == "TakenBack", "{release}");
        Ok(Some(release))
    })
    .await?;
    let why = failed["cause"].as_str().unwrap_or_default();
    println!(
        "{bad}: whole again {:.1} s after the edit: {why}",
        began.elapsed().as_secs_f64()
    );
    assert!(why.contains(cause), "{why}");
    assert_eq!(failed["good"], good);

    bring(world, entry(image, "")?).await?;
    world.cluster.ready(PATIENCE).await?;
    assert_eq!(release_of(&world.cluster, SERVICE).await?["stage"], "Idle");
    Ok(())
}

#[tokio::test]
async fn releases_that_are_ready_and_bad_all_the_same_take_themselves_back() -> Result<()> {
    let (world, image) = (world().await?, image()?);
    let rollout = |gate: Value| json!({"spec": {"rollout": {"gate": gate}}});
    world.cluster.patch_shop(rollout(json!("15s"))).await?;
    bring(&world, entry(&image, "")?).await?;
    world.cluster.ready(PATIENCE).await?;
    let askers = Askers::start(&world.cluster);
    askers.have_asked(300).await?;

    goes_back(&world, &image, "errors", "ended in an error (5xx)").await?;
    askers.have_asked(300).await?;
    goes_back(&world, &image, "slow", "took longer than").await?;
    goes_back(&world, &image, "leak", "memory").await?;
    let history = ask(&["history", SERVICE]).await?;
    assert!(
        history.text.contains("took longer than"),
        "{}",
        history.text
    );

    askers.stop().await;
    bring(&world, Value::Null).await?;
    world.cluster.patch_shop(rollout(Value::Null)).await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}
