//! The API server: list and watch of pods over HTTP/1.1 and TLS, as the Kubernetes API concepts describe them, with
//! everything that can go wrong on demand.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::store::{Change, Store, is_selected, key};

/// How often a watch is told where the server stands.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(2);

/// The running API server. It ends, with every connection, when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Bumped by every change of the state.
    changed: watch::Sender<u64>,
}

/// Where the server stops and says no more, without closing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// A connection is accepted, and TLS not answered.
    Handshake,
    /// A request is read, and not answered.
    Answer,
    /// Half of a list is sent.
    List,
    /// Half of an event is sent, where there is one to send: at the next change.
    Event,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    token: String,
    denied: bool,
    /// Watches break, in the middle of an event, after this time.
    break_after: Option<Duration>,
    /// Answers come after this time.
    delay: Duration,
    stall: Option<Stall>,
    requests: Vec<String>,
    bookmarks: u64,
}

impl ApiServer {
    /// Starts one on a free port of the loopback, with no pods. Whoever has the token `first` may list and watch.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts one on this address: one that comes back, having forgotten everything.
    ///
    /// # Panics
    /// When the address is in use.
    #[must_use]
    pub fn start_on(address: SocketAddr) -> Self {
        let state = State { token: "first".to_owned(), ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(0) });
        let (stop, stopped) = oneshot::channel();
        let (listening, told) = std::sync::mpsc::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(address).await.expect("a free address");
                listening.send(listener.local_addr().expect("its address")).expect("a listener");
                tokio::select! {
                    () = accept(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv().expect("the server listens");
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes a kubeconfig whose token is in a file, as a service account's is; tells its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let token = directory.join("token");
        fs::write(&token, "first").expect("a token's file");
        let authority = format!("{}/fixtures/tls/ca.pem", env!("CARGO_MANIFEST_DIR"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", self.address), "certificate-authority": authority,
            }}],
            "users": [{"name": "test", "user": {"tokenFile": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let path = directory.join("kubeconfig");
        fs::write(&path, config.to_string()).expect("a kubeconfig");
        path
    }

    /// Creates or replaces a pod.
    pub fn apply(&self, pod: &Value) {
        self.change(|state| state.store.apply(pod.clone()));
    }

    /// Deletes a pod, if it is there.
    pub fn delete(&self, pod: &Value) {
        self.change(|state| state.store.delete(&key(pod)));
    }

    /// Only this token is good from now on.
    pub fn accept_token(&self, token: &str) {
        self.change(|state| state.token = token.to_owned());
    }

    /// Nobody may list and watch, or everybody with a good token.
    pub fn deny(&self, denied: bool) {
        self.change(|state| state.denied = denied);
    }

    /// Each watch breaks after this time, in the middle of an event.
    pub fn break_watches_after(&self, time: Option<Duration>) {
        self.change(|state| state.break_after = time);
    }

    /// Answers come after this time.
    pub fn delay(&self, time: Duration) {
        self.change(|state| state.delay = time);
    }

    /// Stops there from now on; `None` ends it for what comes later.
    pub fn stall(&self, stall: Option<Stall>) {
        self.change(|state| state.stall = stall);
    }

    /// Forgets what happened: open watches, and those that would go on, get 410.
    pub fn compact(&self) {
        self.change(|state| state.store.compact());
    }

    /// What was asked for so far: path and query.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// Bookmarks that were sent so far.
    #[must_use]
    pub fn bookmarks(&self) -> u64 {
        self.shared.lock().bookmarks
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.lock());
        self.shared.changed.send_modify(|changes| *changes += 1);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Gone already if the thread failed.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalls(&self, stall: Stall) -> bool {
        self.lock().stall == Some(stall)
    }
}

fn tls() -> TlsAcceptor {
    let fixture = |name: &str| format!("{}/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let certificate = CertificateDer::from_pem_file(fixture("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let tls = tls();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            if shared.stalls(Stall::Handshake) {
                return std::future::pending().await;
            }
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            // Broken connections are part of the tests.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Frames>, Infallible> {
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

fn status(code: u16, reason: &str, message: &str) -> Value {
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

fn response(code: u16, frames: mpsc::UnboundedReceiver<io::Result<Bytes>>) -> Response<Frames> {
    let mut response = Response::new(Frames(frames));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn watched(query: Query, shared: Arc<Shared>) -> Response<Frames> {
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

/// A query string.
struct Query(Vec<(String, String)>);

impl Query {
    fn new(text: &str) -> Self {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(key, value)| (key.to_owned(), unescape(value))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn selects(&self, pod: &Value) -> bool {
        let selector = |name| self.get(name).unwrap_or_default();
        is_selected(pod, selector("fieldSelector"), selector("labelSelector"))
    }

    /// What a watch with these selectors sees of a change: what no longer fits is gone for it.
    fn event(&self, change: &Change) -> Option<Value> {
        let fits = |object: &&Value| self.selects(object);
        let (old, new) = (change.old.as_ref().filter(fits), change.new.as_ref().filter(fits));
        let (kind, object) = match (old, new) {
            (None, None) => return None,
            (None, Some(new)) => ("ADDED", new.clone()),
            (Some(_), Some(new)) => ("MODIFIED", new.clone()),
            (Some(old), None) => ("DELETED", old.clone()),
        };
        let mut object = object;
        object["metadata"]["resourceVersion"] = json!(change.version.to_string());
        Some(json!({"type": kind, "object": object}))
    }
}

/// Undoes percent-encoding; what is not encoded rightly stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let encoded = (*first == b'%').then(|| after.get(..2)).flatten();
        let decoded = encoded.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A body in chunks, as they come.
struct Frames(mpsc::UnboundedReceiver<io::Result<Bytes>>);

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
