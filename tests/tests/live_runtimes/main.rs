//! Whose call, whose line: every statement, command, downstream request and log line carries the id of the request
//! that it was made for, and from the exported telemetry alone it is told how many parents are right.
//!
//! *Precision* is the share of parents given that are right: it must be 1. *Recall* is the share of what was done
//! for requests that has its parent. The truth is the clients' plan, so that what was not exported at all counts as
//! not found. What nobody waits for needs no parent; one that it gets must be right all the same.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]
#![expect(clippy::expect_used, reason = "a test's own support fails by panicking, like the test")]

mod application;
mod downstream;
mod load;
mod score;

use std::thread;
use std::time::{Duration, Instant};

use tests::live::Tracer;
use xtask::testbed::Testbed;

use self::application::{Application, Fast, Server};
use self::downstream::Downstream;
use self::load::{KINDS, Mode, Plan};
use self::score::{Part, Score};

/// Clients that send at the same time.
const CLIENTS: usize = 50;

/// Requests of each client.
const REQUESTS: usize = 8;

/// How long the tracer may take to find the targets' runtimes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether it has.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What is wanted of a thread that serves one request at a time.
const THREADS: f64 = 0.999;

/// What is wanted where several requests take turns on a thread.
const TURNS: f64 = 0.99;

/// What is wanted of a function on a thread of an executor: it can begin before the task waits for it.
const BEGUN_AHEAD: f64 = 0.9;

const ALL: [Mode; 4] = [Mode::Plain, Mode::Lock, Mode::Background, Mode::Children];

/// Without what each request does on greenlets of its own.
const ONE_AT_A_TIME: [Mode; 3] = [Mode::Plain, Mode::Lock, Mode::Background];

#[test]
fn a_worker_with_one_thread() {
    let score = judge(Server::GunicornSync, &ALL);
    score.require(&[(Part::Own, THREADS), (Part::Child, THREADS)]);
}

#[test]
fn a_pool_of_threads_and_an_executor_in_a_request() {
    let score = judge(Server::GunicornThreads, &ALL);
    score.require(&[(Part::Own, THREADS), (Part::Child, THREADS)]);
}

#[test]
fn a_thread_for_each_connection() {
    let score = judge(Server::Flask, &ALL);
    score.require(&[(Part::Own, THREADS), (Part::Child, THREADS)]);
}

#[test]
fn a_buffer_that_threads_share() {
    // Nothing tells whose lines are in a write of several, nor for a moment after it.
    let score = judge(Server::FlaskBuffered, &ALL);
    score.require_of_calls(&[(Part::Own, THREADS), (Part::Child, THREADS)]);
}

#[test]
fn greenlets_of_gevent() {
    let score = judge(Server::Gevent, &ALL);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn tasks_of_asyncio() {
    // What a task does ahead of the request that will wait for it has no parent: nothing tells that yet.
    let modes = [Mode::Plain, Mode::Lock, Mode::Background, Mode::Children, Mode::Ahead];
    let score = judge(Server::Uvicorn, &modes);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn executors_of_asyncio() {
    let score = judge(Server::Uvicorn, &[Mode::Plain, Mode::Background, Mode::Threads]);
    score.require(&[(Part::Own, TURNS), (Part::Thread, BEGUN_AHEAD)]);
}

#[test]
fn executors_of_uvloop() {
    let score = judge(fast("uvloop", "coroutines", 0), &[Mode::Plain, Mode::Background, Mode::Threads]);
    score.require(&[(Part::Own, TURNS), (Part::Thread, BEGUN_AHEAD)]);
}

#[test]
fn functions_that_tasks_wait_for() {
    let score = judge(fast("asyncio", "functions", 0), &ONE_AT_A_TIME);
    score.require(&[(Part::Own, TURNS)]);
}

#[test]
fn contexts_of_a_stand_in_for_an_interpreter() {
    let score = judge_steps(Server::Interpreter, &[Mode::Plain], &['r']);
    score.require(&[(Part::Own, TURNS)]);
}

#[test]
fn contexts_of_one_on_musl() {
    let score = judge_steps(Server::MuslInterpreter, &[Mode::Plain], &['r']);
    score.require(&[(Part::Own, TURNS)]);
}

#[test]
fn goroutines() {
    // A handler's own statements, commands and lines; its HTTP requests are written by goroutines of the client's.
    let score = judge_steps(Server::Go, &ALL, &['s', 'r', 'l']);
    score.require(&[(Part::Own, TURNS)]);
}

#[test]
fn functions_under_uvloop() {
    let score = judge(fast("uvloop", "functions", 0), &ONE_AT_A_TIME);
    score.require(&[(Part::Own, TURNS)]);
}

#[test]
fn coroutines_under_uvloop() {
    let score = judge(fast("uvloop", "coroutines", 0), &ALL);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn coroutines() {
    let score = judge(fast("asyncio", "coroutines", 0), &ALL);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn coroutines_in_tasks_of_a_middleware() {
    let score = judge(fast("asyncio", "coroutines", 1), &ALL);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn coroutines_in_tasks_of_middlewares_under_uvloop() {
    let score = judge(fast("uvloop", "coroutines", 2), &ALL);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn functions_in_tasks_of_middlewares() {
    let score = judge(fast("asyncio", "functions", 2), &ONE_AT_A_TIME);
    score.require(&[(Part::Own, TURNS)]);
}

#[test]
fn streams() {
    let score = judge(fast("asyncio", "streams", 0), &ALL);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn streams_under_uvloop() {
    let score = judge(fast("uvloop", "streams", 0), &ALL);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn streams_in_tasks_of_a_middleware() {
    let score = judge(fast("asyncio", "streams", 1), &ALL);
    score.require(&[(Part::Own, TURNS), (Part::Child, TURNS)]);
}

#[test]
fn callbacks_of_node() {
    // Nothing tells whose call it is: few parents, none of them wrong.
    judge(Server::Node, &ALL).require(&[]);
}

fn fast(event_loop: &'static str, endpoints: &'static str, middlewares: usize) -> Server {
    Server::Fast(Fast { event_loop, endpoints, middlewares })
}

fn judge(server: Server, modes: &[Mode]) -> Score {
    judge_steps(server, modes, &KINDS)
}

/// Has the clients send to the application while it is traced.
fn judge_steps(server: Server, modes: &[Mode], kinds: &[char]) -> Score {
    let testbed = Testbed::start(&server.name()).unwrap();
    let downstream = Downstream::start();
    let application = Application::start(&testbed, &downstream, server);
    let tracer =
        Tracer::start(testbed.directory(), &["--pid", &application.id().to_string(), "--ring-size", "64M"]);
    wait_until_told(&tracer, " told apart", server.runtimes());
    if matches!(server, Server::Uvicorn | Server::Fast(_)) {
        wait_until_told(&tracer, " in groups of anyio's,", 1);
    }
    // A worker comes up with the first request that has work for one.
    if matches!(server, Server::Fast(Fast { endpoints: "functions", .. })) {
        Plan::first(application.address(), "plain");
        wait_until_told(&tracer, " run on worker threads,", 1);
    }
    if modes.contains(&Mode::Threads) {
        Plan::first(application.address(), "threads");
        wait_until_told(&tracer, " run by executors,", 1);
    }
    let plan = Plan::new(CLIENTS, REQUESTS, modes, kinds);
    let seconds = plan.send(application.address());
    application.wait_for_background(&plan);
    let outcome = tracer.stop();
    let score = Score::of(&plan, &outcome.telemetry);
    println!("{}: {} requests in {seconds:.1} s\n{score}{}", server.name(), plan.len(), outcome.summary());
    assert_eq!(outcome.lost_in_all(), 0, "the kernel side lost events");
    score
}

/// Waits until the tracer has said so of so many processes.
fn wait_until_told(tracer: &Tracer, what: &str, wanted: usize) {
    let since = Instant::now();
    while tracer.stderr().lines().filter(|line| line.contains(what)).count() < wanted {
        assert!(since.elapsed() < PATIENCE, "not told {wanted} times: {what}\n{}", tracer.stderr());
        thread::sleep(POLL_INTERVAL);
    }
}
