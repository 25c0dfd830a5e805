use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use shopctl::change::{Change, Intent, instead_of, patch, text, tool};

use crate::plain;

fn known(metadata: Value) -> Option<String> {
    let metadata: ObjectMeta = serde_json::from_value(metadata).expect("metadata");
    tool(&metadata).map(|tool| tool.warning("demo"))
}

#[test]
fn the_tool_that_keeps_a_shop_is_named_with_what_of_it_does() {
    for (metadata, expected) in [
        (
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "market:shopkeeper.dev/Shop:demo/demo"}}),
            "Argo CD keeps Shop demo (application market) and would",
        ),
        (
            json!({"labels": {"argocd.argoproj.io/instance": "market"}}),
            "Argo CD keeps Shop demo (application market) and would",
        ),
        (
            json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shops"}}),
            "Flux keeps Shop demo (Kustomization shops) and would",
        ),
        // Flux installs by Helm, and what Flux keeps is not changed in Helm.
        (
            json!({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}, "annotations": {"meta.helm.sh/release-name": "demo"}}),
            "Flux keeps Shop demo (HelmRelease shop) and would",
        ),
        (
            json!({"annotations": {"meta.helm.sh/release-name": "demo"}}),
            "Helm keeps Shop demo (release demo) and puts its specification back with an upgrade",
        ),
        (
            json!({"managedFields": [{"manager": "argocd-controller", "fieldsV1": {"f:spec": {"f:version": {}}}}]}),
            "Argo CD keeps Shop demo (argocd-controller has set fields of it)",
        ),
        (
            json!({"managedFields": [{"manager": "kustomize-controller", "fieldsV1": {"f:spec": {}}}]}),
            "Flux keeps Shop demo (kustomize-controller has set fields of it)",
        ),
    ] {
        let warning = known(metadata).expect(expected);
        assert!(warning.starts_with(expected), "{warning}");
    }
}

#[test]
fn whoever_sets_no_field_of_the_specification_keeps_nothing() {
    for metadata in [
        json!({}),
        json!({"labels": {"app.kubernetes.io/instance": "market"}}),
        json!({"managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]}),
        json!({"managedFields": [{"manager": "helm", "fieldsV1": {"f:metadata": {}}}]}),
        json!({"managedFields": [{"manager": "helm", "subresource": "status", "fieldsV1": {"f:spec": {}}}]}),
        json!({"managedFields": [{"manager": "helm"}]}),
    ] {
        assert_eq!(known(metadata.clone()), None, "{metadata}");
    }
}

fn changed(shop: &Value, path: &[&str], new: Value) -> Vec<Change> {
    Change::of(shop, path, new).into_iter().collect()
}

#[test]
fn a_patch_names_what_changes_and_the_version_that_it_is_for() {
    let shop = json!({"spec": {"version": "2", "services": {"orders": {"version": "2"}}}});
    let mut changes = changed(
        &shop,
        &["spec", "services", "orders", "version"],
        Value::Null,
    );
    changes.extend(changed(
        &shop,
        &["spec", "services", "my.own", "image"],
        "x/y:1".into(),
    ));
    changes.extend(changed(&shop, &["spec", "version"], "1".into()));
    assert_eq!(
        patch(Some("7"), &changes),
        json!({
            "metadata": {"resourceVersion": "7"},
            "spec": {"version": "1", "services": {"orders": {"version": null}, "my.own": {"image": "x/y:1"}}},
        })
    );
    assert!(changed(&shop, &["spec", "version"], "2".into()).is_empty());
    assert!(changed(&shop, &["spec", "none", "there"], Value::Null).is_empty());
}

/// A merge patch would leave them.
#[test]
fn fields_that_a_new_value_does_not_have_go() {
    let shop = json!({"spec": {"pause": {"reason": "a", "until": "2026-11-27T00:00:00Z"}}});
    let changes = changed(&shop, &["spec", "pause"], json!({"reason": "b"}));
    assert_eq!(
        patch(None, &changes)["spec"],
        json!({"pause": {"reason": "b", "until": null}})
    );
}

#[test]
fn what_was_written_last_and_is_not_now_goes_at_every_depth() {
    let last = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "gone": {"x": 1}});
    let now = json!({"a": {"b": 3}, "list": [2], "new": {"y": 1}});
    let expected = json!({"a": {"b": 3, "c": null}, "list": [2], "gone": null, "new": {"y": 1}});
    assert_eq!(instead_of(&last, &now), expected);
    assert_eq!(instead_of(&json!(null), &now), now);
}

#[test]
fn each_field_is_told_with_what_it_was() {
    let shop = json!({"spec": {"version": "2\u{1b}[2J"}});
    let mut changes = changed(&shop, &["spec", "version"], "1".into());
    changes.extend(changed(&shop, &["spec", "pause"], json!({"reason": "x"})));
    let notes = vec!["search stays as it is".into()];
    let intent = Intent { changes, notes };
    let expected = "spec.version: 2\\u{1b}[2J -> 1
spec.pause: (not set) -> {\"reason\":\"x\"}
  search stays as it is
";
    assert_eq!(plain(&text(&intent)), expected);
    let told = serde_json::to_value(&intent).expect("JSON");
    assert_eq!(
        told["changes"][1],
        json!({"field": "spec.pause", "old": null, "new": {"reason": "x"}})
    );
}
