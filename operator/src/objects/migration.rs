//! The Job that migrates a service's database, from the very image that will run. A Job cannot be changed: it is made once
//! for each image, and made anew when it did not succeed and the Shop has changed since.

use std::collections::BTreeMap;

use super::{deployment::version_label, host, pod, telemetry};
use crate::{
    facts::migration::{CLAIM_ANNOTATION, SETTINGS_ANNOTATION, WRONG_SETTING, settings_of},
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::Component,
        names::{self, MIGRATION_CONTAINER},
    },
};
use k8s_openapi::api::{
    batch::v1::{
        Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
        PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
    },
    core::v1::{Container, PodSpec, PodTemplateSpec},
};

/// Attempts after the first.
const RETRIES: i32 = 2;

/// The migration Job of a service, for the volume behind the claim with this uid.
pub fn job(shop: &ValidShop, service: &ValidService, claim: &str) -> Job {
    let carrier = shop.carrier(service);
    let name = names::migration(&shop.name, &service.name, &carrier.image);
    let mut metadata = metadata::object(shop, name, service.name.as_str(), Component::Migration);
    metadata
        .labels
        .get_or_insert_default()
        .extend(version_label(&carrier.version));
    metadata.annotations = Some(BTreeMap::from([
        (SETTINGS_ANNOTATION.into(), settings_of(shop, service)),
        (CLAIM_ANNOTATION.into(), claim.into()),
    ]));
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            active_deadline_seconds: Some(service.migration.deadline_seconds),
            pod_failure_policy: Some(failure_policy()),
            template: template(shop, service, carrier),
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
            container_name: Some(MIGRATION_CONTAINER.into()),
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

fn template(shop: &ValidShop, service: &ValidService, carrier: &ValidService) -> PodTemplateSpec {
    let mut labels = metadata::labels(shop, service.name.as_str(), Component::Migration);
    labels.extend(version_label(&carrier.version));
    let mut env = vec![
        pod::secret_variable(
            "DATABASE_URL",
            names::database(&shop.name, &service.name),
            "url",
        ),
        pod::variable("LOG", &shop.log_level),
    ];
    env.extend(telemetry::log_format(shop));
    // The image of the host migrates all that it hosts, unless it is told.
    if carrier.hosts {
        env.push(pod::variable(host::GUESTS, service.name.as_str()));
    }
    // Istio reads a label, Linkerd an annotation.
    labels.extend(without_mesh());
    PodTemplateSpec {
        metadata: Some(pod::metadata(service, labels, without_mesh())),
        spec: Some(pod::scheduled(
            &service.scheduling,
            PodSpec {
                restart_policy: Some("Never".into()),
                service_account_name: Some(names::service(&shop.name, &service.name)),
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                security_context: Some(pod::security(pod::NONROOT)),
                image_pull_secrets: pod::pull_secrets(shop),
                containers: vec![Container {
                    name: MIGRATION_CONTAINER.into(),
                    image: Some(carrier.image.clone()),
                    image_pull_policy: Some(shop.pull_policy.as_str().into()),
                    args: service.definition.migrate.clone(),
                    env: Some(env),
                    resources: Some(pod::requirements(&service.migration.resources)),
                    security_context: Some(pod::container_security()),
                    termination_message_policy: Some(pod::LAST_WORDS.into()),
                    ..Container::default()
                }],
                ..PodSpec::default()
            },
        )),
    }
}
