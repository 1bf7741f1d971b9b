//! An OTLP receiver for tests: gRPC and HTTP with binary protobuf, both with gzip. It keeps all that it gets, and
//! fails on demand.
//!
//! It runs on a thread of its own, so that ordinary blocking tests can use it, and it ends when it is dropped.
#![expect(clippy::expect_used, reason = "a receiver that cannot run is a failed test")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tower_service::Service;

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
                let grpc = TcpListener::bind(grpc).await.expect("the gRPC address is free");
                let http = TcpListener::bind(http).await.expect("the HTTP address is free");
                let addresses = (grpc.local_addr().expect("bound"), http.local_addr().expect("bound"));
                listening.send(addresses).expect("the starter waits");
                tokio::select! {
                    () = serve_grpc(grpc, Arc::clone(&served)) => {}
                    () = serve_http(http, served) => {}
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
}

impl Shared {
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

// gRPC

#[derive(Clone)]
struct Grpc(Arc<Shared>);

async fn serve_grpc(listener: TcpListener, shared: Arc<Shared>) {
    let gzip = CompressionEncoding::Gzip;
    let traces =
        TraceServiceServer::new(Grpc(Arc::clone(&shared))).accept_compressed(gzip).send_compressed(gzip);
    let logs =
        LogsServiceServer::new(Grpc(Arc::clone(&shared))).accept_compressed(gzip).send_compressed(gzip);
    let metrics = MetricsServiceServer::new(Grpc(shared)).accept_compressed(gzip).send_compressed(gzip);
    loop {
        let (connection, _) = listener.accept().await.expect("the gRPC server runs");
        let services = (traces.clone(), logs.clone(), metrics.clone());
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let (mut traces, mut logs, mut metrics) = services.clone();
            async move {
                let path = request.uri().path();
                match () {
                    () if path.contains(".TraceService/") => traces.call(request).await,
                    () if path.contains(".LogsService/") => logs.call(request).await,
                    () => metrics.call(request).await,
                }
            }
        });
        tokio::spawn(async move {
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ended = served.serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

impl Grpc {
    /// Notes a request; the fault that it meets is an error, or what its answer says.
    async fn meet(&self, path: &str, headers: HeaderMap, size: usize) -> Result<Partial, Status> {
        match self.0.seen(path, headers, size) {
            Some(Fault::Grpc(code, pause)) => {
                let details = pause.map_or_else(Bytes::new, retry_info);
                Err(Status::with_details(code, "as the test wants it", details))
            }
            Some(Fault::GrpcGarbled) => {
                let mut headers = HeaderMap::new();
                headers.insert("grpc-status-details-bin", HeaderValue::from_static("*"));
                let metadata = MetadataMap::from_headers(headers);
                Err(Status::with_metadata(Code::Unavailable, "as the test wants it", metadata))
            }
            Some(Fault::Partial(rejected, message)) => Ok(Some((rejected, message))),
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(None)
            }
            Some(Fault::Http(..)) | None => Ok(None),
        }
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

/// `google.rpc.Status` with one `google.rpc.RetryInfo`, written by hand: fields 3 (details) and in it 1 (type), 2
/// (value: field 1, a duration of fields 1 and 2).
fn retry_info(pause: Duration) -> Bytes {
    let mut duration = vec![0x08];
    prost::encode_length_delimiter(pause.as_secs() as usize, &mut duration).expect("room");
    duration.push(0x10);
    prost::encode_length_delimiter(pause.subsec_nanos() as usize, &mut duration).expect("room");
    let info = field(1, &duration);
    let any = [field(1, b"type.googleapis.com/google.rpc.RetryInfo"), field(2, &info)].concat();
    field(3, &any).into()
}

/// A length-delimited field shorter than 128 bytes.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("a short field");
    [&[number << 3 | 2, length], value].concat()
}

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let message = request.into_inner();
        let partial = self.meet("TraceService/Export", headers, message.encoded_len()).await?;
        self.0.take_traces(message);
        Ok(tonic::Response::new(response(partial)))
    }
}

#[tonic::async_trait]
impl LogsService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let message = request.into_inner();
        self.meet("LogsService/Export", headers, message.encoded_len()).await?;
        self.0.take_logs(message);
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let message = request.into_inner();
        self.meet("MetricsService/Export", headers, message.encoded_len()).await?;
        match self.0.take_metrics(message) {
            true => Ok(tonic::Response::new(ExportMetricsServiceResponse::default())),
            false => Err(Status::unimplemented("unknown service")),
        }
    }
}

// HTTP

async fn serve_http(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (connection, _) = listener.accept().await.expect("the HTTP server runs");
        let shared = Arc::clone(&shared);
        let service = hyper::service::service_fn(move |request| answer(Arc::clone(&shared), request));
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no failure of the receiver.
            let _ended = served.serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let Some(message) = uncompressed(&head.headers, body.to_bytes()) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let path = head.uri.path();
    let mut partial = None;
    match shared.seen(path, head.headers.clone(), message.len()) {
        Some(Fault::Http(code, retry_after)) => return Ok(fault(code, retry_after)),
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::Partial(rejected, message)) => partial = Some((rejected, message)),
        Some(Fault::Grpc(..) | Fault::GrpcGarbled) | None => {}
    }
    Ok(match take(&shared, path, message) {
        Ok(()) => {
            let mut taken = Response::new(Full::new(response(partial).encode_to_vec().into()));
            taken.headers_mut().insert(CONTENT_TYPE, PROTOBUF);
            taken
        }
        Err(code) => status(code),
    })
}

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

fn take(shared: &Shared, path: &str, message: Bytes) -> Result<(), StatusCode> {
    match path {
        "/v1/traces" => shared.take_traces(decoded(message)?),
        "/v1/logs" => shared.take_logs(decoded(message)?),
        "/v1/metrics" if shared.take_metrics(decoded(message)?) => {}
        _ => return Err(StatusCode::NOT_FOUND),
    }
    Ok(())
}

fn decoded<M: Message + Default>(message: Bytes) -> Result<M, StatusCode> {
    M::decode(message).map_err(|_| StatusCode::BAD_REQUEST)
}

fn uncompressed(headers: &HeaderMap, body: Bytes) -> Option<Bytes> {
    if headers.get(CONTENT_TYPE) != Some(&PROTOBUF) {
        return None;
    }
    if headers.get(CONTENT_ENCODING).is_none_or(|encoding| encoding != "gzip") {
        return Some(body);
    }
    let mut message = Vec::new();
    GzDecoder::new(&*body).read_to_end(&mut message).ok()?;
    Some(message.into())
}

fn fault(code: u16, retry_after: Option<String>) -> Response<Full<Bytes>> {
    let mut response = status(StatusCode::from_u16(code).expect("the test gives a status"));
    if let Some(value) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, value.parse().expect("the test gives a header's value"));
    }
    response
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"as the test wants it")));
    *response.status_mut() = code;
    response
}
