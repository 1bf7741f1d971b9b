//! Traces that are kept although they are not sampled: those with an error, and slow ones.
//!
//! ```text
//!   a span of a trace that is not sampled ──▶ held ── one of its trace failed or was slow ──▶ all exported
//!                                              │                                              (and what follows)
//!                                              └── the trace is over, or a bound is reached ─▶ dropped, counted
//! ```
//!
//! A trace means what this node sees of it. It is over when nothing was added for [`SETTLE`] and no span waits for
//! the server span above it; at the latest after [`MAX_HOLD`].

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use crate::correlate::tell::Told;
use crate::enrich::Resource;
use crate::event::Nanos;
use crate::export::{Item, Telemetry, weight};
use crate::span::{Span, SpanId, SpanKind, Status, TraceId};

/// Spans that are held at once, of all traces; beyond that the trace that is held longest is dropped.
pub const MAX_HELD: usize = 32_768;

/// Memory of the spans that are held at once, in bytes, by estimate: a statement alone can be 16 KiB.
pub const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;

/// Traces that are remembered as worth keeping, for what comes of them later.
pub const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// How long after its last span a trace may still grow.
pub const SETTLE: Nanos = 2_000_000_000;

/// How long a trace is held at most, for a request that takes longer.
pub const MAX_HOLD: Nanos = 120_000_000_000;

/// `--keep-errors` and `--keep-slower-than`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Traces in which a span failed.
    pub errors: bool,
    /// Traces in which a span took at least this long, in nanoseconds.
    pub slower_than: Option<Nanos>,
}

impl Keep {
    /// Whether any trace is kept.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.errors || self.slower_than.is_some()
    }

    fn wants(&self, span: &Span) -> bool {
        let failed = matches!(span.description.status, Status::Error(_));
        let time = span.end_unix_ns.saturating_sub(span.start_unix_ns);
        self.errors && failed || self.slower_than.is_some_and(|limit| time >= limit)
    }
}

/// What became of spans of traces that are not sampled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionStats {
    /// Exported, because of an error or slowness in their trace.
    pub kept: u64,
    /// Dropped with a trace that was neither.
    pub dropped: u64,
    /// Dropped because too many were held.
    pub dropped_by_limit: u64,
}

impl fmt::Display for RetentionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, dropped, dropped_by_limit } = self;
        if kept + dropped + dropped_by_limit == 0 {
            return Ok(());
        }
        writeln!(
            f,
            "{kept} spans of traces that are not sampled were kept; {dropped} were dropped with their trace, \
             {dropped_by_limit} because too many were held."
        )
    }
}

/// Holds spans of traces that are not sampled.
#[derive(Debug)]
pub(super) struct Retention {
    keep: Keep,
    held: FxHashMap<TraceId, Held>,
    /// When to look at a trace, in order of time; each held trace is in it once, others may be.
    due: VecDeque<(Nanos, TraceId)>,
    kept: LruCache<TraceId, ()>,
    spans: usize,
    bytes: usize,
    now: Nanos,
    /// Counters.
    pub(super) stats: RetentionStats,
}

#[derive(Debug)]
struct Held {
    spans: Vec<Telemetry>,
    bytes: usize,
    since: Nanos,
    last: Nanos,
}

impl Retention {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            held: FxHashMap::default(),
            due: VecDeque::new(),
            kept: LruCache::new(MAX_KEPT),
            spans: 0,
            bytes: 0,
            now: 0,
            stats: RetentionStats::default(),
        }
    }

    /// Hands a span on, or holds it.
    pub(super) fn take(
        &mut self,
        resource: Arc<Resource>,
        span: Box<Span>,
        out: &mut Vec<Telemetry>,
    ) -> Told {
        let (trace, sampled, wanted) = (span.trace_id, span.sampled, self.keep.wants(&span));
        let telemetry = Telemetry { resource, item: Item::Span(span) };
        if sampled {
            out.push(telemetry);
            return Told::Exported;
        }
        if wanted
            && self.kept.put(trace, ()).is_none()
            && let Some(held) = self.held.remove(&trace)
        {
            self.spans -= held.spans.len();
            self.bytes -= held.bytes;
            self.stats.kept += held.spans.len() as u64;
            out.extend(held.spans);
        }
        if self.kept.get(&trace).is_some() {
            self.stats.kept += 1;
            out.push(telemetry);
            return Told::Exported;
        }
        self.hold(trace, telemetry);
        Told::Held
    }

    /// Drops traces that are over. `now` is CLOCK_MONOTONIC.
    pub(super) fn tick(&mut self, now: Nanos) {
        self.now = self.now.max(now);
        while let Some((due, trace)) = self.due.front().copied().filter(|(due, _)| *due <= self.now) {
            self.due.pop_front();
            let Some(held) = self.held.get(&trace) else { continue };
            if held.is_over(due) {
                self.stats.dropped += self.drop_trace(trace);
            } else {
                self.due.push_back((self.now + SETTLE, trace));
            }
        }
    }

    /// Drops what is held: at the end.
    pub(super) fn finish(&mut self) {
        self.stats.dropped += std::mem::take(&mut self.spans) as u64;
        self.bytes = 0;
        self.held.clear();
        self.due.clear();
    }

    fn hold(&mut self, trace: TraceId, span: Telemetry) {
        let now = self.now;
        let held = self.held.entry(trace).or_insert_with(|| {
            self.due.push_back((now + SETTLE, trace));
            Held { spans: Vec::new(), bytes: 0, since: now, last: now }
        });
        let bytes = weight(&span);
        held.last = now;
        held.spans.push(span);
        held.bytes += bytes;
        self.spans += 1;
        self.bytes += bytes;
        while (self.spans > MAX_HELD || self.bytes > MAX_HELD_BYTES)
            && let Some((_, oldest)) = self.due.pop_front()
        {
            self.stats.dropped_by_limit += self.drop_trace(oldest);
        }
    }

    fn drop_trace(&mut self, trace: TraceId) -> u64 {
        let Some(held) = self.held.remove(&trace) else { return 0 };
        self.spans -= held.spans.len();
        self.bytes -= held.bytes;
        held.spans.len() as u64
    }
}

impl Held {
    fn is_over(&self, now: Nanos) -> bool {
        if self.since + MAX_HOLD <= now || self.last + SETTLE > now {
            return self.since + MAX_HOLD <= now;
        }
        let span = |telemetry: &Telemetry| match &telemetry.item {
            Item::Span(span) => Some((span.kind, span.span_id, span.parent)),
            Item::Log(_) => None,
        };
        // A server span ends after what was done for it, so that it can be missing yet.
        let present: FxHashSet<SpanId> = self.spans.iter().filter_map(span).map(|(_, id, _)| id).collect();
        let waits = |(kind, _, parent): (SpanKind, SpanId, Option<SpanId>)| {
            kind == SpanKind::Client && parent.is_some_and(|parent| !present.contains(&parent))
        };
        !self.spans.iter().filter_map(span).any(waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing;

    const SECOND: Nanos = 1_000_000_000;

    struct Stage {
        retention: Retention,
        out: Vec<Telemetry>,
    }

    impl Stage {
        fn new(keep: Keep) -> Self {
            Self { retention: Retention::new(keep), out: Vec::new() }
        }

        /// A span of a trace that took `millis`.
        fn take(&mut self, trace: u8, (id, parent): (u8, Option<u8>), millis: u64, failed: bool) -> Told {
            let Telemetry { resource, item: Item::Span(mut span) } = testing::span("x") else {
                unreachable!()
            };
            span.trace_id = TraceId([trace; 16]);
            (span.span_id, span.parent) = (SpanId([id; 8]), parent.map(|parent| SpanId([parent; 8])));
            span.kind = if parent.is_some() { SpanKind::Client } else { SpanKind::Server };
            (span.start_unix_ns, span.end_unix_ns) = (0, millis * 1_000_000);
            span.sampled = false;
            span.description.status = if failed { Status::Error(None) } else { Status::Unset };
            self.retention.take(resource, span, &mut self.out)
        }

        fn ids(&self) -> Vec<u8> {
            let id = |told: &Telemetry| match &told.item {
                Item::Span(span) => span.span_id.0[0],
                Item::Log(_) => unreachable!(),
            };
            self.out.iter().map(id).collect()
        }
    }

    fn keep_all() -> Keep {
        Keep { errors: true, slower_than: Some(500_000_000) }
    }

    #[test]
    fn a_trace_with_an_error_is_kept_whole() {
        let mut stage = Stage::new(keep_all());
        assert_eq!(stage.take(1, (2, Some(1)), 1, false), Told::Held);
        assert_eq!(stage.take(9, (8, Some(7)), 1, false), Told::Held);
        assert_eq!(stage.take(1, (3, Some(1)), 1, true), Told::Exported);
        assert_eq!(stage.take(1, (1, None), 1, false), Told::Exported);
        assert_eq!(stage.ids(), [2, 3, 1]);
        assert_eq!(stage.retention.stats.kept, 3);
    }

    #[test]
    fn so_is_a_slow_one_however_long_it_takes() {
        let mut stage = Stage::new(keep_all());
        stage.take(1, (2, Some(1)), 1, false);
        for second in 0..100 {
            stage.retention.tick(second * SECOND);
        }
        assert_eq!(stage.take(1, (1, None), 100_000, false), Told::Exported);
        assert_eq!(stage.ids(), [2, 1]);
    }

    #[test]
    fn what_is_neither_is_dropped_when_it_is_over() {
        let mut stage = Stage::new(keep_all());
        stage.take(1, (2, Some(1)), 1, false);
        stage.take(1, (1, None), 2, false);
        stage.retention.tick(SETTLE - 1);
        assert_eq!((stage.retention.spans, stage.retention.stats.dropped), (2, 0));
        stage.retention.tick(2 * SETTLE);
        assert_eq!((stage.retention.spans, stage.retention.stats.dropped), (0, 2));
        assert!(stage.out.is_empty() && stage.retention.held.is_empty() && stage.retention.due.is_empty());
    }

    #[test]
    fn a_trace_without_its_end_is_held_for_so_long() {
        let mut stage = Stage::new(keep_all());
        stage.take(1, (2, Some(1)), 1, false);
        for second in 0..=(MAX_HOLD + 3 * SETTLE) / SECOND {
            stage.retention.tick(second * SECOND);
        }
        assert_eq!((stage.retention.spans, stage.retention.stats.dropped), (0, 1));
    }

    #[test]
    fn only_what_was_asked_for_is_kept() {
        let mut stage = Stage::new(Keep { errors: true, slower_than: None });
        assert_eq!(stage.take(1, (1, None), 100_000, false), Told::Held);
        let mut stage = Stage::new(Keep { errors: false, slower_than: Some(1_000_000) });
        assert_eq!(stage.take(1, (1, None), 0, true), Told::Held);
        assert_eq!(stage.take(2, (1, None), 1, false), Told::Exported);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut stage = Stage::new(keep_all());
        for span in 0..MAX_HELD {
            stage.take((span % 2) as u8, (1, Some(9)), 1, false);
        }
        assert_eq!(stage.retention.spans, MAX_HELD);
        stage.take(2, (1, Some(9)), 1, false);
        assert_eq!(stage.retention.spans, MAX_HELD / 2 + 1);
        assert_eq!(stage.retention.stats.dropped_by_limit, MAX_HELD as u64 / 2);
        stage.retention.finish();
        assert_eq!((stage.retention.spans, stage.retention.held.len()), (0, 0));
    }

    #[test]
    fn so_is_its_memory() {
        let mut stage = Stage::new(keep_all());
        let statement = "x".repeat(MAX_HELD_BYTES / 4);
        for trace in 0..5 {
            let Telemetry { resource, item: Item::Span(mut span) } = testing::span(&statement) else {
                unreachable!()
            };
            (span.trace_id, span.sampled) = (TraceId([trace; 16]), false);
            (span.start_unix_ns, span.end_unix_ns) = (0, 1);
            stage.retention.take(resource, span, &mut stage.out);
        }
        assert_eq!((stage.retention.spans, stage.retention.stats.dropped_by_limit), (3, 2));
        stage.retention.tick(2 * MAX_HOLD);
        assert_eq!((stage.retention.spans, stage.retention.bytes), (0, 0));
    }
}
