//! The way of a service from the host to pods of its own, and back: at each moment somebody answers.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use shop_operator::{
    facts::Remembered,
    model::place::Place::{self, Apart, Hosted},
    progress::placement::{DEADLINE, Placement, Readiness, Way, place},
};

const NOT_READY: Readiness = Readiness {
    apart: false,
    hosted: false,
    is_guest: false,
    migrated: false,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn began(second: i64) -> Remembered {
    Remembered {
        since: at(second),
        generation: Some(3),
        given_up: None,
        held_up_by: "no node fits".into(),
    }
}

fn step(wanted: Place, answers: Option<Place>, ready: Readiness) -> Placement {
    place(wanted, answers, ready, Some(&began(100)), Some(3), at(160))
}

#[test]
fn a_new_service_begins_where_it_should_be() {
    for (wanted, apart, hosted) in [(Apart, true, false), (Hosted, false, true)] {
        for answers in [None, Some(wanted)] {
            let placement = step(wanted, answers, NOT_READY);
            let settled = Placement {
                answers: wanted,
                apart,
                hosted,
                way: Way::Settled,
            };
            assert_eq!(placement, settled);
        }
    }
}

#[test]
fn the_service_turns_once_its_own_pods_are_ready_and_the_host_runs_it_until_it_has_turned() {
    let waiting = step(Apart, Some(Hosted), NOT_READY);
    assert_eq!(
        (waiting.answers, waiting.apart, waiting.hosted),
        (Hosted, true, true)
    );
    assert_eq!(waiting.way, Way::Moving(at(100)));
    let ready = Readiness {
        apart: true,
        ..NOT_READY
    };
    let turning = step(Apart, Some(Hosted), ready);
    assert_eq!(
        (turning.answers, turning.apart, turning.hosted),
        (Apart, true, true)
    );
    let turned = step(Apart, Some(Apart), ready);
    assert_eq!(
        (turned.apart, turned.hosted, turned.way),
        (true, false, Way::Settled)
    );
}

#[test]
fn the_host_takes_a_service_in_when_its_database_is_migrated_and_answers_when_all_its_pods_run_it()
{
    let unmigrated = step(Hosted, Some(Apart), NOT_READY);
    assert_eq!(
        (unmigrated.answers, unmigrated.apart, unmigrated.hosted),
        (Apart, true, false)
    );
    let migrated = Readiness {
        migrated: true,
        ..NOT_READY
    };
    let taken_in = step(Hosted, Some(Apart), migrated);
    assert_eq!(
        (taken_in.answers, taken_in.apart, taken_in.hosted),
        (Apart, true, true)
    );
    // It stays a guest when its migration begins anew meanwhile.
    let guest = Readiness {
        is_guest: true,
        ..NOT_READY
    };
    assert!(step(Hosted, Some(Apart), guest).hosted);
    let ready = Readiness {
        hosted: true,
        ..guest
    };
    let turning = step(Hosted, Some(Apart), ready);
    assert_eq!((turning.answers, turning.apart), (Hosted, true));
    let turned = step(Hosted, Some(Hosted), ready);
    assert_eq!((turned.apart, turned.hosted), (false, true));
}

#[test]
fn a_way_that_takes_too_long_ends_where_it_began_until_the_shop_changes() {
    for (wanted, from) in [(Apart, Hosted), (Hosted, Apart)] {
        let late = at(100) + DEADLINE + SignedDuration::from_secs(1);
        let way = began(100);
        let given_up = place(wanted, Some(from), NOT_READY, Some(&way), Some(3), late);
        let why = "no node fits".to_owned();
        assert_eq!(given_up.way, Way::GivenUp(at(100), why.clone()));
        let of_one = (given_up.apart, given_up.hosted);
        assert_eq!(
            (given_up.answers, of_one),
            (from, (from == Apart, from == Hosted))
        );
        // The status remembers it, whatever becomes ready.
        let remembered = Remembered {
            given_up: Some(why.clone()),
            ..way
        };
        let ready = Readiness {
            apart: true,
            hosted: true,
            is_guest: true,
            migrated: true,
        };
        let later = late + SignedDuration::from_secs(1);
        let again = place(wanted, Some(from), ready, Some(&remembered), Some(3), later);
        assert_eq!(again.way, Way::GivenUp(at(100), why));
        let changed = place(
            wanted,
            Some(from),
            NOT_READY,
            Some(&remembered),
            Some(4),
            later,
        );
        assert_eq!(changed.way, Way::Moving(later));
    }
}

/// What there is of a service in a cluster that does what it is told, in its own time.
#[derive(Debug, Default)]
struct World {
    answers: Option<Place>,
    own_pods: bool,
    guest: bool,
    way: Option<Remembered>,
    generation: i64,
}

proptest! {
    /// Whatever becomes ready or fails, and however often a person changes his mind: whoever answers runs the service.
    #[test]
    fn somebody_answers_always(
        start in prop::bool::ANY,
        steps in prop::collection::vec((prop::bool::weighted(0.1), prop::bool::ANY, prop::bool::ANY, prop::bool::ANY, 0i64..400), 1..60),
    ) {
        let mut wanted = if start { Apart } else { Hosted };
        let mut world = World::default();
        let mut second = 0;
        for (turns, own_ready, host_ready, migrated, later) in steps {
            if turns {
                wanted = if wanted == Apart { Hosted } else { Apart };
                world.generation += 1;
            }
            second += later;
            let ready = Readiness {
                apart: world.own_pods && own_ready,
                hosted: world.guest && host_ready,
                is_guest: world.guest,
                migrated,
            };
            let placement = place(wanted, world.answers, ready, world.way.as_ref(), Some(world.generation), at(second));
            // Before: who answers now goes on running, also in this pass.
            match world.answers {
                Some(Apart) => prop_assert!(placement.apart),
                Some(Hosted) => prop_assert!(placement.hosted),
                None => {}
            }
            // The Service turns only to what is ready.
            if let Some(before) = world.answers && before != placement.answers {
                let is_ready = match placement.answers { Apart => ready.apart, Hosted => ready.hosted };
                prop_assert!(is_ready);
            }
            world.own_pods = placement.apart;
            world.guest = placement.hosted;
            world.answers = Some(placement.answers);
            let way = |since, given_up| Remembered { since, generation: Some(world.generation), given_up, held_up_by: String::new() };
            world.way = match placement.way {
                Way::Settled => None,
                Way::Moving(since) => Some(way(since, None)),
                Way::GivenUp(since, why) => Some(way(since, Some(why))),
            };
        }
        // With everything ready and a changed Shop it comes to where it should be.
        world.generation += 1;
        for _ in 0..5 {
            let ready = Readiness { apart: world.own_pods, hosted: world.guest, is_guest: world.guest, migrated: true };
            let placement = place(wanted, world.answers, ready, None, Some(world.generation), at(second));
            world.own_pods = placement.apart;
            world.guest = placement.hosted;
            world.answers = Some(placement.answers);
        }
        prop_assert_eq!((world.answers, world.own_pods, world.guest), (Some(wanted), wanted == Apart, wanted == Hosted));
    }
}
