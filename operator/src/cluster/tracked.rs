//! One kind of object: reads come from the cache, and a write that would change nothing is not sent.

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
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    FIELD_MANAGER,
    cache::{Cache, Entry, ShopKey},
    kind::Kind,
    merged::is_forbidden,
    ownership,
    scope::Scope,
};
use crate::{
    error::Error,
    lock::lock,
    metrics::Metrics,
    naming::labels::{self, MANAGED_BY_LABEL, OPERATOR, SELECTOR},
};

/// An object of somebody else with this annotation (`"true"`) is taken over by the Shop that wants its name.
pub const ADOPT_ANNOTATION: &str = "shopkeeper.dev/adopt";
/// Objects in one answer: bounds the memory that a first list needs.
const PAGE: u32 = 100;

/// All objects of one kind that carry our label.
pub struct Tracked<K: Kind> {
    client: Client,
    cache: Arc<Mutex<Cache<K>>>,
    /// Watches whose first list has arrived, by number.
    listed: watch::Receiver<HashSet<usize>>,
    watches: usize,
    metrics: Metrics,
}

/// An object after it was made what it should be.
#[derive(Clone, Debug)]
pub struct Written<K> {
    /// As it is now.
    pub object: Arc<K>,
    /// Fields of its specification that others have set, each with who did.
    pub foreign: Vec<String>,
    /// Who had set fields that excluded ours, and that were therefore taken back.
    pub taken_from: Vec<String>,
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

    /// Makes the object as desired by server-side apply, or does nothing where that would change nothing. Where `is_asked` says
    /// of a path that is refused that the user has asked for something there, it is no fault of others, and they keep what they have set.
    ///
    /// # Errors
    /// What the API server answers; [`Error::NameTaken`] where somebody else has an object of this name.
    pub async fn apply(
        &self,
        desired: &K,
        is_asked: impl Fn(&str) -> bool,
    ) -> Result<Written<K>, Error> {
        let (namespace, shop, name) = key_of(desired);
        let json = as_json(desired);
        let wanted = ownership::digest_of_desired(&json);
        let known = lock(&self.cache).get(&namespace, &shop, &name, Instant::now());
        if let Some(entry) = &known
            && lock(&self.cache).is_settled(&namespace, &shop, &name, wanted)
        {
            self.metrics.applied(K::kind(&()).as_ref(), "skipped");
            return Ok(written(entry.clone(), Vec::new()));
        }
        let there = match &known {
            Some(entry) => may_be_changed(&*entry.object, desired).map(|()| true)?,
            None => self.find_untracked(desired).await?,
        };
        let (live, taken_from) = self.patch(desired, is_asked, there).await?;
        let before = known.and_then(|entry| entry.object.resource_version());
        let changed = live.resource_version() != before;
        let result = if changed { "changed" } else { "unchanged" };
        self.metrics.applied(K::kind(&()).as_ref(), result);
        let entry = Entry::of(live);
        lock(&self.cache).applied(entry.clone(), wanted, Instant::now());
        Ok(written(entry, taken_from))
    }

    /// Makes the object unless one of its name is there. One that is there stays as it is, but that it gets the owner of the
    /// desired one.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn create_once(&self, desired: &K) -> Result<Written<K>, Error> {
        let (namespace, shop, name) = key_of(desired);
        let known = lock(&self.cache).get(&namespace, &shop, &name, Instant::now());
        let live = match known {
            Some(entry) => entry,
            None => self.create_or_get(desired).await?,
        };
        may_be_changed(&*live.object, desired)?;
        let has = |owner: &_| live.object.owner_references().contains(owner);
        if desired.owner_references().iter().all(has) {
            return Ok(written(live, Vec::new()));
        }
        let owners = json!({"metadata": {"ownerReferences": desired.owner_references()}});
        self.merge(&live.object, &owners).await
    }

    async fn create_or_get(&self, desired: &K) -> Result<Entry<K>, Error> {
        let (namespace, _, name) = key_of(desired);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        let live = match self.api(&namespace).create(&params, desired).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                self.api(&namespace).get(&name).await
            }
            created => {
                self.metrics.applied(K::kind(&()).as_ref(), "changed");
                created
            }
        };
        let entry = Entry::of(live.map_err(failed(desired))?);
        may_be_changed(&*entry.object, desired)?;
        lock(&self.cache).wrote(entry.clone(), Instant::now());
        Ok(entry)
    }

    /// Changes some fields of an object that is there: a strategic merge patch, which adds to lists with keys (owners) in place
    /// of replacing them.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn merge(&self, object: &K, patch: &Value) -> Result<Written<K>, Error> {
        let (namespace, _, name) = key_of(object);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let live = self
            .api(&namespace)
            .patch(&name, &params, &Patch::Strategic(patch))
            .await
            .map_err(failed(object))?;
        self.metrics.applied(K::kind(&()).as_ref(), "changed");
        let entry = Entry::of(live);
        lock(&self.cache).wrote(entry.clone(), Instant::now());
        Ok(written(entry, Vec::new()))
    }

    /// Deletes exactly this object (not one that took its name since); its dependents follow in the background.
    ///
    /// # Errors
    /// What the API server answers, but for "not found".
    pub async fn delete(&self, object: &K) -> Result<(), Error> {
        let (namespace, _, name) = key_of(object);
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: object.uid(),
            resource_version: None,
        });
        match self.api(&namespace).delete(&name, &params).await {
            Ok(_) => {
                self.metrics.deleted(K::kind(&()).as_ref());
                lock(&self.cache).deleted(object);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                Ok(())
            }
            Err(source) => {
                let action = format!("{} {name} cannot be deleted", K::kind(&()));
                Err(Error::kube(action)(source))
            }
        }
    }

    /// The API of this kind in one namespace.
    pub fn api(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Looks for an object that the watches do not know, because it is new or not ours. A creation by POST would tell in one
    /// request, but the API server would note all defaults (a Deployment's count among them) as set by us for ever.
    async fn find_untracked(&self, desired: &K) -> Result<bool, Error> {
        let (namespace, _, name) = key_of(desired);
        let found = self.api(&namespace).get_opt(&name).await;
        match found.map_err(failed(desired))? {
            None => Ok(false),
            Some(found) => may_be_changed(&found, desired).map(|()| true),
        }
    }

    /// A server-side apply. What is new is not forced: if somebody else makes an object of this name at the same moment, that
    /// is a conflict and the next reconcile sees it. Returns also from whom fields were taken over for it.
    async fn patch(
        &self,
        desired: &K,
        is_asked: impl Fn(&str) -> bool,
        there: bool,
    ) -> Result<(K, Vec<String>), Error> {
        let (namespace, shop, name) = key_of(desired);
        let api = self.api(&namespace);
        let mut params = PatchParams::apply(FIELD_MANAGER).validation_strict();
        params.force = there;
        let patch = Patch::Apply(desired);
        let refused = match api.patch(&name, &params, &patch).await {
            Ok(live) => return Ok((live, Vec::new())),
            Err(kube::Error::Api(status)) if status.code == 422 && there => status,
            Err(other) => return Err(failed(desired)(other)),
        };
        let causes = refused.details.iter().flat_map(|details| &details.causes);
        let fields = causes.map(|cause| cause.field.clone());
        let fields: Vec<_> = fields.filter(|field| !is_asked(field)).collect();
        let taken_from = take_over(&api, &name, &fields).await;
        let taken_from = taken_from.map_err(failed(desired))?;
        let since_applied =
            lock(&self.cache).took_over(&namespace, &shop, &name, taken_from.clone());
        let still_refused = |answer| refused_still(desired, &since_applied, answer);
        if taken_from.is_empty() {
            return Err(still_refused(kube::Error::Api(refused)));
        }
        tracing::warn!(object = name, from = ?taken_from, ?fields, "fields of others are taken over");
        let live = api.patch(&name, &params, &patch).await;
        Ok((live.map_err(still_refused)?, taken_from))
    }
}

/// That an object is refused though fields of others were taken over: what they had set was not all that stands in the way.
fn refused_still<K: Kind>(object: &K, taken_from: &[String], answer: kube::Error) -> Error {
    if taken_from.is_empty() {
        return failed(object)(answer);
    }
    Error::kube(format!(
        "{} {} is refused even after what {} had set on it was taken over",
        K::kind(&()),
        object.name_any(),
        taken_from.join(", ")
    ))(answer)
}

/// Makes what stands beside a refused field ours, so that the next apply removes what it does not name. Returns whose it was.
async fn take_over<K: Kind>(
    api: &Api<K>,
    name: &str,
    refused: &[String],
) -> Result<Vec<String>, kube::Error> {
    let live = api.get(name).await?;
    let Some((entries, from)) = ownership::take_over(live.managed_fields(), FIELD_MANAGER, refused)
    else {
        return Ok(Vec::new());
    };
    let patch = json!({"metadata": {
        "managedFields": entries,
        // Refused where somebody wrote meanwhile.
        "resourceVersion": live.resource_version(),
    }});
    let params = PatchParams::default();
    api.patch(name, &params, &Patch::Merge(patch)).await?;
    Ok(from)
}

/// Whether an object that is there under a wanted name may be made what we want.
fn may_be_changed<K: Kind>(found: &K, desired: &K) -> Result<(), Error> {
    let is_shop = |owner: &&_| is_shop(owner);
    let controller = found
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    let labels = found.labels();
    let owner = desired.owner_references().first();
    let is_owned =
        controller.is_some_and(|theirs| owner.is_some_and(|ours| ours.uid == theirs.uid));
    let ours = labels.get(MANAGED_BY_LABEL).map(String::as_str) == Some(OPERATOR)
        && labels::shop_of(labels) == labels::shop_of(desired.labels())
        && controller.as_ref().is_none_or(is_shop);
    let adopted = found
        .annotations()
        .get(ADOPT_ANNOTATION)
        .map(String::as_str)
        == Some("true");
    let may = is_owned || ours || (adopted && controller.is_none());
    if !may {
        return Err(Error::NameTaken {
            kind: K::kind(&()).into_owned(),
            name: found.name_any(),
        });
    }
    match (controller, owner) {
        (Some(theirs), Some(wanted)) if theirs.uid != wanted.uid => Err(Error::Leftover {
            kind: K::kind(&()).into_owned(),
            name: found.name_any(),
        }),
        _ => Ok(()),
    }
}

fn is_shop(owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference) -> bool {
    owner.kind == "Shop" && owner.api_version.starts_with("shopkeeper.dev/")
}

fn written<K>(entry: Entry<K>, taken_from: Vec<String>) -> Written<K> {
    Written {
        object: entry.object,
        foreign: entry.foreign,
        taken_from,
    }
}

fn as_json<K: Kind>(object: &K) -> Value {
    // Kubernetes objects have string keys and no failing serialisers, which is all that can go wrong.
    serde_json::to_value(object).unwrap_or_default()
}

/// Namespace, Shop and name.
fn key_of<K: Kind>(object: &K) -> (String, String, String) {
    let shop = labels::shop_of(object.labels()).unwrap_or_default();
    (
        object.namespace().unwrap_or_default(),
        shop.to_owned(),
        object.name_any(),
    )
}

fn failed<K: Kind>(object: &K) -> impl FnOnce(kube::Error) -> Error {
    Error::kube(format!("{} {}", K::kind(&()), object.name_any()))
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
