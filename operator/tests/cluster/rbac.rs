//! The operator has exactly the rights of rbac.md: the tests run with them, and what a whole life of a Shop uses is there.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    authorization::v1::SelfSubjectAccessReview,
    core::v1::Secret,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    harness::{Harness, is_ready, make_namespace, operator_client, unique},
    telemetry::monitors_are_there,
};

/// Which kinds of monitors there are. Everybody may ask what kinds there are.
const KINDS: &str = "/apis/monitoring.coreos.com/v1";

/// As this user the tests' operator works, where it looks after the whole cluster.
pub(crate) const USER: &str = "shop-operator-under-test";

/// (group, resource) -> verbs, read from the table.
fn table() -> BTreeMap<(String, String), BTreeSet<String>> {
    include_str!("../../rbac.md")
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
            let [group, resource, verbs, _reason, _] = cells[..] else {
                return None;
            };
            let verbs = verbs.split(", ").map(str::to_owned).collect();
            (group != "API group" && !group.starts_with("---")).then(|| {
                (
                    (group.trim_matches('"').to_owned(), resource.to_owned()),
                    verbs,
                )
            })
        })
        .collect()
}

fn rules() -> Vec<Value> {
    table()
        .into_iter()
        .map(|((group, resource), verbs)| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs}))
        .collect()
}

pub(crate) fn rights() -> (ClusterRole, ClusterRoleBinding) {
    let role = json!({"metadata": {"name": USER}, "rules": rules()});
    let binding = json!({
        "metadata": {"name": USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    });
    (
        serde_json::from_value(role).expect("a role"),
        serde_json::from_value(binding).expect("a binding"),
    )
}

/// As this user works an operator that looks after one namespace alone.
pub(crate) fn user_of(namespace: &str) -> String {
    format!("{USER}-in-{namespace}")
}

/// Gives that user the same rights, in that namespace.
pub(crate) async fn grant_in(admin: &Client, namespace: &str) {
    let role = json!({"metadata": {"name": USER}, "rules": rules()});
    let binding = json!({
        "metadata": {"name": USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": USER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user_of(namespace)}],
    });
    let role: Role = serde_json::from_value(role).expect("a role");
    let binding: RoleBinding = serde_json::from_value(binding).expect("a binding");
    let params = PostParams::default();
    Api::namespaced(admin.clone(), namespace)
        .create(&params, &role)
        .await
        .expect("a role");
    Api::namespaced(admin.clone(), namespace)
        .create(&params, &binding)
        .await
        .expect("a binding");
}

/// The right that a request needs.
fn right(verb: &str, path: &str) -> (String, String, String) {
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let (group, rest) = match parts[..] {
        ["api", _, ref rest @ ..] => ("", rest),
        ["apis", group, _, ref rest @ ..] => (group, rest),
        _ => panic!("not a resource: {path}"),
    };
    let (resource, named) = match *rest {
        ["namespaces", _, resource] | [resource] => (resource.to_owned(), false),
        ["namespaces", _, resource, _] => (resource.to_owned(), true),
        ["namespaces", _, resource, _, sub] => (format!("{resource}/{sub}"), true),
        _ => panic!("not a resource: {path}"),
    };
    let verb = match (verb, named) {
        ("WATCH", _) => "watch",
        ("LIST", _) | ("GET", false) => "list",
        ("GET", true) => "get",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => panic!("not a verb: {verb}"),
    };
    (group.to_owned(), resource, verb.to_owned())
}

#[tokio::test]
async fn every_right_in_the_table_is_used_but_those_of_other_places() {
    let _stays = monitors_are_there().await;
    let harness = Harness::in_the_whole_cluster().await;
    let telemetry = |monitor: &str| json!({"metrics": {"monitor": monitor}});
    let email = json!({"from": "a@b.example", "smtp": {"host": "mail.example", "credentialsFrom": {"name": "login"}}});
    let scaled = json!({"replicas": 2});
    let auto = json!({"autoscaling": {"maxReplicas": 3}});
    harness
        .apply(
            json!({"version": "1", "services": {"search": auto, "users": scaled}, "email": email, "telemetry": telemetry("PodMonitor")}),
        )
        .await;
    let login = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"username": "u", "password": "p"}});
    harness
        .api::<k8s_openapi::api::core::v1::Secret>()
        .patch("login", &PatchParams::apply("user"), &Patch::Apply(login))
        .await
        .expect("a Secret");
    harness.reconcile().await.expect("the first reconcile");
    harness.start_stores().await;
    harness
        .reconcile_until_status("migrating", |status| {
            status
                .services
                .iter()
                .all(|s| s.phase == shop_operator::api::Phase::Migrating)
        })
        .await;
    harness.finish_jobs().await;
    harness
        .reconcile_until("Deployments", || async {
            harness
                .list::<k8s_openapi::api::apps::v1::Deployment>()
                .await
                .len()
                == 5
        })
        .await;
    harness.reconcile().await.expect("a reconcile");
    harness.roll_all().await;
    harness.reconcile_until_status("Ready", is_ready).await;
    // Everything superfluous once, a service that leaves too; and Secrets change hands.
    for monitor in ["ServiceMonitor", "None"] {
        let services = json!({"search": auto, "users": scaled});
        harness.apply(json!({"version": "1", "services": services, "email": email, "telemetry": telemetry(monitor)})).await;
        harness.reconcile().await.expect("a reconcile");
    }
    harness.apply(json!({"version": "1", "services": {"users": {"replicas": 1, "image": "x/users:2"}, "email": {"enabled": false}}, "database": {"deletionPolicy": "Delete"}})).await;
    harness
        .reconcile_until(
            "budget, autoscaler, old Job and email are pruned",
            || async {
                let requests = harness.requests();
                let is_deleted = |kind: &&str| {
                    let deleted =
                        |(verb, path): &(String, String)| verb == "DELETE" && path.contains(*kind);
                    requests.iter().any(deleted)
                };
                let kinds = [
                    "/poddisruptionbudgets/",
                    "/horizontalpodautoscalers/",
                    "/jobs/",
                    "/deployments/",
                    "/statefulsets/",
                    "/services/",
                    "/serviceaccounts/",
                    "/networkpolicies/",
                ];
                kinds.iter().all(is_deleted)
            },
        )
        .await;

    // And its data go with it.
    harness
        .api::<shop_operator::api::Shop>()
        .delete("demo", &DeleteParams::default())
        .await
        .expect("deleted");
    harness.finalize().await;

    let used: BTreeSet<_> = harness
        .all_requests()
        .iter()
        .filter(|(_, path)| path != KINDS)
        .map(|(verb, path)| right(verb, path))
        .collect();
    let unused: Vec<_> = table()
        .into_iter()
        .flat_map(|((group, resource), verbs)| {
            verbs
                .into_iter()
                .map(move |verb| (group.clone(), resource.clone(), verb))
        })
        // A server-side apply asks for `create` too, without a POST; other replicas and races need the rest.
        .filter(|(_, _, verb)| verb != "create")
        .filter(|(group, resource, verb)| {
            !matches!(
                (group.as_str(), resource.as_str(), verb.as_str()),
                ("coordination.k8s.io", "leases", _)            // leader election is not part of this harness
                    | ("shopkeeper.dev", "shops", _)            // the harness reads Shops itself
                    | ("batch", "jobs", "get") // two writers at the same moment
                    | ("batch", "jobs", "patch") // a Job that a mesh keeps running, or that lost its owner
                    | ("apps", "controllerrevisions", "get") // what comes back, in release.rs
                    | ("", "events", "list") // what has hung for a while
            )
        })
        .filter(|right| !used.contains(right))
        .collect();
    assert!(unused.is_empty(), "in rbac.md but not used: {unused:?}");
}

#[tokio::test]
async fn an_operator_of_one_namespace_does_everything_there_and_can_read_nothing_elsewhere() {
    let harness = Harness::in_one_namespace().await;
    let rollout = json!({"gate": "1s"});
    harness
        .apply(json!({"version": "1", "rollout": rollout}))
        .await;
    harness.bring_up().await;
    harness
        .apply(json!({"version": "2", "rollout": rollout}))
        .await;
    harness.settle().await;
    let outside: Vec<_> = harness
        .all_requests()
        .into_iter()
        .filter(|(_, path)| path != KINDS)
        .filter(|(_, path)| !path.contains(&format!("/namespaces/{}/", harness.namespace)))
        .collect();
    assert!(
        outside.is_empty(),
        "asked outside its namespace: {outside:?}"
    );

    let other = unique("other");
    make_namespace(&harness.admin, &other).await;
    let user = operator_client(&user_of(&harness.namespace), Default::default()).await;
    for ((group, resource), verbs) in table() {
        for verb in verbs {
            let may = async |namespace: &str| may(&user, namespace, &group, &resource, &verb).await;
            assert!(may(&harness.namespace).await, "{verb} {group}/{resource}");
            assert!(!may(&other).await, "{verb} {group}/{resource} elsewhere");
            assert!(!may("").await, "{verb} {group}/{resource} everywhere");
        }
    }
    let secrets: Api<Secret> = Api::namespaced(user, &other);
    let refused = secrets.list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));
}

/// What the API server says of a right; no namespace is all of them.
async fn may(user: &Client, namespace: &str, group: &str, resource: &str, verb: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({"spec": {"resourceAttributes": {
        "namespace": namespace, "group": group, "resource": resource, "subresource": subresource, "verb": verb,
    }}});
    let review: SelfSubjectAccessReview = serde_json::from_value(review).expect("a review");
    let answer = Api::all(user.clone())
        .create(&PostParams::default(), &review)
        .await
        .expect("an answer");
    answer.status.expect("a status").allowed
}
