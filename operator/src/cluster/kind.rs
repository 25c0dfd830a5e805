//! The kinds that the operator makes or reads, and what it needs to keep of each: the rest of an object is dropped as soon as
//! it has been looked at, so that memory grows with the number of Shops and not with the size of their objects.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{ControllerRevision, Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::{Job, JobSpec},
        core::v1::{
            Container, ContainerStatus, EnvVar, PersistentVolumeClaim, Pod, PodSpec, PodStatus,
            PodTemplateSpec, Secret, Service, ServiceAccount,
        },
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};

/// A namespaced kind of which objects are kept.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Drops what nobody reads.
    fn trim(&mut self);
}

impl Kind for Deployment {
    /// Count and image; the arguments come with it.
    fn trim(&mut self) {
        if let Some(spec) = &mut self.spec {
            spec.strategy = None;
            trim_template(&mut spec.template);
        }
    }
}

impl Kind for StatefulSet {
    /// Image, arguments and the names of the variables, and the claim template, which cannot be changed.
    fn trim(&mut self) {
        if let Some(spec) = &mut self.spec {
            spec.update_strategy = None;
            let variables = variables(&spec.template);
            trim_template(&mut spec.template);
            let mut containers = spec
                .template
                .spec
                .iter_mut()
                .flat_map(|pod| &mut pod.containers);
            if let Some(container) = containers.next() {
                container.env = Some(variables);
            }
        }
    }
}

/// The names of the variables of the first container.
fn variables(template: &PodTemplateSpec) -> Vec<EnvVar> {
    let container = template
        .spec
        .as_ref()
        .and_then(|pod| pod.containers.first());
    let variables = container.into_iter().flat_map(|container| &container.env);
    let name = |variable: &EnvVar| EnvVar {
        name: variable.name.clone(),
        ..EnvVar::default()
    };
    variables.flatten().map(name).collect()
}

fn trim_template(template: &mut PodTemplateSpec) {
    let containers = template.spec.take().map(|spec| spec.containers);
    let image_of = |container: Container| Container {
        name: container.name,
        image: container.image,
        args: container.args,
        ..Container::default()
    };
    *template = PodTemplateSpec {
        metadata: None,
        spec: Some(PodSpec {
            containers: containers.into_iter().flatten().map(image_of).collect(),
            ..PodSpec::default()
        }),
    };
}

impl Kind for ControllerRevision {
    /// Which ones there are. The template is read where it comes back.
    fn trim(&mut self) {
        self.data = None;
    }
}

impl Kind for Job {
    /// How far it is, and of which image.
    fn trim(&mut self) {
        if let Some(mut spec) = self.spec.take() {
            trim_template(&mut spec.template);
            self.spec = Some(JobSpec {
                template: spec.template,
                ..JobSpec::default()
            });
        }
    }
}

impl Kind for Pod {
    /// How its containers are, and where.
    fn trim(&mut self) {
        let node_name = self.spec.take().and_then(|spec| spec.node_name);
        self.spec = Some(PodSpec {
            node_name,
            ..PodSpec::default()
        });
        let status = self.status.take().unwrap_or_default();
        self.status = Some(PodStatus {
            phase: status.phase,
            pod_ip: status.pod_ip,
            reason: status.reason,
            message: status.message,
            conditions: status.conditions,
            container_statuses: trim_containers(status.container_statuses),
            init_container_statuses: trim_containers(status.init_container_statuses),
            ..PodStatus::default()
        });
    }
}

/// Whether a container runs and how it ended, without what differs from pod to pod and tells nothing of that.
fn trim_containers(containers: Option<Vec<ContainerStatus>>) -> Option<Vec<ContainerStatus>> {
    let trim = |container: ContainerStatus| ContainerStatus {
        container_id: None,
        image_id: String::new(),
        allocated_resources: None,
        resources: None,
        user: None,
        volume_mounts: None,
        ..container
    };
    Some(containers?.into_iter().map(trim).collect())
}

impl Kind for PersistentVolumeClaim {
    /// All of it: a claim is small.
    fn trim(&mut self) {}
}

impl Kind for Secret {
    /// All of it: passwords are read.
    fn trim(&mut self) {}
}

impl Kind for HorizontalPodAutoscaler {
    /// Whether it works.
    fn trim(&mut self) {
        self.spec = None;
        if let Some(status) = &mut self.status {
            status.current_metrics = None;
        }
    }
}

/// Of these it is enough that they are there as applied.
macro_rules! metadata_only {
    ($($kind:ty: $($part:ident),+);+ $(;)?) => {$(
        impl Kind for $kind {
            fn trim(&mut self) {
                $(self.$part = None;)+
            }
        }
    )+};
}

metadata_only! {
    Service: spec, status;
    ServiceAccount: image_pull_secrets, secrets;
    NetworkPolicy: spec;
    PodDisruptionBudget: spec, status;
}
