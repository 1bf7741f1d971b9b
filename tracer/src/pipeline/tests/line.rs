//! A protocol for tests: a request is a line that begins with `?`, a response one that begins with `!`, in order.
//!
//! Words behind the request's name mean something: `traceparent=…` and `tracestate=…` are its trace context,
//! `noreply` makes it no span, `whole` asks for a wider window, `held` is told only when the next one that is not, or the
//! connection, has ended. A response without a request is a greeting.

use std::collections::VecDeque;

use crate::event::{Mark, Role, Side};
use crate::protocol::{
    AbandonReason, Conversation, Detail, End, Exchange, ExchangeId, HealthCheck, Input, Opening, Passage,
    Progress, Protocol, Start, Times, TraceHeaders, Verdict, Window,
};
use crate::span::{Description, Scope, Status};

pub(crate) const PROTOCOLS: &[Protocol] = &[Protocol { name: "line", told_by: Role::Server, detect, start }];

pub(crate) fn describe(line: &str) -> Description {
    let name = line.trim_start_matches('?').split(' ').next().unwrap_or_default().to_owned();
    Description { name: name.into(), attributes: Vec::new(), status: Status::Unset, scope: Scope::Http }
}

fn detect(opening: &Opening<'_>) -> Verdict {
    for (bytes, asks, answers) in
        [(opening.ingress, Role::Server, Role::Client), (opening.egress, Role::Client, Role::Server)]
    {
        match bytes {
            [] => {}
            [b'?' | b'!'] => return Verdict::Unsure,
            [b'?', ..] => return Verdict::Certain(asks),
            [b'!', ..] => return Verdict::Certain(answers),
            _ => return Verdict::NotForUs,
        }
    }
    Verdict::Unsure
}

fn start(_: Start) -> Box<dyn Conversation> {
    Box::<Lines>::default()
}

#[derive(Debug, Default)]
struct Lines {
    next: ExchangeId,
    open: VecDeque<Line>,
    /// Answered, and not told yet.
    held: Vec<Progress>,
    window: Window,
    /// Bytes were lost: responses mean nothing until a request begins anew.
    lost: bool,
}

#[derive(Debug)]
struct Line {
    id: ExchangeId,
    text: String,
    request_first: Mark,
    request_last: Mark,
    complete: bool,
    response_first: Option<Mark>,
}

impl Conversation for Lines {
    fn on_bytes(&mut self, input: Input<'_>, out: &mut Vec<Progress>) {
        let text = String::from_utf8_lossy(input.bytes);
        for part in text.split_inclusive('\n') {
            match input.side {
                Side::Request => self.request(part, input, out),
                Side::Response => self.response(part, input.mark, out),
            }
        }
    }

    fn on_gap(&mut self, _: Side, _: u64, _: Mark, out: &mut Vec<Progress>) {
        self.lost = true;
        for line in self.open.drain(..) {
            out.push(Progress::Abandoned { id: line.id, reason: AbandonReason::Gap });
        }
    }

    fn on_end(&mut self, side: Side, end: End, mark: Mark, out: &mut Vec<Progress>) {
        if side == Side::Request && end == End::Finished {
            return;
        }
        out.append(&mut self.held);
        while let Some(line) = self.open.pop_front() {
            out.push(match end {
                End::Forgotten | End::Lost => {
                    Progress::Abandoned { id: line.id, reason: AbandonReason::Forgotten }
                }
                _ => ended(line, mark),
            });
        }
    }

    fn window(&self) -> Window {
        self.window
    }
}

impl Lines {
    fn request(&mut self, part: &str, input: Input<'_>, out: &mut Vec<Progress>) {
        let mark = input.mark;
        match self.open.back_mut().filter(|line| !line.complete) {
            Some(line) => {
                line.text.push_str(part);
                out.push(Progress::Touched { id: line.id, side: Side::Request, mark });
            }
            None if self.lost && !input.call_start => return,
            None => {
                self.lost = false;
                self.begin(part, mark, out);
            }
        }
        let Some(line) = self.open.back_mut().filter(|line| line.text.ends_with('\n')) else { return };
        line.complete = true;
        line.request_last = mark;
        line.text.pop();
        let word =
            |name: &str| line.text.split(' ').find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        let (traceparent, tracestate) = (word("traceparent="), word("tracestate="));
        let health = match word("health=").as_deref() {
            Some("kubelet") => Some(HealthCheck::Prober),
            Some(_) => Some(HealthCheck::Path),
            None => None,
        };
        let headers = TraceHeaders { traceparent, tracestate, ..TraceHeaders::default() };
        let forwarded_for = word("for=");
        let passage = word("path=").map(|path| Passage::new("GET", &path, forwarded_for.as_deref()));
        out.push(Progress::Context { id: line.id, headers, health, passage });
        if word("whole").is_some() {
            self.window = Window::Whole;
        }
        if word("noreply").is_some() {
            out.push(Progress::Abandoned { id: line.id, reason: AbandonReason::NoSpan });
            self.open.pop_back();
        }
    }

    fn response(&mut self, part: &str, mark: Mark, out: &mut Vec<Progress>) {
        if self.lost {
            return;
        }
        if self.open.is_empty() {
            self.begin("?greeting", mark, out);
        }
        let Some(line) = self.open.front_mut() else { return };
        line.complete = true;
        line.response_first.get_or_insert(mark);
        out.push(Progress::Touched { id: line.id, side: Side::Response, mark });
        if part.ends_with('\n')
            && let Some(line) = self.open.pop_front()
        {
            if line.text.ends_with(" held") {
                out.push(Progress::Answered { id: line.id });
                self.held.push(ended(line, mark));
            } else {
                out.append(&mut self.held);
                out.push(ended(line, mark));
            }
        }
    }

    fn begin(&mut self, part: &str, mark: Mark, out: &mut Vec<Progress>) {
        self.next += 1;
        out.push(Progress::Begun { id: self.next, mark });
        self.open.push_back(Line {
            id: self.next,
            text: part.to_owned(),
            request_first: mark,
            request_last: mark,
            complete: false,
            response_first: None,
        });
    }
}

fn ended(line: Line, end: Mark) -> Progress {
    let Line { id, text, request_first, request_last, response_first, .. } = line;
    let times = Times {
        request_first: request_first.into(),
        request_last: request_last.into(),
        response_first: response_first.map(Into::into),
        end: end.into(),
    };
    Progress::Ended { id, exchange: Box::new(Exchange { times, detail: Detail::Line(text) }) }
}
