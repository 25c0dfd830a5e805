//! Where traces and logs are kept: at an address that is given, or behind a Service of the cluster that says of itself what it keeps.

use std::{fmt, time::Duration};

use hyper::Request;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, ResourceExt, api::ListParams, core::Status};
use reqwest::{StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::{
    cluster::Cluster,
    failure::{Failure, asking, deepest},
};

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
    /// As it stands in the label, and as the option is called.
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
    /// The one at `address`; without, the only Service with the label.
    ///
    /// # Errors
    /// When there is none, or it is not clear which: the words say what to do.
    pub async fn find(
        cluster: &Cluster,
        kind: Kind,
        address: Option<&Url>,
    ) -> Result<Self, Failure> {
        let client = cluster.client().clone();
        if let Some(address) = address {
            let place = Place::Address(address.clone());
            return Ok(Self { client, place });
        }
        let word = kind.as_str();
        let services: Api<Service> = Api::all(client.clone());
        let selected = ListParams::default().labels(&format!("{LABEL}={word}"));
        let asked = asking(format!("where {word} are kept, which --{word} says too"));
        let found = services.list(&selected).await.map_err(asked)?;
        let mut places = found.items.iter().map(|service| Place::Service {
            namespace: service.namespace().unwrap_or_default(),
            name: service.name_any(),
        });
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(Self { client, place }),
            // Whoever may make a Service must not choose what is shown here.
            (Some(_), Some(_)) => Err(Failure::Refused(format!(
                "several Services of the cluster have the label {LABEL}={word}; --{word} says which is meant"
            ))),
            (None, _) => Err(Failure::Absent(format!(
                "no {word} are kept: no Service of the cluster has the label {LABEL}={word}; --{word} says where they are"
            ))),
        }
    }

    /// Whether an address was given, and so nothing is known of what keeps it.
    pub fn is_given(&self) -> bool {
        matches!(self.place, Place::Address(_))
    }

    /// Its answer to a GET of `path`, which begins with a slash; `None` where it has nothing there (404).
    ///
    /// # Errors
    /// When it is not there, or refuses.
    pub async fn find_text(&self, path: &str) -> Result<Option<String>, Failure> {
        let answered = tokio::time::timeout(LIMIT, self.ask(path)).await;
        answered.unwrap_or_else(|_| Err(self.absent(format!("does not answer within {LIMIT:?}"))))
    }

    /// The same, where there must be something.
    ///
    /// # Errors
    /// When it is not there, has nothing there, or refuses.
    pub async fn text(&self, path: &str) -> Result<String, Failure> {
        let text = self.find_text(path).await?;
        text.ok_or_else(|| self.absent("answers 404 Not Found; is it what it is taken for?".into()))
    }

    /// Reads an answer as JSON.
    ///
    /// # Errors
    /// When it is none, or another one.
    pub fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, Failure> {
        serde_json::from_str(text).map_err(|error| {
            Failure::Refused(format!(
                "{self} answers something unknown: {error}; is it what it is taken for?"
            ))
        })
    }

    async fn ask(&self, path: &str) -> Result<Option<String>, Failure> {
        match &self.place {
            Place::Address(address) => self.ask_address(address, path).await,
            Place::Service { namespace, name } => {
                let service = format!("/api/v1/namespaces/{namespace}/services/{name}:{PORT}");
                let request = Request::get(format!("{service}/proxy{path}")).body(Vec::new());
                let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
                match self.client.request_text(request).await {
                    Ok(text) => Ok(Some(text)),
                    Err(kube::Error::Api(status)) if is_of_service(&status) => Ok(None),
                    Err(error) => Err(self.absent(error.to_string())),
                }
            }
        }
    }

    async fn ask_address(&self, address: &Url, path: &str) -> Result<Option<String>, Failure> {
        // Without the address, which may hold a password.
        let broken = |error: reqwest::Error| self.absent(deepest(&error.without_url()));
        let address = format!("{}{path}", address.as_str().trim_end_matches('/'));
        let answer = reqwest::get(address).await.map_err(broken)?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => answer.text().await.map(Some).map_err(broken),
            status => Err(self.absent(format!("answers {status}"))),
        }
    }

    fn absent(&self, why: String) -> Failure {
        Failure::Absent(format!("{self}: {why}"))
    }
}

/// A 404 of what stands behind the Service. The API server's own names the kind of object that is not there.
fn is_of_service(status: &Status) -> bool {
    let details = status.details.as_ref();
    status.code == 404 && details.is_none_or(|details| details.kind.is_empty())
}

impl fmt::Display for BackEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Address(address) => {
                let host = address.host_str().unwrap_or_default();
                write!(f, "{}://{host}", address.scheme())?;
                address.port().map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Place::Service { namespace, name } => write!(f, "Service {namespace}/{name}"),
        }
    }
}
