//! What pods are told of traces, logs and metrics, and the certificates that they need for it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, KeyToPath, PodSpec, SecretVolumeSource, Volume, VolumeMount,
};

use super::pod;
use crate::{
    api::{LogFormat, Monitor},
    definition::built_in::{LOG_FORMAT, OTLP_CERTIFICATE, OTLP_HEADERS},
    model::validate::{ValidService, ValidShop},
};

/// The volume with the certificates by which the collector is known.
pub(super) const CA_VOLUME: &str = "otlp-ca";
const CA_FOLDER: &str = "/etc/shopkeeper/otlp";
const CA_FILE: &str = "ca.crt";
/// Where services answer for their metrics.
pub(super) const METRICS_PATH: &str = "/metrics";

/// The variables.
pub(super) fn environment(shop: &ValidShop) -> Vec<EnvVar> {
    let mut env = vec![pod::variable("LOG", &shop.log_level)];
    env.extend(log_format(shop));
    if let Some(endpoint) = &shop.otlp_endpoint {
        env.push(pod::variable("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
    }
    if let Some(from) = &shop.otlp_headers {
        let headers = pod::secret_variable(OTLP_HEADERS, from.name.clone(), &from.key);
        env.push(headers);
    }
    if shop.otlp_ca.is_some() {
        env.push(pod::variable(OTLP_CERTIFICATE, certificate()));
    }
    if let Some(sampling) = &shop.sampling {
        env.push(pod::variable("OTEL_TRACES_SAMPLER_ARG", sampling));
    }
    if let Some(link) = &shop.links.trace {
        env.push(pod::variable("TRACE_LINK", link));
    }
    if let Some(link) = &shop.links.logs {
        env.push(pod::variable("LOGS_LINK", link));
    }
    env
}

/// Said only where it is not the usual one: what says nothing else than before must not roll pods.
pub(super) fn log_format(shop: &ValidShop) -> Option<EnvVar> {
    match shop.log_format {
        LogFormat::Json => None,
        LogFormat::Text => Some(pod::variable(LOG_FORMAT, "text")),
    }
}

fn certificate() -> String {
    format!("{CA_FOLDER}/{CA_FILE}")
}

/// The certificates, where a container is told to read them there: a Shop may have set a file of its own for it.
pub(super) fn certificates(shop: &ValidShop, env: &[EnvVar]) -> Option<(Volume, VolumeMount)> {
    let from = shop.otlp_ca.as_ref()?;
    let file = certificate();
    let is_read = |variable: &EnvVar| {
        variable.name == OTLP_CERTIFICATE && variable.value.as_ref() == Some(&file)
    };
    if !env.iter().any(is_read) {
        return None;
    }
    let item = KeyToPath {
        key: from.key.clone(),
        path: CA_FILE.into(),
        mode: None,
    };
    let volume = Volume {
        name: CA_VOLUME.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(from.name.clone()),
            items: Some(vec![item]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mount = VolumeMount {
        read_only: Some(true),
        ..pod::mount(CA_VOLUME, CA_FOLDER)
    };
    Some((volume, mount))
}

/// The Secret with the certificates, as a pod has it: they are read when its process starts.
pub(super) fn secret_of_certificates(pod: &PodSpec) -> Option<&str> {
    let mut volumes = pod.volumes.iter().flatten();
    let volume = volumes.find(|volume| volume.name == CA_VOLUME)?;
    volume.secret.as_ref()?.secret_name.as_deref()
}

/// What leads Prometheus to the pods where no monitor does. What the Shop has of its own under these keys stays. The process of several
/// services has none: there is room for one port, and it has one for each of them.
pub(super) fn annotations(shop: &ValidShop, service: &ValidService) -> BTreeMap<String, String> {
    match shop.metrics.monitor {
        Monitor::Annotations if !service.hosts => {}
        Monitor::Annotations
        | Monitor::Auto
        | Monitor::ServiceMonitor
        | Monitor::PodMonitor
        | Monitor::None => return BTreeMap::new(),
    }
    let port = service.definition.ports.admin.to_string();
    let usual = [
        ("prometheus.io/scrape", "true"),
        ("prometheus.io/port", &port),
        ("prometheus.io/path", METRICS_PATH),
    ];
    let usual = usual.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let own = &service.pod_annotations;
    let usual = usual.into_iter().filter(|(key, _)| !own.contains_key(key));
    usual.collect()
}
