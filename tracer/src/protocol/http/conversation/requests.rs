//! The request side.

use std::sync::Arc;

use super::{Answering, HttpConversation};
use crate::event::{Mark, Side};
use crate::protocol::http::MAX_OPEN;
use crate::protocol::http::open::Open;
use crate::protocol::http::reader::{Gap, Item};
use crate::protocol::http::request::RequestHead;
use crate::protocol::{AbandonReason, Input, Progress};

impl HttpConversation {
    pub(super) fn request_bytes(&mut self, mut input: Input<'_>, out: &mut Vec<Progress>) {
        // A body that was announced, refused by a final response (RFC 9110 section 10.1.1) and never sent.
        if self.incoming.is_none() && self.requests.body_untouched() && self.requests.starts_message(&input) {
            self.requests.restart();
        }
        let mark = input.mark;
        while let Some(item) = self.requests.next(&mut input) {
            match item {
                Item::First(first) => self.begin_request(first, mark, out),
                Item::Head(head) => self.request_head(head, mark, out),
                Item::Done(size) => self.request_done(size, mark, out),
                Item::Malformed => self.lose_requests(AbandonReason::Malformed, out),
                Item::TooLong => self.lose_requests(AbandonReason::Limit, out),
            }
        }
        self.touch_incoming(mark, out);
        self.answer_early(out);
    }

    /// A request's first byte moved at `first`; `now` is the input being read.
    fn begin_request(&mut self, first: Mark, now: Mark, out: &mut Vec<Progress>) {
        self.settle_lingering(out);
        if self.answering == Answering::Orphan && self.responses.body_untouched() {
            // The body that an orphan announced did not come: it answered HEAD.
            self.answering = Answering::Nobody;
            self.responses.lose();
            self.trust.orphan_ends();
        }
        let id = self.next_id;
        self.next_id += 1;
        out.push(Progress::Begun { id, mark: first });
        self.incoming = None;
        if self.trust.is_sure() && self.responses.seeking() && !self.queue.is_empty() {
            // The response that is being sought may have been missed: this one's would be taken for it.
            self.abandon_after(0, AbandonReason::Gap, out);
            self.trust.lost();
        }
        if self.queue.len() >= MAX_OPEN {
            self.trust.lost();
            out.push(Progress::Abandoned { id, reason: AbandonReason::Limit });
            return;
        }
        let idle = self.queue.is_empty() && !self.responses.in_message();
        if !self.trust.request_begins(first.call, idle) {
            out.push(Progress::Abandoned { id, reason: AbandonReason::Gap });
            return;
        }
        let mut open = Open::new(id, first.into(), Arc::clone(&self.health));
        if first == now {
            open.begun_in(self.input);
        }
        self.queue.push_back(open);
        self.incoming = Some(id);
    }

    /// A header block is complete.
    fn request_head(&mut self, mut head: RequestHead, mark: Mark, out: &mut Vec<Progress>) {
        let framing = head.framing();
        match framing {
            Some(framing) => self.requests.begin_body(framing),
            None => self.requests.lose(),
        }
        if let Some(open) = self.incoming_mut() {
            open.tell_context(Some(&mut head), out);
            open.request = Some(Box::new(head));
        }
        self.touch_incoming(mark, out);
        if framing.is_none() {
            self.lose_request_end(out);
        }
    }

    fn request_done(&mut self, size: u64, mark: Mark, out: &mut Vec<Progress>) {
        self.touch_incoming(mark, out);
        if let Some(open) = self.incoming_mut() {
            open.request_body = Some(size);
        }
        self.incoming = None;
    }

    fn incoming_mut(&mut self) -> Option<&mut Open> {
        let id = self.incoming?;
        self.queue.back_mut().filter(|open| open.id == id)
    }

    fn touch_incoming(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        let input = self.input;
        if let Some(open) = self.incoming_mut() {
            open.touch(Side::Request, mark, input, out);
        }
    }

    pub(super) fn request_gap(&mut self, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        let cut = self.requests.partial_head().cloned();
        match self.requests.gap(lost) {
            Gap::InBody => self.touch_incoming(mark, out),
            Gap::RestOfBody(size) => self.request_done(size, mark, out),
            Gap::BeyondBody(size) => {
                self.request_done(size, mark, out);
                self.lose_requests(AbandonReason::Gap, out);
            }
            Gap::InChunks => {
                self.touch_incoming(mark, out);
                self.lose_request_end(out);
            }
            Gap::InHead if cut.is_some() => self.cut_head(cut, mark, out),
            Gap::InHead | Gap::Between => self.lose_requests(AbandonReason::Gap, out),
            Gap::Silent => {}
        }
    }

    /// Header fields are missing, and with them the request's end; the request line and the fields before are known.
    fn cut_head(&mut self, head: Option<RequestHead>, mark: Mark, out: &mut Vec<Progress>) {
        if let (Some(open), Some(mut head)) = (self.incoming_mut(), head) {
            open.tell_context(Some(&mut head), out);
            open.request = Some(Box::new(head));
        }
        self.touch_incoming(mark, out);
        self.lose_request_end(out);
    }

    /// The request being read cannot be understood, and whole requests may be missing. Those before it keep
    /// their places.
    fn lose_requests(&mut self, reason: AbandonReason, out: &mut Vec<Progress>) {
        if let Some(id) = self.incoming.take() {
            // A request whose head is complete lacks nothing but its end.
            if self.queue.back().is_some_and(|open| open.id == id && open.request.is_none()) {
                if self.queue.len() == 1 {
                    // What answers it already belongs to nobody now.
                    let answered = self.answering == Answering::Front;
                    self.answering = if answered { Answering::Orphan } else { Answering::Nobody };
                }
                self.queue.pop_back();
                out.push(Progress::Abandoned { id, reason });
            }
        }
        self.drop_early(out);
        self.trust.requests_lost();
    }

    /// Where the request being read ends cannot be told.
    fn lose_request_end(&mut self, out: &mut Vec<Progress>) {
        self.drop_early(out);
        let open = self.incoming.take().is_some();
        self.trust.request_end_lost(open);
    }
}
