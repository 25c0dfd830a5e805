//! What the port for gRPC answers, whatever the service does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::check::{Check, Need};
use crate::scene::Scene;

const SOON: Duration = Duration::from_secs(5);

pub(super) const WAITS: Check = Check {
    line: "grpc.waits",
    expects: "grpc.health.v1 says NOT_SERVING while /readyz says 503",
    needs: &[Need::Grpc],
    run: |scene| Box::pin(health_is(scene, ServingStatus::NotServing)),
};
pub(super) const READY: Check = Check {
    line: "grpc.ready",
    expects: "grpc.health.v1 says SERVING once /readyz says 200",
    needs: &[Need::Grpc],
    run: |scene| Box::pin(health_is(scene, ServingStatus::Serving)),
};

/// Asks how the whole process is.
async fn health_is(scene: &Scene, expected: ServingStatus) -> Result<String> {
    let address = scene.service.grpc.context("its document has no port")?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let channel = endpoint.connect_timeout(SOON).timeout(SOON).connect().await;
    let channel = channel.with_context(|| format!("port {}", address.port()))?;
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await?;
    let said = answer.get_ref().status().as_str_name();
    ensure!(said == expected.as_str_name(), "{said}");
    Ok(said.to_owned())
}
