//! `cargo xtask test`: every test, in tiers; a tier that could not run is reported as not run, never as passed.

mod live;
mod tally;

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Error, Result};
use xtask::vm;

use crate::{bench, cargo, fuzz, setup};
use tally::Tally;

/// How long each fuzz target runs: long enough to go through its corpus and a little further.
const FUZZING: Duration = Duration::from_secs(4);

/// What became of a tier.
enum Outcome {
    /// It ran.
    Ran(Tally),
    /// It could not, for this reason.
    NotRun(String),
}

/// Runs all tiers, whatever fails in the earlier ones.
pub(crate) fn run() -> Result<ExitCode> {
    setup::run(setup::Options::default())?;
    let tiers = [
        ("tests without root", plain().unwrap_or_else(broken)),
        ("fuzzing", fuzzing().unwrap_or_else(broken)),
        ("growth of the work with the input", growth().unwrap_or_else(broken)),
        ("live tests", live::run().unwrap_or_else(broken)),
        ("guests", guests().unwrap_or_else(broken)),
    ];

    println!();
    let mut sum = Tally::default();
    for (name, outcome) in &tiers {
        match outcome {
            Outcome::Ran(tally) => println!("{name}: ran: {tally}"),
            Outcome::NotRun(reason) => println!("{name}: not run: {reason}"),
        }
        if let Outcome::Ran(tally) = outcome {
            sum += *tally;
        }
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A tier that broke before it could count (a test that does not compile, say) is one failure.
fn broken(error: Error) -> Outcome {
    eprintln!("xtask: {error:#}");
    Outcome::Ran(Tally { failed: 1, ..Tally::default() })
}

/// Unit and integration tests that anybody can run.
fn plain() -> Result<Outcome> {
    let mut command: Command = cargo::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    Ok(Outcome::Ran(tally::run(&mut command)?))
}

/// A short run of each fuzz target: counts as one test each.
fn fuzzing() -> Result<Outcome> {
    let program = fuzz::build()?;
    let mut sum = Tally::default();
    for name in fuzz::targets()? {
        let run = fuzz::fuzz(&program, &name, FUZZING)?;
        println!("{run}");
        let failed = u64::from(run.failure.is_some());
        sum += Tally { passed: 1 - failed, failed, ..Tally::default() };
    }
    Ok(Outcome::Ran(sum))
}

/// No stage's work grows faster than its input, by instructions.
fn growth() -> Result<Outcome> {
    if bench::valgrind().is_none() {
        return Ok(Outcome::NotRun("valgrind is not installed".to_owned()));
    }
    let growths = bench::growths(&bench::build()?)?;
    let passed = growths.iter().filter(|growth| growth.is_linear()).count() as u64;
    Ok(Outcome::Ran(Tally { passed, failed: growths.len() as u64 - passed, ..Tally::default() }))
}

/// The live test on other kernels: each way to attach on each of them counts.
fn guests() -> Result<Outcome> {
    let options = vm::Options::new(cargo::build_tracer()?)?;
    let report = match vm::run(&[], &options) {
        Ok(report) => report,
        Err(error) => return Ok(Outcome::NotRun(format!("{error:#}"))),
    };
    if let Some(reason) = no_kernels(&report) {
        return Ok(Outcome::NotRun(reason));
    }
    let mut sum = Tally::default();
    for guest in &report.guests {
        let (passed, failed) = guest.counts();
        sum += Tally { passed: passed as u64, failed: failed as u64, ..Tally::default() };
    }
    Ok(Outcome::Ran(sum))
}

/// Why no guest was booted at all, if so: without a network there are no kernels.
fn no_kernels(report: &vm::Report) -> Option<String> {
    let first = report.guests.first()?.sessions.as_ref().err()?;
    report.guests.iter().all(|guest| guest.package.is_empty()).then(|| format!("{first:#}"))
}
