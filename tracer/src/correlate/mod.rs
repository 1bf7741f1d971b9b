//! What belongs together: exchanges to traces, log lines to spans.
//!
//! [`active`] knows which server exchange a thread works for; [`assemble`] turns the conversations' progress into
//! spans with ids and parents, some of which [`late`] knows only later; [`tell`] hands them on; [`log_line`] cuts what was written to a log into lines.

pub mod active;
pub mod assemble;
pub mod contexts;
mod continuation;
mod draft;
pub mod exchanges;
pub mod health;
pub mod held;
pub mod hops;
pub mod ids;
pub mod join;
pub mod late;
pub mod log_ids;
pub mod log_json;
pub mod log_line;
pub mod log_rate;
mod lost;
pub mod pairs;
pub mod passages;
pub mod sampler;
pub mod severity;
pub mod shared_buffers;
pub mod stats;
pub mod telemetry_post;
pub mod tell;
pub mod trace_context;
pub mod tracing_options;

use crate::event::{Mark, Process};

/// The event that is being worked on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Who and when.
    pub mark: Mark,
    /// The process that the thread belongs to.
    pub process: Process,
    /// How often the thread came back from a wait.
    pub wait_epoch: u32,
    /// How often it came back from a wait on several descriptors.
    pub mux_epoch: u32,
}
