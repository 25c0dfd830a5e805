//! The way of a service from the host to pods of its own, and back. Whoever is to answer is made ready first, then the Service
//! turns to it, and only then does the other one go: at each moment somebody answers. No client and no clock.

use k8s_openapi::{
    api::apps::v1::Deployment,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use crate::{
    facts::{Remembered, ServiceView, location::HOSTS_ANNOTATION},
    model::place::Place,
    naming::names::ServiceName,
    progress::{decide::image_of, rollout::is_complete},
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
    /// Its own pods run the image that the Shop asks for, all of them.
    pub apart: bool,
    /// All pods of the host run it.
    pub hosted: bool,
    /// The host is told to run it.
    pub is_guest: bool,
    /// Its database is what the host expects.
    pub migrated: bool,
}

impl Placement {
    /// Of a service that has pods of its own and goes nowhere.
    pub fn apart() -> Self {
        settled(Place::Apart)
    }

    /// The host of nothing.
    pub fn nowhere() -> Self {
        Self {
            apart: false,
            ..settled(Place::Apart)
        }
    }
}

fn settled(place: Place) -> Placement {
    Placement {
        answers: place,
        apart: place == Place::Apart,
        hosted: place == Place::Hosted,
        way: Way::Settled,
    }
}

/// The next step of a service that is to be at `wanted`, where `answers` are the pods that answer now.
pub fn place(
    wanted: Place,
    answers: Option<Place>,
    ready: Readiness,
    remembered: Option<&Remembered>,
    generation: Option<i64>,
    now: Timestamp,
) -> Placement {
    // The first time there is nobody to be replaced.
    let now_at = answers.unwrap_or(wanted);
    if now_at == wanted {
        return settled(wanted);
    }
    let remembered = remembered.filter(|way| way.generation == generation);
    let since = remembered.map_or(now, |way| way.since);
    let given_up = remembered.and_then(|way| {
        let is_late = now.duration_since(way.since) > DEADLINE;
        let late = || is_late.then(|| way.held_up_by.clone());
        way.given_up.clone().or_else(late)
    });
    if let Some(why) = given_up {
        return Placement {
            way: Way::GivenUp(since, why),
            ..settled(now_at)
        };
    }
    let (is_ready, hosted) = match wanted {
        Place::Apart => (ready.apart, true),
        Place::Hosted => (ready.hosted, ready.migrated || ready.is_guest),
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
    let wanted = service.wanted;
    let own = service.seen.deployment.as_deref();
    let apart = |own: &Deployment| {
        image_of(own) == Some(wanted.image.as_str()) && is_complete(own, wanted.replicas)
    };
    let host = service.host;
    let host = host.and_then(|(host, seen)| Some((host, seen.deployment.as_deref()?)));
    let host = host.filter(|(_, live)| is_guest(live, service.name()));
    Readiness {
        apart: own.is_some_and(apart),
        hosted: host.is_some_and(|(host, live)| is_complete(live, host.replicas)),
        is_guest: host.is_some(),
        migrated,
    }
}

/// The host is told to run this service.
pub fn is_guest(host: &Deployment, service: &ServiceName) -> bool {
    let guests = host.annotations().get(HOSTS_ANNOTATION);
    guests.is_some_and(|guests| guests.split(',').any(|guest| guest == service.as_str()))
}
