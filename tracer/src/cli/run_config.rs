//! The configuration of `tracer run`: all places put together, checked, and complete.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tracer_ebpf::limits::{HUGE_HEAD, MAX_TAIL};
use tracing::level_filters::LevelFilter;

use super::listen::Listen;
use super::options::{LogLevel, Options, RedisBatch, RedisKeys};
use super::size::ByteSize;
use super::span_of_time::SpanOfTime;
use super::{CliError, Surroundings};
use super::{health, pods};
use crate::connection::WantedEnds;
use crate::correlate::log_rate::DEFAULT_RATE;
use crate::correlate::sampler::{Sampler, SamplerError};
use crate::correlate::trace_context::Propagators;
use crate::enrich::pod::PodOptions;
use crate::enrich::sdk::SdkTargets;
use crate::export::Target;
use crate::kubernetes::watch::ANSWER_TIMEOUT;
use crate::pipeline::{Keep, LogMode, PipelineConfig};
use crate::probe::ProbeOptions;
use crate::probe::targets::{ExeGlob, Selection, TargetError, check_pids};
use crate::span::SpanOptions;
use crate::span::http::{RouteMode, RouteOptions};

/// Smallest ring: several events of the largest size class.
pub const MIN_RING: u32 = 512 << 10;

/// Largest ring: the kernel locks its memory.
pub const MAX_RING: u32 = 1 << 30;

/// Fewest bytes captured from the start of a call: less would not hold any protocol's header.
pub const MIN_HEAD: u32 = 64;

/// Smallest `--api-timeout`.
pub const MIN_API_TIMEOUT: Duration = Duration::from_secs(1);

/// What resources say beyond what a target and its pod tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceOptions {
    /// Attributes of every target, `k8s.cluster.name` among them.
    pub attributes: Vec<(String, String)>,
    /// What is taken from pods.
    pub pods: PodOptions,
}

/// Everything that `tracer run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    /// What is traced; never empty.
    pub selection: Selection,
    /// `service.name` of targets that do not name themselves.
    pub service_name: Option<String>,
    /// What resources say beyond what a target and its pod tell.
    pub resource: ResourceOptions,
    /// Where the agent's own endpoints are served.
    pub listen: Listen,
    /// How long the API server may take for an answer.
    pub api_timeout: Duration,
    /// Where to export to; never empty, nothing twice.
    pub exports: Vec<Target>,
    /// What to do with targets that export by themselves.
    pub sdk_targets: SdkTargets,
    /// The probe's settings.
    pub probe: ProbeOptions,
    /// The pipeline's settings.
    pub pipeline: PipelineConfig,
    /// Where and how much is recorded.
    pub record: Option<Record>,
    /// How much the tracer says of itself.
    pub log_level: LevelFilter,
}

/// `--record` and `--record-max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The recording.
    pub file: PathBuf,
    /// Its largest size in bytes.
    pub max: Option<u64>,
}

/// Smallest `--record-max`: the header and a few entries.
pub const MIN_RECORD: u64 = 4096;

impl RunConfig {
    /// Checks and completes options.
    ///
    /// # Errors
    /// [`CliError`]: each names the option and says what would be right.
    pub(super) fn new(options: Options, surroundings: &Surroundings<'_>) -> Result<Self, CliError> {
        let selection = selection(&options)?;
        if selection.is_empty() {
            return Err(CliError::NothingSelected);
        }
        check_pids(&selection.pids, surroundings.proc, surroundings.own).map_err(CliError::Target)?;
        let probe = probe(&options, &selection)?;
        let listen = if selection.pods.is_empty() { Listen::Off } else { Listen::EVERYWHERE };
        Ok(Self {
            resource: resource(&options)?,
            listen: options.listen.unwrap_or(listen),
            api_timeout: api_timeout(options.api_timeout)?,
            probe,
            pipeline: pipeline(&options, surroundings)?,
            record: record(&options)?,
            selection,
            service_name: service_name(options.service_name),
            exports: exports(options.export, surroundings.variable),
            sdk_targets: options.sdk_targets.unwrap_or_default(),
            log_level: level(options.log_level.unwrap_or_default()),
        })
    }
}

fn pipeline(options: &Options, surroundings: &Surroundings<'_>) -> Result<PipelineConfig, CliError> {
    Ok(PipelineConfig {
        logs: options.logs.unwrap_or_default(),
        log_rate: options.log_rate_limit.map_or(Some(DEFAULT_RATE), NonZeroU32::new),
        spans: spans(options, surroundings.variable)?,
        propagators: Propagators::from_variable((surroundings.variable)("OTEL_PROPAGATORS").as_deref()),
        sampler: sampler(surroundings.variable)?,
        health_checks: health::rules(options)?,
        keep: Keep {
            errors: options.keep_errors.unwrap_or_default(),
            slower_than: options.keep_slower_than.map(nanoseconds),
        },
        ..PipelineConfig::default()
    })
}

/// A second is little for a list; none at all would never be enough.
fn api_timeout(given: Option<SpanOfTime>) -> Result<Duration, CliError> {
    let time = given.map_or(ANSWER_TIMEOUT, |time| time.0);
    if time < MIN_API_TIMEOUT { Err(CliError::ApiTimeout) } else { Ok(time) }
}

fn service_name(given: Option<String>) -> Option<String> {
    given.filter(|name| !name.trim().is_empty())
}

fn record(options: &Options) -> Result<Option<Record>, CliError> {
    let max = options.record_max.map(|size| size.0);
    if max.is_some_and(|max| max < MIN_RECORD) {
        return Err(CliError::RecordMax);
    }
    match &options.record {
        Some(file) => Ok(Some(Record { file: file.clone(), max })),
        None if max.is_some() => Err(CliError::NothingRecorded),
        None => Ok(None),
    }
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
        pods: pods::rules(options)?,
    })
}

fn resource(options: &Options) -> Result<ResourceOptions, CliError> {
    let cluster = options.cluster_name.iter().map(|name| ("k8s.cluster.name".to_owned(), name.clone()));
    let given = options.resource_attribute.iter().map(|text| pods::attribute(text));
    let pods = PodOptions {
        service_labels: options.service_labels.unwrap_or_default(),
        labels: options.pod_label.clone(),
    };
    let attributes = cluster.map(Ok).chain(given).collect::<Result<_, _>>()?;
    Ok(ResourceOptions { attributes, pods })
}

fn probe(options: &Options, selection: &Selection) -> Result<ProbeOptions, CliError> {
    let defaults = ProbeOptions::default();
    let (head, tail) = window(options.head, options.tail, &defaults)?;
    Ok(ProbeOptions {
        head,
        tail,
        ring_bytes: options.ring_size.map_or(Ok(defaults.ring_bytes), ring_size)?,
        logs: options.logs.unwrap_or_default() != LogMode::Off,
        all_execs: !selection.exes.is_empty(),
        attach: options.attach.unwrap_or_default(),
    })
}

fn window(
    head: Option<ByteSize>,
    tail: Option<ByteSize>,
    defaults: &ProbeOptions,
) -> Result<(u32, u32), CliError> {
    let head = head.map_or(Some(defaults.head), |size| u32::try_from(size.0).ok());
    let tail = tail.map_or(Some(defaults.tail), |size| u32::try_from(size.0).ok());
    let fits = |head: u32, tail: u32| (MIN_HEAD..=HUGE_HEAD).contains(&head) && tail <= MAX_TAIL;
    head.zip(tail).filter(|(head, tail)| fits(*head, *tail)).ok_or(CliError::Window)
}

fn ring_size(size: ByteSize) -> Result<u32, CliError> {
    let bytes = u32::try_from(size.0).ok().filter(|bytes| bytes.is_power_of_two());
    bytes.filter(|bytes| (MIN_RING..=MAX_RING).contains(bytes)).ok_or(CliError::Ring { size })
}

fn spans(options: &Options, variable: &dyn Fn(&str) -> Option<String>) -> Result<SpanOptions, CliError> {
    let defaults = SpanOptions::default();
    let mode = options.routes.unwrap_or_default();
    if mode == RouteMode::Patterns && options.route.is_empty() {
        return Err(CliError::NoRoutePatterns);
    }
    let known_methods = variable("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS").map(|list| words(&list));
    let opted_in = variable("OTEL_SEMCONV_STABILITY_OPT_IN").map(|list| words(&list)).unwrap_or_default();
    Ok(SpanOptions {
        sql_text: options.sql_text.unwrap_or_default(),
        mask_redis_keys: options.redis_keys == Some(RedisKeys::Mask),
        redis_batch_commands: options.redis_batch == Some(RedisBatch::Commands),
        routes: RouteOptions { mode, patterns: options.route.clone(), ..defaults.routes },
        known_methods: known_methods.unwrap_or(defaults.known_methods),
        database_dup: opted_in.iter().any(|word| word == "database/dup"),
    })
}

fn sampler(variable: &dyn Fn(&str) -> Option<String>) -> Result<Sampler, SamplerError> {
    let [name, argument] = ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"].map(variable);
    Sampler::from_variables(name.as_deref(), argument.as_deref())
}

/// Longer than five centuries is as good as for ever.
fn nanoseconds(time: SpanOfTime) -> u64 {
    u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX)
}

/// What was asked for, once each; else OTLP where the standard variables name a collector, else the console.
pub(super) fn exports(given: Vec<Target>, variable: &dyn Fn(&str) -> Option<String>) -> Vec<Target> {
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
        exports.push(if set { Target::Otlp } else { Target::Console });
    }
    exports
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

/// Everything that `tracer replay` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayConfig {
    /// The recording or capture; `-` for standard input.
    pub file: PathBuf,
    /// Whose spans are made, where the user said it.
    pub role: Option<WantedEnds>,
    /// `service.name` of all ends of a capture.
    pub service_name: Option<String>,
    /// Where to export to; never empty, nothing twice.
    pub exports: Vec<Target>,
    /// The pipeline's settings.
    pub pipeline: PipelineConfig,
    /// How much the tracer says of itself.
    pub log_level: LevelFilter,
}

impl ReplayConfig {
    /// Checks and completes options, of which those that only live processes have are left aside.
    ///
    /// # Errors
    /// [`CliError`]: each names the option and says what would be right.
    pub(super) fn new(
        file: PathBuf,
        role: Option<WantedEnds>,
        options: Options,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, CliError> {
        let pipeline = pipeline(&options, surroundings)?;
        Ok(Self {
            file,
            role,
            pipeline,
            service_name: service_name(options.service_name),
            exports: exports(options.export, surroundings.variable),
            log_level: level(options.log_level.unwrap_or_default()),
        })
    }
}
