//! What holds for every course of a release: random changes of the Shop, lost statuses, and an operator that ends between any two steps,
//! against a model of how Kubernetes replaces pods.

use std::sync::LazyLock;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use shop_operator::{
    api::{JudgedBy, OnFailure},
    facts::answers::Answers,
    model::canary::Step,
    release::{
        Effective, RevisionId, Seen, Stage, State, Wanted, WantedCanary, advance, answered_before,
    },
};

use crate::fixtures::answers;

/// How the pods of a revision behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Good,
    Crashes,
    NeverReady,
    /// Ready, and then it ends.
    EndsInGate,
    /// Ready, and it answers with errors.
    AnswersErrors,
}

const REVISIONS: [Nature; 7] = [
    Nature::Good,
    Nature::Crashes,
    Nature::Good,
    Nature::NeverReady,
    Nature::EndsInGate,
    Nature::Good,
    Nature::AnswersErrors,
];

fn id(number: usize) -> RevisionId {
    number.to_string().as_str().into()
}

fn nature(revision: &RevisionId) -> Nature {
    REVISIONS[revision.as_str().parse::<usize>().expect("a number")]
}

#[derive(Clone, Debug)]
enum Event {
    Wants(usize),
    Passes(i64),
    /// The operator ends before it has written what it decided.
    EndsBeforeWriting,
    /// It ends after that, before it has applied anything.
    EndsBeforeApplying,
    LosesStatus,
    Retries,
    /// Releases that begin from now on, and one that goes on, have these steps.
    Canaries(Canaries),
    Promotes,
    Aborts,
}

#[derive(Clone, Copy, Debug)]
enum Canaries {
    None,
    Timed,
    /// They wait for somebody.
    Waiting,
}

impl Canaries {
    fn steps(self) -> Vec<Step> {
        let step = |share, pause: Option<i64>| Step {
            share,
            pause: pause.map(SignedDuration::from_secs),
        };
        match self {
            Self::None => Vec::new(),
            Self::Timed => vec![step(10, Some(10)), step(50, Some(20))],
            Self::Waiting => vec![step(10, Some(10)), step(20, None), step(50, None)],
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..REVISIONS.len()).prop_map(Event::Wants),
        6 => (1_i64..40).prop_map(Event::Passes),
        1 => Just(Event::EndsBeforeWriting),
        1 => Just(Event::EndsBeforeApplying),
        1 => Just(Event::LosesStatus),
        1 => Just(Event::Retries),
        2 => prop_oneof![Just(Canaries::None), Just(Canaries::Timed), Just(Canaries::Waiting)]
            .prop_map(Event::Canaries),
        2 => Just(Event::Promotes),
        1 => Just(Event::Aborts),
    ]
}

/// A Deployment of one pod that never gives up an old one before a new one is ready.
#[derive(Debug)]
struct Cluster {
    live: Option<RevisionId>,
    live_since: i64,
    /// Those that are there, and whether they are ready.
    old: Option<RevisionId>,
    new_ready: bool,
    new_ended: Option<i64>,
    passed: Option<RevisionId>,
    canary: Option<CanaryPod>,
    now: i64,
}

/// The pod of a canary.
#[derive(Debug)]
struct CanaryPod {
    revision: RevisionId,
    since: i64,
    ready: bool,
    ended: Option<i64>,
}

impl Cluster {
    fn apply(&mut self, revision: &RevisionId) {
        if self.live.as_ref() == Some(revision) {
            return;
        }
        if self.new_ready {
            self.old = self.live.take();
        }
        self.live = Some(revision.clone());
        self.live_since = self.now;
        // Pods of it may be there still.
        self.new_ready = self.old.as_ref() == Some(revision);
        self.new_ended = None;
        if self.new_ready {
            self.old = None;
        }
    }

    fn apply_canary(&mut self, revision: Option<&RevisionId>) {
        let runs = self.canary.as_ref().map(|canary| &canary.revision);
        if runs != revision {
            self.canary = revision.map(|revision| CanaryPod {
                revision: revision.clone(),
                since: self.now,
                ready: false,
                ended: None,
            });
        }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        let now = self.now;
        if let Some(canary) = &mut self.canary {
            let age = now - canary.since;
            let nature = nature(&canary.revision);
            let gets_ready = matches!(
                nature,
                Nature::Good | Nature::AnswersErrors | Nature::EndsInGate
            );
            let ends = nature == Nature::EndsInGate && age >= 4;
            canary.ready = gets_ready && age >= 1 && !ends;
            canary.ended = ends.then_some(canary.since + 4);
        }
        let Some(live) = &self.live else { return };
        let age = self.now - self.live_since;
        match nature(live) {
            Nature::Good | Nature::AnswersErrors if age >= 1 => {
                self.new_ready = true;
            }
            Nature::EndsInGate if age >= 4 => {
                self.new_ready = false;
                self.new_ended = Some(self.live_since + 4);
                self.old = None;
            }
            Nature::EndsInGate if age >= 1 => self.new_ready = true,
            Nature::Good
            | Nature::EndsInGate
            | Nature::Crashes
            | Nature::NeverReady
            | Nature::AnswersErrors => {}
        }
        if self.new_ready {
            self.old = None;
        }
    }

    fn serves(&self) -> bool {
        self.new_ready || self.old.is_some()
    }

    fn seen(&self, state: &State) -> Seen {
        let good = state.good.as_ref();
        let own = self.seen_of_own(good);
        let serving = self.live.iter().filter(|_| self.new_ready);
        let mut serving = serving.chain(&self.old);
        let has_good = serving.any(|revision| Some(revision) == good);
        let no_canary = (!has_good).then(|| "no good pod".to_owned());
        let Stage::Canary(_) = &state.stage else {
            return Seen { no_canary, ..own };
        };
        let Some(canary) = &self.canary else {
            return Seen {
                live: None,
                complete: false,
                trouble: None,
                last_end: None,
                answers: None,
                no_canary,
                ..own
            };
        };
        let age = self.now - canary.since;
        let trouble = match nature(&canary.revision) {
            Nature::Crashes if age >= 2 => Some("it crashes"),
            Nature::EndsInGate if canary.ended.is_some() => Some("it crashes"),
            _ => None,
        };
        let ended = canary.ended;
        Seen {
            live: Some(canary.revision.clone()),
            complete: canary.ready,
            trouble: trouble.map(str::to_owned),
            last_end: ended.map(|second| (at(second), "it ended".to_owned())),
            answers: canary.ready.then(|| answered_by(&canary.revision)),
            no_canary,
            ..own
        }
    }

    fn seen_of_own(&self, good: Option<&RevisionId>) -> Seen {
        let new = self.live.as_ref().filter(|_| self.new_ready);
        let mut serving = new.into_iter().chain(&self.old);
        let good = serving.find(|revision| Some(*revision) == good);
        let age = self.now - self.live_since;
        let trouble = match self.live.as_ref().map(nature) {
            Some(Nature::Crashes) if age >= 2 => Some("it crashes"),
            Some(Nature::NeverReady) if age >= 60 => Some("it gets nowhere"),
            Some(Nature::EndsInGate) if self.new_ended.is_some() => Some("it crashes"),
            _ => None,
        };
        let ended = self
            .new_ended
            .map(|second| (at(second), "it ended".to_owned()));
        Seen {
            live: self.live.clone(),
            complete: self.new_ready && self.old.is_none(),
            has_pods: true,
            trouble: trouble.map(str::to_owned),
            last_end: ended,
            is_excused: false,
            no_canary: None,
            before: good
                .map(answered_by)
                .iter()
                .flat_map(answered_before)
                .collect(),
            answers: new.map(answered_by),
        }
    }
}

/// What pods of this revision have answered.
fn answered_by(revision: &RevisionId) -> Answers {
    static WELL: LazyLock<Answers> = LazyLock::new(|| answers(1000, 0, 0));
    static BADLY: LazyLock<Answers> = LazyLock::new(|| answers(1000, 900, 0));
    match nature(revision) {
        Nature::AnswersErrors => BADLY.clone(),
        Nature::Good | Nature::Crashes | Nature::NeverReady | Nature::EndsInGate => WELL.clone(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

#[derive(Debug)]
struct World {
    cluster: Cluster,
    state: State,
    wanted: Wanted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    End,
    Written,
    Decided,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            cluster: Cluster {
                live: None,
                live_since: 0,
                old: None,
                new_ready: false,
                new_ended: None,
                passed: None,
                canary: None,
                now: 0,
            },
            state: State::default(),
            wanted: Wanted {
                revision: id(0),
                image: "0".into(),
                is_held: false,
                retry: None,
                canary: WantedCanary::default(),
                on_failure: OnFailure::Revert,
                judged_by: JudgedBy::Answers,
                gate: SignedDuration::from_secs(30),
                deadline: SignedDuration::from_secs(60),
            },
        };
        world.rest();
        world
    }

    /// One reconcile, in the order of the real one, as far as that.
    fn reconcile(&mut self, until: Until) {
        let seen = self.cluster.seen(&self.state);
        let transition = advance(&self.state, &self.wanted, &seen, at(self.cluster.now));
        if until == Until::Decided {
            return;
        }
        self.state = transition.next;
        if until == Until::Written {
            return;
        }
        self.cluster.passed.clone_from(&self.state.good);
        match &transition.effective {
            Effective::Wanted => self.cluster.apply(&self.wanted.revision),
            Effective::Kept(revision) => self.cluster.apply(revision),
        }
        let canary = transition.canary.as_ref().map(|canary| match canary {
            Effective::Wanted => &self.wanted.revision,
            Effective::Kept(revision) => revision,
        });
        self.cluster.apply_canary(canary);
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Wants(number) => {
                self.wanted.revision = id(*number);
            }
            Event::Passes(seconds) => self.cluster.pass(*seconds),
            Event::EndsBeforeWriting => self.reconcile(Until::Decided),
            Event::EndsBeforeApplying => self.reconcile(Until::Written),
            Event::LosesStatus => {
                self.state = State {
                    good: self.cluster.passed.clone(),
                    ..State::default()
                };
            }
            Event::Retries => self.wanted.retry = Some(self.cluster.now.to_string()),
            Event::Canaries(canaries) => self.wanted.canary.steps = canaries.steps(),
            Event::Promotes => self.wanted.canary.promote = Some(self.says()),
            Event::Aborts => self.wanted.canary.abort = Some(self.says()),
        }
        self.reconcile(Until::End);
    }

    /// As whoever looks at what is there now.
    fn says(&self) -> String {
        let (revision, now) = (self.wanted.revision.as_str(), self.cluster.now);
        format!("{revision} {now}")
    }

    fn rest(&mut self) {
        for _ in 0..300 {
            self.cluster.pass(1);
            self.wanted.canary.promote = Some(self.says());
            self.reconcile(Until::End);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_release_ends_well_or_is_taken_back(events in prop::collection::vec(event(), 0..40)) {
        let mut world = World::new();
        for event in &events {
            let ends = |world: &World| world.cluster.live.as_ref().map(nature) == Some(Nature::EndsInGate);
            let (served, ended) = (world.cluster.serves(), ends(&world));
            world.happens(event);
            // Kubernetes keeps the old pods until new ones are ready; no step of ours takes them away.
            let ends_itself = ended || ends(&world);
            prop_assert!(!served || ends_itself || world.cluster.serves(), "{event:?}: {world:?}");
            if let Some(good) = &world.state.good {
                prop_assert_eq!(nature(good), Nature::Good, "{:?}", world);
            }
            // While there is a canary, what runs is what has proved itself; and none is left when it is at its end.
            let has_canary = matches!(world.state.stage, Stage::Canary(_));
            prop_assert_eq!(has_canary, world.cluster.canary.is_some(), "{:?}: {:?}", event, world);
            if has_canary {
                prop_assert_eq!(&world.cluster.live, &world.state.good, "{:?}: {:?}", event, world);
            }
        }
        world.rest();
        let cluster = &world.cluster;
        prop_assert!(cluster.serves(), "{world:?}");
        match nature(&world.wanted.revision) {
            // Nobody tries it again but by hand.
            Nature::Good if matches!(&world.state.stage, Stage::TakenBack(failure) if failure.cause.contains("by hand")) => {
                prop_assert_eq!(&cluster.live, &world.state.good);
            }
            Nature::Good => {
                prop_assert_eq!(&world.state.stage, &Stage::Idle);
                prop_assert_eq!(cluster.live.as_ref(), Some(&world.wanted.revision));
            }
            Nature::Crashes
            | Nature::NeverReady
            | Nature::EndsInGate
            | Nature::AnswersErrors => {
                let Stage::TakenBack(failure) = &world.state.stage else {
                    return Err(TestCaseError::fail(format!("{world:?}")));
                };
                prop_assert_eq!(&failure.revision, &world.wanted.revision);
                prop_assert!(!failure.cause.is_empty());
                prop_assert_eq!(&cluster.live, &world.state.good);
            }
        }
    }
}
