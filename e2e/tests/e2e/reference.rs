//! The service of `conformance/broken`, which joins the running shop, and those who ask it for something.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, SHOP};
use e2e::wait::until;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::support::{PATIENCE, World};

/// Each asks five times a second.
const ASKERS: u32 = 12;

pub(crate) const SERVICE: &str = "reference";

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The entry of the service in a Shop: `bad` is how a release of it is.
pub(crate) fn entry(image: &str, bad: &str) -> Result<Value> {
    let path = format!("{ROOT}/conformance/broken/service.yaml");
    let text = std::fs::read_to_string(&path).context(path)?;
    let mut definition: Value = serde_yaml::from_str(&text)?;
    // The API server asks it on behalf of this test.
    definition["public"] = json!(true);
    let env = json!([{"name": "BAD", "value": bad}]);
    Ok(json!({"image": image, "definition": definition, "env": env}))
}

pub(crate) async fn bring(world: &World, entry: Value) -> Result<()> {
    let spec = json!({"services": {SERVICE: entry}});
    world.cluster.patch_shop(json!({"spec": spec})).await?;
    Ok(())
}

pub(crate) fn image() -> Result<String> {
    variant(&[])
}

/// The image of a later version, whose migration leaves behind what ran before.
pub(crate) fn later() -> Result<String> {
    variant(&["later"])
}

fn variant(arguments: &[&str]) -> Result<String> {
    let script = format!("{ROOT}/conformance/broken/image.sh");
    let printed = Command::new(script).args(arguments).output()?;
    ensure!(printed.status.success(), "the image is not made");
    Ok(String::from_utf8(printed.stdout)?.trim().to_owned())
}

/// Those who ask the service for something, all the while.
pub(crate) struct Askers {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    failed: Arc<AtomicU32>,
    tasks: Vec<JoinHandle<()>>,
}

impl Askers {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let [asked, failed] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
        let tasks = (0..ASKERS).map(|_| {
            let (cluster, stop) = (cluster.clone(), stop.clone());
            let (asked, failed) = (asked.clone(), failed.clone());
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
                    if cluster.text(&path).await.is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self {
            tasks: tasks.collect(),
            stop,
            asked,
            failed,
        }
    }

    pub(crate) async fn have_asked(&self, count: u32) -> Result<()> {
        let count = self.asked.load(Ordering::Relaxed) + count;
        until("requests are answered", PATIENCE, || async {
            Ok((self.asked.load(Ordering::Relaxed) >= count).then_some(()))
        })
        .await
    }

    /// How many have been asked so far, and how many of them failed.
    pub(crate) fn so_far(&self) -> (u32, u32) {
        let (asked, failed) = (&self.asked, &self.failed);
        (
            asked.load(Ordering::Relaxed),
            failed.load(Ordering::Relaxed),
        )
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.tasks).await;
    }
}
