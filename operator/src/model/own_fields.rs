//! The fields of a service's objects by which the operator finds them or tells how far they are, and those that a Shop has fields for. No
//! override names them. Pure.

use crate::{
    api::OverrideKind,
    definition::PortsDefinition,
    naming::names::{MIGRATION_CONTAINER, ServiceName},
};

const NAMES_OBJECT: &str = "kind names the object already: leave it out";
const WRITTEN_BY_CLUSTER: &str = "the cluster writes it: leave it out";
const METADATA: &str =
    "by this the operator knows the object: of metadata patch labels and annotations alone";
const LABELS: &str = "labels that begin with app.kubernetes.io/, shopkeeper.dev/ or batch.kubernetes.io/, and pod-template-hash, job-name and controller-uid are set by the operator and by Kubernetes: use a key of your own, for example example.com/team";
const ANNOTATIONS: &str = "annotations that begin with shopkeeper.dev/ or deployment.kubernetes.io/ are set by the operator and by Kubernetes: use a key of your own, for example example.com/team";
const SELECTOR: &str =
    "by this selector pods are found, and the operator sets their labels: leave it out";
const PORT: &str =
    "there the pods of the service listen, and those of a host elsewhere: leave it out";
const TARGET: &str = "it is the Deployment of the service: leave it out";
/// The list is replaced as a whole, and OpenShift writes an entry of its own into it: each would take back the other for ever.
const PULL_SECRETS: &str = "write spec.images.pullSecrets";
const BY_JOB: &str = "by this the operator tells how far the migration is: leave it out";

/// The metadata of the object and that of its pods.
const METADATAS: [&str; 2] = ["metadata", "spec.template.metadata"];
const LABEL_KEYS: [&str; 6] = [
    "app.kubernetes.io/",
    "shopkeeper.dev/",
    "batch.kubernetes.io/",
    "pod-template-hash",
    "job-name",
    "controller-uid",
];

/// The controller of Deployments writes the latter again and again.
const ANNOTATION_KEYS: [&str; 2] = ["shopkeeper.dev/", "deployment.kubernetes.io/"];

/// What tells how far a migration is, and who runs it.
const JOB_FIELDS: [&str; 10] = [
    "managedBy",
    "manualSelector",
    "successPolicy",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "suspend",
    "parallelism",
    "completions",
    "completionMode",
    "ttlSecondsAfterFinished",
];

/// The fields of one object that no override names, each with what to write instead.
pub(super) struct OwnFields(Vec<(String, String)>);

impl OwnFields {
    pub(super) fn of(kind: OverrideKind, service: &ServiceName, ports: &PortsDefinition) -> Self {
        let mut own = of_kind(kind, service, ports);
        let mut add = |field: String, instead: &str| own.push((field, instead.into()));
        add("apiVersion".into(), NAMES_OBJECT);
        add("kind".into(), NAMES_OBJECT);
        add("status".into(), WRITTEN_BY_CLUSTER);
        for metadata in METADATAS {
            for key in LABEL_KEYS {
                add(format!("{metadata}.labels.{key}"), LABELS);
            }
            for key in ANNOTATION_KEYS {
                add(format!("{metadata}.annotations.{key}"), ANNOTATIONS);
            }
        }
        Self(own)
    }

    /// What to write instead of the field at this path, where it is not for overrides.
    pub(super) fn at(&self, path: &str) -> Option<&str> {
        let of_metadata = METADATAS.iter().find_map(|metadata| {
            let rest = path.strip_prefix(metadata)?.strip_prefix('.')?;
            let is_free = lies_in(rest, "labels") || lies_in(rest, "annotations");
            (!is_free).then_some(METADATA)
        });
        let mut own = self.0.iter();
        let own = own.find(|(field, _)| lies_in(path, field));
        own.map(|(_, instead)| instead.as_str()).or(of_metadata)
    }

    /// A field of the operator's that is the one at this path, or in it.
    pub(super) fn below(&self, path: &str) -> Option<&str> {
        let own = self.0.iter().map(|(field, _)| field.as_str());
        own.chain(METADATAS)
            .find(|field| path.is_empty() || lies_in(field, path))
    }
}

fn of_kind(
    kind: OverrideKind,
    service: &ServiceName,
    ports: &PortsDefinition,
) -> Vec<(String, String)> {
    let mut own = Vec::new();
    let mut add = |field: &str, instead: &str| own.push((format!("spec.{field}"), instead.into()));
    let written_as = |field: &str| format!("write spec.services.{service}.{field}");
    let image = |container: &str| format!("template.spec.containers[{container}].image");
    match kind {
        OverrideKind::Deployment => {
            add("selector", SELECTOR);
            add("replicas", &written_as("replicas or autoscaling"));
            add("paused", &written_as("pause"));
            add("progressDeadlineSeconds", "write spec.rollout.deadline");
            add(&image(service.as_str()), &written_as("version or image"));
        }
        OverrideKind::Job => {
            add("selector", SELECTOR);
            for field in JOB_FIELDS {
                add(field, BY_JOB);
            }
            // Its last words say which schema there is.
            for field in ["terminationMessagePath", "terminationMessagePolicy"] {
                let of_container =
                    format!("template.spec.containers[{MIGRATION_CONTAINER}].{field}");
                add(&of_container, BY_JOB);
            }
            add("activeDeadlineSeconds", &written_as("migration.deadline"));
            add(&image(MIGRATION_CONTAINER), &written_as("version or image"));
        }
        OverrideKind::Service => {
            add("selector", SELECTOR);
            for number in [Some(ports.http), ports.grpc].into_iter().flatten() {
                add(&format!("ports[{number}].targetPort"), PORT);
            }
        }
        OverrideKind::PodDisruptionBudget => add("selector", SELECTOR),
        OverrideKind::NetworkPolicy => add("podSelector", SELECTOR),
        OverrideKind::HorizontalPodAutoscaler => {
            add("scaleTargetRef", TARGET);
            for field in ["minReplicas", "maxReplicas"] {
                add(field, &written_as(&format!("autoscaling.{field}")));
            }
        }
        OverrideKind::ServiceAccount => {
            own.push(("imagePullSecrets".into(), PULL_SECRETS.into()));
            own.push(("secrets".into(), WRITTEN_BY_CLUSTER.into()));
        }
    }
    own
}

/// A field ends where its name does, or is all that begins so.
fn lies_in(path: &str, field: &str) -> bool {
    let rest = path.strip_prefix(field);
    rest.is_some_and(|rest| field.ends_with('/') || rest.is_empty() || rest.starts_with(['.', '[']))
}
