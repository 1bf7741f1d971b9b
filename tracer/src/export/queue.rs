//! The bounded queue before a sink: many threads offer, never wait; one task takes batches.
//!
//! A mutex around a deque rather than a channel: the taker sleeps until a batch is full or due, and an offer
//! wakes it only then, so that a busy node pays two wake-ups a batch instead of one an item.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::stats::{DropReason, Signal, SinkStats};
use super::{Item, Telemetry};
use crate::span::{Attribute, Value};

/// Memory that one queue may hold, by estimate, whatever the number of items: a log line can be 64 KiB, and a
/// node agent has a memory limit.
pub(super) const MAX_QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// Memory that one batch may hold, by the same estimate. As much as one OTLP request may carry.
pub(super) const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// When a queue is full, and when a batch is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Spans that may wait; 0 when the sink takes none.
    pub(super) spans: usize,
    /// Log records that may wait; 0 when the sink takes none.
    pub(super) logs: usize,
    /// Items of one batch.
    pub(super) batch: usize,
    /// How long an item may wait for its batch to fill.
    pub(super) delay: Duration,
}

/// The queue of one sink.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    stats: Arc<SinkStats>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Something was taken, or the queue was closed.
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Telemetry>,
    /// Items by [`Signal`].
    counts: [usize; Signal::ALL.len()],
    bytes: usize,
    /// When the oldest item came in.
    since: Option<Instant>,
    closed: bool,
}

/// What there is to take.
enum Taken {
    Batch(Vec<Telemetry>),
    /// Nothing before this moment, or before a wake-up.
    NotBefore(Option<Instant>),
    /// Nothing any more.
    Closed,
}

impl Queue {
    pub(super) fn new(limits: Limits, stats: Arc<SinkStats>) -> Arc<Self> {
        Arc::new(Self { limits, stats, waiting: Mutex::default(), wake: Notify::new(), room: Notify::new() })
    }

    /// Whether this queue's sink takes the signal at all.
    pub(super) fn takes(&self, signal: Signal) -> bool {
        self.limit(signal) > 0
    }

    /// Queues the item, or drops and counts it. Never waits.
    pub(super) fn offer(&self, telemetry: Telemetry) {
        let signal = Signal::of(&telemetry);
        let bytes = weight(&telemetry);
        self.stats.offered(signal);
        let mut waiting = self.lock();
        if waiting.closed {
            return self.stats.dropped(signal, DropReason::UnsentAtExit, 1);
        }
        if waiting.counts[signal as usize] >= self.limit(signal) || waiting.bytes + bytes > MAX_QUEUE_BYTES {
            return self.stats.dropped(signal, DropReason::QueueFull, 1);
        }
        waiting.counts[signal as usize] += 1;
        waiting.bytes += bytes;
        waiting.items.push_back(telemetry);
        let length = waiting.items.len();
        if length == 1 {
            waiting.since = Some(Instant::now());
        }
        drop(waiting);
        if length == 1 || length == self.limits.batch {
            self.wake.notify_one();
        }
    }

    /// The next batch: full, or due, or what is left of a closed queue. `None` when closed and empty.
    ///
    /// Nothing is lost when the future is dropped before it is ready. For one taker only.
    pub(super) async fn next(&self) -> Option<Vec<Telemetry>> {
        loop {
            match self.take(Instant::now()) {
                Taken::Batch(batch) => return Some(batch),
                Taken::Closed => return None,
                Taken::NotBefore(None) => self.wake.notified().await,
                Taken::NotBefore(Some(due)) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    /// Takes no more; what waits can still be taken, at once.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
        self.room.notify_waiters();
    }

    /// Whether an item that is offered now is not lost because the queue is full. (A closed queue loses it otherwise.)
    pub(super) fn has_room(&self, signal: Signal) -> bool {
        let waiting = self.lock();
        // Half of the memory: the next item's size is not known, and one of the other signal may come first.
        let has_room =
            waiting.counts[signal as usize] < self.limit(signal) && waiting.bytes <= MAX_QUEUE_BYTES / 2;
        waiting.closed || has_room
    }

    /// Until [`Self::has_room`].
    pub(super) async fn room(&self, signal: Signal) {
        loop {
            let mut changed = pin!(self.room.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.has_room(signal) {
                return;
            }
            changed.await;
        }
    }

    fn take(&self, now: Instant) -> Taken {
        let mut waiting = self.lock();
        let Some(since) = waiting.since else {
            return if waiting.closed { Taken::Closed } else { Taken::NotBefore(None) };
        };
        let due = since + self.limits.delay;
        if waiting.items.len() < self.limits.batch && !waiting.closed && now < due {
            return Taken::NotBefore(Some(due));
        }
        let batch = waiting.drain(self.limits.batch);
        drop(waiting);
        self.room.notify_waiters();
        Taken::Batch(batch)
    }

    fn limit(&self, signal: Signal) -> usize {
        match signal {
            Signal::Spans => self.limits.spans,
            Signal::Logs => self.limits.logs,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere cannot leave the deque half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Up to `most` items and [`MAX_BATCH_BYTES`], at least one.
    fn drain(&mut self, most: usize) -> Vec<Telemetry> {
        let mut batch = Vec::with_capacity(most.min(self.items.len()));
        let mut batch_bytes = 0;
        while batch.len() < most
            && let Some(telemetry) = self.items.pop_front()
        {
            let bytes = weight(&telemetry);
            if batch_bytes + bytes > MAX_BATCH_BYTES && !batch.is_empty() {
                self.items.push_front(telemetry);
                break;
            }
            batch_bytes += bytes;
            self.counts[Signal::of(&telemetry) as usize] -= 1;
            batch.push(telemetry);
        }
        self.bytes -= batch_bytes;
        if self.items.is_empty() {
            self.since = None;
        }
        batch
    }
}

/// An item's memory, about: its strings and its own fields.
pub(crate) fn weight(telemetry: &Telemetry) -> usize {
    match &telemetry.item {
        Item::Span(span) => {
            let described = &span.description;
            256 + described.name.len()
                + span.trace_state.len()
                + size_of_val(&*span.links)
                + attributes_weight(&described.attributes)
        }
        Item::Log(log) => 192 + log.body.len() + attributes_weight(&log.attributes),
    }
}

fn attributes_weight(attributes: &[Attribute]) -> usize {
    let value_weight = |value: &Value| match value {
        Value::Str(text) => text.len(),
        Value::Strs(texts) => texts.iter().map(|text| 24 + text.len()).sum(),
        Value::Int(_) | Value::Double(_) | Value::Bool(_) => 0,
    };
    attributes.iter().map(|attribute| size_of::<Attribute>() + value_weight(&attribute.value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing;

    fn queue(spans: usize, logs: usize, batch: usize, delay_ms: u64) -> (Arc<Queue>, Arc<SinkStats>) {
        let stats = SinkStats::new("test".to_owned());
        let delay = Duration::from_millis(delay_ms);
        (Queue::new(Limits { spans, logs, batch, delay }, Arc::clone(&stats)), stats)
    }

    #[test]
    fn each_signal_has_its_own_limit_and_overflow_is_counted() {
        let (queue, stats) = queue(2, 1, 10, 60_000);
        for _ in 0..5 {
            queue.offer(testing::span("s"));
            queue.offer(testing::log("l"));
        }
        assert_eq!(stats.tally(Signal::Spans).dropped(DropReason::QueueFull), 3);
        assert_eq!(stats.tally(Signal::Logs).dropped(DropReason::QueueFull), 4);
        assert_eq!(stats.tally(Signal::Spans).pending(), 2);
    }

    #[test]
    fn memory_is_bounded_whatever_the_count() {
        let (queue, stats) = queue(0, usize::MAX, usize::MAX, 60_000);
        let line = "x".repeat(1024 * 1024);
        (0..100).for_each(|_| queue.offer(testing::log(&line)));
        assert_eq!(stats.tally(Signal::Logs).dropped(DropReason::QueueFull), 37);
    }

    #[test]
    fn a_batch_is_taken_when_it_is_full_or_due_and_not_before() {
        let (queue, _) = queue(100, 0, 3, 1_000);
        let now = Instant::now();
        assert!(matches!(queue.take(now), Taken::NotBefore(None)));
        (0..2).for_each(|_| queue.offer(testing::span("s")));
        assert!(matches!(queue.take(now), Taken::NotBefore(Some(_))));
        queue.offer(testing::span("s"));
        queue.offer(testing::span("s"));
        assert!(matches!(queue.take(now), Taken::Batch(batch) if batch.len() == 3));
        assert!(matches!(queue.take(now), Taken::NotBefore(Some(_))));
        assert!(matches!(queue.take(now + Duration::from_secs(2)), Taken::Batch(batch) if batch.len() == 1));
        assert!(matches!(queue.take(now), Taken::NotBefore(None)));
    }

    #[test]
    fn large_items_make_small_batches() {
        let (queue, _) = queue(0, 100, 100, 0);
        let line = "x".repeat(MAX_BATCH_BYTES / 2);
        (0..3).for_each(|_| queue.offer(testing::log(&line)));
        for _ in 0..3 {
            assert!(matches!(queue.take(Instant::now()), Taken::Batch(batch) if batch.len() == 1));
        }
    }

    #[tokio::test]
    async fn a_closed_queue_gives_the_rest_then_nothing() {
        let (queue, stats) = queue(100, 0, 2, 60_000);
        (0..3).for_each(|_| queue.offer(testing::span("s")));
        queue.close();
        queue.offer(testing::span("too late"));
        assert_eq!(queue.next().await.map(|batch| batch.len()), Some(2));
        assert_eq!(queue.next().await.map(|batch| batch.len()), Some(1));
        assert!(queue.next().await.is_none());
        assert_eq!(stats.tally(Signal::Spans).dropped(DropReason::UnsentAtExit), 1);
    }

    #[tokio::test]
    async fn an_offer_wakes_a_taker_that_waits() {
        let (queue, _) = queue(100, 0, 1, 60_000);
        let taker = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.offer(testing::span("s"));
        assert_eq!(taker.await.unwrap().map(|batch| batch.len()), Some(1));
    }
}
