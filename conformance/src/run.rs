//! A run: one image, one document, every check that applies.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::backends::Backends;
use crate::check::{Outcome, Scenario};
use crate::checks;
use crate::docker::State;
use crate::document::{Caller, Document, Place, Shape, Trial};
use crate::events::Contracts;
use crate::peers::{Peers, Token, admin_token};
use crate::stage::Stage;

/// Scenes that start their service at once.
const STARTS: usize = 4;

/// What to prove of what.
pub struct Options {
    pub image: String,
    pub place: Place,
    /// Variables beside those that the operator sets.
    pub env: Vec<(String, String)>,
    /// Only the scenes that check one of these lines of the contract; all without any.
    pub only: Vec<String>,
    /// Checks that take longer than the rest together, too.
    pub slow: bool,
}

/// What all scenes of a run share.
pub(crate) struct Run {
    pub(crate) backends: Arc<Backends>,
    pub(crate) image: String,
    pub(crate) document: Document,
    pub(crate) trial: Trial,
    pub(crate) contracts: Contracts,
    pub(crate) peers: Peers,
    pub(crate) env: Vec<(String, String)>,
    /// Places for scenes that start their service: all at once would take long for each on a small machine.
    pub(crate) starts: Semaphore,
    /// The keys of the document and the tokens of calls, by the variable that gets them.
    pub(crate) secrets: Vec<(String, String)>,
}

/// Every line of the contract that there is a check for, with the scene it is checked in.
pub fn all_lines() -> Vec<(&'static str, &'static str)> {
    let of = |scenario: &'static Scenario| {
        scenario
            .checks
            .iter()
            .map(|check| (check.line, scenario.name))
    };
    checks::SCENARIOS.into_iter().flat_map(of).collect()
}

/// Proves what it can, one scene beside the others, and tells of each when it is over.
///
/// # Errors
/// What keeps the suite itself from working; a failed check is an outcome.
pub async fn prove(
    backends: Arc<Backends>,
    options: Options,
    tell: impl Fn(&Outcome),
) -> Result<Vec<Outcome>> {
    let is_wanted = |scenario: &Scenario| {
        let mut lines = scenario.checks.iter().map(|check| check.line);
        (options.slow || !scenario.slow)
            && (options.only.is_empty()
                || lines.any(|line| options.only.iter().any(|only| only == line)))
    };
    let scenarios: Vec<_> = checks::SCENARIOS
        .into_iter()
        .filter(|scenario| is_wanted(scenario))
        .collect();
    if scenarios.is_empty() {
        bail!("no check is called {}", options.only.join(", "));
    }
    checks::limits::allow_sockets()?;
    let run = Arc::new(Run::prepare(backends, options).await?);
    let scenes = scenarios.into_iter().map(|scenario| {
        let run = run.clone();
        async move { scenario.play(run).await }
    });
    let mut scenes = futures::stream::iter(scenes).buffer_unordered(checks::SCENARIOS.len());
    let mut outcomes = vec![];
    while let Some(of_scene) = scenes.next().await {
        of_scene.iter().for_each(&tell);
        outcomes.extend(of_scene);
    }
    Ok(outcomes)
}

impl Run {
    async fn prepare(backends: Arc<Backends>, options: Options) -> Result<Self> {
        let document = options.place.read()?;
        let peers = Peers::start(backends.host()).await?;
        let secrets = secrets(&document);
        let run = Self {
            image: options.image,
            trial: options.place.trial()?,
            contracts: Contracts {
                folders: options.place.events,
            },
            peers,
            env: options.env,
            starts: Semaphore::new(STARTS),
            secrets,
            document,
            backends,
        };
        if run.document.database.is_some() {
            run.backends
                .template
                .get_or_try_init(|| run.migrated())
                .await?;
        }
        Ok(run)
    }

    /// A database that the image has migrated.
    async fn migrated(&self) -> Result<String> {
        let stage = Stage::empty(self).await?;
        let migration = stage.start(self, &self.document.migrate, &[]).await?;
        migration.ended(std::time::Duration::from_secs(60)).await?;
        if migration.state().await?
            != (State::Ended {
                code: 0,
                out_of_memory: false,
            })
        {
            let (_, stderr) = migration.logs().await?;
            let words = stderr.lines().last().unwrap_or_default().to_owned();
            bail!(
                "the image does not migrate an empty database within a minute, so nothing can be proven; its last words: {words}"
            );
        }
        stage.database_name().map(str::to_owned)
    }

    /// What this caller shows.
    pub(crate) fn token(&self, caller: &Caller) -> Result<Option<String>> {
        match caller {
            Caller::Nobody => Ok(None),
            Caller::Admin => admin_token(Token::Good).map(Some),
            Caller::Key(name) => {
                let mut secrets = self.secrets.iter();
                let secret = secrets.find(|(variable, _)| variable == name);
                let secret = secret.with_context(|| format!("the document has no key {name}"))?;
                Ok(Some(secret.1.clone()))
            }
        }
    }
}

fn secrets(document: &Document) -> Vec<(String, String)> {
    let random = || Uuid::new_v4().simple().to_string();
    let keys = document.keys.iter().map(|key| {
        let value = match key.shape {
            Shape::Seed => format!("{}{}", random(), random()),
            Shape::Password => random(),
        };
        (key.name.clone(), value)
    });
    let tokens = document.calls.iter().filter_map(|call| call.token.as_ref());
    keys.chain(tokens.map(|token| (token.variable.clone(), random())))
        .collect()
}
