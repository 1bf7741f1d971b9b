//! OTLP/HTTP with binary protobuf.

use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message;
use tokio::time::timeout;

use super::resolver::{Resolver, connector};
use super::response::{ExportResponse, RpcStatus};
use super::{chain, tls};
use crate::export::ExportError;
use crate::export::retry::Attempt;
use crate::export::settings::{Compression, OtlpSettings};

/// Most bytes of a response that are read: it holds a few numbers and a sentence.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Characters of an error's text that are repeated in messages.
const MAX_ERROR_TEXT: usize = 200;

/// Idle connections are closed before the usual server or NAT would, so that a batch rarely meets a dead one.
const IDLE: Duration = Duration::from_secs(50);

type Connection = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// Posts requests to one URL.
#[derive(Debug)]
pub(in crate::export) struct Client {
    connection: Connection,
    endpoint: Uri,
    headers: HeaderMap,
    gzip: bool,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(settings: &OtlpSettings) -> Result<Self, ExportError> {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::for_http(&settings.tls)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector());
        let connection = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(https);
        let gzip = settings.compression == Compression::Gzip;
        let mut headers = settings.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Self { connection, endpoint: settings.endpoint.clone(), headers, gzip, timeout: settings.timeout })
    }

    /// The message as it is posted.
    pub(super) fn compressed(&self, message: Vec<u8>) -> Vec<u8> {
        if !self.gzip {
            return message;
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 4), flate2::Compression::fast());
        // Writing to memory does not fail.
        encoder.write_all(&message).and_then(|()| encoder.finish()).unwrap_or_default()
    }

    pub(super) async fn attempt(&self, body: Bytes) -> Attempt {
        match timeout(self.timeout, self.post(body)).await {
            Ok(Ok(attempt)) => attempt,
            // Not connected, or disconnected before the answer.
            Ok(Err(error)) => Attempt::Failed { error: chain(&error), after: None },
            Err(_) => Attempt::Failed { error: format!("no answer within {:?}", self.timeout), after: None },
        }
    }

    async fn post(&self, body: Bytes) -> Result<Attempt, hyper_util::client::legacy::Error> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = self.headers.clone();
        let response = self.connection.request(request).await?;
        Ok(judge(response).await)
    }
}

async fn judge(response: Response<Incoming>) -> Attempt {
    let (head, body) = response.into_parts();
    // The body only adds words: when it cannot be read, the status alone decides.
    let body = Limited::new(body, MAX_RESPONSE_BYTES)
        .collect()
        .await
        .map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    if head.status.is_success() {
        return ExportResponse::read(body).delivered();
    }
    let error = format!("the receiver answered {}{}", head.status, reason(&head.headers, &body));
    if is_retryable(head.status) {
        let after = head.headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        return Attempt::Failed { error, after };
    }
    match head.status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            Attempt::NotTaken(error)
        }
        _ => Attempt::Refused(error),
    }
}

/// "Retryable Response Codes" of the OTLP specification. Not 500.
fn is_retryable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// `Retry-After`: seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The receiver's own words, where it has any: ` (…)`.
fn reason(headers: &HeaderMap, body: &[u8]) -> String {
    let is_protobuf = headers.get(CONTENT_TYPE).is_some_and(|value| value == "application/x-protobuf");
    let text = match RpcStatus::decode(body) {
        Ok(status) if is_protobuf => status.message,
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    let visible = |character: char| if character.is_control() { ' ' } else { character };
    let text: String = text.trim().chars().take(MAX_ERROR_TEXT).map(visible).collect();
    if text.is_empty() { text } else { format!(" ({text})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_codes_of_the_specification_are_retried() {
        let retried: Vec<_> =
            (100..=599).filter(|code| StatusCode::from_u16(*code).is_ok_and(is_retryable)).collect();
        assert_eq!(retried, [429, 502, 503, 504]);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(retry_after(&soon).is_some_and(|pause| pause.as_secs() > 90 && pause.as_secs() <= 100));
        assert_eq!(retry_after("-1"), None);
    }

    #[test]
    fn the_receivers_words_are_repeated_in_one_short_line() {
        let plain = HeaderMap::new();
        assert_eq!(reason(&plain, b"no\nroom\x1b[2J"), " (no room [2J)");
        assert_eq!(reason(&plain, b""), "");
        assert!(reason(&plain, &[b'x'; 5_000]).len() < 210);
    }
}
