//! A plan in a file: what was shown, and the Shop that it was made for, so that just that can be applied.

use std::{collections::BTreeMap, path::Path};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Answer;
use crate::{cli::Common, cluster::Cluster, failure::Failure, validate};

/// The program whose plan it is: another may make another plan of the same.
const PROGRAM: &str = concat!("shopctl ", env!("CARGO_PKG_VERSION"));

/// A kept plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Who made it.
    pub made_by: String,
    /// Where the Shop is to be.
    pub namespace: String,
    /// The operator that looks after the Shop.
    pub operator: Operator,
    /// The Shop, as its file had it.
    pub shop: Value,
    /// The plan, as it was shown.
    pub plan: Value,
}

/// An install of the operator.
#[derive(Debug, Serialize, Deserialize)]
pub struct Operator {
    /// `NAMESPACE/NAME` of its Deployment.
    pub install: String,
    /// The unique id of that, which another cluster does not have.
    pub uid: String,
}

impl Operator {
    /// Whose Deployment this is.
    pub fn of(deployment: &Deployment) -> Self {
        let (namespace, name) = (deployment.namespace(), deployment.name_any());
        Self {
            install: format!("{}/{name}", namespace.unwrap_or_default()),
            uid: deployment.uid().unwrap_or_default(),
        }
    }
}

impl Saved {
    /// That the operator of the plan looks after the Shop still, and in the same cluster.
    pub(super) fn is_for(&self, operator: &Deployment) -> Result<(), Failure> {
        let (planned, now) = (&self.operator, Operator::of(operator));
        if planned.uid == now.uid {
            return Ok(());
        }
        Err(Failure::Refused(format!(
            "nothing is applied: the plan is for operator {} ({}), and here {} ({}) looks after namespace {}; is it another cluster?",
            planned.install, planned.uid, now.install, now.uid, self.namespace
        )))
    }

    /// Where it is to be applied.
    pub(super) fn place(&self, common: &Common) -> Result<Common, Failure> {
        let name = self.shop["metadata"]["name"].as_str();
        if let Some(asked) = common.shop.as_deref().filter(|asked| name != Some(*asked)) {
            let planned = name.unwrap_or_default();
            return Err(Failure::Refused(format!(
                "the plan is for Shop {planned}, and {asked} was named"
            )));
        }
        let asked = common.namespace.as_deref();
        if let Some(asked) = asked.filter(|asked| *asked != self.namespace) {
            let planned = &self.namespace;
            return Err(Failure::Refused(format!(
                "the plan is for namespace {planned}, and {asked} was named"
            )));
        }
        Ok(Common {
            namespace: Some(self.namespace.clone()),
            ..common.clone()
        })
    }
}

/// Keeps a plan in a file.
pub(super) fn keep(
    file: &Path,
    cluster: &Cluster,
    operator: Operator,
    shop: Value,
    answer: &Answer,
) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::Refused(format!("{} cannot be written: {error}", file.display()))
    };
    let saved = Saved {
        made_by: PROGRAM.into(),
        namespace: cluster.namespace().into(),
        operator,
        shop,
        plan: serde_json::to_value(answer).map_err(|error| cannot(&error))?,
    };
    let text = serde_json::to_string_pretty(&saved).map_err(|error| cannot(&error))?;
    std::fs::write(file, text + "\n").map_err(|error| cannot(&error))
}

/// The plan that a file keeps.
pub(super) fn read(file: &Path) -> Result<Saved, Failure> {
    let text = validate::read(file)?;
    parsed(&text).map_err(|why| Failure::Refused(format!("{}: {why}", file.display())))
}

/// The plan in a text.
///
/// # Errors
/// When there is none, or one of another version of this program.
pub fn parsed(text: &str) -> Result<Saved, String> {
    let saved: Saved = serde_json::from_str(text)
        .map_err(|error| format!("this is no plan that `shopctl plan --out` has kept: {error}"))?;
    if saved.made_by != PROGRAM {
        let by = saved.made_by;
        return Err(format!(
            "the plan was made by {by}, and this is {PROGRAM}: make it anew"
        ));
    }
    Ok(saved)
}

/// Whether the plan of now is the one that was kept, whatever new releases wait for by now.
///
/// # Errors
/// When it is another; the text says what differs.
pub fn unmoved(kept: &Saved, now: &Answer) -> Result<(), Failure> {
    let now = serde_json::to_value(now).unwrap_or_default();
    let (before, after) = (parts(&kept.plan), parts(&now));
    let names = before.keys().chain(after.keys());
    let mut moved: Vec<_> = names
        .filter(|name| before.get(*name) != after.get(*name))
        .map(String::as_str)
        .collect();
    if moved.is_empty() {
        return Ok(());
    }
    moved.sort_unstable();
    moved.dedup();
    Err(Failure::Refused(format!(
        "nothing is applied: something has changed since the plan was made, and another would be made now ({}); look at it with `shopctl plan`",
        moved.join(", ")
    )))
}

/// The parts of a plan by name, as a person would name them.
fn parts(plan: &Value) -> BTreeMap<String, &Value> {
    let list = |field: &str| plan[field].as_array().into_iter().flatten();
    let named = |part: &Value, field: &str| part[field].as_str().unwrap_or_default().to_owned();
    let objects = list("objects").map(|object| (named(object, "object"), object));
    let services = list("services").map(|service| (named(service, "service"), service));
    let rest = [("notes".to_owned(), &plan["notes"])];
    objects.chain(services).chain(rest).collect()
}
