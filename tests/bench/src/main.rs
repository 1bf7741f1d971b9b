//! Measures the stages from records of the ring buffer to spans and log records, and from there to OTLP, on one thread.
//!
//! ```text
//! bench list                names of the cases
//! bench time CASE           exchanges and bytes a second of this thread's processor time
//! bench count CASE SIZE     does a case's work once, inside `measured_work`: for valgrind's callgrind
//! ```
//!
//! `cargo xtask bench` runs all of it.

mod export;
mod growth;
mod simple;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["list"] => {
            simple::CASES.iter().for_each(|case| println!("simple {}", case.name));
            simple::CASES.iter().for_each(|case| println!("export {}{}", export::PREFIX, case.name));
            growth::CASES.iter().for_each(|case| println!("growth {}", case.name));
            true
        }
        ["time", name] => simple::time(name) || export::time(name),
        ["count", name, size] => {
            let count =
                |size| simple::count(name, size) || export::count(name, size) || growth::count(name, size);
            size.parse().is_ok_and(count)
        }
        _ => false,
    };
    if done {
        return ExitCode::SUCCESS;
    }
    eprintln!("bench: list, time CASE, count CASE SIZE");
    ExitCode::from(2)
}

/// Runs what is measured: the function that callgrind is told to look at.
#[inline(never)]
fn measured_work(work: &mut dyn FnMut()) {
    work();
}

/// Processor time of this thread: a busy machine does not slow it down, but for its caches.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of our own.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
