//! What a request gets: a list, a watch, a refusal, or a part of these.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::query::Query;
use super::watch::watched;
use super::{Shared, Stall, State};

pub(super) async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Frames>, Infallible> {
    let query = Query::new(request.uri().query().unwrap_or_default());
    let (delay, refusal) = {
        let mut state = shared.lock();
        state.requests.push(request.uri().to_string());
        (state.delay, refusal(&state, &request))
    };
    tokio::time::sleep(delay).await;
    if shared.stalls(Stall::Answer) {
        std::future::pending::<()>().await;
    }
    Ok(match refusal {
        Some((code, reason, message)) => whole(code, &status(code, reason, message)),
        None if query.get("watch") == Some("true") => watched(query, shared),
        None => listed(&query, &shared),
    })
}

fn refusal(state: &State, request: &Request<Incoming>) -> Option<(u16, &'static str, &'static str)> {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given.and_then(|given| given.strip_prefix("Bearer ")) != Some(state.token.as_str()) {
        return Some((401, "Unauthorized", "Unauthorized"));
    }
    if request.uri().path() != "/api/v1/pods" {
        return Some((404, "NotFound", "the server could not find the requested resource"));
    }
    state.denied.then_some((
        403,
        "Forbidden",
        "pods is forbidden: User \"tracer\" cannot list resource \"pods\"",
    ))
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    })
}

fn listed(query: &Query, shared: &Shared) -> Response<Frames> {
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let mut state = shared.lock();
    let selected = |pod: &Value| query.selects(pod);
    match state.store.list(selected, limit, query.get("continue")) {
        Ok((items, rest)) => {
            let metadata = json!({"resourceVersion": state.store.version.to_string(), "continue": rest});
            let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items});
            if state.stall == Some(Stall::List) {
                return half(&list);
            }
            whole(200, &list)
        }
        Err(_) => whole(410, &status(410, "Expired", "The provided continue parameter is too old")),
    }
}

fn whole(code: u16, body: &Value) -> Response<Frames> {
    let (sender, frames) = mpsc::unbounded_channel();
    sender.send(Ok(Bytes::from(body.to_string()))).expect("the receiver is here");
    response(code, frames)
}

/// The first half, and then nothing for as long as somebody listens.
fn half(body: &Value) -> Response<Frames> {
    let (sender, frames) = mpsc::unbounded_channel();
    let text = body.to_string();
    sender
        .send(Ok(Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2])))
        .expect("the receiver is here");
    tokio::spawn(async move { sender.closed().await });
    response(200, frames)
}

pub(super) fn response(code: u16, frames: mpsc::UnboundedReceiver<io::Result<Bytes>>) -> Response<Frames> {
    let mut response = Response::new(Frames(frames));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body in chunks, as they come.
pub(super) struct Frames(mpsc::UnboundedReceiver<io::Result<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
