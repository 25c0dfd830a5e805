//! One kind of object as the watches tell of it: reads come from the cache.

use std::{
    collections::HashMap,
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
    optional::changes_where_served,
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
    /// Watches whose first list has arrived, or never will, by number.
    listed: watch::Receiver<HashMap<usize, Standing>>,
    watches: usize,
    pub(super) metrics: Metrics,
}

/// How a kind stands with the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is there, and we may look.
    Served,
    /// There is no such kind.
    #[default]
    Absent,
    /// We may not look.
    Forbidden,
}

impl<K: Kind> Tracked<K> {
    /// Starts to track. The stream yields the Shops of which something changes, and must be polled for the cache to be filled.
    pub fn new(
        client: Client,
        scope: &Scope,
        metrics: Metrics,
    ) -> (Self, BoxStream<'static, ShopKey>) {
        Self::by(client, scope, metrics, |api, metrics| {
            let one_of_several = api.namespace().is_some();
            let tells = move |error: &_| one_of_several && is_forbidden(error);
            changes(api, metrics, tells, |_| false).boxed()
        })
    }

    /// The same of a kind that a cluster need not have, and that the operator need not be allowed to look at.
    pub fn where_served(
        client: Client,
        scope: &Scope,
        metrics: Metrics,
    ) -> (Self, BoxStream<'static, ShopKey>) {
        let asks = client.clone();
        Self::by(client, scope, metrics, move |api, metrics| {
            changes_where_served(asks.clone(), api, metrics).boxed()
        })
    }

    fn by(
        client: Client,
        scope: &Scope,
        metrics: Metrics,
        watch: impl Fn(Api<K>, Metrics) -> BoxStream<'static, Told<K>>,
    ) -> (Self, BoxStream<'static, ShopKey>) {
        let cache = Arc::new(Mutex::new(Cache::default()));
        let (sender, listed) = watch::channel(HashMap::new());
        let sender = Arc::new(sender);
        let apis = scope.apis::<K>(&client);
        let watches = apis.len();
        let streams = apis.into_iter().enumerate().map(|(number, api)| {
            let (cache, sender) = (cache.clone(), sender.clone());
            let namespace = api.namespace().map(str::to_owned);
            watch(api, metrics.clone()).flat_map(move |told| {
                let standing = told.standing();
                let mut known = lock(&cache);
                let mut tell = |event| known.told(number, namespace.as_deref(), event);
                let changed = match told {
                    Told::Event(event) => tell(event),
                    Told::Forbidden => Vec::new(),
                    // What there was went with the kind.
                    Told::Absent => {
                        tell(watcher::Event::Init);
                        tell(watcher::Event::InitDone)
                    }
                };
                if let Some(standing) = standing {
                    let told = |listed: &mut HashMap<_, _>| {
                        listed.insert(number, standing) != Some(standing)
                    };
                    let is_new = sender.send_if_modified(told);
                    if is_new && standing == Standing::Forbidden {
                        tracing::warn!(
                            kind = K::kind(&()).as_ref(),
                            namespace,
                            "the operator may not look at a kind of objects"
                        );
                    }
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

    /// How the kind stands with the API server. Of several namespaces one that is gone says nothing of the others.
    pub fn standing(&self) -> Standing {
        let listed = self.listed.borrow();
        let is = |standing| listed.values().any(|one| *one == standing);
        match (is(Standing::Served), is(Standing::Forbidden)) {
            (true, _) => Standing::Served,
            (false, true) => Standing::Forbidden,
            (false, false) => Standing::Absent,
        }
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
pub(super) enum Told<K> {
    Event(watcher::Event<Entry<K>>),
    /// It may not look. A namespace that is gone took our rights with it, and must not hold up the others.
    Forbidden,
    /// There is no such kind.
    Absent,
}

impl<K> Told<K> {
    /// How the kind stands, where this says so.
    fn standing(&self) -> Option<Standing> {
        match self {
            Self::Event(watcher::Event::InitDone) => Some(Standing::Served),
            Self::Event(
                watcher::Event::Init
                | watcher::Event::InitApply(_)
                | watcher::Event::Apply(_)
                | watcher::Event::Delete(_),
            ) => None,
            Self::Forbidden => Some(Standing::Forbidden),
            Self::Absent => Some(Standing::Absent),
        }
    }
}

/// What a watch tells, which begins again after each error but one that is its end. Of an error it may tell that it is forbidden to look.
pub(super) fn changes<K: Kind>(
    api: Api<K>,
    metrics: Metrics,
    is_forbidden: impl Fn(&watcher::Error) -> bool + Send,
    is_end: impl Fn(&watcher::Error) -> bool + Send,
) -> impl Stream<Item = Told<K>> + Send {
    let config = watcher::Config::default().labels(SELECTOR).page_size(PAGE);
    watcher(api, config)
        .default_backoff()
        .take_while(move |event| ready(!event.as_ref().is_err_and(&is_end)))
        .filter_map(move |event| {
            ready(match event {
                Ok(event) => Some(Told::Event(entries_of(event))),
                Err(error) => {
                    metrics.watch_failed(K::kind(&()).as_ref());
                    tracing::warn!(kind = K::kind(&()).as_ref(), %error, "a watch failed and is started again");
                    is_forbidden(&error).then_some(Told::Forbidden)
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
