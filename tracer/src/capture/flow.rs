//! The two byte streams of a TCP connection, put together from its segments.
//!
//! Segments are told in an order that can have been: each one when all bytes before it have been told, and all those
//! of the other peer that its sender had acknowledged. So a response comes after its request even where the
//! capture has them the other way round. What does not fit yet is held. When nothing can fill a hole any more
//! (its bytes were acknowledged, so that they arrived and were only not captured; or the bounds are reached), the
//! hole is told as a gap.

use super::pair::{Pair, Peer};
use super::segment::Segment;
use super::stats::FlowStats;
use crate::event::Nanos;

/// Segments held for one connection: as many as a fast, long path has in flight.
pub const MAX_HELD_SEGMENTS: usize = 1024;

/// Bytes held for one connection.
pub const MAX_HELD_BYTES: usize = 4 << 20;

/// How long acknowledged bytes are waited for, in nanoseconds of the capture. They arrived, so that only the capture
/// itself can have them late: packets that several processors took are not quite in order.
pub const REORDERED: Nanos = 50_000_000;

/// How long after its end, in nanoseconds of the capture, a connection whose SYN comes again with the same number is a new
/// one. Before that it is the same packet, seen once more.
const REPLAYED: Nanos = 1_000_000_000;

/// How long bytes are waited for that nobody acknowledged, in nanoseconds of the capture: as long as a sender usually
/// takes to send them again a few times (RFC 6298: 200 ms to 1 s, then twice that).
pub const RETRANSMITTED: Nanos = 3_000_000_000;

/// How far from its stream's position a reset is believed, in bytes.
const RESET_WINDOW: u32 = 1 << 24;

/// What happens on a connection next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Bytes, of which `bytes` were captured.
    Bytes {
        /// Sequence number of the first one.
        position: u32,
        /// Their number.
        length: u32,
        /// The captured ones, from the first on.
        bytes: &'a [u8],
        /// They end a write.
        push: bool,
    },
    /// Bytes that are not in the capture.
    Gap {
        /// Sequence number of the first one.
        position: u32,
        /// Their number.
        length: u32,
    },
    /// The peer sends no more.
    Finished,
    /// The peer aborted the connection.
    Reset,
    /// Both peers send no more.
    Closed,
}

/// A step, and what is known when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// When: never before the last one.
    pub time: Nanos,
    /// Whose step it is.
    pub from: Peer,
    /// What happens.
    pub step: Step<'a>,
    /// Who connected; known when the connection was captured from its start.
    pub client: Option<Peer>,
    /// Sequence numbers of the bytes that are told next.
    pub next: Pair<Option<u32>>,
}

/// ```text
/// segment ──in its place──────────────────────────▶ told
///    └──too early──▶ held ──in its place at last──▶ told
///                      └──waited long enough──▶ gap ─▲
/// ```
#[derive(Debug, Default)]
pub(super) struct Flow {
    halves: Pair<Half>,
    client: Option<Peer>,
    /// In the order in which they were captured.
    held: Vec<Held>,
    held_bytes: usize,
    /// When the last segment was captured.
    last: Nanos,
    /// The time of the last step.
    told: Nanos,
    /// An abort that waits for what was sent before it.
    reset: Option<Reset>,
    over: bool,
}

/// What one peer sends.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    /// Sequence number of its SYN.
    initial: Option<u32>,
    /// Sequence number of the first byte that is known of.
    first: Option<u32>,
    /// Sequence number of the byte to be told next.
    next: Option<u32>,
    /// What the other peer acknowledged last.
    acknowledged: Option<u32>,
    finished: bool,
}

/// A part of a stream, with the SYN taken off.
#[derive(Clone, Copy)]
struct Part<'a> {
    time: Nanos,
    from: Peer,
    sequence: u32,
    acknowledgment: Option<u32>,
    length: u32,
    bytes: &'a [u8],
    fin: bool,
    push: bool,
}

#[derive(Debug)]
struct Held {
    time: Nanos,
    from: Peer,
    sequence: u32,
    acknowledgment: Option<u32>,
    length: u32,
    bytes: Vec<u8>,
    fin: bool,
    push: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reset {
    time: Nanos,
    from: Peer,
    sequence: u32,
}

/// How a part lies to what was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// All of it was told.
    Old,
    /// It is next.
    Next,
    /// Something comes before it.
    Early,
}

/// Takes what happens.
pub(super) trait Teller {
    /// Takes what happens next.
    fn tell(&mut self, told: Told<'_>);
}

impl Flow {
    /// Whether the segment begins another connection than this one.
    pub(super) fn is_replaced_by(&self, from: Peer, segment: &Segment<'_>) -> bool {
        let half = self.halves.of(from);
        let same = match (half.initial, half.first) {
            (Some(initial), _) => initial == segment.sequence,
            (None, Some(first)) => !self.over && segment.sequence.wrapping_add(1) == first,
            (None, None) => !self.over,
        };
        // A capture that was sent again (tcpreplay) has the same numbers. So has one taken elsewhere and appended, but there
        // time goes back.
        let replayed = self.over && segment.time > self.last.saturating_add(REPLAYED);
        segment.flags.syn && (!same || replayed)
    }

    /// Bytes held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes a segment.
    pub(super) fn take(
        &mut self,
        from: Peer,
        segment: &Segment<'_>,
        stats: &mut FlowStats,
        teller: &mut impl Teller,
    ) {
        self.last = self.last.max(segment.time);
        if self.over {
            stats.after_end += u64::from(segment.length > 0);
            return;
        }
        if segment.flags.rst {
            self.on_reset(from, segment, stats);
        } else {
            let part = self.learn(from, segment);
            if part.length > 0 || part.fin {
                self.place(part, stats, teller);
            }
        }
        self.release(stats, teller);
        while self.has_waited() {
            self.give_up(stats, teller);
            self.release(stats, teller);
        }
        self.reset(stats, teller);
    }

    /// Nothing comes any more: what is held is told.
    pub(super) fn flush(&mut self, stats: &mut FlowStats, teller: &mut impl Teller) {
        while !self.held.is_empty() {
            self.give_up(stats, teller);
            self.release(stats, teller);
        }
        if let Some(reset) = self.reset.take() {
            self.end(reset.from, reset.time, Step::Reset, teller);
        }
    }

    /// Takes what the segment's header tells of both streams.
    fn learn<'a>(&mut self, from: Peer, segment: &Segment<'a>) -> Part<'a> {
        let Segment { time, sequence, acknowledgment, flags, length, bytes, .. } = *segment;
        let sequence = sequence.wrapping_add(u32::from(flags.syn));
        let half = self.halves.of_mut(from);
        if flags.syn {
            half.initial = Some(segment.sequence);
            half.begins(sequence);
            self.client = Some(if acknowledgment.is_some() { from.other() } else { from });
        } else if length > 0 || flags.fin {
            half.begins(sequence);
        }
        if let Some(number) = acknowledgment {
            let other = self.halves.of_mut(from.other());
            other.begins(number);
            let highest = other.acknowledged.get_or_insert(number);
            if is_before(*highest, number) {
                *highest = number;
            }
        }
        Part { time, from, sequence, acknowledgment, length, bytes, fin: flags.fin, push: flags.psh }
    }

    fn place(&mut self, part: Part<'_>, stats: &mut FlowStats, teller: &mut impl Teller) {
        match self.place_of(&part) {
            Place::Old if part.length <= 1 => stats.keep_alives += u64::from(part.length),
            Place::Old => {
                stats.retransmitted += 1;
                stats.retransmitted_bytes += u64::from(part.length);
            }
            Place::Next => self.tell(part, stats, teller),
            Place::Early => self.hold(part, stats),
        }
    }

    fn place_of(&self, part: &Part<'_>) -> Place {
        let half = self.halves.of(part.from);
        let Some(next) = half.next else { return Place::Next };
        if half.finished || !is_before(next, part.end()) {
            return Place::Old;
        }
        let other = self.halves.of(part.from.other()).next;
        // What comes with a SYN waits for the other one, so that both streams are known when the first byte is told.
        let causes = match (part.acknowledgment, other) {
            (Some(number), Some(next)) => !is_before(next, number),
            (number, next) => number.is_some() || next.is_some(),
        };
        if causes && !is_before(next, part.sequence) { Place::Next } else { Place::Early }
    }

    /// Tells what of a part is new.
    fn tell(&mut self, part: Part<'_>, stats: &mut FlowStats, teller: &mut impl Teller) {
        let half = self.halves.of(part.from);
        let position = half.next.unwrap_or(part.sequence);
        let seen = position.wrapping_sub(part.sequence).min(part.length);
        if seen > 0 {
            stats.overlaps += 1;
            stats.retransmitted_bytes += u64::from(seen);
        }
        let length = part.length - seen;
        if length > 0 {
            let bytes = part.bytes.get(seen as usize..).unwrap_or_default();
            let missing = u64::from(length).saturating_sub(bytes.len() as u64);
            stats.bytes += bytes.len() as u64;
            stats.cut += u64::from(missing > 0);
            stats.cut_bytes += missing;
            let step = Step::Bytes { position, length, bytes, push: part.push };
            teller.tell(self.told(part.from, part.time, step));
        }
        let half = self.halves.of_mut(part.from);
        half.next = Some(position.wrapping_add(length));
        if part.fin {
            self.finish(part.from, part.time, teller);
        }
    }

    fn finish(&mut self, from: Peer, time: Nanos, teller: &mut impl Teller) {
        teller.tell(self.told(from, time, Step::Finished));
        let half = self.halves.of_mut(from);
        half.finished = true;
        // The FIN has a sequence number of its own.
        half.next = half.next.map(|next| next.wrapping_add(1));
        if self.halves.of(from.other()).finished {
            self.end(from, time, Step::Closed, teller);
        }
    }

    fn end(&mut self, from: Peer, time: Nanos, step: Step<'_>, teller: &mut impl Teller) {
        teller.tell(self.told(from, time, step));
        self.over = true;
        self.held = Vec::new();
        self.held_bytes = 0;
        self.reset = None;
    }

    fn on_reset(&mut self, from: Peer, segment: &Segment<'_>, stats: &mut FlowStats) {
        let Segment { time, sequence, .. } = *segment;
        let next = self.halves.of(from).next;
        // One of an earlier connection with the same ports, or of nobody.
        if next.is_some_and(|next| {
            next.wrapping_sub(sequence).min(sequence.wrapping_sub(next)) > RESET_WINDOW && sequence != 0
        }) {
            stats.stray_resets += 1;
            return;
        }
        self.reset.get_or_insert(Reset { time, from, sequence });
    }

    /// Ends the connection if it was aborted, and all that was sent before that was told. What is missing may only have been
    /// captured out of order.
    fn reset(&mut self, stats: &mut FlowStats, teller: &mut impl Teller) {
        let Some(Reset { time, from, sequence }) = self.reset else { return };
        let next = self.halves.of(from).next;
        let lacks = !self.held.is_empty() || next.is_some_and(|next| is_before(next, sequence));
        if !lacks || self.last.saturating_sub(time) > REORDERED {
            self.flush(stats, teller);
        }
    }

    /// `time`: when what happens was captured. What waited for something that was captured later happens after that.
    fn told<'a>(&mut self, from: Peer, time: Nanos, step: Step<'a>) -> Told<'a> {
        self.told = self.told.max(time);
        let next = Pair { first: self.halves.first.next, second: self.halves.second.next };
        Told { time: self.told, from, step, client: self.client, next }
    }

    fn hold(&mut self, part: Part<'_>, stats: &mut FlowStats) {
        let is_held = |held: &Held| {
            (held.from, held.sequence) == (part.from, part.sequence) && held.length >= part.length
        };
        if self.held.iter().any(|held| is_held(held) && held.fin == part.fin) {
            stats.retransmitted += 1;
            stats.retransmitted_bytes += u64::from(part.length);
            return;
        }
        stats.held += 1;
        self.held_bytes += part.bytes.len();
        let Part { time, from, sequence, acknowledgment, length, bytes, fin, push } = part;
        let bytes = bytes.to_vec();
        self.held.push(Held { time, from, sequence, acknowledgment, length, bytes, fin, push });
    }

    /// Tells what is held and has its place now.
    fn release(&mut self, stats: &mut FlowStats, teller: &mut impl Teller) {
        while let Some(at) = self.held.iter().position(|held| self.place_of(&held.part()) != Place::Early) {
            let held = self.held.remove(at);
            self.held_bytes -= held.bytes.len();
            self.place(held.part(), stats, teller);
        }
    }

    /// Whether what is held has waited long enough, or is too much.
    fn has_waited(&self) -> bool {
        let Some(oldest) = self.held.first() else { return false };
        let wait = match self.hole(oldest) {
            Some(hole) if hole.arrived => REORDERED,
            _ => RETRANSMITTED,
        };
        self.last.saturating_sub(oldest.time) > wait
            || self.held.len() > MAX_HELD_SEGMENTS
            || self.held_bytes > MAX_HELD_BYTES
    }

    /// Tells the hole before the oldest held segment as a gap.
    fn give_up(&mut self, stats: &mut FlowStats, teller: &mut impl Teller) {
        let Some(oldest) = self.held.first() else { return };
        let (from, time, closes) = (oldest.from, oldest.time, oldest.fin);
        let Some(hole) = self.hole(oldest) else {
            // It came with a SYN that was not answered. Nothing is before it: it is told as it is.
            let held = self.held.remove(0);
            self.held_bytes -= held.bytes.len();
            self.tell(held.part(), stats, teller);
            return;
        };
        let Hole { of, position, length, .. } = hole;
        if closes && of != from && length == 1 {
            // A peer that closes acknowledges the other one's FIN: that is what is missing.
            return self.finish(of, time, teller);
        }
        stats.gaps += 1;
        stats.gap_bytes += u64::from(length);
        teller.tell(self.told(of, time, Step::Gap { position, length }));
        self.halves.of_mut(of).next = Some(position.wrapping_add(length));
    }

    /// What comes before a held segment and is not there.
    fn hole(&self, held: &Held) -> Option<Hole> {
        let own = self.halves.of(held.from);
        let next = own.next?;
        if is_before(next, held.sequence) {
            let arrived = own.acknowledged.is_some_and(|number| is_before(next, number));
            let end = self.first_held(held.from, next, held.sequence);
            let length = end.wrapping_sub(next);
            return Some(Hole { of: held.from, position: next, length, arrived });
        }
        let of = held.from.other();
        let next = self.halves.of(of).next?;
        let number = held.acknowledgment.filter(|number| is_before(next, *number))?;
        let end = self.first_held(of, next, number);
        Some(Hole { of, position: next, length: end.wrapping_sub(next), arrived: true })
    }

    /// Where the first held part of a stream behind `next` begins, if that is before `bound`.
    fn first_held(&self, from: Peer, next: u32, bound: u32) -> u32 {
        let of_stream = self.held.iter().filter(|held| held.from == from && is_before(next, held.sequence));
        of_stream
            .map(|held| held.sequence)
            .fold(bound, |first, at| if is_before(at, first) { at } else { first })
    }
}

/// Bytes that are not there.
#[derive(Clone, Copy)]
struct Hole {
    of: Peer,
    position: u32,
    length: u32,
    /// The other peer has acknowledged some of them.
    arrived: bool,
}

impl Half {
    /// A byte with this number is the first that is known of, if none was.
    fn begins(&mut self, sequence: u32) {
        self.first.get_or_insert(sequence);
        self.next.get_or_insert(sequence);
    }
}

impl Part<'_> {
    /// Sequence number behind it.
    fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length).wrapping_add(u32::from(self.fin))
    }
}

impl Held {
    fn part(&self) -> Part<'_> {
        let Self { time, from, sequence, acknowledgment, length, ref bytes, fin, push } = *self;
        Part { time, from, sequence, acknowledgment, length, bytes, fin, push }
    }
}

/// RFC 9293 3.4: sequence numbers are compared modulo 2^32.
fn is_before(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) > 0
}
