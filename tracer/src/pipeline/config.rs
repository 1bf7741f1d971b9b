//! Settings of the pipeline.

use clap::ValueEnum;
use serde::Deserialize;

use crate::connection::WantedEnds;
use crate::connection::table::MAX_CONNECTIONS;
use crate::correlate::active::MAX_THREADS;
use crate::span::SpanOptions;

/// How the pipeline works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineConfig {
    /// What may leave the node, and how it is named.
    pub spans: SpanOptions,
    /// Which log lines are wanted.
    pub logs: LogMode,
    /// A caller's `sampled=0` keeps the spans of its trace from being exported (`parentbased_always_on`).
    pub respect_sampled: bool,
    /// Which ends of connections become spans. The probe sees only those of its targets: both.
    pub wanted: WantedEnds,
    /// Sizes of tables.
    pub limits: Limits,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            spans: SpanOptions::default(),
            logs: LogMode::default(),
            respect_sampled: true,
            wanted: WantedEnds::Both,
            limits: Limits::default(),
        }
    }
}

/// `--logs`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LogMode {
    /// Every line
    #[default]
    All,
    /// Lines that belong to a span
    Correlated,
    /// None
    Off,
}

/// Sizes of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are followed at once.
    pub connections: usize,
    /// Threads whose bindings are kept.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: MAX_CONNECTIONS, threads: MAX_THREADS }
    }
}
