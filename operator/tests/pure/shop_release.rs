//! A release of the shop: wave after wave forward, and in the reverse order back.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;
use shop_operator::{
    api::{CanaryProgress, JudgedBy, OnFailure, SchemaStatus},
    naming::names::ServiceName,
    release::{
        Asker, Canary, Hold, Member, Members, RevisionId, Seen, ShopFailure, ShopRelease,
        ShopStage, Stage, State, Trial, Turn, Wanted, WantedCanary, Why, current, go_back,
        in_force, proceed, step, turn,
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
    /// Nobody has pods of these.
    scaled_to_none: BTreeSet<&'static str>,
    /// These should be back long ago.
    late: BTreeSet<&'static str>,
    states: BTreeMap<ServiceName, State>,
    release: Option<ShopRelease>,
    /// What each service runs.
    live: BTreeMap<ServiceName, RevisionId>,
    /// In which order services got what they run.
    course: Vec<String>,
    /// What has proved itself so far, or was gone back to: service and version.
    proved: BTreeSet<(ServiceName, RevisionId)>,
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
            scaled_to_none: BTreeSet::new(),
            late: BTreeSet::new(),
            states: names
                .iter()
                .map(|name| (name.clone(), state.clone()))
                .collect(),
            release: None,
            live: names.iter().map(|name| (name.clone(), id("1"))).collect(),
            course: Vec::new(),
            proved: BTreeSet::new(),
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
                has_pods: !self.scaled_to_none.contains(static_name(&name)),
                is_late: self.late.contains(static_name(&name)),
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
        let release = current(
            self.release.as_ref(),
            &self.version,
            &mut members,
            false,
            now,
        );
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
        let hold = |why| Hold {
            why,
            image: self.version.clone(),
        };
        let hold = match turn {
            Turn::Free | Turn::Goes => None,
            Turn::Waits(whom) => Some(hold(Why::Wave(whom))),
            Turn::Held(cause) => Some(hold(Why::TakenBack(cause))),
            Turn::Returns { to, cause } => {
                state = go_back(release, member, to, "image", cause.clone(), at(self.now));
                Some(hold(Why::TakenBack(cause)))
            }
        };
        let runs = in_force(&state).cloned().expect("one");
        // Rendered is what runs, where it is held or its migration is not done.
        let unmigrated = self
            .unmigrated
            .contains(&(static_name(name), self.version.clone()));
        let rendered = match hold.is_some() || unmigrated {
            true => runs,
            false => id(&self.version),
        };
        let wanted = Wanted {
            image: rendered.as_str().to_owned(),
            is_held: unmigrated,
            revision: rendered,
            retry: member.retry.clone(),
            canary: WantedCanary::default(),
            on_failure: self.on_failure,
            judged_by: JudgedBy::Answers,
            gate: SignedDuration::from_secs(2),
            deadline: SignedDuration::from_secs(60),
        };
        let asker = Asker {
            asked: &self.version,
            operator: "this one",
        };
        let seen = |_: &RevisionId| self.seen(name);
        step(&state, &wanted, hold.as_ref(), asker, seen, at(self.now)).next
    }

    fn seen(&self, name: &ServiceName) -> Seen {
        let live = self.live[name].clone();
        let has_pods = !self.scaled_to_none.contains(static_name(name));
        let is_broken = self
            .broken
            .contains(&(static_name(name), live.as_str().to_owned()));
        Seen {
            complete: !is_broken,
            has_pods,
            trouble: (is_broken && has_pods).then(|| "pod x crashes".into()),
            live: Some(live),
            ..Seen::default()
        }
    }

    fn apply(&mut self) {
        for (name, state) in &self.states {
            let good = state.good.iter().cloned();
            self.proved.extend(good.map(|good| (name.clone(), good)));
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

    /// All run one version, but for those in which it never proved itself.
    fn is_of_one_version(&self) -> bool {
        let runs_or_cannot = |version: &RevisionId| {
            let mut live = self.live.iter();
            live.all(|(name, runs)| {
                runs == version || !self.proved.contains(&(name.clone(), version.clone()))
            })
        };
        self.live.values().any(runs_or_cannot)
    }

    /// Each service that the release had reached, or was to reach, runs what it could go back to when that began.
    fn is_as_before(&self) -> bool {
        let before = &self.release.as_ref().expect("a release").before;
        before
            .iter()
            .all(|(name, before)| self.live[name] == *before)
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
        matches!(&users.stage, Stage::TakenBack(failure) if failure.cause.contains("because web failed: pod x crashes")),
        "{users:?}"
    );
    assert_eq!(users.good, Some(id("1")));
}

#[test]
fn what_had_no_time_to_prove_itself_is_nothing_to_go_back_to() {
    let mut world = World::new();
    world.version = "2".into();
    world.scaled_to_none.insert("web");
    world.passes(60);
    assert_eq!(world.stage(), &ShopStage::Done);
    // Its pods come, and before they have shown what they are worth the next version fails.
    world.scaled_to_none.clear();
    world.version = "3".into();
    world.broken = vec![("users", "3".into())];
    world.passes(60);
    assert!(matches!(world.stage(), ShopStage::TakenBack(_)));
    assert_eq!(world.runs(), ["2", "2", "1"]);
    assert!(
        world.is_of_one_version(),
        "as far as that has proved itself"
    );
}

#[test]
fn a_return_of_what_is_scaled_to_none_meanwhile_has_an_end() {
    let mut world = World::new();
    world.version = "2".into();
    world.scaled_to_none.insert("users");
    world.broken = vec![("users", "2".into())];
    world.passes(60);
    assert_eq!(world.stage(), &ShopStage::Done);
    // It gets a pod, which crashes, and loses it again.
    world.scaled_to_none.clear();
    world.passes(1);
    world.scaled_to_none.insert("users");
    world.passes(60);
    let users = &world.states[&ServiceName::from("users")];
    assert!(matches!(users.stage, Stage::TakenBack(_)), "{users:?}");
}

#[test]
fn what_proved_itself_before_its_turn_came_is_what_it_goes_back_to() {
    let mut world = World::new();
    world.version = "2".into();
    world.scaled_to_none.insert("orders");
    world.passes(60);
    assert_eq!(world.stage(), &ShopStage::Done);
    // It gets pods just when the next release begins, and they prove themselves while that fails elsewhere.
    world.scaled_to_none.clear();
    world.version = "4".into();
    world.passes(4);
    assert_eq!(world.runs(), ["4", "2", "2"]);
    world.broken = vec![("orders", "4".into())];
    world.passes(60);
    assert!(matches!(world.stage(), ShopStage::TakenBack(_)));
    assert_eq!(world.runs(), ["2", "2", "2"]);
}

#[test]
fn what_proved_itself_just_as_another_failed_does_not_go_back_further() {
    // It gets pods so late that it proves itself in the very pass in which the other one fails, or one before or after.
    for (before, late) in (5..15).flat_map(|before| (0..10).map(move |late| (before, late))) {
        let mut world = World::new();
        world.version = "2".into();
        world.scaled_to_none.insert("web");
        world.passes(before);
        world.broken = vec![("orders", "3".into())];
        world.version = "3".into();
        world.passes(late);
        world.scaled_to_none.clear();
        world.passes(60);
        let runs = world.runs();
        assert!(world.is_of_one_version(), "{before} {late}: {runs:?}");
    }
}

#[test]
fn what_it_proved_in_a_release_that_did_not_end_goes_back_with_the_others() {
    let mut world = World::new();
    world.version = "2".into();
    world.passes(6);
    world.version = "3".into();
    world.passes(6);
    let proved = &world.states[&ServiceName::from("users")].good;
    assert_ne!(proved, &Some(id("1")), "the test needs it");
    world.version = "4".into();
    world.broken = vec![("users", "4".into())];
    world.passes(60);
    assert_eq!(world.runs(), ["1", "1", "1"]);
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
fn where_the_schema_of_one_has_left_behind_what_ran_none_goes_back() {
    let mut world = World::new();
    // `users` migrates with each version, and that of 3 takes away what 1 needs.
    let users = ServiceName::from("users");
    let migrated = |world: &mut World, version: i64, oldest: i64| {
        let state = world.states.get_mut("users").expect("known");
        state.schema = Some(SchemaStatus {
            image: version.to_string(),
            version,
            oldest,
            since: None,
        });
        if version == 1 {
            let proved = json!({"revision": "1", "image": "1", "began": at(0).to_string(), "ended": at(0).to_string(),
                                "result": "Passed", "schema": 1});
            state.history = vec![serde_json::from_value(proved).expect("a release")];
        }
    };
    migrated(&mut world, 1, 1);
    world.version = "2".into();
    migrated(&mut world, 2, 1);
    world.passes(6);
    assert_eq!(
        world.states[&users].good,
        Some(id("2")),
        "the test needs it"
    );
    world.version = "3".into();
    migrated(&mut world, 3, 2);
    world.broken = vec![("web", "3".into())];
    world.passes(60);
    let ShopStage::Stopped(failure) = world.stage() else {
        panic!("{:?}", world.stage());
    };
    assert_eq!(
        (failure.service.as_str(), failure.cause.as_str()),
        (
            "web",
            "pod x crashes; the shop does not go back: users cannot, because 1 needs version 1 of the schema, and since the migration of \
             3 only code runs that needs 2 or later"
        )
    );
    // The one that failed goes back by itself: those that it calls are ahead of it in any release.
    assert_eq!(world.runs(), ["3", "3", "1"]);
    world.version = "4".into();
    world.passes(60);
    assert_eq!(world.runs(), ["4", "4", "4"]);
    assert_eq!(world.stage(), &ShopStage::Done);
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

#[test]
fn what_nobody_has_pods_of_is_not_waited_for() {
    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("web", "2".into())];
    world.scaled_to_none.insert("orders");
    world.passes(60);
    assert_eq!(world.runs(), ["1", "1", "1"]);
    assert!(
        matches!(world.stage(), ShopStage::TakenBack(_)),
        "{:?}",
        world.stage()
    );

    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("orders", "2".into())];
    world.passes(6);
    world.scaled_to_none.insert("orders");
    world.passes(60);
    assert_eq!(world.runs(), ["1", "1", "1"], "{:?}", world.release);
    assert!(
        matches!(world.stage(), ShopStage::TakenBack(_)),
        "{:?}",
        world.stage()
    );
}

#[test]
fn a_version_that_failed_is_tried_again_after_another_one() {
    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("web", "2".into()), ("users", "3".into())];
    world.passes(60);
    world.version = "3".into();
    world.passes(60);
    world.broken.clear();
    world.version = "2".into();
    world.passes(60);
    assert_eq!(world.runs(), ["2", "2", "2"], "{:?}", world.release);
    assert_eq!(world.stage(), &ShopStage::Done);
}

#[test]
fn a_version_that_is_taken_out_before_its_end_needs_no_other_try() {
    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("web", "2".into())];
    world.passes(60);
    world.version = "1".into();
    world.passes(60);
    assert_eq!(world.stage(), &ShopStage::Done);
    let all = world.states.values();
    assert!(all.into_iter().all(|state| state.stage == Stage::Idle));
}

#[test]
fn what_never_proved_itself_is_nothing_to_go_back_to() {
    let mut world = World::new();
    let mut members = world.members();
    let name = ServiceName::from("orders");
    let trial = Trial {
        revision: id("other settings"),
        since: at(0),
        began: at(0),
        last_end: None,
        before: Vec::new(),
        without_canary: None,
    };
    let orders = members.get_mut(&name).expect("a member");
    orders.state.stage = Stage::Rolling(trial);
    world.version = "2".into();
    let last = world.release.as_ref();
    let release = current(last, "2", &mut members, false, at(1));
    assert_eq!(release.before[&name], id("1"));
}

#[test]
fn a_later_wave_waits_for_a_canary_which_goes_back_with_the_others() {
    let mut world = World::new();
    world.version = "2".into();
    let (users, orders) = (ServiceName::from("users"), ServiceName::from("orders"));
    let mut members = world.members();
    let trial = Trial {
        revision: id("2"),
        since: at(0),
        began: at(0),
        last_end: None,
        before: Vec::new(),
        without_canary: None,
    };
    let member = members.get_mut(&users).expect("a member");
    member.state.asked = Some(member.asked.clone());
    member.state.stage = Stage::Canary(Canary {
        trial,
        step: 0,
        progress: CanaryProgress::Waiting,
        promote: None,
        abort: None,
    });
    let last = world.release.as_ref();
    let release = current(last, "2", &mut members, false, at(1));
    assert_eq!(turn(&release, &members, &users), Turn::Goes);
    let Turn::Waits(whom) = turn(&release, &members, &orders) else {
        panic!("{release:?}");
    };
    assert_eq!(
        whom,
        "users, which comes before it in the release of 2, and whose canary waits for `shopctl promote users`"
    );
    // Another one fails: what runs of the version has to go, also where it is a canary.
    let failure = ShopFailure {
        service: orders,
        cause: "x".into(),
        asked: String::new(),
        tries: BTreeSet::new(),
    };
    let release = ShopRelease {
        stage: ShopStage::Returning(failure),
        ..release
    };
    let Turn::Returns { to, cause } = turn(&release, &members, &users) else {
        panic!("{release:?}");
    };
    assert_eq!(to, id("1"));
    let back = go_back(&release, &members[&users], to, "shop/users:2", cause, at(2));
    assert!(matches!(back.stage, Stage::Returning(_)), "{back:?}");
    assert_eq!(back.history[0].revision, "2");
}

#[test]
fn who_follows_the_version_only_since_it_goes_round_goes_back_too() {
    let mut world = World::new();
    world.version = "2".into();
    world.passes(4);
    let mut release = world.release.clone().expect("a release");
    let name = ServiceName::from("web");
    release.before.remove(&name);
    let mut members = world.members();
    let release = current(Some(&release), "2", &mut members, false, at(9));
    assert_eq!(release.before[&name], id("1"));
}

#[test]
fn an_old_try_is_no_new_one() {
    let mut world = World::new();
    world.retries.insert("orders".into(), "long ago".into());
    world.version = "2".into();
    world.broken = vec![("web", "2".into())];
    world.passes(60);
    let mut members = world.members();
    let orders = members.get_mut(&ServiceName::from("orders"));
    orders.expect("a member").retry = None;
    let last = world.release.clone().expect("a release");
    let next = current(Some(&last), "2", &mut members, false, at(99));
    assert_eq!(next, last);
}

#[test]
fn one_that_does_not_come_back_keeps_no_other_from_it() {
    let mut world = World::new();
    world.version = "2".into();
    world.broken = vec![("web", "2".into())];
    world.passes(12);
    world.broken.push(("web", "1".into()));
    world.late.insert("web");
    world.passes(60);
    assert_eq!(world.runs(), ["1", "1", "1"]);
    assert!(
        matches!(world.stage(), ShopStage::TakenBack(_)),
        "{:?}",
        world.stage()
    );
}

#[test]
fn a_return_that_is_allowed_later_takes_back_what_stands_still() {
    let mut world = World::new();
    world.on_failure = OnFailure::Stop;
    world.version = "2".into();
    world.broken = vec![("orders", "2".into())];
    world.passes(60);
    world.on_failure = OnFailure::Revert;
    world.passes(60);
    assert_eq!(world.runs(), ["1", "1", "1"]);
    world.broken.clear();
    world.retries.insert("orders".into(), "now".into());
    world.passes(60);
    assert_eq!(world.runs(), ["2", "2", "2"]);
}

#[derive(Clone, Debug)]
enum Event {
    Version(u8),
    Breaks(usize, u8),
    Mends,
    Passes(usize),
    Retries(usize),
    Scales(usize, bool),
    OnFailure(bool),
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
        1 => (0_usize..3, any::<bool>()).prop_map(|(service, on)| Event::Scales(service, on)),
        1 => any::<bool>().prop_map(Event::OnFailure),
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
                Event::Scales(service, true) => {
                    world.scaled_to_none.remove(SERVICES[*service].0);
                }
                Event::Scales(service, false) => {
                    world.scaled_to_none.insert(SERVICES[*service].0);
                }
                Event::OnFailure(returns) => {
                    world.on_failure = match returns {
                        true => OnFailure::Revert,
                        false => OnFailure::Stop,
                    };
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
        match world.stage() {
            // What had no pods when it was done may fail by itself when it gets some.
            ShopStage::Done => for (name, state) in &world.states {
                let runs = world.live[name].as_str() == world.version;
                let has_failed = matches!(state.stage, Stage::TakenBack(_) | Stage::Stopped(_));
                prop_assert!(runs || has_failed, "{:?} {:?}", name, state);
            },
            ShopStage::TakenBack(_) => {
                prop_assert!(world.is_of_one_version(), "{:?} {:?}", runs, world.release);
                prop_assert!(world.is_as_before(), "{:?} {:?}", runs, world.release);
            }
            ShopStage::Stopped(_) => prop_assert_eq!(world.on_failure, OnFailure::Stop),
            other => prop_assert!(false, "{:?} {:?}", other, runs),
        }
    }
}
