//! Replies whose events came before their commands' events.

use crate::event::Mark;

/// Bytes held at most.
const MAX_BYTES: usize = 64 * 1024;
/// Calls held at most.
const MAX_CALLS: usize = 256;

/// A bounded store of reply bytes.
#[derive(Debug)]
pub(super) struct Early {
    allowed: bool,
    held: Vec<(Mark, Vec<u8>)>,
    bytes: usize,
}

impl Early {
    pub(super) fn new(allowed: bool) -> Self {
        Self { allowed, held: Vec::new(), bytes: 0 }
    }

    /// From now on a reply that nothing asked for is a sign of something missed.
    pub(super) fn forbid(&mut self) {
        *self = Self::new(false);
    }

    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Keeps the bytes. False: not allowed, or too many.
    pub(super) fn hold(&mut self, bytes: &[u8], mark: Mark) -> bool {
        let total = self.bytes.saturating_add(bytes.len());
        if !self.allowed || total > MAX_BYTES || self.held.len() >= MAX_CALLS {
            return false;
        }
        self.bytes = total;
        self.held.push((mark, bytes.to_vec()));
        true
    }

    /// Hands everything back, in order.
    pub(super) fn take(&mut self) -> Vec<(Mark, Vec<u8>)> {
        self.bytes = 0;
        std::mem::take(&mut self.held)
    }
}
