//! `cargo xtask demo`: the main job on this machine, from traffic to trees.

mod traffic;

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStderr, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::process::Process;
use xtask::testbed::{Backend, BackendOptions, Testbed};

use crate::signals::Interruption;
use crate::{cargo, privilege, setup};

const SERVICE: &str = "jiwoo-backend";

/// Where the collector is, if anywhere.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What the tracer's log says when it has attached.
const READY: &str = "ready:";

/// How long attaching may take: the verifier is slow on some kernels.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How long the tracer may take to deliver what it has when it is asked to end.
const END_PATIENCE: Duration = Duration::from_secs(15);

/// Time between two requests.
const PACE: Duration = Duration::from_secs(1);

/// Runs for `duration`, or until Ctrl-C.
pub(crate) fn run(duration: Option<Duration>) -> Result<()> {
    let interruption = Interruption::watch()?;
    setup::run(setup::Options::default())?;
    say("building the tracer");
    let program = cargo::build_tracer()?;
    if interruption.came() {
        return Ok(());
    }
    say("starting MariaDB, Redis and the backend (gunicorn, 1 worker, 4 threads)");
    let testbed = Testbed::start("demo")?;
    let backend = testbed.backend(&BackendOptions::default())?;
    say(&format!("the backend listens on {}; logs are in {}", backend.address(), testbed.logs().display()));

    let mut tracer = start_tracer(&program, &backend)?;
    wait_until_ready(&mut tracer, &interruption)?;
    say("attached to the running backend; its traces follow");
    let deadline = duration.map(|duration| Instant::now() + duration);
    let requests = send_traffic(&backend, &mut tracer, &interruption, deadline)?;

    let status = tracer.stop(END_PATIENCE)?;
    if !status.success() {
        bail!("the tracer failed: {status}");
    }
    drop((backend, testbed));
    say(&format!("ended after {requests} requests; everything that was started is stopped"));
    if env::var_os(ENDPOINT).is_none() {
        say(&format!("to see the same in Tempo, set {ENDPOINT}=http://COLLECTOR:4318 and run this again"));
    }
    Ok(())
}

fn start_tracer(program: &Path, backend: &Backend) -> Result<Process> {
    let program = program.to_str().context("the path of the tracer is not UTF-8")?;
    let mut command = privilege::as_root(program)?;
    command
        .args(["run", "--pid", &backend.id().to_string(), "--service-name", SERVICE, "--export", "console"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    if env::var_os(ENDPOINT).is_some() {
        command.args(["--export", "otlp"]);
    }
    Process::start_with_stdio("tracer", command)
}

/// Shows the tracer's log, and returns when it says that it is ready.
fn wait_until_ready(tracer: &mut Process, interruption: &Interruption) -> Result<()> {
    let log = tracer.child_mut().stderr.take().context("the tracer has no standard error")?;
    let ready = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ready);
    thread::spawn(move || show(log, &seen));
    tracer.wait_until(READY_PATIENCE, || ready.load(Ordering::Relaxed) || interruption.came())
}

/// Copies the log to our standard error until it ends.
fn show(log: ChildStderr, ready: &AtomicBool) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        eprintln!("{line}");
        if line.contains(READY) {
            ready.store(true, Ordering::Relaxed);
        }
    }
}

/// Sends a request now and then; returns how many.
fn send_traffic(
    backend: &Backend,
    tracer: &mut Process,
    interruption: &Interruption,
    deadline: Option<Instant>,
) -> Result<u64> {
    let mut traffic = traffic::Traffic::new(backend);
    let mut sent = 0;
    while !interruption.came() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        if let Some(status) = tracer.ended()? {
            bail!("the tracer ended by itself: {status}");
        }
        traffic.send_next()?;
        sent += 1;
        let next = Instant::now() + PACE;
        interruption.sleep_until(deadline.map_or(next, |deadline| deadline.min(next)));
    }
    Ok(sent)
}

fn say(line: &str) {
    eprintln!("demo: {line}");
}
