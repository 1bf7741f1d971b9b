//! Spans are told when their ids are known: at once, or when what they wait for is.

use super::active::{Evidence, Inactive};
use super::assemble::Assembler;
use super::contexts::SpanContext;
use super::draft::{Draft, Place};
use super::exchanges::{OwnIds, Parent, Part};
use super::held::WaitsFor;
use super::late::{Answer, Ticket};
use crate::event::{ActiveId, Nanos, Process};
use crate::span::{Link, LinkKind, Span};

/// What became of a span that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is exported.
    Exported,
    /// Its process exports by itself.
    ByTarget,
    /// It is not sampled, and waits for what its trace turns out to be.
    Held,
}

impl Assembler {
    /// Tells spans whose parents, or ids, have become known.
    pub fn release(
        &mut self,
        answered: &[Ticket],
        settled: &[ActiveId],
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        self.join_released(answered, settled);
        for ticket in answered {
            let Some(answer) = self.late.answer(*ticket) else { continue };
            for (_, draft) in self.held.release(WaitsFor::Parent(*ticket)) {
                let place = self.place(answer);
                self.complete(place, draft, emit);
            }
        }
        for active in settled {
            for (place, draft) in self.held.release(WaitsFor::Ids(*active)) {
                self.complete(place, draft, emit);
            }
        }
    }

    /// Tells all that is held, with what is known now.
    pub fn finish(&mut self, emit: &mut impl FnMut(Process, Box<Span>) -> Told) {
        while let Some((place, draft)) = self.held.oldest() {
            self.give_out(place, draft, emit);
        }
    }

    /// A server exchange's ids may still change: its span, and all below it, wait until [`Self::settle_ids`]. For an
    /// exchange whose parent may turn up on this node.
    pub fn unsettle_ids(&mut self, active: ActiveId) {
        self.contexts.unsettle(active);
    }

    /// A server exchange's ids will not change any more. `change` has the last word.
    pub fn settle_ids(&mut self, active: ActiveId, change: impl FnOnce(&mut SpanContext)) {
        if self.contexts.settle(active, change) {
            self.settled.push(active);
        }
    }

    /// Puts the exchanges whose ids were settled since the last call in place of what is in `settled`.
    pub fn take_settled(&mut self, settled: &mut Vec<ActiveId>) {
        settled.clear();
        std::mem::swap(settled, &mut self.settled);
    }

    /// Whether a server exchange's ids may still change.
    #[must_use]
    pub fn is_unsettled(&self, active: ActiveId) -> bool {
        self.contexts.is_unsettled(active)
    }

    /// Number of spans that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn hold(
        &mut self,
        waits_for: WaitsFor,
        place: Place,
        draft: Draft,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        self.stats.held_for_parent += 1;
        if let Some((place, draft)) = self.held.hold(waits_for, (place, draft)) {
            self.give_out(place, draft, emit);
        }
    }

    /// Tells a span that can wait no longer.
    fn give_out(&mut self, place: Place, draft: Draft, emit: &mut impl FnMut(Process, Box<Span>) -> Told) {
        // Ids that are not settled may be wrong for whoever is below them; a server's own are at least its own.
        let place = match place {
            Place::Server(_) => place,
            Place::Below(..) | Place::Root => {
                self.stats.roots_limit += 1;
                Place::Root
            }
        };
        self.tell(place, draft, emit);
    }

    pub(super) fn complete(
        &mut self,
        place: Place,
        draft: Draft,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        match self.waits_for_ids(place) {
            Some(waits_for) => self.hold(waits_for, place, draft, emit),
            None => self.tell(place, draft, emit),
        }
    }

    fn tell(&mut self, place: Place, draft: Draft, emit: &mut impl FnMut(Process, Box<Span>) -> Told) {
        let ids = self.ids(place, draft.own);
        if self.is_told(&ids) {
            self.emit(place, draft, &ids, emit);
        }
    }

    pub(super) fn waits_for_ids(&self, place: Place) -> Option<WaitsFor> {
        match place {
            Place::Server(active) | Place::Below(active, _) if self.contexts.is_unsettled(active) => {
                Some(WaitsFor::Ids(active))
            }
            _ => None,
        }
    }

    pub(super) fn is_told(&mut self, ids: &SpanContext) -> bool {
        let told = ids.sampled || self.tracing.tell_unsampled;
        self.stats.unsampled += u64::from(!told);
        told
    }

    /// Where a span's ids come from.
    ///
    /// # Errors
    /// The question whose answer tells.
    pub(super) fn place_of(&mut self, part: Part) -> Result<Place, Ticket> {
        let answer = match part {
            Part::Server(active) => return Ok(Place::Server(active)),
            Part::Client(Parent::Known(active)) => Ok((active, Evidence::Active)),
            Part::Client(Parent::Forwarded(active, evidence)) => Ok((active, evidence)),
            Part::Client(Parent::Unknown(reason)) => Err(reason),
            Part::Client(Parent::Late(ticket)) => self.late.answer(ticket).ok_or(ticket)?,
        };
        Ok(self.place(answer))
    }

    /// A client span's place: below its parent if that is known. Counts why not.
    fn place(&mut self, parent: Answer) -> Place {
        let stats = &mut self.stats;
        let counter = match parent {
            Ok((active, evidence)) if self.contexts.get(active).is_some() => {
                stats.children += 1;
                stats.children_by_context += u64::from(evidence == Evidence::Context);
                stats.children_by_thread += u64::from(evidence == Evidence::Thread);
                stats.children_by_forwarding +=
                    u64::from(matches!(evidence, Evidence::Forwarded | Evidence::ForwardedFor));
                return Place::Below(active, evidence);
            }
            Ok(_) => &mut stats.roots_evicted,
            Err(Inactive::NoBinding) => &mut stats.roots_no_binding,
            Err(Inactive::Suspended) => &mut stats.roots_suspended,
            Err(Inactive::Doubtful) => &mut stats.roots_doubtful,
            Err(Inactive::OtherContext) => &mut stats.roots_other_context,
            Err(Inactive::Ambiguous) => &mut stats.roots_ambiguous,
            Err(Inactive::Outlived) => &mut stats.roots_outlived,
            Err(Inactive::Expired) => &mut stats.roots_expired,
            Err(Inactive::Limit) => &mut stats.roots_limit,
        };
        *counter += 1;
        Place::Root
    }

    pub(super) fn ids(&self, place: Place, own: OwnIds) -> SpanContext {
        match place {
            Place::Server(active) => self.contexts.get(active).cloned(),
            Place::Below(active, _) => self.contexts.get(active).map(|parent| parent.child(own.span_id)),
            Place::Root => None,
        }
        .unwrap_or_else(|| self.root(own))
    }

    /// Links to requests that a call can have been made for.
    pub(super) fn links(&self, candidates: &[ActiveId]) -> Vec<Link> {
        let contexts = candidates.iter().filter_map(|active| self.contexts.get(*active));
        let link = |context: &SpanContext| Link {
            trace_id: context.trace_id,
            span_id: context.span_id,
            kind: LinkKind::PossibleParent,
        };
        contexts.filter(|context| context.sampled).map(link).collect()
    }

    pub(super) fn emit(
        &mut self,
        place: Place,
        draft: Draft,
        ids: &SpanContext,
        emit: &mut impl FnMut(Process, Box<Span>) -> Told,
    ) {
        let evidence = match place {
            Place::Below(active, evidence) => {
                self.contexts.add_child(active);
                self.tell_lost(active, emit);
                evidence.name()
            }
            Place::Server(active) => {
                if ids.hop.is_some() || ids.other_client.is_some() {
                    self.contexts.tell(active);
                    self.tell_lost_client(active, emit);
                }
                ids.hop.map(|_| "same_node")
            }
            Place::Root => None,
        };
        let (process, offset) = (draft.process, self.wall_offset);
        let Self { ids: generator, stats, options, .. } = self;
        let unix = |time: Nanos| time.saturating_add_signed(offset);
        for span in draft.spans(ids, evidence, options, || generator.span_id(), unix) {
            let counter = match emit(process, span) {
                Told::Exported => &mut stats.exported,
                Told::ByTarget => &mut stats.exported_by_target,
                Told::Held => &mut stats.held,
            };
            *counter += 1;
        }
    }
}
