//! The clients, and their record.

use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use xtask::http::{Client, Response};
use xtask::testbed::Backend;

use super::plan::Request;

/// Requests that one connection carries before the client opens another.
const REQUESTS_PER_CONNECTION: usize = 5;

/// When a request was made, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Before its first byte was sent.
    pub sent: u64,
    /// After the last byte of the answer was read.
    pub read: u64,
}

/// Sends each list by a client of its own, all at once. Gives the record in the same order, and how many seconds
/// it took.
///
/// # Panics
/// When the application fails a request or answers something else than it should.
pub fn send(backend: &Backend, plans: &[Vec<Request>]) -> (Vec<Vec<Answer>>, f64) {
    let start = Instant::now();
    let answers = thread::scope(|scope| {
        let clients: Vec<_> = plans.iter().map(|plan| scope.spawn(|| send_all(backend, plan))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    (answers, start.elapsed().as_secs_f64())
}

fn send_all(backend: &Backend, plan: &[Request]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for requests in plan.chunks(REQUESTS_PER_CONNECTION) {
        let mut client = backend.connect().unwrap();
        for request in requests {
            let sent = now();
            let response = send_one(&mut client, request);
            let answer = Answer { sent, read: now() };
            let said = String::from_utf8_lossy(&response.body);
            assert_eq!(response.status, request.status, "{} {}: {said}", request.method, request.target());
            answers.push(answer);
        }
    }
    answers
}

fn send_one(client: &mut Client, request: &Request) -> Response {
    match &request.body {
        Some(body) => client.post(&request.target(), body),
        None => client.get(&request.target()),
    }
    .unwrap()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
