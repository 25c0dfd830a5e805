//! The document of a service: what the operator needs to know of it. The built-in services have theirs in
//! `services/<name>/service.yaml`.

#![expect(
    unreachable_pub,
    reason = "the derive of KubeSchema repeats each struct inside a function"
)]

pub mod built_in;
pub(crate) mod rules;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A variable of the environment.
const VARIABLE: &str = r"^[A-Z_][A-Z0-9_]*$";
/// An event's subject in the broker: `shop.<service>.<event>.v<n>`. Without `-`, which stands for the dots in names of consumers.
const EVENT_KIND: &str =
    r"^shop\.[a-z][a-z0-9]{0,14}\.[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.v[1-9][0-9]{0,2}$";

/// What the operator needs to know of a service: what it needs, whom it talks to, how it is started.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.database) == has(self.migrate)")
        .message("database and migrate belong together: name the arguments with which the image migrates its database, or leave out both"),
    validation = Rule::new("!has(self.schema) || has(self.migrate)")
        .message("schema needs migrate: name the arguments with which the image migrates its database, or leave out both"),
    validation = rules::variables(),
    validation = rules::publishes_its_own(),
    validation = rules::scratch()
)]
pub struct Definition {
    /// The name of the service: that of its entry in `spec.services`.
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-z][a-z0-9]{0,14}$"))]
    pub name: String,

    /// What it is for, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub description: Option<String>,

    /// Any pod of the cluster may call its API. Otherwise only the services that name it in `calls` may. Default: false.
    #[serde(default)]
    pub public: bool,

    /// Where it listens.
    #[serde(default)]
    pub ports: PortsDefinition,

    /// The database that it gets for itself. Without this field it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseKind>,

    /// The arguments with which the image serves. Default: `serve`.
    #[serde(default = "serve")]
    #[schemars(length(max = 8), inner(length(max = 200)))]
    pub serve: Vec<String>,

    /// The arguments with which the image migrates its database and ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), inner(length(max = 200)))]
    pub migrate: Option<Vec<String>>,

    /// The schema that the image needs, and what its migrations leave behind. `migrate` says the same when it is done; here it is known
    /// before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaDefinition>,

    /// The services that it calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["service".into()]))]
    pub calls: Vec<CallDefinition>,

    /// The kinds of events that it publishes, each `shop.<its name>.<event>.v<n>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 100), regex(pattern = EVENT_KIND)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub publishes: Vec<String>,

    /// The kinds of events of other services that it subscribes to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 100), regex(pattern = EVENT_KIND)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub subscribes: Vec<String>,

    /// Keys that are generated once and kept in the Secret `<shop>-<service>-keys`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub keys: Vec<KeyDefinition>,

    /// Plain settings. A Shop may set others in `env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub settings: Vec<SettingDefinition>,

    /// Folders that it may write to. They are empty at each start; everything else is read-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub scratch: Vec<ScratchDefinition>,

    /// It sends mail, so it gets the mail server of the Shop. Default: false.
    #[serde(default)]
    pub sends_mail: bool,
}

fn serve() -> Vec<String> {
    vec!["serve".into()]
}

/// Where a service listens.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.http) || !has(self.admin) || self.http != self.admin")
        .message("http and admin must be two ports: whoever reaches the API must not reach the administration"),
    validation = Rule::new("!has(self.grpc) || ((!has(self.http) || self.grpc != self.http) && (!has(self.admin) || self.grpc != self.admin))")
        .message("grpc must be a port of its own")
)]
pub struct PortsDefinition {
    /// Its API. Default: 8080.
    #[serde(default = "http")]
    #[schemars(range(min = 1024, max = 65535))]
    pub http: i32,
    /// Its administration: probes, figures, dead letters. Default: 9090.
    #[serde(default = "admin")]
    #[schemars(range(min = 1024, max = 65535))]
    pub admin: i32,
    /// Its API over gRPC, for services that call it so. Without this field it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535))]
    pub grpc: Option<i32>,
}

fn http() -> i32 {
    8080
}

fn admin() -> i32 {
    9090
}

impl Default for PortsDefinition {
    fn default() -> Self {
        Self {
            http: http(),
            admin: admin(),
            grpc: None,
        }
    }
}

/// A database that a service may have.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A PostgreSQL of its own.
    PostgreSQL,
}

/// The schema that an image needs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.oldest <= self.version")
        .message("oldest must not be greater than version: the code of this image runs on the schema that it brings")
)]
pub struct SchemaDefinition {
    /// The version of the schema that its code needs: the number of its last migration.
    #[schemars(range(min = 1, max = 9007199254740991_i64))]
    pub version: i64,
    /// The oldest version whose code still runs on that schema: a release of an older one cannot come back once it is migrated. Default: 1,
    /// any code runs.
    #[serde(default = "first")]
    #[schemars(range(min = 1, max = 9007199254740991_i64))]
    pub oldest: i64,
}

fn first() -> i64 {
    1
}

/// A call from one service to another.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallDefinition {
    /// Whom it calls.
    #[schemars(length(min = 1, max = 15))]
    pub service: String,
    /// The variable that gets the other's base URL: `http://<shop>-<service>:8080`, or over gRPC `grpc://<shop>-<service>:8081`.
    #[schemars(length(min = 1, max = 100), regex(pattern = VARIABLE))]
    pub url: String,
    /// How it calls. The other must have a port for it. Default: Http.
    #[serde(default, skip_serializing_if = "Protocol::is_http")]
    pub protocol: Protocol,
    /// What it shows to prove who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenDefinition>,
}

/// How a service calls another.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// JSON over HTTP.
    #[default]
    Http,
    /// gRPC.
    Grpc,
}

impl Protocol {
    fn is_http(&self) -> bool {
        *self == Self::Http
    }

    /// The scheme of the URL by which the caller knows it.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

impl PortsDefinition {
    /// The port where it answers this protocol, if it does.
    pub fn of(&self, protocol: Protocol) -> Option<i32> {
        match protocol {
            Protocol::Http => Some(self.http),
            Protocol::Grpc => self.grpc,
        }
    }
}

/// What a caller shows to prove who it is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenDefinition {
    /// The variable that gets the token.
    #[schemars(length(min = 1, max = 100), regex(pattern = VARIABLE))]
    pub variable: String,
    /// The generated key of the called service that it is.
    #[schemars(length(min = 1, max = 100), regex(pattern = VARIABLE))]
    pub key: String,
}

/// A key that is generated once.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyDefinition {
    /// The variable that gets it, which is also the key in the Secret.
    #[schemars(length(min = 1, max = 100), regex(pattern = VARIABLE))]
    pub name: String,
    /// What it looks like.
    pub shape: KeyShape,
    /// Services that call this one may be given it, to show it. Default: false, it stays with its service.
    #[serde(default)]
    pub for_callers: bool,
    /// Only a Shop has it in which a service that calls this one shows it; the service goes on without. Default: false.
    #[serde(default)]
    pub optional: bool,
}

/// What a generated key looks like.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyShape {
    /// 64 hex digits: 32 random bytes.
    Seed,
    /// 32 letters and digits: 190 bits.
    Password,
}

/// A plain setting.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingDefinition {
    /// The variable.
    #[schemars(length(min = 1, max = 100), regex(pattern = VARIABLE))]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 1024))]
    pub value: String,
}

/// A folder that a service may write to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScratchDefinition {
    /// The name of the volume.
    #[schemars(
        length(min = 1, max = 30),
        regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Where it is mounted.
    #[schemars(
        length(min = 2, max = 200),
        regex(pattern = r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$")
    )]
    pub path: String,
    /// The variable that gets the path.
    #[schemars(length(min = 1, max = 100), regex(pattern = VARIABLE))]
    pub variable: String,
}
