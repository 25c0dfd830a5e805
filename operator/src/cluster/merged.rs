//! Watches of several namespaces as one, for one reflector's store.
//!
//! A store is emptied and filled anew by the list that begins a watch. With a watch for each namespace, one that begins anew
//! must not empty the others: its list becomes single changes here.

use std::{collections::HashSet, fmt::Debug};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream, select_all},
};
use kube::{
    Api, Resource,
    core::Status,
    runtime::{
        WatchStreamExt,
        reflector::{Lookup, ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

/// What a watch yields.
type Item<K> = Result<Event<K>, watcher::Error>;

/// What can be watched here.
pub trait Watched:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

/// Watches all of these, each with a back-off of its own. `store` is the one that the stream will fill; it is ready when each
/// watch has its first list.
pub fn watch_all<K: Watched>(
    apis: Vec<Api<K>>,
    config: &watcher::Config,
    store: Store<K>,
) -> BoxStream<'static, Item<K>> {
    let mut watches: Vec<_> = apis
        .into_iter()
        .map(|api| watcher(api, config.clone()).default_backoff().boxed())
        .collect();
    match watches.len() {
        1 => watches.remove(0),
        _ => merge(watches, store).boxed(),
    }
}

/// What is known of one of the watches.
struct Source<K: Lookup> {
    listed_once: bool,
    known: HashSet<ObjectRef<K>>,
    /// What the list that is under way has told so far.
    listing: HashSet<ObjectRef<K>>,
}

fn merge<K: Watched>(
    watches: Vec<BoxStream<'static, Item<K>>>,
    store: Store<K>,
) -> impl Stream<Item = Item<K>> + Send {
    let mut sources: Vec<_> = watches
        .iter()
        .map(|_| Source {
            listed_once: false,
            known: HashSet::new(),
            listing: HashSet::new(),
        })
        .collect();
    let numbered = watches
        .into_iter()
        .enumerate()
        .map(|(number, watch)| watch.map(move |item| (number, item)).boxed());
    select_all(numbered)
        .map(move |(number, item)| {
            let waiting = sources.iter().any(|source| !source.listed_once);
            let mut out = sources[number].fold(item, &store);
            if waiting && sources.iter().all(|source| source.listed_once) {
                out.extend(first_list(&sources, &store));
            }
            stream::iter(out)
        })
        .flatten()
}

impl<K: Watched> Source<K> {
    fn fold(&mut self, item: Item<K>, store: &Store<K>) -> Vec<Item<K>> {
        match item {
            Ok(Event::Init) => {
                self.listing.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                let key = ObjectRef::from_obj(&object);
                self.known.insert(key.clone());
                self.listing.insert(key);
                vec![Ok(Event::Apply(object))]
            }
            Ok(Event::InitDone) => {
                self.listed_once = true;
                let listed = std::mem::take(&mut self.listing);
                let gone: Vec<_> = self.known.difference(&listed).cloned().collect();
                self.known = listed;
                gone.iter()
                    .filter_map(|key| store.get(key))
                    .map(|object| Ok(Event::Delete((*object).clone())))
                    .collect()
            }
            Ok(Event::Apply(object)) => {
                self.known.insert(ObjectRef::from_obj(&object));
                vec![Ok(Event::Apply(object))]
            }
            Ok(Event::Delete(object)) => {
                self.known.remove(&ObjectRef::from_obj(&object));
                vec![Ok(Event::Delete(object))]
            }
            Err(error) => {
                // A namespace that is gone took our rights with it. It must not hold up the others.
                self.listed_once |= is_forbidden(&error);
                vec![Err(error)]
            }
        }
    }
}

/// What makes the store ready: all that is known, as one list.
fn first_list<K: Watched>(sources: &[Source<K>], store: &Store<K>) -> Vec<Item<K>> {
    let known = sources.iter().flat_map(|source| &source.known);
    let objects = known
        .filter_map(|key| store.get(key))
        .map(|object| Event::InitApply((*object).clone()));
    std::iter::once(Event::Init)
        .chain(objects)
        .chain([Event::InitDone])
        .map(Ok)
        .collect()
}

pub(super) fn is_forbidden(error: &watcher::Error) -> bool {
    refusal(error).is_some_and(Status::is_forbidden)
}

/// What the API server answers that lets no watch begin.
pub(super) fn refusal(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, channel::mpsc};
    use k8s_openapi::api::core::v1::Secret;
    use kube::runtime::reflector;
    use serde_json::json;

    use super::*;

    fn secret(namespace: &str, name: &str) -> Secret {
        let secret = json!({"metadata": {"namespace": namespace, "name": name}});
        serde_json::from_value(secret).expect("a Secret")
    }

    /// Two watches that tell what the test says, and the store behind them.
    struct Two {
        tell: [mpsc::UnboundedSender<Item<Secret>>; 2],
        store: Store<Secret>,
        merged: BoxStream<'static, Item<Secret>>,
    }

    impl Two {
        fn new() -> Self {
            let (store, writer) = reflector::store();
            let (tell_a, a) = mpsc::unbounded();
            let (tell_b, b) = mpsc::unbounded();
            let merged = merge(vec![a.boxed(), b.boxed()], store.clone());
            Self {
                tell: [tell_a, tell_b],
                store,
                merged: merged.reflect(writer).boxed(),
            }
        }

        fn tell(&mut self, watch: usize, events: Vec<Event<Secret>>) {
            for event in events {
                self.tell[watch].unbounded_send(Ok(event)).expect("heard");
            }
            self.drain();
        }

        fn drain(&mut self) {
            while self.merged.next().now_or_never().flatten().is_some() {}
        }

        fn is_ready(&self) -> bool {
            self.store
                .wait_until_ready()
                .now_or_never()
                .is_some_and(|ready| ready.is_ok())
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> = self
                .store
                .state()
                .iter()
                .map(|secret| secret.metadata.name.clone().expect("a name"))
                .collect();
            names.sort();
            names
        }
    }

    fn list(namespace: &str, names: &[&str]) -> Vec<Event<Secret>> {
        let objects = names
            .iter()
            .map(|name| Event::InitApply(secret(namespace, name)));
        std::iter::once(Event::Init)
            .chain(objects)
            .chain([Event::InitDone])
            .collect()
    }

    #[test]
    fn the_store_is_ready_when_each_watch_has_its_first_list() {
        let mut two = Two::new();
        two.tell(0, list("a", &["one", "two"]));
        assert!(!two.is_ready());
        two.tell(0, vec![Event::Delete(secret("a", "two"))]);
        two.tell(1, list("b", &["three"]));
        assert!(two.is_ready());
        assert_eq!(two.names(), ["one", "three"]);
    }

    #[test]
    fn a_watch_that_begins_anew_leaves_the_others_alone_and_loses_what_is_gone() {
        let mut two = Two::new();
        two.tell(0, list("a", &["one", "two"]));
        two.tell(1, list("b", &["three"]));
        two.tell(0, list("a", &["two", "four"]));
        assert_eq!(two.names(), ["four", "three", "two"]);
        two.tell(1, vec![Event::Apply(secret("b", "five"))]);
        two.tell(1, list("b", &[]));
        assert_eq!(two.names(), ["four", "two"]);
    }

    #[test]
    fn a_list_that_broke_off_counts_for_nothing() {
        let mut two = Two::new();
        two.tell(
            0,
            vec![Event::Init, Event::InitApply(secret("a", "deleted"))],
        );
        two.tell(0, list("a", &["one"]));
        two.tell(1, list("b", &[]));
        assert_eq!(two.names(), ["one"]);
    }

    #[test]
    fn a_namespace_without_rights_does_not_hold_up_the_others() {
        let mut two = Two::new();
        two.tell(0, list("a", &["one"]));
        let fail = |code, reason: &str| {
            let status = Status::failure("no", reason).with_code(code);
            Err(watcher::Error::InitialListFailed(kube::Error::Api(
                Box::new(status),
            )))
        };
        two.tell[1]
            .unbounded_send(fail(500, "InternalError"))
            .expect("heard");
        two.drain();
        assert!(!two.is_ready(), "it may come with the next try");
        two.tell[1]
            .unbounded_send(fail(403, "Forbidden"))
            .expect("heard");
        two.drain();
        assert!(two.is_ready());
        assert_eq!(two.names(), ["one"]);
    }
}
