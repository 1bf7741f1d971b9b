//! What is complete but for its ids: spans and lines whose parent, or whose parent's trace, is known later.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

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
    /// In the order of their coming, so that what is held long lies where it was put.
    order: VecDeque<Place<T>>,
    /// The numbers of what waits for the same, growing.
    waiting: FxHashMap<WaitsFor, SmallVec<[u64; 1]>>,
    last: u64,
    count: usize,
}

#[derive(Debug)]
struct Place<T> {
    number: u64,
    waits_for: WaitsFor,
    /// `None` once it is released.
    thing: Option<T>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), waiting: FxHashMap::default(), last: 0, count: 0 }
    }
}

impl<T> Held<T> {
    /// Holds a thing. Returns one that had to go for it.
    pub fn hold(&mut self, waits_for: WaitsFor, thing: T) -> Option<T> {
        let displaced = if self.count >= MAX_HELD { self.oldest() } else { None };
        self.last += 1;
        self.waiting.entry(waits_for).or_default().push(self.last);
        self.order.push_back(Place { number: self.last, waits_for, thing: Some(thing) });
        self.count += 1;
        displaced
    }

    /// What waited for this, in the order in which it came.
    pub fn release(&mut self, waits_for: WaitsFor) -> SmallVec<[T; 1]> {
        if self.count == 0 {
            return SmallVec::new();
        }
        let Some(numbers) = self.waiting.remove(&waits_for) else { return SmallVec::new() };
        let released: SmallVec<_> = numbers.iter().filter_map(|number| self.take(*number)).collect();
        self.count -= released.len();
        self.forget_released();
        released
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
        while let Some(Place { number, waits_for, thing }) = self.order.pop_front() {
            let Some(thing) = thing else { continue };
            if let Some(numbers) = self.waiting.get_mut(&waits_for) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.waiting.remove(&waits_for);
                }
            }
            self.count -= 1;
            return Some(thing);
        }
        None
    }

    fn take(&mut self, number: u64) -> Option<T> {
        // Mostly it is the one that came first; where none before it is forgotten, its number tells its place.
        let first = self.order.front()?.number;
        let near = usize::try_from(number.checked_sub(first)?).ok()?;
        let at = match self.order.get(near) {
            Some(place) if place.number == number => near,
            _ => self.order.binary_search_by_key(&number, |place| place.number).ok()?,
        };
        self.order.get_mut(at)?.thing.take()
    }

    /// Keeps the order's length near that of what waits.
    fn forget_released(&mut self) {
        while self.order.pop_front_if(|place| place.thing.is_none()).is_some() {}
        if self.order.len() > 2 * self.count + 64 {
            self.order.retain(|place| place.thing.is_some());
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
        let third = held.release(group(3));
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
            assert_eq!(held.release(WaitsFor::Ids(ActiveId(number))).as_slice(), [number]);
        }
        assert!(held.order.len() < 100);
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn each_thing_is_given_out_once_in_whatever_order() {
        let mut held = Held::default();
        let mut model: Vec<(u64, u64)> = Vec::new();
        let mut ids = crate::correlate::ids::IdGenerator::new([7; 32]);
        for number in 0..20_000 {
            let random = u64::from_be_bytes(ids.span_id().0);
            // Some wait for what hardly ever comes.
            let group = if random % 16 < 15 { random % 61 } else { 1000 + random % 997 };
            match random >> 60 {
                0..8 => {
                    assert_eq!(held.hold(WaitsFor::Ids(ActiveId(group)), number), None);
                    model.push((group, number));
                }
                8 => {
                    let oldest = (!model.is_empty()).then(|| model.remove(0).1);
                    assert_eq!(held.oldest(), oldest);
                }
                _ => {
                    let expected: Vec<_> = model.extract_if(.., |(other, _)| *other == group).collect();
                    let released = held.release(WaitsFor::Ids(ActiveId(group)));
                    assert!(released.iter().eq(expected.iter().map(|(_, number)| number)));
                }
            }
            assert_eq!(held.len(), model.len());
            assert!(held.order.len() < 2 * model.len() + 100);
        }
        assert!(!model.is_empty());
    }
}
