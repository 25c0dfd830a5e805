//! Databases change one after the other: a change restarts a database, and a wrong image or amount is to stop one and not all.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use crate::{
    cluster::Cluster,
    facts::observe::is_serving,
    naming::labels::{self, COMPONENT_LABEL, Component},
};

/// StatefulSets by when they may change.
#[derive(Default)]
pub struct Turns {
    /// Now: those that wait for no other, nor others for them.
    pub at_once: Vec<StatefulSet>,
    /// One of these, the first that is not refused.
    pub in_turn: Vec<StatefulSet>,
    /// Names of those that wait until the others serve.
    pub queued: Vec<String>,
}

/// Divides them. A database that serves changes only while all others serve; one that does not serve changes at once, because
/// that may be what mends it.
pub fn divide(cluster: &Cluster, sets: Vec<StatefulSet>) -> Turns {
    let changes: Vec<_> = sets.iter().map(|set| change(cluster, set)).collect();
    let mut turns = Turns::default();
    for (set, when) in sets.into_iter().zip(when(&changes)) {
        match when {
            When::AtOnce => turns.at_once.push(set),
            When::InTurn => turns.in_turn.push(set),
            When::Later => turns.queued.push(set.name_any()),
        }
    }
    turns
}

/// What applying a StatefulSet would do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It is no database, or not there yet.
    Free,
    /// Its pod stays.
    OfNoPod,
    /// It does not serve.
    OfBroken,
    /// It would stop serving for a while.
    OfServing,
}

fn change(cluster: &Cluster, set: &StatefulSet) -> Change {
    let component = set.labels().get(COMPONENT_LABEL).map(String::as_str);
    if component != Some(Component::Database.as_str()) {
        return Change::Free;
    }
    let shop = labels::shop_of(set.labels()).unwrap_or_default();
    let namespace = set.namespace().unwrap_or_default();
    match cluster.stateful_sets.get(&namespace, shop, &set.name_any()) {
        Some(live) if !is_serving(&live) => Change::OfBroken,
        Some(_) if cluster.stateful_sets.keeps_pods(set) => Change::OfNoPod,
        Some(_) => Change::OfServing,
        None => Change::Free,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    AtOnce,
    InTurn,
    Later,
}

fn when(changes: &[Change]) -> Vec<When> {
    let one_is_broken = changes.contains(&Change::OfBroken);
    let when = |change: &Change| match change {
        Change::Free | Change::OfNoPod | Change::OfBroken => When::AtOnce,
        Change::OfServing if one_is_broken => When::Later,
        Change::OfServing => When::InTurn,
    };
    changes.iter().map(when).collect()
}

#[cfg(test)]
mod tests {
    use super::{Change::*, When::*, *};

    #[test]
    fn databases_that_serve_change_in_turn_and_wait_for_one_that_does_not() {
        for (changes, expected) in [
            (vec![OfServing, OfServing], vec![InTurn, InTurn]),
            (vec![OfNoPod, OfServing], vec![AtOnce, InTurn]),
            (vec![OfServing, OfBroken], vec![Later, AtOnce]),
            (vec![Free, Free, OfServing], vec![AtOnce, AtOnce, InTurn]),
        ] {
            assert_eq!(when(&changes), expected);
        }
    }
}
