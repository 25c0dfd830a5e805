//! `shopctl history` and `shopctl retry`: what releases came to, and another try of one that failed.

use std::fmt::Write;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use shop_operator::{
    api::{HoldReason, PastRelease, ReleaseResult, ReleaseStage, ReleaseStatus, Shop},
    release::RETRY_ANNOTATION,
};

use crate::{
    cluster::Cluster,
    failure::{Failure, Outcome, asking},
    output::{self, BAD, GOOD, Output, escaped, wrapped},
    shop,
};

/// Prints the releases of the Shop, or of one service.
///
/// # Errors
/// When it cannot be asked, or has no such service.
pub async fn run(
    cluster: &Cluster,
    service: Option<&str>,
    output: Output,
) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    if let Some(name) = service {
        shop::service(&shop, name)?;
    }
    let releases = releases(&shop, service);
    match output {
        Output::Text => output::print(&text(&releases))?,
        Output::Json => output::print_json(&releases)?,
    }
    Ok(Outcome::Good)
}

/// Asks the operator to try once more what was taken back.
///
/// # Errors
/// When there is no such service, nothing of it was, or the API server refuses.
pub async fn retry(cluster: &Cluster, service: &str, now: Timestamp) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    may_be_tried_again(&shop, service)?;
    annotate(cluster, &shop, RETRY_ANNOTATION, service, &now.to_string()).await?;
    output::print(&format!("another try of {service} is asked for\n"))?;
    Ok(Outcome::Good)
}

/// The operator takes no notice of another try of what there is not.
fn may_be_tried_again(shop: &Shop, service: &str) -> Result<(), Failure> {
    shop::service(shop, service)?;
    match not_taken_back(shop, service) {
        None => Ok(()),
        Some(stage) => Err(Failure::Refused(format!(
            "nothing of {service} was taken back: its release is {stage}"
        ))),
    }
}

/// Says something about a service to the operator.
pub(crate) async fn annotate(
    cluster: &Cluster,
    shop: &Shop,
    kind: &str,
    service: &str,
    value: &str,
) -> Result<(), Failure> {
    let annotations = json!({format!("{kind}/{service}"): value});
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let name = shop.metadata.name.clone().unwrap_or_default();
    let shops = cluster.api::<Shop>();
    let written = shops.patch(&name, &PatchParams::default(), &patch).await;
    let written = written.map_err(asking(format!("Shop {name} cannot be annotated")));
    written.map(drop)
}

fn not_taken_back(shop: &Shop, service: &str) -> Option<&'static str> {
    let releases = releases(shop, Some(service));
    let held = releases.first().and_then(|release| release.held.as_ref());
    if held.is_some_and(|held| held.reason == HoldReason::TakenBack) {
        // With the shop, before it began itself, or after it had passed.
        return None;
    }
    match releases.first().map(|release| release.stage) {
        None | Some(ReleaseStage::Idle) => Some("at its end"),
        Some(ReleaseStage::Canary) => Some("under way, with a canary"),
        Some(ReleaseStage::Rolling) => Some("under way"),
        Some(ReleaseStage::Gate) => Some("under way, and all pods are new"),
        Some(ReleaseStage::Returning | ReleaseStage::TakenBack) => None,
        Some(ReleaseStage::Stopped) => Some("as it failed: its pods start again by themselves"),
    }
}

fn releases<'a>(shop: &'a Shop, service: Option<&str>) -> Vec<&'a ReleaseStatus> {
    let releases = shop.status.iter().flat_map(|status| &status.releases);
    releases
        .filter(|release| service.is_none_or(|service| release.name == service))
        .collect()
}

/// For a terminal: the newest first.
fn text(releases: &[&ReleaseStatus]) -> String {
    let mut text = String::new();
    for release in releases {
        let good = release.good.as_deref().unwrap_or("none");
        let name = escaped(&release.name);
        let _ = writeln!(text, "{name}: last good revision {}", escaped(good));
        if release.history.is_empty() {
            text += "  no release has ended yet\n";
        }
        for (number, past) in (1..).zip(&release.history) {
            text += &line(number, past);
        }
    }
    text
}

fn line(number: usize, past: &PastRelease) -> String {
    let (style, result) = match past.result {
        ReleaseResult::Passed => (GOOD, "Passed"),
        ReleaseResult::TakenBack => (BAD, "TakenBack"),
        ReleaseResult::Stopped => (BAD, "Stopped"),
    };
    let seconds = past.ended.0.duration_since(past.began.0).as_secs();
    let (image, revision) = (escaped(&past.image), escaped(&past.revision));
    let began = past.began.0.strftime("%Y-%m-%dT%H:%M:%SZ");
    let line = format!(
        "  {number:>2}  {style}{result:<9}{style:#}  {began}  {seconds:>4} s  {revision}  {image}\n"
    );
    let told = past.cause.as_deref().or(past.answers.as_deref());
    let told = told.map(|told| wrapped(told, "      "));
    let without = past.without_canary.as_deref();
    let without = without.map(|why| wrapped(&format!("without a canary: {why}"), "      "));
    line + &told.unwrap_or_default() + &without.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Shop {
        let past = |result: &str, cause: Option<&str>| {
            json!({
                "revision": "0123456789abcdef", "image": "shop/orders:2", "result": result, "cause": cause,
                "began": "2026-11-27T03:00:00Z", "ended": "2026-11-27T03:00:31Z",
            })
        };
        serde_json::from_value(json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"},
            "spec": {"version": "1"},
            "status": {"services": [
                {"name": "orders", "phase": "Failed"}, {"name": "users", "phase": "Running"},
            ], "releases": [
                {"name": "orders", "stage": "TakenBack", "good": "fedcba9876543210", "history": [
                    past("TakenBack", Some("pod x crashes")), past("Passed", None),
                ]},
                {"name": "users", "stage": "Idle"},
                {"name": "search", "stage": "Stopped"},
            ]},
        }))
        .expect("a Shop")
    }

    #[test]
    fn the_newest_comes_first_with_its_cause() {
        let shop = shop();
        let text = anstream::adapter::strip_str(&text(&releases(&shop, None))).to_string();
        let expected = "orders: last good revision fedcba9876543210
   1  TakenBack  2026-11-27T03:00:00Z    31 s  0123456789abcdef  shop/orders:2
      pod x crashes
   2  Passed     2026-11-27T03:00:00Z    31 s  0123456789abcdef  shop/orders:2
users: last good revision none
  no release has ended yet
search: last good revision none
  no release has ended yet
";
        assert_eq!(text, expected);
        assert_eq!(releases(&shop, Some("users")).len(), 1);
    }

    #[test]
    fn only_what_was_taken_back_is_tried_again() {
        let shop = shop();
        assert_eq!(not_taken_back(&shop, "orders"), None);
        assert_eq!(not_taken_back(&shop, "users"), Some("at its end"));
        assert!(not_taken_back(&shop, "search").is_some());
        assert!(may_be_tried_again(&shop, "orders").is_ok());
        let refused = |service: &str| {
            let refused = may_be_tried_again(&shop, service).expect_err("refused");
            refused.to_string()
        };
        assert_eq!(
            refused("users"),
            "nothing of users was taken back: its release is at its end"
        );
        assert_eq!(
            refused("odrers"),
            "Shop demo has no service odrers; it has orders, users"
        );
    }
}
