//! An exchange that is not over.

use std::sync::Arc;

use super::request::RequestHead;
use super::{Failure, HttpExchange};
use crate::event::{Mark, Moment, Side};
use crate::protocol::{Detail, Exchange, ExchangeId, HealthPatterns, Progress, Times};

/// A request that was seen to begin, and what is known of its response.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: ExchangeId,
    pub(super) request_first: Moment,
    pub(super) request_last: Moment,
    /// The request's head, once complete: boxed, since the exchange is moved about.
    pub(super) request: Option<Box<RequestHead>>,
    /// Size of the request's body, once it was seen to its end.
    pub(super) request_body: Option<u64>,
    pub(super) response_first: Option<Moment>,
    pub(super) response_last: Moment,
    /// Status of the final response, once its head is complete.
    pub(super) status: Option<u16>,
    pub(super) response_body: Option<u64>,
    /// Nobody will tell how it ended.
    pub(super) cut_short: bool,
    context_told: bool,
    health: Arc<HealthPatterns>,
    /// Number of the input for which `Touched` (or `Begun`) was told last.
    touched: u64,
}

impl Open {
    pub(super) fn new(id: ExchangeId, first: Moment, health: Arc<HealthPatterns>) -> Self {
        Self {
            id,
            request_first: first,
            request_last: first,
            request: None,
            request_body: None,
            response_first: None,
            response_last: first,
            status: None,
            response_body: None,
            cut_short: false,
            context_told: false,
            health,
            touched: 0,
        }
    }

    /// `Begun` told all that there is to tell of this input.
    pub(super) fn begun_in(&mut self, input: u64) {
        self.touched = input;
    }

    /// More of it moved.
    pub(super) fn touch(&mut self, side: Side, mark: Mark, input: u64, out: &mut Vec<Progress>) {
        match side {
            Side::Request => self.request_last = mark.into(),
            Side::Response => self.response_last = mark.into(),
        }
        if self.touched != input {
            self.touched = input;
            out.push(Progress::Touched { id: self.id, side, mark });
        }
    }

    /// Tells the trace context in `head`, once.
    pub(super) fn tell_context(&mut self, head: Option<&mut RequestHead>, out: &mut Vec<Progress>) {
        if !self.context_told {
            self.context_told = true;
            let health = head.as_ref().and_then(|head| head.health_check(&self.health));
            let passage = head.as_ref().and_then(|head| head.passage());
            let headers = head.map(|head| std::mem::take(&mut head.trace)).unwrap_or_default();
            out.push(Progress::Context { id: self.id, headers, health, passage });
        }
    }

    /// The method, as far as it is known.
    pub(super) fn method<'a>(&'a self, partial: Option<&'a RequestHead>) -> &'a str {
        self.request.as_deref().or(partial).map_or("", |head| &head.method)
    }

    /// The exchange as it is known now. `partial` is the head of a request whose header block is not complete.
    /// `None` if not even the request line is known.
    pub(super) fn into_exchange(
        self,
        partial: Option<RequestHead>,
        end: Moment,
        failure: Option<Failure>,
    ) -> Option<Box<Exchange>> {
        let mut head = self.request.or_else(|| partial.map(Box::new))?;
        let detail = HttpExchange {
            otlp_export: head.is_otlp_export(),
            forwarded: head.forwarded(),
            method: head.method,
            target: head.target,
            target_truncated: head.target_truncated,
            version: head.version,
            host: head.host,
            user_agent: head.user_agent,
            status: self.status,
            request_body: self.request_body,
            response_body: self.response_body,
            failure,
            cut_short: self.cut_short,
        };
        let times = Times {
            request_first: self.request_first,
            request_last: self.request_last,
            response_first: self.response_first,
            end,
        };
        Some(Box::new(Exchange { times, detail: Detail::Http(detail) }))
    }
}
