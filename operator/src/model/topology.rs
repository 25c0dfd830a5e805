//! Who there is in a Shop and who calls whom: which services there are, and what is wrong with how they fit together. Admission
//! judges the same; this is for Shops that were stored under an older CRD, and offline. Pure.

use std::collections::BTreeMap;

use crate::{
    api::{DEEPEST_CALLS, MOST_SERVICES, ServiceSpec},
    definition::{
        Definition, Protocol,
        built_in::{self, BuiltIn, RESERVED_NAMES, SET_FOR_ANY, SET_UNLESS_ASKED, variables_of},
        rules::SYSTEM_FOLDERS,
    },
    naming::names::ServiceName,
};

/// The services that are to be there, by name: the built-in ones and those that the Shop brings, without optional ones that it does not
/// name and without those that are switched off. All that is wrong goes to `wrong`, each as one sentence that begins with the field's path.
pub fn services(
    specs: &BTreeMap<String, ServiceSpec>,
    wrong: &mut Vec<String>,
) -> BTreeMap<ServiceName, BuiltIn> {
    let mut services = built_in::services().clone();
    services.retain(|name, service| !service.optional || specs.contains_key(name.as_str()));
    for (name, spec) in specs {
        check_name(name, spec, wrong);
        if let Some(definition) = &spec.definition {
            check_definition(name, definition, wrong);
            let own = BuiltIn {
                definition: definition.clone(),
                limits_stream: false,
                guest_port: 0,
                hosts: false,
                calls_over_grpc: Vec::new(),
                optional: false,
            };
            services.entry(name.as_str().into()).or_insert(own);
        }
    }
    if services.len() > MOST_SERVICES as usize {
        wrong.push(format!(
            "spec.services: {} services with the built-in ones, and at most {MOST_SERVICES} may be: leave some out",
            services.len()
        ));
    }
    let is_on = |name: &ServiceName| {
        let spec = specs.get(name.as_str());
        spec.and_then(|spec| spec.enabled) != Some(false)
    };
    services.retain(|name, _| is_on(name));
    limit_stream(&mut services);
    for (caller, spec) in specs {
        for (callee, protocol) in &spec.protocols {
            choose_protocol(&mut services, (caller, callee), *protocol, wrong);
        }
    }
    for service in services.values() {
        check_calls(&service.definition, &services, wrong);
        check_subscriptions(&service.definition, specs, wrong);
    }
    if let Some(name) = in_a_circle(&services) {
        wrong.push(format!(
            "spec.services.{name}.definition.calls: they lead back to {name}, or through more than {DEEPEST_CALLS} services: leave \
             one of the calls out"
        ));
    }
    services
}

/// Where the one that brings the stream to its limits is switched off, another built-in one does that has to do with events.
fn limit_stream(services: &mut BTreeMap<ServiceName, BuiltIn>) {
    if services.values().any(|service| service.limits_stream) {
        return;
    }
    let mut able = services.iter_mut().filter(|(name, service)| {
        let definition = &service.definition;
        let has_events = !definition.publishes.is_empty() || !definition.subscribes.is_empty();
        has_events && built_in::services().contains_key(*name)
    });
    if let Some((_, service)) = able.next() {
        service.limits_stream = true;
    }
}

/// A Shop says how a built-in service calls another one.
fn choose_protocol(
    services: &mut BTreeMap<ServiceName, BuiltIn>,
    (caller, callee): (&str, &str),
    protocol: Protocol,
    wrong: &mut Vec<String>,
) {
    let path = format!("spec.services.{caller}.protocols[{callee}]");
    let documents = built_in::services();
    let document = documents.get(caller).map(|service| &service.definition);
    let mut calls = document.into_iter().flat_map(|document| &document.calls);
    if !calls.any(|call| call.service == callee) {
        wrong.push(format!(
            "{path}: {caller} is no built-in service that calls {callee}: leave it out"
        ));
        return;
    }
    if protocol == Protocol::Grpc && !documents[caller].can_ask_over_grpc(callee) {
        wrong.push(format!(
            "{path}: {caller} asks {callee} over HTTP alone: write Http"
        ));
        return;
    }
    // Who is switched off calls nobody.
    let caller = services.get_mut(caller).into_iter();
    let mut calls = caller.flat_map(|service| &mut service.definition.calls);
    if let Some(call) = calls.find(|call| call.service == callee) {
        call.protocol = protocol;
    }
}

fn check_name(name: &str, spec: &ServiceSpec, wrong: &mut Vec<String>) {
    let path = format!("spec.services.{name}");
    let is_host = name == built_in::host_name();
    let is_built_in = is_host || built_in::services().contains_key(name);
    let fits = (1..=15).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !fits {
        wrong.push(format!(
            "{path}: a service is named by at most 15 lower-case letters and digits, beginning with a letter"
        ));
    }
    if is_host && spec.enabled == Some(false) {
        wrong.push(format!(
            "{path}.enabled: it is there while it hosts something; leave this out, and set spec.topology to Services to do without it"
        ));
    }
    if spec.extracted.is_some() && (is_host || spec.definition.is_some()) {
        wrong.push(format!(
            "{path}.extracted: it has pods of its own always; leave this out"
        ));
    }
    if RESERVED_NAMES.contains(&name) {
        wrong.push(format!("{path}: this name is reserved: choose another one"));
    }
    match (is_built_in, &spec.definition, &spec.image) {
        (true, Some(_), _) => wrong.push(format!(
            "{path}.definition: this service is built in and brings its own: leave it out, or choose another name"
        )),
        (false, None, _) => wrong.push(format!(
            "{path}: no built-in service has this name; write it as one of {}, or add definition and image",
            names(built_in::services().keys())
        )),
        (false, Some(_), None) => {
            wrong.push(format!("{path}.image: needed for a service that is not built in"));
        }
        (true, None, _) | (false, Some(_), Some(_)) => {}
    }
}

fn check_definition(name: &str, definition: &Definition, wrong: &mut Vec<String>) {
    let path = format!("spec.services.{name}.definition");
    if definition.name != name {
        wrong.push(format!(
            "{path}.name: it is the document of {}; write {name}",
            definition.name
        ));
    }
    if definition.database.is_some() != definition.migrate.is_some() {
        wrong.push(format!(
            "{path}: database and migrate belong together: name the arguments with which the image migrates its database, or leave out \
             both"
        ));
    }
    let ports = &definition.ports;
    if ports.http == ports.admin || [Some(ports.http), Some(ports.admin)].contains(&ports.grpc) {
        wrong.push(format!("{path}.ports: each must be a port of its own"));
    }
    let own = format!("shop.{name}.");
    for kind in definition
        .publishes
        .iter()
        .filter(|kind| !kind.starts_with(&own))
    {
        wrong.push(format!(
            "{path}.publishes: {kind} belongs to another service; a kind of its own begins with {own}"
        ));
    }
    let settings = definition
        .settings
        .iter()
        .map(|setting| setting.name.clone());
    check_scratch(&path, definition, wrong);
    let mut variables: Vec<_> = variables_of(definition)
        .into_iter()
        .chain(settings)
        .collect();
    variables.sort();
    for variable in &variables {
        let taken = |name: &&str| *name == variable;
        if SET_FOR_ANY.iter().chain(&SET_UNLESS_ASKED).any(taken) {
            wrong.push(format!(
                "{path}: the operator sets {variable} for every service: choose another name"
            ));
        }
    }
    for pair in variables.windows(2) {
        if pair[0] == pair[1] {
            wrong.push(format!("{path}: the variable {} is set twice", pair[0]));
        }
    }
}

fn check_scratch(path: &str, definition: &Definition, wrong: &mut Vec<String>) {
    let mut paths: Vec<_> = definition
        .scratch
        .iter()
        .map(|folder| &folder.path)
        .collect();
    paths.sort();
    for folder in &paths {
        let first = folder.split('/').nth(1).unwrap_or_default();
        if SYSTEM_FOLDERS.contains(&first) {
            wrong.push(format!(
                "{path}.scratch: {folder} is in a folder of the system: take one below /var, /tmp or of its own"
            ));
        }
    }
    for pair in paths.windows(2) {
        if pair[0] == pair[1] {
            wrong.push(format!("{path}.scratch: {} is there twice", pair[0]));
        }
    }
}

fn check_calls(
    definition: &Definition,
    services: &BTreeMap<ServiceName, BuiltIn>,
    wrong: &mut Vec<String>,
) {
    let caller = &definition.name;
    let path = format!("spec.services.{caller}.definition.calls");
    for call in &definition.calls {
        let Some(callee) = services.get(call.service.as_str()) else {
            wrong.push(nobody_to_call(caller, &call.service, services));
            continue;
        };
        if call.service == *caller {
            wrong.push(format!(
                "{path}: a service cannot call itself: leave it out"
            ));
        }
        if callee.definition.ports.of(call.protocol).is_none() {
            wrong.push(format!(
                "{path}: {} has no port grpc in its definition: call it over Http",
                call.service
            ));
        }
        let Some(token) = &call.token else { continue };
        let mut keys = callee.definition.keys.iter();
        if !keys.any(|key| key.name == token.key && key.for_callers) {
            wrong.push(format!(
                "{path}: {} gives its callers no key {}: such a key has forCallers: true in its definition",
                call.service, token.key
            ));
        }
    }
}

/// What is said of a call to a service that is not there.
fn nobody_to_call(caller: &str, callee: &str, services: &BTreeMap<ServiceName, BuiltIn>) -> String {
    let path = format!("spec.services.{caller}.definition.calls");
    if built_in::services().contains_key(caller) {
        format!(
            "spec.services.{callee}.enabled: {caller} calls it: switch {caller} off too, or leave it on"
        )
    } else if built_in::services()
        .get(callee)
        .is_some_and(|callee| callee.optional)
    {
        format!(
            "{path}: {callee} is there only where the Shop names it and does not switch it off: add spec.services.{callee}: {{}}, or leave \
             the call out"
        )
    } else {
        format!(
            "{path}: there is no service {callee}; there are {}",
            names(services.keys())
        )
    }
}

/// A service that is switched off still counts: what it published stays for a week, and it may come back.
fn check_subscriptions(
    definition: &Definition,
    specs: &BTreeMap<String, ServiceSpec>,
    wrong: &mut Vec<String>,
) {
    for kind in &definition.subscribes {
        let owner = kind.split('.').nth(1).unwrap_or_default();
        let built_in = built_in::services().get(owner);
        let own = specs.get(owner).and_then(|spec| spec.definition.as_ref());
        let owner = built_in.map(|service| &service.definition).or(own);
        if !owner.is_some_and(|owner| owner.publishes.contains(kind)) {
            wrong.push(format!(
                "spec.services.{}.definition.subscribes: nobody publishes {kind}",
                definition.name
            ));
        }
    }
}

/// A service whose calls come back to it, or go on for too long.
fn in_a_circle(services: &BTreeMap<ServiceName, BuiltIn>) -> Option<&ServiceName> {
    // Those that are built in call none of the others.
    let own = services
        .keys()
        .filter(|name| !built_in::services().contains_key(*name));
    let mut rest: Vec<_> = own.collect();
    for _ in 0..DEEPEST_CALLS {
        let calls_one_of = |name: &ServiceName, rest: &[&ServiceName]| {
            let calls = services.get(name).map(|service| &service.definition.calls);
            let mut callees = calls
                .into_iter()
                .flatten()
                .map(|call| call.service.as_str());
            callees.any(|callee| rest.iter().any(|name| name.as_str() == callee))
        };
        let before = rest.clone();
        rest.retain(|name| calls_one_of(name, &before));
    }
    rest.first().copied()
}

fn names<'a>(services: impl Iterator<Item = &'a ServiceName>) -> String {
    let names: Vec<_> = services.map(ServiceName::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_services_keep_the_rules_of_all() {
        let mut wrong = Vec::new();
        for (name, service) in built_in::services() {
            check_definition(name.as_str(), &service.definition, &mut wrong);
            assert!(!RESERVED_NAMES.contains(&name.as_str()), "{name}");
            check_calls(&service.definition, built_in::services(), &mut wrong);
        }
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(services(&BTreeMap::new(), &mut wrong).len() >= 5 && wrong.is_empty());
    }

    #[test]
    fn a_service_without_events_does_not_bring_the_stream_to_its_limits() {
        let mut services = built_in::services().clone();
        services.retain(|name, _| ["storefront", "users"].contains(&name.as_str()));
        limit_stream(&mut services);
        assert!(services["users"].limits_stream && !services["storefront"].limits_stream);
    }
}
