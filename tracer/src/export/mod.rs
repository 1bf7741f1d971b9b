//! Out of the process: batches of spans and log records to OTLP, the console or a file.
//!
//! ```text
//! core thread → Exporter::offer → queue ┬→ batch → encode → OTLP (gRPC or HTTP), retried   one queue a signal
//!                                       ├→ batch → encode → JSON Lines
//!                                       └→ trees on the console
//! ```
//!
//! `offer` never waits. Each sink has its own bounded queue, so that a slow one costs the others nothing, and its
//! own books ([`ExportStats`]): what is lost is counted by reason where it is lost.

mod console;
mod encode;
mod file;
pub(crate) mod metrics;
mod otlp;
mod outage;
mod queue;
mod record;
mod retry;
pub mod settings;
mod start;
mod stats;
mod target;
#[cfg(test)]
pub(crate) mod testing;
mod wire;

pub use console::{Console, Style};
pub use encode::{SCHEMA_URL, to_protobuf};
pub(crate) use queue::weight;
pub use retry::RetryPolicy;
pub use settings::{MetricsSettings, Settings, SettingsError, Variables};
pub use start::{ExportError, Exporter, Exporting, start};
pub use stats::{DropReason, ExportStats, Signal, SinkStats, Summary, Tally};
pub use target::{Target, TargetError};

use std::sync::Arc;

use crate::enrich::Resource;
use crate::span::{LogRecord, Span};

/// One thing to export, with the resource that it belongs to.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Spans and log records of one process share one allocation: compare by pointer to group them.
    pub resource: Arc<Resource>,
    /// What it is.
    pub item: Item,
}

/// A span or a log record.
#[derive(Clone, Debug)]
pub enum Item {
    /// A span.
    Span(Box<Span>),
    /// A log record.
    Log(Box<LogRecord>),
}
