//! What is asked before a plan is made: the file, the Shop that the API server would make of it, and all that is there of it.

use std::{fmt::Debug, path::Path, time::Duration};

use futures::channel::mpsc::UnboundedReceiver;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shop_operator::{
    cluster::{self, Edits, Kind, Scope, ShopKey, Tracked},
    metrics::Metrics,
    naming::labels::SELECTOR,
};
use tokio::{task::JoinHandle, time::timeout};

use super::Side;
use crate::{
    change::instead_of,
    cli::Common,
    cluster::Cluster,
    failure::{Failure, asking},
    validate::{documents, read},
};

/// The first lists of all kinds take no longer.
const LISTING: Duration = Duration::from_secs(30);
/// What `kubectl apply` remembers of what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Shop in a file, and where it is to be.
pub(super) struct Wanted {
    pub(super) document: Value,
    pub(super) place: Common,
}

/// The Shop in a file: the only one, or the one that is named.
pub(super) fn wanted(file: &Path, common: &Common) -> Result<Wanted, Failure> {
    let name = file.display();
    let found = documents(&read(file)?);
    if let Some(why) = found.unreadable {
        return Err(Failure::Refused(format!("{name}: {why}")));
    }
    let mut shops = found.shops;
    shops.retain(|shop| {
        let called = shop["metadata"]["name"].as_str();
        common.shop.is_none() || called == common.shop.as_deref()
    });
    let (Some(document), true) = (shops.pop(), shops.is_empty()) else {
        return Err(Failure::Refused(format!(
            "{name} has no Shop of this name, or several: say which with --shop"
        )));
    };
    let mut place = common.clone();
    let written = document["metadata"]["namespace"].as_str();
    match (&common.namespace, written) {
        (Some(asked), Some(written)) if asked != written => {
            return Err(Failure::Refused(format!(
                "{name} is for namespace {written}, and {asked} was named"
            )));
        }
        (None, Some(written)) => place.namespace = Some(written.to_owned()),
        (Some(_) | None, _) => {}
    }
    Ok(Wanted { document, place })
}

/// The Shop that is there, and the one that the API server would make of it.
pub(super) async fn merged(
    cluster: &Cluster,
    document: &Value,
) -> Result<(Option<DynamicObject>, DynamicObject), Failure> {
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let asked = asking(format!("Shop {name}"));
    let shops = cluster.documents();
    let live = shops.get_opt(name).await.map_err(asked)?;
    let refused = asking(format!("Shop {name} would be refused"));
    let (params, patch) = application(live.as_ref(), document);
    let params = PatchParams {
        dry_run: true,
        ..params
    };
    let merged = shops.patch(name, &params, &patch).await.map_err(refused)?;
    Ok((live, merged))
}

/// Applies a Shop in the way in which its dry run was made, if it is still the `live` one.
pub(super) async fn apply(
    cluster: &Cluster,
    live: Option<&DynamicObject>,
    document: &Value,
) -> Result<(), Failure> {
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let shops = cluster.documents();
    let now = shops.get_opt(name).await;
    let now = now.map_err(asking(format!("Shop {name}")))?;
    if now.as_ref().map(written) != live.map(written) {
        return Err(Failure::Refused(format!(
            "nothing is applied: somebody has just changed Shop {name}; look at it with `shopctl plan`"
        )));
    }
    let now = now.as_ref();
    let (params, mut patch) = application(now, &of_version(now, document));
    if let Patch::Merge(patch) = &mut patch {
        // `kubectl apply` takes out the next time what it finds here and no longer in the file.
        let text = with_annotations(document).to_string();
        patch["metadata"]["annotations"][LAST_APPLIED] = text.into();
    }
    let refused = asking(format!("Shop {name} cannot be applied"));
    let applied = shops.patch(name, &params, &patch).await;
    applied.map(drop).map_err(refused)
}

/// What people have written of a Shop: its status and notes of the API server are something else.
fn written(shop: &DynamicObject) -> (Option<&str>, Option<i64>, Value) {
    let ObjectMeta {
        uid,
        generation,
        labels,
        annotations,
        ..
    } = &shop.metadata;
    (uid.as_deref(), *generation, json!([labels, annotations]))
}

/// As `kubectl apply` writes it down: where a file has no annotations, those that others have made stay.
fn with_annotations(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(metadata) = document["metadata"].as_object_mut() {
        metadata.entry("annotations").or_insert_with(|| json!({}));
    }
    document
}

/// The API server takes it for this version of the Shop alone.
fn of_version(live: Option<&DynamicObject>, document: &Value) -> Value {
    let mut document = document.clone();
    let version = live.and_then(|live| live.metadata.resource_version.as_deref());
    if let (Some(version), Some(metadata)) = (version, document["metadata"].as_object_mut()) {
        metadata.insert("resourceVersion".into(), version.into());
    }
    document
}

/// How the Shop was applied so far, and so is again: then what the file no longer names goes.
fn application(live: Option<&DynamicObject>, document: &Value) -> (PatchParams, Patch<Value>) {
    let entries = live.and_then(|live| live.metadata.managed_fields.as_ref());
    let mut applied = entries.into_iter().flatten().filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        let has_spec = fields.is_some_and(|fields| fields.0.get("f:spec").is_some());
        entry.operation.as_deref() == Some("Apply") && entry.subresource.is_none() && has_spec
    });
    let manager = applied.next().and_then(|entry| entry.manager.clone());
    let annotations = live.and_then(|live| live.metadata.annotations.as_ref());
    let last = annotations.and_then(|annotations| annotations.get(LAST_APPLIED));
    let last = last.and_then(|last| serde_json::from_str(last).ok());
    let (manager, patch) = match (manager, last) {
        (Some(manager), _) => (manager, Patch::Apply(document.clone())),
        (None, Some(last)) => {
            let patch = instead_of(&last, &with_annotations(document));
            ("kubectl-client-side-apply".into(), Patch::Merge(patch))
        }
        (None, None) => ("kubectl".into(), Patch::Apply(document.clone())),
    };
    let params = PatchParams {
        force: matches!(patch, Patch::Apply(_)),
        field_manager: Some(manager),
        ..PatchParams::default().validation_strict()
    };
    (params, patch)
}

/// The Shop itself, before and after.
pub(super) fn own(live: Option<&DynamicObject>, merged: &DynamicObject) -> Side {
    let json = |shop: &DynamicObject| serde_json::to_value(shop).unwrap_or_default();
    Side {
        edits: Edits::default(),
        kind: "Shop".into(),
        name: merged.metadata.name.clone().unwrap_or_default(),
        service: None,
        live: live.map(json),
        then: Ok(Some(json(merged))),
    }
}

/// All that the operator would see in the Shop's namespace. The receiver is to be kept as long as the rest.
pub(super) async fn seen(
    cluster: &Cluster,
) -> Result<(cluster::Cluster, UnboundedReceiver<ShopKey>, JoinHandle<()>), Failure> {
    let scope = Scope::Namespaces(vec![cluster.namespace().to_owned()]);
    let client = cluster.client();
    let (seen, told, pump) = cluster::Cluster::watch(client, &scope, &Metrics::default());
    may_list_all(cluster, &seen).await?;
    match timeout(LISTING, seen.ready()).await {
        Ok(Ok(())) => Ok((seen, told, pump)),
        Ok(Err(error)) => Err(Failure::Absent(format!("a list did not come: {error}"))),
        Err(_) => {
            let seconds = LISTING.as_secs();
            Err(Failure::Absent(format!(
                "the objects of the namespace are not listed after {seconds} s"
            )))
        }
    }
}

/// Without a right to look, everything would seem to be absent.
async fn may_list_all(cluster: &Cluster, seen: &cluster::Cluster) -> Result<(), Failure> {
    may_list(cluster, &seen.deployments).await?;
    may_list(cluster, &seen.stateful_sets).await?;
    may_list(cluster, &seen.revisions).await?;
    may_list(cluster, &seen.jobs).await?;
    may_list(cluster, &seen.services).await?;
    may_list(cluster, &seen.service_accounts).await?;
    may_list(cluster, &seen.secrets).await?;
    may_list(cluster, &seen.network_policies).await?;
    may_list(cluster, &seen.disruption_budgets).await?;
    may_list(cluster, &seen.autoscalers).await?;
    may_list(cluster, &seen.pods).await?;
    may_list(cluster, &seen.claims).await
}

async fn may_list<K>(cluster: &Cluster, tracked: &Tracked<K>) -> Result<(), Failure>
where
    K: Kind + Resource<DynamicType = ()> + DeserializeOwned + Debug,
{
    let asked = asking(format!("{}s of the Shop", K::kind(&())));
    let one = ListParams::default().labels(SELECTOR).limit(1);
    let listed = tracked.api(cluster.namespace()).list_metadata(&one).await;
    listed.map(drop).map_err(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_has_applied_is_applied_so_again_and_annotations_of_others_stay() {
        let file = json!({"metadata": {"name": "demo"}, "spec": {"version": "2"}});
        let last = json!({
            "metadata": {"name": "demo", "annotations": {"gone": "1"}}, "spec": {"version": "1", "pause": {"reason": "x"}},
        });
        let live = json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop",
            "metadata": {"name": "demo", "annotations": {"gone": "1", "of others": "2", LAST_APPLIED: last.to_string()}},
        });
        let live: DynamicObject = serde_json::from_value(live).expect("a Shop");
        let (params, patch) = application(Some(&live), &file);
        let Patch::Merge(patch) = patch else {
            panic!("{patch:?}");
        };
        assert_eq!(
            params.field_manager.as_deref(),
            Some("kubectl-client-side-apply")
        );
        let expected = json!({
            "metadata": {"name": "demo", "annotations": {"gone": null}}, "spec": {"version": "2", "pause": null},
        });
        assert_eq!(patch, expected);
    }
}
