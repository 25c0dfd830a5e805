//! How the operator sets the variables of a service's container. A patch that sets one otherwise is merged into what is there: with a value
//! and a source together the API server refuses the whole object. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::patch::{DIRECTIVE, deletes};
use crate::{
    api::{EnvSpec, OverrideKind},
    definition::{
        Definition,
        built_in::{
            LOG_FORMAT, OTLP_HEADERS, SET_FOR_ANY, SET_UNLESS_ASKED, host_name, is_of_process,
            variables_of,
        },
    },
    naming::names::{MIGRATION_CONTAINER, ServiceName},
};

/// Variables that hold what a Secret does, for whichever service.
const SECRETS: [&str; 5] = [
    "DATABASE_URL",
    "NATS_URL",
    "SMTP_USERNAME",
    "SMTP_PASSWORD",
    OTLP_HEADERS,
];

/// The variables of one container.
pub(super) struct OwnVariables {
    /// The path of one, but for its name and the bracket behind it.
    list: String,
    by_value: BTreeSet<String>,
    by_source: BTreeSet<String>,
    /// It is the process of several services.
    hosts: bool,
}

impl OwnVariables {
    /// Some are set only where the Shop or the document has what they need; to replace what is not there does no harm.
    pub(super) fn of(
        kind: OverrideKind,
        service: &ServiceName,
        definition: &Definition,
        env: &[EnvSpec],
    ) -> Self {
        let container = match kind {
            OverrideKind::Job => return Self::of_migration(),
            OverrideKind::Deployment
            | OverrideKind::Service
            | OverrideKind::HorizontalPodAutoscaler
            | OverrideKind::PodDisruptionBudget
            | OverrideKind::NetworkPolicy
            | OverrideKind::ServiceAccount => service.as_str(),
        };
        let tokens = definition.calls.iter();
        let tokens = tokens.filter_map(|call| Some(call.token.as_ref()?.variable.clone()));
        let keys = definition.keys.iter().map(|key| key.name.clone());
        let mut by_source: BTreeSet<_> = SECRETS.map(str::to_owned).into();
        by_source.extend(tokens.chain(keys));

        let for_any = SET_FOR_ANY.into_iter().chain(SET_UNLESS_ASKED);
        let settings = definition.settings.iter();
        let settings = settings.map(|setting| setting.name.clone());
        let of_service = variables_of(definition).into_iter().chain(settings);
        let of_operator = for_any.map(str::to_owned).chain(of_service);
        // A secret as a file is what the operator never gives.
        let of_operator =
            of_operator.filter(|name| !by_source.contains(name) && !name.ends_with("_FILE"));
        let of_shop = env.iter().map(|variable| variable.name.clone());
        let by_value = of_operator.chain(of_shop).collect();
        Self {
            list: list_of(container),
            by_value,
            by_source,
            hosts: service.as_str() == host_name(),
        }
    }

    /// A migration knows its database and little else, whatever the service knows.
    fn of_migration() -> Self {
        Self {
            list: list_of(MIGRATION_CONTAINER),
            by_value: ["LOG", LOG_FORMAT, "SERVICES"].map(str::to_owned).into(),
            by_source: ["DATABASE_URL".to_owned()].into(),
            hosts: false,
        }
    }

    /// Why the item of a patch at this path cannot be merged into the variable that is there.
    pub(super) fn misfit(&self, path: &str, item: &Value) -> Option<String> {
        let name = path.strip_prefix(&self.list)?.strip_suffix(']')?;
        let sets = |field: &str| item.get(field).is_some_and(|value| !deletes(value));
        let takes = |field: &str| item.get(field).is_some_and(deletes);
        if sets("value") && sets("valueFrom") {
            return Some("value and valueFrom exclude each other".into());
        }
        if item.get(DIRECTIVE).is_some() {
            return None;
        }
        let otherwise = |field: &str, other: &str| {
            (sets(field) && !takes(other)).then(|| {
                format!("the operator sets its {other}, and {field} excludes that: write $patch: replace beside its name")
            })
        };
        // The process of several services has those of each behind its name: ORDERS__DATABASE_URL. Logs and traces are of the process.
        let of_guest = name.split_once("__").map(|(_, own)| own);
        let of_guest = of_guest.filter(|own| !is_of_process(own));
        let of_guest = of_guest.filter(|_| self.hosts);
        let is_in = |names: &BTreeSet<String>| {
            names.contains(name) || of_guest.is_some_and(|own| names.contains(own))
        };
        if is_in(&self.by_value) {
            return otherwise("valueFrom", "value");
        }
        if is_in(&self.by_source) {
            return otherwise("value", "valueFrom");
        }
        None
    }
}

/// The path of a variable of a container, but for its name and the bracket behind it.
fn list_of(container: &str) -> String {
    format!("spec.template.spec.containers[{container}].env[")
}
