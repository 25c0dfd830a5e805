//! How one object is made what it should be. What somebody else has set on it is asked for before it is taken back.

use std::{sync::Arc, time::Instant};

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::Status,
};
use serde_json::{Value, json};

use super::{
    FIELD_MANAGER,
    cache::Entry,
    drift::{Drift, drift, is_conflict, is_outrun},
    kind::Kind,
    ownership,
    tracked::{Tracked, as_json, key_of},
};
use crate::{
    error::Error,
    lock::lock,
    naming::labels::{self, MANAGED_BY_LABEL, OPERATOR},
};

/// An object of somebody else with this annotation (`"true"`) is taken over by the Shop that wants its name.
pub const ADOPT_ANNOTATION: &str = "shopkeeper.dev/adopt";
/// More fields of others than this are not named one by one.
const NAMED: usize = 5;
/// An object on which others write between the question and the answer is looked at this often.
const LOOKS: usize = 5;

/// An object after it was made what it should be.
#[derive(Clone, Debug)]
pub struct Written<K> {
    /// As it is now.
    pub object: Arc<K>,
    /// What others have set on it.
    pub edits: Edits,
}

/// What others have set on an object, each field as `<who>: <path>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Fields of its specification that we do not name. They stay.
    pub added: Vec<String>,
    /// Fields of ours that stay as others have set them.
    pub left: Vec<String>,
    /// Fields of ours that were taken back by force.
    pub taken_back: Vec<String>,
    /// Fields that excluded ours, and were therefore removed.
    pub removed: Vec<String>,
}

/// What is there under the name of an object that is to be applied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    /// What somebody hands over, so that it differs in everything.
    HandedOver,
    /// What we have applied before.
    Ours,
}

impl<K: Kind> Tracked<K> {
    /// An object of a Shop, as new as we know it, and what others have set on it.
    pub fn known(&self, namespace: &str, shop: &str, name: &str) -> Option<Written<K>> {
        let entry = lock(&self.cache).get(namespace, shop, name, Instant::now());
        entry.map(written)
    }

    /// Makes the object as desired by server-side apply, or does nothing where that would change nothing. Where `is_asked` says
    /// of a path that is refused that the user has asked for something there, it is no fault of others, and they keep what they have set.
    ///
    /// # Errors
    /// What the API server answers; [`Error::NameTaken`] where somebody else has an object of this name.
    pub async fn apply(
        &self,
        desired: &K,
        is_asked: impl Fn(&str) -> bool,
    ) -> Result<Written<K>, Error> {
        let (namespace, shop, name) = key_of(desired);
        let json = as_json(desired);
        let wanted = ownership::digest_of_desired(&json);
        let known = lock(&self.cache).get(&namespace, &shop, &name, Instant::now());
        if let Some(entry) = &known
            && lock(&self.cache).is_settled(&namespace, &shop, &name, wanted)
        {
            self.metrics.applied(K::kind(&()).as_ref(), "skipped");
            return Ok(written(entry.clone()));
        }
        let there = match &known {
            Some(entry) => {
                may_be_changed(&*entry.object, desired)?;
                There::Ours
            }
            None => self.find_untracked(desired).await?,
        };
        let (live, edits) = self.patch(desired, &json, is_asked, there).await?;
        let before = known.as_ref().and_then(|e| e.object.resource_version());
        let changed = live.resource_version() != before;
        let result = if changed { "changed" } else { "unchanged" };
        self.metrics.applied(K::kind(&()).as_ref(), result);
        let was_left = known.map(|entry| entry.left).unwrap_or_default();
        self.count(&edits, &was_left);
        let entry = Entry {
            left: edits.left.clone(),
            ..Entry::of(live)
        };
        lock(&self.cache).applied(entry.clone(), wanted, Instant::now());
        let mut written = written(entry);
        written.edits.taken_back = edits.taken_back;
        written.edits.removed = edits.removed;
        Ok(written)
    }

    /// What stayed before was counted then.
    fn count(&self, edits: &Edits, was_left: &[String]) {
        let is_new = |field: &&String| !was_left.contains(field);
        for (result, fields) in [
            ("left", edits.left.iter().filter(is_new).count()),
            ("taken_back", edits.taken_back.len()),
            ("removed", edits.removed.len()),
        ] {
            self.metrics.drifted(K::kind(&()).as_ref(), result, fields);
        }
    }

    /// Makes the object unless one of its name is there. One that is there stays as it is, but that it gets the owner of the
    /// desired one.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn create_once(&self, desired: &K) -> Result<Written<K>, Error> {
        let (namespace, shop, name) = key_of(desired);
        let known = lock(&self.cache).get(&namespace, &shop, &name, Instant::now());
        let live = match known {
            Some(entry) => entry,
            None => self.create_or_get(desired).await?,
        };
        may_be_changed(&*live.object, desired)?;
        let has = |owner: &_| live.object.owner_references().contains(owner);
        if desired.owner_references().iter().all(has) {
            return Ok(written(live));
        }
        let owners = json!({"metadata": {"ownerReferences": desired.owner_references()}});
        self.merge(&live.object, &owners).await
    }

    async fn create_or_get(&self, desired: &K) -> Result<Entry<K>, Error> {
        let (namespace, _, name) = key_of(desired);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        let live = match self.api(&namespace).create(&params, desired).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                self.api(&namespace).get(&name).await
            }
            created => {
                self.metrics.applied(K::kind(&()).as_ref(), "changed");
                created
            }
        };
        let entry = Entry::of(live.map_err(failed(desired))?);
        may_be_changed(&*entry.object, desired)?;
        lock(&self.cache).wrote(entry.clone(), Instant::now());
        Ok(entry)
    }

    /// Changes some fields of an object that is there: a strategic merge patch, which adds to lists with keys (owners) in place
    /// of replacing them.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn merge(&self, object: &K, patch: &Value) -> Result<Written<K>, Error> {
        let (namespace, _, name) = key_of(object);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let live = self
            .api(&namespace)
            .patch(&name, &params, &Patch::Strategic(patch))
            .await
            .map_err(failed(object))?;
        self.metrics.applied(K::kind(&()).as_ref(), "changed");
        let entry = Entry::of(live);
        lock(&self.cache).wrote(entry.clone(), Instant::now());
        Ok(written(entry))
    }

    /// Deletes exactly this object (not one that took its name since); its dependents follow in the background.
    ///
    /// # Errors
    /// What the API server answers, but for "not found".
    pub async fn delete(&self, object: &K) -> Result<(), Error> {
        let (namespace, _, name) = key_of(object);
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: object.uid(),
            resource_version: None,
        });
        match self.api(&namespace).delete(&name, &params).await {
            Ok(_) => {
                self.metrics.deleted(K::kind(&()).as_ref());
                lock(&self.cache).deleted(object);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                Ok(())
            }
            Err(source) => {
                let action = format!("{} {name} cannot be deleted", K::kind(&()));
                Err(Error::kube(action)(source))
            }
        }
    }

    /// Looks for an object that the watches do not know, because it is new or not ours. A creation by POST would tell in one
    /// request, but the API server would note all defaults (a Deployment's count among them) as set by us for ever.
    async fn find_untracked(&self, desired: &K) -> Result<There, Error> {
        let (namespace, _, name) = key_of(desired);
        let found = self.api(&namespace).get_opt(&name).await;
        let Some(found) = found.map_err(failed(desired))? else {
            return Ok(There::Nothing);
        };
        may_be_changed(&found, desired)?;
        // Somebody has taken our label away.
        let mut entries = found.managed_fields().iter();
        Ok(
            match entries.any(|entry| ownership::is_applied_by(entry, FIELD_MANAGER)) {
                true => There::Ours,
                false => There::HandedOver,
            },
        )
    }

    /// A server-side apply. Without force at first: the API server then says what others have set otherwise. What is new is not
    /// forced at all: if somebody else makes an object of this name at the same moment, that is a conflict and the next reconcile
    /// sees it.
    async fn patch(
        &self,
        desired: &K,
        json: &Value,
        is_asked: impl Fn(&str) -> bool,
        there: There,
    ) -> Result<(K, Edits), Error> {
        let (namespace, _, name) = key_of(desired);
        let api = self.api(&namespace);
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict();
        let mut answer = api.patch(&name, &params, &Patch::Apply(json)).await;
        if there == There::Nothing {
            return Ok((answer.map_err(failed(desired))?, Edits::default()));
        }
        let mut met = Drift::none(json);
        for _ in 0..LOOKS {
            if refused(&answer, |answer| is_conflict(answer) || is_outrun(answer)).is_none() {
                break;
            }
            (answer, met) = self.take_back(desired, json, there).await?;
        }
        let force = params.force();
        if !met.left.is_empty() && refused(&answer, is_invalid).is_some() {
            met = met.all_taken_back(json);
            answer = api.patch(&name, &force, &Patch::Apply(json)).await;
        }
        let (live, mut removed) = match refused(&answer, is_invalid).cloned() {
            Some(refused) => {
                let causes = refused.details.iter().flat_map(|details| &details.causes);
                let fields = causes.map(|cause| cause.field.clone());
                let fields = fields.filter(|field| !is_asked(field)).collect();
                self.make_room(desired, json, &refused, fields).await?
            }
            // Taken over before, by an apply that then failed for another reason: it is gone with this one.
            None => (answer.map_err(failed(desired))?, self.taken_from(desired)),
        };
        // What goes back stood beside it, and is told once.
        removed.retain(|field| !met.taken_back.contains(field));
        let is_ours = there == There::Ours;
        let edits = Edits {
            left: met.left,
            taken_back: met.taken_back.into_iter().filter(|_| is_ours).collect(),
            removed,
            added: Vec::new(),
        };
        Ok((live, edits))
    }

    fn taken_from(&self, desired: &K) -> Vec<String> {
        let (namespace, shop, name) = key_of(desired);
        lock(&self.cache).taken_from(&namespace, &shop, &name)
    }

    /// An apply by force over what others have set, of exactly the object of which the API server says what that is: what somebody sets a
    /// moment later is not taken back unseen.
    async fn take_back(
        &self,
        desired: &K,
        json: &Value,
        there: There,
    ) -> Result<(Result<K, kube::Error>, Drift), Error> {
        let (namespace, _, name) = key_of(desired);
        let api = self.api(&namespace);
        let live = api.get_opt(&name).await.map_err(failed(desired))?;
        // Ours may be gone, and another one have its name.
        if let Some(live) = &live {
            may_be_changed(live, desired)?;
        }
        let at_this_version = |apply: &Value| {
            let mut apply = apply.clone();
            let version = live.as_ref().and_then(ResourceExt::resource_version);
            apply["metadata"]["resourceVersion"] = json!(version);
            Patch::Apply(apply)
        };
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict();
        let answer = api.patch(&name, &params, &at_this_version(json)).await;
        let Some(refused) = refused(&answer, is_conflict).cloned() else {
            return Ok((answer, Drift::none(json)));
        };
        // What is handed over was nobody's to edit.
        let ours = live.as_ref().filter(|_| there == There::Ours);
        let ours = ours.map(as_json).unwrap_or_default();
        let met = drift(&refused, json, &ours);
        let force = params.force();
        let answer = api.patch(&name, &force, &at_this_version(&met.apply)).await;
        Ok((answer, met))
    }

    /// What others have set may exclude what we apply, at these fields that were refused: it is taken over, and with the apply it goes. Returns
    /// also what that was.
    async fn make_room(
        &self,
        desired: &K,
        apply: &Value,
        refused: &Status,
        fields: Vec<String>,
    ) -> Result<(K, Vec<String>), Error> {
        let (namespace, shop, name) = key_of(desired);
        let api = self.api(&namespace);
        let taken = take_over(&api, &name, &fields).await;
        let taken = taken.map_err(failed(desired))?;
        let since_applied = lock(&self.cache).took_over(&namespace, &shop, &name, taken.clone());
        let still_refused = |answer| refused_still(desired, &since_applied, answer);
        if taken.is_empty() {
            let answer = kube::Error::Api(Box::new(refused.clone()));
            return Err(still_refused(answer));
        }
        tracing::warn!(
            object = name,
            ?taken,
            ?fields,
            "fields of others are taken over"
        );
        let params = PatchParams::apply(FIELD_MANAGER)
            .validation_strict()
            .force();
        let live = api.patch(&name, &params, &Patch::Apply(apply)).await;
        Ok((live.map_err(still_refused)?, since_applied))
    }
}

/// That a request was refused for such a reason.
fn refused<K>(answer: &Result<K, kube::Error>, is_it: fn(&Status) -> bool) -> Option<&Status> {
    match answer {
        Err(kube::Error::Api(refused)) if is_it(refused) => Some(refused),
        Ok(_) | Err(_) => None,
    }
}

/// What was sent makes no valid object, together with what others have set.
fn is_invalid(answer: &Status) -> bool {
    answer.code == 422
}

/// That an object is refused though fields of others were taken over: what they had set was not all that stands in the way.
fn refused_still<K: Kind>(object: &K, taken: &[String], answer: kube::Error) -> Error {
    if taken.is_empty() {
        return failed(object)(answer);
    }
    Error::kube(format!(
        "{} {} is refused even after what others had set on it was taken over ({})",
        K::kind(&()),
        object.name_any(),
        taken.join(", ")
    ))(answer)
}

/// Makes what stands beside a refused field ours, so that the next apply removes what it does not name. Returns what it was, and whose.
async fn take_over<K: Kind>(
    api: &Api<K>,
    name: &str,
    refused: &[String],
) -> Result<Vec<String>, kube::Error> {
    let live = api.get(name).await?;
    let Some((entries, from)) = ownership::take_over(live.managed_fields(), FIELD_MANAGER, refused)
    else {
        return Ok(Vec::new());
    };
    let patch = json!({"metadata": {
        "managedFields": entries,
        // Refused where somebody wrote meanwhile.
        "resourceVersion": live.resource_version(),
    }});
    let params = PatchParams::default();
    api.patch(name, &params, &Patch::Merge(patch)).await?;
    Ok(from)
}

/// Whether an object that is there under a wanted name may be made what we want.
fn may_be_changed<K: Kind>(found: &K, desired: &K) -> Result<(), Error> {
    let is_shop = |owner: &&_| is_shop(owner);
    let controller = found
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    let labels = found.labels();
    let owner = desired.owner_references().first();
    let is_owned =
        controller.is_some_and(|theirs| owner.is_some_and(|ours| ours.uid == theirs.uid));
    let ours = labels.get(MANAGED_BY_LABEL).map(String::as_str) == Some(OPERATOR)
        && labels::shop_of(labels) == labels::shop_of(desired.labels())
        && controller.as_ref().is_none_or(is_shop);
    let adopted = found
        .annotations()
        .get(ADOPT_ANNOTATION)
        .map(String::as_str)
        == Some("true");
    let may = is_owned || ours || (adopted && controller.is_none());
    if !may {
        return Err(Error::NameTaken {
            kind: K::kind(&()).into_owned(),
            name: found.name_any(),
        });
    }
    match (controller, owner) {
        (Some(theirs), Some(wanted)) if theirs.uid != wanted.uid => Err(Error::Leftover {
            kind: K::kind(&()).into_owned(),
            name: found.name_any(),
        }),
        _ => Ok(()),
    }
}

fn is_shop(owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference) -> bool {
    owner.kind == "Shop" && owner.api_version.starts_with("shopkeeper.dev/")
}

fn written<K>(entry: Entry<K>) -> Written<K> {
    let is_left = |field: &String| entry.left.contains(field);
    let foreign = entry.foreign.into_iter().filter(|field| !is_left(field));
    Written {
        object: entry.object,
        edits: Edits {
            added: foreign.take(NAMED).collect(),
            left: entry.left,
            ..Edits::default()
        },
    }
}

fn failed<K: Kind>(object: &K) -> impl FnOnce(kube::Error) -> Error {
    Error::kube(format!("{} {}", K::kind(&()), object.name_any()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;

    use super::*;

    #[test]
    fn what_stays_hides_nothing_that_was_added() {
        let names = |field: &str| -> Vec<String> {
            let names = (0..7).map(|number| format!("a: spec.{field}{number}"));
            names.collect()
        };
        let (left, added) = (names("changed"), names("more"));
        let entry = Entry {
            foreign: [left.clone(), added.clone()].concat(),
            left: left.clone(),
            ..Entry::of(Service::default())
        };
        let edits = written(entry).edits;
        assert_eq!(edits.added, added[..NAMED]);
        assert_eq!(edits.left, left);
    }
}
