//! Where traces and logs are kept: at an address that is given, or behind a Service of the cluster that says of itself what it keeps.

use std::{fmt, time::Duration};

use hyper::Request;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, ResourceExt, api::ListParams};
use reqwest::Url;
use serde::de::DeserializeOwned;

use crate::{cluster::Cluster, failure::Failure};

/// The label by which a Service says what it keeps; its port is called [`PORT`].
pub const LABEL: &str = "shopkeeper.dev/backend";
const PORT: &str = "api";

/// One that does not answer within this time is not there.
const LIMIT: Duration = Duration::from_secs(10);

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asked as Jaeger's API is.
    Traces,
    /// Asked as that of VictoriaLogs is.
    Logs,
}

impl Kind {
    /// As it stands in the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }
}

/// Keeps traces or logs.
pub struct BackEnd {
    client: Client,
    place: Place,
}

enum Place {
    Address(Url),
    Service { namespace: String, name: String },
}

impl BackEnd {
    /// The one at `address`; without, the first Service with the label that this user may see. `None` where there is none.
    pub async fn find(cluster: &Cluster, kind: Kind, address: Option<&Url>) -> Option<Self> {
        let client = cluster.client().clone();
        if let Some(address) = address {
            let place = Place::Address(address.clone());
            return Some(Self { client, place });
        }
        let services: Api<Service> = Api::all(client.clone());
        let selected = ListParams::default().labels(&format!("{LABEL}={}", kind.as_str()));
        // Who may not list them gives an address instead.
        let found = services.list(&selected).await.ok()?;
        let service = found.items.into_iter().next()?;
        let place = Place::Service {
            namespace: service.namespace()?,
            name: service.name_any(),
        };
        Some(Self { client, place })
    }

    /// Its answer to a GET of `path`, which begins with a slash, as text.
    ///
    /// # Errors
    /// When it is not there, or refuses; [`Failure::Absent`] too where it does not know what it is asked for.
    pub async fn get(&self, path: &str) -> Result<String, Failure> {
        let answered = tokio::time::timeout(LIMIT, self.ask(path)).await;
        answered.unwrap_or_else(|_| Err(self.absent(format!("does not answer within {LIMIT:?}"))))
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// As [`Self::get`], and when the answer is none.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let text = self.get(path).await?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::Refused(format!(
                "{self} answers something unknown: {error}; is it what it is taken for?"
            ))
        })
    }

    async fn ask(&self, path: &str) -> Result<String, Failure> {
        match &self.place {
            Place::Address(address) => {
                let address = format!("{}{path}", address.as_str().trim_end_matches('/'));
                let answer = reqwest::get(address).await;
                // Without the address: it may hold a password.
                let answer = answer.map_err(|error| self.absent(deepest(&error.without_url())))?;
                let status = answer.status();
                if !status.is_success() {
                    return Err(self.absent(format!("answers {status}")));
                }
                let text = answer.text().await;
                text.map_err(|error| self.absent(deepest(&error.without_url())))
            }
            Place::Service { namespace, name } => {
                let path =
                    format!("/api/v1/namespaces/{namespace}/services/{name}:{PORT}/proxy{path}");
                let request = Request::get(path).body(Vec::new());
                let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
                let answer = self.client.request_text(request).await;
                answer.map_err(|error| self.absent(error.to_string()))
            }
        }
    }

    fn absent(&self, why: String) -> Failure {
        Failure::Absent(format!("{self}: {why}"))
    }
}

impl fmt::Display for BackEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Address(address) => {
                write!(
                    f,
                    "{}://{}",
                    address.scheme(),
                    address.host_str().unwrap_or_default()
                )?;
                address.port().map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Place::Service { namespace, name } => write!(f, "Service {namespace}/{name}"),
        }
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
