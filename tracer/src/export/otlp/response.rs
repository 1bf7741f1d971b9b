//! What receivers answer: the response message, and the error details that ask for a pause.

use std::time::Duration;

use prost::Message;

use crate::export::retry::Attempt;

/// `ExportTraceServiceResponse` and `ExportLogsServiceResponse`: the same on the wire.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// `google.rpc.Status`: the body of a failed HTTP response, and gRPC's `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl ExportResponse {
    /// The response that these bytes hold. A success whose body cannot be read is still a success.
    pub(super) fn read(bytes: impl bytes::Buf) -> Self {
        Self::decode(bytes).unwrap_or_default()
    }

    /// A success, whole or partial.
    pub(super) fn delivered(self) -> Attempt {
        let partial = self.partial_success.unwrap_or_default();
        Attempt::Delivered { rejected: partial.rejected.try_into().unwrap_or(0), message: partial.message }
    }
}

/// The pause that a `RetryInfo` among a status's details asks for.
pub(super) fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let any = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(any.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let seconds = Duration::from_secs(delay.seconds.try_into().unwrap_or(0));
    Some(seconds + Duration::from_nanos(delay.nanos.try_into().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(type_url: &str, seconds: i64, nanos: i32) -> Vec<u8> {
        let info = RetryInfo { retry_delay: Some(ProtoDuration { seconds, nanos }) };
        let any = Any { type_url: type_url.to_owned(), value: info.encode_to_vec() };
        RpcStatus { code: 8, message: "slow down".to_owned(), details: vec![any] }.encode_to_vec()
    }

    #[test]
    fn retry_info_is_found_by_its_type() {
        let known = "type.googleapis.com/google.rpc.RetryInfo";
        assert_eq!(retry_delay(&status(known, 2, 500_000_000)), Some(Duration::from_millis(2_500)));
        assert_eq!(retry_delay(&status(known, -2, -5)), Some(Duration::ZERO));
        assert_eq!(retry_delay(&status("type.googleapis.com/google.rpc.DebugInfo", 2, 0)), None);
        assert_eq!(retry_delay(b""), None);
        assert_eq!(retry_delay(b"\xff\xff\xff"), None);
    }

    #[test]
    fn partial_success_tells_the_rejected() {
        let partial = PartialSuccess { rejected: 3, message: "too old".to_owned() };
        let bytes = ExportResponse { partial_success: Some(partial) }.encode_to_vec();
        let delivered =
            |rejected, message: &str| Attempt::Delivered { rejected, message: message.to_owned() };
        assert_eq!(ExportResponse::read(bytes.as_slice()).delivered(), delivered(3, "too old"));
        assert_eq!(ExportResponse::read(b"".as_slice()).delivered(), delivered(0, ""));
        assert_eq!(ExportResponse::read(b"{}".as_slice()).delivered(), delivered(0, ""));
    }
}
