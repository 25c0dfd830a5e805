//! `shop-operator run`, which is also what it does without a command.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use kube::Client;
use shop_operator::{
    config::Config,
    facts::database::Databases,
    metrics::Metrics,
    run::{
        claims::{Claims, Obstacles},
        controller, health,
        leader::Leadership,
        telemetry,
    },
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs shops: a Kubernetes operator for the resource Shop.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator (the default).
    Run(Box<RunArgs>),
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    config: Config,
    /// Filter directives for the log.
    #[arg(long, env = "LOG", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let args = match cli.command {
        Some(Command::Run(args)) => *args,
        None => cli.run,
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: RunArgs) -> anyhow::Result<()> {
    telemetry::start(&args.log).context("LOG")?;
    // kube and everything below it use this one provider; the only error is that it was installed before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(lead(args.config))
}

/// Waits for the lease, works until told to stop or the lease is lost, gives it back.
async fn lead(config: Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone())?);
    let metrics = Metrics::default();
    let obstacles = Obstacles::default();
    let listener = health::bind(config.admin_addr).await?;
    // Answers until the process ends: whoever still works is still to be probed.
    let health = tokio::spawn(health::serve(listener, metrics.clone(), obstacles.clone()));

    let client = Client::try_default()
        .await
        .context("no way to the API server")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        scope = %config.watch_namespaces,
        "waiting for the Lease"
    );
    let mut leadership = tokio::select! {
        acquired = Leadership::acquire(&client, &config) => acquired,
        () = stop.cancelled() => return Ok(()),
    };
    tracing::info!("this replica leads");
    metrics.leading(true);
    let claims = Claims::new(client.clone(), &config, obstacles);

    // Told to stop, the controller ends the reconciles that have begun; then the lease is given back.
    let result = tokio::select! {
        result = controller::run(client, config, claims, Databases::default(), metrics, stop.clone()) => result,
        () = leadership.lost() => Err(anyhow::anyhow!("the Lease is lost; another replica works now")),
        ended = health => match ended {
            Ok(served) => served,
            Err(error) => Err(error.into()),
        },
    };
    leadership.release().await;
    result
}

/// # Errors
/// When signals cannot be listened to.
fn stop_on_signal(stop: CancellationToken) -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        stop.cancel();
    })
}
