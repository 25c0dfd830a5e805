//! `conformance --image IMAGE --service NAME|DOCUMENT`: proves that an image honours the contract of a service.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;
use conformance::{Backends, Images, Options, Outcome, Place, print, prove, summary};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    about = "Proves that an image honours the contract of a service, docs/service-contract.md"
)]
struct Arguments {
    /// The image, in the local docker engine
    #[arg(long)]
    image: String,
    /// The name of a service of this repository, or the path of a document
    #[arg(long)]
    service: String,
    /// The folder with schemas and examples of the service's own events [default: `contracts/events` beside the document]
    #[arg(long)]
    events: Option<PathBuf>,
    /// A further variable for the service, NAME=VALUE
    #[arg(long = "env", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Only the checks that go with this line of the contract (may be given several times)
    #[arg(long)]
    only: Vec<String>,
    /// What takes longer than a minute, too
    #[arg(long)]
    slow: bool,
    /// Tells only what failed
    #[arg(long)]
    quiet: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    conformance::install_crypto();
    match told(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: nothing is proven, the suite itself fails: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the suite unless it is interrupted, and says whether all is well.
async fn told(arguments: Arguments) -> Result<bool> {
    let service = arguments.service.clone();
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // What is dropped takes its containers with it.
    let outcomes = tokio::select! {
        outcomes = run(arguments) => outcomes?,
        _ = term.recv() => return Ok(false),
        _ = interrupt.recv() => return Ok(false),
    };
    println!("{}: {}", service, summary(&outcomes));
    Ok(!outcomes.iter().any(Outcome::failed))
}

async fn run(arguments: Arguments) -> Result<Vec<Outcome>> {
    let place = Place::find(&arguments.service, arguments.events)?;
    let backends = Backends::start(&Images::of_machine()?, &place.read()?, 24).await?;
    let options = Options {
        image: arguments.image,
        place,
        env: arguments.env,
        only: arguments.only,
        slow: arguments.slow,
    };
    let tell = |outcome: &Outcome| {
        if outcome.failed() || !arguments.quiet {
            print(outcome);
        }
    };
    prove(Arc::new(backends), options, tell).await
}
