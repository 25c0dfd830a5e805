use serde_json::{Value, json};
use shopctl::validate::{documents, judge};

fn judged(spec: &Value) -> Vec<String> {
    let shop = json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "corner"}, "spec": spec,
    });
    judge(&shop).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_judged(spec: &Value, expected: &[&str]) {
    assert_eq!(judged(spec), expected, "{spec}");
}

#[test]
fn a_shop_that_names_only_its_version_is_fine() {
    assert_judged(&json!({"version": "1"}), &[]);
}

#[test]
fn the_examples_are_valid() {
    for file in ["shop.yaml", "shop-with-reviews.yaml"] {
        let path = format!("{}/../examples/{file}", env!("CARGO_MANIFEST_DIR"));
        let documents = documents(&std::fs::read_to_string(&path).expect(&path));
        assert_eq!(
            (documents.shops.len(), &documents.unreadable),
            (1, &None),
            "{file}"
        );
        assert_eq!(judge(&documents.shops[0]), [], "{file}");
    }
}

#[test]
fn a_field_that_is_not_there_is_named_with_the_one_that_is_meant() {
    assert_judged(
        &json!({"version": "1", "services": {"search": {"replica": 2}}, "brokr": {}, "zzz": 1}),
        &[
            "spec.services.search.replica: there is no such field; did you mean replicas?",
            "spec.brokr: there is no such field; did you mean broker?",
            "spec.zzz: there is no such field",
        ],
    );
    let shop = json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "sepc": {},
        "metadata": {"name": "corner", "lables": {}}, "spec": {"version": "1"},
    });
    let wrong: Vec<_> = judge(&shop).iter().map(ToString::to_string).collect();
    assert_eq!(
        wrong,
        [
            "metadata.lables: there is no such field; did you mean labels?",
            "sepc: there is no such field; did you mean spec?",
        ]
    );
}

#[test]
fn what_does_not_fit_is_told_with_what_would() {
    for (spec, expected) in [
        (json!({}), "spec.version: must be there"),
        (
            json!({"version": 1.5}),
            "spec.version: must be a string: write \"1.5\" in quotes",
        ),
        (
            json!({"version": "not a version"}),
            "spec.version: must look like ^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
        ),
        (
            json!({"version": "1", "topology": "Monolit"}),
            "spec.topology: must be one of Services, Monolith",
        ),
        (
            json!({"version": "1", "services": {"search": {"replicas": -1}}}),
            "spec.services.search.replicas: must be at least 0",
        ),
        (
            json!({"version": "1", "services": {"search": {"replicas": "two"}}}),
            "spec.services.search.replicas: must be of type integer",
        ),
        (
            json!({"version": "1", "services": []}),
            "spec.services: must be of type object",
        ),
        (
            json!({"version": "1", "services": {"search": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}}}),
            "spec.services.search.env[1]: is there twice",
        ),
        (
            json!({"version": "1", "images": {"pullSecrets": ["a", "a"]}}),
            "spec.images.pullSecrets[1]: is there twice",
        ),
    ] {
        assert_judged(&spec, &[expected]);
    }
}

#[test]
fn admission_rules_are_run() {
    assert_judged(
        &json!({"version": "1", "services": {
            "users": {"version": "1", "image": "x/y:1"},
            "search": {"replicas": 1, "autoscaling": {"maxReplicas": 2}},
        }}),
        &[
            "spec.services.search: replicas and autoscaling exclude each other: name a count, or bounds for the autoscaler",
            "spec.services.users: version and image exclude each other: an image names its version itself",
        ],
    );
}

#[test]
fn patches_of_single_objects_are_judged_as_the_operator_would() {
    let with = |overrides: Value| json!({"version": "1", "services": {"orders": {"overrides": overrides}}});
    let patch = "spec:\n  replicas: 2\n  template: {spec: {tolerations: [{kye: a}]}}\n";
    assert_judged(
        &with(json!([{"kind": "Deployment", "patch": patch}])),
        &[
            "spec.services.orders.overrides[0].patch.spec.replicas: write spec.services.orders.replicas or autoscaling",
            "spec.services.orders.overrides[0].patch.spec.template.spec.tolerations[0].kye: a Deployment has no such field",
        ],
    );
    let fine = json!({"kind": "Service", "patch": "spec: {type: LoadBalancer}"});
    assert_judged(&with(json!([fine])), &[]);
    assert_judged(
        &with(
            json!([fine, fine, {"kind": "Pod", "patch": ""}, {"kind": "Job", "patch": "x".repeat(16385)}]),
        ),
        &[
            "spec.services.orders.overrides[2].kind: must be one of Deployment, Service, HorizontalPodAutoscaler, PodDisruptionBudget, NetworkPolicy, ServiceAccount, Job",
            "spec.services.orders.overrides[2].patch: must have at least 1 characters",
            "spec.services.orders.overrides[3].patch: must have at most 16384 characters",
            "spec.services.orders.overrides[1]: is there twice",
        ],
    );
    for (patch, says) in [
        ("spec: {externalTrafficPolicy: }", "write {$patch: delete}"),
        ("spec: {", "must be YAML or JSON"),
    ] {
        let told = judged(&with(json!([{"kind": "Service", "patch": patch}])));
        let begins = "spec.services.orders.overrides[0].patch";
        assert!(
            matches!(&told[..], [only] if only.starts_with(begins) && only.contains(says)),
            "{told:?}"
        );
    }
}

#[test]
fn fields_and_rules_are_told_together() {
    let wrong = judged(
        &json!({"version": "1", "servces": {}, "services": {"users": {"version": "1", "image": "x/y:1"}}}),
    );
    assert_eq!(wrong.len(), 2, "{wrong:?}");
}

#[test]
fn a_shop_has_a_name_and_a_version_of_its_kind() {
    let shop =
        json!({"apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "spec": {"version": "1"}});
    let wrong: Vec<_> = judge(&shop).iter().map(ToString::to_string).collect();
    assert_eq!(wrong, ["metadata.name: must be there"]);
    let shop = json!({"apiVersion": "shopkeeper.dev/v2", "kind": "Shop"});
    assert_eq!(
        judge(&shop)[0].to_string(),
        "apiVersion: must be shopkeeper.dev/v1alpha1"
    );
}

#[test]
fn what_is_null_counts_as_left_out_where_the_api_server_takes_it_so() {
    assert_judged(
        &json!({"version": "1", "services": {"search": null}, "broker": null, "topology": null}),
        &[],
    );
    assert_judged(&json!({"version": null}), &["spec.version: must be there"]);
}

#[test]
fn shops_are_found_among_other_documents() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: market}\n---\napiVersion: shopkeeper.dev/v1alpha1\nkind: Shop\n---\n---\napiVersion: other.dev/v1\nkind: Shop\n---\n[1]\n";
    let found = documents(text);
    assert_eq!(found.shops.len(), 1);
    assert_eq!(
        found.others,
        ["Namespace market", "Shop", "a document without kind"]
    );
    assert_eq!(found.unreadable, None);
}

#[test]
fn what_is_no_yaml_is_told_in_a_line() {
    for text in ["a: [1", "a: 1\na: 2", "a: b: c"] {
        let told = documents(text).unreadable.expect(text);
        assert!(
            told.starts_with("no YAML: ") && !told.contains('\n'),
            "{told}"
        );
    }
}

#[test]
fn whatever_is_there_is_judged_without_a_panic() {
    for spec in [
        json!(null),
        json!(1),
        json!([]),
        json!("x"),
        json!({"services": {"a": {"definition": {"calls": [null]}}}}),
    ] {
        assert!(!judged(&spec).is_empty(), "{spec}");
    }
    for document in [
        json!(null),
        json!([]),
        json!({"metadata": 1}),
        json!({"apiVersion": "shopkeeper.dev/v1alpha1", "metadata": []}),
    ] {
        assert!(!judge(&document).is_empty(), "{document}");
    }
}
