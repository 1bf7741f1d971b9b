//! The command line: arguments, environment and configuration file become one checked configuration.
//!
//! What counts more comes first: arguments, `TRACER_*` variables, the file of `--config`, defaults.

mod config_file;
pub mod error;
pub mod listen;
pub mod options;
pub mod pods;
pub mod run_config;
pub mod size;
pub mod span_of_time;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use error::{CliError, sentence};
pub use run_config::{ReplayConfig, RunConfig};

use crate::enrich::process::Proc;
use crate::export::Target;
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
    #[command(hide = true)]
    Replay(ReplayArguments),
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
    /// A file that `tracer run --record` wrote, or a pcap or pcapng file
    file: PathBuf,

    /// Where spans and logs go: otlp, console or file:PATH [default: otlp if its endpoint is set, else console]
    #[arg(long, value_name = "WHERE", env = "TRACER_EXPORT", hide_env_values = true, value_delimiter = ',')]
    export: Vec<Target>,
}

#[derive(Args, Debug)]
struct CheckArguments {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What the user wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `tracer run`.
    Run(Box<RunConfig>),
    /// `tracer check`.
    Check {
        /// As JSON rather than words.
        json: bool,
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
    match Arguments::try_parse_from(arguments)?.command {
        Subcommands::Run(run) => {
            let file = run.config.as_deref().map(config_file::read).transpose()?;
            let options = run.options.over(file.unwrap_or_default());
            Ok(Command::Run(Box::new(RunConfig::new(options, surroundings)?)))
        }
        Subcommands::Replay(replay) => {
            let exports = run_config::exports(replay.export, surroundings.variable);
            let config = ReplayConfig { file: replay.file, exports };
            Err(CliError::ReplayNotBuilt { file: config.file })
        }
        Subcommands::Check(check) => Ok(Command::Check { json: check.json }),
    }
}

#[cfg(test)]
mod tests;
