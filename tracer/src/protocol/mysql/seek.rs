//! Finds the next command on a request side whose message boundaries are not known.

use super::super::Input;
use super::framer::HEADER;
use super::plausible::{self, Fit};
use crate::event::Mark;

/// Bytes that are gathered to judge a candidate: a header, a comment and the first word.
const MAX_CANDIDATE: usize = 512;

/// Gathers bytes from a call's start until they are a command for certain, or are not.
#[derive(Debug, Default)]
pub(super) struct Seeker {
    candidate: Vec<u8>,
    /// The call that moved the candidate's first byte.
    first: Mark,
}

/// A command begins.
#[derive(Debug)]
pub(super) struct Found {
    /// Its bytes from calls before this one.
    pub(super) earlier: Vec<u8>,
    /// The call that moved them.
    pub(super) first: Mark,
}

impl Seeker {
    /// Takes the next bytes; says when they, after the earlier ones, begin a command.
    pub(super) fn push(&mut self, input: &Input<'_>) -> Option<Found> {
        if !self.candidate.is_empty() {
            let earlier = std::mem::take(&mut self.candidate);
            match judge(&earlier, input.bytes) {
                Fit::No => {}
                Fit::Open => {
                    self.keep(earlier, input.bytes);
                    return None;
                }
                Fit::Weak | Fit::Strong => return Some(Found { earlier, first: self.first }),
            }
        }
        if !input.call_start {
            return None;
        }
        self.first = input.mark;
        match judge(&[], input.bytes) {
            Fit::No => None,
            Fit::Open => {
                self.keep(Vec::new(), input.bytes);
                None
            }
            Fit::Weak | Fit::Strong => Some(Found { earlier: Vec::new(), first: input.mark }),
        }
    }

    /// Bytes were lost: a candidate cannot go on.
    pub(super) fn reset(&mut self) {
        self.candidate.clear();
    }

    fn keep(&mut self, mut earlier: Vec<u8>, bytes: &[u8]) {
        earlier.extend_from_slice(bytes);
        self.candidate = earlier;
    }
}

/// Judges a candidate. A long one that is still open is the beginning of a long message of arguments.
fn judge(earlier: &[u8], bytes: &[u8]) -> Fit {
    let fit = if earlier.is_empty() {
        plausible::request(bytes)
    } else {
        let room = MAX_CANDIDATE.saturating_sub(earlier.len());
        let all = [earlier, bytes.get(..room).unwrap_or(bytes)].concat();
        if bytes.len() > room { plausible::one_request(&all) } else { plausible::request(&all) }
    };
    let length = earlier.len() + bytes.len();
    if fit == Fit::Open && length >= MAX_CANDIDATE + HEADER { Fit::No } else { fit }
}
