//! The client's own record of what it asked for is the truth: the tracer must tell the same, whole and nothing more.
//!
//! Each request carries an id, which the backend repeats in its SQL (an alias), its Redis keys and its log lines.
//! So a span or a line that was put under the wrong request is seen, not only one that is missing.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

mod client;
mod plan;
mod verdict;

use std::thread;
use std::time::{Duration, Instant};

use tests::live::{Outcome, Tracer};
use xtask::testbed::{Backend, BackendOptions, DatabaseRoute, Server, Testbed, WorkerClass};

use self::client::Answer;
use self::plan::Request;
use self::verdict::Verdict;

/// Clients that send at the same time.
const CLIENTS: usize = 8;

/// `--ring-size`.
const USUAL_RING: &str = "16M";
const SMALLEST_RING: &str = "512K";

/// How long the application may take to answer some requests and to log them.
const LOG_PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn every_request_statement_command_and_line_of_2000_is_told_under_its_request() {
    let options = BackendOptions { arguments: access_log(), ..BackendOptions::default() };
    let (outcome, verdict) = judge("oracle", 2000, &options, USUAL_RING, |_, _| ());
    verdict.require_whole(&outcome);
}

#[test]
fn prefork_workers_and_unix_sockets_to_the_stores_make_no_difference() {
    let options = BackendOptions {
        server: Server::Gunicorn { workers: 2, threads: 4, class: WorkerClass::Threads },
        stores: DatabaseRoute::Unix,
        arguments: access_log(),
        ..BackendOptions::default()
    };
    let (outcome, verdict) = judge("oracle-unix", 800, &options, USUAL_RING, |_, _| ());
    verdict.require_whole(&outcome);
}

#[test]
fn what_is_told_after_losses_is_right_and_what_is_not_told_is_counted() {
    let options = BackendOptions { arguments: access_log(), ..BackendOptions::default() };
    let (outcome, verdict) = judge("oracle-lossy", 800, &options, SMALLEST_RING, |tracer, backend| {
        // Three times the ring overflows, and between them the tracer finds its way again.
        for answered in [100, 350, 600] {
            wait_for(backend, answered);
            tracer.pause(|| wait_for(backend, answered + 125));
        }
    });
    assert!(outcome.lost_in_all() > 0, "nothing was lost");
    verdict.require_right(&outcome);
}

fn access_log() -> Vec<String> {
    ["--access-logfile", "-"].map(str::to_owned).to_vec()
}

/// Has the clients send, and `meanwhile` something done to the tracer.
fn judge(
    name: &str,
    requests: usize,
    options: &BackendOptions,
    ring: &str,
    meanwhile: fn(&Tracer, &Backend),
) -> (Outcome, Verdict) {
    let testbed = Testbed::start(name).unwrap();
    let backend = testbed.backend(options).unwrap();
    let tracer = Tracer::start(
        testbed.directory(),
        &["--pid", &backend.id().to_string(), "--service-name", "jiwoo-backend", "--ring-size", ring],
    );
    let plans = plan::plan(requests, CLIENTS);
    let (answers, seconds) = thread::scope(|scope| {
        scope.spawn(|| meanwhile(&tracer, &backend));
        client::send(&backend, &plans)
    });
    wait_for(&backend, requests);
    let log = read_log(&backend);
    let outcome = tracer.stop();
    print(requests, seconds, &outcome);
    let truth: Vec<(&Request, &Answer)> = plans.iter().flatten().zip(answers.iter().flatten()).collect();
    let verdict = Verdict::of(&truth, &log, &outcome);
    println!("{name}: {verdict}");
    (outcome, verdict)
}

/// Waits until so many requests were answered: until the access log, which is written after the answer, has their
/// lines. Gives up in the end: it is then told what is missing.
fn wait_for(backend: &Backend, requests: usize) {
    let since = Instant::now();
    let is_access = |line: &&str| line.contains("?request_id=") && line.contains(" HTTP/1.1\" ");
    while since.elapsed() < LOG_PATIENCE {
        if read_log(backend).lines().filter(is_access).count() >= requests {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn read_log(backend: &Backend) -> String {
    std::fs::read_to_string(backend.output()).unwrap()
}

fn print(requests: usize, seconds: f64, outcome: &Outcome) {
    let rate = requests as f64 / seconds;
    println!("{requests} requests by {CLIENTS} clients in {seconds:.1} s ({rate:.0}/s)");
    println!("{}", outcome.summary());
}
