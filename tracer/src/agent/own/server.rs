//! `/healthz`, `/readyz` and `/metrics`, by HTTP/1.1.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use super::State;
use super::samples::{Kind, Sample};

/// Connections at a time: the kubelet and a scraper or two.
const MAX_CONNECTIONS: usize = 16;

/// How long a connection may last, whatever is done on it.
const MAX_AGE: Duration = Duration::from_secs(60);

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Content type of what `prometheus-client` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Takes connections there.
///
/// # Errors
/// What the system says.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers for as long as the agent runs.
pub async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut registry = Registry::with_prefix("tracer");
    registry.register_collector(Box::new(Samples(Arc::clone(&state))));
    let served = Arc::new((registry, state));
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed.
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, _)) => {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    // Too long or broken: the other side asks again.
                    let _ = timeout(MAX_AGE, answer_all(connection, served)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                debug!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer_all(connection: TcpStream, served: Arc<(Registry, Arc<State>)>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &served.0, &served.1);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = server.serve_connection(TokioIo::new(connection), service).await {
        debug!(%error, "a connection to the agent's endpoints broke");
    }
}

fn answer<T>(request: &Request<T>, registry: &Registry, state: &State) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let verdict = |problem: Option<String>| match problem {
        None => text(StatusCode::OK, "ok\n".to_owned()),
        Some(problem) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
    };
    match request.uri().path() {
        "/healthz" => verdict(state.unhealthy()),
        "/readyz" => verdict(state.unready()),
        "/metrics" => {
            let mut metrics = String::new();
            if encode(&mut metrics, registry).is_err() {
                return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n".to_owned());
            }
            let mut response = text(StatusCode::OK, metrics);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
            response
        }
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// All samples, read anew by each scrape.
#[derive(Debug)]
struct Samples(Arc<State>);

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut samples = self.0.samples();
        samples.sort_by(|one, other| one.name.cmp(&other.name));
        for family in samples.chunk_by(|one, other| one.name == other.name) {
            write_family(family, &mut encoder)?;
        }
        Ok(())
    }
}

fn write_family(family: &[Sample], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let Some(first) = family.first() else { return Ok(()) };
    let kind = match first.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    let name = first.prometheus_name();
    let mut metric = encoder.encode_descriptor(&name, &name.replace('_', " "), None, kind)?;
    for sample in family {
        let labelled = metric.encode_family(&sample.labels)?;
        match sample.kind {
            Kind::Counter => ConstCounter::new(sample.value).encode(labelled)?,
            Kind::Gauge => {
                ConstGauge::new(i64::try_from(sample.value).unwrap_or(i64::MAX)).encode(labelled)?
            }
        }
    }
    Ok(())
}
