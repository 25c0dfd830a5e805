//! When Deployments follow an edit, as somebody who watches them sees it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

use crate::{
    objects::{INSTANCE, SELECTOR},
    shops::ShopKey,
};

/// Each Shop has so many Deployments.
pub(crate) const EACH: usize = 5;
/// The variable that holds what is logged.
const VARIABLE: &str = "LOG";
const PATIENCE: Duration = Duration::from_secs(120);

/// A watch of all Deployments of all Shops.
pub(crate) struct Deployments {
    seen: UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

enum Seen {
    /// The watch has told what there is.
    Listed,
    Changed(Change),
}

struct Change {
    at: Instant,
    shop: ShopKey,
    name: String,
    log_level: Option<String>,
}

impl Deployments {
    /// Returns when the watch has told what there is.
    pub(crate) async fn watch(client: &Client) -> Result<Self> {
        let (tell, seen) = unbounded_channel();
        let task = tokio::spawn(watch(client.clone(), tell));
        let mut deployments = Self { seen, task };
        while !matches!(deployments.next().await?, Seen::Listed) {}
        Ok(deployments)
    }

    /// Waits until all Deployments of this Shop log as told, and says when the last one was seen to.
    pub(crate) async fn followed(&mut self, shop: &ShopKey, log_level: &str) -> Result<Instant> {
        let mut followed = Vec::with_capacity(EACH);
        loop {
            let Seen::Changed(change) = self.next().await? else {
                continue;
            };
            if change.shop != *shop || change.log_level.as_deref() != Some(log_level) {
                continue;
            }
            if !followed.contains(&change.name) {
                followed.push(change.name);
            }
            if followed.len() == EACH {
                return Ok(change.at);
            }
        }
    }

    async fn next(&mut self) -> Result<Seen> {
        match tokio::time::timeout(PATIENCE, self.seen.recv()).await {
            Ok(seen) => seen.context("the watch of Deployments ended"),
            Err(_) => bail!("no Deployment changed for {} s", PATIENCE.as_secs()),
        }
    }
}

impl Drop for Deployments {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(client: Client, tell: UnboundedSender<Seen>) {
    let config = watcher::Config::default().labels(SELECTOR);
    let mut events = watcher(Api::<Deployment>::all(client), config)
        .default_backoff()
        .boxed();
    while let Some(event) = events.next().await {
        let seen = match event {
            Ok(watcher::Event::InitDone) => Seen::Listed,
            Ok(watcher::Event::Apply(deployment)) => Seen::Changed(change(&deployment)),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_) | watcher::Event::Delete(_))
            | Err(_) => continue,
        };
        if tell.send(seen).is_err() {
            return;
        }
    }
}

fn change(deployment: &Deployment) -> Change {
    Change {
        at: Instant::now(),
        shop: ShopKey {
            namespace: deployment.namespace().unwrap_or_default(),
            name: deployment
                .labels()
                .get(INSTANCE)
                .cloned()
                .unwrap_or_default(),
        },
        name: deployment.name_any(),
        log_level: log_level(deployment).map(str::to_owned),
    }
}

fn log_level(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let mut variables = pod.containers.first()?.env.iter().flatten();
    let variable = variables.find(|variable| variable.name == VARIABLE)?;
    variable.value.as_deref()
}
