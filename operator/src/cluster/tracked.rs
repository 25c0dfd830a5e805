//! One kind of object: what the API server told us (a reflector's store) and what we wrote ourselves (a memory), so that a
//! read sees the own writes and a write that would change nothing is not sent.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use futures::{Stream, StreamExt, TryStreamExt, future::ready, stream::BoxStream};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    hash::Fingerprint,
    labels::{INSTANCE_LABEL, SELECTOR},
    lock::lock,
    metrics::Metrics,
};

use super::{FIELD_MANAGER, Scope, watch_all};

/// What a namespaced kind must offer to be tracked.
pub trait Kind:
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

impl<K> Kind for K where
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

/// Namespace and name.
type Key = (String, String);

/// All objects of one kind that carry our label.
pub struct Tracked<K: Kind> {
    client: Client,
    store: Store<K>,
    memory: Arc<Mutex<HashMap<Key, Remembered<K>>>>,
    metrics: Metrics,
}

/// What was last applied, and what the object looked like afterwards.
struct Remembered<K> {
    desired: Option<Fingerprint>,
    seen: Fingerprint,
    object: Arc<K>,
}

impl<K: Kind> Tracked<K> {
    /// Starts to track. The stream yields (namespace, shop) for everything that changes and must be polled for the store
    /// to be filled.
    pub fn new(
        client: Client,
        scope: &Scope,
        metrics: Metrics,
    ) -> (Self, BoxStream<'static, (String, String)>) {
        let (store, writer) = reflector::store();
        let memory = Arc::new(Mutex::new(HashMap::new()));
        let changes = watch_all(
            scope.apis::<K>(&client),
            &watcher::Config::default().labels(SELECTOR),
            store.clone(),
        )
        .modify(|object| object.managed_fields_mut().clear())
        .inspect_ok({
            let memory = memory.clone();
            move |event| forget(&memory, event)
        })
        .reflect(writer)
        .touched_objects();
        let tracked = Self {
            client,
            store,
            memory,
            metrics: metrics.clone(),
        };
        (tracked, shops_of(changes, metrics).boxed())
    }

    /// Waits until the first list has arrived.
    ///
    /// # Errors
    /// When the watch ended before.
    pub async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        self.store.wait_until_ready().await
    }

    /// The object, as new as we know it.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let stored = self.store.get(&ObjectRef::new(name).within(namespace));
        let memory = lock(&self.memory);
        let remembered = memory
            .get(&(namespace.to_owned(), name.to_owned()))
            .map(|r| r.object.clone());
        match (stored, remembered) {
            (Some(stored), Some(remembered)) if is_newer(&*remembered, &*stored) => {
                Some(remembered)
            }
            (Some(stored), _) => Some(stored),
            (None, remembered) => remembered,
        }
    }

    /// All objects of a Shop that the API server told us of, by name.
    pub fn of_shop(&self, namespace: &str, shop: &str) -> Vec<Arc<K>> {
        let mut objects: Vec<_> = self
            .store
            .state()
            .into_iter()
            .filter(|object| {
                object.meta().namespace.as_deref() == Some(namespace)
                    && object.labels().get(INSTANCE_LABEL).map(String::as_str) == Some(shop)
            })
            .collect();
        objects.sort_by_key(|object| object.name_any());
        objects
    }

    /// Makes the object as desired by server-side apply, or does nothing where that is known to change nothing: the same
    /// was applied before and the object, its status aside, still looks as it did afterwards.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn apply(&self, desired: Arc<K>) -> Result<Arc<K>, kube::Error> {
        let desired = &*desired;
        let (namespace, name) = key_of(desired);
        let wanted = Fingerprint::of(desired);
        if let Some(live) = self.unchanged(&namespace, &name, wanted) {
            self.metrics.applied(K::kind(&()).as_ref(), "skipped");
            return Ok(live);
        }
        let before = self
            .get(&namespace, &name)
            .and_then(|object| object.resource_version());
        let params = PatchParams::apply(FIELD_MANAGER)
            .force()
            .validation_strict();
        let live = self
            .api(&namespace)
            .patch(&name, &params, &Patch::Apply(desired))
            .await?;
        let result = if live.resource_version() == before {
            "unchanged"
        } else {
            "changed"
        };
        self.metrics.applied(K::kind(&()).as_ref(), result);
        Ok(self.remember(live, Some(wanted)))
    }

    /// Makes the object unless one of its name is there, which is then left as it is.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn create_once(&self, desired: Arc<K>) -> Result<Arc<K>, kube::Error> {
        let desired = &*desired;
        let (namespace, name) = key_of(desired);
        if let Some(live) = self.get(&namespace, &name) {
            return Ok(live);
        }
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        let live = match self.api(&namespace).create(&params, desired).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                self.api(&namespace).get(&name).await?
            }
            created => {
                self.metrics.applied(K::kind(&()).as_ref(), "changed");
                created?
            }
        };
        Ok(self.remember(live, None))
    }

    /// Changes some fields of an object that is there.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn merge(
        &self,
        object: &K,
        patch: &serde_json::Value,
    ) -> Result<Arc<K>, kube::Error> {
        let (namespace, name) = key_of(object);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let live = self
            .api(&namespace)
            .patch(&name, &params, &Patch::Merge(patch))
            .await?;
        self.metrics.applied(K::kind(&()).as_ref(), "changed");
        Ok(self.remember(live, None))
    }

    /// Deletes exactly this object (not one that took its name since); its dependents follow in the background.
    ///
    /// # Errors
    /// What the API server answers, but for "not found".
    pub async fn delete(&self, object: &K) -> Result<(), kube::Error> {
        let (namespace, name) = key_of(object);
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: object.uid(),
            resource_version: None,
        });
        match self.api(&namespace).delete(&name, &params).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            other => {
                other?;
            }
        }
        lock(&self.memory).remove(&(namespace, name));
        Ok(())
    }

    /// The API of this kind in one namespace.
    pub fn api(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn unchanged(&self, namespace: &str, name: &str, wanted: Fingerprint) -> Option<Arc<K>> {
        let live = self.get(namespace, name)?;
        let mut memory = lock(&self.memory);
        let remembered = memory.get_mut(&(namespace.to_owned(), name.to_owned()))?;
        if remembered.desired != Some(wanted) || remembered.object.uid() != live.uid() {
            return None;
        }
        if remembered.object.resource_version() != live.resource_version() {
            if fingerprint_of_live(&*live) != remembered.seen {
                return None;
            }
            remembered.object = live.clone();
        }
        Some(live)
    }

    fn remember(&self, mut live: K, desired: Option<Fingerprint>) -> Arc<K> {
        live.managed_fields_mut().clear();
        let seen = fingerprint_of_live(&live);
        let object = Arc::new(live);
        lock(&self.memory).insert(
            key_of(&*object),
            Remembered {
                desired,
                seen,
                object: object.clone(),
            },
        );
        object
    }
}

fn key_of<K: Kind>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Resource versions are numbers that grow (KEP-5504; so it always was with etcd). Where they are not, nothing is newer.
fn is_newer<K: Kind>(a: &K, b: &K) -> bool {
    let version = |object: &K| {
        object
            .resource_version()
            .and_then(|version| version.parse::<u64>().ok())
    };
    matches!((version(a), version(b)), (Some(a), Some(b)) if a > b)
}

/// An object but for what changes by itself: status, version numbers, who wrote what, and on Deployments the count (which
/// is not ours) and the revision.
fn fingerprint_of_live<K: Kind>(live: &K) -> Fingerprint {
    let mut value = serde_json::to_value(live).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
        if K::kind(&()) == "Deployment"
            && let Some(spec) = object.get_mut("spec").and_then(|spec| spec.as_object_mut())
        {
            spec.remove("replicas");
        }
        if let Some(meta) = object
            .get_mut("metadata")
            .and_then(|meta| meta.as_object_mut())
        {
            for field in ["resourceVersion", "generation", "managedFields"] {
                meta.remove(field);
            }
            if let Some(annotations) = meta
                .get_mut("annotations")
                .and_then(|map| map.as_object_mut())
            {
                annotations.remove("deployment.kubernetes.io/revision");
            }
        }
    }
    Fingerprint::of(&value)
}

/// What was deleted behind our back must not be remembered as being there; after a gap in the watch nothing may.
fn forget<K: Kind>(memory: &Mutex<HashMap<Key, Remembered<K>>>, event: &watcher::Event<K>) {
    match event {
        watcher::Event::Delete(object) => {
            let mut memory = lock(memory);
            let key = key_of(object);
            if memory
                .get(&key)
                .is_some_and(|remembered| remembered.object.uid() == object.uid())
            {
                memory.remove(&key);
            }
        }
        watcher::Event::Init => lock(memory).clear(),
        watcher::Event::Apply(_) | watcher::Event::InitApply(_) | watcher::Event::InitDone => {}
    }
}

fn shops_of<K: Kind>(
    changes: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
    metrics: Metrics,
) -> impl Stream<Item = (String, String)> + Send {
    changes.filter_map(move |change| {
        ready(match change {
            Ok(object) => object.labels().get(INSTANCE_LABEL).cloned().zip(object.namespace()).map(|(shop, ns)| (ns, shop)),
            Err(error) => {
                metrics.watch_failed(K::kind(&()).as_ref());
                tracing::warn!(kind = K::kind(&()).as_ref(), %error, "a watch failed and is started again");
                None
            }
        })
    })
}
