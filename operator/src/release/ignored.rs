//! What somebody wrote on a Shop that has no effect, so that it does not go unnoticed. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    ABORT_ANNOTATION, APPROVE_ANNOTATION, PROMOTE_ANNOTATION, RETRY_ANNOTATION, hold::is_in_force,
};
use crate::{
    api::{PauseSpec, Shop},
    model::validate::{ValidService, ValidShop},
};

/// One sentence for each.
pub fn ignored(shop: &Shop, valid: &ValidShop, now: Timestamp) -> Vec<String> {
    let annotations = shop.annotations().keys();
    let annotations = annotations.filter_map(|key| of_nobody(key, valid));
    let of_shop = valid.pause.iter().map(|pause| ("spec.pause".into(), pause));
    let of_services = valid.services.values().filter_map(|service| {
        let field = format!("spec.services.{}.pause", service.name);
        Some((field, service.pause.as_ref()?))
    });
    let pauses = of_shop.chain(of_services);
    let pauses = pauses.filter_map(|(field, pause)| over(&field, pause, now));
    let overrides = valid.services.values().flat_map(of_nothing);
    annotations.chain(pauses).chain(overrides).collect()
}

/// Overrides of objects that the service does not have.
fn of_nothing(service: &ValidService) -> impl Iterator<Item = String> {
    let overrides = service.overrides.iter().enumerate();
    overrides.filter_map(|(number, of)| {
        let why = service.lacks(of.kind)?;
        let (name, kind): (_, &str) = (&service.name, of.kind.into());
        let field = format!("spec.services.{name}.overrides[{number}]");
        Some(format!("{field}: {name} has no {kind}, {why}"))
    })
}

/// An annotation about a service that is of none.
fn of_nobody(key: &str, valid: &ValidShop) -> Option<String> {
    let kinds = [
        RETRY_ANNOTATION,
        APPROVE_ANNOTATION,
        PROMOTE_ANNOTATION,
        ABORT_ANNOTATION,
    ];
    let rest = kinds.iter().find_map(|kind| key.strip_prefix(kind))?;
    let Some(name) = rest.strip_prefix('/') else {
        return rest
            .is_empty()
            .then(|| format!("annotation {key}: it names no service, as {key}/orders would"));
    };
    let is_known = valid.services.keys().any(|known| known.as_str() == name);
    (!is_known).then(|| {
        let names: Vec<_> = valid.services.keys().map(|known| known.as_str()).collect();
        let names = names.join(", ");
        format!("annotation {key}: there is no service {name}; there are {names}")
    })
}

/// A pause that has ended.
fn over(field: &str, pause: &PauseSpec, now: Timestamp) -> Option<String> {
    let until = pause.until.as_ref().filter(|_| !is_in_force(pause, now))?;
    Some(format!("{field} ended {:.0} and holds nothing", until.0))
}
