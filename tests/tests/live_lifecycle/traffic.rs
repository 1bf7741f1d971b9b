//! Clients that never stop, and to whom nothing may happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;
use xtask::http::{Address, Client};
use xtask::testbed::Backend;

/// Clients that send at the same time.
const CLIENTS: usize = 4;

/// Requests that one connection carries before the client opens another.
const REQUESTS_PER_CONNECTION: usize = 40;

/// What the clients ask for in turn, and the status that they want.
const REQUESTS: [(&str, u16); 5] = [
    ("/healthz", 200),
    ("/api/db/messages", 200),
    ("/api/db/message", 201),
    ("/api/logs/redis", 200),
    ("/api/fail", 500),
];

/// Asks for everything once, on connections of its own. `id` makes the requests different from others.
pub fn each_once(backend: &Backend, id: &str) {
    let mut client = backend.connect().unwrap();
    for (path, status) in REQUESTS {
        assert_eq!(ask(&mut client, path, id), status, "{path}");
    }
}

/// Running clients.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts them.
    pub fn start(backend: &Backend) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS).map(|_| {
            let (address, stop, answered) =
                (backend.address().clone(), Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || send(&address, &stop, &answered))
        });
        let clients = clients.collect();
        Self { stop, answered, clients }
    }

    /// Waits until another `count` requests were answered.
    ///
    /// # Panics
    /// When the application fails.
    pub fn wait_for(&self, count: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + count;
        while self.answered.load(Ordering::Relaxed) < wanted {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a request failed; see above");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends them. Gives how many requests were answered, all of them as they should be.
    ///
    /// # Panics
    /// When one was not.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        self.answered.load(Ordering::Relaxed)
    }
}

fn send(address: &Address, stop: &AtomicBool, answered: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::connect(address).unwrap();
        for (path, status) in REQUESTS.iter().cycle().take(REQUESTS_PER_CONNECTION) {
            assert_eq!(ask(&mut client, path, "traffic"), *status, "{path}");
            answered.fetch_add(1, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

fn ask(client: &mut Client, path: &str, id: &str) -> u16 {
    let target = format!("{path}?request_id={id}");
    let body = json!({ "sender": "sender", "body": "text" });
    let answer = if path == "/api/db/message" { client.post(&target, &body) } else { client.get(&target) };
    answer.unwrap().status
}
