//! The Job that migrates a service's database, from the very image that will run. A Job cannot be changed: it is made once
//! for each image, and made anew when it did not succeed and the Shop has changed since.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    batch::v1::{
        Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
        PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
    },
    core::v1::{Container, PodSpec, PodTemplateSpec},
};
use kube::api::ObjectMeta;

use super::{deployment::version_label, pod};
use crate::{
    catalogue::ServiceName,
    meta::{self, Component},
    migration::{CLAIM_ANNOTATION, CONTAINER, SETTINGS_ANNOTATION, WRONG_SETTING, settings_of},
    names,
    validate::ValidShop,
};

/// Attempts after the first.
const RETRIES: i32 = 2;

/// A migration that takes longer has failed.
const DEADLINE_SECONDS: i64 = 3600;

/// The migration Job of a service, for the volume behind the claim with this uid.
pub fn job(shop: &ValidShop, service: ServiceName, claim: &str) -> Job {
    let image = &shop.services[service].image;
    let name = names::migration(&shop.name, service, image);
    let mut metadata = meta::object(shop, name, service.as_str(), Component::Migration);
    metadata
        .labels
        .get_or_insert_default()
        .extend(version_label(&shop.services[service].version));
    metadata.annotations = Some(BTreeMap::from([
        (SETTINGS_ANNOTATION.into(), settings_of(shop, service)),
        (CLAIM_ANNOTATION.into(), claim.into()),
    ]));
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            pod_failure_policy: Some(failure_policy()),
            template: template(shop, service),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// A drained node says nothing about the migration; a refused setting says all.
fn failure_policy() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".into(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
        }]),
    };
    let wrong_setting = PodFailurePolicyRule {
        action: "FailJob".into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(CONTAINER.into()),
            operator: "In".into(),
            values: vec![WRONG_SETTING],
        }),
        on_pod_conditions: None,
    };
    PodFailurePolicy {
        rules: vec![disrupted, wrong_setting],
    }
}

/// Service meshes keep a pod running after its work is done, and a Job with it.
fn without_mesh() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("sidecar.istio.io/inject".into(), "false".into()),
        ("linkerd.io/inject".into(), "disabled".into()),
    ])
}

fn template(shop: &ValidShop, service: ServiceName) -> PodTemplateSpec {
    let wanted = &shop.services[service];
    let mut labels = meta::labels(shop, service.as_str(), Component::Migration);
    labels.extend(version_label(&wanted.version));
    // Istio reads a label, Linkerd an annotation.
    labels.extend(without_mesh());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(without_mesh()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            service_account_name: Some(names::service(&shop.name, service)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod::security(pod::NONROOT)),
            image_pull_secrets: pod::pull_secrets(shop),
            containers: vec![Container {
                name: CONTAINER.into(),
                image: Some(wanted.image.clone()),
                image_pull_policy: Some(shop.pull_policy.as_str().into()),
                args: Some(vec!["migrate".into()]),
                env: Some(vec![
                    pod::secret_variable(
                        "DATABASE_URL",
                        names::database(&shop.name, service),
                        "url",
                    ),
                    pod::variable("LOG", &shop.log_level),
                ]),
                resources: Some(pod::amounts("20m", "32Mi", "256Mi")),
                security_context: Some(pod::container_security()),
                termination_message_policy: Some(pod::LAST_WORDS.into()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
    }
}
