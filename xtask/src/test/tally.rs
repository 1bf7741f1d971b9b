//! Counts of tests, as the test harness prints them.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How many tests passed, failed and were ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 { write!(formatter, ", {} ignored", self.ignored) } else { Ok(()) }
    }
}

/// Runs tests, shows what they print, and counts. A run that fails without a failed test (it did not compile, it
/// was killed) counts as one.
pub(super) fn run(command: &mut Command) -> Result<Tally> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {name}"))?;
    let output = child.stdout.take().context("the tests have no standard output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the tests' output")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally += parse(&line).unwrap_or_default();
    }
    let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
    if !status.success() && tally.failed == 0 {
        eprintln!("{name} failed ({status}) with no test failed: counted as one failure");
        tally.failed = 1;
    }
    Ok(tally)
}

/// The counts in a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
fn parse(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count =
        |what: &str| counts.split("; ").find_map(|part| part.strip_suffix(what)?.trim().parse::<u64>().ok());
    Some(Tally { passed: count("passed")?, failed: count("failed")?, ignored: count("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tally {
        run(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn the_harness_lines_are_summed() {
        let line =
            "test result: FAILED. 9 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1s";
        assert_eq!(parse(line), Some(Tally { passed: 9, failed: 1, ignored: 2 }));
        assert_eq!(parse("test result of mine"), None);
        assert_eq!(shell(&format!("echo '{line}'; echo x; echo '{line}'; exit 101")).passed, 18);
    }

    #[test]
    fn a_run_that_breaks_is_a_failure() {
        assert_eq!(shell("exit 101"), Tally { failed: 1, ..Tally::default() });
        assert_eq!(shell("exit 0"), Tally::default());
    }
}
