//! The command line every service has: `serve`, `migrate`, `openapi`, `events`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{LicenseBuilder, Server};

use crate::http::{FieldError, Problem};
use crate::process::{Hosted, Process, WRONG_SETTING, exit, install_crypto};
use crate::service::{Service, Stateless};
use crate::settings::Env;

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

#[derive(Parser)]
struct StatelessArguments {
    #[command(subcommand)]
    command: Option<StatelessCommand>,
}

#[derive(Subcommand)]
enum StatelessCommand {
    /// Serve requests until SIGTERM (the default).
    Serve,
}

/// What to give in place of what is no command.
const COMMANDS: &str = "serve, migrate, openapi, or events and a folder";

/// The whole `main` of a service.
pub fn run<S: Service>() -> ExitCode {
    install_crypto();
    let alone = || {
        let env = Env::of_process();
        Process::new(S::NAME, vec![(Hosted::new::<S>(), env.clone())], &env)
    };
    let command = match command(std::env::args_os()) {
        Ok(command) => command,
        Err(refused) => return refuse(&refused, COMMANDS),
    };
    exit(match command {
        Command::Serve => alone().and_then(|process| process.serve(|_| std::future::pending())),
        Command::Migrate => alone().and_then(Process::migrate),
        Command::Openapi => openapi::<S>(),
        Command::Events { folder } => events::<S>(&folder),
    })
}

/// The whole `main` of a service that keeps nothing.
pub fn run_stateless<S: Stateless>() -> ExitCode {
    install_crypto();
    if let Err(refused) = StatelessArguments::try_parse() {
        return refuse(&refused, "serve");
    }
    let env = Env::of_process();
    let process = Process::new(S::NAME, vec![(Hosted::stateless::<S>(), env.clone())], &env);
    exit(process.and_then(|process| process.serve(|_| std::future::pending())))
}

/// The command that the arguments name, the program's name before them.
fn command<A>(arguments: impl IntoIterator<Item = A>) -> Result<Command, clap::Error>
where
    A: Into<OsString> + Clone,
{
    let arguments = Arguments::try_parse_from(arguments)?;
    Ok(arguments.command.unwrap_or(Command::Serve))
}

/// Prints what was asked for, or says in the one last line of the output what is wrong: where a document names a command that
/// its image does not have, the status of the Shop shows that line.
pub(crate) fn refuse(refused: &clap::Error, commands: &str) -> ExitCode {
    if !refused.use_stderr() {
        refused.exit();
    }
    eprintln!("{}", sentence(refused, commands));
    ExitCode::from(WRONG_SETTING)
}

/// What is wrong, and what would do.
fn sentence(refused: &clap::Error, commands: &str) -> String {
    let text = refused.to_string();
    let wrong = text.lines().next().unwrap_or_default();
    let wrong = wrong.trim_start_matches("error: ");
    format!("{wrong}: give {commands}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_command_is_refused_in_one_line_that_names_it() {
        let of = |arguments: &[&str]| command(["notes"].iter().chain(arguments));
        assert!(matches!(of(&[]), Ok(Command::Serve)));
        assert!(matches!(of(&["migrate"]), Ok(Command::Migrate)));
        for (arguments, named) in [(&["nothing"][..], "nothing"), (&["serve", "x"], "x")] {
            let refused = of(arguments).err().unwrap();
            assert!(refused.use_stderr());
            let sentence = sentence(&refused, COMMANDS);
            assert!(
                sentence.contains(named) && !sentence.contains('\n'),
                "{sentence}"
            );
        }
        assert!(!of(&["--help"]).err().unwrap().use_stderr());
    }
}
