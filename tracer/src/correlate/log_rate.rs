//! How many log lines a process may write: who writes without end takes nothing away from others.

use std::num::{NonZeroU32, NonZeroUsize};

use lru::LruCache;

use crate::event::{Nanos, Process};

/// Lines a second and process when nothing else is said.
pub const DEFAULT_RATE: NonZeroU32 = NonZeroU32::new(10_000).expect("not zero");

/// How long a process may have been silent for what it then writes at once: as many lines as in that time.
pub const BURST: Nanos = 10_000_000_000;

/// Processes whose rate is known; the one that has not written for longest is forgotten, and may write a burst again.
const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The rates of all processes.
#[derive(Debug)]
pub struct LogRate {
    /// Nanoseconds that a line costs.
    cost: Option<Nanos>,
    processes: LruCache<(u32, Nanos), Account>,
}

#[derive(Debug)]
struct Account {
    /// Nanoseconds that it may still spend on lines.
    credit: Nanos,
    last: Nanos,
    dropped: u64,
}

impl LogRate {
    /// At most `rate` lines a second for each process; `None` for no limit.
    #[must_use]
    pub fn new(rate: Option<NonZeroU32>) -> Self {
        let cost = rate.map(|rate| 1_000_000_000 / Nanos::from(rate.get()));
        Self { cost, processes: LruCache::new(MAX_PROCESSES) }
    }

    /// Whether a line that was written at `time` may go on: then the number of lines of its process that were dropped
    /// since the last one.
    pub fn admit(&mut self, process: Process, time: Nanos) -> Option<u64> {
        let Some(cost) = self.cost else { return Some(0) };
        let account = self.processes.get_or_insert_mut((process.tgid, process.start), || Account {
            credit: BURST,
            last: time,
            dropped: 0,
        });
        account.credit = account.credit.saturating_add(time.saturating_sub(account.last)).min(BURST);
        account.last = account.last.max(time);
        match account.credit.checked_sub(cost) {
            Some(left) => {
                account.credit = left;
                Some(std::mem::take(&mut account.dropped))
            }
            None => {
                account.dropped += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn process(tgid: u32) -> Process {
        Process { tgid, start: 1, cgroup: 1 }
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rate = LogRate::new(NonZeroU32::new(100));
        let admitted = |rate: &mut LogRate, time, lines: usize| {
            (0..lines).filter(|_| rate.admit(process(1), time).is_some()).count()
        };
        assert_eq!(admitted(&mut rate, SECOND, 5_000), 1_000);
        assert_eq!(admitted(&mut rate, 2 * SECOND, 5_000), 100);
        assert_eq!(admitted(&mut rate, SECOND, 5), 0, "time that steps back gives nothing");
        assert_eq!(rate.admit(process(2), 2 * SECOND), Some(0), "another process has its own");
        // The 4,000 of the first burst were told by the line that came next.
        assert_eq!(rate.admit(process(1), 3 * SECOND), Some(4_900 + 5));
        assert_eq!(rate.admit(process(1), 3 * SECOND), Some(0));
    }

    #[test]
    fn no_limit() {
        let mut rate = LogRate::new(None);
        assert!((0..1_000_000).all(|_| rate.admit(process(1), 1) == Some(0)));
        assert_eq!(rate.processes.len(), 0);
    }

    #[test]
    fn processes_are_bounded() {
        let mut rate = LogRate::new(Some(DEFAULT_RATE));
        for tgid in 0..10_000 {
            rate.admit(process(tgid), 1);
        }
        assert_eq!(rate.processes.len(), MAX_PROCESSES.get());
    }
}
