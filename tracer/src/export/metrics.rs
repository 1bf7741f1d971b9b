//! The agent's own metrics on their way out.
//!
//! `opentelemetry-otlp` makes the requests. What carries them are the clients that carry spans and log records: they
//! resolve names in a static binary, take the same certificates, and end a request in time, none of which the exporter's
//! own transports do. They run in tokio's threads; the SDK's reader, which has a thread of its own, only waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, Protocol as Encoding, WithExportConfig as _, WithHttpConfig as _};
use tokio::runtime::Handle;

use super::ExportError;
use super::otlp::Client;
use super::outage::Outage;
use super::retry::Attempt;
use super::settings::OtlpSettings;
use super::wire::METRICS;

/// An exporter for the SDK's reader; must be called in a tokio runtime. It connects when there is something to send.
/// A receiver that takes no metrics is told of once, and sent nothing more.
///
/// # Errors
///
/// A certificate that cannot be used.
pub(crate) fn exporter(settings: &OtlpSettings) -> Result<MetricExporter, ExportError> {
    let subject = format!("export of the tracer's own metrics to {}", settings.shown_endpoint());
    let carrier = Carrier {
        client: Arc::new(Client::new(METRICS, settings)?),
        runtime: Handle::current(),
        outage: Outage::new(subject.clone()),
        subject,
        refused: AtomicBool::new(false),
    };
    MetricExporter::builder()
        .with_http()
        .with_http_client(carrier)
        // The carrier knows the endpoint, its protocol and its headers: here is only the encoding.
        .with_protocol(Encoding::HttpBinary)
        .with_endpoint(settings.endpoint.to_string())
        .with_timeout(settings.timeout)
        .build()
        .map_err(|error| ExportError::Client(error.to_string()))
}

/// Takes requests as bodies, whatever protocol they leave by.
#[derive(Debug)]
struct Carrier {
    client: Arc<Client>,
    runtime: Handle,
    outage: Outage,
    subject: String,
    /// The receiver takes no metrics.
    refused: AtomicBool,
}

#[async_trait::async_trait]
impl HttpClient for Carrier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if self.refused.load(Ordering::Relaxed) {
            return Ok(answer(StatusCode::OK));
        }
        let body = self.client.body(request.into_body().into());
        let client = Arc::clone(&self.client);
        let attempt = self.runtime.spawn(async move { client.attempt(body).await }).await?;
        Ok(self.judge(attempt))
    }
}

impl Carrier {
    /// The attempt's outcome as the exporter understands it: what may be tried again, and when.
    fn judge(&self, attempt: Attempt) -> Response<Bytes> {
        match attempt {
            Attempt::Delivered { rejected, message } => {
                self.outage.succeeded(0, 0);
                if rejected > 0 || !message.is_empty() {
                    let remark = format!("the receiver took all but {rejected} numbers, saying: {message}");
                    self.outage.remarked(&remark);
                }
                answer(StatusCode::OK)
            }
            Attempt::NotTaken(error) => {
                self.refused.store(true, Ordering::Relaxed);
                tracing::info!(
                    "{}: the receiver takes no metrics, and is sent no more of them: {error}; \
                     OTEL_METRICS_EXPORTER=none spares it the question",
                    self.subject
                );
                answer(StatusCode::OK)
            }
            Attempt::Refused(error) => {
                self.outage.failed(&error, 0);
                answer(StatusCode::BAD_REQUEST)
            }
            Attempt::Failed { error, after } => {
                self.outage.failed(&error, 0);
                let mut response = answer(StatusCode::SERVICE_UNAVAILABLE);
                if let Some(after) = after {
                    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
                }
                response
            }
        }
    }
}

fn answer(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
