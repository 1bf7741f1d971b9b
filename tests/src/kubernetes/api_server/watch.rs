//! A watch: what changes is told until something ends it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::answer::{Frames, response, status};
use super::query::Query;
use super::{Shared, Stall};

/// How often a watch is told where the server stands.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(2);

pub(super) fn watched(query: Query, shared: Arc<Shared>) -> Response<Frames> {
    let (sender, frames) = mpsc::unbounded_channel();
    tokio::spawn(async move { follow(query, shared, sender).await });
    response(200, frames)
}

type Sender = mpsc::UnboundedSender<io::Result<Bytes>>;

/// Sends what happens until the client has gone, the time is over, or the watch is to break.
async fn follow(query: Query, shared: Arc<Shared>, sender: Sender) -> Option<()> {
    let started = Instant::now();
    let seconds = query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
    let end = started + Duration::from_secs(seconds);
    let mut bookmark = started + BOOKMARK_PERIOD;
    let mut version = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let mut changed = shared.changed.subscribe();
    loop {
        let (changes, breaks) = {
            let state = shared.lock();
            (state.store.since(version), state.break_after.map(|after| started + after))
        };
        match changes {
            Ok(changes) => {
                for change in changes {
                    version = change.version;
                    if shared.stalls(Stall::Event) {
                        sender.send(Ok(Bytes::from_static(b"{\"type\":\"ADDED\",\"obj"))).ok()?;
                        sender.closed().await;
                        return None;
                    }
                    query.event(&change).map_or(Some(()), |event| send(&sender, &event))?;
                }
            }
            Err(_) => {
                let gone = status(410, "Expired", &format!("too old resource version: {version}"));
                return send(&sender, &json!({"type": "ERROR", "object": gone}));
            }
        }
        if breaks.is_some_and(|breaks| breaks <= Instant::now()) {
            sender.send(Ok(Bytes::from_static(b"{\"type\":\"MODI"))).ok()?;
            return sender.send(Err(io::ErrorKind::ConnectionReset.into())).ok();
        }
        let wake = [Some(end), breaks, Some(bookmark)].into_iter().flatten().min().expect("three");
        tokio::select! {
            _ = timeout_at(wake, changed.changed()) => {}
            () = sender.closed() => return None,
        }
        if end <= Instant::now() {
            return None;
        }
        if bookmark <= Instant::now() {
            bookmark += BOOKMARK_PERIOD;
            if query.get("allowWatchBookmarks") == Some("true") {
                let metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
                let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata});
                send(&sender, &json!({"type": "BOOKMARK", "object": object}))?;
                shared.lock().bookmarks += 1;
            }
        }
        sleep_until(Instant::now()).await;
    }
}

fn send(sender: &Sender, event: &Value) -> Option<()> {
    sender.send(Ok(Bytes::from(format!("{event}\n")))).ok()
}
