//! What the port for gRPC answers, whatever the service does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;

use super::login::strangers;
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

pub(super) const LOGIN: Check = Check {
    line: "grpc.login",
    expects: "the call of conformance.yaml is UNAUTHENTICATED without a token and with each kind of wrong one, and not with the right one",
    needs: &[Need::Grpc, Need::Call],
    run: |scene| Box::pin(login(scene)),
};

async fn connect(scene: &Scene) -> Result<Channel> {
    let address = scene.service.grpc.context("its document has no port")?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let channel = endpoint.connect_timeout(SOON).timeout(SOON).connect().await;
    channel.with_context(|| format!("port {}", address.port()))
}

/// Asks how the whole process is.
async fn health_is(scene: &Scene, expected: ServingStatus) -> Result<String> {
    let channel = connect(scene).await?;
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await?;
    let said = answer.get_ref().status().as_str_name();
    ensure!(said == expected.as_str_name(), "{said}");
    Ok(said.to_owned())
}

async fn login(scene: &mut Scene) -> Result<String> {
    let call = scene.run.trial.call.as_ref();
    let call = call.context("conformance.yaml names no call of gRPC")?;
    let channel = connect(scene).await?;
    let strangers = strangers(&call.r#as)?;
    for (who, token) in &strangers {
        let code = code(&channel, &call.method, token.as_deref()).await?;
        ensure!(code == Code::Unauthenticated, "{who}: {code:?}");
    }
    let token = scene.run.token(&call.r#as)?;
    let known = code(&channel, &call.method, token.as_deref()).await?;
    // An empty message may well be refused; what says nothing of the caller is no answer to this question.
    let says_nothing = [
        Code::Unauthenticated,
        Code::Unimplemented,
        Code::Internal,
        Code::Unknown,
        Code::Unavailable,
        Code::DeadlineExceeded,
    ];
    ensure!(!says_nothing.contains(&known), "the right token: {known:?}");
    let names: Vec<_> = strangers.into_iter().map(|(who, _)| who).collect();
    Ok(format!(
        "{:?} for {}; with the right token {known:?}",
        Code::Unauthenticated,
        names.join(", ")
    ))
}

/// What a call with an empty message is answered.
async fn code(channel: &Channel, method: &str, token: Option<&str>) -> Result<Code> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await?;
    let mut request = Request::new(());
    if let Some(token) = token {
        let shown = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", shown);
    }
    let path = PathAndQuery::from_maybe_shared(format!("/{method}"))?;
    let codec = ProstCodec::<(), ()>::default();
    let answer = client.unary(request, path, codec).await;
    Ok(answer.map_or_else(|status| status.code(), |_| Code::Ok))
}
