//! What is read of a service's document (docs/service-document.md), and of the file beside it that says how the service is asked
//! for something.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The document of a service, as far as it is needed here.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub name: String,
    #[serde(default)]
    pub(crate) ports: Ports,
    pub(crate) database: Option<String>,
    #[serde(default = "serve")]
    pub(crate) serve: Vec<String>,
    #[serde(default)]
    pub(crate) migrate: Vec<String>,
    pub(crate) schema: Option<Schema>,
    #[serde(default)]
    pub(crate) calls: Vec<Called>,
    #[serde(default)]
    pub(crate) publishes: Vec<String>,
    #[serde(default)]
    pub(crate) subscribes: Vec<String>,
    #[serde(default)]
    pub(crate) keys: Vec<Key>,
    #[serde(default)]
    pub(crate) settings: Vec<Setting>,
    #[serde(default)]
    pub(crate) scratch: Vec<Scratch>,
    #[serde(default)]
    pub(crate) sends_mail: bool,
    #[serde(default)]
    pub(crate) limits_stream: bool,
}

fn serve() -> Vec<String> {
    vec!["serve".to_owned()]
}

/// What it needs of its schema, and what its migrations leave behind; `migrate` says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Schema {
    pub(crate) version: i64,
    #[serde(default = "first")]
    pub(crate) oldest: i64,
}

fn first() -> i64 {
    1
}

#[derive(Clone, Copy, Deserialize)]
#[serde(default)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) admin: u16,
    pub(crate) grpc: Option<u16>,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            http: 8080,
            admin: 9090,
            grpc: None,
        }
    }
}

/// A service that this one calls.
#[derive(Clone, Deserialize)]
pub(crate) struct Called {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) protocol: Protocol,
    pub(crate) token: Option<Token>,
}

#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) enum Protocol {
    #[default]
    Http,
    Grpc,
}

impl Protocol {
    /// Of the address that a caller is given.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

#[derive(Clone, Deserialize)]
pub(crate) struct Token {
    pub(crate) variable: String,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) shape: Shape,
}

#[derive(Clone, Copy, Deserialize)]
pub(crate) enum Shape {
    Seed,
    Password,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Scratch {
    pub(crate) path: String,
    pub(crate) variable: String,
}

/// How the service is asked for something: `conformance.yaml` beside its document. Without the file the checks that need a
/// request do not apply.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Trial {
    /// A request that is answered with 2xx and needs the database, where there is one.
    pub(crate) request: Option<Request>,
    /// A call of gRPC that is for known callers alone, where the service has one.
    pub(crate) call: Option<Call>,
    /// An event that is applied by itself. Without it, one of the first kind that the service subscribes to.
    pub(crate) event: Option<Event>,
    /// Kinds of events whose examples are dead letters here, because they are about something that never was.
    #[serde(default)]
    pub(crate) refuses: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// `{new}` and `{new-uuid}` become something that was never there before, here and in texts of the body, and stand in what the
    /// service publishes because of it. `{other}` and `{other-uuid}` as well, but that they change where the `Idempotency-Key` must
    /// not be taken for another request.
    pub(crate) path: String,
    /// Who asks.
    #[serde(default)]
    pub(crate) r#as: Caller,
    pub(crate) body: Option<Value>,
    /// It carries an `Idempotency-Key`.
    #[serde(default)]
    pub(crate) idempotency_key: bool,
    /// The kind of event that it makes the service publish, once.
    pub(crate) publishes: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Call {
    /// As `package.Service/Method`.
    pub(crate) method: String,
    /// Who calls. For known callers it is a unary one.
    #[serde(default)]
    pub(crate) r#as: Caller,
    /// The texts of its message, by the numbers of their fields; `{new}` and the like are filled in. With it the call asks the
    /// database.
    #[serde(default)]
    pub(crate) message: BTreeMap<u32, String>,
    /// Those of one that is refused.
    #[serde(default)]
    pub(crate) wrong: BTreeMap<u32, String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Event {
    /// The first example of this kind, with new ids, is published.
    pub(crate) kind: String,
    /// The kind of event that it makes the service publish.
    pub(crate) publishes: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Caller {
    #[default]
    Nobody,
    /// Somebody with an access token of users and the role admin.
    Admin,
    /// A service that shows this key of the document.
    #[serde(untagged)]
    Key(String),
}

/// Where a document and what belongs to it lie.
pub struct Place {
    pub document: PathBuf,
    /// Examples and schemas of events: of others under `contracts/events`, of its own maybe elsewhere.
    pub events: Vec<PathBuf>,
}

impl Place {
    /// `service` is the name of one of this repository, or the path of a document; `events` a folder of its own events.
    pub fn find(service: &str, events: Option<PathBuf>) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let of_name = |folder| root.join(folder).join(service).join("service.yaml");
        let document = ["services", "examples"].map(of_name).into_iter();
        let document = document
            .chain([PathBuf::from(service)])
            .find(|path| path.is_file())
            .with_context(|| {
                format!("{service} is neither a service in services/ or examples/ nor the path of a document")
            })?;
        let beside = document.with_file_name("contracts/events");
        let folders = events
            .into_iter()
            .chain([beside, root.join("contracts/events")]);
        Ok(Self {
            document,
            events: folders.filter(|folder| folder.is_dir()).collect(),
        })
    }

    pub fn read(&self) -> Result<Document> {
        read(&self.document)
    }

    pub(crate) fn trial(&self) -> Result<Trial> {
        let path = self.document.with_file_name("conformance.yaml");
        if path.exists() {
            read(&path)
        } else {
            Ok(Trial::default())
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_yaml::from_str(&text)
        .with_context(|| format!("{} is not as it should be", path.display()))
}
