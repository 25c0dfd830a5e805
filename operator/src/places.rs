//! How many Shops of one namespace are worked on at a time, so that one namespace full of slow Shops leaves places for others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::lock::lock;

/// For the Shops of one namespace.
const PER_NAMESPACE: usize = 8;

/// The places that are taken, by namespace; cheap to clone.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<String, usize>>>);

/// A place, until it is dropped.
pub struct Place {
    places: Places,
    namespace: String,
}

impl Places {
    /// Takes a place, if the namespace has one left.
    pub fn take(&self, namespace: &str) -> Option<Place> {
        let mut taken = lock(&self.0);
        let count = taken.entry(namespace.to_owned()).or_insert(0);
        if *count >= PER_NAMESPACE {
            return None;
        }
        *count += 1;
        Some(Place {
            places: self.clone(),
            namespace: namespace.to_owned(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.0);
        if let Some(count) = taken.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_namespace_leaves_the_others_theirs() {
        let places = Places::default();
        let mut full: Vec<_> = std::iter::from_fn(|| places.take("full")).collect();
        assert_eq!(full.len(), PER_NAMESPACE);
        assert!(places.take("other").is_some());
        full.pop();
        assert!(places.take("full").is_some(), "a place that is given back");
    }

    #[test]
    fn nothing_is_kept_of_a_namespace_where_nobody_works() {
        let places = Places::default();
        drop(places.take("a"));
        assert!(lock(&places.0).is_empty());
    }
}
