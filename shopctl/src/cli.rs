//! What can be typed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser,
};
use clap_complete::Shell;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use uuid::Uuid;

use crate::{
    failure::{Failure, Outcome},
    output::{self, Output},
};

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well: the Shop is Ready, the file is valid, the command did what it says
  1  all is not well: the Shop is not Ready, something is wrong with it or with the file
  2  wrong use, or refused
  3  the cluster is not reached, or what was named is not there
  4  what is planned would change something";

/// Looks at a Shop: how far it is, why it is not Ready, what its services say; and writes what is to be so.
#[derive(Debug, Parser)]
#[command(name = "shopctl", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which Shop, and how to answer.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Context of the kubeconfig; without it the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the Shop; without it that of the context
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The Shop; may be left out where the namespace has one
    #[arg(long, global = true, value_name = "NAME")]
    pub shop: Option<String>,
    /// For people, or for programs
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Output,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How far the Shop and its services are; ends with 0 where it is Ready, else with 1
    #[command(after_help = EXIT_CODES)]
    Status(StatusOptions),
    /// Why the Shop, one of its services, or an order is not as it should be: the most pressing cause first
    #[command(after_help = EXIT_CODES)]
    Why(WhyOptions),
    /// What an order, or one request, was at every service, with what failed; ends with 1 where something did
    #[command(after_help = EXIT_CODES)]
    Trace(TraceOptions),
    /// Check Shops in files without a cluster: fields, admission rules, and what the operator would refuse
    #[command(after_help = EXIT_CODES)]
    Validate(ValidateOptions),
    /// What applying a Shop would do: by the operator's own code, and without a write; ends with 0 where nothing changes, else with 4
    #[command(after_help = EXIT_CODES)]
    Plan(PlanOptions),
    /// Apply what `plan --out` has kept: just that, or nothing where something has changed since
    #[command(after_help = EXIT_CODES)]
    Apply(ApplyOptions),
    /// What all pods of a service log, or all services of an order, merged by time
    Logs(LogsOptions),
    /// What the releases of the services came to, the newest first
    History {
        /// Only this service
        service: Option<String>,
    },
    /// Try once more what was taken back
    Retry {
        /// The service
        service: String,
    },
    /// Let what only another operator changes of a service begin, without a change of the Shop
    #[command(after_help = EXIT_CODES)]
    Approve {
        /// The service; all of which an update waits, if none is named
        service: Option<String>,
    },
    /// Let a canary that waits go on: to its next step, or after the last one to all pods
    #[command(after_help = EXIT_CODES)]
    Promote {
        /// The service
        service: String,
    },
    /// Have the pods of a canary go; what it was is not tried again before the Shop changes, or `retry`
    #[command(after_help = EXIT_CODES)]
    Abort {
        /// The service
        service: String,
    },
    /// Write back what the Shop asked for before: the image of one service, or the version of all
    #[command(after_help = EXIT_CODES)]
    Rollback(RollbackOptions),
    /// Begin no new release of the Shop, or of one service, until `resume`; one that is under way goes on to its end
    #[command(after_help = EXIT_CODES)]
    Pause(PauseOptions),
    /// End a pause
    #[command(after_help = EXIT_CODES)]
    Resume(ResumeOptions),
    /// Forward a port of this machine to the API of each service, until Ctrl-C
    Open {
        /// Only this service
        service: Option<String>,
    },
    /// Events that a service could not apply; without a service those of all
    DeadLetters(LettersOptions),
    /// Print what makes a shell complete the commands
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Of `status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// Print anew when something changes, until the Shop is Ready
    #[arg(short, long)]
    pub watch: bool,
    /// Give up watching after this time, like 90s or 5m
    #[arg(long, requires = "watch", value_name = "TIME", value_parser = time)]
    pub timeout: Option<Duration>,
}

/// A time as people write it, like `90s` or `1h30m`.
fn time(text: &str) -> Result<Duration, String> {
    let time: SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(time).map_err(|_| "it must not be negative".into())
}

/// Of `validate`.
#[derive(Debug, Args)]
pub struct ValidateOptions {
    /// YAML or JSON; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Of `plan`.
#[derive(Debug, Args)]
pub struct PlanOptions {
    /// YAML or JSON with the Shop; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The Deployment of the operator, where none has claimed the namespace yet
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub operator: Option<String>,
    /// Keep the plan, and the Shop with it, in this file, for `apply`
    #[arg(long, value_name = "PLAN")]
    pub out: Option<PathBuf>,
}

/// Of `apply`.
#[derive(Debug, Args)]
pub struct ApplyOptions {
    /// What `plan --out` has kept
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// How it is written.
    #[command(flatten)]
    pub writing: Writing,
}

/// Of `why`.
#[derive(Debug, Args)]
pub struct WhyOptions {
    /// Only this service
    pub service: Option<String>,
    /// Where an order stands, or where it died; by its id, or by its number
    #[arg(long, value_name = "ORDER", conflicts_with = "service")]
    pub order: Option<String>,
    /// Where traces and logs are kept.
    #[command(flatten)]
    pub back_ends: BackEndOptions,
}

/// Of `trace`.
#[derive(Debug, Args)]
pub struct TraceOptions {
    /// The id of an order, its number, or the id of a trace
    #[arg(value_name = "ORDER|TRACE")]
    pub name: String,
    /// Also statements of databases that went well
    #[arg(long)]
    pub all: bool,
    /// Where traces are kept.
    #[command(flatten)]
    pub back_ends: BackEndOptions,
}

/// Where traces and logs are kept, where that is not a Service of the cluster with the label `shopkeeper.dev/backend`.
#[derive(Debug, Args)]
pub struct BackEndOptions {
    /// Address of Jaeger, or of what answers as its API does; without it a Service with the label shopkeeper.dev/backend=traces
    #[arg(
        long,
        value_name = "URL",
        env = "SHOPCTL_TRACES",
        hide_env_values = true
    )]
    pub traces: Option<Url>,
    /// Address of VictoriaLogs; without it a Service with the label shopkeeper.dev/backend=logs, or else the pods
    #[arg(long, value_name = "URL", env = "SHOPCTL_LOGS", hide_env_values = true)]
    pub logs: Option<Url>,
}

/// Of `logs`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["service", "order", "trace"])))]
pub struct LogsOptions {
    /// The service
    pub service: Option<String>,
    /// What all services log of this order; by its id, or by its number
    #[arg(long, value_name = "ORDER")]
    pub order: Option<String>,
    /// What all services log within this trace
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
    /// Go on with what is logged from now on, by pods that come later too
    #[arg(short, long, requires = "service")]
    pub follow: bool,
    /// Only what is not older than this, like 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = time, requires = "service")]
    pub since: Option<Duration>,
    /// Where logs are kept.
    #[command(flatten)]
    pub back_ends: BackEndOptions,
}

/// Of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackOptions {
    /// Only this service; without it all that follow the version of the Shop
    pub service: Option<String>,
    /// The release to go back to, as `history` numbers them; without it the last that passed with another image
    #[arg(long, requires = "service", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub to: Option<u16>,
    /// What every command takes that changes a specification.
    #[command(flatten)]
    pub writing: Writing,
}

/// Of `pause`.
#[derive(Debug, Args)]
pub struct PauseOptions {
    /// Only this service; without it the whole Shop
    pub service: Option<String>,
    /// Why, for whoever wonders
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    /// It ends by itself after this time, like 90m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = time, conflicts_with = "until")]
    pub time: Option<Duration>,
    /// It ends by itself at this time, like 2026-11-27T18:00:00Z or 2026-11-27T18:00:00+01:00
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// What every command takes that changes a specification.
    #[command(flatten)]
    pub writing: Writing,
}

/// Of `resume`.
#[derive(Debug, Args)]
pub struct ResumeOptions {
    /// Only this service; without it the whole Shop
    pub service: Option<String>,
    /// What every command takes that changes a specification.
    #[command(flatten)]
    pub writing: Writing,
}

/// How a specification is changed.
#[derive(Clone, Copy, Debug, Args)]
pub struct Writing {
    /// Write although another tool keeps the Shop and may put its specification back
    #[arg(long)]
    pub force: bool,
}

/// Of `dead-letters`.
#[derive(Debug, Args)]
#[command(subcommand_precedence_over_arg = true)]
pub struct LettersOptions {
    /// The service; without it all are asked
    pub service: Option<String>,
    /// What to do with them; without it they are listed
    #[command(subcommand)]
    pub action: Option<LettersAction>,
}

/// What may be done with dead letters.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum LettersAction {
    /// List them
    List,
    /// Show one with its payload
    Show {
        /// The id of its event
        id: Uuid,
    },
    /// Apply one now; it stays where that fails again
    Retry {
        /// The id of its event
        id: Uuid,
    },
    /// Forget one for good: it counts as applied
    Discard {
        /// The id of its event
        id: Uuid,
    },
}

impl ValueEnum for Output {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(match self {
            Self::Text => "text".into(),
            Self::Json => "json".into(),
        })
    }
}

/// The words by which people call this program.
pub fn called() -> &'static str {
    let program = std::env::args_os().next().unwrap_or_default();
    match Path::new(&program)
        .file_stem()
        .and_then(|name| name.to_str())
    {
        Some("kubectl-shop") => "kubectl shop",
        _ => "shopctl",
    }
}

/// Prints the script for a shell.
///
/// # Errors
/// When nobody reads it.
pub fn completions(shell: Shell) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "shopctl", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_all_commands_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_letter_may_be_named_with_its_service_or_without() {
        let id = "01999999-0000-7000-8000-000000000000";
        let options = |words: &[&str]| {
            let words = ["shopctl", "dead-letters"].iter().chain(words);
            match Cli::try_parse_from(words).map(|cli| cli.command) {
                Ok(Command::DeadLetters(options)) => Ok(options),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.exit_code()),
            }
        };
        let with = options(&["email", "retry", id]).expect("a service and an id");
        assert_eq!(with.service.as_deref(), Some("email"));
        assert!(matches!(with.action, Some(LettersAction::Retry { .. })));
        let without = options(&["show", id]).expect("an id");
        assert_eq!(without.service, None);
        assert!(matches!(without.action, Some(LettersAction::Show { .. })));
        let all = options(&[]).expect("nothing");
        assert!(all.service.is_none() && all.action.is_none());
        assert_eq!(options(&["show", "one"]).map(|_| ()), Err(2));
    }

    #[test]
    fn times_are_given_as_people_write_them() {
        let since = |time: &str| {
            let since = format!("--since={time}");
            let words = ["shopctl", "logs", "email", &since];
            match Cli::try_parse_from(words).map(|cli| cli.command) {
                Ok(Command::Logs(options)) => options.since.map(|time| time.as_secs()),
                _ => None,
            }
        };
        assert_eq!(since("10m"), Some(600));
        assert_eq!(since("1h30m"), Some(5400));
        for wrong in ["soon", "-10m", "10m ago", "99999999999999999999h"] {
            assert_eq!(since(wrong), None, "{wrong}");
            let timeout = format!("--timeout={wrong}");
            let words = ["shopctl", "status", "--watch", &timeout];
            assert!(Cli::try_parse_from(words).is_err(), "{wrong}");
        }
    }
}
