//! Counters of correlation.

use serde::Serialize;

/// What became of the bindings between threads and server exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BindingStats {
    /// Exchanges that a thread was bound to.
    pub bound: u64,
    /// Bindings that another thread took over.
    pub taken_over: u64,
    /// Bindings to the next pipelined request when one was over.
    pub rebound: u64,
    /// Suspended because the thread came back from a wait on several descriptors.
    pub suspended_by_wait: u64,
    /// Suspended because the thread had requests of several connections at once.
    pub suspended_by_request: u64,
    /// Suspended from the start because the runtime tells contexts apart on the thread.
    pub suspended_by_context: u64,
    /// Suspended because a bound on what is remembered was reached.
    pub suspended_by_limit: u64,
    /// Never bound because there were too many bindings.
    pub unbound_by_limit: u64,
    /// Bindings dropped because events had been lost and their thread began another request.
    pub dropped_after_loss: u64,
    /// Threads forgotten because the table was full.
    pub evicted_threads: u64,
}

/// What became of questions for a parent that is known later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LateStats {
    /// Questions by calls and lines.
    pub asked: u64,
    /// Responses by a context that answered another request meanwhile.
    pub ambiguous: u64,
    /// Exchanges that own nothing because there were too many.
    pub unserved_by_limit: u64,
    /// Threads made for requests that were not watched because there were too many.
    pub unwatched_by_limit: u64,
}

/// What became of exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpanStats {
    /// Requests whose first byte was seen on connections of servers.
    pub server_begun: u64,
    /// The same of clients.
    pub client_begun: u64,
    /// Exchanges that ended, of servers.
    pub server_ended: u64,
    /// The same of clients.
    pub client_ended: u64,
    /// Spans of exchanges that were lost, told because a span below them was.
    pub incomplete: u64,
    /// Spans handed on for export.
    pub exported: u64,
    /// Exchanges that did not become spans because bytes of them were not captured.
    pub abandoned_gap: u64,
    /// … because bytes did not follow the protocol.
    pub abandoned_malformed: u64,
    /// … because they are not of the kind that makes a span.
    pub abandoned_no_span: u64,
    /// … because their connection went on in TLS: one a connection, which is then left alone.
    pub abandoned_encrypted: u64,
    /// … because a bound on open exchanges was reached.
    pub abandoned_limit: u64,
    /// … because nobody told how their connection ended: it was forgotten, or the tracer stopped.
    pub abandoned_forgotten: u64,
    /// … because their conversation never ended them: a defect of the protocol's reader.
    pub abandoned_unfinished: u64,
    /// Progress of exchanges that had not begun or were over: a defect of the protocol's reader.
    pub unknown_exchange: u64,
    /// Health checks that began no trace: they count as not sampled, with all that they caused.
    pub health_checks: u64,
    /// Health checks that are traced like other requests though they are dropped else: the share that was asked for.
    pub health_checks_sampled: u64,
    /// Spans not exported because their trace is not sampled.
    pub unsampled: u64,
    /// Spans of traces that are not sampled, held until it is known whether their trace is worth keeping.
    pub held: u64,
    /// Posts of telemetry, which never become spans.
    pub telemetry_posts: u64,
    /// Spans not exported because their process exports by itself.
    pub exported_by_target: u64,
    /// Client spans below a server span.
    pub children: u64,
    /// Of these: known by the runtime's context.
    pub children_by_context: u64,
    /// Of these: made by a thread that began and ended within the request.
    pub children_by_thread: u64,
    /// Client spans that are roots because their thread worked for no request.
    pub roots_no_binding: u64,
    /// … because their thread worked for several requests.
    pub roots_suspended: u64,
    /// … because events were lost after the last sign of their thread's request.
    pub roots_doubtful: u64,
    /// … because their parent had been forgotten.
    pub roots_evicted: u64,
    /// … because the context that made them answered no request that was open then.
    pub roots_other_context: u64,
    /// … because that context answered several requests, and may have been at another one.
    pub roots_ambiguous: u64,
    /// … because their thread was made for a request and outlived it.
    pub roots_outlived: u64,
    /// … because the request's end did not come in time.
    pub roots_expired: u64,
    /// … because too many waited for their parents.
    pub roots_limit: u64,
    /// Spans that were held because their parent, or its ids, were not known yet.
    pub held_for_parent: u64,
    /// Server spans that continue a caller's trace.
    pub remote_parents: u64,
    /// Server spans below the client's span at the other end of their connection, on this node.
    pub same_node: u64,
    /// Exchanges that were not joined because another connection stood where theirs does: nobody can tell which is which.
    pub ambiguous_ends: u64,
    /// Client spans below the one request of their process that they can be passing on: it had received the same trace
    /// context, or they name its client.
    pub children_by_forwarding: u64,
    /// `traceparent` headers that were not well-formed.
    pub bad_traceparent: u64,
    /// `tracestate` headers that were not well-formed, or too long.
    pub bad_tracestate: u64,
    /// B3's header fields that were not well-formed.
    pub bad_b3: u64,
}

impl SpanStats {
    /// Exchanges that their conversations gave up, for whatever reason.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned_gap
            + self.abandoned_malformed
            + self.abandoned_no_span
            + self.abandoned_encrypted
            + self.abandoned_limit
            + self.abandoned_forgotten
    }
}

/// What became of writes to logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogStats {
    /// Writes to logs.
    pub writes: u64,
    /// Writes to files that are not logs.
    pub not_logs: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Writes of which only the start was captured.
    pub cut_writes: u64,
    /// Bytes that were written but not captured.
    pub cut_bytes: u64,
    /// Log records handed on for export.
    pub exported: u64,
    /// Of these: lines with the ids of an active span.
    pub correlated: u64,
    /// Of these: lines written after the response's last byte.
    pub after_response: u64,
    /// Of these: lines whose span was known later, by the runtime's context or the thread's end.
    pub known_late: u64,
    /// Lines not exported because their process exports by itself.
    pub exported_by_target: u64,
    /// Lines that were dropped because only correlated ones are wanted.
    pub uncorrelated_dropped: u64,
    /// Lines that were dropped because their process wrote more than it may.
    pub rate_limited: u64,
    /// Lines that carry ids which their application wrote into them.
    pub ids_of_application: u64,
    /// Lines that are cut, because they are too long or a write was captured in part.
    pub truncated: u64,
}
