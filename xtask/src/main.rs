//! Chores of the workspace: `cargo xtask images`, `push`, `install`, `run` and `generate`.

mod generate;
mod go;
mod images;
mod install;
mod observability;
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
    /// Build shopctl, a static binary, and put it into a folder
    Install(install::Options),
    /// Run a tool against the cluster of `make up`
    #[command(disable_help_flag = true)] // --help is the tool's
    Run(run::Options),
    /// Write the files that are generated from code: resource definition, API documents, event schemas, boards, alerts
    Generate(generate::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Images(options) => images::run(&options),
        Command::Push(options) => push::run(&options),
        Command::Install(options) => install::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Generate(options) => generate::run(&options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_of_all_commands_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_a_tools_name_is_the_tools() {
        let cli = Cli::try_parse_from(["xtask", "run", "demo", "--help", "seed"]);
        let Ok(Command::Run(options)) = cli.map(|cli| cli.command) else {
            panic!("no command to run a tool");
        };
        assert_eq!(options.arguments, ["--help", "seed"]);
    }
}
