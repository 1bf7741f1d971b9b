//! Servers at their full speed: `wrk` counts the requests, and every one of them has its span or a counted loss.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use tests::live::{Outcome, Tracer};
use xtask::http::Address;
use xtask::testbed::{BackendOptions, Nginx, RunDirectory, Testbed, free_port};
use xtask::workspace;

/// How long each burst lasts.
const SECONDS: u64 = 20;

/// Connections of `wrk`, each of which may have a request on its way when it stops counting.
const CONNECTIONS: u64 = 16;

/// Losses allowed: one in a thousand requests.
const REQUESTS_PER_LOSS: u64 = 1000;

#[test]
fn gunicorn_at_full_speed() {
    let testbed = Testbed::start("burst").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let port = backend.address().port().unwrap();
    burst("gunicorn", testbed.directory(), backend.id(), &format!("http://127.0.0.1:{port}/healthz"));
}

#[test]
fn nginx_at_full_speed() {
    let directory = RunDirectory::create("burst-nginx").unwrap();
    let port = free_port().unwrap();
    let pages = directory.data("pages");
    std::fs::create_dir_all(&pages).unwrap();
    std::fs::write(pages.join("index.html"), "<p>static</p>\n").unwrap();
    let server = format!(
        "keepalive_requests 1000000; server {{ listen 127.0.0.1:{port}; root {}; }}",
        pages.display()
    );
    let address = Address::Tcp(([127, 0, 0, 1], port).into());
    let nginx = Nginx::start(&directory, "nginx", &server, &address).unwrap();
    burst("nginx", &directory, nginx.id(), &format!("http://127.0.0.1:{port}/"));
}

fn burst(name: &str, directory: &RunDirectory, pid: u32, url: &str) {
    let plain = wrk(url, 3);
    let tracer = Tracer::start(directory, &["--pid", &pid.to_string()]);
    let traced = wrk(url, SECONDS);
    let exported = tracer.exported().to_owned();
    let outcome = tracer.stop_unread();
    let spans = server_spans(&exported);
    // Hundreds of megabytes.
    std::fs::remove_file(&exported).unwrap();
    println!("{}", outcome.summary());
    let losses = losses(&outcome);
    println!(
        "{name}: {} requests, {spans} spans, {losses} counted losses; {:.0} requests/s, {:.0} before (3 s)",
        traced.requests, traced.rate, plain.rate
    );
    assert!(
        losses * REQUESTS_PER_LOSS <= traced.requests,
        "more than one loss in {REQUESTS_PER_LOSS} requests"
    );
    assert!(spans + losses >= traced.requests, "{} requests are missing", traced.requests - spans - losses);
    let most = traced.requests + CONNECTIONS;
    assert!(spans <= most, "{} spans of no request", spans - most);
}

/// All that the tracer says it lost, wherever.
fn losses(outcome: &Outcome) -> u64 {
    outcome.lost_in_all() + outcome.exchanges_without_span() + outcome.spans_lost_in_export()
}

/// What `wrk` measured.
struct Load {
    requests: u64,
    rate: f64,
}

fn wrk(url: &str, seconds: u64) -> Load {
    let output = Command::new(workspace::program("wrk").unwrap())
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{seconds}s"), url])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    // It is silent about these when there were none.
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "the application failed: {said}");
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in ")).unwrap().0;
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")).unwrap();
    Load { requests: requests.parse().unwrap(), rate: rate.trim().parse().unwrap() }
}

/// Server spans with status 200 in OTLP JSON Lines. Counted as text: there are hundreds of thousands.
fn server_spans(exported: &Path) -> u64 {
    let mut lines = BufReader::new(File::open(exported).unwrap());
    let mut line = String::new();
    let mut spans = 0;
    while lines.read_line(&mut line).unwrap() > 0 {
        let servers = line.matches("\"kind\":2,").count();
        let succeeded =
            line.matches("\"http.response.status_code\",\"value\":{\"intValue\":\"200\"}").count();
        spans += servers.min(succeeded) as u64;
        line.clear();
    }
    spans
}
