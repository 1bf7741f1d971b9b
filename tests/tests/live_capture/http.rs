//! Requests and responses, as text.

/// A request without a body.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A request with a body.
pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A response with a body.
pub fn ok(body: &str) -> String {
    response(200, body)
}

/// A response with this status.
pub fn response(status: u16, body: &str) -> String {
    format!("{}{body}", head(status, body.len()))
}

/// A response's head alone.
pub fn head(status: u16, length: usize) -> String {
    format!("HTTP/1.1 {status} Status\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
}
