//! OTLP/gRPC.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
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
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tower_service::Service as _;

use super::{Fault, Partial, Shared, response};

#[derive(Clone)]
struct Grpc(Arc<Shared>);

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
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
