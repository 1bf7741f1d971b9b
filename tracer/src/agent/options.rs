//! What `tracer run` was told, in the terms of the stages.

use super::RunOptions;
use crate::cli::RunConfig;
use crate::cli::options::{Attach, ExportTarget, LogMode as CliLogMode, RouteMode as CliRouteMode};
use crate::export::{Target, Variables};
use crate::pipeline::{LogMode, PipelineConfig};
use crate::probe::{AttachMode, ProbeOptions};
use crate::span::SpanOptions;
use crate::span::http::{RouteMode, RouteOptions, RoutePattern};

impl RunOptions {
    /// From the checked command line and the environment.
    #[must_use]
    pub fn new(config: &RunConfig, variables: Variables) -> Self {
        let logs = match config.logs {
            CliLogMode::All => LogMode::All,
            CliLogMode::Correlated => LogMode::Correlated,
            CliLogMode::Off => LogMode::Off,
        };
        Self {
            selection: config.selection.clone(),
            service_name: config.service_name.clone(),
            probe: probe(config, logs),
            pipeline: PipelineConfig { spans: spans(config), logs, ..PipelineConfig::default() },
            exports: config.exports.iter().map(target).collect(),
            variables,
        }
    }
}

fn probe(config: &RunConfig, logs: LogMode) -> ProbeOptions {
    ProbeOptions {
        head: config.head,
        tail: config.tail,
        ring_bytes: config.ring_size,
        logs: logs != LogMode::Off,
        all_execs: !config.selection.exes.is_empty(),
        attach: match config.attach {
            Attach::Auto => AttachMode::Auto,
            Attach::Tracepoint => AttachMode::Tracepoint,
            Attach::Fexit => AttachMode::Fexit,
        },
    }
}

fn spans(config: &RunConfig) -> SpanOptions {
    let defaults = SpanOptions::default();
    let mode = match config.routes {
        CliRouteMode::Heuristic => RouteMode::Heuristic,
        CliRouteMode::Patterns => RouteMode::Patterns,
        CliRouteMode::Off => RouteMode::Off,
    };
    let patterns =
        config.route_patterns.iter().filter_map(|pattern| pattern.parse::<RoutePattern>().ok()).collect();
    SpanOptions {
        sql_text: config.sql_text,
        mask_redis_keys: config.mask_redis_keys,
        redis_batch_commands: config.redis_batch_commands,
        routes: RouteOptions { mode, patterns, ..defaults.routes },
        known_methods: config.known_methods.clone().unwrap_or(defaults.known_methods),
        database_dup: config.database_dup,
    }
}

fn target(target: &ExportTarget) -> Target {
    match target {
        ExportTarget::Otlp => Target::Otlp,
        ExportTarget::Console => Target::Console,
        ExportTarget::File(path) => Target::File(path.clone()),
    }
}
