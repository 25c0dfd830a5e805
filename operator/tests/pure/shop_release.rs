//! A release of the shop: wave after wave forward, and in the reverse order back.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use shop_operator::{
    api::OnFailure,
    naming::names::ServiceName,
    release::{
        Member, Members, RevisionId, Seen, ShopRelease, ShopStage, Stage, State, Turn, Wanted,
        advance, current, go_back, in_force, proceed, turn,
    },
};

/// `users` is called by `orders`, and that by `web`.
const SERVICES: [(&str, usize); 3] = [("users", 0), ("orders", 1), ("web", 2)];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn id(text: &str) -> RevisionId {
    text.into()
}

/// A shop whose pods are replaced within one pass, and get on or not.
struct World {
    version: String,
    on_failure: OnFailure,
    /// What does not get on: service and version.
    broken: Vec<(&'static str, String)>,
    /// Whose migrations fail: service and version.
    unmigrated: Vec<(&'static str, String)>,
    retries: BTreeMap<ServiceName, String>,
    states: BTreeMap<ServiceName, State>,
    release: Option<ShopRelease>,
    /// What each service runs.
    live: BTreeMap<ServiceName, RevisionId>,
    /// In which order services got what they run.
    course: Vec<String>,
    now: i64,
}

impl World {
    /// Version 1 has proved itself everywhere.
    fn new() -> Self {
        let names = SERVICES.map(|(name, _)| ServiceName::from(name));
        let state = State {
            good: Some(id("1")),
            asked: Some("1".into()),
            ..State::default()
        };
        let mut world = Self {
            version: "1".into(),
            on_failure: OnFailure::Revert,
            broken: Vec::new(),
            unmigrated: Vec::new(),
            retries: BTreeMap::new(),
            states: names
                .iter()
                .map(|name| (name.clone(), state.clone()))
                .collect(),
            release: None,
            live: names.iter().map(|name| (name.clone(), id("1"))).collect(),
            course: Vec::new(),
            now: 0,
        };
        world.pass();
        world
    }

    fn members(&self) -> Members {
        let member = |(name, wave): (&str, usize)| {
            let name = ServiceName::from(name);
            let member = Member {
                wave,
                state: self.states[&name].clone(),
                asked: self.version.clone(),
                retry: self.retries.get(&name).cloned(),
                has_pods: true,
                migration: None,
            };
            (name, member)
        };
        SERVICES.into_iter().map(member).collect()
    }

    /// One pass of the operator, and then a second goes by.
    fn pass(&mut self) {
        let mut members = self.members();
        let now = at(self.now);
        let release = current(self.release.as_ref(), &self.version, &mut members, now);
        for name in members.keys().cloned().collect::<Vec<_>>() {
            let turn = turn(&release, &members, &name);
            let state = self.step(&release, &members[&name], &name, turn);
            self.states.insert(name, state);
        }
        for (name, member) in &mut members {
            member.state = self.states[name].clone();
            let fails = self
                .unmigrated
                .contains(&(static_name(name), self.version.clone()));
            let is_free = member.state.held.is_none();
            member.migration =
                (fails && is_free && member.state.asked != Some(self.version.clone()))
                    .then(|| "its migration failed".into());
        }
        self.release = Some(proceed(release, &members, self.on_failure));
        self.apply();
        self.now += 1;
    }

    fn step(
        &self,
        release: &ShopRelease,
        member: &Member,
        name: &ServiceName,
        turn: Turn,
    ) -> State {
        let mut state = member.state.clone();
        let mut frozen = None;
        match turn {
            Turn::Free => {}
            Turn::Waits(_) | Turn::Held(_) => frozen = in_force(&state).cloned(),
            Turn::Returns(to) => {
                state = go_back(
                    release,
                    member,
                    to,
                    "image",
                    "another failed".into(),
                    at(self.now),
                );
            }
        }
        let unmigrated = self
            .unmigrated
            .contains(&(static_name(name), self.version.clone()));
        let is_held = frozen.is_some() || unmigrated;
        let asked = frozen.clone().unwrap_or_else(|| match unmigrated {
            true => in_force(&state).cloned().expect("one"),
            false => id(&self.version),
        });
        let wanted = Wanted {
            revision: asked,
            image: "image".into(),
            is_held,
            retry: match (&state.stage, &frozen) {
                (Stage::TakenBack(failure), Some(_)) => failure.retry.clone(),
                _ => member.retry.clone(),
            },
            on_failure: self.on_failure,
            gate: SignedDuration::from_secs(2),
            deadline: SignedDuration::from_secs(60),
        };
        let mut next = advance(&state, &wanted, &self.seen(name), at(self.now)).next;
        if !is_held {
            next.asked = Some(self.version.clone());
        }
        next.held = None;
        if frozen.is_some() {
            next.held = Some(shop_operator::api::HeldStatus {
                reason: shop_operator::api::HoldReason::Wave,
                message: String::new(),
            });
        }
        next
    }

    fn seen(&self, name: &ServiceName) -> Seen {
        let live = self.live[name].clone();
        let is_broken = self
            .broken
            .contains(&(static_name(name), live.as_str().to_owned()));
        Seen {
            complete: !is_broken,
            has_pods: true,
            trouble: is_broken.then(|| "pod x crashes".into()),
            live: Some(live),
            ..Seen::default()
        }
    }

    fn apply(&mut self) {
        for (name, state) in &self.states {
            let Some(runs) = in_force(state) else {
                continue;
            };
            if self.live[name] != *runs {
                self.live.insert(name.clone(), runs.clone());
                self.course.push(format!("{name} {}", runs.as_str()));
            }
        }
    }

    fn passes(&mut self, count: usize) {
        (0..count).for_each(|_| self.pass());
    }

    fn stage(&self) -> &ShopStage {
        &self.release.as_ref().expect("a release").stage
    }

    fn runs(&self) -> Vec<&str> {
        SERVICES
            .iter()
            .map(|(name, _)| self.live[&ServiceName::from(*name)].as_str())
            .collect()
    }
}

fn static_name(name: &ServiceName) -> &'static str {
    let mut all = SERVICES.iter().map(|(name, _)| *name);
    all.find(|known| *known == name.as_str()).expect("known")
}

#[test]
fn who_is_called_proves_itself_before_who_calls_begins() {
    let mut world = World::new();
    world.version = "2".into();
    world.passes(4);
    assert_eq!(world.course, ["users 2"]);
    assert_eq!(world.stage(), &ShopStage::Rolling);
    world.passes(30);
    assert_eq!(world.course, ["users 2", "orders 2", "web 2"]);
    assert_eq!(world.stage(), &ShopStage::Done);
}

#[test]
fn where_one_fails_all_go_back_the_last_wave_first() {
    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("web", "2".into())];
    world.passes(60);
    let course = [
        "users 2", "orders 2", "web 2", "web 1", "orders 1", "users 1",
    ];
    assert_eq!(world.course, course);
    let ShopStage::TakenBack(failure) = world.stage() else {
        panic!("{:?}", world.stage());
    };
    assert_eq!(
        (failure.service.as_str(), failure.cause.as_str()),
        ("web", "pod x crashes")
    );
    let users = &world.states[&ServiceName::from("users")];
    assert!(
        matches!(&users.stage, Stage::TakenBack(failure) if failure.cause == "another failed"),
        "{users:?}"
    );
    assert_eq!(users.good, Some(id("1")));
}

#[test]
fn what_was_not_reached_never_begins() {
    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("orders", "2".into())];
    world.passes(60);
    assert_eq!(world.course, ["users 2", "orders 2", "orders 1", "users 1"]);
}

#[test]
fn a_migration_that_fails_takes_back_the_waves_before_it() {
    let mut world = World::new();
    world.version = "2".into();
    world.unmigrated = vec![("orders", "2".into())];
    world.passes(60);
    assert_eq!(world.course, ["users 2", "users 1"]);
    assert!(matches!(world.stage(), ShopStage::TakenBack(_)));
}

#[test]
fn another_version_is_tried_and_another_try_is_made_when_somebody_says_so() {
    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("web", "2".into())];
    world.passes(60);
    world.course.clear();
    world.passes(60);
    assert!(
        world.course.is_empty(),
        "what failed is not tried by itself: {:?}",
        world.course
    );
    world.broken.clear();
    world.retries.insert("web".into(), "now".into());
    world.passes(60);
    assert_eq!(world.course, ["users 2", "orders 2", "web 2"]);
    assert_eq!(world.stage(), &ShopStage::Done);

    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("web", "2".into())];
    world.passes(60);
    world.course.clear();
    world.version = "3".into();
    world.passes(60);
    assert_eq!(world.course, ["users 3", "orders 3", "web 3"]);
}

#[test]
fn where_a_return_is_forbidden_later_waves_wait_until_it_is_well() {
    let mut world = World::new();
    world.on_failure = OnFailure::Stop;
    world.version = "2".into();
    world.broken = vec![("orders", "2".into())];
    world.passes(60);
    assert_eq!(world.runs(), ["2", "2", "1"]);
    assert!(matches!(world.stage(), ShopStage::Stopped(_)));
    world.broken.clear();
    world.passes(30);
    assert_eq!(world.runs(), ["2", "2", "2"]);
    assert_eq!(world.stage(), &ShopStage::Done);
}

#[test]
fn a_version_that_comes_amid_a_release_goes_back_to_what_ran_before_both() {
    let mut world = World::new();
    world.version = "2".into();
    world.passes(6);
    world.version = "3".into();
    world.broken = vec![("web", "3".into())];
    world.passes(60);
    assert_eq!(world.runs(), ["1", "1", "1"]);
}

#[test]
fn what_the_status_tells_is_what_is_remembered() {
    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("web", "2".into())];
    for _ in 0..40 {
        world.pass();
        let release = world.release.clone().expect("a release");
        assert_eq!(ShopRelease::of(&release.to_status()), release);
    }
}

#[derive(Clone, Debug)]
enum Event {
    Version(u8),
    Breaks(usize, u8),
    Mends,
    Passes(usize),
    Retries(usize),
    /// The operator ends before it has written anything of a pass.
    Ends,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (1_u8..5).prop_map(Event::Version),
        2 => (0_usize..3, 2_u8..5).prop_map(|(service, version)| Event::Breaks(service, version)),
        1 => Just(Event::Mends),
        5 => (1_usize..12).prop_map(Event::Passes),
        1 => (0_usize..3).prop_map(Event::Retries),
        1 => Just(Event::Ends),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Whatever happens, it comes to an end in which all run one version, the one asked for or one that proved itself before, and
    /// nobody begins before who is called has proved itself.
    #[test]
    fn every_release_ends_with_one_version_everywhere(events in prop::collection::vec(event(), 1..25)) {
        let mut world = World::new();
        for event in &events {
            match event {
                Event::Version(version) => world.version = version.to_string(),
                // What ran once runs again: a return to what does not get on has no end.
                Event::Breaks(service, version) => {
                    let broken = (SERVICES[*service].0, version.to_string());
                    if !world.course.contains(&format!("{} {}", broken.0, broken.1)) {
                        world.broken.push(broken);
                    }
                }
                Event::Mends => world.broken.clear(),
                Event::Passes(count) => world.passes(*count),
                Event::Retries(service) => {
                    let name = ServiceName::from(SERVICES[*service].0);
                    world.retries.insert(name, world.now.to_string());
                }
                Event::Ends => {
                    let (states, release) = (world.states.clone(), world.release.clone());
                    let (live, course) = (world.live.clone(), world.course.clone());
                    world.pass();
                    (world.states, world.release) = (states, release);
                    (world.live, world.course) = (live, course);
                }
            }
            world.pass();
        }
        world.passes(200);
        let course = world.course.len();
        let runs: Vec<_> = world.runs().into_iter().map(str::to_owned).collect();
        world.passes(100);
        prop_assert_eq!(course, world.course.len(), "it rests");
        prop_assert!(runs.iter().all(|version| *version == runs[0]), "{:?} {:?}", runs, world.release);
        match world.stage() {
            ShopStage::Done => prop_assert_eq!(&runs[0], &world.version),
            ShopStage::TakenBack(_) => prop_assert_ne!(&runs[0], &world.version),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
