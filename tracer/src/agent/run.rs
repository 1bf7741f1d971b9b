//! `tracer run`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{MapData, RingBuf};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use super::clock;
use super::ending::{Panicked, Stop, Worker, stopped_or_ended};
use super::node::{Node, SharedProbe, Threads};
use super::own::{State, push, server};
use super::pods::{self, Pods};
use super::reader::{Reader, Windows};
use super::runtimes::Runtimes;
use super::sdk::SdkPolicy;
use crate::check::{self, Lacking};
use crate::cli::RunConfig;
use crate::cli::listen::Listen;
use crate::enrich::process::Proc;
use crate::enrich::resource::{Host, ResourceDefaults};
use crate::enrich::table::{MAX_PROCESSES, Resources};
use crate::export::{self, ExportError, Exporter, Exporting, Settings, SettingsError, Target, Variables};
use crate::kubernetes::KubernetesError;
use crate::pipeline::{Environment, LogMode, Pipeline, Stats};
use crate::probe::targets::{self, TargetError};
use crate::probe::{Probe, ProbeError};
use crate::protocol::PROTOCOLS;
use crate::recording::{RecordError, Recorded, Recorder};

/// Why the agent does not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The node lacks what tracing needs.
    #[error(transparent)]
    Lacking(#[from] Lacking),
    /// The targets cannot be found.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// An `OTEL_*` variable has no meaning.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A sink cannot be started.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The probe cannot be loaded.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The recording cannot be begun.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The way to the cluster is not known.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// The agent's own endpoints cannot be served.
    #[error(
        "--listen {0}: the agent cannot serve its health and metrics there; give another address, or off"
    )]
    Listen(Listen, #[source] std::io::Error),
    /// The system refuses something ordinary.
    #[error("{0}")]
    System(&'static str, #[source] std::io::Error),
    /// The thread that reads events ended by itself.
    #[error(
        "the thread that reads events has failed, which is a defect of the tracer: nothing more is traced, and the \
         probe is detached"
    )]
    ReaderFailed,
}

/// Traces until SIGTERM or SIGINT; then detaches, exports what is left, and returns. A second signal ends the export.
///
/// # Errors
/// When anything that is needed at the start is not there, or a part of the agent fails: see [`RunError`]. A
/// collector that cannot be reached is no error; it is tried again.
pub async fn run(config: RunConfig, variables: Variables) -> Result<(), RunError> {
    let mut stop = Stop::listen().map_err(|error| RunError::System("cannot catch signals", error))?;
    match start(&config, &variables).await {
        Ok(running) => running.until(stop).await,
        // Whoever ends the tracer while it starts does not ask why it would not have run.
        Err(_) if stop.has_come().await => Ok(()),
        Err(error) => Err(error),
    }
}

/// All parts, started.
struct Running {
    settings: Settings,
    probe: SharedProbe,
    reader: Worker<Stats>,
    /// Tells the reader that the probe is detached.
    detached: Arc<AtomicBool>,
    exporting: Exporting,
    /// What the agent shows of itself.
    state: Arc<State>,
    /// Its own metrics on their way, where they are wanted.
    pushing: Option<push::Pushing>,
    recorder: Option<Recorder>,
    /// What follows the node's pods, and what serves the agent's own endpoints: they end with the agent.
    tasks: Vec<JoinHandle<()>>,
}

async fn start(config: &RunConfig, variables: &Variables) -> Result<Running, RunError> {
    check::require(&check::Node::default())?;
    for item in check::degraded(&check::Node::default()) {
        warn!("{item}");
    }
    let settings = Settings::from_variables(variables)?;
    if let Some(warning) = config.pipeline.propagators.warning() {
        warn!("{warning}");
    }
    let proc = Proc::default();
    // What the user named wrongly is told before anything is loaded.
    targets::initial(&config.selection, &proc, std::process::id())?;
    let pods = Pods::prepare(config, variables, &proc).await?;
    let listener = listen(config.listen).await?;
    let (exporter, exporting) = export::start(&settings, &config.exports)?;
    let recorder = recorder(config)?;
    let (probe, ring) = load(config)?;
    let probe: SharedProbe = Arc::new(Mutex::new(probe));
    let (found, finds) = mpsc::channel();
    let runtimes = Runtimes::start(proc.clone(), Arc::clone(&probe))
        .map_err(|error| RunError::System("cannot start the thread that finds runtimes", error))?;
    let threads = Threads { runtimes: runtimes.clone(), found: finds };
    let node = adopt(config, variables, &proc, &probe, &pods, threads)?;
    let shown = pods.as_ref().map(Pods::shared);
    let state = Arc::new(State::new(Arc::clone(&probe), exporter.stats().clone(), shown, node.runtimes()));
    let pushing = push(config, variables, &settings, &proc, &state)?;
    let following = pods::start(pods, &config.selection, &probe, runtimes, found);
    let serving = listener.map(|listener| tokio::spawn(server::serve(listener, Arc::clone(&state))));
    let detached = Arc::new(AtomicBool::new(false));
    let parts = Parts { node, ring, exporter, recorder: recorder.clone() };
    let reader = start_reader(config, parts, &state, &probe, &detached)?;
    Ok(Running {
        settings,
        probe,
        reader,
        detached,
        exporting,
        state,
        pushing,
        recorder,
        tasks: following.into_iter().chain(serving).collect(),
    })
}

impl Running {
    async fn until(mut self, mut stop: Stop) -> Result<(), RunError> {
        let early = stopped_or_ended(stop.wait(), &mut self.reader).await;
        match &early {
            None => info!("stopping: the probe is detached, and what is left is exported"),
            Some(_) => error!("the thread that reads events has failed: the probe is detached"),
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        let losses = detach(&self.probe);
        self.detached.store(true, Ordering::Release);
        // Without being told to, the reader ends only by a panic.
        let stats = match early {
            None => self.reader.ended().await,
            Some(_) => Err(Panicked),
        };
        if let Some(recorder) = &self.recorder {
            recorder.finish(&losses);
        }
        let telling = Telling { exporting: self.exporting, state: self.state, pushing: self.pushing };
        telling.finish(&self.settings, stop, stats.as_ref().ok(), &losses).await;
        stats.map(drop).map_err(|Panicked| RunError::ReaderFailed)
    }
}

fn recorder(config: &RunConfig) -> Result<Option<Recorder>, RecordError> {
    let Some(record) = &config.record else { return Ok(None) };
    let recorder = Recorder::create(&record.file, record.max)?;
    info!(
        "recording to {}: it holds what the targets send and receive, secrets included",
        record.file.display()
    );
    Ok(Some(recorder))
}

async fn listen(listen: Listen) -> Result<Option<TcpListener>, RunError> {
    let Listen::At(address) = listen else { return Ok(None) };
    let listener = server::bind(address).await.map_err(|error| RunError::Listen(listen, error))?;
    // Where the port was left to the system, this says which one it is.
    if let Ok(address) = listener.local_addr() {
        info!("health and metrics are served at http://{address}");
    }
    Ok(Some(listener))
}

/// Sends the agent's own metrics where they are wanted: with what is captured, or because somebody asked for them.
fn push(
    config: &RunConfig,
    variables: &Variables,
    settings: &Settings,
    proc: &Proc,
    state: &Arc<State>,
) -> Result<Option<push::Pushing>, ExportError> {
    let wanted = settings.metrics.as_ref();
    let Some(metrics) = wanted.filter(|of| of.asked_for || config.exports.contains(&Target::Otlp)) else {
        return Ok(None);
    };
    let resource = push::resource(variables, &host(proc, variables), &config.resource.attributes);
    let state = Arc::clone(state);
    push::start(metrics, resource, move || state.samples()).map(Some)
}

/// The machine, or the node where the tracer runs in a pod.
fn host(proc: &Proc, variables: &Variables) -> Host {
    Host::read(proc, Path::new("/etc"), variables.get("NODE_NAME").cloned())
}

fn load(config: &RunConfig) -> Result<(Probe, RingBuf<MapData>), RunError> {
    let (mut probe, ring) = Probe::load(&config.probe)?;
    for (name, count) in probe.verified_instructions() {
        debug!("verifier: {name} {count} instructions");
    }
    for port in &config.selection.ports {
        probe.select_port(*port)?;
    }
    Ok((probe, ring))
}

/// Selects the targets, and looks once more for what they forked while they were being selected: from then on the
/// probe follows.
fn adopt(
    config: &RunConfig,
    variables: &Variables,
    proc: &Proc,
    probe: &SharedProbe,
    pods: &Option<Pods>,
    threads: Threads,
) -> Result<Node, RunError> {
    let host = host(proc, variables);
    let defaults = ResourceDefaults {
        service_name: config.service_name.clone(),
        host,
        attributes: config.resource.attributes.clone(),
        pods: config.resource.pods.clone(),
    };
    let mut resources = Resources::new(proc.clone(), defaults, MAX_PROCESSES);
    resources.set_suspended(clock::suspended());
    if let Some(pods) = pods {
        resources.set_pods(pods.table());
    }
    let logs = config.pipeline.logs != LogMode::Off;
    let sdk = SdkPolicy::new(config.sdk_targets);
    let selection = config.selection.clone();
    let mut node = Node::new(proc.clone(), Arc::clone(probe), selection, resources, sdk, logs, threads);
    let mut cgroups = 0;
    for _ in 0..2 {
        let targets = targets::initial(&config.selection, proc, std::process::id())?;
        cgroups = targets.cgroups.len();
        node.adopt(&targets);
    }
    let hook = probe.lock().unwrap_or_else(PoisonError::into_inner).hook();
    let processes = node.process_count();
    let more = if pods.is_some() { ", and the pods that match" } else { "" };
    info!("ready: tracing {processes} processes and {cgroups} cgroups by {hook}{more}");
    if processes + cgroups == 0 && pods.is_none() {
        warn!("nothing matches the selection yet; what starts later and matches is traced from then on");
    }
    Ok(node)
}

/// What the reader gets for itself.
struct Parts {
    node: Node,
    ring: RingBuf<MapData>,
    exporter: Exporter,
    recorder: Option<Recorder>,
}

fn start_reader(
    config: &RunConfig,
    parts: Parts,
    state: &Arc<State>,
    probe: &SharedProbe,
    detached: &Arc<AtomicBool>,
) -> Result<Worker<Stats>, RunError> {
    let Parts { node, ring, exporter, recorder } = parts;
    let environment: Box<dyn Environment> = match &recorder {
        Some(recorder) => Box::new(Recorded::new(node, recorder.clone())),
        None => Box::new(node),
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| RunError::System("cannot get random bytes for ids", std::io::Error::other(error)))?;
    let reader = Reader {
        ring,
        pipeline: Pipeline::new(config.pipeline.clone(), PROTOCOLS, environment, seed),
        windows: Windows::new(&config.probe),
        probe: Arc::clone(probe),
        exporter,
        recorder,
        state: Arc::clone(state),
        detached: Arc::clone(detached),
    };
    Worker::start("reader", move || reader.run())
        .map_err(|error| RunError::System("cannot start the thread that reads events", error))
}

/// Detaches every program. The maps stay readable. Gives what was lost, by reason.
fn detach(probe: &SharedProbe) -> Vec<(&'static str, u64)> {
    let mut probe = probe.lock().unwrap_or_else(PoisonError::into_inner);
    let missed = probe.recursion_misses();
    probe.detach();
    let counted = probe.losses().into_iter().map(|(reason, count)| (reason.name(), count));
    counted.chain([("recursion_miss", missed)]).collect()
}

/// What is still told when nothing is traced any more.
struct Telling {
    exporting: Exporting,
    state: Arc<State>,
    pushing: Option<push::Pushing>,
}

impl Telling {
    /// Exports what is left, and tells what was lost and what was done. A second signal means: now.
    async fn finish(
        self,
        settings: &Settings,
        mut stop: Stop,
        stats: Option<&Stats>,
        losses: &[(&'static str, u64)],
    ) {
        let summary = self.exporting.shutdown(settings.flush_timeout(), stop.wait()).await;
        if let Some(stats) = stats {
            self.state.show(stats.clone());
        }
        // The last numbers are those of the summary.
        if let Some(pushing) = self.pushing {
            tokio::select! {
                () = pushing.finish() => {}
                () = stop.wait() => {}
            }
        }
        info!("{}", lost(losses.iter().copied()));
        let stats = stats.map(ToString::to_string).unwrap_or_default();
        for line in stats.lines().chain(summary.to_string().lines()) {
            info!("{line}");
        }
    }
}

/// What the probe lost, by reason.
pub(crate) fn lost<'a>(losses: impl IntoIterator<Item = (&'a str, u64)>) -> String {
    let counted = losses.into_iter().filter(|(_, count)| *count > 0);
    let counted: Vec<String> = counted.map(|(reason, count)| format!("{reason} {count}")).collect();
    let counted = if counted.is_empty() { "nothing".to_owned() } else { counted.join(", ") };
    format!("lost in the kernel: {counted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_by_reason() {
        assert_eq!(lost([("ring_full", 0), ("compat", 0)]), "lost in the kernel: nothing");
        assert_eq!(
            lost([("ring_full", 12), ("compat", 0), ("recursion_miss", 3)]),
            "lost in the kernel: ring_full 12, recursion_miss 3"
        );
    }
}
