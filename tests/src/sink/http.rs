//! OTLP/HTTP with binary protobuf.

use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::TcpListener;

use super::{Fault, Shared, response};

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
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
