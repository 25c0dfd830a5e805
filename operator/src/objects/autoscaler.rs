//! The HorizontalPodAutoscaler of a service with `autoscaling`.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
};

use crate::{
    model::{
        metadata,
        validate::{Replicas, ValidService, ValidShop},
    },
    naming::{labels::Component, names},
};

/// The HorizontalPodAutoscaler of a service, where the Shop asks for one.
pub fn autoscaler(shop: &ValidShop, service: &ValidService) -> Option<HorizontalPodAutoscaler> {
    let Replicas::Autoscaled { min, max, target } = service.replicas else {
        return None;
    };
    let name = names::service(&shop.name, &service.name);
    Some(HorizontalPodAutoscaler {
        metadata: metadata::object(
            shop,
            name.clone(),
            service.name.as_str(),
            Component::Service,
        ),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".into()),
                kind: "Deployment".into(),
                name,
            },
            min_replicas: Some(min),
            max_replicas: max,
            metrics: Some(vec![MetricSpec {
                type_: "Resource".into(),
                resource: Some(ResourceMetricSource {
                    name: "cpu".into(),
                    target: MetricTarget {
                        type_: "Utilization".into(),
                        average_utilization: Some(target),
                        ..MetricTarget::default()
                    },
                }),
                ..MetricSpec::default()
            }]),
            ..HorizontalPodAutoscalerSpec::default()
        }),
        status: None,
    })
}

/// It adds pods, and takes none away.
pub fn only_up(autoscaler: &mut HorizontalPodAutoscaler) {
    if let Some(spec) = &mut autoscaler.spec {
        let behavior = spec.behavior.get_or_insert_default();
        behavior.scale_down = Some(HPAScalingRules {
            select_policy: Some("Disabled".into()),
            ..HPAScalingRules::default()
        });
    }
}
