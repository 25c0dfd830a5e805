//! What is wrong with an override, told before it is ever merged: fields that there are not, values that do not fit, and what the operator
//! itself goes by. Pure.

use std::{collections::BTreeSet, fmt};

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    overrides::Override,
    own_fields::OwnFields,
    own_variables::OwnVariables,
    patch::{DELETE, DIRECTIVE, REPLACE, key_of, merge_keys},
};
use crate::{
    api::{EnvSpec, OverrideKind},
    definition::Definition,
    naming::names::ServiceName,
};

/// More faults of one patch are not told: a text of 16384 characters has room for thousands.
const TOLD: usize = 10;
/// In bytes; what is longer is cut.
const LONGEST_WAY: usize = 300;
/// The same of a whole sentence. It may repeat a value of the patch.
const LONGEST: usize = 700;

/// A sentence of a bounded length.
pub(super) fn shortened(said: String) -> String {
    cut(said, LONGEST)
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// What is wrong with a patch, as much as is worth telling. `path` is its own, `env` what the Shop adds to the environment of the service.
pub(super) fn check(
    path: &str,
    service: &ServiceName,
    definition: &Definition,
    env: &[EnvSpec],
    Override { kind, patch }: &Override,
    wrong: &mut Vec<String>,
) {
    let own = OwnFields::of(*kind, service, &definition.ports);
    let variables = OwnVariables::of(*kind, service, definition, env);
    let mut check = Check {
        kind: *kind,
        path,
        own: &own,
        variables: &variables,
        within_whole: false,
        told: BTreeSet::new(),
        wrong,
    };
    check.value(&mut Way::default(), None, &Value::Object(patch.clone()));
}

/// A step on the way to a field.
#[derive(Clone)]
enum Step {
    Field(String),
    /// An item of a list, by its key or its number.
    Item(String),
}

/// The way to a field.
#[derive(Clone, Default)]
struct Way(Vec<Step>);

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if number == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(name) => write!(f, "[{name}]")?,
            }
        }
        Ok(())
    }
}

struct Check<'a> {
    kind: OverrideKind,
    path: &'a str,
    own: &'a OwnFields,
    variables: &'a OwnVariables,
    /// It looks at items of a list that is replaced as a whole, where no list has keys any more.
    within_whole: bool,
    /// What was said.
    told: BTreeSet<String>,
    wrong: &'a mut Vec<String>,
}

impl Check<'_> {
    fn say(&mut self, way: &Way, what: impl fmt::Display) {
        if self.is_done() {
            return;
        }
        let dot = if way.0.is_empty() { "" } else { "." };
        let way = cut(way.to_string(), LONGEST_WAY);
        let said = shortened(format!("{}{dot}{way}: {what}", self.path));
        // The same for all that lies in a field that there is not.
        if self.told.insert(said.clone()) {
            let more = format!("{}: and more", self.path);
            self.wrong.push(if self.is_done() { more } else { said });
        }
    }

    fn is_done(&self) -> bool {
        self.told.len() > TOLD
    }

    /// `list` is the name of the list of which this is an item.
    fn value(&mut self, way: &mut Way, list: Option<&str>, value: &Value) {
        if self.is_done() {
            return;
        }
        if let Some(instead) = self.own.at(&way.to_string()) {
            return self.say(way, instead);
        }
        match value {
            Value::Null => self.say(
                way,
                "what is empty takes nothing away, because a line that was left unfinished is empty too: write {$patch: delete}",
            ),
            Value::Object(fields) => self.fields(way, list, fields),
            Value::Array(items) if items.is_empty() => self.leaf(way, value),
            Value::Array(items) => self.items(way, items),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => self.leaf(way, value),
        }
    }

    fn fields(&mut self, way: &mut Way, list: Option<&str>, fields: &Map<String, Value>) {
        let goes = match fields.get(DIRECTIVE).map(Value::as_str) {
            None => false,
            Some(Some(DELETE)) => true,
            Some(Some(REPLACE)) => false,
            Some(Some(_) | None) => {
                return self.say(way, "$patch must be delete or replace");
            }
        };
        if fields.contains_key(DIRECTIVE)
            && let Some(own) = self.own.below(&way.to_string())
        {
            return self.say(
                way,
                format!(
                    "$patch would take away {own}, which is the operator's: patch the single fields"
                ),
            );
        }
        let rest = fields.iter().filter(|(name, _)| *name != DIRECTIVE);
        if goes {
            let keys = merge_keys(list.unwrap_or_default());
            match rest
                .map(|(name, _)| name)
                .find(|name| !keys.contains(&name.as_str()))
            {
                Some(name) => self.say(way, format!("{name} cannot stand beside $patch: delete")),
                None if list.is_none() => self.known(way),
                None => {}
            }
            return;
        }
        let mut is_empty = true;
        for (name, value) in rest {
            is_empty = false;
            way.0.push(Step::Field(name.clone()));
            self.value(way, None, value);
            way.0.pop();
        }
        if is_empty {
            self.leaf(way, &json!({}));
        }
    }

    fn items(&mut self, way: &mut Way, items: &[Value]) {
        let list = match way.0.last() {
            Some(Step::Field(name)) => name.clone(),
            Some(Step::Item(_)) | None => String::new(),
        };
        let keys: &[&str] = if self.within_whole {
            &[]
        } else {
            merge_keys(&list)
        };
        if keys.is_empty() && items.iter().any(has_directive) {
            return self.say(
                way,
                "this list is replaced as a whole: write all of its items, without $patch",
            );
        }
        let around = std::mem::replace(&mut self.within_whole, keys.is_empty());
        for (number, item) in items.iter().enumerate() {
            let key = key_of(&list, item).filter(|_| !keys.is_empty());
            let text = match key {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => number.to_string(),
            };
            way.0.push(Step::Item(text));
            let before = items.iter().take(number);
            if key.is_none() && !keys.is_empty() {
                let keys = keys.join(" or ");
                self.say(way, format!("the list is merged by {keys}: name it"));
            } else if key.is_some() && before.map(|item| key_of(&list, item)).any(|k| k == key) {
                self.say(way, "is there twice");
            } else {
                if let Some(why) = self.variables.misfit(&way.to_string(), item) {
                    self.say(way, why);
                }
                self.value(way, Some(&list), item);
            }
            way.0.pop();
        }
        self.within_whole = around;
    }

    /// What is to go must be a field that there is.
    fn known(&mut self, way: &Way) {
        let any = [json!({}), json!([]), json!(""), json!(0), json!(false)];
        let misfits = any.map(|value| misfit(self.kind, way, value));
        if let [Some((way, why)), ..] = &misfits
            && misfits.iter().all(Option::is_some)
        {
            self.say(way, why);
        }
    }

    fn leaf(&mut self, way: &Way, value: &Value) {
        if let Some((way, why)) = misfit(self.kind, way, value.clone()) {
            self.say(&way, why);
        }
    }
}

fn has_directive(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.contains_key(DIRECTIVE) || fields.values().any(has_directive)
        }
        Value::Array(items) => items.iter().any(has_directive),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Why an object of this kind cannot have this value there: it alone is read as such an object, and must be there when that is written again.
fn misfit(kind: OverrideKind, way: &Way, value: Value) -> Option<(Way, String)> {
    let around = |inner, step: &Step| match step {
        Step::Field(name) => Map::from_iter([(name.clone(), inner)]).into(),
        Step::Item(_) => json!([inner]),
    };
    let document = way.0.iter().rev().fold(value, around);
    let read = match kind {
        OverrideKind::Deployment => read::<Deployment>(document),
        OverrideKind::Service => read::<Service>(document),
        OverrideKind::HorizontalPodAutoscaler => read::<HorizontalPodAutoscaler>(document),
        OverrideKind::PodDisruptionBudget => read::<PodDisruptionBudget>(document),
        OverrideKind::NetworkPolicy => read::<NetworkPolicy>(document),
        OverrideKind::ServiceAccount => read::<ServiceAccount>(document),
        OverrideKind::Job => read::<Job>(document),
    };
    let read = match read {
        Ok(read) => read,
        Err(error) => return Some((way.clone(), error.to_string())),
    };
    let mut at = &read;
    for (number, step) in way.0.iter().enumerate() {
        let next = match step {
            Step::Field(name) => at.get(name),
            Step::Item(_) => at.get(0),
        };
        let Some(next) = next else {
            let kind: &str = kind.into();
            let way = Way(way.0.iter().take(number + 1).cloned().collect());
            return Some((way, format!("a {kind} has no such field")));
        };
        at = next;
    }
    None
}

fn read<K: Serialize + DeserializeOwned>(document: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<K>(document)?)
}
