//! `grpc.health.v1`: serving as long as `/readyz` says ready.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::health::Health;
use crate::http::Problem;

/// How often a watched state is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The health of the process and of the one service that it serves.
#[derive(Clone)]
pub(crate) struct HealthService {
    pub(crate) health: Health,
    /// The service's name; the empty one stands for the process.
    pub(crate) service: &'static str,
    /// Ends what watches.
    pub(crate) stop: CancellationToken,
}

impl HealthService {
    fn of(&self, service: &str) -> ServingStatus {
        if !service.is_empty() && service != self.service {
            return ServingStatus::ServiceUnknown;
        }
        if self.health.is_ready().is_ok() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl health_server::Health for HealthService {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.of(&request.get_ref().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("There is no such service.")),
            status => Ok(Response::new(response(status))),
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (health, service) = (self.clone(), request.into_inner().service);
        let stop = self.stop.clone();
        let changes = stream::unfold(None, move |told| {
            let (health, service) = (health.clone(), service.clone());
            async move {
                loop {
                    let now = health.of(&service);
                    if told != Some(now) {
                        return Some((Ok(response(now)), Some(now)));
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        });
        let changes = changes.take_until(stop.cancelled_owned());
        // Whoever watches asks another replica, as with any stream.
        let end = stream::once(async { Err(Problem::unavailable("This replica stops.").into()) });
        Ok(Response::new(changes.chain(end).boxed()))
    }
}
