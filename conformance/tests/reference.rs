//! The suite proves itself: a service that honours the contract passes, and each line of the contract that is broken is found by
//! its own check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use conformance::{
    Backends, Images, Options, Outcome, Place, Verdict, all_lines, lines_of_contract, prove,
};
use futures::StreamExt;

/// Runs side by side. They wait more than they work.
const AT_ONCE: usize = 10;

/// Faults that more than their own check must find, with whose they are too.
const WIDER: [(&str, &[&str]); 5] = [
    // It does not run at all.
    ("image.unprivileged", &["*"]),
    // It does not get as far as saying something.
    ("migrate.again", &["migrate.says"]),
    // Nobody is refused.
    ("grpc.login", &["grpc.problems"]),
    // The next event is applied no more than the first.
    ("events.applied", &["events.poison"]),
    // Nothing is finished.
    (
        "stop.leaves/exits",
        &["stop.finishes", "stop.loses-nothing"],
    ),
];

/// Faults of rules that a line has beside its first one: `<line>/<rule>`.
const FURTHER: [&str; 23] = [
    "http.login/unknown",
    "http.login/key",
    "http.login/expired",
    "http.login/issuer",
    "http.login/audience",
    "grpc.login/unknown",
    "grpc.problems/reason",
    "grpc.deadline/call",
    "grpc.connection-age/cuts",
    "grpc.stop/streams",
    "http.idempotency/effect",
    "http.connection-age/early",
    "http.limits/head",
    "schema.unreadable/why",
    "database.password/md5",
    "events.retried/dead",
    "http.body-shape/json",
    "http.body-shape/errors",
    "http.body-shape/pointer",
    "events.once/publishes",
    "metrics.names/labels",
    "metrics.names/route",
    "stop.leaves/exits",
];

/// A first pass over them: one of each kind of scenario, and of each way of being found.
const FIRST: [&str; 12] = [
    "migrate.again",
    "schema.unreadable",
    "probes.ready",
    "http.login",
    "http.problems",
    "http.limits/head",
    "database.away",
    "events.once",
    "events.poison",
    "grpc.deadline",
    "metrics.names",
    "stop.finishes",
];

/// The line that is broken by a fault.
fn line_of(fault: &str) -> &str {
    fault.split('/').next().unwrap_or(fault)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("broken")
}

fn image() -> String {
    let script = folder().join("image.sh");
    let output = Command::new(&script).output().expect("image.sh starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The reference and its back ends.
struct Reference {
    image: String,
    backends: Arc<Backends>,
    /// What takes long, too.
    slow: bool,
}

impl Reference {
    async fn start(slow: bool) -> Self {
        conformance::install_crypto();
        let images = Images::of_machine().expect("images of the back ends");
        let document = place().read().expect("its document");
        let backends = Backends::start(&images, &document, 200).await;
        Self {
            image: image(),
            backends: Arc::new(backends.expect("the back ends")),
            slow,
        }
    }

    async fn outcomes(&self, fault: Option<&str>, only: &[&str]) -> anyhow::Result<Vec<Outcome>> {
        let broken = fault.map(|fault| ("BREAK".to_owned(), fault.to_owned()));
        let options = Options {
            image: self.image.clone(),
            place: place(),
            env: broken.into_iter().collect(),
            only: only.iter().map(|line| (*line).to_owned()).collect(),
            slow: self.slow,
        };
        prove(self.backends.clone(), options, |_| {}).await
    }

    /// Everything of the whole service passes; returns the lines.
    async fn passes(&self, only: &[&str]) -> Vec<&'static str> {
        let outcomes = self.outcomes(None, only).await.expect("the suite works");
        assert_eq!(failed(&outcomes), [""; 0], "the whole service");
        let applies = |o: &&Outcome| !matches!(o.verdict, Verdict::DoesNotApply { .. });
        let count = outcomes.iter().filter(applies).count();
        assert_eq!(
            count,
            outcomes.len(),
            "a check that does not apply here has no counter-example"
        );
        outcomes.iter().map(|outcome| outcome.line).collect()
    }

    /// Each of these faults is found by the check of its line.
    async fn are_found(&self, faults: Vec<&'static str>) {
        let wrong = faults.into_iter().map(|fault| self.wrong(fault));
        let wrong = futures::stream::iter(wrong).buffer_unordered(AT_ONCE);
        let wrong: Vec<_> = wrong.filter_map(std::future::ready).collect().await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// What is wrong with how a fault was found. Only the scenario that has its check is played: others have nothing to say to it.
    async fn wrong(&self, fault: &'static str) -> Option<String> {
        let line = line_of(fault);
        let outcomes = match self.outcomes(Some(fault), &[line]).await {
            Ok(outcomes) => outcomes,
            Err(error) => return Some(format!("{fault}: the suite fails: {error:#}")),
        };
        let wider = WIDER.iter().find(|(of, _)| *of == fault);
        let wider = wider.map_or(&[][..], |(_, others)| others);
        let may_fail = |other: &str| other == line || wider.contains(&other) || wider == ["*"];
        let is_found = outcomes.iter().any(|o| o.line == line && o.failed());
        let others = outcomes
            .into_iter()
            .filter(|o| o.failed() && !may_fail(o.line));
        let others = failed(&others.collect::<Vec<_>>());
        match (is_found, others.is_empty()) {
            (true, true) => None,
            (false, _) => Some(format!(
                "BREAK={fault} is not found; other failures: {others:?}"
            )),
            (true, false) => Some(format!("BREAK={fault} fails others too: {others:?}")),
        }
    }
}

fn place() -> Place {
    let document = folder().join("service.yaml");
    let document = document.to_str().expect("a path of this repository");
    Place::find(document, None).expect("its document")
}

fn failed(outcomes: &[Outcome]) -> Vec<String> {
    let failed = outcomes.iter().filter(|outcome| outcome.failed());
    let words = failed.map(|outcome| format!("{} ({:?})", outcome.line, outcome.verdict));
    words.collect()
}

/// Every fault of these lines.
fn faults_of(lines: Vec<&'static str>) -> Vec<&'static str> {
    let further = FURTHER
        .into_iter()
        .filter(|fault| lines.contains(&line_of(fault)));
    lines.iter().copied().chain(further).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_passes_and_faults_of_each_kind_are_found() {
    let reference = Reference::start(false).await;
    let faults = faults_of(reference.passes(&[]).await);
    for fault in FIRST {
        assert!(faults.contains(&fault), "there is no fault {fault}");
    }
    reference.are_found(FIRST.to_vec()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: `make test-long`"]
async fn each_fault_is_found_by_its_own_check() {
    let reference = Reference::start(false).await;
    let lines = reference.passes(&[]).await;
    reference.are_found(faults_of(lines)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: connections live for one, and for longer where that is broken"]
async fn what_takes_long_is_found_too() {
    let reference = Reference::start(true).await;
    let lines = reference.passes(&["http.connection-age"]).await;
    reference.are_found(faults_of(lines)).await;
}

#[test]
fn every_line_of_the_contract_has_a_check_and_every_check_a_line() {
    let contract = lines_of_contract().expect("docs/service-contract.md");
    let names: BTreeSet<_> = contract.iter().map(String::as_str).collect();
    assert_eq!(names.len(), contract.len(), "a name stands there twice");
    let checked: BTreeSet<_> = all_lines().into_iter().map(|(line, _)| line).collect();
    assert_eq!(checked.len(), all_lines().len(), "two checks of one line");
    for fault in FURTHER {
        assert!(checked.contains(line_of(fault)), "{fault} breaks no line");
    }
    assert_eq!(checked, names);
}
