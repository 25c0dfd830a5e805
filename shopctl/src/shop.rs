//! What a Shop says of itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use shop_operator::{
    api::{Phase, ServiceStatus, Shop},
    definition::built_in,
};

use crate::failure::Failure;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody has looked.
    Unknown,
}

/// Whether this condition holds.
pub fn truth(condition: &Condition) -> Truth {
    match condition.status.as_str() {
        "True" => Truth::Yes,
        "False" => Truth::No,
        _ => Truth::Unknown,
    }
}

/// A condition of the Shop.
pub fn condition<'a>(shop: &'a Shop, kind: &str) -> Option<&'a Condition> {
    let status = shop.status.as_ref()?;
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == kind)
}

/// The services one by one.
pub fn services(shop: &Shop) -> &[ServiceStatus] {
    shop.status
        .as_ref()
        .map_or(&[][..], |status| &status.services)
}

/// Those that answer requests and keep events: not the host itself, and none that goes.
pub fn answering(shop: &Shop) -> impl Iterator<Item = &ServiceStatus> {
    services(shop).iter().filter(|service| {
        service.name != built_in::host_name()
            && !matches!(service.phase, Phase::Leaving | Phase::Hidden)
    })
}

/// One service.
///
/// # Errors
/// When the Shop does not have it.
pub fn service<'a>(shop: &'a Shop, name: &str) -> Result<&'a ServiceStatus, Failure> {
    let mut all = services(shop).iter();
    all.find(|service| service.name == name).ok_or_else(|| {
        let names: Vec<_> = services(shop).iter().map(|s| s.name.as_str()).collect();
        let shop = shop.metadata.name.as_deref().unwrap_or_default();
        Failure::Absent(match names[..] {
            [] => {
                format!("the operator has not said anything about the services of Shop {shop} yet")
            }
            _ => format!(
                "Shop {shop} has no service {name}; it has {}",
                names.join(", ")
            ),
        })
    })
}

/// What is said where the operator has not looked at the newest specification.
pub fn unseen(shop: &Shop) -> Option<String> {
    let seen = shop.status.as_ref().and_then(|s| s.observed_generation);
    let newest = shop.metadata.generation;
    if seen == newest {
        return None;
    }
    let newest = newest.unwrap_or_default();
    Some(match seen {
        Some(seen) => format!(
            "the operator has not seen generation {newest} of the Shop yet; what it says is of generation {seen}"
        ),
        None => "the operator has not seen this Shop yet".into(),
    })
}
