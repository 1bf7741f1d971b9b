//! Zero-code tracing: from what the kernel saw of a process's sockets to its spans and log records.
//!
//! ```text
//! probe → ring buffer → connection → protocol → span → correlate → enrich → export
//! ```
//!
//! `connection`, `protocol`, `span`, `correlate` and `pipeline` are pure: no clock, no input or output, no tokio;
//! times and bytes arrive in events. `agent` runs them.

pub mod agent;
pub mod capture;
pub mod check;
pub mod cli;
pub mod connection;
pub mod correlate;
mod endpoint;
pub mod enrich;
pub mod event;
pub mod export;
mod input;
pub mod kubernetes;
pub mod pipeline;
pub mod probe;
pub mod protocol;
pub mod recording;
pub mod replay;
pub mod span;
pub mod text;
