//! `shopctl pause` and `shopctl resume`: no new release begins for a while.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use shop_operator::api::Shop;

use crate::{
    change::{self, Change, Intent},
    cli::{PauseOptions, ResumeOptions},
    cluster::Cluster,
    failure::{Failure, Outcome},
    output::Output,
    shop,
};

/// Writes a pause.
///
/// # Errors
/// When there is no such service, it would be over already, or the API server refuses.
pub async fn pause(
    cluster: &Cluster,
    options: &PauseOptions,
    output: Output,
    now: Timestamp,
) -> Result<Outcome, Failure> {
    let end = end(options.time, options.until, now)?;
    let document = cluster.document().await?;
    let service = known(&document, options.service.as_deref())?;
    let intent = begun(&document.data, service, &options.reason, end)?;
    change::carry_out(cluster, &document, &intent, options.writing, output).await?;
    Ok(Outcome::Good)
}

/// Takes a pause out.
///
/// # Errors
/// When there is no such service or pause, or the API server refuses.
pub async fn resume(
    cluster: &Cluster,
    options: &ResumeOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let document = cluster.document().await?;
    let service = options.service.as_deref();
    let intent = ended(&document.data, service)?;
    change::carry_out(cluster, &document, &intent, options.writing, output).await?;
    Ok(Outcome::Good)
}

/// A misspelt name would make an entry for a service that there is not.
fn known<'a>(
    document: &DynamicObject,
    service: Option<&'a str>,
) -> Result<Option<&'a str>, Failure> {
    if let Some(name) = service {
        let shop: Shop = change::read(document)?;
        shop::service(&shop, name)?;
    }
    Ok(service)
}

/// When a pause is over, in whole seconds; none where only `resume` ends it.
///
/// # Errors
/// When that is over already, or no time that a calendar has.
pub fn end(
    time: Option<Duration>,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let end = match (time, until) {
        (None, until) => until,
        (Some(time), _) => {
            let end = now.checked_add(time);
            let end = end.and_then(|end| Timestamp::from_second(end.as_second()));
            let never = |_| Failure::Refused("--for is longer than a calendar goes".into());
            Some(end.map_err(never)?)
        }
    };
    match end {
        Some(end) if end <= now => Err(Failure::Refused(format!(
            "the pause would be over already: it is {now}"
        ))),
        end => Ok(end),
    }
}

/// What to write so that nothing new begins.
///
/// # Errors
/// When it is written already.
pub fn begun(
    shop: &Value,
    service: Option<&str>,
    reason: &str,
    end: Option<Timestamp>,
) -> Result<Intent, Failure> {
    let mut pause = json!({"reason": reason});
    if let Some(end) = end {
        pause["until"] = end.to_string().into();
    }
    let change = Change::of(shop, &path(service), pause);
    let change = change.ok_or_else(|| {
        let what = service.unwrap_or("the Shop");
        Failure::Refused(format!("{what} is paused with this reason already"))
    })?;
    Ok(Intent {
        changes: vec![change],
        notes: vec!["a release that is under way goes on to its end".into()],
    })
}

/// What to write so that releases begin again.
///
/// # Errors
/// When nothing is paused.
pub fn ended(shop: &Value, service: Option<&str>) -> Result<Intent, Failure> {
    let change = Change::of(shop, &path(service), Value::Null);
    let change = change.ok_or_else(|| {
        let what = service.unwrap_or("the Shop");
        let others = others(shop, service).join("; ");
        Failure::Refused(match others.as_str() {
            "" => format!("{what} is not paused"),
            others => format!("{what} is not paused; {others}"),
        })
    })?;
    Ok(Intent {
        changes: vec![change],
        notes: others(shop, service),
    })
}

/// Pauses besides this one that hold up the same releases.
fn others(shop: &Value, service: Option<&str>) -> Vec<String> {
    let spec = &shop["spec"];
    let held = |what: &str, pause: &Value| {
        let reason = pause["reason"].as_str().unwrap_or_default();
        (!pause.is_null()).then(|| format!("{what} is paused by itself: {reason}"))
    };
    match service {
        Some(_) => held("the Shop", &spec["pause"]).into_iter().collect(),
        None => {
            let services = spec["services"].as_object().into_iter().flatten();
            let held = services.filter_map(|(name, service)| held(name, &service["pause"]));
            held.collect()
        }
    }
}

fn path(service: Option<&str>) -> Vec<&str> {
    match service {
        Some(service) => vec!["spec", "services", service, "pause"],
        None => vec!["spec", "pause"],
    }
}
