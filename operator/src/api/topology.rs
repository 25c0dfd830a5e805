//! Admission rules about the services of a Shop together: who there is, who calls whom, who hears what. `topology` judges the same
//! again, for Shops that were stored under an older CRD, and says more exactly what is wrong.

use std::iter;

use kube::core::Rule;

use super::MOST_SERVICES;
use crate::definition::{
    built_in::{self, RESERVED_NAMES},
    rules::{list, no_file_of, variables_of},
};

/// A service of one's own calls others of one's own through at most so many steps.
pub const DEEPEST_CALLS: usize = 8;

fn built_in() -> String {
    list(built_in::services().keys().map(|name| name.as_str()))
}

/// Those that are there in a Shop that says nothing of them.
fn in_every_shop() -> String {
    let names = built_in::services().keys().map(|name| name.as_str());
    list(names.filter(|name| built_in::is_in_every_shop(name)))
}

/// Those that a Shop must name.
fn optional() -> impl Iterator<Item = &'static str> {
    let names = built_in::services().keys().map(|name| name.as_str());
    names.filter(|name| !built_in::is_in_every_shop(name))
}

/// The host too, of which a Shop may say something though it is no service of its own.
fn described() -> String {
    let services = built_in::services().keys().map(|name| name.as_str());
    list(services.chain([built_in::host_name()]))
}

fn built_in_names() -> String {
    let names: Vec<_> = built_in::services()
        .keys()
        .map(|name| name.as_str())
        .collect();
    names.join(", ")
}

/// CEL: the service `name` of the map `self` is switched off.
fn off(name: &str) -> String {
    format!("({name} in self && has(self[{name}].enabled) && !self[{name}].enabled)")
}

/// CEL: the service `name`, which may be built in and not in the map `self`, is not there.
fn away(name: &str) -> String {
    let optional = list(optional());
    format!(
        "({name} in self ? has(self[{name}].enabled) && !self[{name}].enabled : {name} in {optional})"
    )
}

/// CEL: this holds for each `each` in the list `field` of the definition of the service `name`. The API server reckons what a rule
/// may cost from the bounds of the lists that it names; of a list that is chosen by a condition it knows none.
fn all(name: &str, field: &str, each: &str, holds: &str) -> String {
    let list = format!("self[{name}].definition.{field}");
    format!("(!(has(self[{name}].definition) && has({list})) || {list}.all({each}, {holds}))")
}

/// CEL: this holds for one `each` in that list, where the service is there and has it.
fn any(name: &str, field: &str, each: &str, holds: &str) -> String {
    let list = format!("self[{name}].definition.{field}");
    format!(
        "({name} in self && has(self[{name}].definition) && has({list}) && {list}.exists({each}, {holds}))"
    )
}

/// Names that fit into those of all objects, and into databases and logins.
pub(super) fn names() -> Rule {
    let reserved = list(RESERVED_NAMES);
    Rule::new(format!(
        "self.all(name, name.matches('^[a-z][a-z0-9]{{0,14}}$') && !(name in {reserved}))"
    ))
    .message(
        format!(
            "a service is named by at most 15 lower-case letters and digits, beginning with a letter, and not {}",
            RESERVED_NAMES.join(", ")
        )
        .as_str(),
    )
}

/// Whoever is not built in says what it is.
pub(super) fn defined() -> Rule {
    let built_in = described();
    Rule::new(format!(
        "self.all(name, name in {built_in} ? !has(self[name].definition) : has(self[name].definition) && has(self[name].image))"
    ))
    .message(
        format!(
            "{} are built in and bring their own definition; a service of any other name needs definition and image: is the name misspelt?",
            built_in_names()
        )
        .as_str(),
    )
}

/// The host comes and goes with what it hosts.
pub(super) fn host() -> Rule {
    let host = built_in::host_name();
    Rule::new(format!(
        "!('{host}' in self) || (!has(self['{host}'].extracted) && !has(self['{host}'].operates) && !{} && (!has(self['{host}'].env) || \
         self['{host}'].env.all(variable, variable.name != 'SERVICES' && !variable.name.contains('__'))))",
        off(&format!("'{host}'"))
    ))
    .message(
        format!(
            "{host} hosts the services that are not extracted: it has neither `enabled: false` nor `extracted` (with topology Services it is \
             not there), and what is for one of them stands in the env of that service, like `operates`"
        )
        .as_str(),
    )
}

/// Not more than may be, those that are not named counted too.
pub(super) fn number() -> Rule {
    let built_in = in_every_shop();
    Rule::new(format!(
        "self.size() + {built_in}.filter(name, !(name in self)).size() <= {MOST_SERVICES}"
    ))
    .message(
        format!("a Shop has at most {MOST_SERVICES} services, the built-in ones among them")
            .as_str(),
    )
}

/// A document lies under its own name.
pub(super) fn named_as_defined() -> Rule {
    Rule::new("self.all(name, !has(self[name].definition) || self[name].definition.name == name)")
        .message(
            "definition.name must be the name of its entry: it is the document of another service",
        )
}

/// Calls go to services that are there.
pub(super) fn calls() -> Rule {
    let built_in = built_in();
    let (caller_off, callee_away) = (off("name"), away("call.service"));
    let is_there = format!(
        "call.service != name && (call.service in {built_in} || call.service in self) && !{callee_away}"
    );
    let all_there = all("name", "calls", "call", &is_there);
    let named = optional()
        .map(|name| format!("; {name} is there only where services names it: add `{name}: {{}}`"));
    let named: String = named.collect();
    Rule::new(format!("self.all(name, {caller_off} || {all_there})")).message(
        format!("definition.calls must name other services of this Shop that are not switched off{named}")
            .as_str(),
    )
}

/// What a caller shows is a key that the called service gives to its callers.
pub(super) fn tokens() -> Rule {
    let given = built_in::services().values().flat_map(|service| {
        let definition = &service.definition;
        let keys = definition.keys.iter().filter(|key| key.for_callers);
        keys.map(|key| format!("{}/{}", definition.name, key.name))
    });
    let given = list(given);
    let is_the_key = "key.name == call.token.key && key.forCallers";
    let own = any("call.service", "keys", "key", is_the_key);
    let may_show =
        format!("!has(call.token) || (call.service + '/' + call.token.key) in {given} || {own}");
    let (off, all_may) = (off("name"), all("name", "calls", "call", &may_show));
    Rule::new(format!("self.all(name, {off} || {all_may})"))
    .message("definition.calls[].token.key must be a key of the called service with forCallers: true; its other keys are its own")
}

/// Who is called over gRPC answers it.
pub(super) fn protocols() -> Rule {
    let answering = built_in::services().values().filter_map(|service| {
        let definition = &service.definition;
        definition.ports.grpc.map(|_| definition.name.as_str())
    });
    let built_in = list(answering);
    let callee = "self[call.service].definition";
    let own = format!(
        "(call.service in self && has({callee}) && has({callee}.ports) && has({callee}.ports.grpc))"
    );
    let is_answered = format!(
        "!has(call.protocol) || call.protocol != 'Grpc' || call.service in {built_in} || {own}"
    );
    let (off, all_are) = (off("name"), all("name", "calls", "call", &is_answered));
    Rule::new(format!("self.all(name, {off} || {all_are})")).message(
        "definition.calls[].protocol must be Http, unless the called service has a port grpc in its definition",
    )
}

/// A built-in service is told how to call those that it calls, and only so as they answer.
pub(super) fn chosen_protocols() -> Rule {
    let calls = || {
        let services = built_in::services().values();
        services.flat_map(|service| {
            let calls = service.definition.calls.iter();
            calls.map(|call| (service.definition.name.as_str(), call.service.as_str()))
        })
    };
    let pair = |(caller, callee): (&str, &str)| format!("{caller}/{callee}");
    let over_grpc =
        calls().filter(|(caller, callee)| built_in::services()[*caller].can_ask_over_grpc(callee));
    let over_grpc: Vec<_> = over_grpc.map(pair).collect();
    let any = list(calls().map(pair));
    let told = over_grpc.join(", ").replace('/', " to ");
    let over_grpc = list(&over_grpc);
    let protocols = "self[name].protocols";
    Rule::new(format!(
        "self.all(name, !has({protocols}) || {protocols}.all(callee, (name + '/' + callee) in ({protocols}[callee] == 'Grpc' ? {over_grpc} : {any})))"
    ))
    .message(
        format!("protocols names services that this one calls, and Grpc is possible from {told}")
            .as_str(),
    )
}

/// Calls do not come back to where they began.
pub(super) fn no_circle() -> Rule {
    // Whoever calls nobody of the rest falls out; after so many rounds only circles, and what leads to one, are left.
    let mut rest = format!(
        "self.filter(name, has(self[name].definition) && !{})",
        off("name")
    );
    let mut rule = String::new();
    for round in 0..DEEPEST_CALLS {
        rule += &format!("[{rest}].all(r{round}, ");
        let calls_one = any(
            "name",
            "calls",
            "call",
            &format!("call.service in r{round}"),
        );
        rest = format!("r{round}.filter(name, {calls_one})");
    }
    rule += &format!("{rest}.size() == 0");
    rule += &")".repeat(DEEPEST_CALLS);
    Rule::new(rule).message(
        format!(
            "definition.calls must form no circle, and no chain of more than {DEEPEST_CALLS} services of your own"
        )
        .as_str(),
    )
}

/// What is subscribed to is published by somebody.
pub(super) fn subscriptions() -> Rule {
    let kinds = built_in::services()
        .values()
        .flat_map(|service| &service.definition.publishes);
    let built_in = list(kinds);
    let own = any("kind.split('.')[1]", "publishes", "other", "other == kind");
    let is_published = format!("kind in {built_in} || {own}");
    let all_published = all("name", "subscribes", "kind", &is_published);
    let off = off("name");
    Rule::new(format!("self.all(name, {off} || {all_published})")).message(
        "definition.subscribes must name kinds of events that a service of this Shop publishes",
    )
}

/// A built-in service is switched off only with those that call it. Who is not there calls nobody.
pub(super) fn callers_of_what_is_off() -> Rule {
    let calls = built_in::services().iter().flat_map(|(caller, service)| {
        let callees = service.definition.calls.iter();
        callees.map(move |call| list([caller.as_str(), &call.service]))
    });
    let calls: Vec<_> = calls.collect();
    let (caller_away, callee_off) = (away("call[0]"), off("call[1]"));
    let told: Vec<_> = built_in::services()
        .values()
        .filter(|service| !service.definition.calls.is_empty())
        .map(|service| {
            let callees = service
                .definition
                .calls
                .iter()
                .map(|call| call.service.as_str());
            let callees: Vec<_> = callees.collect();
            format!(
                "{} calls {}",
                service.definition.name,
                callees.join(" and ")
            )
        })
        .collect();
    Rule::new(format!(
        "[{}].all(call, !{callee_off} || {caller_away})",
        calls.join(", ")
    ))
    .message(
        format!(
            "a service that another one calls cannot be switched off alone: {}",
            told.join(", ")
        )
        .as_str(),
    )
}

/// A port belongs to a service that is there. For the whole specification.
pub(super) fn node_ports() -> Rule {
    let (built_in, host) = (in_every_shop(), built_in::host_name());
    Rule::new(format!(
        "!has(self.exposure) || !has(self.exposure.nodePorts) || self.exposure.nodePorts.all(name, name in {built_in} || (name != '{host}' && has(self.services) && name in self.services))"
    ))
    .message("exposure.nodePorts must name services of this Shop, each by its own name wherever it runs")
}

/// `env` of an optional service leaves alone what follows from its document. Elsewhere these variables are anyone's.
pub(super) fn env_of_optional() -> Rule {
    let of_each = optional().map(|name| {
        let definition = &built_in::services()[name].definition;
        let variables = list(built_in::variables_of(definition));
        let env = format!("self['{name}'].env");
        format!(
            "(!('{name}' in self) || !has({env}) || {env}.all(variable, !(variable.name in {variables})))"
        )
    });
    let all: Vec<_> = iter::once("true".to_owned()).chain(of_each).collect();
    Rule::new(all.join(" && ")).message("env must not set a variable that follows from calls, keys or scratch of the service's document")
}

/// `env` leaves alone what follows from the definition. For a service.
pub(super) fn env_of_definition() -> Rule {
    let variables = variables_of("self.definition");
    let no_file = no_file_of("self.definition", "self.env", "each.name");
    Rule::new(format!(
        "!has(self.definition) || !has(self.env) || ({no_file} && [{variables}].all(names, self.env.all(variable, !(variable.name in names))))"
    ))
    .message("env must not set a variable that follows from calls, keys or scratch of the definition")
}
