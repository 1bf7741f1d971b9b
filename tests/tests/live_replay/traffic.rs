//! What the backend is asked.

use std::thread;

use serde_json::json;
use xtask::testbed::Backend;

/// Clients that send at the same time.
const CLIENTS: usize = 3;

/// Rounds of each client.
const ROUNDS: usize = 4;

/// Requests of one round.
const REQUESTS: usize = 9;

/// Requests in all.
pub const TOTAL: usize = CLIENTS * ROUNDS * REQUESTS;

/// Asks for everything that the backend can do, errors included, by several clients at once.
///
/// # Panics
/// When the backend cannot be reached.
pub fn send(backend: &Backend) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                (0..ROUNDS).for_each(|round| send_round(backend, &format!("c{client}r{round}")))
            });
        }
    });
}

fn send_round(backend: &Backend, id: &str) {
    let mut client = backend.connect().unwrap();
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let target = |path: &str| format!("{path}?request_id={id}");
    client.get(&target("/healthz")).unwrap();
    let message = json!({ "sender": "s", "body": "it's a message", "request_id": id });
    client.post("/api/db/message", &message).unwrap();
    client.send("GET", &target("/api/db/messages"), &[("traceparent", traceparent)], b"").unwrap();
    client.post(&target("/api/login"), &json!({ "user": "nobody", "password": "wrong" })).unwrap();
    client.post(&target("/api/logout"), &json!({ "token": "none" })).unwrap();
    // Connections of a single request.
    backend.get(&target("/api/logs/redis")).unwrap();
    backend.get(&target("/api/sql-error")).unwrap();
    backend.get(&target("/api/redis-error")).unwrap();
    backend.get(&target("/no/such/route")).unwrap();
}
