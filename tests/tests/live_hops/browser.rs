//! Requests as a browser with OpenTelemetry's SDK sends them.

use std::io::Read as _;
use std::thread;

use opentelemetry_proto::tonic::trace::v1::Span;
use xtask::http::Address;

/// Clients that send at the same time, and requests of each.
const CLIENTS: u8 = 4;
const REQUESTS: u8 = 10;

/// A request's trace context.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    trace: [u8; 16],
    span: [u8; 8],
}

impl Sent {
    /// Whether the span is the direct child of the browser's.
    pub fn is_parent_of(&self, span: &Span) -> bool {
        span.trace_id == self.trace && span.parent_span_id == self.span
    }
}

/// Has all clients send all requests for `path`, each with a trace context of its own.
pub fn send(address: &Address, path: &str) -> Vec<Sent> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || (0..REQUESTS).map(|number| ask(address, path, client, number)).collect())
            })
            .collect();
        clients.into_iter().flat_map(|client| -> Vec<Sent> { client.join().unwrap() }).collect()
    })
}

/// Has all clients send all requests for `path`, each with a number in its query and without a trace context.
pub fn send_without_context(address: &Address, path: &str) -> usize {
    let ask = |client, number| {
        let path = format!("{path}?request_id=c{client}n{number}");
        exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"));
    };
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || (0..REQUESTS).for_each(|number| ask(client, number)));
        }
    });
    usize::from(CLIENTS) * usize::from(REQUESTS)
}

/// One request for `path`.
pub fn send_one(address: &Address, path: &str) -> Vec<Sent> {
    vec![ask(address, path, 0, 0)]
}

fn ask(address: &Address, path: &str, client: u8, number: u8) -> Sent {
    let mut sent = Sent { trace: [0xb0; 16], span: [0xc0; 8] };
    (sent.trace[14], sent.trace[15]) = (client, number);
    (sent.span[6], sent.span[7]) = (client, number);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\n\
         traceparent: 00-{}-{}-01\r\n\r\n",
        hex(&sent.trace),
        hex(&sent.span)
    );
    exchange(address, &request);
    sent
}

fn exchange(address: &Address, request: &str) {
    let mut stream = address.connect().unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
