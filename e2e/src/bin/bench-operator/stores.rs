//! What it takes to keep whole objects, as kube's reflectors do, of the kinds that the operator keeps.

use std::{
    fmt::Debug,
    hash::Hash,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use e2e::cluster::{Cluster, shop_resource};
use futures::StreamExt;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource,
    api::DynamicObject,
    runtime::{
        WatchStreamExt, reflector,
        reflector::store::Writer,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;

use crate::{objects::SELECTOR, plain};

/// Stores that are to be filled.
pub(crate) const STORES: u64 = 12;

/// Fills a store for each kind and keeps it up to date.
pub(crate) async fn run(metrics: SocketAddr) -> Result<()> {
    let client = Cluster::of_environment().await?.client;
    let filled = Arc::new(AtomicU64::new(0));
    macro_rules! keep {
        ($($kind:ty),+) => {$(
            tokio::spawn(keep(
                Api::<$kind>::all(client.clone()),
                watcher::Config::default().labels(SELECTOR),
                Writer::default(),
                filled.clone(),
            ));
        )+};
    }
    keep!(
        Deployment,
        StatefulSet,
        Job,
        Service,
        ServiceAccount,
        Secret,
        NetworkPolicy,
        PodDisruptionBudget,
        HorizontalPodAutoscaler,
        Pod,
        PersistentVolumeClaim
    );
    let shops = shop_resource();
    tokio::spawn(keep(
        Api::<DynamicObject>::all_with(client, &shops),
        watcher::Config::default(),
        Writer::new(shops),
        filled.clone(),
    ));
    plain::serve_count(metrics, &filled).await
}

async fn keep<K>(api: Api<K>, config: watcher::Config, writer: Writer<K>, filled: Arc<AtomicU64>)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Unpin,
{
    reflector(writer, watcher(api, config))
        .default_backoff()
        .for_each(|event| {
            if matches!(event, Ok(watcher::Event::InitDone)) {
                filled.fetch_add(1, Ordering::Relaxed);
            }
            std::future::ready(())
        })
        .await;
}
