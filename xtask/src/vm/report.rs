//! What a guest's results say, and how that is told.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::verdict::{self, Verdict};
use super::{Attach, Series};

/// Lines of a failed tracer's log that are shown: a verifier's log ends with its reason.
const LOG_TAIL: usize = 200;
/// What the tracer advises where it cannot attach as it was told.
const ADVICE: &str = "use `--attach tracepoint`";

/// The outcome of a whole run.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they ran.
    pub guests: Vec<Guest>,
}

/// The outcome of one boot.
#[derive(Debug)]
pub struct Guest {
    /// The kernel's name on the command line.
    pub series: &'static str,
    /// How many ways to attach are tried there.
    pub expected: usize,
    /// The package that it came in; empty if none was found.
    pub package: String,
    /// Fetching and booting included.
    pub elapsed: Duration,
    /// Where the console's and the tracer's logs are.
    pub directory: PathBuf,
    /// One for each way to attach; an error if the guest did not come so far.
    pub sessions: anyhow::Result<Vec<Session>>,
}

/// The outcome of one run of the tracer.
#[derive(Debug)]
pub struct Session {
    /// How it attached.
    pub attach: Attach,
    /// What the client's record says of its output.
    pub verdict: Verdict,
    /// Instructions that the kernel's verifier went through, by program.
    pub verifier: Vec<(String, u64)>,
    /// Points in the guest's uptime, in seconds: when it started, saw traffic, had seen all, had ended.
    pub times: Vec<(String, f64)>,
    /// The end of the tracer's own log.
    pub log: String,
}

impl Report {
    /// Whether every guest passed, and there was one.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.guests.is_empty() && self.guests.iter().all(Guest::passed)
    }
}

impl Guest {
    /// Whether every way to attach passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        let all_passed = |sessions: &Vec<Session>| sessions.iter().all(Session::passed);
        self.sessions.as_ref().is_ok_and(all_passed)
    }

    /// How many ways to attach passed, and how many failed. A guest that did not come so far failed in all of them.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let passed = |sessions: &Vec<Session>| sessions.iter().filter(|session| session.passed()).count();
        let passed = self.sessions.as_ref().map_or(0, passed);
        (passed, self.expected - passed)
    }
}

impl Session {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict.problems.is_empty()
    }
}

/// Reads what the guest sent for each of the ways to attach. What `tracer check` found wrong is told with the first.
pub(super) fn sessions(results: &Path, series: &Series) -> Vec<Session> {
    let attached = series.attach.iter().map(|&attach| session(results, attach));
    let refused = series.refused.iter().map(|&attach| refusal(results, attach));
    let mut sessions: Vec<_> = attached.chain(refused).collect();
    let check = fs::read_to_string(results.join("check")).unwrap_or_default();
    if let (false, Some(first)) = (check.starts_with("0\n"), sessions.first_mut()) {
        first.verdict.problems.push(format!("`tracer check` ended with {check}"));
    }
    sessions
}

/// A run that must end at once, with a sentence that says what to do.
fn refusal(results: &Path, attach: Attach) -> Session {
    let mut session = Session { verdict: Verdict::default(), ..session(results, attach) };
    let status = fs::read_to_string(results.join(attach.name()).join("exit")).unwrap_or_default();
    if status != "ended before it was asked to, with 1" {
        session
            .verdict
            .problems
            .push(format!("this kernel refuses {}, but the tracer: {status}", attach.name()));
    }
    if !session.log.contains(ADVICE) {
        session.verdict.problems.push(format!("the tracer does not say: {ADVICE}"));
    }
    session
}

fn session(results: &Path, attach: Attach) -> Session {
    let directory = results.join(attach.name());
    let read =
        |name: &str| fs::read(directory.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let log = read("tracer.log").unwrap_or_default();
    let mut verdict = match read("client.jsonl") {
        Ok(record) => verdict::check(&record, &read("otlp.jsonl").unwrap_or_default()),
        Err(_) => Verdict { problems: vec![unstarted(results)], ..Verdict::default() },
    };
    match read("exit").as_deref() {
        Ok("0") | Err(_) => {}
        Ok(status) => verdict.problems.insert(0, format!("the tracer {}", ending(status))),
    }
    let times = times(&fs::read_to_string(results.join("times")).unwrap_or_default(), attach);
    Session { attach, verdict, verifier: verifier(&log), times, log: tail(&log, LOG_TAIL) }
}

/// Why the client never ran.
fn unstarted(results: &Path) -> String {
    let log = fs::read_to_string(results.join("session.log")).unwrap_or_default();
    format!("no span came out, and the client did not run: {}", tail(&log, 5).trim())
}

/// `exit` holds a status, or a sentence.
fn ending(status: &str) -> String {
    if status.parse::<i32>().is_ok() { format!("ended with {status}") } else { status.to_owned() }
}

/// `verifier: PROGRAM N instructions`, wherever in a line of the tracer's log.
fn verifier(log: &str) -> Vec<(String, u64)> {
    let parse = |line: &str| {
        let mut words = line.split_once("verifier: ")?.1.split_whitespace();
        let (program, count, unit) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        unit.starts_with("instruction").then(|| (program.to_owned(), count))
    };
    log.lines().filter_map(parse).collect()
}

/// `WHAT SECONDS` lines: those of the whole guest, and those of this way to attach without its name.
fn times(text: &str, attach: Attach) -> Vec<(String, f64)> {
    let parse = |line: &str| {
        let (what, seconds) = line.split_once(' ')?;
        let what = match what.split_once(':') {
            Some((name, what)) if name == attach.name() => what,
            Some(_) => return None,
            None => what,
        };
        Some((what.to_owned(), seconds.parse().ok()?))
    };
    text.lines().filter_map(parse).collect()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).map(|line| format!("  | {line}\n")).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guests.iter().try_for_each(|guest| guest.fmt(f))
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        let seconds = self.elapsed.as_secs_f64();
        let package = if self.package.is_empty() { "no kernel" } else { &self.package };
        writeln!(f, "vm: {} {verdict} in {seconds:.0} s ({package})", self.series)?;
        match &self.sessions {
            Ok(sessions) => sessions.iter().try_for_each(|session| session.fmt(f))?,
            Err(error) => writeln!(f, "  {error:#}")?,
        }
        if self.passed() { Ok(()) } else { writeln!(f, "  all logs: {}", self.directory.display()) }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        let Verdict { requests, spans, logs, problems } = &self.verdict;
        let attach = self.attach.name();
        if *requests == 0 && self.passed() {
            return writeln!(f, "  {attach}: passed: refused, as it should be");
        }
        writeln!(f, "  {attach}: {verdict}, {requests} requests, {spans} spans, {logs} log records")?;
        let times: Vec<_> = self.times.iter().map(|(what, at)| format!("{what} {at:.1} s")).collect();
        writeln!(f, "    guest's clock: {}", times.join(", "))?;
        for (program, count) in &self.verifier {
            writeln!(f, "    verifier: {program} {count} instructions")?;
        }
        problems.iter().try_for_each(|problem| writeln!(f, "    {problem}"))?;
        if self.passed() { Ok(()) } else { write!(f, "    the tracer's log:\n{}", self.log) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifier_counts_are_read_from_the_log() {
        let log = "2026 DEBUG tracer::probe: verifier: sys_exit 41234 instructions\n\
                   verifier: fork 12 instructions, 3 states\nverifier: broken many instructions\nother\n";
        assert_eq!(verifier(log), [("sys_exit".to_owned(), 41_234), ("fork".to_owned(), 12)]);
    }

    #[test]
    fn times_are_told_by_the_way_to_attach() {
        let text = "init 3.5\ntracepoint:start 9.25\nfexit:start 20.00\nend 30\n";
        let expected = [("init", 3.5), ("start", 20.0), ("end", 30.0)];
        assert_eq!(times(text, Attach::Fexit), expected.map(|(what, at)| (what.to_owned(), at)));
    }

    #[test]
    fn a_guest_that_never_started_its_client_fails() {
        let session = session(Path::new("/nonexistent"), Attach::Tracepoint);
        assert!(!session.passed());
        assert!(!Report::default().passed());
    }
}
