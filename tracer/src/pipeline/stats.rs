//! Every counter of the pipeline.

use std::fmt;

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

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.fmt(f)?;
        connections(f, &self.connections)?;
        losses(f, &self.connections)?;
        exchanges(f, &self.spans)?;
        if self.routes_refused > 0 {
            writeln!(
                f,
                "{} spans have no route because their service showed too many: --route names them.",
                self.routes_refused
            )?;
        }
        self.retention.fmt(f)?;
        parents(f, &self.spans, &self.bindings)?;
        logs(f, &self.logs)
    }
}

impl fmt::Display for EventStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, log, connection, process, cgroup, losses, too_short, unknown_kind, inconsistent } =
            self;
        let total = data + log + connection + process + cgroup;
        writeln!(
            f,
            "{total} events: {data} of sockets, {log} of logs, {connection} of connections, {process} of processes, \
             {cgroup} of cgroups."
        )?;
        if *losses > 0 {
            writeln!(f, "Events were lost {losses} times because the ring buffer was full.")?;
        }
        let bad = too_short + unknown_kind + inconsistent;
        if bad > 0 {
            writeln!(f, "{bad} records could not be decoded.")?;
        }
        Ok(())
    }
}

fn connections(f: &mut fmt::Formatter<'_>, stats: &ConnectionStats) -> fmt::Result {
    // Where both ends are seen, one of them is told.
    write!(f, "{} connections", stats.opened.saturating_sub(stats.other_end))?;
    let named = stats.by_protocol.iter().map(|(name, count)| (*name, *count));
    let others = [
        ("TLS", stats.tls),
        ("HTTP/2", stats.http2),
        ("unknown", stats.unknown),
        ("undecided", stats.undecided),
    ];
    let mut separator = ": ";
    for (name, count) in named.chain(others).filter(|(_, count)| *count > 0) {
        write!(f, "{separator}{count} {name}")?;
        separator = ", ";
    }
    writeln!(f, ".")?;
    if stats.upgraded > 0 {
        writeln!(f, "{} connections went on in another protocol (upgrades, tunnels).", stats.upgraded)?;
    }
    if stats.evicted > 0 {
        writeln!(f, "{} connections were forgotten because there were too many.", stats.evicted)?;
    }
    if stats.evicted_for_memory > 0 {
        writeln!(f, "{} connections were forgotten because memory was short.", stats.evicted_for_memory)?;
    }
    Ok(())
}

fn losses(f: &mut fmt::Formatter<'_>, stats: &ConnectionStats) -> fmt::Result {
    if stats.jumps > 0 {
        writeln!(f, "{} gaps of {} bytes in all were not told by any event.", stats.jumps, stats.jump_bytes)?;
    }
    if stats.uncapturable > 0 {
        let ConnectionStats { uncapturable, uncapturable_bytes, .. } = stats;
        writeln!(
            f,
            "{uncapturable} calls moved {uncapturable_bytes} bytes past user memory (sendfile, splice)."
        )?;
    }
    if stats.step_back + stats.overlap > 0 {
        let ConnectionStats { step_back, overlap, .. } = stats;
        writeln!(f, "{step_back} calls were discarded and {overlap} cut because their bytes had been seen.")?;
    }
    Ok(())
}

fn exchanges(f: &mut fmt::Formatter<'_>, stats: &SpanStats) -> fmt::Result {
    let SpanStats { server_ended, client_ended, exported, .. } = stats;
    writeln!(f, "{server_ended} requests answered and {client_ended} made: {exported} spans.")?;
    let reasons = [
        (stats.abandoned_gap, "because bytes were not captured"),
        (stats.abandoned_malformed, "because bytes did not follow the protocol"),
        (stats.abandoned_encrypted, "because their connection went on in TLS"),
        (stats.abandoned_limit, "because too many were open"),
        (stats.abandoned_forgotten, "because nobody told how their connection ended"),
        (stats.abandoned_unfinished, "because they never ended"),
        (stats.unsampled, "because their trace is not sampled (health checks included)"),
        (stats.telemetry_posts, "because they carried telemetry"),
        (stats.exported_by_target, "because their process exports its own"),
    ];
    for (count, reason) in reasons.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(f, "{count} exchanges became no span {reason}.")?;
    }
    if stats.incomplete > 0 {
        let count = stats.incomplete;
        writeln!(
            f,
            "{count} of them are told as far as they are known (tracer.incomplete): calls belong to them."
        )?;
    }
    Ok(())
}

fn parents(f: &mut fmt::Formatter<'_>, stats: &SpanStats, bindings: &BindingStats) -> fmt::Result {
    let reasons = [
        (stats.roots_no_binding, "because their thread had no request"),
        (stats.roots_suspended, "because it had several"),
        (stats.roots_other_context, "because their context answered no request"),
        (stats.roots_ambiguous, "because it answered several at once"),
        (stats.roots_outlived, "because their thread outlived its request"),
        (stats.roots_expired, "because the request's end did not come in time"),
        (stats.roots_limit, "because too many waited for it"),
        (stats.roots_doubtful, "because events were lost"),
        (stats.roots_evicted, "because the request was forgotten"),
    ];
    let roots: u64 = reasons.iter().map(|(count, _)| count).sum();
    write!(f, "{} calls were made for a request; {roots} have no parent", stats.children)?;
    let mut separator = ": ";
    for (count, reason) in reasons.into_iter().filter(|(count, _)| *count > 0) {
        write!(f, "{separator}{count} {reason}")?;
        separator = ", ";
    }
    writeln!(f, ".")?;
    if stats.same_node > 0 {
        writeln!(f, "{} requests were answered for callers on this node.", stats.same_node)?;
    }
    if bindings.evicted_threads > 0 {
        writeln!(f, "{} threads were forgotten because there were too many.", bindings.evicted_threads)?;
    }
    Ok(())
}

fn logs(f: &mut fmt::Formatter<'_>, stats: &LogStats) -> fmt::Result {
    let LogStats { exported, correlated, after_response, .. } = stats;
    writeln!(
        f,
        "{exported} log lines: {correlated} of a request ({after_response} of them after its response)."
    )?;
    if stats.exported_by_target > 0 {
        writeln!(
            f,
            "{} log lines were not exported because their process exports its own.",
            stats.exported_by_target
        )?;
    }
    if stats.uncorrelated_dropped > 0 {
        writeln!(f, "{} log lines of no request were not wanted.", stats.uncorrelated_dropped)?;
    }
    if stats.rate_limited > 0 {
        writeln!(
            f,
            "{} log lines were dropped because their process wrote more than --log-rate-limit allows.",
            stats.rate_limited
        )?;
    }
    if stats.truncated > 0 {
        writeln!(f, "{} log lines are cut, and say so (tracer.truncated).", stats.truncated)?;
    }
    if stats.cut_writes > 0 {
        writeln!(f, "{} writes to logs were cut by {} bytes in all.", stats.cut_writes, stats.cut_bytes)?;
    }
    Ok(())
}
