//! Chores of the workspace: `cargo xtask images` and `cargo xtask generate`.

mod generate;
mod images;
mod oci;
mod revision;
mod workspace;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the Shopkeeper workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build static binaries and put each into an image from scratch
    Images(images::Options),
    /// Write the files that are generated from code: resource definition, API documents, event schemas
    Generate(generate::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Images(options) => images::run(&options),
        Command::Generate(options) => generate::run(&options),
    }
}
