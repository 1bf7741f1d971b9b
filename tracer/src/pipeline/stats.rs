//! Every counter of the pipeline.

use serde::Serialize;

pub use super::retention::RetentionStats;
use crate::connection::ConnectionStats;
use crate::correlate::stats::{BindingStats, LateStats, LogStats, SpanStats};

/// Counters since the start, and sizes of tables now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Events by kind, and records that were none.
    pub events: EventStats,
    /// Connections and their bytes.
    pub connections: ConnectionStats,
    /// Bindings of threads to server exchanges.
    pub bindings: BindingStats,
    /// Exchanges and spans.
    pub spans: SpanStats,
    /// Parents that are known later.
    pub late: LateStats,
    /// Spans that lost their guessed route because their service has too many.
    pub routes_refused: u64,
    /// Traces that were not sampled.
    pub retention: RetentionStats,
    /// Log lines.
    pub logs: LogStats,
    /// Sizes of tables.
    pub tables: TableSizes,
}

/// Events by kind, and records that were none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventStats {
    /// Bytes moved on sockets.
    pub data: u64,
    /// Writes to logs.
    pub log: u64,
    /// Connections.
    pub connection: u64,
    /// Processes and threads.
    pub process: u64,
    /// cgroups.
    pub cgroup: u64,
    /// Events before which others were lost.
    pub losses: u64,
    /// Records shorter than the event in them.
    pub too_short: u64,
    /// Records of unknown kind.
    pub unknown_kind: u64,
    /// Records that contradict themselves.
    pub inconsistent: u64,
}

/// Sizes of tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableSizes {
    /// Connections.
    pub connections: u64,
    /// Threads.
    pub threads: u64,
    /// Server exchanges bound to threads.
    pub bindings: u64,
    /// Open server exchanges whose ids are kept.
    pub contexts: u64,
    /// Calls and lines whose parent is not known yet.
    pub waiting: u64,
    /// Spans that are held for a parent.
    pub held: u64,
}
