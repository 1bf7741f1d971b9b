//! OTLP/gRPC.
//!
//! The message was encoded before: the codec here passes bytes through, so that an attempt neither copies nor
//! encodes the batch again.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::response::{ExportResponse, retry_delay};
use super::{USER_AGENT, chain, resolver, tls};
use crate::export::ExportError;
use crate::export::retry::Attempt;
use crate::export::settings::{Compression, OtlpSettings};
use crate::export::wire::Wire;

/// Calls the `Export` method of one signal's collector service.
#[derive(Debug)]
pub(in crate::export) struct Client {
    endpoint: Endpoint,
    channel: Mutex<Channel>,
    path: PathAndQuery,
    metadata: MetadataMap,
    gzip: bool,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(wire: Wire, settings: &OtlpSettings) -> Result<Self, ExportError> {
        let failed = |error: tonic::transport::Error| ExportError::Client(chain(&error));
        let mut endpoint = Endpoint::from(settings.endpoint.clone())
            .user_agent(USER_AGENT)
            .map_err(failed)?
            .connect_timeout(settings.timeout);
        if settings.endpoint.scheme() == Some(&http::uri::Scheme::HTTPS) {
            endpoint = endpoint.tls_config(tls::for_grpc(&settings.tls)?).map_err(failed)?;
        }
        Ok(Self {
            channel: Mutex::new(connect(&endpoint)),
            endpoint,
            path: PathAndQuery::from_static(wire.grpc_path),
            metadata: MetadataMap::from_headers(settings.headers.clone()),
            gzip: settings.compression == Compression::Gzip,
            timeout: settings.timeout,
        })
    }

    pub(super) async fn attempt(&self, body: Bytes) -> Attempt {
        match timeout(self.timeout, self.call(body)).await {
            Ok(Ok(response)) => response.into_inner().delivered(),
            Ok(Err(status)) => judge(&status),
            Err(_) => {
                // The connection may be dead without a sign of it: HTTP/2 would go on using it.
                *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = connect(&self.endpoint);
                Attempt::Failed { error: format!("no answer within {:?}", self.timeout), after: None }
            }
        }
    }

    async fn call(&self, body: Bytes) -> Result<Response<ExportResponse>, Status> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut client = tonic::client::Grpc::new(channel).accept_compressed(CompressionEncoding::Gzip);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        client.unary(request, self.path.clone(), ExportCodec).await
    }
}

/// Connects when the first request comes, and again when the connection is lost.
fn connect(endpoint: &Endpoint) -> Channel {
    endpoint.connect_with_connector_lazy(resolver::connector())
}

/// "Failures" of the OTLP/gRPC specification.
fn judge(status: &Status) -> Attempt {
    let after = retry_delay(status.details());
    let retryable = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => after.is_some(),
        // Not the receiver's word but the transport's: a status that was received has no source.
        _ => status.source().is_some(),
    };
    let error = match status.source() {
        Some(source) => chain(source),
        None => format!("the receiver answered {:?} ({})", status.code(), status.message()),
    };
    match status.code() {
        _ if retryable => Attempt::Failed { error, after },
        Code::Unimplemented => Attempt::NotTaken(error),
        _ => Attempt::Refused(error),
    }
}

/// Encoded request → bytes; bytes → response.
#[derive(Clone, Copy, Debug)]
struct ExportCodec;

impl Codec for ExportCodec {
    type Encode = Bytes;
    type Decode = ExportResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for ExportCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(message.len());
        to.put(message);
        Ok(())
    }
}

impl Decoder for ExportCodec {
    type Item = ExportResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<ExportResponse>, Status> {
        Ok(Some(ExportResponse::read(from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_retried(code: Code, details: &'static [u8]) -> bool {
        let status = Status::with_details(code, "", Bytes::from_static(details));
        matches!(judge(&status), Attempt::Failed { .. })
    }

    #[test]
    fn exactly_the_codes_of_the_specification_are_retried() {
        let retried: Vec<_> = (0..17).map(Code::from).filter(|code| is_retried(*code, b"")).collect();
        assert_eq!(
            retried,
            [
                Code::Cancelled,
                Code::DeadlineExceeded,
                Code::Aborted,
                Code::OutOfRange,
                Code::Unavailable,
                Code::DataLoss
            ]
        );
    }

    #[test]
    fn an_exhausted_receiver_is_retried_only_when_it_asks_for_it() {
        // google.rpc.Status { details: [Any { "type.googleapis.com/google.rpc.RetryInfo", RetryInfo { 3 s } }] }
        let details = b"\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x03";
        let status = Status::with_details(Code::ResourceExhausted, "", Bytes::from_static(details));
        assert!(
            matches!(judge(&status), Attempt::Failed { after: Some(after), .. } if after == Duration::from_secs(3))
        );
        assert!(!is_retried(Code::ResourceExhausted, b""));
        assert!(!is_retried(Code::InvalidArgument, details));
    }
}
