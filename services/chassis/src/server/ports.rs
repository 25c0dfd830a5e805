//! The ports of a process: its API over HTTP and, where it has one, over gRPC; administration.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::{Basics, Stops};
use crate::db::Schema;
use crate::grpc::{self, Observer};
use crate::http::{self, EdgeSettings, HttpMetrics, Listener, TrustedProxies};

/// All ports, listening.
pub(super) struct Ports {
    api: TcpListener,
    admin: TcpListener,
    grpc: Option<TcpListener>,
}

/// What is served there.
pub(super) struct Served {
    pub(super) edge: EdgeSettings,
    pub(super) routes: Router,
    /// See [`crate::Stateless::around`].
    pub(super) around: fn(Router) -> Router,
    pub(super) admin_routes: Router,
    pub(super) grpc: Option<Grpc>,
    pub(super) metrics: Arc<HttpMetrics>,
}

/// What the gRPC port answers and measures.
pub(super) struct Grpc {
    pub(super) routes: Routes,
    pub(super) observer: Observer,
    pub(super) schema: Schema,
}

impl Ports {
    pub(super) async fn listen(basics: &Basics, has_grpc: bool) -> anyhow::Result<Self> {
        let grpc = match has_grpc {
            true => Some(listen(basics.grpc, "GRPC_ADDR").await?),
            false => None,
        };
        Ok(Self {
            api: listen(basics.api, "HTTP_ADDR").await?,
            admin: listen(basics.admin, "ADMIN_ADDR").await?,
            grpc,
        })
    }

    /// Where they are: the API, administration, gRPC.
    pub(super) fn addresses(
        &self,
    ) -> std::io::Result<(SocketAddr, SocketAddr, Option<SocketAddr>)> {
        let grpc = self
            .grpc
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()?;
        Ok((self.api.local_addr()?, self.admin.local_addr()?, grpc))
    }

    /// Answers on all; what is tracked are the requests of the public ones.
    pub(super) fn serve(self, served: Served, stops: &Stops) -> TaskTracker {
        let Served {
            edge,
            routes,
            around,
            admin_routes,
            grpc,
            metrics,
        } = served;
        let proxies = edge.speakers.proxies.clone();
        let refused = || metrics.refused_connections.clone();
        let requests = TaskTracker::new();
        if let Some((socket, grpc)) = self.grpc.zip(grpc) {
            let refused = grpc.observer.metrics.refused_connections.clone();
            let server = grpc::Server {
                listener: Listener::new(socket, proxies.clone(), refused),
                routes: grpc::layer(grpc.routes, proxies.clone(), grpc.observer, grpc.schema),
                max_age: http::max_age(),
            };
            requests.spawn(server.serve(stops.work.clone()));
        }
        let api = http::Server {
            listener: Listener::new(self.api, proxies, refused()),
            routes: http::layer(routes, around, edge, metrics.clone(), stops.leaving.clone()),
        };
        let admin = http::Server {
            listener: Listener::new(self.admin, TrustedProxies::default(), refused()),
            routes: admin_routes,
        };
        requests.spawn(api.serve(stops.work.clone()));
        tokio::spawn(admin.serve(stops.admin.clone()));
        requests
    }
}

async fn listen(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}, as {setting} says"))
}
