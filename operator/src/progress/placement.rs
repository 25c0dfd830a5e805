//! The way of a service from the host to pods of its own, and back. Whoever is to answer is made ready first, then the Service
//! turns to it, and only then does the other one go: at each moment somebody answers. No client and no clock.

use k8s_openapi::{
    api::apps::v1::Deployment,
    jiff::{SignedDuration, Timestamp},
};

use crate::{
    facts::{Remembered, ServiceView, location::guests_of},
    model::{place::Place, validate::ValidService},
    progress::{rollout::is_complete, runs},
};

/// A way that takes longer is given up: the service goes back to where it was.
pub const DEADLINE: SignedDuration = SignedDuration::from_mins(10);

/// Where a service is, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Whose pods answer.
    pub answers: Place,
    /// It has pods of its own.
    pub apart: bool,
    /// The host runs it.
    pub hosted: bool,
    /// Its way to where the Shop wants it.
    pub way: Way,
}

/// How far a service is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is where it should be.
    Settled,
    /// It moves since then.
    Moving(Timestamp),
    /// It moved since then, and that was given up; the text says why.
    GivenUp(Timestamp, String),
}

/// What is there of a service, as far as its way depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// It has a Deployment of its own.
    pub has_pods: bool,
    /// All of its own pods run the image that the Shop asks for, and there are some.
    pub apart: bool,
    /// The host has a Deployment.
    pub has_host: bool,
    /// The host is told to run it.
    pub is_guest: bool,
    /// All pods of the host run it, of the image that the Shop asks for, and there are some.
    pub hosted: bool,
    /// Its database is what the host expects.
    pub migrated: bool,
}

impl Placement {
    /// Of a service that has pods of its own and goes nowhere.
    pub fn apart() -> Self {
        settled(Place::Apart, false)
    }

    /// The host of nothing.
    pub fn nowhere() -> Self {
        Self {
            apart: false,
            ..settled(Place::Apart, false)
        }
    }
}

/// Of a service that stays where it is, with the host where that may run it.
fn settled(place: Place, may_enter: bool) -> Placement {
    Placement {
        answers: place,
        apart: place == Place::Apart,
        hosted: place == Place::Hosted && may_enter,
        way: Way::Settled,
    }
}

/// Who runs the service, where no Service says who answers: it is new, or somebody deleted it.
fn running(ready: Readiness) -> Option<Place> {
    if ready.hosted {
        Some(Place::Hosted)
    } else if ready.has_pods {
        Some(Place::Apart)
    } else {
        None
    }
}

/// The next step of a service that is to be at `wanted`, where `answers` are the pods to which its Service leads now. `way` is what the
/// status remembers.
pub fn place(
    wanted: Place,
    answers: Option<Place>,
    ready: Readiness,
    way: Option<&Remembered>,
    now: Timestamp,
) -> Placement {
    // A host at work takes one in when its database is ready for it, and goes on with one that it runs.
    let may_stay = ready.is_guest || !ready.has_host;
    let may_enter = may_stay || ready.migrated;
    let now_at = answers.or_else(|| running(ready)).unwrap_or(wanted);
    let given_up = |way: &Remembered| Way::GivenUp(way.since, way.cause.clone());
    if now_at == wanted {
        // A move that was given up is not wanted any more.
        let way = way.filter(|way| way.given_up).map(given_up);
        return Placement {
            way: way.unwrap_or(Way::Settled),
            ..settled(wanted, may_enter)
        };
    }
    let since = way.map_or(now, |way| way.since);
    if let Some(way) = way.filter(|way| now.duration_since(way.since) > DEADLINE) {
        return Placement {
            way: given_up(way),
            ..settled(now_at, may_stay)
        };
    }
    let (is_ready, hosted) = match wanted {
        Place::Apart => (ready.apart, may_stay),
        Place::Hosted => (ready.hosted, may_enter),
    };
    Placement {
        answers: if is_ready { wanted } else { now_at },
        apart: true,
        hosted,
        way: Way::Moving(since),
    }
}

/// What is there of a service.
pub fn readiness(service: &ServiceView<'_>, migrated: bool) -> Readiness {
    let own = service.seen.deployment.as_deref();
    let host = service.host;
    let host = host.and_then(|(host, seen)| Some((host, seen.deployment.as_deref()?)));
    let name = service.name().as_str();
    let guest = host.filter(|(_, live)| guests_of(*live).any(|guest| guest == name));
    Readiness {
        has_pods: own.is_some(),
        apart: own.is_some_and(|own| serves(own, service.wanted)),
        has_host: host.is_some(),
        is_guest: guest.is_some(),
        hosted: guest.is_some_and(|(host, live)| serves(live, host)),
        migrated,
    }
}

/// All pods run what is wanted, and there are some.
fn serves(live: &Deployment, wanted: &ValidService) -> bool {
    let status = live.status.as_ref();
    let available = status.and_then(|status| status.available_replicas);
    runs::running(live).is_some_and(|runs| runs.image == wanted.image)
        && is_complete(live, wanted.replicas)
        && available > Some(0)
}
