//! Pairs the requests and responses of one connection.

mod ending;
mod requests;
mod responses;
mod trust;

use std::collections::VecDeque;
use std::sync::Arc;

use self::trust::Trust;
use super::Failure;
use super::early::Early;
use super::line::{judge_familiar_request, judge_status};
use super::open::Open;
use super::reader::Reader;
use super::request::RequestHead;
use super::response::ResponseHead;
use crate::event::{Mark, Moment, Role, Side};
use crate::protocol::{
    AbandonReason, Conversation, End, ExchangeId, HealthPatterns, Input, Progress, Start, Successor, Window,
};

/// Follows one HTTP/1 connection.
#[derive(Debug)]
pub struct HttpConversation {
    role: Role,
    requests: Reader<RequestHead>,
    responses: Reader<ResponseHead>,
    /// Requests whose responses are not complete, in order; at most `MAX_OPEN`.
    queue: VecDeque<Open>,
    /// The request being read, if it is still of interest: always the queue's last.
    incoming: Option<ExchangeId>,
    answering: Answering,
    trust: Trust,
    /// Seen from its first byte, and nothing that matters was lost.
    clean: bool,
    early: Early,
    next_id: ExchangeId,
    /// Number of the current input.
    input: u64,
    /// How the request side ended.
    request_end: Option<Failure>,
    /// What was lost of the response that lingers is a part of its chunks.
    chunks_lost: bool,
    /// What the connection carries instead of HTTP/1.
    successor: Option<Successor>,
    /// What tells health checks.
    health: Arc<HealthPatterns>,
    /// The connection's end will not be told.
    endless: bool,
    silent: bool,
}

/// To whom the response being read belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answering {
    /// None is being read.
    Nobody,
    /// The queue's first.
    Front,
    /// The queue's first, whose status is known but whose end will not be recognised.
    Lingering,
    /// A request that was not seen, or was given up.
    Orphan,
}

impl HttpConversation {
    /// Begins to follow a connection.
    #[must_use]
    pub fn new(start: Start) -> Self {
        Self {
            role: start.role,
            requests: Reader::new(start.fresh, judge_familiar_request),
            responses: Reader::new(start.fresh, judge_status),
            queue: VecDeque::new(),
            incoming: None,
            answering: Answering::Nobody,
            trust: Trust::new(start.fresh),
            clean: start.fresh,
            early: Early::default(),
            next_id: 0,
            input: 0,
            request_end: None,
            chunks_lost: false,
            successor: None,
            health: HealthPatterns::usual(),
            endless: false,
            silent: false,
        }
    }

    /// More of the queue's first exchange moved, on the response side.
    fn touch_front(&mut self, mark: Mark, out: &mut Vec<Progress>) {
        if let Some(front) = self.queue.front_mut() {
            front.touch(Side::Response, mark, self.input, out);
        }
    }

    /// What is known of the head of exchange `id`, if that is still being read.
    fn partial_head(&self, id: ExchangeId) -> Option<&RequestHead> {
        if self.incoming == Some(id) { self.requests.partial_head() } else { None }
    }

    /// Ends the queue's first exchange with what is known of it.
    fn finish_front(&mut self, end: impl Into<Moment>, failure: Option<Failure>, out: &mut Vec<Progress>) {
        let Some(mut open) = self.queue.pop_front() else { return };
        let id = open.id;
        let mut partial = self.partial_head(id).cloned();
        if open.request.is_none() {
            open.tell_context(partial.as_mut(), out);
        }
        self.forget_incoming(id);
        out.push(match open.into_exchange(partial, end.into(), failure) {
            Some(exchange) => Progress::Ended { id, exchange },
            None => Progress::Abandoned { id, reason: AbandonReason::Malformed },
        });
    }

    /// Gives up all but the first `keep` exchanges.
    fn abandon_after(&mut self, keep: usize, reason: AbandonReason, out: &mut Vec<Progress>) {
        for open in self.queue.split_off(keep.min(self.queue.len())) {
            self.forget_incoming(open.id);
            out.push(Progress::Abandoned { id: open.id, reason });
        }
    }

    fn forget_incoming(&mut self, id: ExchangeId) {
        if self.incoming == Some(id) {
            self.incoming = None;
        }
    }

    /// Ends an exchange whose response's end could not be recognised: it must be over now.
    fn settle_lingering(&mut self, out: &mut Vec<Progress>) {
        if self.answering == Answering::Lingering {
            self.answering = Answering::Nobody;
            if let Some(last) = self.queue.front().map(|front| front.response_last) {
                self.finish_front(last, None, out);
            }
        }
    }

    /// From here on the connection carries something else.
    fn fall_silent(&mut self, out: &mut Vec<Progress>) {
        self.abandon_after(0, AbandonReason::NoSpan, out);
        self.answering = Answering::Nobody;
        self.requests.silence();
        self.responses.silence();
        self.early.take();
        self.silent = true;
    }
}

impl Conversation for HttpConversation {
    fn on_bytes(&mut self, input: Input<'_>, out: &mut Vec<Progress>) {
        self.input += 1;
        match input.side {
            _ if self.silent => {}
            Side::Request => self.request_bytes(input, out),
            Side::Response => self.response_bytes(input, out),
        }
    }

    fn on_gap(&mut self, side: Side, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        self.input += 1;
        match side {
            _ if self.silent || lost == 0 => {}
            Side::Request => self.request_gap(lost, mark, out),
            Side::Response => self.response_gap(lost, mark, out),
        }
    }

    fn on_end(&mut self, side: Side, end: End, mark: Mark, out: &mut Vec<Progress>) {
        self.input += 1;
        self.side_ends(side, end, mark, out);
    }

    fn tell_health_checks_by(&mut self, patterns: &Arc<HealthPatterns>) {
        self.health = Arc::clone(patterns);
    }

    fn expect_no_end(&mut self) {
        self.endless = true;
    }

    fn window(&self) -> Window {
        if self.silent { Window::Nothing } else { Window::Default }
    }

    fn successor(&self) -> Option<Successor> {
        self.successor
    }
}
