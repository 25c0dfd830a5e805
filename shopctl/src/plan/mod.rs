//! `shopctl plan`: what applying a Shop would do, by the operator's own code, and without a write.

mod ask;
mod diff;
mod dry_run;
mod operator;
mod summary;
mod text;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shop_operator::{
    api::{OnFailure, Shop},
    naming::names::ServiceName,
    run::plan::{Plan, plan},
};

pub use diff::{Action, Field, Object, Side, object};
pub use operator::config;
pub use summary::{Summary, closed, held, paused, summaries};
pub use text::text;

use crate::{
    change,
    cli::{Common, PlanOptions},
    cluster::Cluster,
    failure::{Failure, Outcome},
    output::{self, Output},
};

/// What applying a Shop would do.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The Shop.
    pub shop: String,
    /// Service by service, in a few words.
    pub services: Vec<Summary>,
    /// Object by object: those alone of which something changes.
    pub objects: Vec<Object>,
    /// What else is to be known, each one sentence.
    pub notes: Vec<String>,
}

/// Prints what applying the Shop in a file would do.
///
/// # Errors
/// When the Shop is refused, or what is there cannot be read.
pub async fn run(
    common: &Common,
    options: &PlanOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let wanted = ask::wanted(&options.file, common)?;
    let cluster = Cluster::connect(&wanted.place).await?;
    let (live, merged) = ask::merged(&cluster, &wanted.document).await?;
    let config = operator::settings(&cluster, options.operator.as_deref()).await?;
    let (seen, _told, pump) = ask::seen(&cluster).await?;
    let shop = change::read(&merged)?;
    let previous = shop.status.as_ref();
    let now = Timestamp::now();
    let made = plan(&shop, previous, &seen, &config, now).await;
    let made = made.map_err(|error| {
        Failure::Refused(format!(
            "the operator would not go on with this Shop: {error}"
        ))
    })?;
    let held = held(&shop, &made.facts.shop, &made.rendered.deployments);
    let mut sides = dry_run::sides(&seen, &made, &held).await?;
    pump.abort();
    sides.insert(0, ask::own(live.as_ref(), &merged));
    let mut notes = notes(&made, &shop);
    notes.extend(paused(&shop, now));
    notes.extend(closed(&shop, now));
    let objects: Vec<_> = sides.iter().filter_map(object).collect();
    let answer = Answer {
        shop: merged.metadata.name.clone().unwrap_or_default(),
        services: summaries(&made, &sides, &held),
        notes,
        objects,
    };
    match output {
        Output::Text => output::print(&text(&answer))?,
        Output::Json => output::print_json(&answer)?,
    }
    Ok(match answer.objects.is_empty() && made.secrets.is_empty() {
        true => Outcome::Good,
        false => Outcome::Changes,
    })
}

fn notes(plan: &Plan, shop: &Shop) -> Vec<String> {
    let made = plan.secrets.iter();
    let made = made.map(|name| format!("Secret {name} is made, with what nobody knows yet"));
    let waves = in_waves(&plan.waves(shop), plan.facts.shop.rollout.on_failure);
    made.chain(waves).collect()
}

fn in_waves(waves: &[Vec<ServiceName>], on_failure: OnFailure) -> Option<String> {
    let wave = |wave: &Vec<ServiceName>| {
        let names: Vec<_> = wave.iter().map(ServiceName::as_str).collect();
        names.join(", ")
    };
    let all: Vec<_> = waves.iter().map(wave).collect();
    let end = match on_failure {
        OnFailure::Revert => "all go back",
        OnFailure::Stop => "later waves wait",
    };
    (!all.is_empty()).then(|| {
        format!(
            "the version goes in waves, each once the one before has proved itself: {}; where one fails, {end}",
            all.join("; then ")
        )
    })
}

/// A value of a document; null where it is not there.
fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or(&Value::Null)
}
