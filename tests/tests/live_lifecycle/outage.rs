//! A collector that is not there.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use tests::live::{Telemetry, Tracer, TracerOptions};
use tests::sink::Sink;
use xtask::testbed::{Backend, BackendOptions, Testbed, free_port};

use super::traffic;

/// How long the collector is away: several attempts.
const ABSENCE: Duration = Duration::from_secs(6);

/// How long the tracer may take to find it again: it tries ever less often.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests of [`traffic::each_once`].
const REQUESTS: usize = 5;

fn start(testbed: &Testbed, backend: &Backend, collector: SocketAddr) -> Tracer {
    let options = TracerOptions {
        arguments: ["--pid", &backend.id().to_string(), "--export", "otlp"].map(str::to_owned).to_vec(),
        environment: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("http://{collector}")),
            ("OTEL_BSP_EXPORT_TIMEOUT".to_owned(), "3000".to_owned()),
            ("OTEL_BLRP_EXPORT_TIMEOUT".to_owned(), "3000".to_owned()),
        ],
        to_file: false,
        ..TracerOptions::default()
    };
    Tracer::start_with(testbed.directory(), options)
}

fn warnings(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains(" WARN ")).collect()
}

#[test]
fn what_was_traced_while_the_collector_was_away_is_delivered_when_it_comes() {
    let testbed = Testbed::start("outage").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
    let tracer = start(&testbed, &backend, address);
    traffic::each_once(&backend, "away1");
    thread::sleep(ABSENCE);
    traffic::each_once(&backend, "away2");
    let told = tracer.stderr();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sink = Sink::start_on(any, address);
    let servers = |telemetry: &Telemetry| telemetry.servers().count();
    let came = sink.wait_until(|received| servers(&received.clone().into()) == 2 * REQUESTS, PATIENCE);
    assert!(came, "{} of {} requests came", servers(&sink.received().into()), 2 * REQUESTS);
    let outcome = tracer.stop();
    // One sentence for each signal.
    assert_eq!(warnings(&told).len(), 2, "{told}");
    assert!(warnings(&told).iter().all(|line| line.contains(&address.to_string())), "{told}");
    assert_eq!(outcome.stderr.matches("works again").count(), 2, "{}", outcome.stderr);
    assert_eq!(outcome.spans_lost_in_export(), 0, "{}", outcome.summary());
    println!("outage: {} spans delivered after {} s", sink.spans().len(), ABSENCE.as_secs());
}

#[test]
fn a_collector_that_never_comes_costs_the_telemetry_only() {
    let testbed = Testbed::start("no-collector").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
    let tracer = start(&testbed, &backend, address);
    traffic::each_once(&backend, "never");
    thread::sleep(ABSENCE);
    let outcome = tracer.stop();
    // Spans, log records, and the tracer's own metrics.
    assert_eq!(warnings(&outcome.stderr).len(), 3, "{}", outcome.stderr);
    // The losses are told: /api/db/message alone has six calls.
    assert!(outcome.spans_lost_in_export() > REQUESTS as u64, "{}", outcome.summary());
    println!("no collector: {} spans told as lost", outcome.spans_lost_in_export());
}
