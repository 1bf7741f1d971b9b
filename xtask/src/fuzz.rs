//! `cargo xtask fuzz`: libFuzzer over the targets of `tests/fuzz`.
//!
//! Stable Rust suffices: LLVM's coverage pass is there, and only the workspace's own crates are compiled with it (this
//! program stands in for rustc meanwhile), so that all others are those of an ordinary optimised build.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::workspace;

use crate::cargo;

/// Says to the copies of this program that stand in for rustc what they are.
const WRAPS: &str = "XTASK_WRAPS_RUSTC";

/// What libFuzzer needs of the code under test: counters on edges, a table of their addresses, comparisons; and the
/// checks of a debug build.
const INSTRUMENTS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // The build is to be short: it is a part of every run of the tests.
    "-Copt-level=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg=fuzzing",
];

/// Crates that are instrumented; the probe's build and xtask are not.
const INSTRUMENTED: [&str; 2] = ["tracer", "fuzz"];

/// One input may take so many seconds: far above any that is not a hang.
const INPUT_SECONDS: u32 = 10;

/// Most bytes of an input that is made.
const MAX_INPUT: u32 = 16 * 1024;

/// Names of the targets: the directories of the corpus.
pub(crate) fn targets() -> Result<Vec<String>> {
    let directory = corpus();
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Stands in for rustc if that is what this process was started as.
pub(crate) fn wrapped_rustc() -> Option<ExitCode> {
    std::env::var_os(WRAPS)?;
    let mut arguments = std::env::args_os().skip(1);
    let mut command = Command::new(arguments.next()?);
    let arguments: Vec<OsString> = arguments.collect();
    command.args(&arguments).env_remove(WRAPS);
    if is_instrumented(&arguments) {
        command.args(INSTRUMENTS);
    }
    let status = command.status().ok()?;
    Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether these are arguments that compile one of the crates of interest.
fn is_instrumented(arguments: &[OsString]) -> bool {
    arguments.windows(2).any(|pair| {
        let [option, value] = pair else { return false };
        option == "--crate-name" && INSTRUMENTED.iter().any(|name| value == name)
    })
}

/// Runs the named targets, or all, each for as long.
pub(crate) fn run(names: &[String], each: Duration) -> Result<ExitCode> {
    let known = targets()?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target {unknown:?}; there are: {}", known.join(", "));
    }
    let names = if names.is_empty() { &known } else { names };
    let program = build()?;
    let mut runs = Vec::new();
    for name in names {
        let run = fuzz(&program, name, each)?;
        println!("{run}");
        runs.push(run);
    }
    println!();
    runs.iter().for_each(|run| println!("{run}"));
    Ok(if runs.iter().all(|run| run.failure.is_none()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of a target.
#[derive(Debug, Default)]
pub(crate) struct Run {
    name: String,
    executions: u64,
    time: Duration,
    /// Most memory of the process, in MiB.
    memory: u64,
    /// The end of libFuzzer's output, if it found something.
    pub(crate) failure: Option<String>,
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, executions, memory, .. } = self;
        write!(f, "fuzz {name}: {executions} executions in {} s, {memory} MiB", self.time.as_secs())?;
        match &self.failure {
            None => write!(f, ", nothing found"),
            Some(failure) => write!(f, ", FAILED:\n{failure}"),
        }
    }
}

/// Builds the binary of all targets.
pub(crate) fn build() -> Result<PathBuf> {
    let this = own_path(std::env::current_exe().context("cannot tell where xtask lies")?);
    cargo::build_optimised("fuzz", &[("RUSTC_WORKSPACE_WRAPPER", this.as_os_str()), (WRAPS, "1".as_ref())])
}

/// Where this program lies. The tests' build puts a new xtask in the place of the one that runs, and the kernel then
/// says that the old one was deleted (proc_pid_exe(5)); the new one serves as well.
fn own_path(said: PathBuf) -> PathBuf {
    match said.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(replaced) if !said.exists() => PathBuf::from(replaced),
        _ => said,
    }
}

/// Runs a target: its corpus and seeds first, then what libFuzzer makes of them. What is new goes to
/// `target/fuzz/NAME/corpus`, what breaks it to `target/fuzz/NAME/found`.
pub(crate) fn fuzz(program: &Path, name: &str, time: Duration) -> Result<Run> {
    let directory = workspace::target().join("fuzz").join(name);
    let (grown, seeds, found) = (directory.join("corpus"), directory.join("seeds"), directory.join("found"));
    for directory in [&grown, &seeds, &found] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let written = Command::new(program).env("FUZZ_TARGET", name).env("FUZZ_SEEDS", &seeds).status();
    if !written.context("cannot run the fuzz target")?.success() {
        bail!("the fuzz target {name} wrote no seeds");
    }
    let started = Instant::now();
    let output = Command::new(program)
        .env("FUZZ_TARGET", name)
        .arg(format!("-max_total_time={}", time.as_secs().max(1)))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-max_len={MAX_INPUT}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args(["-print_final_stats=1", "-rss_limit_mb=1024", "-verbosity=1"])
        .args([&grown, &corpus().join(name), &seeds])
        .stdin(Stdio::null())
        .output()
        .context("cannot run the fuzz target")?;
    let text = String::from_utf8_lossy(&output.stderr);
    Ok(Run {
        name: name.to_owned(),
        executions: stat(&text, "number_of_executed_units"),
        time: started.elapsed(),
        memory: stat(&text, "peak_rss_mb"),
        failure: (!output.status.success()).then(|| end_of(&text)),
    })
}

fn corpus() -> PathBuf {
    workspace::root().join("tests/fuzz/corpus")
}

/// One of libFuzzer's final numbers.
fn stat(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.strip_prefix("stat::")?.split_once(':'))
        .find(|(known, _)| *known == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

/// What tells of a failure: the last lines.
fn end_of(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_numbers_are_read() {
        let text = "#12 DONE\nstat::number_of_executed_units: 4711\nstat::peak_rss_mb:              55\n";
        assert_eq!((stat(text, "number_of_executed_units"), stat(text, "peak_rss_mb")), (4711, 55));
        assert_eq!(stat(text, "other"), 0);
    }

    #[test]
    fn only_the_code_under_test_is_instrumented() {
        let arguments = |name: &str| ["--crate-name", name, "--edition=2024"].map(OsString::from);
        assert!(is_instrumented(&arguments("tracer")) && is_instrumented(&arguments("fuzz")));
        assert!(!is_instrumented(&arguments("xtask")) && !is_instrumented(&arguments("build_script_build")));
    }

    #[test]
    fn a_program_that_was_replaced_is_found_where_it_lay() {
        assert_eq!(own_path("/target/debug/xtask (deleted)".into()), Path::new("/target/debug/xtask"));
        assert_eq!(own_path("/target/debug/xtask".into()), Path::new("/target/debug/xtask"));
    }

    #[test]
    fn each_target_has_a_corpus() {
        assert!(targets().unwrap().iter().any(|name| name == "http"));
    }
}
