//! A readable tree per trace on standard output.
//!
//! A trace is printed when it is complete (every span that something in it hangs from has come, which for a
//! request means that its server span has ended) and has been quiet for a moment.

mod line;
#[cfg(test)]
mod tests;
mod text;
mod tree;

pub use text::Style;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::{Instant, sleep_until};

use self::line::lone_log_line;
use super::outage::Outage;
use super::queue::Queue;
use super::stats::{DropReason, Signal, SinkStats};
use super::{Item, Telemetry};
use crate::span::{SpanId, TraceId};

/// A complete trace waits this long for stragglers after each item.
const QUIET: Duration = Duration::from_millis(300);

/// But no longer than this since it was complete.
const MAX_QUIET: Duration = Duration::from_secs(3);

/// A trace of which a span is missing waits this long after each item: a request may take its time.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Traces that wait at once. When there are more, the oldest is printed as it is.
const MAX_TRACES: usize = 1_000;

/// Items of all waiting traces, likewise.
const MAX_ITEMS: usize = 20_000;

/// Printed traces that are remembered, so that what comes later need not wait for a span that was printed.
const MAX_PRINTED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Collects traces and prints them. Time is told by the caller.
#[derive(Debug)]
pub struct Console<W> {
    out: W,
    style: Style,
    open: FxHashMap<TraceId, OpenTrace>,
    /// Items in `open`.
    items: usize,
    printed: LruCache<TraceId, ()>,
}

/// A trace that is not printed yet.
#[derive(Debug)]
struct OpenTrace {
    items: Vec<Telemetry>,
    first: Instant,
    last: Instant,
    /// Since when no span is missing.
    complete: Option<Instant>,
    spans: FxHashSet<SpanId>,
    /// Spans that others here hang from, and that have not come.
    missing: FxHashSet<SpanId>,
    /// Part of this trace was printed before.
    continued: bool,
}

/// Shows what the queue gives until it is closed and empty. Blocks in writes: has a thread of its own.
pub(super) async fn run<W: Write>(mut console: Console<W>, queue: Arc<Queue>, stats: Arc<SinkStats>) {
    let outage = Outage::new("export to the console".to_owned());
    loop {
        let due = console.due();
        let batch = tokio::select! {
            batch = queue.next() => batch,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Some(Vec::new()),
        };
        let Some(batch) = batch else { break };
        for telemetry in batch {
            let signal = Signal::of(&telemetry);
            account(console.push(telemetry, Instant::now()), signal, &stats, &outage);
        }
        tell(console.print_due(Instant::now()), &stats, &outage);
    }
    tell(console.finish(), &stats, &outage);
}

/// An item counts as exported when the console has taken it; a broken standard output loses what comes after.
fn account(result: io::Result<()>, signal: Signal, stats: &SinkStats, outage: &Outage) {
    match &result {
        Ok(()) => stats.exported(signal, 1),
        Err(_) => stats.dropped(signal, DropReason::GaveUp, 1),
    }
    tell(result, stats, outage);
}

fn tell(result: io::Result<()>, stats: &SinkStats, outage: &Outage) {
    if let Err(error) = result {
        let lost = Signal::ALL.iter().map(|signal| stats.tally(*signal).dropped_total()).sum();
        outage.failed(&error.to_string(), lost);
    }
}

impl<W: Write> Console<W> {
    /// A console that writes to `out`.
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style, open: FxHashMap::default(), items: 0, printed: LruCache::new(MAX_PRINTED) }
    }

    /// Takes an item. A log record without a trace is printed at once.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn push(&mut self, telemetry: Telemetry, now: Instant) -> io::Result<()> {
        let (trace, span, hangs_from) = match &telemetry.item {
            Item::Span(span) => {
                (span.trace_id, Some(span.span_id), span.parent.filter(|_| !span.remote_parent))
            }
            Item::Log(log) => match log.context {
                Some((trace, span, _)) => (trace, None, span),
                None => {
                    let line = lone_log_line(log, &telemetry.resource, self.style);
                    return self.write(&line);
                }
            },
        };
        let continued = self.printed.contains(&trace);
        let open = self.open.entry(trace).or_insert_with(|| OpenTrace::new(continued, now));
        open.push(telemetry, span, hangs_from, now);
        self.items += 1;
        if self.open.len() > MAX_TRACES || self.items > MAX_ITEMS {
            return self.print_oldest();
        }
        Ok(())
    }

    /// When [`Console::print_due`] has something to do, if nothing comes before.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.open.values().map(OpenTrace::due).min()
    }

    /// Prints the traces whose time has come, oldest first.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn print_due(&mut self, now: Instant) -> io::Result<()> {
        self.print_where(|open| open.due() <= now)
    }

    /// Prints all that is left.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.print_where(|_| true)
    }

    fn print_oldest(&mut self) -> io::Result<()> {
        let oldest = self.open.values().map(|open| open.first).min();
        self.print_where(|open| Some(open.first) == oldest)
    }

    fn print_where(&mut self, chosen: impl Fn(&OpenTrace) -> bool) -> io::Result<()> {
        let mut traces: Vec<_> = self.open.extract_if(|_, open| chosen(open)).collect();
        traces.sort_by_key(|(_, open)| open.first);
        let mut text = String::new();
        for (trace, open) in traces {
            self.items -= open.items.len();
            self.printed.put(trace, ());
            text.push_str(&tree::render(trace, &open.items, open.continued, self.style));
            text.push('\n');
        }
        if text.is_empty() { Ok(()) } else { self.write(&text) }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl OpenTrace {
    fn new(continued: bool, now: Instant) -> Self {
        Self {
            items: Vec::new(),
            first: now,
            last: now,
            complete: None,
            spans: FxHashSet::default(),
            missing: FxHashSet::default(),
            continued,
        }
    }

    fn push(&mut self, telemetry: Telemetry, span: Option<SpanId>, hangs_from: Option<SpanId>, now: Instant) {
        if let Some(span) = span {
            self.missing.remove(&span);
            self.spans.insert(span);
        }
        if let Some(above) = hangs_from.filter(|above| !self.spans.contains(above)) {
            self.missing.insert(above);
        }
        self.items.push(telemetry);
        self.last = now;
        let is_complete = self.continued || self.missing.is_empty();
        self.complete = if is_complete { self.complete.or(Some(now)) } else { None };
    }

    fn due(&self) -> Instant {
        match self.complete {
            Some(since) => (self.last + QUIET).min(since + MAX_QUIET),
            None => self.last + MAX_WAIT,
        }
    }
}
