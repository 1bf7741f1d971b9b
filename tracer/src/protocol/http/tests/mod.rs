//! Conversations fed by hand, split everywhere, and with random losses.

mod gaps;
mod golden;
mod losses;
mod splits;

use std::collections::{HashMap, HashSet};

use super::{HttpConversation, HttpExchange};
use crate::event::{Mark, Role, Side};
use crate::protocol::{Conversation, Detail, End, Exchange, Input, Progress, Start};

/// A conversation and all it told, with the trait's rules checked after every input.
#[derive(Debug)]
struct Tap {
    conversation: HttpConversation,
    call: u64,
    out: Vec<Progress>,
}

impl Tap {
    fn new(fresh: bool) -> Self {
        Self::with_role(Role::Server, fresh)
    }

    fn with_role(role: Role, fresh: bool) -> Self {
        Self { conversation: HttpConversation::new(Start { role, fresh }), call: 0, out: Vec::new() }
    }

    fn mark(&self) -> Mark {
        Mark { time: self.call * 10, call: self.call, ..Mark::default() }
    }

    /// A call that moves `bytes`.
    fn call(&mut self, side: Side, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call += 1;
        self.part(side, bytes.as_ref(), true)
    }

    /// A call whose first bytes are missing.
    fn late_part(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        self.call += 1;
        self.part(side, bytes, false)
    }

    /// A part of the current call.
    fn part(&mut self, side: Side, bytes: &[u8], call_start: bool) -> &mut Self {
        let told = self.out.len();
        let mark = self.mark();
        self.conversation.on_bytes(Input { side, bytes, call_start, mark }, &mut self.out);
        self.check_touched(told);
        self
    }

    fn request(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call(Side::Request, bytes)
    }

    fn response(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call(Side::Response, bytes)
    }

    fn gap(&mut self, side: Side, lost: u64) -> &mut Self {
        let told = self.out.len();
        let mark = self.mark();
        self.conversation.on_gap(side, lost, mark, &mut self.out);
        self.check_touched(told);
        self
    }

    fn end(&mut self, side: Side, end: End) -> &mut Self {
        self.call += 1;
        let mark = self.mark();
        self.conversation.on_end(side, end, mark, &mut self.out);
        self
    }

    fn close(&mut self) -> &mut Self {
        self.end(Side::Request, End::Closed);
        self.check_closed();
        self
    }

    /// One `Touched` an input and exchange. Responses that were held are inputs of their own.
    fn check_touched(&self, told: usize) {
        let now = self.mark().call;
        let mut touched = HashSet::new();
        for progress in &self.out[told..] {
            if let Progress::Touched { id, side, mark } = progress
                && mark.call == now
            {
                assert!(touched.insert((*id, *side)), "touched twice: {:?}", &self.out[told..]);
            }
        }
    }

    /// Every exchange begins, has its context told before anything else, and ends once.
    fn check_closed(&self) {
        let mut stage = HashMap::new();
        for progress in &self.out {
            let (id, ok, next) = match progress {
                Progress::Begun { id, .. } => (id, !stage.contains_key(id), "begun"),
                Progress::Context { id, .. } => (id, stage.get(id) == Some(&"begun"), "context"),
                Progress::Touched { id, side: Side::Request, .. } => (id, stage[id] != "over", stage[id]),
                Progress::Touched { id, .. } => (id, stage[id] == "context", "context"),
                Progress::Answered { id } => (id, stage[id] == "context", "context"),
                Progress::Ended { id, .. } => (id, stage[id] == "context", "over"),
                Progress::Abandoned { id, .. } => (id, stage[id] != "over", "over"),
            };
            assert!(ok, "{progress:?} in {:?}", self.out);
            stage.insert(*id, next);
        }
        assert!(stage.values().all(|stage| *stage == "over"), "{:?}", self.out);
    }

    fn ended(&self) -> Vec<(&Exchange, &HttpExchange)> {
        let details = self.out.iter().filter_map(|progress| match progress {
            Progress::Ended { exchange, .. } => match &exchange.detail {
                Detail::Http(detail) => Some((&**exchange, detail)),
                _ => None,
            },
            _ => None,
        });
        details.collect()
    }

    /// Everything told, in short. Sizes that are unknown are `-`.
    fn told(&self) -> Vec<String> {
        let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), |size| size.to_string());
        let lines = self.out.iter().filter_map(|progress| match progress {
            Progress::Ended { exchange, .. } => {
                let Detail::Http(it) = &exchange.detail else { return None };
                let status = it.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
                let failure = it.failure.map_or_else(String::new, |failure| format!(" {}", failure.word()));
                let sizes = format!("{}/{}", size(it.request_body), size(it.response_body));
                let cut = if it.cut_short { " cut_short" } else { "" };
                Some(format!("{} {} {status} {sizes}{failure}{cut}", it.method, it.target))
            }
            Progress::Abandoned { reason, .. } => Some(format!("{reason:?}")),
            _ => None,
        });
        lines.collect()
    }

    fn contexts(&self) -> Vec<(Option<&str>, Option<&str>)> {
        let contexts = self.out.iter().filter_map(|progress| match progress {
            Progress::Context { headers, .. } => {
                Some((headers.traceparent.as_deref(), headers.tracestate.as_deref()))
            }
            _ => None,
        });
        contexts.collect()
    }
}
