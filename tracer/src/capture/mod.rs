//! Packet captures: from a pcap or pcapng file to the events that the probe would have sent.
//!
//! ```text
//! file ─▶ Packets ─▶ link ─▶ segment ─▶ Flows: flow ─▶ call ─▶ ends ─▶ Event ─▶ pipeline
//!         pcap(ng)   layer    IP, TCP          order    writes   both views
//! ```
//!
//! A capture shows both ends of a connection, so that each exchange could be told twice: as the server and as the
//! client saw it. Each connection is handed on as both; [`WantedEnds`] says which of them become spans. Nothing here
//! reads a clock: all times are the capture's. Every file is read to its end or to the first record that cannot be
//! understood, whatever it holds.

mod call;
mod clock;
mod ends;
pub mod file;
mod flow;
mod flows;
mod fragments;
pub mod link;
mod pair;
pub mod segment;
mod stats;
#[cfg(test)]
mod tests;
pub mod tunnel;

pub use self::call::{MAX_CALL, MAX_SPREAD};
pub use self::ends::{CapturedEnd, EventSink, Interest};
pub use self::file::{CaptureError, FileEnd, is_capture};
pub use self::flow::{MAX_HELD_BYTES, MAX_HELD_SEGMENTS, REORDERED, RETRANSMITTED};
pub use self::flows::{Flows, MAX_FLOWS, MAX_HELD_IN_ALL};
pub use self::fragments::{MAX_FRAGMENT_AGE, MAX_FRAGMENTED};
pub use self::stats::{CaptureStats, FlowStats};
pub use crate::connection::WantedEnds;

use std::io::{self, Read};

use self::file::{Next, Packets};

/// A capture that is being read.
#[derive(Debug)]
pub struct Capture<R> {
    packets: Packets<R>,
    flows: Flows,
}

impl<R: Read> Capture<R> {
    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// When that is no capture's, or cannot be read.
    pub fn open(source: R, wanted: WantedEnds) -> Result<Self, CaptureError> {
        Ok(Self { packets: Packets::open(source)?, flows: Flows::new(wanted) })
    }

    /// Takes the next packet. Its events go to `sink`. `None` when there are more; at the end everything that waits is
    /// told.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn step(&mut self, sink: &mut impl EventSink) -> io::Result<Option<FileEnd>> {
        match self.packets.next_record()? {
            Next::Packet(packet) => self.flows.take(&packet, sink),
            Next::Unusable => self.flows.unusable(),
            Next::End(end) => {
                self.flows.finish(sink);
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> &CaptureStats {
        self.flows.stats()
    }
}

/// All events of a capture that is in memory. Whatever the bytes are, it returns.
///
/// # Errors
/// When they do not begin like a capture.
pub fn events(
    bytes: &[u8],
    wanted: WantedEnds,
    sink: &mut impl EventSink,
) -> Result<(FileEnd, CaptureStats), CaptureError> {
    let mut capture = Capture::open(bytes, wanted)?;
    loop {
        if let Some(end) = capture.step(sink)? {
            return Ok((end, capture.stats().clone()));
        }
    }
}
