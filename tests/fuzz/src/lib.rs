//! Fuzz targets of the stages that read what peers, applications and kernels send.
//!
//! Each target takes any bytes and panics when an invariant is broken. `cargo xtask fuzz` lets libFuzzer look for such
//! bytes; `tests/corpus.rs` runs every target over its corpus and over the recordings in the tree.

mod conversation;
mod files;
mod lines;
pub mod memory;
pub mod recordings;
pub mod records;
mod sql;
mod steps;
mod trace;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its directory in `corpus/`.
    pub name: &'static str,
    /// Runs it on an input.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made of the recordings in the tree.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "http", run: conversation::http, seeds: conversation::http_seeds },
    Target { name: "mysql", run: conversation::mysql, seeds: conversation::mysql_seeds },
    Target { name: "redis", run: conversation::redis, seeds: conversation::redis_seeds },
    Target { name: "pipeline", run: records::events, seeds: records::event_seeds },
    Target { name: "records", run: records::raw, seeds: records::raw_seeds },
    Target { name: "sql", run: sql::run, seeds: sql::seeds },
    Target { name: "lines", run: lines::run, seeds: lines::seeds },
    Target { name: "capture", run: files::capture, seeds: files::capture_seeds },
    Target { name: "recording", run: files::recording, seeds: files::recording_seeds },
    Target { name: "trace", run: trace::run, seeds: trace::seeds },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
