//! The objects of one kind, by Shop: what the watches told, and what we wrote ourselves until a watch has told it too.

use std::{
    collections::{BTreeMap, HashMap},
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{ResourceExt, runtime::watcher};

use super::{
    FIELD_MANAGER,
    kind::Kind,
    ownership,
    packed::{Packed, Packer},
};
use crate::{
    hash::Fingerprint,
    naming::labels::{self, MANAGED_BY_LABEL, OPERATOR},
};

/// A write of ours that no watch has told of for this long is no longer believed: the object was deleted meanwhile.
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// A Shop of which something changed: (namespace, name).
pub type ShopKey = (String, String);

/// An object, reduced to what is needed of it, and what was found out before that.
#[derive(Clone, Debug)]
pub(super) struct Entry<K> {
    pub(super) object: Arc<K>,
    /// Of the fields that we applied.
    pub(super) digest: Fingerprint,
    /// Of those in the template of its pods.
    pub(super) template: Fingerprint,
    /// Fields of the specification that others have set.
    pub(super) foreign: Vec<String>,
    /// Those of ours that stayed as others have set them when it was last applied. Only we know of it.
    pub(super) left: Vec<String>,
}

impl<K: Kind> Entry<K> {
    /// What is kept of an object as the API server sent it.
    pub(super) fn of(mut object: K) -> Self {
        let live = serde_json::to_value(&object).unwrap_or_default();
        object.managed_fields_mut().clear();
        object.trim();
        Self {
            object: Arc::new(object),
            digest: ownership::digest_of_live(&live, FIELD_MANAGER),
            template: ownership::template_of_live(&live, FIELD_MANAGER),
            foreign: ownership::foreign_fields(&live, FIELD_MANAGER),
            left: Vec::new(),
        }
    }
}

/// What is kept of an [`Entry`], and what only we know of it.
struct Cached {
    object: Packed,
    digest: Fingerprint,
    template: Fingerprint,
    foreign: Box<[String]>,
    /// Somebody changes what we apply: an admission webhook, or a person where that stays.
    accepted: Option<Box<Accepted>>,
    /// When we wrote it, as long as no watch has told of it.
    unconfirmed_since: Option<Instant>,
    /// Whose fields were taken over since it was last applied.
    taken_from: Vec<String>,
    /// The last list that held it.
    listed: ListNumber,
}

/// What an object was after an apply, though it is not what was applied.
struct Accepted {
    wanted: Fingerprint,
    digest: Fingerprint,
    left: Vec<String>,
}

/// Boxed, because the nodes of a map have room for more than they hold.
type ByName = BTreeMap<Box<str>, Box<Cached>>;

/// Counts the lists with which watches begin; 0 is none.
type ListNumber = u32;

pub(super) struct Cache<K> {
    /// By namespace, then by Shop.
    shops: HashMap<String, HashMap<String, ByName>>,
    packer: Packer,
    /// The list that is under way, by watch.
    lists: HashMap<usize, ListNumber>,
    last_list: ListNumber,
    kind: PhantomData<K>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self {
            shops: HashMap::new(),
            packer: Packer::default(),
            lists: HashMap::new(),
            last_list: 0,
            kind: PhantomData,
        }
    }
}

impl<K: Kind> Cache<K> {
    pub(super) fn get(
        &self,
        namespace: &str,
        shop: &str,
        name: &str,
        now: Instant,
    ) -> Option<Entry<K>> {
        let cached = self.find(namespace, shop, name)?;
        if !cached.is_believed(now) {
            return None;
        }
        Some(Entry {
            object: Arc::new(self.object(cached)?),
            digest: cached.digest,
            template: cached.template,
            foreign: cached.foreign.to_vec(),
            left: cached
                .accepted
                .as_ref()
                .map(|accepted| accepted.left.clone())
                .unwrap_or_default(),
        })
    }

    /// All objects of a Shop, by name.
    pub(super) fn of_shop(&self, namespace: &str, shop: &str, now: Instant) -> Vec<Arc<K>> {
        let objects = self.shops.get(namespace).and_then(|shops| shops.get(shop));
        objects
            .into_iter()
            .flatten()
            .filter(|(_, cached)| cached.is_believed(now))
            .filter_map(|(_, cached)| self.object(cached).map(Arc::new))
            .collect()
    }

    /// The names of all objects of a Shop.
    pub(super) fn names_of_shop(&self, namespace: &str, shop: &str) -> Vec<String> {
        let objects = self.shops.get(namespace).and_then(|shops| shops.get(shop));
        let names = objects.into_iter().flat_map(BTreeMap::keys);
        names.map(|name| name.to_string()).collect()
    }

    fn find(&self, namespace: &str, shop: &str, name: &str) -> Option<&Cached> {
        Some(self.shops.get(namespace)?.get(shop)?.get(name)?)
    }

    fn object(&self, cached: &Cached) -> Option<K> {
        self.packer.unpack(&cached.object)
    }

    /// What the API server answered to a write of ours.
    pub(super) fn wrote(&mut self, entry: Entry<K>, now: Instant) {
        self.put(entry, Some(now));
    }

    /// The API server has begun to delete it at our request. What it was must not be taken for what is there; if a finalizer holds it,
    /// the watch tells of it again.
    pub(super) fn deleted(&mut self, object: &K) {
        self.remove(object);
    }

    /// What the API server answered when `wanted` was applied.
    pub(super) fn applied(&mut self, entry: Entry<K>, wanted: Fingerprint, now: Instant) {
        let (object, digest, left) = (entry.object.clone(), entry.digest, entry.left.clone());
        if let Some(key) = self.put(entry, Some(now))
            && let Some(cached) = self.objects_of(&key).get_mut(&*object.name_any())
        {
            cached.taken_from.clear();
            let accepted = Accepted {
                wanted,
                digest,
                left,
            };
            cached.accepted = (digest != wanted).then(|| Box::new(accepted));
        }
    }

    /// Fields of these were taken over, in order to apply. Returns whose were since the object was last applied.
    pub(super) fn took_over(
        &mut self,
        namespace: &str,
        shop: &str,
        name: &str,
        from: Vec<String>,
    ) -> Vec<String> {
        let shops = self.shops.get_mut(namespace);
        let objects = shops.and_then(|shops| shops.get_mut(shop));
        let Some(cached) = objects.and_then(|objects| objects.get_mut(name)) else {
            return from;
        };
        cached.taken_from.extend(from);
        cached.taken_from.sort();
        cached.taken_from.dedup();
        cached.taken_from.clone()
    }

    /// Whose fields were taken over since the object was last applied.
    pub(super) fn taken_from(&self, namespace: &str, shop: &str, name: &str) -> Vec<String> {
        let cached = self.find(namespace, shop, name);
        cached.map_or_else(Vec::new, |cached| cached.taken_from.clone())
    }

    /// Whether applying `wanted` would change nothing.
    pub(super) fn is_settled(
        &self,
        namespace: &str,
        shop: &str,
        name: &str,
        wanted: Fingerprint,
    ) -> bool {
        self.find(namespace, shop, name).is_some_and(|cached| {
            let is_as_accepted =
                |accepted: &Accepted| accepted.wanted == wanted && accepted.digest == cached.digest;
            cached.digest == wanted || cached.accepted.as_deref().is_some_and(is_as_accepted)
        })
    }

    /// What watch number `watch`, of `namespace` or of all, tells. Returns the Shops that it is about.
    pub(super) fn told(
        &mut self,
        watch: usize,
        namespace: Option<&str>,
        event: watcher::Event<Entry<K>>,
    ) -> Vec<ShopKey> {
        match event {
            watcher::Event::Init => {
                self.last_list = self.last_list.wrapping_add(1);
                self.lists.insert(watch, self.last_list);
                Vec::new()
            }
            watcher::Event::InitApply(entry) => {
                let name = entry.object.name_any();
                let key = self.put(entry, None);
                let list = self.lists.get(&watch).copied().unwrap_or_default();
                if let Some(key) = &key
                    && let Some(cached) = self.objects_of(key).get_mut(&*name)
                {
                    cached.listed = list;
                }
                key.into_iter().collect()
            }
            watcher::Event::InitDone => self.drop_unlisted(watch, namespace),
            watcher::Event::Apply(entry) => self.put(entry, None).into_iter().collect(),
            watcher::Event::Delete(entry) => self.remove(&entry.object).into_iter().collect(),
        }
    }

    fn put(&mut self, entry: Entry<K>, unconfirmed_since: Option<Instant>) -> Option<ShopKey> {
        let key = shop_of(&*entry.object)?;
        let name = entry.object.name_any();
        self.remove_from_others(&key, &name);
        let known = self.find(&key.0, &key.1, &name);
        let before: Option<K> = known.and_then(|known| self.object(known));
        // The watch is behind our own write.
        if before
            .as_ref()
            .is_some_and(|before| is_newer(before, &*entry.object))
        {
            return Some(key);
        }
        let same = before.filter(|before| before.uid() == entry.object.uid());
        // The watch may have told of our write before its answer came, and tells of each version once.
        let told = same
            .as_ref()
            .is_some_and(|before| before.resource_version() == entry.object.resource_version());
        let object = self.packer.pack(&*entry.object);
        let objects = self.objects_of(&key);
        let known = objects.remove(&*name);
        let confirmed = told
            && known
                .as_ref()
                .is_some_and(|known| known.unconfirmed_since.is_none());
        let listed = known.as_ref().map_or(0, |known| known.listed);
        let (accepted, taken_from) = known
            .filter(|_| same.is_some())
            .map(|known| (known.accepted, known.taken_from))
            .unwrap_or_default();
        let cached = Cached {
            object,
            digest: entry.digest,
            template: entry.template,
            foreign: entry.foreign.into(),
            accepted,
            unconfirmed_since: unconfirmed_since.filter(|_| !confirmed),
            taken_from,
            listed,
        };
        objects.insert(name.into(), Box::new(cached));
        Some(key)
    }

    fn remove(&mut self, object: &K) -> Option<ShopKey> {
        let key = shop_of(object)?;
        let name = object.name_any();
        let known = self.find(&key.0, &key.1, &name);
        let known = known.and_then(|known| self.object(known));
        // Another one may have taken the name, and we may know of it already.
        if known.is_some_and(|known| known.uid() == object.uid()) {
            self.objects_of(&key).remove(&*name);
        }
        self.forget_empty(&key);
        Some(key)
    }

    /// After a whole list: what it did not hold is gone, but for what we wrote while it came.
    fn drop_unlisted(&mut self, watch: usize, namespace: Option<&str>) -> Vec<ShopKey> {
        let list = self.lists.remove(&watch).unwrap_or_default();
        let mut gone = Vec::new();
        for (ns, shops) in &mut self.shops {
            if namespace.is_some_and(|namespace| namespace != ns) {
                continue;
            }
            for (shop, objects) in shops {
                let before = objects.len();
                objects.retain(|_, cached| {
                    cached.unconfirmed_since.is_some() || cached.listed == list
                });
                if objects.len() < before {
                    gone.push((ns.clone(), shop.clone()));
                }
            }
        }
        gone.iter().for_each(|key| self.forget_empty(key));
        gone
    }

    /// Somebody has changed the label that says to which Shop it belongs.
    fn remove_from_others(&mut self, (namespace, shop): &ShopKey, name: &str) {
        let shops = self.shops.get_mut(namespace).into_iter().flatten();
        for (other, objects) in shops {
            if other != shop {
                objects.remove(name);
            }
        }
    }

    fn objects_of(&mut self, (namespace, shop): &ShopKey) -> &mut ByName {
        let shops = self.shops.entry(namespace.clone()).or_default();
        shops.entry(shop.clone()).or_default()
    }

    fn forget_empty(&mut self, (namespace, shop): &ShopKey) {
        let Some(shops) = self.shops.get_mut(namespace) else {
            return;
        };
        if shops.get(shop).is_some_and(BTreeMap::is_empty) {
            shops.remove(shop);
        }
        if shops.is_empty() {
            self.shops.remove(namespace);
        }
    }
}

impl Cached {
    fn is_believed(&self, now: Instant) -> bool {
        self.unconfirmed_since
            .is_none_or(|since| now.saturating_duration_since(since) < UNCONFIRMED)
    }
}

/// The Shop that an object of ours says it belongs to. What somebody else made is not kept, whatever labels it has.
fn shop_of<K: Kind>(object: &K) -> Option<ShopKey> {
    let made_by = object.labels().get(MANAGED_BY_LABEL).map(String::as_str);
    if made_by != Some(OPERATOR) {
        return None;
    }
    Some((
        object.namespace()?,
        labels::shop_of(object.labels())?.to_owned(),
    ))
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str, version: u64) -> Entry<Service> {
        let service: Service = serde_json::from_value(json!({"metadata": {
            "name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string(),
            "labels": {"app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "shop-operator"},
        }}))
        .expect("a Service");
        Entry::of(service)
    }

    fn versions(cache: &Cache<Service>, now: Instant) -> Vec<String> {
        let objects = cache.of_shop("n", "shop", now);
        objects
            .iter()
            .map(|object| {
                format!(
                    "{}@{}",
                    object.name_any(),
                    object.resource_version().unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn an_own_write_is_seen_at_once_and_an_older_event_does_not_undo_it() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.wrote(object("a", "1", 7), now);
        cache.told(0, None, watcher::Event::Apply(object("a", "1", 6)));
        assert_eq!(versions(&cache, now), ["a@7"]);
        cache.told(0, None, watcher::Event::Apply(object("a", "1", 8)));
        assert_eq!(versions(&cache, now), ["a@8"]);
    }

    #[test]
    fn an_own_write_that_no_watch_confirms_is_believed_for_a_while_only() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.wrote(object("a", "1", 7), now);
        cache.wrote(object("b", "2", 8), now);
        cache.told(0, None, watcher::Event::Apply(object("b", "2", 8)));
        assert_eq!(versions(&cache, now), ["a@7", "b@8"]);
        assert_eq!(versions(&cache, now + UNCONFIRMED), ["b@8"]);
    }

    #[test]
    fn an_answer_that_comes_after_the_watch_told_of_it_takes_nothing_back() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.told(0, None, watcher::Event::Apply(object("a", "1", 7)));
        cache.wrote(object("a", "1", 7), now);
        assert_eq!(versions(&cache, now + UNCONFIRMED), ["a@7"]);
    }

    #[test]
    fn an_object_of_somebody_else_is_not_kept_though_it_names_the_shop() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let mut foreign = object("a", "1", 7);
        let service = Arc::make_mut(&mut foreign.object);
        service
            .labels_mut()
            .insert("app.kubernetes.io/managed-by".into(), "Helm".into());
        cache.wrote(foreign, now);
        assert_eq!(versions(&cache, now), Vec::<String>::new());
    }

    #[test]
    fn what_was_deleted_is_gone_unless_another_took_its_name() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.told(0, None, watcher::Event::Apply(object("a", "1", 7)));
        cache.wrote(object("a", "2", 9), now);
        let shops = cache.told(0, None, watcher::Event::Delete(object("a", "1", 8)));
        assert_eq!(shops, [("n".to_owned(), "shop".to_owned())]);
        assert_eq!(versions(&cache, now), ["a@9"]);
        cache.told(0, None, watcher::Event::Delete(object("a", "2", 10)));
        assert!(cache.shops.is_empty());
    }

    #[test]
    fn a_list_that_begins_a_watch_anew_drops_what_it_does_not_hold_in_its_own_namespace() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for name in ["a", "b"] {
            cache.told(0, Some("n"), watcher::Event::Apply(object(name, name, 7)));
        }
        cache.told(1, Some("other"), watcher::Event::Init);
        cache.told(1, Some("other"), watcher::Event::InitDone);
        assert_eq!(versions(&cache, now), ["a@7", "b@7"]);
        cache.told(0, Some("n"), watcher::Event::Init);
        cache.told(0, Some("n"), watcher::Event::InitApply(object("b", "b", 7)));
        cache.wrote(object("c", "c", 9), now);
        assert_eq!(cache.told(0, Some("n"), watcher::Event::InitDone).len(), 1);
        assert_eq!(versions(&cache, now), ["b@7", "c@9"]);
    }
}
