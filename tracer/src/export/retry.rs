//! What an attempt came to, and when to try again.
//!
//! OTLP 1.x, "Failures" and "OTLP/HTTP Response" of `docs/specification.md` in opentelemetry-proto.

use std::time::Duration;

use tokio::time::Instant;

/// How long to go on trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Upper bound of the first pause. It doubles from pause to pause.
    pub first: Duration,
    /// Upper bound of any pause.
    pub max: Duration,
    /// From the first attempt to the last.
    pub total: Duration,
}

impl Default for RetryPolicy {
    /// No variable says it. The collector's own exporters allow pauses of 30 s and five minutes in all, too.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), max: Duration::from_secs(30), total: Duration::from_secs(300) }
    }
}

/// The outcome of one attempt to send a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The receiver took it, but for `rejected` items (partial success: MUST NOT be retried).
    Delivered {
        /// Items that the receiver did not take.
        rejected: u64,
        /// What the receiver had to say, often nothing.
        message: String,
    },
    /// The receiver will not take it, however often it is sent.
    Refused(String),
    /// The receiver has no place for this signal (`UNIMPLEMENTED`, 404): it would refuse whatever is sent of it.
    NotTaken(String),
    /// It may be taken later.
    Failed {
        /// What went wrong.
        error: String,
        /// The pause that the receiver asked for (RetryInfo, Retry-After).
        after: Option<Duration>,
    },
}

/// Pauses between attempts: exponential with full jitter, so that the agents of many nodes do not return in step.
#[derive(Debug)]
pub(super) struct Backoff {
    policy: RetryPolicy,
    started: Instant,
    bound: Duration,
}

impl Backoff {
    pub(super) fn new(policy: RetryPolicy, now: Instant) -> Self {
        Self { policy, started: now, bound: policy.first }
    }

    /// The next pause, or `None` when the time is over. `random` is uniform over all values of its type.
    ///
    /// A pause that the receiver asked for is kept, plus a little jitter; but the last attempt comes when the
    /// time is over, even if the receiver asked for more.
    pub(super) fn next(&mut self, now: Instant, after: Option<Duration>, random: u32) -> Option<Duration> {
        let left =
            self.policy.total.checked_sub(now.duration_since(self.started)).filter(|left| !left.is_zero())?;
        let share = f64::from(random) / f64::from(u32::MAX);
        let pause = match after {
            Some(after) => after + self.policy.first.mul_f64(share),
            None => self.bound.mul_f64(share),
        };
        self.bound = (self.bound * 2).min(self.policy.max);
        Some(pause.min(left))
    }
}

/// A random number for the jitter. Without a source of randomness there is none: pauses are then whole.
pub(super) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_bound_and_end_with_the_total() {
        let start = Instant::now();
        let mut backoff = Backoff::new(RetryPolicy::default(), start);
        let mut now = start;
        let mut pauses = Vec::new();
        while let Some(pause) = backoff.next(now, None, u32::MAX) {
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30, 30, 29]);
        assert_eq!(now - start, RetryPolicy::default().total);
    }

    #[test]
    fn jitter_takes_any_part_of_the_pause() {
        let start = Instant::now();
        let pause = |random| Backoff::new(RetryPolicy::default(), start).next(start, None, random).unwrap();
        assert_eq!(pause(0), Duration::ZERO);
        assert!(pause(u32::MAX / 2) > SECOND * 49 / 100 && pause(u32::MAX / 2) < SECOND * 51 / 100);
    }

    #[test]
    fn the_receivers_wish_is_kept_within_the_total() {
        let start = Instant::now();
        let mut backoff = Backoff::new(RetryPolicy::default(), start);
        assert_eq!(backoff.next(start, Some(7 * SECOND), 0), Some(7 * SECOND));
        assert_eq!(backoff.next(start, Some(7 * SECOND), u32::MAX), Some(8 * SECOND));
        assert_eq!(backoff.next(start, Some(Duration::from_secs(3_600)), 0), Some(300 * SECOND));
        assert_eq!(backoff.next(start + 300 * SECOND, Some(SECOND), 0), None);
    }
}
