//! The way of a service from the host to pods of its own, and back: at each moment somebody answers.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use shop_operator::{
    facts::Remembered,
    model::place::Place::{self, Apart, Hosted},
    progress::placement::{DEADLINE, Placement, Readiness, Way, place},
};

/// Nothing of the service is there.
const NOTHING: Readiness = Readiness {
    has_pods: false,
    apart: false,
    has_host: false,
    is_guest: false,
    hosted: false,
    migrated: false,
};
/// The host runs other services.
const BESIDE_A_HOST: Readiness = Readiness {
    has_host: true,
    ..NOTHING
};
/// The host runs this one.
const GUEST: Readiness = Readiness {
    is_guest: true,
    hosted: true,
    ..BESIDE_A_HOST
};
/// Its own pods run it.
const OWN_PODS: Readiness = Readiness {
    has_pods: true,
    apart: true,
    ..BESIDE_A_HOST
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn began(second: i64) -> Remembered {
    Remembered {
        since: at(second),
        given_up: false,
        cause: "no node fits".into(),
    }
}

fn step(wanted: Place, answers: Option<Place>, ready: Readiness) -> Placement {
    place(wanted, answers, ready, Some(&began(100)), at(160))
}

/// Whose pods answer, whether it has pods of its own, whether the host runs it.
fn of(placement: &Placement) -> (Place, bool, bool) {
    (placement.answers, placement.apart, placement.hosted)
}

#[test]
fn a_new_service_begins_where_it_should_be() {
    for (wanted, expected) in [
        (Apart, (Apart, true, false)),
        (Hosted, (Hosted, false, true)),
    ] {
        for answers in [None, Some(wanted)] {
            let placement = step(wanted, answers, NOTHING);
            assert_eq!((of(&placement), placement.way), (expected, Way::Settled));
        }
    }
}

#[test]
fn one_that_is_new_to_a_host_at_work_is_taken_in_when_its_database_is_migrated() {
    let unmigrated = step(Hosted, None, BESIDE_A_HOST);
    assert_eq!(of(&unmigrated), (Hosted, false, false));
    // From the next look on its Service is there and leads to the host.
    let later = step(Hosted, Some(Hosted), BESIDE_A_HOST);
    assert_eq!(of(&later), (Hosted, false, false));
    // Nor does it enter on its way out.
    let leaving = step(Apart, Some(Hosted), BESIDE_A_HOST);
    assert_eq!(of(&leaving), (Hosted, true, false));
    let migrated = Readiness {
        migrated: true,
        ..BESIDE_A_HOST
    };
    assert_eq!(of(&step(Hosted, None, migrated)), (Hosted, false, true));
}

#[test]
fn without_its_service_whoever_runs_it_answers() {
    assert_eq!(of(&step(Apart, None, GUEST)), (Hosted, true, true));
    let entering = Readiness {
        migrated: true,
        ..OWN_PODS
    };
    assert_eq!(of(&step(Hosted, None, entering)), (Apart, true, true));
}

#[test]
fn the_service_turns_once_its_own_pods_are_ready_and_the_host_runs_it_until_it_has_turned() {
    let waiting = step(Apart, Some(Hosted), GUEST);
    assert_eq!(of(&waiting), (Hosted, true, true));
    assert_eq!(waiting.way, Way::Moving(at(100)));
    let ready = Readiness {
        has_pods: true,
        apart: true,
        ..GUEST
    };
    assert_eq!(of(&step(Apart, Some(Hosted), ready)), (Apart, true, true));
    let turned = step(Apart, Some(Apart), ready);
    assert_eq!(
        (of(&turned), turned.way),
        ((Apart, true, false), Way::Settled)
    );
}

#[test]
fn the_host_takes_a_service_in_when_its_database_is_migrated_and_answers_when_all_its_pods_run_it()
{
    assert_eq!(
        of(&step(Hosted, Some(Apart), OWN_PODS)),
        (Apart, true, false)
    );
    let migrated = Readiness {
        migrated: true,
        ..OWN_PODS
    };
    assert_eq!(
        of(&step(Hosted, Some(Apart), migrated)),
        (Apart, true, true)
    );
    // It stays a guest when its migration begins anew meanwhile.
    let guest = Readiness {
        is_guest: true,
        ..OWN_PODS
    };
    assert_eq!(of(&step(Hosted, Some(Apart), guest)), (Apart, true, true));
    let ready = Readiness {
        hosted: true,
        ..guest
    };
    assert_eq!(of(&step(Hosted, Some(Apart), ready)), (Hosted, true, true));
    assert_eq!(
        of(&step(Hosted, Some(Hosted), ready)),
        (Hosted, false, true)
    );
}

#[test]
fn a_way_that_takes_too_long_ends_where_it_began() {
    for (wanted, from, ready) in [(Apart, Hosted, GUEST), (Hosted, Apart, OWN_PODS)] {
        let late = at(100) + DEADLINE + SignedDuration::from_secs(1);
        let way = began(100);
        let given_up = place(wanted, Some(from), ready, Some(&way), late);
        let expected = Way::GivenUp(at(100), "no node fits".to_owned());
        assert_eq!(given_up.way, expected);
        let place_of = (from, from == Apart, from == Hosted);
        assert_eq!(of(&given_up), place_of);
        // From then on it is wanted where it was, and the status says why.
        let remembered = Remembered {
            given_up: true,
            ..way
        };
        let later = late + SignedDuration::from_secs(1);
        let again = place(from, Some(from), ready, Some(&remembered), later);
        assert_eq!((of(&again), again.way), (place_of, expected));
        // The next generation remembers nothing of it.
        let changed = place(wanted, Some(from), ready, None, later);
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
}

/// What happens between two looks.
#[derive(Clone, Debug)]
struct Step {
    /// A person changes his mind.
    turns: bool,
    own_ready: bool,
    host_ready: bool,
    migrated: bool,
    seconds: i64,
    /// The status is lost, as with a backup that was put back.
    forgets: bool,
    /// Somebody deletes the Service.
    loses_service: bool,
}

fn steps() -> impl Strategy<Value = Step> {
    let rarely = || prop::bool::weighted(0.1);
    let ready = (any::<bool>(), any::<bool>(), any::<bool>());
    (rarely(), ready, 0..400i64, rarely(), rarely()).prop_map(
        |(turns, (own_ready, host_ready, migrated), seconds, forgets, loses_service)| Step {
            turns,
            own_ready,
            host_ready,
            migrated,
            seconds,
            forgets,
            loses_service,
        },
    )
}

impl World {
    fn ready(&self, step: &Step) -> Readiness {
        Readiness {
            has_pods: self.own_pods,
            apart: self.own_pods && step.own_ready,
            has_host: true,
            is_guest: self.guest,
            hosted: self.guest && step.host_ready,
            migrated: step.migrated,
        }
    }

    fn obey(&mut self, placement: Placement) {
        self.own_pods = placement.apart;
        self.guest = placement.hosted;
        self.answers = Some(placement.answers);
        let way = |since, given_up| Remembered {
            since,
            given_up,
            cause: String::new(),
        };
        self.way = match placement.way {
            Way::Settled => None,
            Way::Moving(since) => Some(way(since, false)),
            Way::GivenUp(since, _) => Some(way(since, true)),
        };
    }
}

proptest! {
    /// Whatever becomes ready or fails, gets lost, and however often a person changes his mind: whoever answers runs the service.
    #[test]
    fn somebody_answers_always(start in any::<bool>(), steps in prop::collection::vec(steps(), 1..60)) {
        let mut asked = if start { Apart } else { Hosted };
        let mut world = World::default();
        let mut second = 0;
        for step in steps {
            if step.turns {
                asked = if asked == Apart { Hosted } else { Apart };
            }
            if step.turns || step.forgets {
                world.way = None;
            }
            second += step.seconds;
            let (ready, before) = (world.ready(&step), world.answers);
            if step.loses_service {
                world.answers = None;
            }
            // What was given up is wanted where it was.
            let given_up = world.way.as_ref().is_some_and(|way| way.given_up);
            let wanted = world.answers.filter(|_| given_up).unwrap_or(asked);
            let placement = place(wanted, world.answers, ready, world.way.as_ref(), at(second));
            // Who answers now goes on running, also in this pass; and the Service turns only to what is ready.
            if let Some(now_at) = world.answers {
                // A service that is new to the host is answered there before it is taken in.
                let goes_on = match now_at { Apart => placement.apart, Hosted => placement.hosted || !ready.is_guest };
                prop_assert!(goes_on, "{placement:?}");
                let is_ready = match placement.answers { Apart => ready.apart, Hosted => ready.hosted };
                prop_assert!(now_at == placement.answers || is_ready, "{placement:?}");
            }
            // A Service that comes back leads to who is ready, if anybody is.
            if before.is_some() && world.answers.is_none() && (ready.apart || ready.hosted) {
                let is_ready = match placement.answers { Apart => ready.has_pods, Hosted => ready.hosted };
                prop_assert!(is_ready, "{placement:?} {ready:?}");
            }
            world.obey(placement);
        }
        // With everything ready and a changed Shop it comes to where it should be.
        world.way = None;
        let all_well = Step { turns: false, own_ready: true, host_ready: true, migrated: true, seconds: 0, forgets: false, loses_service: false };
        for _ in 0..5 {
            let placement = place(asked, world.answers, world.ready(&all_well), world.way.as_ref(), at(second));
            world.obey(placement);
        }
        prop_assert_eq!((world.answers, world.own_pods, world.guest), (Some(asked), asked == Apart, asked == Hosted));
    }
}
