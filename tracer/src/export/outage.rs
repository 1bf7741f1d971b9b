//! Tells of a sink's failures without flooding the log: the first at once, then one line in 30 seconds, and one
//! when it works again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Least time between two warnings of one sink.
const PAUSE: Duration = Duration::from_secs(30);

/// The state of one sink, for its messages only.
#[derive(Debug)]
pub(super) struct Outage {
    /// What fails, for the sentence: `export of spans to http://…`.
    subject: String,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Since when it has failed.
    since: Option<Instant>,
    /// Failures that no line told of yet.
    untold: u64,
    /// When the last warning was written.
    last: Option<Instant>,
    /// A warning was written in this outage, so that its end is worth a line.
    announced: bool,
    /// Items that found the queue full when a line last told of it, or while an outage explains it.
    overflow: u64,
}

impl Outage {
    pub(super) fn new(subject: String) -> Self {
        Self { subject, told: Mutex::default() }
    }

    /// An attempt failed. `lost` is the number of items that the sink has dropped so far.
    pub(super) fn failed(&self, error: &str, lost: u64) {
        if let Some(line) = self.failure_line(Instant::now(), error, lost) {
            tracing::warn!("{line}");
        }
    }

    /// An attempt succeeded. `overflow` is the part of `lost` that found the queue full.
    pub(super) fn succeeded(&self, lost: u64, overflow: u64) {
        if let Some(line) = self.recovery_line(Instant::now(), lost, overflow) {
            tracing::info!("{line}");
        }
    }

    /// The receiver had something to say about what it took.
    pub(super) fn remarked(&self, remark: &str) {
        if let Some(line) = self.remark_line(Instant::now(), remark) {
            tracing::warn!("{line}");
        }
    }

    fn remark_line(&self, now: Instant, remark: &str) -> Option<String> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return None;
        }
        told.last = Some(now);
        Some(format!("{}: {remark}", self.subject))
    }

    fn failure_line(&self, now: Instant, error: &str, lost: u64) -> Option<String> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.since.get_or_insert(now);
        told.untold += 1;
        if told.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return None;
        }
        let count = std::mem::take(&mut told.untold);
        told.last = Some(now);
        told.announced = true;
        let attempts = if count == 1 { "failed".to_owned() } else { format!("failed {count} times; last") };
        Some(format!("{} {attempts}: {error} ({lost} dropped so far)", self.subject))
    }

    fn recovery_line(&self, now: Instant, lost: u64, overflow: u64) -> Option<String> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = told.since.take() {
            // While it failed the queue filled up: that is no slowness.
            told.overflow = overflow;
            let announced = std::mem::take(&mut told.announced);
            let seconds = now.duration_since(since).as_secs();
            let line = format!("{} works again after {seconds} s ({lost} dropped so far)", self.subject);
            return announced.then_some(line);
        }
        // Nothing fails, yet the queue is full: items come faster than the receiver takes them.
        if overflow <= told.overflow || told.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return None;
        }
        told.last = Some(now);
        told.overflow = overflow;
        Some(format!("{} is too slow for what comes in ({lost} dropped so far)", self.subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_then_one_line_a_pause_then_the_recovery() {
        let outage = Outage::new("export".to_owned());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            outage.failure_line(at(0), "refused", 0).as_deref(),
            Some("export failed: refused (0 dropped so far)")
        );
        assert_eq!(outage.failure_line(at(10), "refused", 0), None);
        assert_eq!(
            outage.failure_line(at(31), "refused", 7).as_deref(),
            Some("export failed 2 times; last: refused (7 dropped so far)")
        );
        assert_eq!(
            outage.recovery_line(at(40), 7, 7).as_deref(),
            Some("export works again after 40 s (7 dropped so far)")
        );
        assert_eq!(outage.recovery_line(at(41), 7, 7), None);
    }

    #[test]
    fn a_flapping_receiver_does_not_flood() {
        let outage = Outage::new("export".to_owned());
        let start = Instant::now();
        let mut lines = 0;
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            lines += usize::from(outage.failure_line(now, "refused", 0).is_some());
            lines += usize::from(outage.recovery_line(now, 0, 0).is_some());
        }
        assert_eq!(lines, 4);
    }

    #[test]
    fn losses_without_failures_are_told_too() {
        let outage = Outage::new("export".to_owned());
        let start = Instant::now();
        assert_eq!(outage.recovery_line(start, 0, 0), None);
        assert!(outage.recovery_line(start, 5, 5).is_some_and(|line| line.contains("too slow")));
        assert_eq!(outage.recovery_line(start + Duration::from_secs(1), 9, 9), None);
    }

    #[test]
    fn what_the_receiver_rejects_is_not_called_slowness() {
        let outage = Outage::new("export".to_owned());
        let start = Instant::now();
        assert_eq!(outage.recovery_line(start, 7, 0), None);
        assert_eq!(outage.remark_line(start, "all but 7").as_deref(), Some("export: all but 7"));
        assert_eq!(outage.remark_line(start, "all but 7"), None);
        assert_eq!(outage.recovery_line(start + 2 * PAUSE, 14, 0), None);
    }
}
