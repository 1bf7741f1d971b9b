//! Runtimes that move what they do between threads, and do not tell an observer which of it a thread does.
//!
//! On such a thread the request that was read last says nothing of the next call, and no system call need lie between
//! them: the thread rule would give wrong parents.

use std::fs;

use super::memory::Mappings;
use crate::enrich::process::Proc;

/// Threads whose names are looked at.
const MAX_THREADS: usize = 512;

/// Names of threads, as the kernel keeps them (15 bytes), and whose they are. Tokio's workers run any task. The pollers
/// are there once one of Java's virtual threads has waited for a socket.
const THREADS: [(&str, &str); 5] = [
    ("tokio-runtime-w", "tokio"),
    ("tokio-rt-worker", "tokio"),
    ("Read-Poller", "virtual threads of Java"),
    ("Write-Poller", "virtual threads of Java"),
    ("Master-Poller", "virtual threads of Java"),
];

/// Parts of libraries' paths, and whose they are.
const LIBRARIES: [(&str, &str); 2] = [("/libcoreclr.so", ".NET"), ("/libgo.so", "Go (gccgo)")];

/// What a process runs that moves between threads.
pub(super) fn name(proc: &Proc, pid: u32, mappings: &Mappings) -> Option<&'static str> {
    let library = LIBRARIES.into_iter().find(|(part, _)| mappings.has(part));
    if let Some((_, name)) = library {
        return Some(name);
    }
    if proc.link(pid, "exe").is_ok_and(|exe| exe.file_name().is_some_and(|name| name == "beam.smp")) {
        return Some("Erlang");
    }
    let threads = fs::read_dir(proc.path(pid, "task")).ok()?;
    threads.take(MAX_THREADS).filter_map(|thread| fs::read(thread.ok()?.path().join("comm")).ok()).find_map(
        |comm| {
            let comm = comm.trim_ascii_end();
            THREADS.into_iter().find(|(thread, _)| thread.as_bytes() == comm).map(|(_, name)| name)
        },
    )
}
