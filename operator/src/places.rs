//! How many Shops of one namespace are worked on at a time, so that one namespace full of slow Shops leaves places for others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::lock::lock;

/// For the Shops of one namespace.
const PER_NAMESPACE: u32 = 8;
/// Who finds no place asks again after this; the more others found none since a place was given back, the later.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(4);

/// The namespaces where somebody works; cheap to clone.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<String, Namespace>>>);

#[derive(Default)]
struct Namespace {
    taken: u32,
    /// Since a place was last given back.
    refused: u32,
}

/// A place, until it is dropped.
pub struct Place {
    places: Places,
    namespace: String,
}

impl Places {
    /// Takes a place.
    ///
    /// # Errors
    /// How long to wait at least before asking again, where the namespace has none left.
    pub fn take(&self, namespace: &str) -> Result<Place, Duration> {
        let mut namespaces = lock(&self.0);
        let entry = namespaces.entry(namespace.to_owned()).or_default();
        if entry.taken >= PER_NAMESPACE {
            let wait = SHORTEST.saturating_mul(1 + entry.refused / PER_NAMESPACE);
            entry.refused = entry.refused.saturating_add(1);
            return Err(wait.min(LONGEST));
        }
        entry.taken += 1;
        Ok(Place {
            places: self.clone(),
            namespace: namespace.to_owned(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut namespaces = lock(&self.places.0);
        if let Some(entry) = namespaces.get_mut(&self.namespace) {
            entry.taken -= 1;
            entry.refused = 0;
            if entry.taken == 0 {
                namespaces.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(places: &Places, namespace: &str) -> Vec<Place> {
        std::iter::from_fn(|| places.take(namespace).ok()).collect()
    }

    #[test]
    fn a_full_namespace_leaves_the_others_theirs() {
        let places = Places::default();
        let mut full = fill(&places, "full");
        assert_eq!(full.len(), 8);
        assert!(places.take("other").is_ok());
        full.pop();
        assert!(places.take("full").is_ok(), "a place that is given back");
    }

    #[test]
    fn where_nothing_moves_a_crowd_asks_less_often() {
        let places = Places::default();
        let mut full = fill(&places, "full");
        let wait = || places.take("full").err().expect("no place");
        assert_eq!(wait(), SHORTEST);
        let waits: Vec<_> = (0..1000).map(|_| wait()).collect();
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&LONGEST));
        full.pop();
        let _again = places.take("full");
        assert_eq!(wait(), SHORTEST, "it moves");
    }

    #[test]
    fn nothing_is_kept_of_a_namespace_where_nobody_works() {
        let places = Places::default();
        drop(fill(&places, "a"));
        assert!(lock(&places.0).is_empty());
    }
}
