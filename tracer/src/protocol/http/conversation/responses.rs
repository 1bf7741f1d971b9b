//! The response side.

use super::{Answering, HttpConversation};
use crate::event::Mark;
use crate::protocol::http::reader::{Gap, Item};
use crate::protocol::http::response::{After, ResponseHead};
use crate::protocol::{AbandonReason, Input, Progress, Successor};

impl HttpConversation {
    pub(super) fn response_bytes(&mut self, mut input: Input<'_>, out: &mut Vec<Progress>) {
        // The request of an orphan is unknown. If that was HEAD, what looked like a body is the next response.
        if self.answering == Answering::Orphan
            && self.responses.in_body()
            && self.responses.starts_message(&input)
        {
            self.responses.restart();
            self.answering = Answering::Nobody;
            self.trust.orphan_ended_before();
        }
        let mark = input.mark;
        if self.answering == Answering::Lingering && self.chunks_lost && ends_chunks(&input) {
            return self.lingering_ends(mark, out);
        }
        loop {
            if self.must_hold() && !input.bytes.is_empty() {
                if self.early.hold(&input) {
                    return;
                }
                self.drop_early(out);
            }
            let Some(item) = self.responses.next(&mut input) else { break };
            match item {
                Item::First(first) => self.begin_response(first, mark, out),
                Item::Head(head) => self.response_head(&head, mark, out),
                Item::Done(size) => self.response_done(size, mark, out),
                Item::Malformed | Item::TooLong => self.lose_responses(AbandonReason::Malformed, out),
            }
        }
        if matches!(self.answering, Answering::Front | Answering::Lingering) {
            self.touch_front(mark, out);
        }
    }

    /// Whether a response begins whose request has not been reported.
    fn must_hold(&self) -> bool {
        self.clean
            && self.trust.is_sure()
            && self.responses.at_boundary()
            && (self.queue.is_empty() || !self.early.is_empty())
    }

    /// Pairs held responses with a request that has been reported since. Its head must be known: the responses
    /// to HEAD and CONNECT differ.
    pub(super) fn answer_early(&mut self, out: &mut Vec<Progress>) {
        if self.early.is_empty() || self.queue.front().is_none_or(|front| front.request.is_none()) {
            return;
        }
        for held in self.early.take() {
            self.input += 1;
            self.response_bytes(held.input(), out);
        }
    }

    /// No request will be reported for what is held: it belongs to nobody.
    pub(super) fn drop_early(&mut self, out: &mut Vec<Progress>) {
        self.clean = false;
        for held in self.early.take() {
            self.response_bytes(held.input(), out);
        }
    }

    fn begin_response(&mut self, first: Mark, now: Mark, out: &mut Vec<Progress>) {
        self.settle_lingering(out);
        self.trust.response_begins();
        let Some(front) = self.queue.front() else {
            self.answering = Answering::Orphan;
            self.trust.orphan_begins();
            return;
        };
        self.answering = Answering::Front;
        let mut partial = self.partial_head(front.id).cloned();
        if let Some(front) = self.queue.front_mut() {
            front.tell_context(partial.as_mut(), out);
            front.response_first = Some(first.into());
        }
        self.touch_front(now, out);
    }

    fn response_head(&mut self, head: &ResponseHead, mark: Mark, out: &mut Vec<Progress>) {
        let answering = self.answering;
        let front = self.queue.front().filter(|_| answering == Answering::Front);
        let method = front.map_or("", |front| front.method(self.partial_head(front.id)));
        let after = head.after(method);
        if let Some(front) = self.queue.front_mut().filter(|_| answering == Answering::Front) {
            match after {
                After::Another => front.response_first = None,
                After::Body(_) | After::Tunnel => front.status = Some(head.status),
            }
        }
        match after {
            After::Body(framing) => self.responses.begin_body(framing),
            After::Another => {
                self.responses.restart();
                self.answering = Answering::Nobody;
                if answering == Answering::Orphan {
                    self.trust.orphan_was_interim();
                }
            }
            After::Tunnel => {
                self.successor = Some(if head.to_http2 { Successor::Http2 } else { Successor::Other });
                if answering == Answering::Front {
                    self.touch_front(mark, out);
                    self.finish_front(mark, None, out);
                }
                self.fall_silent(out);
            }
        }
    }

    fn response_done(&mut self, size: u64, mark: Mark, out: &mut Vec<Progress>) {
        match std::mem::replace(&mut self.answering, Answering::Nobody) {
            Answering::Front => {
                self.touch_front(mark, out);
                if let Some(front) = self.queue.front_mut() {
                    front.response_body = Some(size);
                }
                self.finish_front(mark, None, out);
                if self.queue.is_empty() {
                    self.trust.all_answered();
                }
            }
            Answering::Orphan => self.trust.orphan_ends(),
            Answering::Nobody | Answering::Lingering => {}
        }
    }

    pub(super) fn response_gap(&mut self, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        if !self.early.is_empty() {
            self.drop_early(out);
        }
        if matches!(self.answering, Answering::Front | Answering::Lingering) {
            self.touch_front(mark, out);
        }
        self.learn_cut_status();
        match self.responses.gap(lost) {
            Gap::InBody | Gap::Silent => {}
            Gap::RestOfBody(size) => self.response_done(size, mark, out),
            Gap::BeyondBody(size) => {
                self.response_done(size, mark, out);
                self.lose_responses(AbandonReason::Gap, out);
            }
            Gap::InChunks => {
                self.lose_responses(AbandonReason::Gap, out);
                self.chunks_lost = true;
            }
            Gap::InHead | Gap::Between => self.lose_responses(AbandonReason::Gap, out),
        }
    }

    /// Before a part of a head is lost: its status is known if that line was read. Where the response ends is not.
    fn learn_cut_status(&mut self) {
        let Some(front) = self.queue.front().filter(|_| self.answering == Answering::Front) else { return };
        let Some(head) = self.responses.partial_head() else { return };
        let final_one = matches!(head.after(front.method(self.partial_head(front.id))), After::Body(_));
        let status = final_one.then_some(head.status);
        if let Some(front) = self.queue.front_mut() {
            front.status = front.status.or(status);
        }
    }

    /// The last chunk of a response was seen, of whose chunks some were not.
    fn lingering_ends(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        self.touch_front(mark, out);
        self.answering = Answering::Nobody;
        self.responses.restart();
        self.finish_front(mark, None, out);
        self.trust.all_answered();
    }

    /// The place within the responses is lost. Whose response comes next cannot be told of any open request.
    fn lose_responses(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        self.clean = false;
        self.chunks_lost = false;
        self.responses.lose();
        let open = self.queue.len();
        let known = self.queue.front().is_some_and(|front| front.status.is_some());
        let lingers = match self.answering {
            Answering::Front => known,
            answering => answering == Answering::Lingering,
        };
        self.abandon_after(usize::from(lingers), reason, out);
        self.trust.responses_lost(open, self.answering == Answering::Orphan);
        self.answering = if lingers { Answering::Lingering } else { Answering::Nobody };
    }
}

/// Whether a call ends with the last chunk of a body without trailers (RFC 9112 section 7.1). Data can look like
/// that too, but hardly at the end of a call.
fn ends_chunks(input: &Input<'_>) -> bool {
    const LAST: &[u8] = b"\r\n0\r\n\r\n";
    input.bytes.ends_with(LAST) || (input.call_start && LAST.strip_prefix(b"\r\n") == Some(input.bytes))
}
