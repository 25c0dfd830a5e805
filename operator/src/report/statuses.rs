//! Writes a Shop's status when it says something new, and Kubernetes events for what changed.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde_json::json;

use crate::{
    api::{ReleaseStatus, Shop, ShopReleaseStatus, ShopStatus},
    cluster::FIELD_MANAGER,
    error::Error,
    lock::lock,
    metrics::Metrics,
    report::{self, Notice},
};

/// A Shop, or the reason why it cannot be read.
pub type ParsedShop = DeserializeGuard<Shop>;

/// Somebody who sets the same again and again (another controller) makes one event in this time.
const TOLD_AGAIN: Duration = Duration::from_secs(600);

/// Namespace and name.
type Key = (String, String);

/// The statuses of all Shops.
pub struct Statuses {
    client: Client,
    reporter: Reporter,
    metrics: Metrics,
    /// What was last written: the store may not have it yet.
    written: Mutex<HashMap<Key, Written>>,
    /// What was told of the drift of each Shop, and when.
    told: Mutex<HashMap<Key, HashMap<String, Instant>>>,
}

/// What is written before anything is done.
pub struct Remembered {
    /// The release of the shop.
    pub release: ShopReleaseStatus,
    /// Those of its services.
    pub releases: Vec<ReleaseStatus>,
}

struct Written {
    uid: Option<String>,
    version: Option<String>,
    generation: Option<i64>,
    status: ShopStatus,
}

impl Statuses {
    /// Writes through `client`, and events in the name of `reporter`; what a status says is in `metrics` too.
    pub fn new(client: Client, reporter: Reporter, metrics: Metrics) -> Self {
        Self {
            client,
            reporter,
            metrics,
            written: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// The newer of what came with the Shop and what we wrote. Where they are equally new, what we wrote: an older CRD may have
    /// dropped some of it.
    pub fn last(&self, shop: &Shop) -> Option<ShopStatus> {
        let all = lock(&self.written);
        let written = all.get(&key_of(shop)).filter(|written| {
            written.uid == shop.metadata.uid
                && number(&written.version) >= number(&shop.metadata.resource_version)
        });
        written
            .map(|written| written.status.clone())
            .or_else(|| shop.status.clone())
    }

    /// What we wrote last for a Shop that cannot be read, and whose own status therefore is not known.
    pub fn last_of_unparsed(&self, shop: &ParsedShop) -> Option<ShopStatus> {
        let all = lock(&self.written);
        let written = all.get(&key_of(shop))?;
        (written.uid == shop.meta().uid).then(|| written.status.clone())
    }

    /// Writes the status if it says something new, and events for what changed.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn publish(
        &self,
        shop: &impl Resource<DynamicType = ()>,
        previous: Option<&ShopStatus>,
        status: ShopStatus,
    ) -> Result<(), Error> {
        let (namespace, name) = key_of(shop);
        // Also what cannot be written: whoever is woken by it looks why.
        self.metrics
            .shop(&namespace, &name, report::figures(&status));
        if previous.is_some_and(|previous| report::same(previous, &status)) {
            return Ok(());
        }
        self.write(shop, previous, status, None).await
    }

    /// Writes how far releases are, before anything of it is done, and only over the Shop from which it follows.
    ///
    /// # Errors
    /// When the Shop has changed since, or the API server refuses.
    pub async fn remember(
        &self,
        shop: &Shop,
        version: Option<&str>,
        previous: Option<&ShopStatus>,
        remembered: Remembered,
    ) -> Result<(), Error> {
        let Remembered { release, releases } = remembered;
        let is_known = |previous: &ShopStatus| {
            previous.release.as_ref() == Some(&release) && previous.releases == releases
        };
        if previous.is_some_and(is_known) {
            return Ok(());
        }
        let mut version = version.map(str::to_owned);
        if let Some(written) = lock(&self.written).get(&key_of(shop))
            && written.uid == shop.metadata.uid
            && number(&written.version) > number(&version)
        {
            if written.generation != shop.metadata.generation {
                let name = shop.name_any();
                return Err(Error::Behind(format!("Shop {name} has changed meanwhile")));
            }
            version.clone_from(&written.version);
        }
        let status = ShopStatus {
            release: Some(release),
            releases,
            ..previous.cloned().unwrap_or_default()
        };
        self.write(shop, previous, status, version).await
    }

    async fn write(
        &self,
        shop: &impl Resource<DynamicType = ()>,
        previous: Option<&ShopStatus>,
        status: ShopStatus,
        over: Option<String>,
    ) -> Result<(), Error> {
        let name = shop.name_any();
        // The answer may be a Shop that cannot be read.
        let api: Api<ParsedShop> =
            Api::namespaced(self.client.clone(), &shop.namespace().unwrap_or_default());
        // Not the status of another Shop that took the name meanwhile.
        let mut metadata = json!({"uid": shop.meta().uid});
        if let Some(version) = over {
            metadata["resourceVersion"] = version.into();
        }
        let patch = Patch::Apply(json!({
            "apiVersion": Shop::api_version(&()),
            "kind": Shop::kind(&()),
            "metadata": metadata,
            "status": status,
        }));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let answer = match api.patch_status(&name, &params, &patch).await {
            Ok(answer) => answer,
            // The Shop was deleted while we worked.
            Err(kube::Error::Api(answer)) if answer.is_not_found() => return Ok(()),
            Err(source) => return Err(Error::kube(format!("status of Shop {name}"))(source)),
        };
        for notice in report::notices(previous, &status) {
            self.publish_event(shop, notice).await;
        }
        for notice in report::drifted(previous, &status) {
            self.publish_once(shop, notice).await;
        }
        let written = Written {
            uid: answer.uid(),
            version: answer.resource_version(),
            generation: answer.meta().generation,
            status,
        };
        lock(&self.written).insert(key_of(shop), written);
        Ok(())
    }

    /// Forgets a Shop that is no longer there.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.metrics.forget_shop(namespace, name);
        let key = (namespace.to_owned(), name.to_owned());
        lock(&self.written).remove(&key);
        lock(&self.told).remove(&key);
    }

    /// An event, unless the same was told a short while ago.
    pub async fn publish_once(&self, shop: &impl Resource<DynamicType = ()>, notice: Notice) {
        let now = Instant::now();
        let is_new = {
            let mut all = lock(&self.told);
            let told = all.entry(key_of(shop)).or_default();
            told.retain(|_, at| now.duration_since(*at) < TOLD_AGAIN);
            !told.contains_key(&notice.note)
        };
        let note = notice.note.clone();
        if is_new && self.publish_event(shop, notice).await {
            let mut all = lock(&self.told);
            all.entry(key_of(shop)).or_default().insert(note, now);
        }
    }

    /// Whether the event was written. Events are a courtesy: a reconcile does not fail for want of one.
    pub async fn publish_event(
        &self,
        shop: &impl Resource<DynamicType = ()>,
        notice: Notice,
    ) -> bool {
        tracing::info!(
            reason = notice.reason,
            service = notice.service,
            "{}",
            notice.note
        );
        let event = Event {
            type_: if notice.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: notice.reason.into(),
            note: Some(notice.note),
            action: "Reconcile".into(),
            secondary: Some(ObjectReference {
                api_version: Some("apps/v1".into()),
                kind: Some("Deployment".into()),
                namespace: shop.namespace(),
                name: Some(format!("{}-{}", shop.name_any(), notice.service)),
                ..ObjectReference::default()
            }),
        };
        // A recorder counts an event whose reason it knows as a repetition and keeps the note of the first; a new one does not.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        let answer = recorder.publish(&event, &shop.object_ref(&())).await;
        if let Err(error) = &answer {
            tracing::warn!(%error, "an event could not be written");
        }
        answer.is_ok()
    }
}

/// Versions of objects grow (KEP 5504).
fn number(version: &Option<String>) -> Option<u64> {
    version.as_ref()?.parse().ok()
}

fn key_of(shop: &impl Resource<DynamicType = ()>) -> Key {
    (shop.namespace().unwrap_or_default(), shop.name_any())
}
