//! What became of everything that was offered for export, per sink and signal.
//!
//! The books balance: offered = exported + dropped (by reason) + pending.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Item, Telemetry};

/// Spans or log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans: OTLP's traces.
    Spans,
    /// Log records.
    Logs,
}

impl Signal {
    /// Both, in the order of their index.
    pub const ALL: [Self; 2] = [Self::Spans, Self::Logs];

    /// The signal that this belongs to.
    #[must_use]
    pub fn of(telemetry: &Telemetry) -> Self {
        match telemetry.item {
            Item::Span(_) => Self::Spans,
            Item::Log(_) => Self::Logs,
        }
    }

    /// As in messages and metrics: `spans`, `log records`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "log records",
        }
    }
}

/// Why something was offered but not exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue before the sink was full.
    QueueFull,
    /// The receiver refused it: a status that must not be retried, or a partial success.
    Rejected,
    /// Alone larger than a request may be.
    TooLarge,
    /// Every attempt failed until the time for retries was over, or the output broke.
    GaveUp,
    /// Still waiting when the time for the last flush was over.
    UnsentAtExit,
}

impl DropReason {
    /// All reasons, in the order of their index.
    pub const ALL: [Self; 5] =
        [Self::QueueFull, Self::Rejected, Self::TooLarge, Self::GaveUp, Self::UnsentAtExit];

    /// The reason's name in metrics and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::GaveUp => "gave_up",
            Self::UnsentAtExit => "unsent_at_exit",
        }
    }
}

/// One signal's counters at one sink, as they are counted.
#[derive(Debug, Default)]
struct Counters {
    offered: AtomicU64,
    exported: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

/// One signal's counters at one sink, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Everything that was offered to the sink.
    pub offered: u64,
    /// What the receiver took.
    pub exported: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Tally {
    /// Number lost for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Number lost for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Queued or under way.
    #[must_use]
    pub fn pending(&self) -> u64 {
        // The counters are read one after the other: what finished in between must not wrap around.
        self.offered.saturating_sub(self.exported + self.dropped_total())
    }
}

/// A sink's counters.
#[derive(Debug)]
pub struct SinkStats {
    name: String,
    signals: [Counters; Signal::ALL.len()],
}

impl SinkStats {
    pub(super) fn new(name: String) -> Arc<Self> {
        Arc::new(Self { name, signals: Default::default() })
    }

    /// The sink's name: `otlp`, `console`, `file`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The counters of a signal now.
    #[must_use]
    pub fn tally(&self, signal: Signal) -> Tally {
        let counters = &self.signals[signal as usize];
        Tally {
            exported: counters.exported.load(Relaxed),
            dropped: std::array::from_fn(|index| counters.dropped[index].load(Relaxed)),
            offered: counters.offered.load(Relaxed),
        }
    }

    pub(super) fn offered(&self, signal: Signal) {
        self.signals[signal as usize].offered.fetch_add(1, Relaxed);
    }

    pub(super) fn exported(&self, signal: Signal, count: u64) {
        self.signals[signal as usize].exported.fetch_add(count, Relaxed);
    }

    pub(super) fn dropped(&self, signal: Signal, reason: DropReason, count: u64) {
        self.signals[signal as usize].dropped[reason as usize].fetch_add(count, Relaxed);
    }

    /// Closes the books: whatever is pending now will not be sent.
    pub(super) fn close(&self) {
        for signal in Signal::ALL {
            self.dropped(signal, DropReason::UnsentAtExit, self.tally(signal).pending());
        }
    }
}

/// Counters of all sinks.
#[derive(Clone, Debug, Default)]
pub struct ExportStats {
    /// One a sink, in the order in which the targets were given.
    pub sinks: Vec<Arc<SinkStats>>,
}

/// What became of everything, told at the end: one sentence a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sink, its spans, its log records.
    pub sinks: Vec<(String, Tally, Tally)>,
}

impl ExportStats {
    /// The counters of all sinks now.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let told =
            |sink: &Arc<SinkStats>| (sink.name.clone(), sink.tally(Signal::Spans), sink.tally(Signal::Logs));
        Summary { sinks: self.sinks.iter().map(told).collect() }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, spans, logs)) in self.sinks.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(
                f,
                "{line_end}{name}: {} spans and {} log records exported",
                spans.exported, logs.exported
            )?;
            for (signal, tally) in [(Signal::Spans, spans), (Signal::Logs, logs)] {
                write_losses(f, signal, tally)?;
            }
        }
        Ok(())
    }
}

fn write_losses(f: &mut fmt::Formatter<'_>, signal: Signal, tally: &Tally) -> fmt::Result {
    let mut reasons = DropReason::ALL.into_iter().filter(|reason| tally.dropped(*reason) > 0).peekable();
    if reasons.peek().is_none() {
        return Ok(());
    }
    write!(f, "; {} {} lost:", tally.dropped_total(), signal.name())?;
    reasons.try_for_each(|reason| write!(f, " {}={}", reason.name(), tally.dropped(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_balance_and_the_summary_names_each_loss() {
        let stats = SinkStats::new("otlp".to_owned());
        (0..10).for_each(|_| stats.offered(Signal::Spans));
        stats.exported(Signal::Spans, 5);
        stats.dropped(Signal::Spans, DropReason::QueueFull, 2);
        assert_eq!(stats.tally(Signal::Spans).pending(), 3);
        stats.close();
        let tally = stats.tally(Signal::Spans);
        assert_eq!((tally.pending(), tally.dropped(DropReason::UnsentAtExit)), (0, 3));
        let summary = ExportStats { sinks: vec![stats] }.summary().to_string();
        assert_eq!(
            summary,
            "otlp: 5 spans and 0 log records exported; 5 spans lost: queue_full=2 unsent_at_exit=3"
        );
    }
}
