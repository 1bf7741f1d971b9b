//! `cargo xtask bench`: how fast the stages are, and how their work grows.
//!
//! Times depend on the machine and on what else it does; instructions, which valgrind's callgrind counts, do not.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use xtask::workspace;

use crate::cargo;

/// Sizes of the inputs that are compared, in bytes: the larger one still is a header block of HTTP.
const SIZES: [u64; 2] = [15_000, 60_000];

/// Four times the input may cost so many times the instructions: a little more than four, for what grows in steps.
const MOST: f64 = 4.5;

/// Exchanges after which the cost of a further one is measured, and those that are added. Until then as many spans come
/// out as exchanges go in: where HTTP is served, they wait 30 ms for a caller on the node.
const EXCHANGES: [u64; 2] = [6000, 8000];

/// Prints all figures. Fails if some work grows faster than its input.
pub(crate) fn run() -> Result<ExitCode> {
    let program = build()?;
    let cases = cases(&program)?;
    let of_kind = |wanted: &'static str| {
        cases.iter().filter(move |(kind, _)| kind == wanted).map(|(_, name)| name.as_str())
    };
    println!("\nfrom records of the ring buffer to spans, on one thread, by its processor time:");
    for name in of_kind("simple") {
        print!("{}", output(Command::new(&program).args(["time", name]))?);
    }
    println!("\nfrom spans to OTLP's binary form:");
    for name in of_kind("export") {
        print!("{}", output(Command::new(&program).args(["time", name]))?);
    }
    if valgrind().is_none() {
        println!("instructions were not counted: valgrind is not installed");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\ninstructions an exchange:");
    for name in of_kind("simple").chain(of_kind("export")) {
        let [few, more] =
            [instructions(&program, name, EXCHANGES[0])?, instructions(&program, name, EXCHANGES[1])?];
        println!("{name}: {}", more.saturating_sub(few) / (EXCHANGES[1] - EXCHANGES[0]));
    }
    println!("\ninstructions for inputs of {} and {} bytes:", SIZES[0], SIZES[1]);
    let growths = growths(&program)?;
    Ok(if growths.iter().all(Growth::is_linear) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How the work of a case grows.
#[derive(Debug)]
pub(crate) struct Growth {
    name: String,
    instructions: [u64; 2],
}

impl Growth {
    /// No faster than its input.
    pub(crate) fn is_linear(&self) -> bool {
        self.ratio() <= MOST
    }

    fn ratio(&self) -> f64 {
        self.instructions[1] as f64 / self.instructions[0].max(1) as f64
    }
}

impl std::fmt::Display for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, instructions: [small, large] } = self;
        let verdict = if self.is_linear() { "" } else { ", FASTER THAN THE INPUT" };
        write!(f, "{name}: {small} and {large}: {:.2} times{verdict}", self.ratio())
    }
}

/// Measures and prints all of them.
pub(crate) fn growths(program: &Path) -> Result<Vec<Growth>> {
    let mut growths = Vec::new();
    for (_, name) in cases(program)?.into_iter().filter(|(kind, _)| kind == "growth") {
        let instructions = [instructions(program, &name, SIZES[0])?, instructions(program, &name, SIZES[1])?];
        let growth = Growth { name, instructions };
        println!("{growth}");
        growths.push(growth);
    }
    Ok(growths)
}

/// Builds the measuring program, optimised.
pub(crate) fn build() -> Result<PathBuf> {
    cargo::build_optimised("bench", &[])
}

/// The program that counts instructions, if it is installed.
pub(crate) fn valgrind() -> Option<PathBuf> {
    workspace::program("valgrind").ok()
}

fn cases(program: &Path) -> Result<Vec<(String, String)>> {
    let list = output(Command::new(program).arg("list"))?;
    let words = |line: &str| line.split_once(' ').map(|(kind, name)| (kind.to_owned(), name.to_owned()));
    Ok(list.lines().filter_map(words).collect())
}

/// Instructions of a case's work.
fn instructions(program: &Path, name: &str, size: u64) -> Result<u64> {
    let valgrind = valgrind().context("valgrind is not installed: run `cargo xtask setup`")?;
    let answer = Command::new(valgrind)
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*measured_work*"])
        .arg("--callgrind-out-file=/dev/null")
        .arg(program)
        .args(["count", name, &size.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("cannot run valgrind")?;
    let text = String::from_utf8_lossy(&answer.stderr);
    match collected(&text) {
        Some(count) if answer.status.success() && count > 0 => Ok(count),
        _ => bail!("valgrind counted no instructions of {name}:\n{text}"),
    }
}

/// `==1== Collected : 4711`
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

fn output(command: &mut Command) -> Result<String> {
    let answer =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot run bench")?;
    if !answer.status.success() {
        bail!("bench failed");
    }
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_valgrind_says_is_read() {
        let text = "==7== Events    : Ir\n==7== Collected : 4711\n==7== \n==7== I   refs:      4,711\n";
        assert_eq!(collected(text), Some(4711));
        assert_eq!(collected("==7== nothing"), None);
    }

    #[test]
    fn what_grows_faster_is_told() {
        let growth = |large| Growth { name: "x".to_owned(), instructions: [100, large] };
        assert!(growth(420).is_linear());
        assert!(!growth(1600).is_linear() && growth(1600).to_string().contains("16.00 times, FASTER"));
    }
}
