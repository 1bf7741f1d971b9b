//! What can be wrong with the command line, in sentences.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use tracer_ebpf::limits::{HUGE_HEAD, MAX_TAIL};

use super::run_config::{MAX_RING, MIN_HEAD, MIN_RECORD, MIN_RING};
use super::size::ByteSize;
use crate::correlate::sampler::SamplerError;
use crate::kubernetes::selector::SelectorError;
use crate::probe::targets::TargetError;

/// Why the command line is not good.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments do not fit the options; or help or the version was asked for.
    #[error("{0}")]
    Arguments(#[from] clap::Error),
    /// `--config` could not be read.
    #[error("the configuration file {} could not be read", path.display())]
    ConfigRead {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `--config` does not hold options.
    #[error("the configuration file {} is not valid: {problem}", path.display())]
    ConfigContent {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        problem: String,
    },
    /// No target was given.
    #[error(
        "nothing is selected: say what to trace with --pid PID, --exe GLOB, --port PORT, --cgroup PATH or \
         --pod-selector SELECTOR (several are OR-ed)"
    )]
    NothingSelected,
    /// `--exe ''` or `--cgroup ''`.
    #[error("--exe and --cgroup need a value that is not empty")]
    EmptyTarget,
    /// A process that was given cannot be traced.
    #[error("--pid: {0}")]
    Target(#[source] TargetError),
    /// `--port 0`.
    #[error("--port 0 is no port to listen on: give 1 to 65535")]
    PortZero,
    /// `--exe` is no pattern.
    #[error("--exe {pattern:?} is not a pattern: {problem}")]
    Glob {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        problem: globset::ErrorKind,
    },
    /// `--pod-selector` is no label selector.
    #[error("--pod-selector {selector:?} is not a label selector: {source}")]
    Selector {
        /// What was given.
        selector: String,
        /// What is wrong with it, and where.
        source: SelectorError,
    },
    /// `--namespace` can be no namespace.
    #[error(
        "--namespace {0:?} is not a name of a namespace: lower-case letters, digits and '-', at most 63 characters"
    )]
    Namespace(String),
    /// `--container` without pods.
    #[error("--container narrows pods that are selected: give --pod-selector or --namespace too")]
    ContainerOfNoPod,
    /// `--container` is no pattern.
    #[error("--container {0:?} is not a pattern of a container's name")]
    Container(String),
    /// A rule of the file without any condition.
    #[error("a rule of pods: in the configuration file selects every pod: give it a selector or namespaces")]
    RuleForAllPods,
    /// `--health-path` is no path.
    #[error(
        "--health-path {0:?} is not a path: it must begin with a slash, and may have a * at its end only"
    )]
    HealthPath(String),
    /// `--health-agent` without anything in it.
    #[error("--health-agent needs what a User-Agent begins with: an empty one would stand for every request")]
    HealthAgent,
    /// `--health-sample` is no share.
    #[error("--health-sample is {0}, but must be a number from 0 to 1: the share of health checks to trace")]
    HealthSample(f64),
    /// `--api-timeout` is too short.
    #[error("--api-timeout must be at least 1s: the API server needs time to list a node's pods")]
    ApiTimeout,
    /// `--resource-attribute` is no pair.
    #[error("--resource-attribute {0:?} is not KEY=VALUE")]
    Attribute(String),
    /// `--head` and `--tail` do not fit the probe.
    #[error(
        "--head must be from {MIN_HEAD} bytes to {}, and --tail at most {}",
        bytes(HUGE_HEAD),
        bytes(MAX_TAIL)
    )]
    Window,
    /// `--ring-size` is not possible.
    #[error(
        "--ring-size of {size} is not possible: give a power of two from {} to {}",
        bytes(MIN_RING),
        bytes(MAX_RING)
    )]
    Ring {
        /// What was given.
        size: ByteSize,
    },
    /// A variable of the sampler means nothing.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// `--routes patterns` without one.
    #[error("--routes patterns needs at least one --route PATTERN")]
    NoRoutePatterns,
    /// `--record-max` is too small.
    #[error("--record-max must be at least {}", ByteSize(MIN_RECORD))]
    RecordMax,
    /// `--record-max` without `--record`.
    #[error("--record-max is the largest size of a recording: say where to write it with --record FILE")]
    NothingRecorded,
    /// An option of `tracer run` that a replay has no use for.
    #[error("--{0} is about live processes, and a replay has none: leave it out")]
    NotForReplay(String),
}

fn bytes(size: u32) -> ByteSize {
    ByteSize(u64::from(size))
}

impl CliError {
    /// 0 for help and version, 1 for what failed though it was asked rightly, 2 for wrong usage.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Arguments(error) => u8::try_from(error.exit_code()).unwrap_or(2),
            Self::ConfigRead { .. } | Self::Target(_) => 1,
            _ => 2,
        }
    }

    /// Tells the user: help and version on standard output, errors on standard error, in one sentence.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        if let Self::Arguments(error) = self {
            // Nobody is left to tell if even this cannot be written.
            let _ = error.print();
        } else {
            eprintln!("error: {}", sentence(self));
        }
        ExitCode::from(self.exit_code())
    }
}

/// An error with its causes, those that its own text does not hold already.
#[must_use]
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
