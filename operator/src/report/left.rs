//! Services that the Shop does not have: how far they have gone, what of them cannot go, and what must not.

use super::Findings;
use crate::{
    api::{Phase, ServiceStatus, ShopStatus},
    facts::{departures::Departure, trouble::Problem},
    naming::{labels::Part, names},
    reason::Reason,
};

/// The first thing of a service that leaves which the API server does not let go.
pub(super) fn refused(findings: &Findings<'_>) -> Option<Problem> {
    let services = &findings.facts.shop.services;
    let has_left = |part: &Part| match part {
        Part::Service(service) => !services.contains_key(service),
        Part::Broker => false,
    };
    let mut failures = findings.outcome.hindrances();
    failures
        .find(|failure| has_left(&failure.part))
        .map(Into::into)
}

/// The services that the Shop does not have, as long as something of them is there.
pub(super) fn departures<'a>(
    findings: &'a Findings<'_>,
    previous: Option<&'a ShopStatus>,
) -> impl Iterator<Item = (ServiceStatus, Option<Problem>)> + 'a {
    let listed = previous.map_or(&[][..], |status| &status.services);
    findings.facts.departures.iter().map(|(name, departure)| {
        let known = listed.iter().find(|service| service.name == name.as_str());
        let known = known.cloned().unwrap_or_else(|| ServiceStatus {
            name: name.to_string(),
            version: String::new(),
            image: String::new(),
            phase: Phase::Hidden,
            ready: 0,
            desired: 0,
            message: String::new(),
            host: None,
            database: None,
            moving: None,
            blocked_by: None,
            foreign: Vec::new(),
            drift: Vec::new(),
        });
        match departure {
            Departure::Leaves => (leaving(known, "its data stay"), None),
            Departure::LeavesForGood => (leaving(known, "and then its data"), None),
            Departure::Hidden => hidden(&findings.facts.shop.name, known),
        }
    })
}

fn leaving(known: ServiceStatus, data: &str) -> ServiceStatus {
    ServiceStatus {
        phase: Phase::Leaving,
        ready: 0,
        desired: 0,
        message: format!(
            "the Shop no longer has it; its objects go when its pods have ended, {data}"
        ),
        ..known
    }
}

fn hidden(shop: &str, known: ServiceStatus) -> (ServiceStatus, Option<Problem>) {
    let name = &known.name;
    let message = format!(
        "{name} is there, and the Shop does not have it though nobody took it out: a resource definition that is older than this operator \
         has hidden it. Apply the present definition and the Shop again; to let {name} go, take it out after that. Nothing of it is deleted"
    );
    let object = format!("Service {}", names::service(shop, &name.as_str().into()));
    let status = ServiceStatus {
        phase: Phase::Hidden,
        message: message.clone(),
        ..known
    };
    let problem = Problem::blocked(Reason::ServiceHidden, object, message);
    (status, Some(problem))
}
