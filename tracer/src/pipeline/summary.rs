//! The counters in words, one sentence each: what was seen, and every kind of loss that there was.

use std::fmt;

use super::stats::{EventStats, Stats};
use crate::connection::ConnectionStats;
use crate::correlate::stats::{BindingStats, LateStats, LogStats, SpanStats};

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.fmt(f)?;
        connections(f, &self.connections)?;
        events_of_connections(f, &self.connections)?;
        losses(f, &self.connections)?;
        exchanges(f, &self.spans)?;
        contradictions(f, &self.spans)?;
        if self.routes_refused > 0 {
            writeln!(
                f,
                "{} spans have no route because their service showed too many: --route names them.",
                self.routes_refused
            )?;
        }
        self.retention.fmt(f)?;
        parents(f, &self.spans)?;
        limits(f, &self.bindings, &self.late)?;
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
    tell(f, stats.upgraded, "connections went on in another protocol (upgrades, tunnels)")?;
    tell(f, stats.evicted, "connections were forgotten because there were too many")?;
    tell(f, stats.evicted_for_memory, "connections were forgotten because memory was short")
}

/// What of connections was not told, or too late.
fn events_of_connections(f: &mut fmt::Formatter<'_>, stats: &ConnectionStats) -> fmt::Result {
    tell(f, stats.unannounced, "connections moved bytes before anything told of them")?;
    tell(
        f,
        stats.displaced,
        "connections were replaced at their socket's address before their close was told",
    )?;
    tell(f, stats.stale, "events of connections that were over came too late")
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
    if stats.windowed > 0 {
        let ConnectionStats { windowed, windowed_bytes, .. } = stats;
        writeln!(
            f,
            "{windowed} calls were longer than what is captured of one: {windowed_bytes} bytes were passed over."
        )?;
    }
    tell(
        f,
        stats.undetected_bytes,
        "bytes were passed over while the protocol of their connection was looked for",
    )?;
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
            "{count} of them are told as far as they are known (tracer.incomplete): other spans lie below them."
        )?;
    }
    Ok(())
}

/// What did not fit together.
fn contradictions(f: &mut fmt::Formatter<'_>, stats: &SpanStats) -> fmt::Result {
    tell(f, stats.unknown_exchange, "steps of exchanges came that had not begun or were over")?;
    tell(
        f,
        stats.ambiguous_ends,
        "exchanges were not joined with their other end because several may be it",
    )?;
    let headers = [
        (stats.bad_traceparent, "traceparent headers were not well-formed"),
        (stats.bad_tracestate, "tracestate headers were not well-formed, or too long"),
        (stats.bad_b3, "headers of B3 were not well-formed"),
    ];
    headers.into_iter().try_for_each(|(count, what)| tell(f, count, what))
}

fn parents(f: &mut fmt::Formatter<'_>, stats: &SpanStats) -> fmt::Result {
    let reasons = [
        (stats.roots_no_binding, "because their thread had no request"),
        (stats.roots_suspended, "because it had several"),
        (stats.roots_other_context, "because their context answered no request"),
        (stats.roots_ambiguous, "because it answered several"),
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
    tell(f, stats.same_node, "requests were answered for callers on this node")
}

/// Evidence of parents that was given up.
fn limits(f: &mut fmt::Formatter<'_>, bindings: &BindingStats, late: &LateStats) -> fmt::Result {
    let reasons = [
        (bindings.evicted_threads, "threads were forgotten because there were too many"),
        (bindings.unbound_by_limit, "requests were bound to no thread because there were too many"),
        (bindings.suspended_by_limit, "requests were unbound because too much was to be remembered"),
        (bindings.dropped_after_loss, "requests were unbound because events were lost"),
        (late.unserved_by_limit, "requests have no children by context because there were too many"),
        (late.unwatched_by_limit, "threads of requests were not watched because there were too many"),
        (late.ambiguous, "responses came from a context that answered another request meanwhile"),
    ];
    reasons.into_iter().try_for_each(|(count, what)| tell(f, count, what))
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

/// A sentence, if there is anything to tell.
fn tell(f: &mut fmt::Formatter<'_>, count: u64, what: &str) -> fmt::Result {
    if count == 0 { Ok(()) } else { writeln!(f, "{count} {what}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Raises one counter.
    type Lose = fn(&mut Stats) -> &mut u64;

    #[test]
    fn each_kind_of_loss_is_named() {
        let losses: &[Lose] = &[
            |stats| &mut stats.events.losses,
            |stats| &mut stats.events.too_short,
            |stats| &mut stats.events.unknown_kind,
            |stats| &mut stats.events.inconsistent,
            |stats| &mut stats.connections.evicted,
            |stats| &mut stats.connections.evicted_for_memory,
            |stats| &mut stats.connections.displaced,
            |stats| &mut stats.connections.unannounced,
            |stats| &mut stats.connections.stale,
            |stats| &mut stats.connections.unknown,
            |stats| &mut stats.connections.undecided,
            |stats| &mut stats.connections.tls,
            |stats| &mut stats.connections.http2,
            |stats| &mut stats.connections.upgraded,
            |stats| &mut stats.connections.jumps,
            |stats| &mut stats.connections.windowed,
            |stats| &mut stats.connections.uncapturable,
            |stats| &mut stats.connections.step_back,
            |stats| &mut stats.connections.overlap,
            |stats| &mut stats.connections.undetected_bytes,
            |stats| &mut stats.bindings.suspended_by_limit,
            |stats| &mut stats.bindings.unbound_by_limit,
            |stats| &mut stats.bindings.dropped_after_loss,
            |stats| &mut stats.bindings.evicted_threads,
            |stats| &mut stats.late.ambiguous,
            |stats| &mut stats.late.unserved_by_limit,
            |stats| &mut stats.late.unwatched_by_limit,
            |stats| &mut stats.spans.incomplete,
            |stats| &mut stats.spans.abandoned_gap,
            |stats| &mut stats.spans.abandoned_malformed,
            |stats| &mut stats.spans.abandoned_encrypted,
            |stats| &mut stats.spans.abandoned_limit,
            |stats| &mut stats.spans.abandoned_forgotten,
            |stats| &mut stats.spans.abandoned_unfinished,
            |stats| &mut stats.spans.unknown_exchange,
            |stats| &mut stats.spans.unsampled,
            |stats| &mut stats.spans.telemetry_posts,
            |stats| &mut stats.spans.exported_by_target,
            |stats| &mut stats.spans.ambiguous_ends,
            |stats| &mut stats.spans.bad_traceparent,
            |stats| &mut stats.spans.bad_tracestate,
            |stats| &mut stats.spans.bad_b3,
            |stats| &mut stats.routes_refused,
            |stats| &mut stats.retention.dropped,
            |stats| &mut stats.retention.dropped_by_limit,
            |stats| &mut stats.logs.cut_writes,
            |stats| &mut stats.logs.exported_by_target,
            |stats| &mut stats.logs.uncorrelated_dropped,
            |stats| &mut stats.logs.rate_limited,
            |stats| &mut stats.logs.truncated,
        ];
        let quiet = Stats::default().to_string();
        for (index, lose) in losses.iter().enumerate() {
            let mut stats = Stats::default();
            *lose(&mut stats) = 7;
            let told = stats.to_string();
            assert!(told != quiet && told.contains("7 "), "the loss with index {index} is not told: {told}");
        }
    }

    #[test]
    fn what_the_window_passed_over_is_told_in_bytes() {
        let mut stats = Stats::default();
        (stats.connections.windowed, stats.connections.windowed_bytes) = (2, 34_567);
        let sentence = "2 calls were longer than what is captured of one: 34567 bytes were passed over.";
        assert!(stats.to_string().lines().any(|line| line == sentence), "{stats}");
    }
}
