//! One kind of object as the watches tell of it: reads come from the cache.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Instant,
};

use futures::{
    Stream, StreamExt,
    future::ready,
    stream::{self, BoxStream, select_all},
};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    cache::{Cache, Entry, ShopKey},
    kind::Kind,
    merged::is_forbidden,
    ownership,
    scope::Scope,
};
use crate::{
    lock::lock,
    metrics::Metrics,
    naming::labels::{self, SELECTOR},
};

/// Objects in one answer: bounds the memory that a first list needs.
const PAGE: u32 = 100;

/// All objects of one kind that carry our label.
pub struct Tracked<K: Kind> {
    client: Client,
    pub(super) cache: Arc<Mutex<Cache<K>>>,
    /// Watches whose first list has arrived, by number.
    listed: watch::Receiver<HashSet<usize>>,
    watches: usize,
    pub(super) metrics: Metrics,
}

impl<K: Kind> Tracked<K> {
    /// Starts to track. The stream yields the Shops of which something changes, and must be polled for the cache to be filled.
    pub fn new(
        client: Client,
        scope: &Scope,
        metrics: Metrics,
    ) -> (Self, BoxStream<'static, ShopKey>) {
        let cache = Arc::new(Mutex::new(Cache::default()));
        let (sender, listed) = watch::channel(HashSet::new());
        let sender = Arc::new(sender);
        let apis = scope.apis::<K>(&client);
        let watches = apis.len();
        let streams = apis.into_iter().enumerate().map(|(number, api)| {
            let (cache, sender, metrics) = (cache.clone(), sender.clone(), metrics.clone());
            let namespace = api.namespace().map(str::to_owned);
            changes(api, metrics).flat_map(move |told| {
                let is_list = matches!(
                    told,
                    Told::Event(watcher::Event::InitDone) | Told::Forbidden
                );
                let changed = match told {
                    Told::Event(event) => lock(&cache).told(number, namespace.as_deref(), event),
                    Told::Forbidden => Vec::new(),
                };
                if is_list {
                    sender.send_if_modified(|listed| listed.insert(number));
                }
                stream::iter(changed)
            })
        });
        let changed = select_all(streams.map(StreamExt::boxed)).boxed();
        let tracked = Self {
            client,
            cache,
            listed,
            watches,
            metrics,
        };
        (tracked, changed)
    }

    /// Waits until the first list of every watch has arrived.
    ///
    /// # Errors
    /// When a watch ended before.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let mut listed = self.listed.clone();
        listed
            .wait_for(|listed| listed.len() == self.watches)
            .await?;
        Ok(())
    }

    /// An object of a Shop, as new as we know it.
    pub fn get(&self, namespace: &str, shop: &str, name: &str) -> Option<Arc<K>> {
        let entry = lock(&self.cache).get(namespace, shop, name, Instant::now());
        entry.map(|entry| entry.object)
    }

    /// All objects of a Shop, by name.
    pub fn of_shop(&self, namespace: &str, shop: &str) -> Vec<Arc<K>> {
        lock(&self.cache).of_shop(namespace, shop, Instant::now())
    }

    /// The names of all objects of a Shop.
    pub fn names_of_shop(&self, namespace: &str, shop: &str) -> Vec<String> {
        lock(&self.cache).names_of_shop(namespace, shop)
    }

    /// Whether the object is there and applying it would change nothing.
    pub fn is_settled(&self, desired: &K) -> bool {
        let (namespace, shop, name) = key_of(desired);
        let wanted = ownership::digest_of_desired(&as_json(desired));
        lock(&self.cache).is_settled(&namespace, &shop, &name, wanted)
    }

    /// Whether the object is there and applying it would restart none of its pods.
    pub fn keeps_pods(&self, desired: &K) -> bool {
        let (namespace, shop, name) = key_of(desired);
        let wanted = ownership::template_of_desired(&as_json(desired));
        let known = lock(&self.cache).get(&namespace, &shop, &name, Instant::now());
        known.is_some_and(|entry| entry.template == wanted) || self.is_settled(desired)
    }

    /// The API of this kind in one namespace.
    pub fn api(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

pub(super) fn as_json<K: Kind>(object: &K) -> Value {
    // Kubernetes objects have string keys and no failing serialisers, which is all that can go wrong.
    serde_json::to_value(object).unwrap_or_default()
}

/// Namespace, Shop and name.
pub(super) fn key_of<K: Kind>(object: &K) -> (String, String, String) {
    let shop = labels::shop_of(object.labels()).unwrap_or_default();
    (
        object.namespace().unwrap_or_default(),
        shop.to_owned(),
        object.name_any(),
    )
}

/// What a watch tells.
enum Told<K> {
    Event(watcher::Event<Entry<K>>),
    /// It may not look. A namespace that is gone took our rights with it, and must not hold up the others.
    Forbidden,
}

fn changes<K: Kind>(api: Api<K>, metrics: Metrics) -> impl Stream<Item = Told<K>> + Send {
    let one_of_several = api.namespace().is_some();
    let config = watcher::Config::default().labels(SELECTOR).page_size(PAGE);
    watcher(api, config)
        .default_backoff()
        .filter_map(move |event| {
            ready(match event {
                Ok(event) => Some(Told::Event(entries_of(event))),
                Err(error) => {
                    metrics.watch_failed(K::kind(&()).as_ref());
                    tracing::warn!(kind = K::kind(&()).as_ref(), %error, "a watch failed and is started again");
                    (one_of_several && is_forbidden(&error)).then_some(Told::Forbidden)
                }
            })
        })
}

fn entries_of<K: Kind>(event: watcher::Event<K>) -> watcher::Event<Entry<K>> {
    match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(Entry::of(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::Apply(object) => watcher::Event::Apply(Entry::of(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(Entry::of(object)),
    }
}
