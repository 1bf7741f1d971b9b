//! Prepared statements of a session, so that EXECUTE can carry its text.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::exchange::QueryText;

/// Most statements of one session that are remembered; beyond it the oldest is forgotten.
const MAX_STATEMENTS: usize = 1024;
/// Most bytes of their texts.
const MAX_BYTES: usize = 512 * 1024;

/// Statement id → text.
#[derive(Debug, Default)]
pub(super) struct Statements {
    texts: FxHashMap<u32, QueryText>,
    /// Ids in the order in which they were prepared.
    order: VecDeque<u32>,
    bytes: usize,
    /// The text of the last PREPARE, for MariaDB's statement id -1.
    last: Option<QueryText>,
}

impl Statements {
    /// A PREPARE was sent.
    pub(super) fn sent(&mut self, text: &QueryText) {
        self.last = Some(text.clone());
    }

    /// The text of the last PREPARE that was sent.
    pub(super) fn last(&self) -> Option<QueryText> {
        self.last.clone()
    }

    /// The server gave this text an id.
    pub(super) fn insert(&mut self, id: u32, text: QueryText) {
        self.remove(id);
        self.bytes += text.text.len();
        self.texts.insert(id, text);
        self.order.push_back(id);
        while self.texts.len() > MAX_STATEMENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(oldest);
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<QueryText> {
        self.texts.get(&id).cloned()
    }

    pub(super) fn remove(&mut self, id: u32) {
        if let Some(text) = self.texts.remove(&id) {
            self.bytes -= text.text.len();
            self.order.retain(|other| *other != id);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> QueryText {
        QueryText { text: "x".repeat(length).into(), truncated: false }
    }

    #[test]
    fn is_bounded_by_number_and_by_bytes() {
        let mut statements = Statements::default();
        (0..5000).for_each(|id| statements.insert(id, text(1)));
        assert_eq!(statements.texts.len(), MAX_STATEMENTS);
        assert!(statements.get(4999).is_some() && statements.get(0).is_none());
        (0..50).for_each(|id| statements.insert(id, text(64 * 1024)));
        assert!(statements.bytes <= MAX_BYTES && statements.get(49).is_some());
    }

    #[test]
    fn closing_and_preparing_for_ever_does_not_grow() {
        let mut statements = Statements::default();
        for id in 0..10_000 {
            statements.insert(id, text(10));
            statements.remove(id);
        }
        assert_eq!((statements.texts.len(), statements.order.len(), statements.bytes), (0, 0, 0));
    }
}
