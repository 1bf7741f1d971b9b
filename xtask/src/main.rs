//! The project's own commands. `cargo xtask help` lists them.

mod bench;
mod cargo;
mod demo;
mod fuzz;
mod image;
mod privilege;
mod setup;
mod signals;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::architecture::Architecture;
use xtask::vm;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the build and the tests need; safe to repeat
    Setup {
        /// The tools of .ci/run too
        #[arg(long)]
        ci: bool,
    },
    /// Trace a real backend with MariaDB and Redis on this machine, and print the traces as trees
    Demo {
        /// End by itself after so many seconds; without it, Ctrl-C ends it
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
    },
    /// Trace the same application under other kernels, in QEMU, and check what comes out
    Vm {
        /// 5.10, 6.1 or 6.12; none: all of them
        #[arg(value_name = "KERNEL")]
        kernels: Vec<String>,
        /// The tracer's executable; without it, it is built here
        #[arg(long, value_name = "PATH")]
        tracer: Option<PathBuf>,
        /// The guests' architecture, another one with Debian's servers for it [default: this machine's]
        #[arg(long, value_name = "ARCH")]
        arch: Option<Architecture>,
    },
    /// Build the agent's container image, without a container engine
    Image(image::Options),
    /// Let libFuzzer look for inputs that break what reads the network, the logs and the kernel's events
    Fuzz {
        /// Targets, as in tests/fuzz/corpus; none: all of them
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
        /// How long each is run
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
    },
    /// Measure the stages: exchanges a second, instructions, and how the work grows with the input
    Bench,
    /// Run every test and say which tiers ran
    Test,
}

fn main() -> ExitCode {
    if let Some(code) = fuzz::wrapped_rustc() {
        return code;
    }
    let outcome = match Arguments::parse().command {
        Task::Setup { ci } => setup::run(setup::Options { ci }).map(|()| {
            println!("setup: everything is there");
            ExitCode::SUCCESS
        }),
        Task::Demo { seconds } => demo::run(seconds.map(Duration::from_secs)).map(|()| ExitCode::SUCCESS),
        Task::Vm { kernels, tracer, arch } => guests(&kernels, tracer, arch),
        Task::Image(options) => image::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Fuzz { targets, seconds } => setup::run(setup::Options::default())
            .and_then(|()| fuzz::run(&targets, Duration::from_secs(seconds))),
        Task::Bench => setup::run(setup::Options::default()).and_then(|()| bench::run()),
        Task::Test => test::run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn guests(kernels: &[String], tracer: Option<PathBuf>, arch: Option<Architecture>) -> Result<ExitCode> {
    let architecture = arch.map_or_else(Architecture::host, Ok)?;
    if !architecture.is_host() {
        setup::guests(architecture)?;
    }
    let tracer = match tracer {
        Some(tracer) => tracer,
        None if architecture.is_host() => cargo::build_tracer()?,
        None => cargo::build_static_tracer("release", architecture)?,
    };
    let report = vm::run(kernels, &vm::Options { architecture, ..vm::Options::new(tracer)? })?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
