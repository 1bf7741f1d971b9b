//! How a connection ends, and what that makes of the exchanges that are open.

use super::{Answering, HttpConversation};
use crate::event::{Mark, Role, Side};
use crate::protocol::http::Failure;
use crate::protocol::{AbandonReason, End, Progress};

impl HttpConversation {
    pub(super) fn side_ends(&mut self, side: Side, end: End, mark: Mark, out: &mut Vec<Progress>) {
        match (side, end) {
            // The client may have finished after its last request, or gone: the server's next act tells. What it
            // has sent already can still be read.
            (Side::Request, End::Finished) => {
                self.request_end.get_or_insert(Failure::ClientClosed);
            }
            (Side::Request, End::Failed(errno)) => self.request_end = Some(Failure::from_errno(errno)),
            (Side::Response, End::Finished) => {
                self.finish_until_close(out);
                self.finish_all(self.why_server_finished(), mark, out);
            }
            (Side::Response, End::Failed(errno)) => self.finish_all(Failure::from_errno(errno), mark, out),
            (_, End::Closed) => {
                let (closer, complete) = match self.role {
                    Role::Client => (Failure::ClientClosed, false),
                    Role::Server => (
                        Failure::ServerClosed,
                        self.request_end.is_none_or(|end| end == Failure::ClientClosed),
                    ),
                };
                if complete {
                    self.finish_until_close(out);
                }
                self.finish_all(self.request_end.unwrap_or(closer), mark, out);
                self.fall_silent(out);
            }
            (_, End::Forgotten | End::Lost) => {
                self.settle_lingering(out);
                // Where ends are told, this one was not: more of the response may come.
                if self.role == Role::Server && (end == End::Lost || self.endless) {
                    self.finish_until_close(out);
                }
                if end == End::Forgotten {
                    self.cut_short(out);
                }
                self.abandon_after(0, AbandonReason::Forgotten, out);
                self.fall_silent(out);
            }
        }
    }

    /// A server that learnt that its client is gone follows it; one that a client sees finish acts by itself,
    /// even after the client has finished sending.
    fn why_server_finished(&self) -> Failure {
        match (self.role, self.request_end) {
            (Role::Server, Some(failure)) => failure,
            (Role::Client, Some(failure)) if failure != Failure::ClientClosed => failure,
            _ => Failure::ServerClosed,
        }
    }

    /// Completes a response that the connection's end delimits.
    fn finish_until_close(&mut self, out: &mut Vec<Progress>) {
        let Some(size) = self.responses.until_close() else { return };
        if self.answering == Answering::Front {
            self.answering = Answering::Nobody;
            if let Some(front) = self.queue.front_mut() {
                front.response_body = Some(size);
                let last = front.response_last;
                self.finish_front(last, None, out);
            }
        }
    }

    /// Nothing more will be told of the connection: what is known of its requests is told, up to the last byte that was
    /// seen of them or of their responses.
    fn cut_short(&mut self, out: &mut Vec<Progress>) {
        while let Some(front) = self.queue.front_mut().filter(|front| front.request.is_some()) {
            front.cut_short = true;
            let last = if front.response_first.is_some() { front.response_last } else { front.request_last };
            self.answering = Answering::Nobody;
            self.finish_front(last, None, out);
        }
    }

    /// No more of any response will come.
    fn finish_all(&mut self, failure: Failure, mark: Mark, out: &mut Vec<Progress>) {
        self.settle_lingering(out);
        self.early.take();
        let missed = self.responses.seeking();
        while let Some(front) = self.queue.front() {
            let answered = self.answering == Answering::Front;
            self.answering = Answering::Nobody;
            if missed && !answered {
                // Its response may have been among what was lost.
                self.abandon_after(0, AbandonReason::Gap, out);
            } else if !answered && front.request.is_none() {
                self.abandon_after(0, AbandonReason::Malformed, out);
            } else {
                self.finish_front(mark, Some(failure), out);
            }
        }
    }
}
