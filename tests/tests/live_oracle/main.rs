//! The client's own record of what it asked for is the truth: the tracer must tell the same, whole and nothing more.
//!
//! Each request carries an id, which the backend repeats in its SQL (an alias), its Redis keys and its log lines.
//! So a span or a line that was put under the wrong request is seen, not only one that is missing.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

mod client;
mod plan;
mod verdict;

use tests::live::{Outcome, Tracer};
use xtask::testbed::{BackendOptions, DatabaseRoute, Server, Testbed, WorkerClass};

use self::client::Answer;
use self::plan::Request;
use self::verdict::Verdict;

/// Clients that send at the same time.
const CLIENTS: usize = 8;

#[test]
fn every_request_statement_command_and_line_of_2000_is_told_under_its_request() {
    let options = BackendOptions { arguments: access_log(), ..BackendOptions::default() };
    judge("oracle", 2000, &options);
}

#[test]
fn prefork_workers_and_unix_sockets_to_the_stores_make_no_difference() {
    let options = BackendOptions {
        server: Server::Gunicorn { workers: 2, threads: 4, class: WorkerClass::Threads },
        stores: DatabaseRoute::Unix,
        arguments: access_log(),
        ..BackendOptions::default()
    };
    judge("oracle-unix", 800, &options);
}

fn access_log() -> Vec<String> {
    ["--access-logfile", "-"].map(str::to_owned).to_vec()
}

fn judge(name: &str, requests: usize, options: &BackendOptions) {
    let testbed = Testbed::start(name).unwrap();
    let backend = testbed.backend(options).unwrap();
    let tracer = Tracer::start(
        testbed.directory(),
        &["--pid", &backend.id().to_string(), "--service-name", "jiwoo-backend"],
    );
    let plans = plan::plan(requests, CLIENTS);
    let (answers, seconds) = client::send(&backend, &plans);
    let outcome = tracer.stop();
    let log = std::fs::read_to_string(backend.output()).unwrap();
    print(requests, seconds, &outcome);
    let truth: Vec<(&Request, &Answer)> = plans.iter().flatten().zip(answers.iter().flatten()).collect();
    let verdict = Verdict::of(&truth, &log, &outcome);
    println!("{name}: {verdict}");
    verdict.require_perfect(&outcome);
}

fn print(requests: usize, seconds: f64, outcome: &Outcome) {
    let rate = requests as f64 / seconds;
    println!("{requests} requests by {CLIENTS} clients in {seconds:.1} s ({rate:.0}/s)");
    println!("{}", outcome.summary());
}
