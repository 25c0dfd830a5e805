//! The process around one service or several: telemetry, a runtime for each, signals, the exit code.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all, select_all, try_join_all};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::db::{self, Behind, Db, MaxConnections, Range};
use crate::health::Health;
use crate::server::{self, Running};
use crate::service::{Service, Stateless};
use crate::settings::{Env, SettingError};
use crate::telemetry::{Identity, Telemetry, work_for};

/// A wrong setting, as `sysexits` has no better and clap uses for wrong usage.
pub(crate) const WRONG_SETTING: u8 = 2;
/// The schema of the database is behind: whoever started the process must migrate again.
const SCHEMA_BEHIND: u8 = 3;
/// The file in which Kubernetes looks for the last words of a container.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// What a service does with its settings.
type Work<T> = fn(Env) -> BoxFuture<'static, anyhow::Result<T>>;

/// A service as a process holds it.
#[derive(Clone, Copy)]
pub struct Hosted {
    identity: Identity,
    start: Work<Running>,
    /// Where it has a database.
    migrate: Option<Work<Range>>,
}

impl Hosted {
    /// `S`, to be run in a process beside others.
    pub fn new<S: Service>() -> Self {
        Self {
            identity: Identity::new(S::NAME, S::VERSION),
            start: |env| async move { server::start::<S>(&env).await }.boxed(),
            migrate: Some(|env| migrate_one::<S>(env).boxed()),
        }
    }

    /// `S`, which keeps nothing.
    pub fn stateless<S: Stateless>() -> Self {
        Self {
            identity: Identity::new(S::NAME, S::VERSION),
            start: |env| async move { server::start_stateless::<S>(&env).await }.boxed(),
            migrate: None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.identity.name
    }

    /// A runtime of its own, with as many threads as the cgroup has cores (the standard library reads the quota): its threads are
    /// known by its name, and one that is kept busy by one service is no other's.
    fn runtime(self) -> anyhow::Result<Runtime> {
        tokio::runtime::Builder::new_multi_thread()
            .thread_name(self.name())
            .on_thread_start(move || work_for(self.identity.name))
            .enable_all()
            .build()
            .context("cannot start the runtime")
    }
}

/// A service with its settings, on its runtime.
struct Guest {
    hosted: Hosted,
    env: Env,
    runtime: Runtime,
    /// It is not the only one, so what goes wrong says whose it is.
    has_company: bool,
}

/// The process, until it ends.
pub(crate) struct Process {
    telemetry: Telemetry,
    /// Of the process itself: signals, the start and the stop.
    runtime: Runtime,
    guests: Vec<Guest>,
}

impl Process {
    /// Prepares to run these services, each with its settings. `name` and `env` are those of the process.
    pub(crate) fn new(
        name: &'static str,
        services: Vec<(Hosted, Env)>,
        env: &Env,
    ) -> anyhow::Result<Self> {
        work_for(name);
        let identities: Vec<_> = services.iter().map(|(s, _)| s.identity).collect();
        // The OTLP exporter brings a blocking client, which must be made and ended outside of the runtime.
        let telemetry = Telemetry::install(&identities, env)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let has_company = services.len() > 1;
        let guest = |(hosted, env): (Hosted, Env)| {
            Ok(Guest {
                runtime: hosted.runtime()?,
                hosted,
                env,
                has_company,
            })
        };
        Ok(Self {
            telemetry,
            runtime,
            guests: services
                .into_iter()
                .map(guest)
                .collect::<anyhow::Result<_>>()?,
        })
    }

    /// Serves until SIGTERM, and runs `beside` as long, on what the services say about themselves.
    pub(crate) fn serve<F>(self, beside: impl FnOnce(Vec<Health>) -> F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let outcome = self.runtime.block_on(serve(&self.guests, beside));
        self.end();
        outcome
    }

    /// Brings the schemas of all up to date, one after the other.
    pub(crate) fn migrate(self) -> anyhow::Result<()> {
        let outcome = self.runtime.block_on(async {
            for guest in &self.guests {
                let Some(migrate) = guest.hosted.migrate else {
                    continue;
                };
                let range = guest.run(migrate).await?;
                if !guest.has_company {
                    say(&range);
                }
            }
            Ok(())
        });
        self.end();
        outcome
    }

    fn end(self) {
        drop(self.guests);
        drop(self.runtime);
        self.telemetry.flush();
    }
}

impl Guest {
    /// Runs `work` on the threads of the service.
    async fn run<T: Send + 'static>(&self, work: Work<T>) -> anyhow::Result<T> {
        let outcome = self.runtime.spawn(work(self.env.clone())).await;
        self.named(outcome.context("it panicked").and_then(|outcome| outcome))
    }

    /// Says whose error it is where there is more than one service.
    fn named<T>(&self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        if self.has_company {
            outcome.with_context(|| self.hosted.name())
        } else {
            outcome
        }
    }

    async fn stop(&self, running: Running, leaving: Leaving) {
        let stopped = self.runtime.spawn(async move {
            tracing::info!("told to stop");
            match leaving {
                Leaving::First => running.leave().await,
                Leaving::AtOnce => {}
            }
            running.stop().await;
        });
        if let Err(error) = stopped.await {
            tracing::error!(%error, service = self.hosted.name(), "the stop broke off");
        }
    }
}

/// Migrates the database of one service.
async fn migrate_one<S: Service>(env: Env) -> anyhow::Result<Range> {
    let url = env.secret("DATABASE_URL", db::URL_HINT)?;
    // It needs one connection, whatever the service itself may have.
    let db = Db::new(S::NAME, url, MaxConnections::default(), 0)?;
    db::migrate::<S>(&db).await
}

/// Tells the cluster which code runs on the schema, so that no other is put back on it. Elsewhere nobody asks.
fn say(range: &Range) {
    let message = serde_json::json!({ "schema": range }).to_string();
    let file = OpenOptions::new().write(true).open(TERMINATION_MESSAGE);
    match file.and_then(|mut file| file.write_all(message.as_bytes())) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "{TERMINATION_MESSAGE} cannot be written"),
    }
}

/// What a cluster is told of a process that ends: the code, and the error with its causes as the one last line of the output.
pub(crate) fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let text = format!("{error:#}");
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("{line}");
    if error.is::<SettingError>() {
        ExitCode::from(WRONG_SETTING)
    } else if error.is::<Behind>() {
        ExitCode::from(SCHEMA_BEHIND)
    } else {
        ExitCode::FAILURE
    }
}

/// One TLS provider for the process; two by feature unification would be a panic at the first connection.
pub(crate) fn install_crypto() {
    // An error means that it is installed already, as in a test with several services.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

async fn serve<F>(guests: &[Guest], beside: impl FnOnce(Vec<Health>) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let starting = guests.iter().map(|guest| guest.run(guest.hosted.start));
    let mut running = try_join_all(starting).await?;
    let beside = beside(running.iter().map(Running::health).collect());
    let outdated = select_all(running.iter_mut().map(|r| r.outdated().boxed()));
    let (outcome, leaving) = tokio::select! {
        _ = term.recv() => (Ok(()), Leaving::First),
        _ = interrupt.recv() => (Ok(()), Leaving::First),
        (behind, which, _) = outdated => (guests[which].named(Err(behind.into())), Leaving::AtOnce),
        ended = beside => (ended, Leaving::First),
    };
    let stopping = guests.iter().zip(running);
    join_all(stopping.map(|(guest, running)| guest.stop(running, leaving))).await;
    outcome
}

/// Whether clients are given the time to move on.
#[derive(Clone, Copy)]
enum Leaving {
    First,
    AtOnce,
}
