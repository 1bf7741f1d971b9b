//! An OTLP receiver for tests: gRPC and HTTP with binary protobuf, both with gzip. It keeps all that it gets, and
//! fails on demand.
//!
//! It runs on a thread of its own, so that ordinary blocking tests can use it, and it ends when it is dropped.
#![expect(clippy::expect_used, reason = "a receiver that cannot run is a failed test")]

mod grpc;
mod http;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Code;

/// The running receiver.
#[derive(Debug)]
pub struct Sink {
    /// Where it takes OTLP/gRPC.
    pub grpc_addr: SocketAddr,
    /// Where it takes OTLP/HTTP: `/v1/traces`, `/v1/logs` and `/v1/metrics`.
    pub http_addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// All that came in so far.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Spans, in the order of their arrival.
    pub spans: Vec<Collected<Span>>,
    /// Log records, in the order of their arrival.
    pub logs: Vec<Collected<LogRecord>>,
    /// Metrics, one list for each request.
    pub metrics: Vec<Vec<Collected<Metric>>>,
    /// Requests, also those that were answered by a [`Fault`].
    pub requests: Vec<Seen>,
}

/// A span, a log record or a metric with what it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Collected<T> {
    /// Of its group.
    pub resource: Resource,
    /// Of its group.
    pub scope: InstrumentationScope,
    /// Of the resource and of the scope.
    pub schema_urls: [String; 2],
    /// The span, log record or metric.
    pub item: T,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Path of the URL or of the gRPC method.
    pub path: String,
    /// Its headers, or gRPC metadata.
    pub headers: HeaderMap,
    /// When it came.
    pub at: Instant,
    /// Bytes of the message, uncompressed.
    pub size: usize,
}

/// What goes wrong with one request. A fault of one protocol is also used up by a request of the other, which
/// then succeeds.
#[derive(Clone, Debug)]
pub enum Fault {
    /// gRPC: this status, with a RetryInfo if a pause is given.
    Grpc(Code, Option<Duration>),
    /// gRPC: UNAVAILABLE with details that are no Base64.
    GrpcGarbled,
    /// HTTP: this status, with this `Retry-After`.
    Http(u16, Option<String>),
    /// Both: taken, but so many items were rejected.
    Partial(i64, String),
    /// Both: answered after this time.
    Delay(Duration),
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    received: Received,
    faults: VecDeque<Fault>,
    /// There is no place for metrics.
    no_metrics: bool,
}

impl Sink {
    /// Starts a receiver on free ports of the loopback.
    #[must_use]
    pub fn start() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::start_on(any, any)
    }

    /// Starts a receiver on these addresses: one that comes back after it was away.
    ///
    /// # Panics
    ///
    /// When an address is in use.
    #[must_use]
    pub fn start_on(grpc: SocketAddr, http: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let (listening, addresses) = std::sync::mpsc::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listens_grpc = TcpListener::bind(grpc).await.expect("the gRPC address is free");
                let listens_http = TcpListener::bind(http).await.expect("the HTTP address is free");
                let addresses =
                    (listens_grpc.local_addr().expect("bound"), listens_http.local_addr().expect("bound"));
                listening.send(addresses).expect("the starter waits");
                tokio::select! {
                    () = grpc::serve(listens_grpc, Arc::clone(&served)) => {}
                    () = http::serve(listens_http, served) => {}
                    _ = stopped => {}
                }
            });
        });
        let (grpc_addr, http_addr) = addresses.recv().expect("the receiver listens");
        Self { grpc_addr, http_addr, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Collected<Span>> {
        self.shared.lock().received.spans.clone()
    }

    /// All log records so far.
    #[must_use]
    pub fn logs(&self) -> Vec<Collected<LogRecord>> {
        self.shared.lock().received.logs.clone()
    }

    /// All that came in so far.
    #[must_use]
    pub fn received(&self) -> Received {
        self.shared.lock().received.clone()
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.lock().received.requests.clone()
    }

    /// The next requests meet these faults, one each, in this order.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().faults.extend(faults);
    }

    /// From now on it has no place for metrics, as a collector without a pipeline for them: `UNIMPLEMENTED`, 404.
    pub fn take_no_metrics(&self) {
        self.shared.lock().no_metrics = true;
    }

    /// Waits until what was received is as wanted; `false` when it is not by the deadline.
    pub fn wait_until(&self, wanted: impl Fn(&Received) -> bool, deadline: Duration) -> bool {
        let unwanted = |state: &mut State| !wanted(&state.received);
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, deadline, unwanted);
        let (_state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was told where it happened; a second one here would hide the test's own.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A condition that panicked while it looked at the state has not changed it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request and tells what goes wrong with it.
    fn seen(&self, path: &str, headers: HeaderMap, size: usize) -> Option<Fault> {
        let mut state = self.lock();
        state.received.requests.push(Seen { path: path.to_owned(), headers, at: Instant::now(), size });
        self.changed.notify_all();
        state.faults.pop_front()
    }

    fn take_traces(&self, request: ExportTraceServiceRequest) {
        let mut state = self.lock();
        for group in request.resource_spans {
            for scope in group.scope_spans {
                let schema_urls = [group.schema_url.clone(), scope.schema_url];
                let resource = group.resource.clone().unwrap_or_default();
                let collected = collected(resource, scope.scope, schema_urls);
                state.received.spans.extend(scope.spans.into_iter().map(collected));
            }
        }
        self.changed.notify_all();
    }

    fn take_logs(&self, request: ExportLogsServiceRequest) {
        let mut state = self.lock();
        for group in request.resource_logs {
            for scope in group.scope_logs {
                let schema_urls = [group.schema_url.clone(), scope.schema_url];
                let resource = group.resource.clone().unwrap_or_default();
                let collected = collected(resource, scope.scope, schema_urls);
                state.received.logs.extend(scope.log_records.into_iter().map(collected));
            }
        }
        self.changed.notify_all();
    }

    /// False when there is no place for them.
    fn take_metrics(&self, request: ExportMetricsServiceRequest) -> bool {
        let mut state = self.lock();
        if state.no_metrics {
            return false;
        }
        let mut metrics = Vec::new();
        for group in request.resource_metrics {
            for scope in group.scope_metrics {
                let schema_urls = [group.schema_url.clone(), scope.schema_url];
                let resource = group.resource.clone().unwrap_or_default();
                metrics.extend(scope.metrics.into_iter().map(collected(resource, scope.scope, schema_urls)));
            }
        }
        state.received.metrics.push(metrics);
        self.changed.notify_all();
        true
    }
}

/// Puts an item together with what it came in.
pub(crate) fn collected<T>(
    resource: Resource,
    scope: Option<InstrumentationScope>,
    schema_urls: [String; 2],
) -> impl Fn(T) -> Collected<T> {
    let scope = scope.unwrap_or_default();
    move |item| Collected {
        resource: resource.clone(),
        scope: scope.clone(),
        schema_urls: schema_urls.clone(),
        item,
    }
}

/// Items that were rejected and why.
type Partial = Option<(i64, String)>;

/// Of traces; that of logs is the same on the wire.
fn response(partial: Partial) -> ExportTraceServiceResponse {
    let partial_success = partial
        .map(|(rejected_spans, error_message)| ExportTracePartialSuccess { rejected_spans, error_message });
    ExportTraceServiceResponse { partial_success }
}
