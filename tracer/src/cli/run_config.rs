//! The configuration of `tracer run`: all places put together, checked, and complete.

use std::path::PathBuf;

use tracer_ebpf::limits::{DEFAULT_HEAD, DEFAULT_TAIL, HUGE_HEAD, MAX_TAIL};
use tracing::level_filters::LevelFilter;

use super::options::{
    Attach, ExportTarget, LogLevel, LogMode, Options, RedisBatch, RedisKeys, RouteMode, SdkTargets,
    SqlTextMode,
};
use super::selector::{Selector, is_dns_label};
use super::size::ByteSize;
use super::{CliError, Surroundings};
use crate::probe::targets::{ExeGlob, Selection, TargetError, check_pids};
use crate::span::SqlText;

/// Size of the ring buffer when none is given.
pub const DEFAULT_RING: u32 = 16 << 20;

/// Smallest ring: several events of the largest size class.
pub const MIN_RING: u32 = 512 << 10;

/// Largest ring: the kernel locks its memory.
pub const MAX_RING: u32 = 1 << 30;

/// Fewest bytes captured from the start of a call: less would not hold any protocol's header.
pub const MIN_HEAD: u32 = 64;

/// Everything that `tracer run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    /// What is traced; never empty.
    pub selection: Selection,
    /// `service.name` of targets that do not name themselves.
    pub service_name: Option<String>,
    /// Where to export to; never empty, nothing twice.
    pub exports: Vec<ExportTarget>,
    /// How to attach.
    pub attach: Attach,
    /// Which log lines to export.
    pub logs: LogMode,
    /// What to do with targets that export by themselves.
    pub sdk_targets: SdkTargets,
    /// Text of SQL statements.
    pub sql_text: SqlText,
    /// Redis keys become `?`.
    pub mask_redis_keys: bool,
    /// One span a Redis command rather than a batch.
    pub redis_batch_commands: bool,
    /// Where routes come from.
    pub routes: RouteMode,
    /// Route patterns, each beginning with a slash.
    pub route_patterns: Vec<String>,
    /// Bytes captured from the start of a call.
    pub head: u32,
    /// Bytes captured from the end of a longer call.
    pub tail: u32,
    /// Size of the ring buffer in bytes: a power of two.
    pub ring_size: u32,
    /// How much the tracer says of itself.
    pub log_level: LevelFilter,
    /// `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`, when set.
    pub known_methods: Option<Vec<String>>,
    /// `OTEL_SEMCONV_STABILITY_OPT_IN` asks for the old database names too.
    pub database_dup: bool,
}

impl RunConfig {
    /// Checks and completes options.
    ///
    /// # Errors
    /// [`CliError`]: each names the option and says what would be right.
    pub(super) fn new(options: Options, surroundings: &Surroundings<'_>) -> Result<Self, CliError> {
        check_pods(&options)?;
        let selection = selection(&options)?;
        if selection.is_empty() {
            return Err(CliError::NothingSelected);
        }
        check_pids(&selection.pids, surroundings.proc, surroundings.own).map_err(CliError::Target)?;
        let (head, tail) = window(options.head, options.tail)?;
        let routes = options.routes.unwrap_or_default();
        check_routes(routes, &options.route)?;
        let variable = surroundings.variable;
        Ok(Self {
            selection,
            service_name: options.service_name.filter(|name| !name.trim().is_empty()),
            exports: exports(options.export, variable),
            attach: options.attach.unwrap_or_default(),
            logs: options.logs.unwrap_or_default(),
            sdk_targets: options.sdk_targets.unwrap_or_default(),
            sql_text: sql_text(options.sql_text.unwrap_or_default()),
            mask_redis_keys: options.redis_keys == Some(RedisKeys::Mask),
            redis_batch_commands: options.redis_batch == Some(RedisBatch::Commands),
            routes,
            route_patterns: options.route,
            head,
            tail,
            ring_size: ring_size(options.ring_size)?,
            log_level: level(options.log_level.unwrap_or_default()),
            known_methods: variable("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS").map(|list| words(&list)),
            database_dup: variable("OTEL_SEMCONV_STABILITY_OPT_IN")
                .is_some_and(|list| words(&list).iter().any(|word| word == "database/dup")),
        })
    }
}

/// Pods are selected by their labels and namespace, which only the cluster knows.
fn check_pods(options: &Options) -> Result<(), CliError> {
    for selector in &options.pod_selector {
        let parsed = selector.parse::<Selector>();
        parsed.map_err(|source| CliError::Selector { selector: selector.clone(), source })?;
    }
    if let Some(name) = options.namespace.iter().find(|name| !is_dns_label(name)) {
        return Err(CliError::Namespace(name.clone()));
    }
    if options.pod_selector.is_empty() && options.namespace.is_empty() {
        return Ok(());
    }
    Err(CliError::KubernetesNotBuilt)
}

fn selection(options: &Options) -> Result<Selection, CliError> {
    let exes = options.exe.iter().map(|pattern| {
        ExeGlob::new(pattern)
            .map_err(|error| CliError::Glob { pattern: pattern.clone(), problem: error.kind().clone() })
    });
    if options.port.contains(&0) {
        return Err(CliError::PortZero);
    }
    // No process has number 0; the kernel's idle task shows nowhere.
    if options.pid.contains(&0) {
        return Err(CliError::Target(TargetError::NoProcess(0)));
    }
    if options.exe.iter().any(String::is_empty)
        || options.cgroup.iter().any(|path| path.as_os_str().is_empty())
    {
        return Err(CliError::EmptyTarget);
    }
    Ok(Selection {
        pids: options.pid.clone(),
        exes: exes.collect::<Result<_, _>>()?,
        ports: options.port.clone(),
        cgroups: options.cgroup.clone(),
    })
}

fn window(head: Option<ByteSize>, tail: Option<ByteSize>) -> Result<(u32, u32), CliError> {
    let head = head.map_or(Some(DEFAULT_HEAD), |size| u32::try_from(size.0).ok());
    let tail = tail.map_or(Some(DEFAULT_TAIL), |size| u32::try_from(size.0).ok());
    let fits = |head: u32, tail: u32| (MIN_HEAD..=HUGE_HEAD).contains(&head) && tail <= MAX_TAIL;
    head.zip(tail).filter(|(head, tail)| fits(*head, *tail)).ok_or(CliError::Window)
}

fn ring_size(size: Option<ByteSize>) -> Result<u32, CliError> {
    let Some(size) = size else { return Ok(DEFAULT_RING) };
    let bytes = u32::try_from(size.0).ok().filter(|bytes| bytes.is_power_of_two());
    bytes.filter(|bytes| (MIN_RING..=MAX_RING).contains(bytes)).ok_or(CliError::Ring { size })
}

fn check_routes(mode: RouteMode, patterns: &[String]) -> Result<(), CliError> {
    if let Some(pattern) = patterns.iter().find(|pattern| !pattern.starts_with('/')) {
        return Err(CliError::RoutePattern(pattern.clone()));
    }
    if mode == RouteMode::Patterns && patterns.is_empty() {
        return Err(CliError::NoRoutePatterns);
    }
    Ok(())
}

/// What was asked for, once each; else OTLP where the standard variables name a collector, else the console.
pub(super) fn exports(
    given: Vec<ExportTarget>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Vec<ExportTarget> {
    let mut exports = Vec::new();
    for export in given {
        if !exports.contains(&export) {
            exports.push(export);
        }
    }
    if exports.is_empty() {
        let endpoints = [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        ];
        let set =
            endpoints.into_iter().any(|name| variable(name).is_some_and(|value| !value.trim().is_empty()));
        exports.push(if set { ExportTarget::Otlp } else { ExportTarget::Console });
    }
    exports
}

fn sql_text(mode: SqlTextMode) -> SqlText {
    match mode {
        SqlTextMode::Raw => SqlText::Raw,
        SqlTextMode::Sanitized => SqlText::Sanitized,
        SqlTextMode::Off => SqlText::Off,
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// The words of a comma-separated list.
fn words(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A recording and where to export what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayConfig {
    /// The file.
    pub file: PathBuf,
    /// Where to export to; never empty.
    pub exports: Vec<ExportTarget>,
}
