//! Positions in one direction of a connection: what follows on, what is missing, what was seen before.
//!
//! Events are taken in the order in which they come. Two threads that read from one socket at the same time (or write
//! to it) without a lock of their own can be told in the other order: then the first event looks like a gap, and the
//! second one, which would close it, is discarded as a step back. Both are counted. Holding events back would not mend
//! it: the kernel's position is read after the call, when it may already count what the other thread moved, so that
//! the positions are as wrong as the order; and every real gap would wait for an event that never comes.

/// One direction of a connection.
///
/// Positions are TCP sequence numbers, of which only the low 32 bits count, or 64-bit byte counts; either way
/// only differences to the expected position matter, so that wrapping needs no care of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    origin: Origin,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Origin {
    /// Nothing is known: the next call says where the stream stands.
    #[default]
    Unknown,
    /// The stream's data began here, but some may have moved before anybody looked.
    NotBefore(u64),
    /// The next byte has this position.
    At(u64),
}

/// The bytes that one call moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Position of the first of them.
    pub position: u64,
    /// Their number; 0 for a call that only tells the end.
    pub length: u32,
    /// Positions are 32-bit TCP sequence numbers.
    pub sequence: bool,
    /// The position may count a FIN: the sender of these bytes is done.
    pub fin_counted: bool,
}

/// How a call's bytes continue their stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// They come after `lost` bytes that no event told of (0: they follow on).
    Forward {
        /// Missing bytes.
        lost: u64,
    },
    /// Their first `seen` bytes came before; the others follow on.
    Overlap {
        /// Bytes to cut from the start.
        seen: u64,
    },
    /// All of them came before, or belong to an earlier user of the socket's address.
    Stale,
}

impl Stream {
    /// A stream whose next byte has this position.
    #[must_use]
    pub fn at(position: u64) -> Self {
        Self { origin: Origin::At(position) }
    }

    /// A stream whose first byte of all had this position.
    #[must_use]
    pub fn not_before(position: u64) -> Self {
        Self { origin: Origin::NotBefore(position) }
    }

    /// Whether a position is known that the next call can be compared with.
    #[must_use]
    pub fn is_placed(self) -> bool {
        matches!(self.origin, Origin::At(_))
    }

    /// Position of the next byte, if it is known.
    #[must_use]
    pub fn next(self) -> Option<u64> {
        match self.origin {
            Origin::At(next) => Some(next),
            Origin::Unknown | Origin::NotBefore(_) => None,
        }
    }

    /// Takes the next call's bytes.
    pub fn advance(&mut self, extent: Extent) -> Step {
        let (expected, known) = match self.origin {
            Origin::Unknown => (extent.position, true),
            Origin::NotBefore(first) => (first, false),
            Origin::At(next) => (next, true),
        };
        let ahead = match difference(extent, expected) {
            // `copied_seq` moved over the FIN within this call or before it: no byte is missing.
            1 if extent.fin_counted && known => 0,
            ahead => ahead,
        };
        let length = u64::from(extent.length);
        match u64::try_from(ahead) {
            Ok(0) => self.step(expected, length, Step::Forward { lost: 0 }),
            Ok(lost) if known => self.step(expected.wrapping_add(lost), length, Step::Forward { lost }),
            Ok(_) => self.step(extent.position, length, Step::Forward { lost: 0 }),
            Err(_) => {
                let seen = ahead.unsigned_abs();
                if seen >= length {
                    return Step::Stale;
                }
                self.step(expected, length - seen, Step::Overlap { seen })
            }
        }
    }

    /// Bytes before `end` that no call told of, where `end` is the TCP sequence number behind the last byte and may
    /// count a FIN.
    #[must_use]
    pub fn missing_before(self, end: u32) -> u64 {
        let Origin::At(next) = self.origin else { return 0 };
        // RFC 9293 3.4: compared modulo 2^32.
        let ahead = end.wrapping_sub(next as u32) as i32;
        u64::try_from(ahead).map_or(0, |ahead| ahead.saturating_sub(1))
    }

    fn step(&mut self, from: u64, length: u64, step: Step) -> Step {
        self.origin = Origin::At(from.wrapping_add(length));
        step
    }
}

/// How far the extent begins past `expected`; negative when it begins before.
fn difference(extent: Extent, expected: u64) -> i64 {
    let difference = extent.position.wrapping_sub(expected);
    if extent.sequence {
        // RFC 9293 3.4: sequence numbers are compared modulo 2^32.
        i64::from(difference as u32 as i32)
    } else {
        difference as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(position: u64, length: u32) -> Extent {
        Extent { position, length, sequence: true, fin_counted: false }
    }

    const FOLLOWS: Step = Step::Forward { lost: 0 };

    #[test]
    fn contiguous_across_the_wrap() {
        let mut stream = Stream::at(0xffff_fff0);
        assert_eq!(stream.advance(extent(0xffff_fff0, 0x20)), FOLLOWS);
        assert_eq!(stream.advance(extent(0x10, 5)), FOLLOWS);
        assert_eq!(stream.advance(extent(0x15, 1)), FOLLOWS);
    }

    #[test]
    fn a_jump_ahead_is_a_gap_and_the_stream_goes_on_behind_it() {
        let mut stream = Stream::at(0xffff_fffe);
        assert_eq!(stream.advance(extent(8, 10)), Step::Forward { lost: 10 });
        assert_eq!(stream.advance(extent(18, 1)), FOLLOWS);
    }

    #[test]
    fn steps_back_are_stale_or_cut() {
        let mut stream = Stream::at(100);
        assert_eq!(stream.advance(extent(90, 10)), Step::Stale);
        assert_eq!(stream.advance(extent(40, 3)), Step::Stale);
        assert_eq!(stream.advance(extent(96, 10)), Step::Overlap { seen: 4 });
        assert_eq!(stream.advance(extent(106, 1)), FOLLOWS);
    }

    #[test]
    fn calls_told_in_the_other_order_are_a_gap_and_a_step_back() {
        let mut stream = Stream::at(100);
        assert_eq!(stream.advance(extent(110, 5)), Step::Forward { lost: 10 });
        assert_eq!(stream.advance(extent(100, 10)), Step::Stale);
        assert_eq!(stream.advance(extent(115, 1)), FOLLOWS, "what comes next is not affected");
    }

    #[test]
    fn the_fin_is_not_a_gap() {
        let mut stream = Stream::at(100);
        let fin = |position, length| Extent { fin_counted: true, ..extent(position, length) };
        assert_eq!(stream.advance(fin(100, 10)), FOLLOWS);
        assert_eq!(stream.advance(fin(111, 10)), FOLLOWS, "read up to and over the FIN");
        assert_eq!(stream.advance(fin(121, 0)), FOLLOWS, "the read of 0 behind it");
        assert_eq!(stream.advance(fin(122, 5)), Step::Forward { lost: 2 });
        let mut stream = Stream::at(100);
        assert_eq!(stream.advance(extent(101, 1)), Step::Forward { lost: 1 }, "no FIN was told");
    }

    #[test]
    fn a_first_position_is_taken_unless_it_lies_before_the_first_byte_of_all() {
        let mut stream = Stream::default();
        assert_eq!(stream.advance(extent(77, 3)), FOLLOWS);
        assert_eq!(stream.advance(extent(80, 3)), FOLLOWS);
        let mut stream = Stream::not_before(1000);
        assert_eq!(stream.advance(extent(900, 10)), Step::Stale);
        assert!(!stream.is_placed());
        assert_eq!(stream.advance(extent(5000, 10)), FOLLOWS);
        assert_eq!(stream.advance(extent(5011, 1)), Step::Forward { lost: 1 });
    }

    #[test]
    fn what_is_missing_at_the_end_is_told_without_the_fin() {
        let missing = |end| Stream::at(0xffff_fffe).missing_before(end);
        assert_eq!((missing(0xffff_fffe), missing(0xffff_ffff)), (0, 0), "perhaps a FIN");
        assert_eq!((missing(3), missing(0xffff_fff0)), (4, 0));
        assert_eq!(Stream::not_before(7).missing_before(99), 0);
    }

    #[test]
    fn byte_counts_use_all_64_bits() {
        let count = |position, length| Extent { sequence: false, ..extent(position, length) };
        let mut stream = Stream::at(0xffff_ffff);
        assert_eq!(stream.advance(count(0xffff_ffff, 2)), FOLLOWS);
        assert_eq!(stream.advance(count(0x1_0000_0001, 2)), FOLLOWS);
        assert_eq!(stream.advance(count(0x2_0000_0003, 2)), Step::Forward { lost: 0x1_0000_0000 });
        assert_eq!(stream.advance(count(3, 2)), Step::Stale);
    }
}
