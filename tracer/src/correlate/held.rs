//! What is complete but for its ids: spans and lines whose parent, or whose parent's trace, is known later.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::late::Ticket;
use crate::event::ActiveId;

/// Spans, and lines, that are held at a time; beyond that the one that waited longest goes without a parent.
pub const MAX_HELD: usize = 16_384;

/// What something waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitsFor {
    /// Its parent.
    Parent(Ticket),
    /// The ids of its parent, or its own: a server exchange's, which may turn out to continue another trace.
    Ids(ActiveId),
}

/// Things that wait.
#[derive(Debug)]
pub struct Held<T> {
    waiting: FxHashMap<WaitsFor, Vec<(u64, T)>>,
    order: VecDeque<(u64, WaitsFor)>,
    last: u64,
    count: usize,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { waiting: FxHashMap::default(), order: VecDeque::new(), last: 0, count: 0 }
    }
}

impl<T> Held<T> {
    /// Holds a thing. Returns one that had to go for it.
    pub fn hold(&mut self, waits_for: WaitsFor, thing: T) -> Option<T> {
        let displaced = if self.count >= MAX_HELD { self.oldest() } else { None };
        self.last += 1;
        // Mostly it is the only one.
        let waiting = self.waiting.entry(waits_for).or_insert_with(|| Vec::with_capacity(1));
        waiting.push((self.last, thing));
        self.order.push_back((self.last, waits_for));
        self.count += 1;
        displaced
    }

    /// What waited for this, in the order in which it came.
    pub fn release(&mut self, waits_for: WaitsFor) -> impl Iterator<Item = T> + use<T> {
        let released = self.waiting.remove(&waits_for).unwrap_or_default();
        self.count -= released.len();
        self.forget_released();
        released.into_iter().map(|(_, thing)| thing)
    }

    /// Number of things that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The thing that waited longest.
    pub fn oldest(&mut self) -> Option<T> {
        while let Some((number, waits_for)) = self.order.pop_front() {
            let Some(things) = self.waiting.get_mut(&waits_for) else { continue };
            let Some(at) = things.iter().position(|(other, _)| *other == number) else { continue };
            let (_, thing) = things.remove(at);
            if things.is_empty() {
                self.waiting.remove(&waits_for);
            }
            self.count -= 1;
            return Some(thing);
        }
        None
    }

    /// Keeps the order's length near that of what waits.
    fn forget_released(&mut self) {
        if self.count == 0 {
            self.order.clear();
        } else if self.order.len() > 2 * self.count + 64 {
            let waiting = &self.waiting;
            self.order.retain(|(number, waits_for)| {
                waiting
                    .get(waits_for)
                    .is_some_and(|things| things.binary_search_by_key(number, |(other, _)| *other).is_ok())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes_first() {
        let mut held = Held::default();
        let group = |number: usize| WaitsFor::Ids(ActiveId(number as u64 % 7));
        for number in 0..MAX_HELD {
            assert_eq!(held.hold(group(number), number), None);
        }
        assert_eq!(held.hold(group(0), MAX_HELD), Some(0));
        let third: Vec<_> = held.release(group(3)).collect();
        assert_eq!(third[..3], [3, 10, 17]);
        assert_eq!(held.oldest(), Some(1));
        while held.oldest().is_some() {}
        assert!(held.is_empty() && held.waiting.is_empty());
    }

    #[test]
    fn the_order_does_not_outgrow_what_waits() {
        let mut held = Held::default();
        held.hold(WaitsFor::Ids(ActiveId(0)), 0);
        for number in 1..10_000 {
            held.hold(WaitsFor::Ids(ActiveId(number)), number);
            assert_eq!(held.release(WaitsFor::Ids(ActiveId(number))).count(), 1);
        }
        assert!(held.order.len() < 100);
        assert_eq!(held.len(), 1);
    }
}
