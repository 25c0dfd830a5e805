//! How many connections to its database one process of a service may have, so that all of its pods together find room.

/// What PostgreSQL accepts in all (`max_connections`).
pub const MAX_CONNECTIONS: i32 = 200;
/// Kept free: the 3 that PostgreSQL itself keeps for administrators, and 7 for the migration, the operator and people.
const KEPT_FREE: i32 = 10;
/// What a process takes where nothing is set.
const DEFAULT: i32 = 8;
/// With less a process does not work: one for its pool and one that listens.
const LEAST: i32 = 2;
/// While a rollout goes on, one pod more than wanted runs.
pub const SURGE: i32 = 1;
/// The greatest number of pods for which the least still fits.
pub const MOST_PODS: i32 = (MAX_CONNECTIONS - KEPT_FREE) / LEAST - SURGE;

/// The bound that each process of a service of so many pods gets; none where the default fits. Never less than a process
/// needs: a Shop that was stored under an older CRD may name more pods than [`MOST_PODS`].
pub fn per_process(pods: i32) -> Option<i32> {
    per_pool(pods.saturating_add(SURGE))
}

/// The bound of each of so many pools.
pub fn per_pool(pools: i32) -> Option<i32> {
    let fits = (MAX_CONNECTIONS - KEPT_FREE) / pools.max(1);
    (fits < DEFAULT).then_some(fits.max(LEAST))
}

/// Whether the least that each of so many pools needs still fits.
pub fn pools_fit(pools: i32) -> bool {
    pools.saturating_mul(LEAST) <= MAX_CONNECTIONS - KEPT_FREE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pods_and_one_more_find_room_up_to_the_most() {
        for pods in 0..=MOST_PODS {
            let each = per_process(pods).unwrap_or(DEFAULT);
            assert!((LEAST..=DEFAULT).contains(&each), "{pods} pods: {each}");
            assert!(
                (pods + SURGE) * each <= MAX_CONNECTIONS - KEPT_FREE,
                "{pods} pods: {each}"
            );
        }
        let one_more = MOST_PODS + 1;
        let each = per_process(one_more).expect("a bound");
        assert!((one_more + SURGE) * each > MAX_CONNECTIONS - KEPT_FREE);
    }

    #[test]
    fn a_process_takes_as_many_as_fit_and_nothing_is_set_where_the_default_fits() {
        for (pods, each) in [
            (1, None),
            (22, None),
            (23, Some(7)),
            (46, Some(4)),
            (94, Some(2)),
            (100, Some(2)),
            (i32::MAX, Some(2)),
        ] {
            assert_eq!(per_process(pods), each, "{pods}");
        }
    }
}
