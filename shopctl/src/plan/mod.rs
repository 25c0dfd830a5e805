//! `shopctl plan`: what applying a Shop would do, by the operator's own code, and without a write. `shopctl apply` does what was planned.

mod ask;
mod diff;
mod dry_run;
mod operator;
mod saved;
mod summary;
mod text;

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use kube::api::DynamicObject;
use serde::Serialize;
use serde_json::Value;
use shop_operator::{
    api::{OnFailure, Shop},
    cluster::Standing,
    facts::monitors::Monitoring,
    naming::names::ServiceName,
    objects::weakened::weakened,
    run::plan::{Plan, plan},
};

pub use diff::{Action, Field, Object, Side, object};
pub use operator::config;
pub use saved::{Operator, Saved, parsed, unmoved};
pub use summary::{Summary, canary, closed, held, paused, summaries};
pub use text::text;

use crate::{
    change,
    cli::{ApplyOptions, Common, PlanOptions},
    cluster::Cluster,
    failure::{Failure, Outcome},
    output::{self, Output},
};

const HIDDEN_MONITORS: &str = "what becomes of monitors is not told: you may not list, get and patch PodMonitors and ServiceMonitors \
                               (monitoring.coreos.com) here";

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
    /// What a new release would wait for now, each one sentence. Time alone ends it, so that it is no part of what is planned.
    pub waits: Vec<String>,
}

/// A plan, and the Shop that it was made for.
struct Made {
    answer: Answer,
    /// The Shop as it is; none where it is not there.
    live: Option<DynamicObject>,
    outcome: Outcome,
}

/// Prints what applying the Shop in a file would do, and keeps it where that is asked for.
///
/// # Errors
/// When the Shop is refused, what is there cannot be read, or the plan cannot be kept.
pub async fn run(
    common: &Common,
    options: &PlanOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let wanted = ask::wanted(&options.file, common)?;
    let cluster = Cluster::connect(&wanted.place).await?;
    let install = operator::install(&cluster, options.operator.as_deref()).await?;
    let operator = operator::deployment(&cluster, &install).await?;
    let made = make(&cluster, &wanted.document, &operator).await?;
    if let Some(file) = &options.out {
        let operator = saved::Operator::of(&operator);
        saved::keep(file, &cluster, operator, wanted.document, &made.answer)?;
    }
    show(&made.answer, output)?;
    Ok(made.outcome)
}

/// Applies the Shop of a kept plan, where a plan of now would be the same.
///
/// # Errors
/// When it would not be, a tool keeps the Shop and nobody insists, or the API server refuses: also where the Shop has changed meanwhile.
pub async fn apply(
    common: &Common,
    options: &ApplyOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let kept = saved::read(&options.plan)?;
    let cluster = Cluster::connect(&kept.place(common)?).await?;
    let claimed = operator::claimed(&cluster).await?;
    let install = claimed.as_deref().unwrap_or(&kept.operator.install);
    let operator = operator::deployment(&cluster, install).await?;
    kept.is_for(&operator)?;
    let made = make(&cluster, &kept.shop, &operator).await?;
    saved::unmoved(&kept, &made.answer)?;
    show(&made.answer, output)?;
    let name = &made.answer.shop;
    if let Some(live) = &made.live {
        change::heed_tool(name, &live.metadata, options.writing)?;
    }
    ask::apply(&cluster, made.live.as_ref(), &kept.shop).await?;
    match output {
        Output::Text => output::print(&format!("\nShop {name} is applied\n"))?,
        Output::Json => {}
    }
    Ok(Outcome::Good)
}

async fn make(cluster: &Cluster, document: &Value, operator: &Deployment) -> Result<Made, Failure> {
    let (live, merged) = ask::merged(cluster, document).await?;
    let config = config(operator)?;
    let (seen, _told, pump) = ask::seen(cluster).await?;
    let shop = change::read(&merged)?;
    let previous = shop.status.as_ref();
    let now = Timestamp::now();
    let made = plan(&shop, previous, &seen, &config, now).await;
    let made = made.map_err(|error| {
        Failure::Refused(format!(
            "the operator would not go on with this Shop: {error}"
        ))
    })?;
    let held = held(
        &shop,
        &made.facts.shop,
        &made.rendered.deployments,
        &made.migrations,
        now,
    );
    let (mut sides, hides_monitors) = dry_run::sides(&seen, &made, &held).await?;
    pump.abort();
    sides.insert(0, ask::own(live.as_ref(), &merged));
    let mut waits = paused(&shop, now);
    // The first release of a shop waits for no window.
    waits.extend(closed(&shop, now).filter(|_| live.is_some()));
    let objects: Vec<_> = sides.iter().filter_map(object).collect();
    let outcome = match objects.is_empty() && made.secrets.is_empty() {
        true => Outcome::Good,
        false => Outcome::Changes,
    };
    let answer = Answer {
        shop: merged.metadata.name.clone().unwrap_or_default(),
        services: summaries(&shop, &made, &sides, &held),
        notes: notes(&made, &shop, &sides, hides_monitors),
        waits,
        objects,
    };
    Ok(Made {
        answer,
        live,
        outcome,
    })
}

fn show(answer: &Answer, output: Output) -> Result<(), Failure> {
    match output {
        Output::Text => output::print(&text(answer)),
        Output::Json => output::print_json(answer),
    }
}

fn notes(plan: &Plan, shop: &Shop, sides: &[Side], hides_monitors: bool) -> Vec<String> {
    let made = plan.secrets.iter();
    let made = made.map(|name| format!("Secret {name} is made, with what nobody knows yet"));
    let waves = in_waves(&plan.waves(shop), plan.facts.shop.rollout.on_failure);
    made.chain(waves)
        .chain(edited(sides))
        .chain(weakened(&plan.facts.shop, &plan.rendered))
        .chain(unmonitored(plan, hides_monitors))
        .collect()
}

/// Why nobody is led to the metrics though the Shop asks for it. Whoever plans may see less than the operator does.
fn unmonitored(plan: &Plan, hides_monitors: bool) -> Option<String> {
    let kinds = plan.facts.observed.monitors;
    let is_hidden = [kinds.pods, kinds.services].contains(&Standing::Forbidden);
    match Monitoring::of(&plan.facts.shop, kinds) {
        Monitoring::Lacking(_) if is_hidden => Some(HIDDEN_MONITORS.into()),
        Monitoring::Lacking(why) | Monitoring::Useless(why) => Some(why),
        Monitoring::Nothing | Monitoring::Pods | Monitoring::Services => {
            hides_monitors.then(|| HIDDEN_MONITORS.into())
        }
    }
}

/// What somebody else has changed, and what becomes of it.
pub fn edited(sides: &[Side]) -> Vec<String> {
    let told = |side: &Side| {
        let Side {
            kind, name, edits, ..
        } = side;
        let stays = ("stays (driftPolicy: Report)", &edits.left);
        let some = [stays, ("goes back", &edits.taken_back)].into_iter();
        let some = some.filter(|(_, fields)| !fields.is_empty());
        let told = some.map(|(what, fields)| {
            let fields = fields.join("; ");
            format!("{kind} {name}: what somebody else has changed {what}: {fields}")
        });
        told.collect::<Vec<_>>()
    };
    sides.iter().flat_map(told).collect()
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
