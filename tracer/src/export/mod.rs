//! Out of the process: batches of spans and log records to OTLP, the console or a file.

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
