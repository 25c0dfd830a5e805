//! Plays the controllers of Kubernetes and the kubelets: whatever is made or changed is at once as it should be.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, Pod},
    },
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{objects::SELECTOR, pods, say, troubled};

/// Objects of one kind that are worked on at a time.
const AT_ONCE: usize = 8;
const RETRY: Duration = Duration::from_secs(1);

/// Works until it is dropped.
pub(crate) struct Hands {
    hand: Hand,
    _tasks: JoinSet<()>,
}

impl Hands {
    pub(crate) fn start(client: &Client) -> Self {
        let hand = Hand {
            client: client.clone(),
            writes: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(work::<StatefulSet>(hand.clone()));
        tasks.spawn(work::<Job>(hand.clone()));
        tasks.spawn(work::<Deployment>(hand.clone()));
        Self {
            hand,
            _tasks: tasks,
        }
    }

    /// Write requests that were sent so far.
    pub(crate) fn writes(&self) -> u64 {
        self.hand.writes.load(Ordering::Relaxed)
    }
}

/// A kind of which something is to be done.
trait Handled: Namespaced {
    /// Makes of an object what its controller and a kubelet would.
    fn handle(self, hand: &Hand) -> impl Future<Output = Result<()>> + Send;
}

trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

async fn work<K: Handled>(hand: Hand) {
    let config = watcher::Config::default().labels(SELECTOR);
    watcher(Api::<K>::all(hand.client.clone()), config)
        .default_backoff()
        .applied_objects()
        .for_each_concurrent(AT_ONCE, |seen| async {
            match seen {
                Ok(object) => handle_at_last(object, &hand).await,
                Err(error) => say(&format!("the bench's hands do not see: {error:#}")),
            }
        })
        .await;
}

/// No event comes a second time, so that what fails is done again.
async fn handle_at_last<K: Handled>(object: K, hand: &Hand) {
    while let Err(error) = object.clone().handle(hand).await {
        say(&format!("the bench's hands try again: {error:#}"));
        tokio::time::sleep(RETRY).await;
    }
}

impl Handled for StatefulSet {
    async fn handle(self, hand: &Hand) -> Result<()> {
        let (status, generation) = (self.status.as_ref(), self.metadata.generation);
        if status
            .is_some_and(|s| s.ready_replicas == Some(1) && s.observed_generation >= generation)
        {
            return Ok(());
        }
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let owner = self.controller_owner_ref(&()).context("no uid")?;
        let spec = self.spec.unwrap_or_default();
        let pod_name = format!("{name}-0");
        let claim_name = format!("data-{pod_name}");
        if let Some(mut claim) = spec.volume_claim_templates.into_iter().flatten().next() {
            claim.metadata.name = Some(claim_name.clone());
            claim.metadata.namespace = Some(namespace.clone());
            hand.create::<PersistentVolumeClaim>(&claim).await?;
        }
        let mut pod = pods::pod(spec.template, &namespace, &pod_name, owner);
        pods::mount_claim(&mut pod, &claim_name);
        let status = pods::running(&pod, troubled::database_address(&name));
        hand.run(&pod, status).await?;
        let status = json!({
            "observedGeneration": generation, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1,
        });
        hand.set_status::<Self>(&namespace, &name, status).await
    }
}

impl Handled for Job {
    async fn handle(self, hand: &Hand) -> Result<()> {
        if self.status.as_ref().is_some_and(|s| s.succeeded.is_some()) {
            return Ok(());
        }
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let owner = self.controller_owner_ref(&()).context("no uid")?;
        let template = self.spec.map(|spec| spec.template).unwrap_or_default();
        let pod = pods::pod(template, &namespace, &format!("{name}-0"), owner);
        let status = pods::succeeded(&pod);
        hand.run(&pod, status).await?;
        let status = json!({"startTime": Timestamp::now().to_string(), "succeeded": 1});
        hand.set_status::<Self>(&namespace, &name, status).await
    }
}

impl Handled for Deployment {
    async fn handle(self, hand: &Hand) -> Result<()> {
        let (status, generation) = (self.status.as_ref(), self.metadata.generation);
        if status.is_some_and(|status| status.observed_generation >= generation) {
            return Ok(());
        }
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let owner = self.controller_owner_ref(&()).context("no uid")?;
        let is_new = status.is_none_or(|status| status.observed_generation.is_none());
        let spec = self.spec.unwrap_or_default();
        // One pod stands for all that follow: the operator looks at their health, and hardly at their number.
        if is_new {
            let pod = pods::pod(spec.template, &namespace, &format!("{name}-0"), owner);
            let status = pods::running(&pod, "10.0.0.3");
            hand.run(&pod, status).await?;
        }
        let count = spec.replicas.unwrap_or(1);
        let status = json!({
            "observedGeneration": generation, "replicas": count, "updatedReplicas": count,
            "readyReplicas": count, "availableReplicas": count,
        });
        hand.set_status::<Self>(&namespace, &name, status).await
    }
}

/// Writes, and counts what it wrote.
#[derive(Clone)]
struct Hand {
    client: Client,
    writes: Arc<AtomicU64>,
}

impl Hand {
    async fn run(&self, pod: &Pod, status: Value) -> Result<()> {
        self.create(pod).await?;
        let namespace = pod.namespace().unwrap_or_default();
        self.set_status::<Pod>(&namespace, &pod.name_any(), status)
            .await
    }

    /// Makes the object, unless it is there.
    async fn create<K: Namespaced>(&self, object: &K) -> Result<()> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), object).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            created => created
                .map(drop)
                .with_context(|| format!("{} {}", K::kind(&()), object.name_any())),
        }
    }

    async fn set_status<K: Namespaced>(
        &self,
        namespace: &str,
        name: &str,
        status: Value,
    ) -> Result<()> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let patch = Patch::Merge(json!({"status": status}));
        match api
            .patch_status(name, &PatchParams::default(), &patch)
            .await
        {
            // It was deleted meanwhile.
            Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
            answer => answer
                .map(drop)
                .with_context(|| format!("status of {} {name}", K::kind(&()))),
        }
    }
}
