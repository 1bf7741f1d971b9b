//! List and watch of this node's pods, for as long as the agent runs.
//!
//! The requests, their decoding and the connection are the `kube` client's. The loop around them is ours because the
//! agent must know when a watch is open: that is when it says that the API server answers again.
//!
//! Protocol: "Efficient detection of changes" of the Kubernetes API concepts.

use std::time::Duration;

use futures_util::StreamExt as _;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::client::Client;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::error::Access;
use super::object::PodObject;
use super::pod::Pod;
use status::{ApiStatus, Failure};

pub mod status;

/// How long a connection to the API server may take to be made, TLS included; less where it has less time to answer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one page of the list, or the head of a watch's answer, may take (`--api-timeout`).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Seconds after which the server ends a watch; a new one goes on where it ended.
const WATCH_SECONDS: u32 = 290;

/// A watch that says nothing for so long is dead: the server should have ended it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// A server that sends bookmarks sends them regularly (Kubernetes': once a minute): after so many times the pause
/// between the last two the watch is dead, too.
const MISSED_BOOKMARKS: u32 = 3;

/// Pods a page: bounds what a list takes of memory.
const PAGE: u32 = 100;

/// Longest pause after the first failure; it doubles from failure to failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause of all.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What the API told.
#[derive(Debug)]
pub enum Change {
    /// All pods of this node.
    List(Vec<Pod>),
    /// A pod is new or has changed.
    Applied(Box<Pod>),
    /// A pod is gone.
    Deleted(Box<Pod>),
}

/// Follows the pods of `node`. Returns only when nobody takes changes any more.
pub async fn watch(
    access: Access,
    mut client: Client,
    node: String,
    changes: Sender<Change>,
    status: &ApiStatus,
) {
    let fields = format!("spec.nodeName={node}");
    let mut pauses = Pauses::default();
    let mut version: Option<String> = None;
    while !changes.is_closed() {
        let started = Instant::now();
        let ended = once(&client, access.answer_timeout(), &fields, &mut version, &changes, status).await;
        match ended {
            // The server ends each watch after a while.
            Ok(()) if started.elapsed() > FIRST_PAUSE => {
                pauses.reset();
                continue;
            }
            Ok(()) => {}
            Err(failure) => {
                if matches!(failure, Failure::Expired) {
                    // What was missed is not to be had any more: everything is listed anew.
                    version = None;
                }
                status.failed(&failure);
                if matches!(failure, Failure::Unauthorized) {
                    // The token was replaced: its file is read anew.
                    client = access.client().unwrap_or(client);
                }
            }
        }
        let pause = pauses.next(started.elapsed(), random());
        debug!(?pause, "the pods are asked for again after a pause");
        sleep(pause).await;
    }
}

/// Lists where that is needed, then watches until the watch ends.
async fn once(
    client: &Client,
    answer: Duration,
    fields: &str,
    version: &mut Option<String>,
    changes: &Sender<Change>,
    status: &ApiStatus,
) -> Result<(), Failure> {
    let api: Api<PodObject> = Api::all(client.clone());
    let from = match version.take() {
        Some(version) => version,
        None => {
            let (pods, from) = list(&api, answer, fields).await?;
            // Nobody listens only when the agent ends.
            let _ = changes.send(Change::List(pods)).await;
            status.listed();
            from
        }
    };
    *version = Some(from.clone());
    let params = WatchParams::default().fields(fields).timeout(WATCH_SECONDS);
    let opened = timeout(answer, api.watch(&params, &from)).await;
    let mut stream = opened.map_err(|_| Failure::Slow)?.map_err(Failure::from)?.boxed();
    status.watching();
    let mut rhythm = Rhythm::new(answer);
    loop {
        // A part of an event is no event: one that stalls in its middle is noticed too.
        let Ok(next) = timeout(rhythm.patience(), stream.next()).await else { return Err(Failure::Slow) };
        let Some(event) = next else { return Ok(()) };
        match event.map_err(Failure::from)? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                keep(version, object.metadata.resource_version.as_ref());
                send(changes, object, Change::Applied).await;
            }
            WatchEvent::Deleted(object) => {
                keep(version, object.metadata.resource_version.as_ref());
                send(changes, object, Change::Deleted).await;
            }
            WatchEvent::Bookmark(mark) => {
                rhythm.bookmark(Instant::now());
                keep(version, Some(&mark.metadata.resource_version));
            }
            WatchEvent::Error(error) => return Err(Failure::from_status(&error)),
        }
    }
}

fn keep(version: &mut Option<String>, told: Option<&String>) {
    if let Some(told) = told.filter(|told| !told.is_empty()) {
        *version = Some(told.clone());
    }
}

async fn send(changes: &Sender<Change>, object: PodObject, change: fn(Box<Pod>) -> Change) {
    if let Some(pod) = Pod::from_object(object) {
        // Nobody listens only when the agent ends.
        let _ = changes.send(change(Box::new(pod))).await;
    }
}

/// All pods, and the version that a watch goes on from.
async fn list(api: &Api<PodObject>, answer: Duration, fields: &str) -> Result<(Vec<Pod>, String), Failure> {
    let mut params = ListParams::default().fields(fields).match_any().limit(PAGE);
    let mut pods = Vec::new();
    loop {
        let page = timeout(answer, api.list(&params)).await;
        let page = page.map_err(|_| Failure::Slow)?.map_err(Failure::from)?;
        pods.extend(page.items.into_iter().filter_map(Pod::from_object));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok((pods, page.metadata.resource_version.unwrap_or_default())),
        }
        if pods.len() > super::follow::MAX_PODS {
            return Err(Failure::TooMany);
        }
    }
}

/// How long a watch may say nothing, learnt from its bookmarks. What is wrongly taken for dead is only opened again.
#[derive(Debug)]
struct Rhythm {
    /// The least patience.
    least: Duration,
    last: Option<Instant>,
    pause: Option<Duration>,
}

impl Rhythm {
    fn new(least: Duration) -> Self {
        Self { least, last: None, pause: None }
    }

    fn bookmark(&mut self, now: Instant) {
        self.pause = self.last.map(|last| now.saturating_duration_since(last));
        self.last = Some(now);
    }

    fn patience(&self) -> Duration {
        let learnt = self.pause.map(|pause| (pause * MISSED_BOOKMARKS).max(self.least));
        learnt.map_or(IDLE_TIMEOUT, |learnt| learnt.min(IDLE_TIMEOUT))
    }
}

/// Pauses between attempts: exponential with jitter, so that the agents of many nodes do not return in step.
#[derive(Debug)]
struct Pauses {
    bound: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { bound: FIRST_PAUSE }
    }
}

impl Pauses {
    fn reset(&mut self) {
        self.bound = FIRST_PAUSE;
    }

    /// The pause after an attempt that went well for `lived`: one that outlived the last pause begins anew. `random`
    /// is uniform over all values of its type.
    fn next(&mut self, lived: Duration, random: u32) -> Duration {
        if lived > self.bound {
            self.reset();
        }
        let share = f64::from(random) / f64::from(u32::MAX);
        let pause = self.bound.mul_f64(0.5 + share / 2.0);
        self.bound = (self.bound * 2).min(MAX_PAUSE);
        pause
    }
}

/// Without random bytes the pauses have no jitter.
fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_attempts_fail_at_once() {
        let mut pauses = Pauses::default();
        let grown: Vec<_> = (0..10).map(|_| pauses.next(Duration::ZERO, u32::MAX).as_millis()).collect();
        assert_eq!(grown, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(pauses.next(Duration::ZERO, 0), MAX_PAUSE / 2);
    }

    #[test]
    fn bookmarks_tell_how_long_a_watch_may_be_silent() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let mut rhythm = Rhythm::new(30 * second);
        rhythm.bookmark(start);
        assert_eq!(rhythm.patience(), IDLE_TIMEOUT, "one shows no rhythm");
        rhythm.bookmark(start + 60 * second);
        assert_eq!(rhythm.patience(), 180 * second);
        rhythm.bookmark(start + 62 * second);
        assert_eq!(rhythm.patience(), 30 * second, "two in a hurry");
        rhythm.bookmark(start + 262 * second);
        assert_eq!(rhythm.patience(), IDLE_TIMEOUT);
    }

    #[test]
    fn a_watch_that_breaks_every_second_is_resumed_soon() {
        let mut pauses = Pauses::default();
        for _ in 0..10 {
            assert!(pauses.next(Duration::from_secs(1), u32::MAX) <= FIRST_PAUSE);
        }
    }
}
