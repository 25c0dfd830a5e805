//! Several services in one process: the same services, each with its settings, ports, pool, workers and a runtime of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;

use crate::command::refuse;
use crate::health::Health;
use crate::metrics::CONTENT_TYPE as METRICS;
use crate::process::{Hosted, Process, exit, install_crypto};
use crate::settings::{Env, SettingError, wrong};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the requests of all until SIGTERM (the default).
    Serve,
    /// Bring the schemas of all databases up to date and exit.
    Migrate,
}

/// The whole `main` of the process `name`, which hosts those of `all` that the setting `SERVICES` names, or all. A setting of the
/// service `orders` is `ORDERS__NAME`, or `NAME` where it is the same for all.
pub fn run_together(name: &'static str, all: &[Hosted]) -> ExitCode {
    install_crypto();
    match Arguments::try_parse() {
        Ok(arguments) => exit(run(name, all, arguments, &Env::of_process())),
        Err(refused) => refuse(&refused, "serve or migrate"),
    }
}

fn run(name: &'static str, all: &[Hosted], arguments: Arguments, env: &Env) -> anyhow::Result<()> {
    let command = arguments.command.unwrap_or(Command::Serve);
    let address = env.or("ADMIN_ADDR", SocketAddr::from(([0, 0, 0, 0], 9090)))?;
    let services = chosen(all, env)?;
    let names: Vec<_> = services.iter().map(|(service, _)| service.name()).collect();
    let process = Process::new(name, services, env)?;
    match command {
        Command::Serve => process.serve(async move |health| {
            let health = names.into_iter().zip(health).collect();
            administration(address, health).await
        }),
        Command::Migrate => process.migrate(),
    }
}

/// The services that the setting names, each with its settings.
fn chosen(all: &[Hosted], env: &Env) -> Result<Vec<(Hosted, Env)>, SettingError> {
    let all_names = || all.iter().map(|service| service.name());
    let asked: Option<String> = env.optional("SERVICES")?;
    let asked: Vec<&str> = match &asked {
        None => all_names().collect(),
        Some(names) => names.split(',').map(str::trim).collect(),
    };
    if let Some(unknown) = asked.iter().find(|name| !all_names().any(|n| n == **name)) {
        let known = all_names().collect::<Vec<_>>().join(", ");
        let cause = format!("there is no service {unknown}; there are {known}");
        return Err(wrong("SERVICES", cause));
    }
    let chosen = all.iter().filter(|service| asked.contains(&service.name()));
    Ok(chosen
        .map(|service| (*service, env.of_service(service.name())))
        .collect())
}

/// Whether all are well, for the probes of the process. Each service has an administration port of its own for the rest.
async fn administration(
    address: SocketAddr,
    services: Vec<(&'static str, Health)>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}, as ADMIN_ADDR says"))?;
    let ready = async move || {
        let waiting = services.iter().filter_map(|(name, health)| {
            let missing = health.is_ready().err()?;
            Some(format!("{name}: {missing}"))
        });
        match waiting.collect::<Vec<_>>() {
            waiting if waiting.is_empty() => (StatusCode::OK, "ready".to_owned()),
            waiting => (StatusCode::SERVICE_UNAVAILABLE, waiting.join("; ")),
        }
    };
    let routes = Router::new()
        .route("/livez", get(async || "ok"))
        // What there is to count stands at the ports of the services. To whoever asks here, the process is there.
        .route("/metrics", get(async || no_metrics()))
        .route("/readyz", get(ready));
    axum::serve(listener, routes).await?;
    Ok(())
}

fn no_metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS)], "# EOF\n")
}
