//! One connection: commands paired with their own replies.

mod lingering;
mod replies;
mod requests;

use super::early::Early;
use super::outstanding::Outstanding;
use super::reply::ReplyReader;
use super::request::RequestReader;
use super::session::Session;
use super::step::{History, Step};
use crate::event::{Mark, Nanos, Role, Side};
use crate::protocol::{AbandonReason, Conversation, End, ExchangeId, Input, Progress, Start, Window};

/// A bulk string with more than this to come is not worth capturing whole. What follows it is, and a wish takes effect
/// up to 25 ms later: so much is on its way for longer, and what follows is asked for in time.
const LONG_BULK: u64 = 64 * 1024 * 1024;

/// Follows a Redis connection.
#[derive(Debug)]
pub(super) struct RedisConversation {
    role: Role,
    requests: RequestReader,
    /// The request side's message boundaries are known.
    requests_framed: bool,
    /// They were found again by a command that is not yet credible.
    tentative: bool,
    /// What the command being read belongs to.
    building: Building,
    /// Where it began.
    command_first: Mark,
    replies: ReplyReader,
    /// The response side's message boundaries are known.
    replies_framed: bool,
    /// First byte of the message being read.
    reply_first: Mark,
    /// That message can only be the reply that is due next.
    claimed: bool,
    /// The last call that moved bytes of a reply whose end will not be recognised.
    lingering: Option<Mark>,
    /// What moved before this was a part of it.
    no_reply_before: Nanos,
    step: Step,
    history: History,
    session: Session,
    outstanding: Outstanding,
    early: Early,
    /// Number of the current input.
    input: u64,
    /// The connection has become something else.
    over: bool,
    /// How a side ended.
    ended: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Building {
    /// No command has begun.
    Nothing,
    /// A command of this exchange.
    Exchange(ExchangeId),
    /// A command that belongs to no exchange, but whose reply is counted.
    Counted,
    /// A command whose reply cannot be told.
    Ignored,
}

impl RedisConversation {
    pub(super) fn new(start: Start) -> Self {
        Self {
            role: start.role,
            requests: RequestReader::new(),
            requests_framed: start.fresh,
            tentative: false,
            building: Building::Nothing,
            command_first: Mark::default(),
            replies: ReplyReader::new(),
            replies_framed: start.fresh,
            reply_first: Mark::default(),
            claimed: false,
            lingering: None,
            no_reply_before: 0,
            step: if start.fresh { Step::Exact } else { Step::middle() },
            history: History::default(),
            session: if start.fresh { Session::new() } else { Session::default() },
            outstanding: Outstanding::default(),
            early: Early::new(start.fresh),
            input: 0,
            over: false,
            ended: None,
        }
    }
}

impl Conversation for RedisConversation {
    fn on_bytes(&mut self, input: Input<'_>, out: &mut Vec<Progress>) {
        self.input += 1;
        match input.side {
            _ if self.over || input.bytes.is_empty() => {}
            Side::Request => self.on_request(input, out),
            Side::Response => self.on_response(input, out),
        }
    }

    fn on_gap(&mut self, side: Side, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        self.input += 1;
        if self.over || lost == 0 {
            return;
        }
        match side {
            Side::Request if !self.requests_framed || self.tentative => self.unframe_requests(out),
            Side::Request if self.requests.skip(lost) => {
                self.read_requests(&mut &[][..], mark, out);
                self.outstanding.end_silent(out);
            }
            Side::Request => self.lose_requests(AbandonReason::Gap, mark, out),
            Side::Response if self.lingering.is_some() => self.goes_on(mark, out),
            Side::Response if self.is_stray(mark, out) => {}
            Side::Response if self.replies_framed && !self.early.is_holding() && self.replies.skip(lost) => {
                self.read_replies(&mut &[][..], mark, out);
            }
            Side::Response if self.linger(mark, out) => {}
            Side::Response => self.lose_reply(out),
        }
    }

    fn on_end(&mut self, side: Side, end: End, mark: Mark, out: &mut Vec<Progress>) {
        if side == Side::Response || matches!(end, End::Closed | End::Forgotten | End::Lost) {
            self.settle_lingering(mark, out);
        }
        if !(side == Side::Request && end == End::Finished) {
            self.settle_held(end, mark, out);
        }
        match end {
            // Replies may still come to a client that has only finished sending.
            End::Finished if side == Side::Request => self.ended = Some("connection_closed"),
            End::Finished => self.end("connection_closed", mark, out),
            End::Failed(errno) => self.end(failure(errno), mark, out),
            // Without a sign of the connection's end, it may only have been forgotten.
            End::Closed | End::Forgotten | End::Lost => match self.ended {
                Some(word) => self.end(word, mark, out),
                None => {
                    self.outstanding.abandon_all(AbandonReason::NoSpan, out);
                    self.over = true;
                }
            },
        }
    }

    fn window(&self) -> Window {
        if self.over {
            Window::Nothing
        } else if self.requests.skippable().max(self.replies.skippable()) > LONG_BULK {
            Window::Default
        } else {
            // Pipelines: every boundary inside a call matters.
            Window::Whole
        }
    }
}

impl RedisConversation {
    /// The connection ends: the exchanges that are held back are told, or given up.
    fn settle_held(&mut self, end: End, mark: Mark, out: &mut Vec<Progress>) {
        self.outstanding.give_up_kept(out);
        let in_order = self.ended.is_some() && matches!(end, End::Finished | End::Closed);
        match &self.step {
            Step::Uncertain(doubt)
                if end != End::Lost && self.outstanding.is_empty() && doubt.ends_in_step(mark, in_order) =>
            {
                self.outstanding.tell_held(out);
            }
            _ => self.outstanding.give_up_held(AbandonReason::Gap, out),
        }
    }

    /// No reply will come any more.
    fn end(&mut self, word: &'static str, mark: Mark, out: &mut Vec<Progress>) {
        self.ended = Some(word);
        self.over = true;
        self.outstanding.unanswered(word, mark, out);
    }
}

/// A word for an errno of Linux that ends a connection.
fn failure(errno: u16) -> &'static str {
    match errno {
        32 => "broken_pipe",
        104 => "connection_reset",
        110 => "timeout",
        _ => "connection_failed",
    }
}
