//! A field that a Shop does not have, set as the last resort: it reaches what runs, and goes with the patch.

use anyhow::{Result, ensure};
use e2e::cluster::{SHOP, condition};
use e2e::wait::until;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::{PATIENCE, World, world};

const NOTE: &str = "example.org/note";

/// Patches of the objects of payments.
async fn patch(world: &World, overrides: Value) -> Result<()> {
    let shop = json!({"spec": {"services": {"payments": {"overrides": overrides}}}});
    world.cluster.patch_shop(shop).await?;
    Ok(())
}

/// Seconds between two looks at whether the pod is ready, and whether it may write to its file system.
fn pod_says(pod: &Pod) -> Option<(Option<i32>, Option<bool>)> {
    let containers = &pod.spec.as_ref()?.containers;
    let own = containers.iter().find(|own| own.name == "payments")?;
    let period = own.readiness_probe.as_ref()?.period_seconds;
    let context = own.security_context.as_ref()?;
    Some((period, context.read_only_root_filesystem))
}

async fn note(world: &World) -> Result<Option<String>> {
    let services = world.cluster.api::<Service>();
    let service = services.get(&format!("{SHOP}-payments")).await?;
    Ok(service.annotations().get(NOTE).cloned())
}

#[tokio::test]
async fn a_patch_reaches_the_objects_of_its_service_and_goes_with_the_shops_word() -> Result<()> {
    let world = world().await?;
    let before = world.cluster.pods("payments").await?;
    let before = pod_says(&before[0]);

    let deployment = "{spec: {template: {spec: {containers: [{name: payments, readinessProbe: {periodSeconds: 7}, \
                      securityContext: {readOnlyRootFilesystem: false}}]}}}}";
    let service = format!("metadata: {{annotations: {{{NOTE}: \"for the balancer\"}}}}");
    let both =
        json!([{"kind": "Deployment", "patch": deployment}, {"kind": "Service", "patch": service}]);
    patch(&world, both).await?;
    let shop = world.cluster.ready(PATIENCE).await?;
    until("all pods are patched", PATIENCE, || async {
        let pods = world.cluster.pods("payments").await?;
        let patched = pods
            .iter()
            .all(|pod| pod_says(pod) == Some((Some(7), Some(false))));
        Ok((patched && !pods.is_empty()).then_some(()))
    })
    .await?;
    assert_eq!(note(&world).await?.as_deref(), Some("for the balancer"));
    let weakened = condition(&shop, "Weakened").unwrap_or_default();
    println!("Weakened: {}", weakened.1);
    assert!(weakened.0, "{weakened:?}");
    assert!(
        weakened
            .1
            .contains("container payments may write to its file system"),
        "{weakened:?}"
    );

    // A word that no Deployment has: said with its path, and what runs stays as it is.
    let typo = "{spec: {template: {spec: {priorityclassName: high}}}}";
    patch(&world, json!([{"kind": "Deployment", "patch": typo}])).await?;
    until("the Shop names the word", PATIENCE, || async {
        let says = condition(&world.cluster.shop().await?, "Ready").unwrap_or_default();
        ensure!(
            says.1.contains("spec.template.spec.priorityclassName"),
            "{says:?}"
        );
        Ok(Some(()))
    })
    .await?;
    assert_eq!(note(&world).await?.as_deref(), Some("for the balancer"));

    patch(&world, Value::Null).await?;
    let shop = world.cluster.ready(PATIENCE).await?;
    until("all pods are as before", PATIENCE, || async {
        let pods = world.cluster.pods("payments").await?;
        Ok(pods.iter().all(|pod| pod_says(pod) == before).then_some(()))
    })
    .await?;
    assert_eq!(note(&world).await?, None);
    let weakened = condition(&shop, "Weakened");
    assert!(
        !weakened.is_some_and(|(says, _)| says),
        "nothing protects less"
    );
    Ok(())
}
