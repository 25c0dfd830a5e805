//! The services that come with the operator, by their documents: `services/<name>/service.yaml`. The operator knows a service by its
//! document and never by its code or its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use super::Definition;
use crate::naming::names::ServiceName;

/// A service that comes with the operator.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltIn {
    /// Its document.
    #[serde(flatten)]
    pub definition: Definition,
    /// It brings the stream of events to the Shop's limits, and may therefore change it. One service does, the one that is
    /// least exposed: whoever may change the stream may empty it.
    #[serde(default)]
    pub limits_stream: bool,
    /// Where its API listens in a process that hosts it; its administration is 1010 above. It never changes: policies that are written
    /// for new pods hold for the old ones too.
    #[serde(default)]
    pub guest_port: i32,
    /// Under `topology: Monolith` its process hosts the others. One does, and it is no service of the shop otherwise.
    #[serde(default)]
    pub hosts: bool,
    /// It is there only in a Shop that names it. One that comes after Shops are there is so: their versions name images from before it.
    #[serde(default)]
    pub optional: bool,
    /// Those of its calls that its code can also make over gRPC, where a Shop says so.
    #[serde(default)]
    pub calls_over_grpc: Vec<String>,
}

impl BuiltIn {
    /// Whether it can be told to ask this one over gRPC.
    pub fn can_ask_over_grpc(&self, callee: &str) -> bool {
        self.calls_over_grpc.iter().any(|name| name == callee)
    }
}

static DOCUMENTS: &[&str] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

struct All {
    services: BTreeMap<ServiceName, BuiltIn>,
    host: BuiltIn,
}

static BUILT_IN: LazyLock<All> = LazyLock::new(|| {
    let parse = |document: &&str| {
        let service: BuiltIn = serde_yaml::from_str(document)
            .expect("a test reads every document that the operator is built with");
        service
    };
    let (mut hosts, services): (Vec<_>, Vec<_>) = DOCUMENTS
        .iter()
        .map(parse)
        .partition(|service| service.hosts);
    let by_name = |service: BuiltIn| (service.definition.name.as_str().into(), service);
    All {
        services: services.into_iter().map(by_name).collect(),
        host: hosts.pop().expect("a test counts the hosts"),
    }
});

/// The services that come with the operator, by name.
pub fn services() -> &'static BTreeMap<ServiceName, BuiltIn> {
    &BUILT_IN.services
}

/// Whether a built-in service of this name is there in a Shop that says nothing of it.
pub fn is_in_every_shop(name: &str) -> bool {
    services()
        .get(name)
        .is_some_and(|service| !service.optional)
}

/// The process that hosts them under `topology: Monolith`.
pub fn host() -> &'static BuiltIn {
    &BUILT_IN.host
}

/// The name of that process, under which a Shop may say something about it.
pub fn host_name() -> &'static str {
    &host().definition.name
}

/// Names that no service may have: they would meet other objects of this Shop or of one whose name begins alike, PostgreSQL's own
/// databases, or its superuser.
pub const RESERVED_NAMES: [&str; 12] = [
    "db",
    "admin",
    "keys",
    "broker",
    "nats",
    "migrate",
    "canary",
    "postgres",
    "template0",
    "template1",
    "public",
    "none",
];

/// Variables that the operator sets for any service.
pub const SET_FOR_ANY: [&str; 15] = [
    "HTTP_ADDR",
    "ADMIN_ADDR",
    "GRPC_ADDR",
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "NATS_URL",
    "NATS_URL_FILE",
    "EVENTS_MAX_BYTES",
    "SMTP_HOST",
    "SMTP_PORT",
    "SMTP_TLS",
    "SMTP_USERNAME",
    "SMTP_PASSWORD",
    "SMTP_PASSWORD_FILE",
    "MAIL_FROM",
];

/// Variables that the operator sets as well, and that a Shop may set in their place. A definition must not: it would set them twice.
pub const SET_UNLESS_ASKED: [&str; 10] = [
    "LOG",
    LOG_FORMAT,
    "DATABASE_MAX_CONNECTIONS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    OTLP_HEADERS,
    OTLP_CERTIFICATE,
    "OTEL_TRACES_SAMPLER_ARG",
    "TRACE_LINK",
    "LOGS_LINK",
    OPERATED_SHOP,
];

/// The Shop that a service looks after, by its name; its namespace lies beside the token.
pub const OPERATED_SHOP: &str = "OPERATED_SHOP";

/// How a line of the log looks.
pub const LOG_FORMAT: &str = "LOG_FORMAT";
/// What a service shows to the collector of traces.
pub const OTLP_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// The file by which it knows the collector.
pub const OTLP_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";

/// Whether a variable is of a whole process, however many services that hosts: logs and traces are.
pub fn is_of_process(variable: &str) -> bool {
    variable == "LOG" || variable == LOG_FORMAT || variable.starts_with("OTEL_")
}

/// Variables that the operator sets and a Shop must not: those of any service, and those that follow from the documents of the
/// built-in ones that are in every Shop. A secret may also be given as a file, under the name with `_FILE`. Those of an optional one are
/// its own: a Shop from before it may have set them elsewhere.
pub fn reserved() -> impl Iterator<Item = String> {
    let in_every_shop = services().values().filter(|service| !service.optional);
    let definitions = in_every_shop.map(|service| &service.definition);
    let of_documents: BTreeSet<String> = definitions.flat_map(variables_of).collect();
    let fixed = SET_FOR_ANY.into_iter().map(str::to_owned);
    fixed.chain(of_documents)
}

/// Whether a Shop must not set this variable.
pub fn is_reserved(variable: &str) -> bool {
    reserved().any(|name| name == variable)
}

/// The variables that follow from a document, but for its plain settings.
pub fn variables_of(definition: &Definition) -> Vec<String> {
    let secret = |name: &String| [name.clone(), format!("{name}_FILE")];
    let mut names = Vec::new();
    for call in &definition.calls {
        names.push(call.url.clone());
        names.extend(call.token.iter().flat_map(|token| secret(&token.variable)));
    }
    names.extend(definition.keys.iter().flat_map(|key| secret(&key.name)));
    names.extend(
        definition
            .scratch
            .iter()
            .map(|folder| folder.variable.clone()),
    );
    names
}

/// The durable consumers of a service, each with the kind of event that it is for. The services name them so (`durable_name` of the
/// chassis): a name must not have dots.
pub fn consumers(definition: &Definition) -> impl Iterator<Item = (String, &str)> {
    let kinds = definition.subscribes.iter();
    kinds.map(|kind| {
        let consumer = format!("{}-{}", definition.name, kind.replace('.', "-"));
        (consumer, kind.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions() -> impl Iterator<Item = &'static Definition> {
        services().values().map(|service| &service.definition)
    }

    #[test]
    fn every_document_has_known_fields_alone() {
        for document in DOCUMENTS {
            let mut document: serde_json::Value = serde_yaml::from_str(document).expect("YAML");
            let fields = document.as_object_mut().expect("fields");
            fields.remove("limitsStream");
            fields.remove("hosts");
            fields.remove("guestPort");
            fields.remove("optional");
            fields.remove("callsOverGrpc");
            serde_json::from_value::<Definition>(document).expect("a definition");
        }
    }

    #[test]
    fn who_is_asked_over_grpc_is_called_and_answers_it() {
        for service in services().values() {
            let name = &service.definition.name;
            for callee in &service.calls_over_grpc {
                let mut calls = service.definition.calls.iter();
                assert!(
                    calls.any(|call| call.service == *callee),
                    "{name}: {callee}"
                );
                let port = services()[callee.as_str()].definition.ports.grpc;
                assert!(port.is_some(), "{name}: {callee}");
            }
        }
    }

    #[test]
    fn every_document_lies_in_the_folder_of_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../services");
        for definition in definitions() {
            let path = format!("{folder}/{}/service.yaml", definition.name);
            assert!(std::path::Path::new(&path).exists(), "{path}");
        }
        let folders = std::fs::read_dir(folder).expect("the services").flatten();
        let documents = folders.filter(|entry| entry.path().join("service.yaml").exists());
        assert_eq!(
            documents.count(),
            services().len() + 1,
            "touch Cargo.toml: a document came after its crate"
        );
    }

    #[test]
    fn one_process_hosts_the_others_and_its_folders_do_not_meet() {
        let hosts = DOCUMENTS
            .iter()
            .filter(|document| document.contains("\nhosts: true"));
        assert_eq!(hosts.count(), 1);
        let folders = definitions().flat_map(|definition| &definition.scratch);
        let paths: Vec<_> = folders.map(|folder| &folder.path).collect();
        let distinct: BTreeSet<_> = paths.iter().collect();
        assert_eq!(paths.len(), distinct.len(), "{paths:?}");
    }

    #[test]
    fn every_kind_of_event_is_in_the_contracts_and_published_by_its_owner() {
        for definition in definitions() {
            for kind in definition.subscribes.iter().chain(&definition.publishes) {
                let (owner, event) = kind
                    .strip_prefix("shop.")
                    .and_then(|rest| rest.split_once('.'))
                    .expect(kind);
                let owner = &services()[owner].definition;
                assert!(owner.publishes.contains(kind), "{kind}");
                let schema = format!(
                    "{}/../contracts/events/{event}.schema.json",
                    env!("CARGO_MANIFEST_DIR")
                );
                assert!(std::path::Path::new(&schema).exists(), "{schema}");
            }
            for (consumer, _) in consumers(definition) {
                assert!(!consumer.contains('.'), "{consumer}");
            }
        }
    }

    #[test]
    fn one_service_limits_the_stream_and_strangers_do_not_reach_it() {
        let limiting: Vec<_> = services().values().filter(|s| s.limits_stream).collect();
        assert_eq!(limiting.len(), 1);
        assert!(!limiting[0].definition.public);
    }

    /// A Shop that does not name it has all that it had before.
    #[test]
    fn nobody_needs_an_optional_service() {
        let optional: Vec<_> = services().values().filter(|s| s.optional).collect();
        for service in &optional {
            let name = &service.definition.name;
            assert!(!is_in_every_shop(name) && !service.limits_stream, "{name}");
            for other in definitions() {
                let calls = other.calls.iter().any(|call| call.service == *name);
                let mut kinds = other.subscribes.iter();
                let hears = kinds.any(|kind| service.definition.publishes.contains(kind));
                assert!(!calls && !hears, "{} needs {name}", other.name);
            }
        }
    }

    #[test]
    fn every_token_of_a_call_is_a_generated_key_of_the_callee() {
        for definition in definitions() {
            for call in &definition.calls {
                let callee = &services()[call.service.as_str()].definition;
                if let Some(token) = &call.token {
                    let mut keys = callee.keys.iter();
                    assert!(keys.any(|key| key.name == token.key), "{token:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_document_sets_is_reserved_unless_it_is_a_plain_setting() {
        for name in [
            "USERS_URL",
            "PAYMENTS_TOKEN_FILE",
            "SIGNING_SEED",
            "INDEX_DIR",
            "SMTP_PASSWORD_FILE",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["ADMIN_EMAIL", "SEARCH_URL", "ORDERS_URL"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
