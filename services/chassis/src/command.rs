//! The command line every service has: `serve`, `migrate`, `openapi`, `events`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{LicenseBuilder, Server};

use crate::http::{FieldError, Problem};
use crate::process::{Hosted, Process, exit, install_crypto};
use crate::service::Service;
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

/// The whole `main` of a service.
pub fn run<S: Service>() -> ExitCode {
    install_crypto();
    let alone = || {
        let env = Env::of_process();
        Process::new(vec![(Hosted::new::<S>(), env.clone())], &env)
    };
    exit(match Arguments::parse().command.unwrap_or(Command::Serve) {
        Command::Serve => alone().and_then(|process| process.serve(|_| std::future::pending())),
        Command::Migrate => alone().and_then(Process::migrate),
        Command::Openapi => openapi::<S>(),
        Command::Events { folder } => events::<S>(&folder),
    })
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
