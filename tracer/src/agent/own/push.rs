//! The agent's own metrics by OTLP: the numbers of `/metrics`, sent now and then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::sync::oneshot;

use super::samples::{self, Kind, Sample};
use crate::enrich::resource::Host;
use crate::enrich::variables::resource_attributes;
use crate::export::{ExportError, MetricsSettings, Variables, metrics};

/// `service.name` of the agent itself, where nobody gives it another.
const SERVICE_NAME: &str = "tracer";

/// The samples of one collection are taken once: the SDK asks for each instrument by itself, within milliseconds.
const ONE_COLLECTION: Duration = Duration::from_millis(50);

/// The running export.
#[derive(Debug)]
pub struct Pushing {
    provider: SdkMeterProvider,
}

/// Starts to send what `source` tells; must be called in a tokio runtime.
///
/// # Errors
///
/// A certificate that cannot be used.
pub fn start(
    settings: &MetricsSettings,
    resource: Resource,
    source: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
) -> Result<Pushing, ExportError> {
    let exporter = metrics::exporter(&settings.otlp)?;
    let reader = PeriodicReader::builder(exporter).with_interval(settings.interval).build();
    let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
    register(&provider.meter("tracer"), &Arc::new(Snapshot::new(source)));
    Ok(Pushing { provider })
}

impl Pushing {
    /// Sends the last numbers and ends. The SDK gives up after five seconds.
    pub async fn finish(self) {
        let (ended, end) = oneshot::channel();
        // It blocks, and must not keep the runtime from ending.
        let thread = std::thread::Builder::new().name("own-metrics".to_owned()).spawn(move || {
            // What went wrong was said by the exporter.
            let _said = self.provider.shutdown();
            let _nobody_waits = ended.send(());
        });
        if thread.is_ok() {
            let _ended = end.await;
        }
    }
}

/// What the agent is: the standard variables of its own environment, else its name and its node.
///
/// `given` are the attributes that every target gets: of them those that say where all this runs.
pub fn resource(variables: &Variables, host: &Host, given: &[(String, String)]) -> Resource {
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |key: &str, value: &str| attributes.insert(key.to_owned(), value.to_owned());
    set("service.name", SERVICE_NAME);
    set("service.version", env!("CARGO_PKG_VERSION"));
    if let Some(name) = &host.name {
        // One agent a node.
        set("host.name", name);
        set("service.instance.id", name);
    }
    if let Some(node) = variables.get("NODE_NAME") {
        set("k8s.node.name", node);
    }
    for (key, value) in given.iter().filter(|(key, _)| !key.starts_with("service.")) {
        set(key, value);
    }
    let own = variables.get("OTEL_RESOURCE_ATTRIBUTES").map(|value| resource_attributes(value));
    match own {
        Some(Ok(own)) => own.iter().for_each(|(key, value)| drop(set(key, value))),
        Some(Err(error)) => tracing::warn!("{error}: the tracer's own metrics go without it"),
        None => {}
    }
    if let Some(name) = variables.get("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()) {
        set("service.name", name);
    }
    // Without the detectors, which would read the environment once more.
    let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
    Resource::builder_empty().with_attributes(attributes).build()
}

/// Where a collection's samples come from.
type Source = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// The samples of the running collection.
struct Snapshot {
    source: Source,
    taken: Mutex<Option<(Instant, Arc<Vec<Sample>>)>>,
}

impl Snapshot {
    fn new(source: impl Fn() -> Vec<Sample> + Send + Sync + 'static) -> Self {
        Self { source: Box::new(source), taken: Mutex::default() }
    }

    fn samples(&self) -> Arc<Vec<Sample>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, samples)) = &*taken
            && at.elapsed() < ONE_COLLECTION
        {
            return Arc::clone(samples);
        }
        let samples = Arc::new((self.source)());
        *taken = Some((Instant::now(), Arc::clone(&samples)));
        samples
    }
}

/// An observable instrument for each name: its callback tells all samples of that name.
fn register(meter: &Meter, snapshot: &Arc<Snapshot>) {
    let mut names: Vec<Sample> = (snapshot.source)().into_iter().chain(samples::of_later()).collect();
    names.sort_by(|one, other| one.name.cmp(&other.name));
    names.dedup_by(|one, other| one.name == other.name);
    for Sample { name, unit, kind, .. } in names {
        let full = format!("tracer.{name}");
        let snapshot = Arc::clone(snapshot);
        let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            for sample in snapshot.samples().iter().filter(|sample| sample.name == name) {
                let labels = sample.labels.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
                observer.observe(sample.value, &labels.collect::<Vec<_>>());
            }
        };
        // The provider keeps the callback; the instrument itself is only a handle.
        match kind {
            Kind::Counter => {
                let _handle =
                    meter.u64_observable_counter(full).with_unit(unit).with_callback(observe).build();
            }
            Kind::Gauge => {
                let _handle = meter.u64_observable_gauge(full).with_unit(unit).with_callback(observe).build();
            }
        }
    }
}
