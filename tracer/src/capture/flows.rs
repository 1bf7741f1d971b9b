//! The connections of a capture.

use std::net::SocketAddr;

use lru::LruCache;
use rustc_hash::FxBuildHasher;

use super::ends::{Ends, EventSink};
use super::file::Packet;
use super::flow::{Flow, Teller, Told};
use super::fragments::{Fragment, Fragments};
use super::link::linktype;
use super::pair::{Pair, Peer};
use super::segment::{Found, Segment, Skip, find};
use super::stats::CaptureStats;
use crate::connection::WantedEnds;
use crate::connection::table::MAX_CONNECTIONS;

/// Connections that are followed at once; the one that has not moved for longest is forgotten. Each is two in the
/// pipeline's table.
pub const MAX_FLOWS: usize = MAX_CONNECTIONS / 2;

/// Bytes held for all connections together until they have their place.
pub const MAX_HELD_IN_ALL: usize = 128 << 20;

/// The connections of a capture.
#[derive(Debug)]
pub struct Flows {
    table: LruCache<Pair<SocketAddr>, Entry, FxBuildHasher>,
    wanted: WantedEnds,
    /// Connections so far.
    count: u64,
    held_bytes: usize,
    fragments: Fragments,
    stats: CaptureStats,
}

#[derive(Debug)]
struct Entry {
    flow: Flow,
    ends: Ends,
}

/// Tells a flow's steps to its ends.
struct ToEnds<'a, S> {
    ends: &'a mut Ends,
    sink: &'a mut S,
    /// Connections whose beginning was not captured.
    midstream: &'a mut u64,
}

impl<S: EventSink> Teller for ToEnds<'_, S> {
    fn tell(&mut self, told: Told<'_>) {
        let before = self.ends.is_announced();
        self.ends.on_told(told, self.sink);
        *self.midstream += u64::from(!before && self.ends.is_announced() && told.client.is_none());
    }
}

impl Flows {
    /// No connections yet.
    #[must_use]
    pub fn new(wanted: WantedEnds) -> Self {
        Self {
            table: LruCache::unbounded_with_hasher(FxBuildHasher),
            wanted,
            count: 0,
            held_bytes: 0,
            fragments: Fragments::default(),
            stats: CaptureStats::default(),
        }
    }

    /// Takes a packet. What it lets happen goes to `sink` as events.
    pub fn take(&mut self, packet: &Packet<'_>, sink: &mut impl EventSink) {
        self.stats.packets += 1;
        match find(packet) {
            Ok(Found::Segment(segment)) => self.on_segment(&segment, sink),
            Ok(Found::Fragment(fragment)) => self.on_fragment(packet, &fragment, sink),
            Err(why) => self.stats.skipped(why),
        }
    }

    /// Counted as skipped until the packet is whole. Such a packet can hold a fragment of another one; each leaves what is
    /// kept, so that this ends.
    fn on_fragment(&mut self, packet: &Packet<'_>, fragment: &Fragment<'_>, sink: &mut impl EventSink) {
        self.stats.skipped(Skip::Fragment);
        let Some(whole) = self.fragments.take(fragment, packet.time) else { return };
        let bytes = whole.packet();
        // At most 64 KiB.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let packet = Packet { link: linktype::RAW, length, bytes: &bytes, time: packet.time };
        match find(&packet) {
            Ok(Found::Segment(segment)) => {
                self.stats.fragments = self.stats.fragments.saturating_sub(whole.fragments);
                self.stats.joined += whole.fragments;
                self.on_segment(&segment, sink);
            }
            Ok(Found::Fragment(inner)) => {
                self.stats.fragments = self.stats.fragments.saturating_sub(whole.fragments);
                self.stats.joined += whole.fragments;
                self.on_fragment(&packet, &inner, sink);
            }
            // Of another protocol.
            Err(_) => {}
        }
    }

    /// Counts a packet that cannot be used.
    pub fn unusable(&mut self) {
        self.stats.packets += 1;
        self.stats.unusable += 1;
    }

    /// Nothing comes any more: what waits is told.
    pub fn finish(&mut self, sink: &mut impl EventSink) {
        while let Some((_, mut entry)) = self.table.pop_lru() {
            entry.flush(&mut self.stats, sink);
        }
        self.held_bytes = 0;
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> &CaptureStats {
        &self.stats
    }

    fn on_segment(&mut self, segment: &Segment<'_>, sink: &mut impl EventSink) {
        self.stats.segments += 1;
        let (key, from) = if segment.source <= segment.destination {
            (Pair { first: segment.source, second: segment.destination }, Peer::First)
        } else {
            (Pair { first: segment.destination, second: segment.source }, Peer::Second)
        };
        let known = self.table.get(&key).map(|entry| entry.flow.is_replaced_by(from, segment));
        if known != Some(false) {
            self.add(key, sink);
        }
        let Some(entry) = self.table.get_mut(&key) else { return };
        let before = entry.flow.held_bytes();
        entry.take(from, segment, &mut self.stats, sink);
        let held = self.held_bytes - before + entry.flow.held_bytes();
        if held > MAX_HELD_IN_ALL {
            entry.flush(&mut self.stats, sink);
        }
        self.held_bytes = self.held_bytes - before + entry.flow.held_bytes();
    }

    /// Adds a connection. What had its addresses before is over: how, was not captured.
    fn add(&mut self, key: Pair<SocketAddr>, sink: &mut impl EventSink) {
        self.count += 1;
        self.stats.connections += 1;
        let entry = Entry { flow: Flow::default(), ends: Ends::new(self.count, key, self.wanted) };
        let replaced = self.table.put(key, entry);
        let mut gone = replaced;
        if gone.is_none() && self.table.len() > MAX_FLOWS {
            self.stats.evicted += 1;
            gone = self.table.pop_lru().map(|(_, entry)| entry);
        }
        if let Some(mut entry) = gone {
            self.held_bytes -= entry.flow.held_bytes();
            entry.flush(&mut self.stats, sink);
        }
    }
}

impl Entry {
    fn take(
        &mut self,
        from: Peer,
        segment: &Segment<'_>,
        stats: &mut CaptureStats,
        sink: &mut impl EventSink,
    ) {
        let Self { flow, ends } = self;
        let mut teller = ToEnds { ends, sink, midstream: &mut stats.midstream };
        flow.take(from, segment, &mut stats.flows, &mut teller);
    }

    fn flush(&mut self, stats: &mut CaptureStats, sink: &mut impl EventSink) {
        let Self { flow, ends } = self;
        let mut teller = ToEnds { ends, sink, midstream: &mut stats.midstream };
        flow.flush(&mut stats.flows, &mut teller);
        self.ends.flush(sink);
    }
}
