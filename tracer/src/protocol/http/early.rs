//! Responses whose events arrive before their requests' events.
//!
//! Events are stamped at the exit of calls. Where one thread writes requests and another reads responses, the
//! writer can be kept from leaving its call until the response has been read.

use super::{MAX_EARLY, MAX_EARLY_INPUTS};
use crate::event::{Mark, Side};
use crate::protocol::Input;

/// A few response inputs, held until their request is known.
#[derive(Debug, Default)]
pub(super) struct Early {
    inputs: Vec<Held>,
    bytes: usize,
}

/// One input.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Vec<u8>,
    call_start: bool,
    mark: Mark,
}

impl Held {
    pub(super) fn input(&self) -> Input<'_> {
        Input { side: Side::Response, bytes: &self.bytes, call_start: self.call_start, mark: self.mark }
    }
}

impl Early {
    pub(super) fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Holds an input, if there is room.
    pub(super) fn hold(&mut self, input: &Input<'_>) -> bool {
        let bytes = self.bytes + input.bytes.len();
        if bytes > MAX_EARLY || self.inputs.len() >= MAX_EARLY_INPUTS {
            return false;
        }
        self.bytes = bytes;
        self.inputs.push(Held {
            bytes: input.bytes.to_vec(),
            call_start: input.call_start,
            mark: input.mark,
        });
        true
    }

    /// Gives back all that was held.
    pub(super) fn take(&mut self) -> Vec<Held> {
        self.bytes = 0;
        std::mem::take(&mut self.inputs)
    }
}
