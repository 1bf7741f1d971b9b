//! The agent's command line: arguments, logging, exit codes.

use std::process::ExitCode;

use anyhow::Context as _;
use tracer::agent;
use tracer::check;
use tracer::cli::{self, Command, ReplayConfig, RunConfig, Surroundings};
use tracer::enrich::process::Proc;
use tracer::replay;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    let proc = Proc::default();
    let variable = |name: &str| std::env::var(name).ok();
    let surroundings = Surroundings { variable: &variable, proc: &proc, own: std::process::id() };
    let outcome = match cli::parse(std::env::args_os(), &surroundings) {
        Err(error) => return error.report(),
        Ok(Command::Run(config)) => run(*config),
        Ok(Command::Replay(config)) => play(*config),
        Ok(Command::Check { json, pids }) => report(json, &pids),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {}", cli::sentence(error.as_ref()));
        ExitCode::FAILURE
    })
}

/// `tracer run`: everything but the reader's thread and the local sinks shares one thread.
fn run(config: RunConfig) -> anyhow::Result<ExitCode> {
    log_to_stderr(config.log_level);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(agent::run(config, variables()))?;
    Ok(ExitCode::SUCCESS)
}

/// `tracer replay`.
fn play(config: ReplayConfig) -> anyhow::Result<ExitCode> {
    log_to_stderr(config.log_level);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(replay::replay(config, variables()))?;
    Ok(ExitCode::SUCCESS)
}

/// `tracer check`.
fn report(json: bool, pids: &[u32]) -> anyhow::Result<ExitCode> {
    let node = check::Node::default();
    let mut report = check::report(&node);
    report.add_runtimes(&node, pids);
    if json {
        println!("{}", report.json()?);
    } else {
        println!("{report}");
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// The tracer's own messages. `TRACER_LOG` refines them by module, as `RUST_LOG` does elsewhere.
fn log_to_stderr(level: LevelFilter) {
    let given = std::env::var("TRACER_LOG").ok().filter(|text| !text.is_empty());
    let parsed = given.as_deref().map(EnvFilter::try_new);
    let wrong = parsed.as_ref().and_then(|parsed| parsed.as_ref().err()).map(ToString::to_string);
    let filter = parsed.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(directives(level)));
    let colours =
        std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_target(false)
        .init();
    if let Some(error) = wrong {
        tracing::warn!("TRACER_LOG is left aside, because it is no filter: {error}");
    }
}

/// What is said at a level. The API client's words come with each attempt, whatever failed: what they mean is said by
/// `kubernetes::watch` in a sentence.
fn directives(level: LevelFilter) -> String {
    if level < LevelFilter::DEBUG { format!("{level},kube_client=off") } else { level.to_string() }
}

/// The environment; a variable that is no text cannot be meant for us.
fn variables() -> std::collections::BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
