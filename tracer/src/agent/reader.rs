//! The thread that empties the ring buffer and runs the pipeline.

use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use aya::maps::{MapData, RingBuf};
use tracer_ebpf::limits::{HUGE_HEAD, MAX_TAIL};
use tracing::debug;

use super::clock;
use super::memory::HeapWatch;
use super::node::SharedProbe;
use super::own::State;
use crate::event::Nanos;
use crate::export::Exporter;
use crate::pipeline::{Ask, Pipeline, Stats};
use crate::probe::ProbeOptions;
use crate::protocol::Window;
use crate::recording::{Entry, Recorder};

/// How often the ring is looked at while events come. The probe wakes the reader earlier when much has piled up.
const BUSY_MILLIS: i32 = 5;

/// How often it is looked at when nothing came for a while.
const IDLE_MILLIS: i32 = 25;

/// Rounds without an event after which the reader is idle.
const IDLE_ROUNDS: u32 = 40;

/// Events between two hand-overs of what has become complete.
const HAND_OVER: usize = 256;

/// Most events that are taken before the clock is looked at: on a node that never rests the ring is never empty.
const ROUND: usize = 65_536;

/// One of so many connections is forgotten at once when memory is short.
const SHARE: u64 = 8;

/// How often the wall clock is read again.
const WALL_PERIOD: Nanos = 10_000_000_000;

/// The reader's parts.
pub struct Reader {
    /// The probe's events.
    pub ring: RingBuf<MapData>,
    /// The stages.
    pub pipeline: Pipeline,
    /// What wishes for more or less of a connection mean.
    pub windows: Windows,
    /// Where such wishes go.
    pub probe: SharedProbe,
    /// Where telemetry goes.
    pub exporter: Exporter,
    /// Where all that the pipeline takes is recorded.
    pub recorder: Option<Recorder>,
    /// What is shown of the reader from outside.
    pub state: Arc<State>,
    /// Set when the probe is detached and what is left in the ring is to be finished.
    pub detached: Arc<AtomicBool>,
}

impl Reader {
    /// Runs until the probe is detached and the ring is empty. Gives the pipeline's counters.
    #[must_use]
    pub fn run(mut self) -> Stats {
        ask_for_priority();
        let mut quiet = 0;
        let mut wall_due = 0;
        let mut heap = HeapWatch::default();
        loop {
            let now = clock::monotonic();
            if now >= wall_due {
                self.set_wall_offset(clock::wall_offset());
                wall_due = now + WALL_PERIOD;
            }
            // Read before the ring is emptied: nothing is put in it after it was set.
            let stopping = self.detached.load(Ordering::Acquire);
            let events = self.empty_ring();
            // Who waits for an event waits no longer than until it could have been read: what happened before the
            // clock was looked at is taken by now, if the ring was emptied.
            self.tick(if events < ROUND { now } else { now.min(self.pipeline.latest()) });
            self.hand_over();
            heap.look(now, || self.forget_some(now));
            self.state.beat(now, || self.pipeline.stats());
            if stopping && events == 0 {
                break;
            }
            quiet = if events == 0 { quiet + 1 } else { 0 };
            if !stopping {
                self.wait(if quiet > IDLE_ROUNDS { IDLE_MILLIS } else { BUSY_MILLIS });
            }
        }
        self.finish(clock::monotonic());
        self.hand_over();
        self.pipeline.stats()
    }

    fn set_wall_offset(&mut self, offset: i64) {
        self.pipeline.set_wall_offset(offset);
        self.record(&Entry::WallOffset(offset));
    }

    fn tick(&mut self, now: Nanos) {
        self.pipeline.tick(now);
        if let Some(recorder) = &self.recorder {
            recorder.tick(now);
        }
    }

    /// Forgets a share of the connections.
    fn forget_some(&mut self, now: Nanos) -> usize {
        let count = self.pipeline.stats().tables.connections.div_ceil(SHARE);
        self.record(&Entry::Forget { now, count });
        let forgotten = self.pipeline.forget_connections(count, now);
        self.hand_over();
        forgotten
    }

    fn finish(&mut self, now: Nanos) {
        self.pipeline.finish(now);
        self.record(&Entry::Finish(now));
    }

    /// After the pipeline took it: what it asked for that is recorded before.
    fn record(&self, entry: &Entry<'_>) {
        if let Some(recorder) = &self.recorder {
            recorder.write(entry);
        }
    }

    fn empty_ring(&mut self) -> usize {
        let mut events = 0;
        while events < ROUND && self.take_record() {
            events += 1;
            if events % HAND_OVER == 0 {
                self.hand_over();
            }
        }
        events
    }

    fn take_record(&mut self) -> bool {
        let Some(record) = self.ring.next() else {
            return false;
        };
        self.pipeline.on_record(&record);
        if let Some(recorder) = &self.recorder {
            recorder.record(&record);
        }
        true
    }

    fn hand_over(&mut self) {
        for telemetry in self.pipeline.drain() {
            self.exporter.offer(telemetry);
        }
        for ask in self.pipeline.drain_asks() {
            self.windows.grant(&self.probe, &ask);
        }
    }

    fn wait(&self, millis: i32) {
        let mut ring = libc::pollfd { fd: self.ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one valid pollfd. An interruption or an error only means to look at once.
        unsafe { libc::poll(&raw mut ring, 1, millis) };
    }
}

/// Lets this thread run before busy neighbours, where the agent may ask for that (CAP_SYS_NICE): it needs little time,
/// but what it does not read soon enough is lost.
fn ask_for_priority() {
    const NICENESS: libc::c_int = -10;
    // SAFETY: no pointers. 0 is the calling thread (setpriority(2), "C library/kernel differences").
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) } != 0 {
        debug!("the reader keeps the ordinary priority: {}", std::io::Error::last_os_error());
    }
}

/// How many bytes of a call the windows stand for: head and tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    ordinary: (u32, u32),
}

impl Windows {
    /// With the configured head and tail as the ordinary window.
    #[must_use]
    pub fn new(options: &ProbeOptions) -> Self {
        Self { ordinary: (options.head, options.tail) }
    }

    fn size(self, window: Window) -> (u32, u32) {
        match window {
            Window::Default => self.ordinary,
            Window::Whole => (HUGE_HEAD, MAX_TAIL),
            Window::Nothing => (0, 0),
        }
    }

    /// Tells the probe how much of a connection's calls is wanted.
    fn grant(self, probe: &SharedProbe, ask: &Ask) {
        let (head, tail) = self.size(ask.window);
        // A panic elsewhere does not make the maps wrong.
        let mut probe = probe.lock().unwrap_or_else(PoisonError::into_inner);
        let result = probe.set_window(ask.connection.sock, ask.connection.ino, head, tail);
        let by_port = match (ask.window, ask.server_port) {
            // The next connection to that server begins with this window, before anybody could ask.
            (Window::Whole, Some(port)) => probe.set_port_window(port, head, tail),
            _ => Ok(()),
        };
        if let Err(error) = result.and(by_port) {
            // The map keeps the most recent ones: this is not the place of a loss.
            debug!(%error, "a window cannot be set");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordinary_window_is_the_configured_one() {
        let windows = Windows::new(&ProbeOptions { head: 1000, tail: 20, ..ProbeOptions::default() });
        assert_eq!(windows.size(Window::Default), (1000, 20));
        assert_eq!(windows.size(Window::Whole), (HUGE_HEAD, MAX_TAIL));
        assert_eq!(windows.size(Window::Nothing), (0, 0));
    }
}
