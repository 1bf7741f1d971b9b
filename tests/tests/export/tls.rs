//! TLS, with certificates made by `fixtures/tls/make.sh`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tests::sink::Sink;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tracer::export::DropReason;

use super::stage::*;

fn fixture(name: &str) -> String {
    format!("{}/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Takes TLS on a free port and passes what is in it to `plain`. Clients must show the test's certificate.
fn terminate_tls(plain: SocketAddr) -> SocketAddr {
    let (listening, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let acceptor = TlsAcceptor::from(Arc::new(server_config()));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listening.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the server, or has no certificate, ends here.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut onward = TcpStream::connect(plain).await.unwrap();
                    let _ended = copy_bidirectional(&mut stream, &mut onward).await;
                });
            }
        });
    });
    address.recv().unwrap()
}

fn server_config() -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(fixture("server.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn tls_variables(sink: &Sink, is_grpc: bool) -> Vec<(&'static str, String)> {
    let plain = if is_grpc { sink.grpc_addr } else { sink.http_addr };
    let endpoint = format!("https://localhost:{}", terminate_tls(plain).port());
    let variables = if is_grpc { grpc(sink) } else { http(sink) };
    with(variables, "OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
}

#[test]
fn the_given_authority_and_the_clients_certificate_are_used() {
    for is_grpc in [true, false] {
        let sink = Sink::start();
        let variables =
            with(tls_variables(&sink, is_grpc), "OTEL_EXPORTER_OTLP_CERTIFICATE", &fixture("ca.pem"));
        let variables = with(variables, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &fixture("client.pem"));
        let stage = Stage::start(&with(variables, "OTEL_EXPORTER_OTLP_CLIENT_KEY", &fixture("client.key")));
        stage.offer(&some_spans(3));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, sink.spans().len()), (3, 3), "gRPC: {is_grpc}");
    }
}

#[test]
fn an_unknown_authority_is_not_trusted() {
    for is_grpc in [true, false] {
        let sink = Sink::start();
        let stage = Stage::start(&tls_variables(&sink, is_grpc));
        stage.offer(&some_spans(3));
        let (spans, _) = stage.shutdown(Duration::from_millis(500));
        assert_eq!((spans.exported, spans.dropped(DropReason::UnsentAtExit)), (0, 3), "gRPC: {is_grpc}");
        assert!(sink.requests().is_empty());
    }
}
