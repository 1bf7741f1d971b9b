//! The API server: list and watch of pods over HTTP/1.1 and TLS, as the Kubernetes API concepts describe them, with
//! everything that can go wrong on demand. Here it is started and told what is to happen; `answer` says what a request
//! gets, `watch` what is told of changes, `query` what is asked for.

mod answer;
mod query;
mod watch;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::sync::watch::Sender;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use self::answer::answer;
use super::store::{Store, key};

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
    changed: Sender<u64>,
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
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Sender::new(0) });
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
