//! `shopctl`, and the same as `kubectl shop` where it lies on the path as `kubectl-shop`.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use k8s_openapi::jiff::Timestamp;
use shopctl::{
    approve, canary,
    cli::{self, Cli, Command},
    cluster::Cluster,
    failure::{Failure, Outcome},
    history, letters, logs, open, output, pause, plan, rollback, status, trace, validate, why,
};

fn main() -> ExitCode {
    let matches = Cli::command().bin_name(cli::called()).get_matches();
    let result = Cli::from_arg_matches(&matches)
        .map_err(|error| error.exit())
        .and_then(run);
    match result {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            if !matches!(failure, Failure::NobodyReads) {
                output::complain(format!("{}: {failure}", cli::called()));
            }
            failure.into()
        }
    }
}

fn run(cli: Cli) -> Result<Outcome, Failure> {
    // kube uses this one provider; the only error is that it was installed before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Absent(format!("this machine gives no runtime: {error}")))?;
    runtime.block_on(obey(cli))
}

async fn obey(Cli { common, command }: Cli) -> Result<Outcome, Failure> {
    let output = common.output;
    let cluster = || Cluster::connect(&common);
    match command {
        Command::Validate(options) => validate::run(&options, output),
        Command::Completions { shell } => cli::completions(shell),
        Command::Plan(options) => plan::run(&common, &options, output).await,
        Command::Apply(options) => plan::apply(&common, &options, output).await,
        Command::Status(options) => status::run(&cluster().await?, &options, output).await,
        Command::Why(options) => match &options.order {
            Some(order) => {
                why::of_order(&cluster().await?, order, &options.back_ends, output).await
            }
            None => why::run(&cluster().await?, options.service.as_deref(), output).await,
        },
        Command::Trace(options) => trace::run(&cluster().await?, &options, output).await,
        Command::Logs(options) => logs::run(&cluster().await?, &options, output).await,
        Command::History { service } => {
            history::run(&cluster().await?, service.as_deref(), output).await
        }
        Command::Retry { service } => {
            history::retry(&cluster().await?, &service, Timestamp::now()).await
        }
        Command::Approve { service } => approve::run(&cluster().await?, service.as_deref()).await,
        Command::Promote { service } => {
            canary::promote(&cluster().await?, &service, Timestamp::now()).await
        }
        Command::Abort { service } => {
            canary::abort(&cluster().await?, &service, Timestamp::now()).await
        }
        Command::Rollback(options) => rollback::run(&cluster().await?, &options, output).await,
        Command::Pause(options) => {
            pause::pause(&cluster().await?, &options, output, Timestamp::now()).await
        }
        Command::Resume(options) => pause::resume(&cluster().await?, &options, output).await,
        Command::Open { service } => open::run(&cluster().await?, service.as_deref(), output).await,
        Command::DeadLetters(options) => letters::run(&cluster().await?, &options, output).await,
    }
}
