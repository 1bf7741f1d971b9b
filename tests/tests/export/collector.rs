//! A collector that we did not write: rotel, a Python package (`pip install rotel==0.0.1a15`).

use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::stage::*;

/// Kills its process when the test ends, however it ends.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn endpoint_variables(endpoint: &str, protocol: &str) -> Vec<(&'static str, String)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()),
    ]
}

#[test]
#[ignore = "needs rotel: ROTEL_AGENT=…/site-packages/rotel/rotel-agent"]
fn rotel_takes_both_protocols() {
    let program = std::env::var("ROTEL_AGENT").expect("ROTEL_AGENT names rotel's program");
    let (grpc, http) = (free_address(), free_address());
    let child = Command::new(program)
        .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log", "logs"])
        .args([
            "--debug-log-verbosity",
            "detailed",
            "--otlp-grpc-endpoint",
            &grpc,
            "--otlp-http-endpoint",
            &http,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut agent = Agent(child);
    let resource = resource("test");
    for (endpoint, protocol) in [(&grpc, "grpc"), (&http, "http/protobuf")] {
        // Attempts until the collector listens are retried.
        let stage = Stage::start(&endpoint_variables(endpoint, protocol));
        stage.offer(&[span(&resource, 0), span(&resource, 1), log(&resource, format!("line by {protocol}"))]);
        let (spans, logs) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, logs.exported), (2, 1), "{protocol}");
    }
    assert_told(&mut agent.0);
}

/// The collector printed what it got.
fn assert_told(agent: &mut Child) {
    let mut output = agent.stdout.take().unwrap();
    let (mut told, mut chunk) = (String::new(), [0; 8192]);
    let wanted = ["line by grpc", "line by http/protobuf", "span 0", "span 1", "log.iostream", "tracer/logs"];
    let started = Instant::now();
    while !wanted.iter().all(|text| told.contains(text)) && started.elapsed() < DEADLINE {
        let length = output.read(&mut chunk).unwrap();
        assert!(length > 0, "the collector ended after: {told}");
        told.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
    assert_eq!(told.matches("span 1").count(), 2, "{told}");
}
