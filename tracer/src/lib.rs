//! Zero-code tracing: from what the kernel saw of a process's sockets to its spans and log records.
//!
//! Modules stand in pipeline order. `connection`, `protocol`, `span` and `correlate` are pure: no clock, no
//! input or output, no tokio; times and bytes arrive in events.

pub mod event;
pub mod probe;
pub mod connection;
pub mod protocol;
pub mod span;
pub mod correlate;
pub mod enrich;
pub mod export;
pub mod cli;
pub mod check;
