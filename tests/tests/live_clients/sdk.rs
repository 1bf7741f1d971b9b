//! Targets with an SDK inside, and posts of telemetry.

use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::{Outcome, Tracer, text};
use tests::sink::{Collected, Sink};
use xtask::http::{Address, Client};
use xtask::process::Process;
use xtask::testbed::{RunDirectory, free_port};

use super::client::python;
use super::counts::Counts;
use super::http::Scene;
use super::run::{at_once, trace};

/// Requests before and after the application's first export.
const REQUESTS: usize = 20;

#[test]
fn a_target_that_posts_its_own_spans_is_left_to_its_sdk() {
    let (sink, told) = run("skip", "gzip");
    assert_eq!((spans(&told), lines(&told)), ((0, 0), 0), "{}", told.summary());
    assert!(told.stderr.contains("exports by itself, for an SDK inside it posts spans"), "{}", told.stderr);
    assert_eq!(sink.spans().len(), 2 * REQUESTS, "its own spans");
}

#[test]
fn its_lines_or_all_of_it_are_told_where_that_is_wanted() {
    let (_, told) = run("logs", "none");
    assert_eq!((spans(&told), lines(&told)), ((0, 0), REQUESTS), "{}", told.summary());
    let (_, told) = run("trace", "none");
    assert_eq!((spans(&told), lines(&told)), ((REQUESTS, 0), REQUESTS), "{}", told.summary());
}

#[test]
fn posts_of_telemetry_are_no_spans_whatever_their_encoding() {
    let scene = Scene::start("clients-otlp");
    let mut clients = [scene.hold("poster", python("otlp_posts.py", &[]))];
    let told = trace(&scene.directory, &mut clients, &[scene.server.id()], &[], at_once);
    let mut orders = Counts::default();
    orders.add("POST 200", 10);
    told.require(&[("poster", orders.clone(), told.client("poster")), ("node", orders, told.server("node"))]);
    // An exporter and a collector: 10 rounds of 4 addresses and 4 encodings, seen from both ends.
    let counted = "320 exchanges became no span because they carried telemetry";
    assert!(told.outcome.stderr.contains(counted), "{}", told.outcome.summary());
}

/// Runs the application under a tracer that is started before its first export, and has it serve; what was told of the
/// requests after that export is what counts.
fn run(mode: &str, compression: &str) -> (Sink, Outcome) {
    let directory = RunDirectory::create("clients-sdk").unwrap();
    let sink = Sink::start();
    let port = free_port().unwrap();
    let mut command = python("sdk_app.py", &[]);
    command.env("ENDPOINT", format!("http://{}", sink.http_addr)).env("COMPRESSION", compression);
    command.env("PORT", port.to_string()).env("OTEL_SERVICE_NAME", "sdk-app");
    let mut app = Process::start("sdk-app", command, directory.logs()).unwrap();
    let address = Address::Tcp(([127, 0, 0, 1], port).into());
    app.wait_until(Duration::from_secs(30), || address.connect().is_ok()).unwrap();
    let tracer = Tracer::start(&directory, &["--pid", &app.id().to_string(), "--sdk-targets", mode]);
    serve(&address, "/hello?before");
    get(&address, "/flush");
    assert!(tracer_knows(&tracer), "{}", tracer.stderr());
    serve(&address, "/hello?after");
    get(&address, "/flush");
    (sink, tracer.stop())
}

fn serve(address: &Address, path: &str) {
    (0..REQUESTS).for_each(|_| get(address, path));
}

fn get(address: &Address, path: &str) {
    let answer = Client::connect(address).unwrap().get(path).unwrap();
    assert_eq!(answer.status, 200);
}

/// Waits until the tracer says that the application exports by itself.
fn tracer_knows(tracer: &Tracer) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if tracer.stderr().contains("exports by itself") {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Spans of requests that were served after the first export, and of calls that were made.
fn spans(told: &Outcome) -> (usize, usize) {
    let is_after = |span: &&Span| text(&span.attributes, "url.query") == Some("after");
    (told.telemetry.servers().filter(is_after).count(), told.telemetry.of_kind(SpanKind::Client).count())
}

/// Lines that were logged by these requests: those that came before were logged by as many.
fn lines(told: &Outcome) -> usize {
    let is_hello =
        |log: &&Collected<LogRecord>| format!("{:?}", log.item.body).contains("hello from the application");
    told.telemetry.logs.iter().filter(is_hello).count().saturating_sub(REQUESTS)
}
