//! Chores of the workspace: `cargo xtask images`, `push`, `run` and `generate`.

mod generate;
mod images;
mod oci;
mod push;
mod release;
mod revision;
mod run;
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
    /// Build the images and push them to a registry
    Push(push::Options),
    /// Run a tool against the cluster of `make up`
    Run(run::Options),
    /// Write the files that are generated from code: resource definition, API documents, event schemas
    Generate(generate::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Images(options) => images::run(&options),
        Command::Push(options) => push::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Generate(options) => generate::run(&options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_of_all_commands_fit_together() {
        super::Cli::command().debug_assert();
    }
}
