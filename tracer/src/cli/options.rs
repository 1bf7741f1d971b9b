//! The options of `tracer run`, as they stand in arguments, environment and configuration file alike.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::listen::Listen;
use super::pods::RuleOptions;
use super::size::ByteSize;
use super::span_of_time::SpanOfTime;
use crate::correlate::health::HealthMode;
use crate::enrich::sdk::SdkTargets;
use crate::export::Target;
use crate::pipeline::LogMode;
use crate::probe::AttachMode;
use crate::span::SqlText;
use crate::span::http::{RouteMode, RoutePattern};

/// What is set in one place. Nothing here has a default: that is decided when all places are put together.
///
/// The keys of the configuration file are the names of the long options.
#[derive(Args, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Trace this process and its descendants
    #[arg(long, value_name = "PID", env = "TRACER_PID", hide_env_values = true, value_delimiter = ',')]
    #[arg(help_heading = "Targets (several are OR-ed)")]
    pub pid: Vec<u32>,

    /// Trace processes whose executable matches: its path if GLOB has a slash, else its file name
    #[arg(long, value_name = "GLOB", env = "TRACER_EXE", hide_env_values = true)]
    #[arg(help_heading = "Targets (several are OR-ed)")]
    pub exe: Vec<String>,

    /// Trace processes that listen on this TCP port
    // Not TRACER_PORT: Kubernetes sets that in every pod beside a Service named "tracer".
    #[arg(
        long,
        value_name = "PORT",
        env = "TRACER_TARGET_PORT",
        hide_env_values = true,
        value_delimiter = ','
    )]
    #[arg(help_heading = "Targets (several are OR-ed)")]
    pub port: Vec<u16>,

    /// Trace processes in this cgroup and those below it
    #[arg(long, value_name = "PATH", env = "TRACER_CGROUP", hide_env_values = true)]
    #[arg(help_heading = "Targets (several are OR-ed)")]
    pub cgroup: Vec<PathBuf>,

    /// Trace pods with such labels, for example 'app=x,tier in (a,b)'
    #[arg(long, value_name = "SELECTOR", env = "TRACER_POD_SELECTOR", hide_env_values = true)]
    #[arg(help_heading = "Targets (several are OR-ed)")]
    pub pod_selector: Vec<String>,

    /// Trace pods of this namespace only
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "TRACER_NAMESPACE",
        hide_env_values = true,
        value_delimiter = ','
    )]
    #[arg(help_heading = "Targets (several are OR-ed)")]
    pub namespace: Vec<String>,

    /// Trace containers of such names only in the pods that are selected
    #[arg(
        long,
        value_name = "GLOB",
        env = "TRACER_CONTAINER",
        hide_env_values = true,
        value_delimiter = ','
    )]
    #[arg(help_heading = "Targets (several are OR-ed)")]
    pub container: Vec<String>,

    /// In the file only: rules, each with selector, namespaces and containers
    #[arg(skip)]
    pub pods: Vec<RuleOptions>,

    /// How long the API server may take for an answer, for example 10s [default: 30s]
    #[arg(long, value_name = "TIME", env = "TRACER_API_TIMEOUT", hide_env_values = true)]
    #[arg(help_heading = "Targets (several are OR-ed)")]
    pub api_timeout: Option<SpanOfTime>,

    /// Name services and versions by app.kubernetes.io/* labels of pods [default: false]
    #[arg(long, value_name = "BOOL", env = "TRACER_SERVICE_LABELS", hide_env_values = true)]
    #[arg(num_args = 0..=1, default_missing_value = "true", help_heading = "Resource")]
    pub service_labels: Option<bool>,

    /// Export this label of pods as k8s.pod.label.KEY
    #[arg(long, value_name = "KEY", env = "TRACER_POD_LABEL", hide_env_values = true, value_delimiter = ',')]
    #[arg(help_heading = "Resource")]
    pub pod_label: Vec<String>,

    /// k8s.cluster.name of every target
    #[arg(long, value_name = "NAME", env = "TRACER_CLUSTER_NAME", hide_env_values = true)]
    #[arg(help_heading = "Resource")]
    pub cluster_name: Option<String>,

    /// A resource attribute of every target that does not set it itself, such as cloud.region=westeurope
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "TRACER_RESOURCE_ATTRIBUTE",
        hide_env_values = true,
        value_delimiter = ','
    )]
    #[arg(help_heading = "Resource")]
    pub resource_attribute: Vec<String>,

    /// Requests that only ask how a server is [default: drop-all where --health-path is given, else drop-probes]
    #[arg(long, value_name = "WHAT", env = "TRACER_HEALTH_CHECKS", hide_env_values = true)]
    pub health_checks: Option<HealthMode>,

    /// A path whose GETs are health checks, instead of the usual ones; a * at its end stands for anything
    #[arg(
        long,
        value_name = "PATH",
        env = "TRACER_HEALTH_PATH",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub health_path: Vec<String>,

    /// What the User-Agent of a prober begins with, besides kube-probe/
    #[arg(
        long,
        value_name = "PREFIX",
        env = "TRACER_HEALTH_AGENT",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub health_agent: Vec<String>,

    /// Share of the health checks, from 0 to 1, that is traced though they are dropped else [default: 0]
    #[arg(long, value_name = "SHARE", env = "TRACER_HEALTH_SAMPLE", hide_env_values = true)]
    pub health_sample: Option<f64>,

    /// Where /healthz, /readyz and /metrics are served: an address and port, or off [default: 0.0.0.0:9464 where pods
    /// are selected, else off]
    #[arg(long, value_name = "ADDRESS", env = "TRACER_LISTEN", hide_env_values = true)]
    pub listen: Option<Listen>,

    /// service.name of targets that do not name themselves
    #[arg(long, value_name = "NAME", env = "TRACER_SERVICE_NAME", hide_env_values = true)]
    pub service_name: Option<String>,

    /// Where spans and logs go: otlp, console or file:PATH [default: otlp if its endpoint is set, else console]
    #[arg(long, value_name = "WHERE", env = "TRACER_EXPORT", hide_env_values = true, value_delimiter = ',')]
    pub export: Vec<Target>,

    /// How the probe is attached [default: auto]
    #[arg(long, value_name = "HOW", env = "TRACER_ATTACH", hide_env_values = true)]
    pub attach: Option<AttachMode>,

    /// Which log lines are exported [default: all]
    #[arg(long, value_name = "WHICH", env = "TRACER_LOGS", hide_env_values = true)]
    pub logs: Option<LogMode>,

    /// Log lines a second that one process may write, with bursts of ten times as many; further ones are dropped and
    /// counted; 0 for no limit [default: 10000]
    #[arg(long, value_name = "LINES", env = "TRACER_LOG_RATE_LIMIT", hide_env_values = true)]
    pub log_rate_limit: Option<u32>,

    /// What to do with targets that already export OTLP by themselves [default: skip]
    #[arg(long, value_name = "WHAT", env = "TRACER_SDK_TARGETS", hide_env_values = true)]
    pub sdk_targets: Option<SdkTargets>,

    /// Text of SQL statements [default: sanitized]
    #[arg(long, value_name = "HOW", env = "TRACER_SQL_TEXT", hide_env_values = true)]
    pub sql_text: Option<SqlText>,

    /// Keys of Redis commands [default: show]
    #[arg(long, value_name = "HOW", env = "TRACER_REDIS_KEYS", hide_env_values = true)]
    pub redis_keys: Option<RedisKeys>,

    /// Redis commands sent together: one span, or one each [default: batch]
    #[arg(long, value_name = "HOW", env = "TRACER_REDIS_BATCH", hide_env_values = true)]
    pub redis_batch: Option<RedisBatch>,

    /// Where http.route and span names come from [default: heuristic]
    #[arg(long, value_name = "HOW", env = "TRACER_ROUTES", hide_env_values = true)]
    pub routes: Option<RouteMode>,

    /// A route, for example /users/{id}
    #[arg(long, value_name = "PATTERN", env = "TRACER_ROUTE", hide_env_values = true)]
    pub route: Vec<RoutePattern>,

    /// Keep traces in which a span failed, although the sampler (OTEL_TRACES_SAMPLER) left them out
    #[arg(long, value_name = "BOOL", env = "TRACER_KEEP_ERRORS", hide_env_values = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub keep_errors: Option<bool>,

    /// Keep traces in which a span took at least so long, for example 500ms, although the sampler left them out
    #[arg(long, value_name = "TIME", env = "TRACER_KEEP_SLOWER_THAN", hide_env_values = true)]
    pub keep_slower_than: Option<SpanOfTime>,

    /// Bytes captured from the start of each call [default: 8K]
    #[arg(long, value_name = "SIZE", env = "TRACER_HEAD", hide_env_values = true)]
    pub head: Option<ByteSize>,

    /// Bytes captured from the end of each longer call [default: 512]
    #[arg(long, value_name = "SIZE", env = "TRACER_TAIL", hide_env_values = true)]
    pub tail: Option<ByteSize>,

    /// Size of the buffer between kernel and tracer: a power of two [default: 16M]
    #[arg(long, value_name = "SIZE", env = "TRACER_RING_SIZE", hide_env_values = true)]
    pub ring_size: Option<ByteSize>,

    /// Write a recording for `tracer replay`. It holds what the targets send and receive, secrets included; only its owner
    /// can read it
    #[arg(long, value_name = "FILE", env = "TRACER_RECORD", hide_env_values = true)]
    pub record: Option<PathBuf>,

    /// Largest size of the recording; it then ends, with a warning [default: none]
    #[arg(long, value_name = "SIZE", env = "TRACER_RECORD_MAX", hide_env_values = true)]
    pub record_max: Option<ByteSize>,

    /// How much the tracer says of itself [default: info]
    #[arg(long, value_name = "LEVEL", env = "TRACER_LOG_LEVEL", hide_env_values = true)]
    pub log_level: Option<LogLevel>,
}

impl Options {
    /// These options, completed by those of `below`, which counts less. An option that is set here replaces the
    /// other one, lists included. The targets are one setting: any here replaces all there.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let targets = if self.selects() { self.clone() } else { below.clone() };
        Self {
            pid: targets.pid,
            exe: targets.exe,
            port: targets.port,
            cgroup: targets.cgroup,
            pod_selector: targets.pod_selector,
            namespace: targets.namespace,
            container: targets.container,
            pods: targets.pods,
            api_timeout: self.api_timeout.or(below.api_timeout),
            service_labels: self.service_labels.or(below.service_labels),
            pod_label: first(self.pod_label, below.pod_label),
            cluster_name: self.cluster_name.or(below.cluster_name),
            resource_attribute: first(self.resource_attribute, below.resource_attribute),
            health_checks: self.health_checks.or(below.health_checks),
            health_path: first(self.health_path, below.health_path),
            health_agent: first(self.health_agent, below.health_agent),
            health_sample: self.health_sample.or(below.health_sample),
            listen: self.listen.or(below.listen),
            service_name: self.service_name.or(below.service_name),
            export: first(self.export, below.export),
            attach: self.attach.or(below.attach),
            logs: self.logs.or(below.logs),
            log_rate_limit: self.log_rate_limit.or(below.log_rate_limit),
            sdk_targets: self.sdk_targets.or(below.sdk_targets),
            sql_text: self.sql_text.or(below.sql_text),
            redis_keys: self.redis_keys.or(below.redis_keys),
            redis_batch: self.redis_batch.or(below.redis_batch),
            routes: self.routes.or(below.routes),
            route: first(self.route, below.route),
            keep_errors: self.keep_errors.or(below.keep_errors),
            keep_slower_than: self.keep_slower_than.or(below.keep_slower_than),
            head: self.head.or(below.head),
            tail: self.tail.or(below.tail),
            ring_size: self.ring_size.or(below.ring_size),
            record: self.record.or(below.record),
            record_max: self.record_max.or(below.record_max),
            log_level: self.log_level.or(below.log_level),
        }
    }

    fn selects(&self) -> bool {
        !(self.pid.is_empty()
            && self.exe.is_empty()
            && self.port.is_empty()
            && self.cgroup.is_empty()
            && self.pod_selector.is_empty()
            && self.namespace.is_empty()
            && self.container.is_empty()
            && self.pods.is_empty())
    }
}

fn first<T>(own: Vec<T>, below: Vec<T>) -> Vec<T> {
    if own.is_empty() { below } else { own }
}

/// `--redis-keys`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RedisKeys {
    /// As they are
    #[default]
    Show,
    /// As ?
    Mask,
}

/// `--redis-batch`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RedisBatch {
    /// One span for the commands that were sent together
    #[default]
    Batch,
    /// One span a command
    Commands,
}

/// `--log-level`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Nothing
    Off,
    /// Failures
    Error,
    /// What is degraded or lost, too
    Warn,
    /// What is traced and exported, too
    #[default]
    Info,
    /// Decisions on connections and processes, too
    Debug,
    /// Everything
    Trace,
}
