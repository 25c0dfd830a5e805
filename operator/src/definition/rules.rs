//! Admission rules about a single definition.

use kube::core::Rule;

use super::built_in::{SET_FOR_ANY, SET_UNLESS_ASKED};

/// Below the root of an image, and nobody's to write to.
pub(crate) const SYSTEM_FOLDERS: [&str; 10] = [
    "bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr",
];

/// Texts as a list of CEL.
pub(crate) fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<_> = texts
        .into_iter()
        .map(|text| format!("'{}'", text.as_ref()))
        .collect();
    format!("[{}]", quoted.join(", "))
}

/// CEL: the variables that follow from a definition, but for its plain settings.
pub(crate) fn variables_of(definition: &str) -> String {
    let each = |field: &str, value: &str| {
        format!("(has({definition}.{field}) ? {definition}.{field}.map(each, each.{value}) : [])")
    };
    let tokens = format!(
        "(has({definition}.calls) ? {definition}.calls.filter(call, has(call.token)).map(call, call.token.variable) : [])"
    );
    let variables = [
        each("calls", "url"),
        tokens,
        each("keys", "name"),
        each("scratch", "variable"),
    ];
    variables.join(" + ")
}

/// CEL: nothing in `list` is called as a secret of the definition with `_FILE`, under which it may be read from a file. `name` is how
/// the name of `each` in the list is written. Not among `variables_of`: of texts that are put together in a list the API server does not
/// know how long they may be.
pub(crate) fn no_file_of(definition: &str, list: &str, name: &str) -> String {
    let none = |secret: &str| format!("!{list}.exists(each, {name} == {secret} + '_FILE')");
    let (keys, tokens) = (none("key.name"), none("call.token.variable"));
    format!(
        "(!has({definition}.keys) || {definition}.keys.all(key, {keys})) && \
         (!has({definition}.calls) || {definition}.calls.all(call, !has(call.token) || {tokens}))"
    )
}

/// No variable twice, and none that the operator sets anyway. For a definition.
pub(super) fn variables() -> Rule {
    let taken = list(SET_FOR_ANY.into_iter().chain(SET_UNLESS_ASKED));
    let variables = variables_of("self");
    let settings = "(has(self.settings) ? self.settings.map(setting, setting.name) : [])";
    let no_file = no_file_of("self", "names", "each");
    Rule::new(format!(
        "[{variables} + {settings}].all(names, {no_file} && names.all(name, !(name in {taken}) && names.exists_one(other, other == name)))"
    ))
    .message("each variable of calls, keys, settings and scratch must have a name of its own, and none that the operator sets for every service, such as DATABASE_URL")
}

/// A service publishes under its own name. For a definition.
pub(super) fn publishes_its_own() -> Rule {
    Rule::new("!has(self.publishes) || self.publishes.all(kind, kind.startsWith('shop.' + self.name + '.'))")
        .message("publishes: a service publishes events of its own alone, shop.<its name>.<event>.v<n>")
}

/// Folders that hold nothing of the image or the node. For a definition.
pub(super) fn scratch() -> Rule {
    let taken = list(SYSTEM_FOLDERS.map(|folder| format!("/{folder}")));
    Rule::new(format!(
        "!has(self.scratch) || self.scratch.all(folder, !({taken}.exists(taken, folder.path == taken || folder.path.startsWith(taken + '/'))) && self.scratch.exists_one(other, other.path == folder.path))"
    ))
    .message("each folder of scratch must have a path of its own, and none in the system's folders, such as /etc or /proc")
}
