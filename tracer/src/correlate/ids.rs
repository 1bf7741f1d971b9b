//! Trace and span ids.

use crate::span::{SpanId, TraceId};

/// Makes ids: xoshiro256++ (Blackman and Vigna, <https://prng.di.unimi.it/xoshiro256plusplus.c>). Not for
/// secrets; the caller seeds it from the operating system.
#[derive(Clone, Debug)]
pub struct IdGenerator {
    state: [u64; 4],
}

impl IdGenerator {
    /// A generator that starts from `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        // The one state that yields nothing but zeros.
        if state == [0; 4] {
            state = [0x9e37_79b9_7f4a_7c15; 4];
        }
        Self { state }
    }

    /// A new trace's id.
    pub fn trace_id(&mut self) -> TraceId {
        let (high, low) = (self.nonzero(), self.nonzero());
        TraceId(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
    }

    /// A new span's id.
    pub fn span_id(&mut self) -> SpanId {
        SpanId(self.nonzero().to_be_bytes())
    }

    fn nonzero(&mut self) -> u64 {
        loop {
            let value = self.next();
            if value != 0 {
                return value;
            }
        }
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn follows_the_reference_implementation() {
        let mut seed = [0; 32];
        for (word, value) in seed.chunks_exact_mut(8).zip(1_u64..) {
            word.copy_from_slice(&value.to_le_bytes());
        }
        let mut ids = IdGenerator::new(seed);
        // The first outputs of xoshiro256++ for the state 1, 2, 3, 4.
        let expected = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!([(); 4].map(|()| ids.next()), expected);
    }

    #[test]
    fn ids_differ_and_are_never_zero() {
        let mut ids = IdGenerator::new([0; 32]);
        let spans: HashSet<_> = (0..10_000).map(|_| ids.span_id()).collect();
        assert_eq!(spans.len(), 10_000);
        assert!(!spans.contains(&SpanId::default()));
        assert_ne!(ids.trace_id(), ids.trace_id());
    }
}
