//! In which order a release of the shop reaches its services. Pure.

use std::collections::BTreeMap;

use crate::naming::names::ServiceName;

/// The number of the wave of each service, from 0: as the Shop names them, and then who is called before who calls. Numbers may be
/// missing.
pub fn waves(
    calls: &BTreeMap<ServiceName, Vec<ServiceName>>,
    named: &[Vec<ServiceName>],
) -> BTreeMap<ServiceName, usize> {
    let of_name = |service: &ServiceName| named.iter().position(|wave| wave.contains(service));
    let number = |service: &ServiceName| match of_name(service) {
        Some(wave) => wave,
        None => named.len() + depth(service, calls, calls.len()),
    };
    let services = calls.keys();
    services
        .map(|service| (service.clone(), number(service)))
        .collect()
}

/// How many services are called in a row. A Shop whose calls lead back to where they began is refused; the bound keeps a mistake from
/// going on for ever.
fn depth(
    service: &ServiceName,
    calls: &BTreeMap<ServiceName, Vec<ServiceName>>,
    at_most: usize,
) -> usize {
    let callees = calls.get(service).into_iter().flatten();
    let known = callees.filter(|callee| at_most > 0 && calls.contains_key(*callee));
    let depths = known.map(|callee| 1 + depth(callee, calls, at_most - 1));
    depths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(calls: &[(&str, &[&str])]) -> BTreeMap<ServiceName, Vec<ServiceName>> {
        let calls = calls.iter();
        calls
            .map(|(name, callees)| {
                let callees = callees.iter().map(|callee| ServiceName::from(*callee));
                (ServiceName::from(*name), callees.collect())
            })
            .collect()
    }

    fn numbers(
        calls: &BTreeMap<ServiceName, Vec<ServiceName>>,
        named: &[Vec<ServiceName>],
    ) -> Vec<(String, usize)> {
        let waves = waves(calls, named).into_iter();
        waves.map(|(name, wave)| (name.to_string(), wave)).collect()
    }

    #[test]
    fn who_is_called_comes_before_who_calls() {
        let calls = graph(&[
            ("a", &["b", "c", "gone"]),
            ("b", &["c"]),
            ("c", &[]),
            ("d", &[]),
        ]);
        let expected = [("a", 2), ("b", 1), ("c", 0), ("d", 0)];
        assert_eq!(
            numbers(&calls, &[]),
            expected.map(|(n, w)| (n.to_owned(), w))
        );
    }

    #[test]
    fn what_the_shop_names_comes_first() {
        let calls = graph(&[("a", &["b"]), ("b", &[]), ("c", &[])]);
        let named = [vec!["a".into()], vec!["c".into()]];
        let expected = [("a", 0), ("b", 2), ("c", 1)];
        assert_eq!(
            numbers(&calls, &named),
            expected.map(|(n, w)| (n.to_owned(), w))
        );
    }

    #[test]
    fn a_circle_ends() {
        let calls = graph(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(waves(&calls, &[]).len(), 2);
    }
}
