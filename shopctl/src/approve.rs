//! `shopctl approve`: what only another operator changes of a service begins.

use shop_operator::{
    api::{ReleaseStatus, Shop},
    release::APPROVE_ANNOTATION,
};

use crate::{
    cluster::Cluster,
    failure::{Failure, Outcome},
    history::annotate,
    output, shop,
};

/// Lets the update of one service begin, or of all of which one waits.
///
/// # Errors
/// When there is no such service or no update waits, or the API server refuses.
pub async fn run(cluster: &Cluster, service: Option<&str>) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    for (service, approval) in waiting(&shop, service)? {
        annotate(cluster, &shop, APPROVE_ANNOTATION, service, approval).await?;
        output::print(&format!("the update of {service} is approved\n"))?;
    }
    Ok(Outcome::Good)
}

/// The services of which an update waits, each with what approves it.
///
/// # Errors
/// When there is none, or not of this service.
pub fn waiting<'a>(
    shop: &'a Shop,
    service: Option<&str>,
) -> Result<Vec<(&'a str, &'a str)>, Failure> {
    if let Some(service) = service {
        shop::service(shop, service)?;
    }
    let releases = shop.status.iter().flat_map(|status| &status.releases);
    let waits = |release: &'a ReleaseStatus| {
        let approval = release.held.as_ref()?.approval.as_deref()?;
        Some((release.name.as_str(), approval))
    };
    let named = releases.filter(|release| service.is_none_or(|service| release.name == service));
    let waiting: Vec<_> = named.filter_map(waits).collect();
    match (waiting.is_empty(), service) {
        (false, _) => Ok(waiting),
        (true, None) => Err(Failure::Refused("no update of the operator waits".into())),
        (true, Some(service)) => Err(Failure::Refused(format!(
            "no update of the operator waits for {service}"
        ))),
    }
}
