//! The Job that migrates a service's database, from the very image that will run. A Job cannot be changed: it is made once
//! for each image, and made anew when it did not succeed and the Shop has changed since.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    batch::v1::{
        Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
        PodFailurePolicyRule,
    },
    core::v1::{Container, PodSpec, PodTemplateSpec},
};
use kube::api::ObjectMeta;

use super::{deployment::version_label, pod};
use crate::{
    catalogue::ServiceName,
    hash::Fingerprint,
    meta::{self, Component},
    names,
    validate::ValidShop,
};

/// A fingerprint of the Job's template.
pub const TEMPLATE_ANNOTATION: &str = "shopkeeper.dev/template";
/// The exit code of a service that refuses its settings: trying again does not help.
const WRONG_SETTING: i32 = 2;
/// Attempts after the first.
const RETRIES: i32 = 2;

/// The migration Job of a service.
pub fn job(shop: &ValidShop, service: ServiceName) -> Job {
    let image = &shop.services[service].image;
    let name = names::migration(&shop.name, service, image);
    let mut metadata = meta::object(shop, name, service.as_str(), Component::Migration);
    metadata
        .labels
        .get_or_insert_default()
        .extend(version_label(&shop.services[service]));
    metadata.annotations = Some(BTreeMap::from([(
        TEMPLATE_ANNOTATION.into(),
        template_of(shop, service),
    )]));
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            pod_failure_policy: Some(PodFailurePolicy {
                rules: vec![PodFailurePolicyRule {
                    action: "FailJob".into(),
                    on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                        container_name: None,
                        operator: "In".into(),
                        values: vec![WRONG_SETTING],
                    }),
                    on_pod_conditions: None,
                }],
            }),
            template: template(shop, service),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The fingerprint of the template as it would be written now.
pub fn template_of(shop: &ValidShop, service: ServiceName) -> String {
    Fingerprint::of(&template(shop, service)).hex()
}

fn template(shop: &ValidShop, service: ServiceName) -> PodTemplateSpec {
    let wanted = &shop.services[service];
    let mut labels = meta::labels(shop, service.as_str(), Component::Migration);
    labels.extend(version_label(wanted));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
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
                name: "migrate".into(),
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
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
    }
}
