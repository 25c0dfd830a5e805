//! `shopctl promote` and `shopctl abort`: a canary goes on, or goes.

use k8s_openapi::jiff::Timestamp;
use shop_operator::{
    api::{CanaryProgress, CanaryStatus, ReleaseStage, Shop},
    release::{ABORT_ANNOTATION, PROMOTE_ANNOTATION},
};

use crate::{
    cluster::Cluster,
    failure::{Failure, Outcome},
    history::annotate,
    output, shop,
};

/// Asks the operator to go on with a canary that waits.
///
/// # Errors
/// When there is no such service or nothing of it waits, or the API server refuses.
pub async fn promote(cluster: &Cluster, service: &str, now: Timestamp) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    let revision = promotable(&shop, service)?;
    let value = value(revision, now);
    annotate(cluster, &shop, PROMOTE_ANNOTATION, service, &value).await?;
    output::print(&format!(
        "the canary of {service} is promoted: revision {revision}\n"
    ))?;
    Ok(Outcome::Good)
}

/// Asks the operator to have the pods of a canary go.
///
/// # Errors
/// When there is no such service or canary, or the API server refuses.
pub async fn abort(cluster: &Cluster, service: &str, now: Timestamp) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    let revision = abortable(&shop, service)?;
    let value = value(revision, now);
    annotate(cluster, &shop, ABORT_ANNOTATION, service, &value).await?;
    output::print(&format!(
        "the canary of {service} is aborted: revision {revision}\n"
    ))?;
    Ok(Outcome::Good)
}

/// The operator takes it for this revision alone, and once.
fn value(revision: &str, now: Timestamp) -> String {
    format!("{revision} {now}")
}

/// The revision that waits to be promoted.
///
/// # Errors
/// When there is none; the sentence says what there is.
pub fn promotable<'a>(shop: &'a Shop, service: &str) -> Result<&'a str, Failure> {
    let (revision, canary) = canary(shop, service)?;
    let step = canary.step;
    match canary.progress {
        CanaryProgress::Waiting => Ok(revision),
        CanaryProgress::Starting => Err(Failure::Refused(format!(
            "the canary of {service} does not wait to be promoted: the pods of its step {step} are not ready yet"
        ))),
        CanaryProgress::Passing => Err(Failure::Refused(format!(
            "the canary of {service} does not wait to be promoted: its step {step} is over by itself when its pause is"
        ))),
    }
}

/// The revision whose canary can be aborted.
///
/// # Errors
/// When there is none; the sentence says what there is.
pub fn abortable<'a>(shop: &'a Shop, service: &str) -> Result<&'a str, Failure> {
    canary(shop, service).map(|(revision, _)| revision)
}

fn canary<'a>(shop: &'a Shop, service: &str) -> Result<(&'a str, &'a CanaryStatus), Failure> {
    shop::service(shop, service)?;
    let mut releases = shop.status.iter().flat_map(|status| &status.releases);
    let release = releases.find(|release| release.name == service);
    let found =
        release.and_then(|release| Some((release.revision.as_deref()?, release.canary.as_ref()?)));
    let stage = release.map_or(ReleaseStage::Idle, |release| release.stage);
    let how_far = match (stage, found) {
        (ReleaseStage::Canary, Some(found)) => return Ok(found),
        (ReleaseStage::Idle | ReleaseStage::Canary, _) => "no release of it is under way",
        (ReleaseStage::Rolling | ReleaseStage::Gate, _) => {
            "all of its pods are being replaced, or are already"
        }
        (ReleaseStage::Returning | ReleaseStage::TakenBack | ReleaseStage::Stopped, _) => {
            "its release has failed"
        }
    };
    Err(Failure::Refused(format!(
        "{service} has no canary: {how_far}"
    )))
}
