//! The command line every service has: `serve`, `migrate`, `openapi`, `events`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{LicenseBuilder, Server};

use crate::db::{self, Behind, Db, MaxConnections};
use crate::http::{FieldError, Problem};
use crate::server;
use crate::service::Service;
use crate::settings::{Env, SettingError};
use crate::telemetry::Telemetry;

/// A wrong setting, as `sysexits` has no better and clap uses for wrong usage.
const WRONG_SETTING: u8 = 2;
/// The schema of the database is behind: whoever started the process must migrate again.
const SCHEMA_BEHIND: u8 = 3;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests until SIGTERM (the default).
    Serve,
    /// Bring the database's schema up to date and exit.
    Migrate,
    /// Print the OpenAPI document.
    Openapi,
    /// Write the schemas and examples of the events into a folder.
    Events { folder: PathBuf },
}

/// The whole `main` of a service.
pub fn run<S: Service>() -> ExitCode {
    install_crypto();
    let outcome = match Arguments::parse().command.unwrap_or(Command::Serve) {
        Command::Serve => with_runtime::<S, _>(serve::<S>),
        Command::Migrate => with_runtime::<S, _>(migrate::<S>),
        Command::Openapi => openapi::<S>(),
        Command::Events { folder } => events::<S>(&folder),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", one_line(&error));
            if error.is::<SettingError>() {
                ExitCode::from(WRONG_SETTING)
            } else if error.is::<Behind>() {
                ExitCode::from(SCHEMA_BEHIND)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The error with its causes as the one last line of the output, which is what a cluster shows of a process that ended.
fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One TLS provider for the process; two by feature unification would be a panic at the first connection.
pub(crate) fn install_crypto() {
    // An error means that it is installed already, as in a test with several services.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn with_runtime<S: Service, F>(work: impl FnOnce(Env) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let env = Env::of_process();
    // The OTLP exporter brings a blocking client, which must be made and ended outside of the runtime.
    let telemetry = Telemetry::install(S::NAME, S::VERSION, &env)?;
    // As many threads as the cgroup has cores: the standard library reads the quota.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(work(env));
    drop(runtime);
    telemetry.flush();
    outcome
}

async fn serve<S: Service>(env: Env) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut running = server::start::<S>(&env).await?;
    let grpc = running.grpc.map(tracing::field::display);
    tracing::info!(version = S::VERSION, api = %running.api, admin = %running.admin, grpc, "listening");
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
        behind = running.outdated() => {
            running.stop().await;
            return Err(behind.into());
        }
    }
    tracing::info!("told to stop");
    running.leave().await;
    running.stop().await;
    Ok(())
}

async fn migrate<S: Service>(env: Env) -> anyhow::Result<()> {
    let url = env.secret("DATABASE_URL", db::URL_HINT)?;
    // It needs one connection, whatever the service itself may have.
    let db = Db::new(S::NAME, url, MaxConnections::default(), 0)?;
    db::migrate::<S>(&db).await
}

fn openapi<S: Service>() -> anyhow::Result<()> {
    println!("{}", document::<S>().to_pretty_json()?);
    Ok(())
}

/// The OpenAPI document with what all services have in common.
fn document<S: Service>() -> utoipa::openapi::OpenApi {
    let mut document = S::routes().into_openapi();
    document.info.title = S::NAME.to_owned();
    document.info.version = S::VERSION.to_owned();
    document.info.description = None;
    let license = env!("CARGO_PKG_LICENSE");
    document.info.license = Some(
        LicenseBuilder::new()
            .name(license)
            .identifier(Some(license))
            .build(),
    );
    document.info.contact = None;
    // Where a shop is served is known to whoever runs it.
    document.servers = Some(vec![Server::new("/")]);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    for (name, schema) in [
        (
            <Problem as utoipa::ToSchema>::name(),
            <Problem as utoipa::PartialSchema>::schema(),
        ),
        (
            <FieldError as utoipa::ToSchema>::name(),
            <FieldError as utoipa::PartialSchema>::schema(),
        ),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    document
}

fn events<S: Service>(folder: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for contract in S::events() {
        contract
            .write(folder)
            .with_context(|| format!("cannot write the contract of {}", contract.file))?;
    }
    Ok(())
}
