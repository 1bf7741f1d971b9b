//! `cargo xtask test`: every test, in tiers; a tier that could not run is reported as not run, never as passed.

mod live;
mod tally;

use std::process::{Command, ExitCode};

use anyhow::{Error, Result};

use crate::{cargo, setup};
use tally::Tally;

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
        ("live tests", live::run().unwrap_or_else(broken)),
        ("guests", guests()),
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

/// The live test on other kernels.
fn guests() -> Outcome {
    // Here `vm::run(&[])` is called, and its guests counted, when that command is there.
    Outcome::NotRun("this version has no `cargo xtask vm` yet".to_owned())
}
