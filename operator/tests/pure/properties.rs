//! What holds for every Shop.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use shop_operator::model::validate::{ValidShop, validate};

use crate::{
    fixtures::{config, render_all, shop},
    golden::all_objects,
};

/// One service's part of a Shop.
fn service() -> impl Strategy<Value = Value> {
    let count = prop_oneof![
        Just(json!({})),
        (0..10).prop_map(|n| json!({"replicas": n})),
        (1..5, 5..20).prop_map(
            |(min, max)| json!({"autoscaling": {"minReplicas": min, "maxReplicas": max}})
        ),
    ];
    let image = prop_oneof![
        Just(json!({})),
        "[0-9]\\.[0-9]{1,2}\\.[0-9]".prop_map(|version| json!({"version": version})),
        "[a-z]{1,8}/[a-z]{1,8}:[0-9]{1,3}".prop_map(|image| json!({"image": image})),
    ];
    let env = prop::collection::btree_map("X_[A-Z]{1,5}", "[ -~]{0,20}", 0..4)
        .prop_map(|env| json!({"env": env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>()}));
    let pods = prop_oneof![
        Just(json!({})),
        "[a-z]{1,5}".prop_map(|value| json!({
            "podLabels": {"team": value, "app.kubernetes.io/name": value},
            "podAnnotations": {"note": value},
            "scheduling": {"nodeSelector": {"disk": value}, "tolerations": [{"key": value, "operator": "Exists"}]},
            "migration": {"deadline": "5m"},
        })),
    ];
    (count, image, env, pods).prop_map(|(a, b, c, d)| merged([a, b, c, d]))
}

fn merged(parts: impl IntoIterator<Item = Value>) -> Value {
    parts
        .into_iter()
        .flat_map(|part| part.as_object().cloned().unwrap_or_default())
        .collect::<serde_json::Map<_, _>>()
        .into()
}

const SERVICES: [&str; 5] = ["users", "search", "orders", "payments", "email"];

fn services() -> impl Strategy<Value = BTreeMap<&'static str, Value>> {
    prop::collection::btree_map(prop::sample::select(&SERVICES[..]), service(), 0..5)
}

fn valid_shop(name: &str, services: &BTreeMap<&str, Value>) -> ValidShop {
    let mut shop = shop(json!({"version": "1.0.0", "services": services}));
    shop.metadata.name = Some(name.into());
    validate(&shop, &config()).expect("valid")
}

fn objects(shop: &ValidShop) -> BTreeMap<String, Value> {
    let key = |object: &Value| {
        format!(
            "{} {}",
            object["kind"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        )
    };
    all_objects(&render_all(shop))
        .into_iter()
        .map(|object| (key(&object), object))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_shop_renders_the_same_objects(services in services()) {
        let shop = valid_shop("corner", &services);
        prop_assert_eq!(objects(&shop), objects(&shop));
    }

    #[test]
    fn every_object_is_named_labelled_and_owned(name in "[a-z]([-a-z0-9]{0,28}[a-z0-9])?", services in services()) {
        let shop = valid_shop(&name, &services);
        let all = all_objects(&render_all(&shop));
        for object in &all {
            let meta = &object["metadata"];
            let called = meta["name"].as_str().expect("a name");
            prop_assert!(called.len() <= 63 && called.starts_with(&name), "{}", called);
            prop_assert_eq!(&meta["namespace"], &json!(shop.namespace));
            prop_assert_eq!(&meta["ownerReferences"][0]["uid"], &json!("uid-of-corner"));
            prop_assert_eq!(&meta["labels"]["app.kubernetes.io/managed-by"], &json!("shop-operator"));
            prop_assert_eq!(&meta["labels"]["app.kubernetes.io/instance"], &json!(name));
            for (_, value) in meta["labels"].as_object().expect("labels") {
                prop_assert!(value.as_str().expect("text").len() <= 63);
            }
        }
        let distinct: BTreeSet<_> = all.iter().map(|o| format!("{}{}", o["kind"], o["metadata"]["name"])).collect();
        prop_assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn pods_are_found_by_their_selectors_whatever_the_shop_adds(services in services()) {
        let shop = valid_shop("corner", &services);
        let plain = valid_shop("corner", &BTreeMap::new());
        for (deployment, usual) in render_all(&shop).deployments.into_iter().zip(render_all(&plain).deployments) {
            let (spec, usual) = (deployment.spec.expect("a spec"), usual.spec.expect("a spec"));
            prop_assert_eq!(&spec.selector, &usual.selector);
            let labels = spec.template.metadata.expect("metadata").labels.expect("labels");
            for (key, value) in spec.selector.match_labels.expect("labels") {
                prop_assert_eq!(labels.get(&key), Some(&value));
            }
        }
    }

    #[test]
    fn no_deployment_names_a_count(services in services()) {
        for deployment in render_all(&valid_shop("corner", &services)).deployments {
            prop_assert_eq!(deployment.spec.expect("a spec").replicas, None);
        }
    }

    #[test]
    fn no_variable_is_set_twice(services in services()) {
        for deployment in render_all(&valid_shop("corner", &services)).deployments {
            let container = deployment.spec.expect("a spec").template.spec.expect("a pod").containers.remove(0);
            let names: Vec<_> = container.env.unwrap_or_default().into_iter().map(|variable| variable.name).collect();
            let distinct: BTreeSet<_> = names.iter().collect();
            prop_assert_eq!(distinct.len(), names.len());
        }
    }

    #[test]
    fn a_change_of_one_service_touches_its_objects_alone(
        before in services(),
        changed in prop::sample::select(&SERVICES[..]),
        into in service(),
    ) {
        let mut after = before.clone();
        after.insert(changed, into);
        let (before, after) = (objects(&valid_shop("corner", &before)), objects(&valid_shop("corner", &after)));
        for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            if before.get(key) != after.get(key) {
                let object = before.get(key).or(after.get(key)).expect("one of them");
                prop_assert_eq!(&object["metadata"]["labels"]["app.kubernetes.io/name"], &json!(changed), "{}", key);
            }
        }
    }

    #[test]
    fn every_pod_is_restricted(services in services()) {
        let resources = render_all(&valid_shop("corner", &services));
        let pods = resources.deployments.iter().map(|d| d.spec.as_ref().expect("a spec").template.clone())
            .chain(resources.stateful_sets.iter().map(|s| s.spec.as_ref().expect("a spec").template.clone()))
            .chain(resources.jobs.iter().map(|j| j.spec.as_ref().expect("a spec").template.clone()));
        for pod in pods.map(|template| template.spec.expect("a pod")) {
            prop_assert_eq!(pod.automount_service_account_token, Some(false));
            let security = pod.security_context.expect("a context");
            prop_assert_eq!(security.run_as_non_root, Some(true));
            prop_assert_eq!(security.seccomp_profile.expect("a profile").type_, "RuntimeDefault");
            for container in pod.containers {
                let security = container.security_context.expect("a context");
                prop_assert_eq!(security.read_only_root_filesystem, Some(true));
                prop_assert_eq!(security.allow_privilege_escalation, Some(false));
                prop_assert_eq!(security.capabilities.expect("capabilities").drop, Some(vec!["ALL".to_owned()]));
                let limits = container.resources.expect("resources").limits.expect("limits");
                prop_assert!(limits.contains_key("memory"));
            }
        }
    }
}
