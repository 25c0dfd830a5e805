//! The running shop as staff see it: what the API server knows of the Shop and of its pods, and what those say on their administration
//! ports. A Shop lets the pages look where it says `operates` of this service; what they may read there is the matter of a Role.

mod administration;
mod answer;
mod api_server;
mod figures;
mod look;
mod resource;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::{Env, SettingError};
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use tokio::sync::Mutex;
use uuid::Uuid;

use administration::Administration;
use api_server::ApiServer;
use look::Counted;
use resource::Shop;

pub(crate) use administration::{Letter, MOST, Refused};
pub(crate) use figures::Figures;
#[cfg(test)]
pub(crate) use look::look_at;
pub(crate) use look::{Look, age, rate};

/// A look is good for so long: however many people look, the API server and the pods are asked once in it.
const FRESH: Duration = Duration::from_secs(2);

/// Pods that are asked at once; their answers are in memory meanwhile.
const AT_ONCE: usize = 8;

/// Why the running shop cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The Shop does not let the pages look.
    NotAsked,
    /// It does, and no Role says what they may read.
    NoRight,
    /// The API server does not answer.
    Away,
}

/// What the pages know of the shop that they are part of. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Operations(Option<Arc<Caretaker>>);

struct Caretaker {
    api: ApiServer,
    administration: Administration,
    last: Mutex<Option<Last>>,
}

/// The last look, when it ended, and what was counted in it.
struct Last {
    at: Instant,
    look: Result<Arc<Look>, Lack>,
    counted: Option<Counted>,
}

/// The dead letters of one service, or that it does not say.
pub(crate) type Letters = Result<Vec<Letter>, Refused>;

impl Operations {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        let caretaker = ApiServer::read(env)?.map(|api| Caretaker {
            api,
            administration: Administration::new(),
            last: Mutex::default(),
        });
        Ok(Self(caretaker.map(Arc::new)))
    }

    fn caretaker(&self) -> Result<&Caretaker, Lack> {
        self.0.as_deref().ok_or(Lack::NotAsked)
    }

    /// The shop as it is now, or was [`FRESH`] ago.
    pub(crate) async fn look(&self) -> Result<Arc<Look>, Lack> {
        let caretaker = self.caretaker()?;
        let mut last = caretaker.last.lock().await;
        if let Some(last) = &*last
            && last.at.elapsed() < FRESH
        {
            return last.look.clone();
        }
        let before = last.as_ref().and_then(|last| last.counted.as_ref());
        let (look, counted) = match caretaker.look(before).await {
            Ok((look, counted)) => (Ok(Arc::new(look)), Some(counted)),
            Err(lack) => (Err(lack), None),
        };
        *last = Some(Last {
            at: Instant::now(),
            look: look.clone(),
            counted,
        });
        look
    }

    /// The dead letters of each service that hears events.
    pub(crate) async fn letters(&self) -> Result<Vec<(String, Letters)>, Lack> {
        let caretaker = self.caretaker()?;
        let shop = caretaker.shop_and_pods().await?;
        let asked = shop.services().map(|service| {
            let pods = shop.pods_of(&service);
            caretaker.letters_of(service, pods)
        });
        Ok(join_all(asked).await.into_iter().flatten().collect())
    }

    /// One dead letter, with what it says.
    pub(crate) async fn letter(&self, service: &str, id: Uuid) -> Result<Letter, Refused> {
        let (administration, pods) = self.administration_of(service).await?;
        administration.letter(&pods, id).await
    }

    /// Applies it now.
    pub(crate) async fn retry(&self, service: &str, id: Uuid) -> Result<(), Refused> {
        let (administration, pods) = self.administration_of(service).await?;
        administration.retry(&pods, id).await
    }

    /// Forgets it for good.
    pub(crate) async fn discard(&self, service: &str, id: Uuid) -> Result<(), Refused> {
        let (administration, pods) = self.administration_of(service).await?;
        administration.discard(&pods, id).await
    }

    async fn administration_of(
        &self,
        service: &str,
    ) -> Result<(&Administration, Vec<Pod>), Refused> {
        let caretaker = self.caretaker().map_err(|_| Refused::Away)?;
        let shop = caretaker.shop_and_pods().await;
        let shop = shop.map_err(|_| Refused::Away)?;
        Ok((&caretaker.administration, shop.pods_of(service)))
    }
}

/// A pod that is ready, of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pod {
    service: String,
    /// Host and port of the administration of the service in it.
    administration: String,
}

/// A Shop and its pods that are ready.
struct ShopAndPods {
    shop: Shop,
    pods: Vec<Pod>,
}

impl ShopAndPods {
    fn services(&self) -> impl Iterator<Item = String> {
        let services = self.shop.status.services.iter();
        services.map(|service| service.name.clone())
    }

    fn pods_of(&self, service: &str) -> Vec<Pod> {
        let pods = self.pods.iter().filter(|pod| pod.service == service);
        pods.cloned().collect()
    }
}

impl Caretaker {
    async fn look(&self, before: Option<&Counted>) -> Result<(Look, Counted), Lack> {
        let (found, autoscalers) = tokio::join!(self.shop_and_pods(), self.api.autoscalers());
        let ShopAndPods { shop, pods } = found?;
        let said = stream::iter(pods).map(|pod| self.figures_of(pod));
        let said: Vec<_> = said.buffer_unordered(AT_ONCE).collect().await;
        let said: Vec<_> = said.into_iter().flatten().collect();
        let counted = Counted::of(&said, Instant::now());
        let rates = before.map(|before| counted.since(before));
        let (autoscalers, rates) = (autoscalers.unwrap_or_default(), rates.unwrap_or_default());
        Ok((Look::of(shop, &autoscalers, &said, &rates), counted))
    }

    async fn shop_and_pods(&self) -> Result<ShopAndPods, Lack> {
        let (shop, slices) = tokio::join!(self.api.shop(), self.api.slices());
        let (shop, slices) = (shop?, slices?);
        let pods = slices.iter().flat_map(|slice| slice.pods(&shop)).collect();
        Ok(ShopAndPods { shop, pods })
    }

    async fn figures_of(&self, pod: Pod) -> Option<(Pod, Figures)> {
        let figures = self.administration.figures(&pod).await.ok()?;
        Some((pod, figures))
    }

    async fn letters_of(&self, service: String, pods: Vec<Pod>) -> Option<(String, Letters)> {
        let letters = self.administration.letters(&pods).await.transpose()?;
        Some((service, letters))
    }
}
