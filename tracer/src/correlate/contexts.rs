//! The ids of server exchanges, for their children and log lines.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::event::ActiveId;
use crate::span::{SpanId, TraceId};

/// Open server exchanges whose ids are kept; further ones get their ids only when they end, and have no children.
pub const MAX_OPEN: usize = 262_144;

/// Ended server exchanges whose ids are kept: a child may end after its parent, and a line be told later. About as
/// many as end within some seconds on the busiest node.
pub const MAX_ENDED: usize = 65_536;

/// Server exchanges whose ids may change; a further one keeps those that it has.
pub const MAX_UNSETTLED: usize = 65_536;

/// The ids of a server exchange.
#[derive(Clone, Debug)]
pub struct SpanContext {
    /// Its trace: the caller's if it told one.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The caller's span.
    pub remote_parent: Option<SpanId>,
    /// Whether spans of the trace are exported.
    pub sampled: bool,
    /// The caller's `tracestate`.
    pub trace_state: Option<Arc<str>>,
    /// The caller's span as the request's header fields named it, whether or not it became the parent.
    pub received: Option<(TraceId, SpanId)>,
    /// The parent is the client's span at the other end of the connection, which had received this.
    pub hop: Option<Hop>,
    /// The client's span at the other end of the connection, where the request names another parent.
    pub other_client: Option<(TraceId, SpanId)>,
    /// It is not sampled, whatever its parent turns out to be.
    pub refused: bool,
    /// A span below it was told.
    pub has_children: bool,
    /// Its span was told.
    pub told: bool,
}

impl SpanContext {
    /// The ids of a span below this one.
    #[must_use]
    pub fn child(&self, span_id: SpanId) -> Self {
        Self {
            span_id,
            remote_parent: Some(self.span_id),
            received: None,
            hop: None,
            other_client: None,
            told: false,
            ..self.clone()
        }
    }
}

/// A parent that was found at the other end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The trace context that the request on whose behalf it called had received: what it passes on unchanged is no
    /// parent that is closer.
    pub passed_on: Option<(TraceId, SpanId)>,
}

/// The ids of server exchanges, open and recently ended.
#[derive(Debug, Default)]
pub struct Contexts {
    open: FxHashMap<ActiveId, SpanContext>,
    /// By the remainder of the exchange's number, so that a later one overwrites an earlier one. Allocated as it
    /// fills.
    ended: Vec<Option<(ActiveId, SpanContext)>>,
    /// Exchanges whose ids may still change.
    unsettled: FxHashSet<ActiveId>,
    last: u64,
}

impl Contexts {
    /// Allots a number to a server exchange and keeps its ids.
    pub fn begin(&mut self, context: SpanContext) -> ActiveId {
        self.last += 1;
        let active = ActiveId(self.last);
        if self.open.len() < MAX_OPEN {
            self.open.insert(active, context);
        }
        active
    }

    /// The ids of an exchange that has not ended.
    pub fn get_open_mut(&mut self, active: ActiveId) -> Option<&mut SpanContext> {
        self.open.get_mut(&active)
    }

    /// The ids of an exchange.
    #[must_use]
    pub fn get(&self, active: ActiveId) -> Option<&SpanContext> {
        self.open.get(&active).or_else(|| match self.ended.get(slot(active))? {
            Some((id, context)) if *id == active => Some(context),
            _ => None,
        })
    }

    /// A span below an exchange, open or ended, is told.
    pub fn add_child(&mut self, active: ActiveId) {
        if let Some(context) = self.get_mut(active) {
            context.has_children = true;
        }
    }

    /// The span of an exchange, open or ended, is told.
    pub fn tell(&mut self, active: ActiveId) {
        if let Some(context) = self.get_mut(active) {
            context.told = true;
        }
    }

    fn get_mut(&mut self, active: ActiveId) -> Option<&mut SpanContext> {
        let ended = self.ended.get_mut(slot(active)).and_then(Option::as_mut);
        let ended = ended.filter(|(id, _)| *id == active).map(|(_, context)| context);
        self.open.get_mut(&active).or(ended)
    }

    /// An exchange has ended: its ids are kept for a while.
    pub fn end(&mut self, active: ActiveId) -> Option<SpanContext> {
        let context = self.open.remove(&active)?;
        let slot = slot(active);
        if self.ended.len() <= slot {
            self.ended.resize(slot + 1, None);
        }
        if let Some(place) = self.ended.get_mut(slot) {
            *place = Some((active, context.clone()));
        }
        Some(context)
    }

    /// The ids of an exchange may change until they are settled.
    pub fn unsettle(&mut self, active: ActiveId) {
        if self.unsettled.len() < MAX_UNSETTLED && self.get(active).is_some() {
            self.unsettled.insert(active);
        }
    }

    /// Whether they may.
    #[must_use]
    pub fn is_unsettled(&self, active: ActiveId) -> bool {
        self.unsettled.contains(&active)
    }

    /// The ids of an exchange, open or ended, change for the last time. Whether they were unsettled.
    pub fn settle(&mut self, active: ActiveId, change: impl FnOnce(&mut SpanContext)) -> bool {
        let was_unsettled = self.unsettled.remove(&active);
        if was_unsettled && let Some(context) = self.get_mut(active) {
            change(context);
        }
        was_unsettled
    }

    /// Number of open exchanges whose ids are kept.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

fn slot(active: ActiveId) -> usize {
    // The remainder is below MAX_ENDED on any width.
    (active.0 % MAX_ENDED as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(number: u8) -> SpanContext {
        SpanContext {
            trace_id: TraceId([number; 16]),
            span_id: SpanId([number; 8]),
            remote_parent: None,
            sampled: true,
            trace_state: None,
            received: None,
            hop: None,
            other_client: None,
            refused: false,
            has_children: false,
            told: false,
        }
    }

    #[test]
    fn an_open_exchange_is_kept_however_many_end() {
        let mut contexts = Contexts::default();
        let long = contexts.begin(context(1));
        let early = contexts.begin(context(2));
        contexts.end(early);
        assert_eq!(contexts.get(early).unwrap().span_id, SpanId([2; 8]));
        for _ in 0..MAX_ENDED {
            let active = contexts.begin(context(3));
            contexts.end(active);
        }
        assert!(contexts.get(early).is_none());
        assert_eq!(contexts.get(long).unwrap().span_id, SpanId([1; 8]));
        assert_eq!((contexts.open(), contexts.ended.len()), (1, MAX_ENDED));
        assert!(contexts.end(early).is_none(), "an exchange ends once");
    }
}
