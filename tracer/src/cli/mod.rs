//! The command line: arguments, environment and configuration file become one checked configuration.
//!
//! What counts more comes first: arguments, `TRACER_*` variables, the file of `--config`, defaults.

mod config_file;
pub mod error;
mod health;
pub mod listen;
pub mod options;
pub mod pods;
pub mod run_config;
pub mod size;
pub mod span_of_time;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Id, Parser, Subcommand};

pub use error::{CliError, sentence};
pub use run_config::{Record, ReplayConfig, RunConfig};

use crate::connection::WantedEnds;
use crate::enrich::process::Proc;
use options::Options;

/// Zero-code tracing: HTTP, MySQL and Redis spans of unmodified services, with their log lines, by OTLP
#[derive(Parser, Debug)]
#[command(name = "tracer", version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand, Debug)]
enum Subcommands {
    /// Attach to the targets and trace them until SIGTERM or SIGINT
    Run(Box<RunArguments>),
    /// Make spans and logs of a recording or a packet capture
    Replay(Box<ReplayArguments>),
    /// Say what this node offers and lacks
    Check(CheckArguments),
}

#[derive(Args, Debug)]
struct RunArguments {
    #[command(flatten)]
    options: Options,

    /// Options in a YAML file: the names of the long options are its keys
    #[arg(long, value_name = "FILE", env = "TRACER_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct ReplayArguments {
    /// A file that `tracer run --record` wrote, or a pcap or pcapng file, also compressed by gzip; - for standard input
    file: PathBuf,

    /// Where both ends are in the file: whose spans are made [default: auto of a capture, both of a recording, as of the run
    /// that it was made of]
    #[arg(long, value_name = "WHICH", env = "TRACER_ROLE", hide_env_values = true)]
    role: Option<WantedEnds>,

    #[command(flatten)]
    options: Options,

    /// Options in a YAML file: the names of the long options are its keys
    #[arg(long, value_name = "FILE", env = "TRACER_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

/// Arguments that a replay takes. What else `tracer run` has is about live processes: it is not shown, left aside where
/// it stands in the environment or the configuration file, and refused among the arguments.
const OF_REPLAY: [&str; 19] = [
    "file",
    "role",
    "config",
    "service_name",
    "export",
    "logs",
    "log_rate_limit",
    "health_checks",
    "health_path",
    "health_agent",
    "health_sample",
    "sql_text",
    "redis_keys",
    "redis_batch",
    "routes",
    "route",
    "keep_errors",
    "keep_slower_than",
    "log_level",
];

fn command() -> clap::Command {
    let hide = |argument: clap::Arg| {
        let hidden = !OF_REPLAY.contains(&argument.get_id().as_str());
        argument.hide(hidden)
    };
    Arguments::command().mut_subcommand("replay", |replay| replay.mut_args(hide))
}

/// Refuses what was given for live processes to a replay.
fn check_replay(matches: &ArgMatches) -> Result<(), CliError> {
    let Some(("replay", given)) = matches.subcommand() else { return Ok(()) };
    let by_argument = |id: &&Id| given.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    // Groups have ids too, which no argument has.
    let is_argument = |id: &&Id| given.try_contains_id(id.as_str()).is_ok_and(|given| given);
    let of_live =
        |id: &&Id| !OF_REPLAY.contains(&id.as_str()) && !id.as_str().starts_with(char::is_uppercase);
    match given.ids().filter(of_live).filter(is_argument).find(by_argument) {
        Some(id) => Err(CliError::NotForReplay(id.as_str().replace('_', "-"))),
        None => Ok(()),
    }
}

#[derive(Args, Debug)]
struct CheckArguments {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Say too whether this process's language runtime can be read; repeatable
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
}

/// What the user wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `tracer run`.
    Run(Box<RunConfig>),
    /// `tracer replay`.
    Replay(Box<ReplayConfig>),
    /// `tracer check`.
    Check {
        /// As JSON rather than words.
        json: bool,
        /// Processes whose language runtimes are looked at.
        pids: Vec<u32>,
    },
}

/// What the command line depends on beside the arguments.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// An environment variable's value. (`TRACER_*` are read with the arguments.)
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where processes are looked up.
    pub proc: &'a Proc,
    /// The tracer's own process id.
    pub own: u32,
}

/// Reads the arguments (the program's name first), the `TRACER_*` variables and the configuration file.
///
/// # Errors
/// [`CliError`], also for `--help` and `--version`: see [`CliError::report`].
pub fn parse<I, T>(arguments: I, surroundings: &Surroundings<'_>) -> Result<Command, CliError>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = command().try_get_matches_from(arguments)?;
    check_replay(&matches)?;
    match Arguments::from_arg_matches(&matches)?.command {
        Subcommands::Run(run) => {
            let file = run.config.as_deref().map(config_file::read).transpose()?;
            let options = run.options.over(file.unwrap_or_default());
            Ok(Command::Run(Box::new(RunConfig::new(options, surroundings)?)))
        }
        Subcommands::Replay(replay) => {
            let file = replay.config.as_deref().map(config_file::read).transpose()?;
            let options = replay.options.over(file.unwrap_or_default());
            let config = ReplayConfig::new(replay.file, replay.role, options, surroundings)?;
            Ok(Command::Replay(Box::new(config)))
        }
        Subcommands::Check(check) => Ok(Command::Check { json: check.json, pids: check.pid }),
    }
}

#[cfg(test)]
mod tests;
