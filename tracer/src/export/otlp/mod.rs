//! OTLP: requests over gRPC or HTTP, several under way at once, each retried on its own.

mod grpc;
mod http;
mod resolver;
mod response;
mod tls;

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use super::ExportError;
use super::encode::{MAX_REQUEST_BYTES, Payload, Request, encode};
use super::outage::Outage;
use super::queue::Queue;
use super::retry::{Attempt, Backoff, RetryPolicy, random};
use super::settings::{OtlpSettings, Protocol};
use super::stats::{DropReason, Signal, SinkStats};
use super::wire::Wire;

/// Requests of one signal that may be under way at once. One at a time would bound the rate by the round trip to
/// a collector in another cluster; each holds at most [`MAX_REQUEST_BYTES`] while it is retried.
const MAX_IN_FLIGHT: usize = 4;

/// `User-Agent` of every request.
const USER_AGENT: &str = concat!("tracer/", env!("CARGO_PKG_VERSION"));

/// Sends one signal to its endpoint.
#[derive(Debug)]
pub(super) struct OtlpSink {
    signal: Signal,
    client: Client,
    policy: RetryPolicy,
    stats: Arc<SinkStats>,
    outage: Outage,
}

/// What carries encoded requests to an endpoint.
#[derive(Debug)]
pub(super) enum Client {
    Grpc(Box<grpc::Client>),
    Http(Box<http::Client>),
}

impl OtlpSink {
    /// Must be called in a tokio runtime. Connects when there is something to send.
    pub(super) fn new(
        signal: Signal,
        settings: &OtlpSettings,
        policy: RetryPolicy,
        stats: Arc<SinkStats>,
    ) -> Result<Self, ExportError> {
        let client = Client::new(signal.wire(), settings)?;
        let outage = Outage::new(format!("export of {} to {}", signal.name(), settings.shown_endpoint()));
        Ok(Self { signal, client, policy, stats, outage })
    }

    /// Sends what the queue gives until it is closed and empty, or until `cancel` says that time is over.
    pub(super) async fn run(self, queue: Arc<Queue>, mut cancel: watch::Receiver<bool>) {
        let mut sending =
            Sending { sink: Arc::new(self), tasks: JoinSet::new(), items: FxHashMap::default() };
        tokio::select! {
            () = sending.send_all(&queue) => {}
            // An error means that the exporter is gone: nobody waits for the rest.
            _ = cancel.wait_for(|over| *over) => {}
        }
        sending.tasks.shutdown().await;
    }

    /// Sends one request, again and again while there is hope.
    async fn deliver(&self, payload: Payload, items: u64) {
        let body = self.client.body(payload.encode_to_vec());
        let mut backoff = Backoff::new(self.policy, Instant::now());
        loop {
            match self.client.attempt(body.clone()).await {
                Attempt::Delivered { rejected, message } => return self.delivered(items, rejected, &message),
                Attempt::Refused(error) | Attempt::NotTaken(error) => {
                    return self.lost(items, DropReason::Rejected, &error);
                }
                Attempt::Failed { error, after } => match backoff.next(Instant::now(), after, random()) {
                    Some(pause) => {
                        self.outage.failed(&error, self.dropped());
                        sleep(pause).await;
                    }
                    None => return self.lost(items, DropReason::GaveUp, &error),
                },
            }
        }
    }

    fn delivered(&self, items: u64, rejected: u64, message: &str) {
        let rejected = rejected.min(items);
        self.stats.exported(self.signal, items - rejected);
        if rejected > 0 {
            self.stats.dropped(self.signal, DropReason::Rejected, rejected);
        }
        let tally = self.stats.tally(self.signal);
        self.outage.succeeded(tally.dropped_total(), tally.dropped(DropReason::QueueFull));
        if rejected > 0 || !message.is_empty() {
            self.outage
                .remarked(&format!("the receiver took all but {rejected} of {items}, saying: {message}"));
        }
    }

    fn lost(&self, items: u64, reason: DropReason, error: &str) {
        self.stats.dropped(self.signal, reason, items);
        self.outage.failed(error, self.dropped());
    }

    fn dropped(&self) -> u64 {
        self.stats.tally(self.signal).dropped_total()
    }
}

/// The requests under way.
struct Sending {
    sink: Arc<OtlpSink>,
    tasks: JoinSet<()>,
    /// How many items each carries.
    items: FxHashMap<Id, u64>,
}

impl Sending {
    async fn send_all(&mut self, queue: &Queue) {
        while let Some(batch) = queue.next().await {
            let encoded = encode(batch, MAX_REQUEST_BYTES);
            for (signal, too_large) in Signal::ALL.into_iter().zip(encoded.too_large) {
                self.sink.stats.dropped(signal, DropReason::TooLarge, too_large);
            }
            for request in encoded.requests {
                self.send(request).await;
            }
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Starts sending, as soon as there is room.
    async fn send(&mut self, Request { payload, items }: Request) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
        if self.tasks.len() >= MAX_IN_FLIGHT
            && let Some(ended) = self.tasks.join_next_with_id().await
        {
            self.ended(ended);
        }
        let sink = Arc::clone(&self.sink);
        let task = self.tasks.spawn(async move { sink.deliver(payload, items).await });
        self.items.insert(task.id(), items);
    }

    fn ended(&mut self, result: Result<(Id, ()), JoinError>) {
        let id = result.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let items = self.items.remove(&id).unwrap_or_default();
        // A client library may panic over a malformed answer. That must cost one request, not the stage.
        if result.is_err_and(|error| error.is_panic()) {
            self.sink.lost(items, DropReason::GaveUp, "the client failed over the receiver's answer");
        }
    }
}

impl Client {
    /// Must be called in a tokio runtime. Connects when there is something to send.
    pub(super) fn new(wire: Wire, settings: &OtlpSettings) -> Result<Self, ExportError> {
        Ok(match settings.protocol {
            Protocol::Grpc => Self::Grpc(Box::new(grpc::Client::new(wire, settings)?)),
            Protocol::HttpProtobuf => Self::Http(Box::new(http::Client::new(settings)?)),
        })
    }

    /// An encoded message as it is sent over the wire, the same for every attempt.
    pub(super) fn body(&self, message: Vec<u8>) -> Bytes {
        match self {
            Self::Grpc(_) => message.into(),
            Self::Http(client) => client.compressed(message).into(),
        }
    }

    /// Sends it once.
    pub(super) async fn attempt(&self, body: Bytes) -> Attempt {
        match self {
            Self::Grpc(client) => client.attempt(body).await,
            Self::Http(client) => client.attempt(body).await,
        }
    }
}

/// An error with its causes: `client error (Connect): tcp connect error: Connection refused (os error 111)`.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some wrappers print their cause themselves.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
