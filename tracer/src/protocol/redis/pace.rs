//! How fast a connection that works by turns goes, and when it pauses.

use crate::event::Nanos;

/// Exchanges that show the pace.
const ENOUGH_CYCLES: u64 = 8;
/// A pause is so many times what an exchange takes. A reply that is due would come in this time even if it had to wait
/// for those to as many other commands.
const PAUSE: u64 = 8;
/// So many pauses. In one the other side may have been held up as well, by the same thing or by chance.
const ENOUGH_PAUSES: u32 = 5;

/// The times of exchanges that follow one another.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last one began.
    began: Option<Nanos>,
    /// Sum of the times from one's beginning to the next one's, pauses left out.
    total: Nanos,
    /// Their number.
    cycles: u64,
    pauses: u32,
}

impl Pace {
    /// A command begins at `time`, after nothing moved for `still`. `follows`: in turn, after the one before it.
    pub(super) fn begin(&mut self, time: Nanos, still: Nanos, follows: bool) {
        let before = self.began.replace(time).filter(|_| follows);
        let Some(cycle) = before.map(|before| time.saturating_sub(before)) else { return };
        let long = self.total.saturating_mul(PAUSE) / self.cycles.max(1);
        if self.cycles >= ENOUGH_CYCLES && still > 0 && still >= long {
            self.pauses = self.pauses.saturating_add(1);
        } else {
            self.total = self.total.saturating_add(cycle);
            self.cycles += 1;
        }
    }

    /// It paused often enough.
    pub(super) fn has_paused(&self) -> bool {
        self.pauses >= ENOUGH_PAUSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_told_from_the_usual() {
        let mut pace = Pace::default();
        let mut time = 0;
        let mut step = |pace: &mut Pace, still| {
            time += 100 + still;
            pace.begin(time, still, true);
        };
        for _ in 0..4 {
            step(&mut pace, 2000);
        }
        assert_eq!(pace.pauses, 0, "what is usual is not known yet");
        for _ in 0..100 {
            step(&mut pace, 100);
        }
        for number in 0..5 {
            assert_eq!((pace.pauses, pace.has_paused()), (number, false));
            step(&mut pace, 3000);
            step(&mut pace, 1000);
        }
        assert!(pace.has_paused());
    }
}
