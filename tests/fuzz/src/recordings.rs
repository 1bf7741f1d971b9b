//! Conversations to begin with: recordings of real servers in the tree, and HTTP written out.

use std::fs;
use std::path::{Path, PathBuf};

use tracer::event::Side;

/// What each call of a conversation moved.
pub type Calls = Vec<(Side, Vec<u8>)>;

/// HTTP; `>` begins a request's call, `<` a response's.
const HTTP: &[&[&str]] = &[
    &[
        ">GET /a?q=1 HTTP/1.1\r\nHost: x\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=1\r\n\r\n",
        "<HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ">POST /users/42 HTTP/1.1\r\nHost: x:81\r\nContent-Length: 11\r\n\r\n{\"a\": true}",
        "<HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n",
        "<3;x=\"y\"\r\n!!!\r\n0\r\nTrailer: 1\r\n\r\n",
        ">HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n",
        "<HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ">GET /close HTTP/1.0\r\n\r\n",
        "<HTTP/1.0 200 OK\r\n\r\nas much as there is",
    ],
    &[
        ">PUT /big HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "<HTTP/1.1 100 Continue\r\n\r\n",
        ">4\r\nbody\r\n0\r\n\r\n",
        "<HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ">GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HT",
        ">TP/1.1\r\nHost: x\r\n\r\n",
        "<HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    &[
        ">GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "<HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ">\u{1}\u{2}binary",
        "<\u{1}\u{2}binary",
    ],
    &[
        ">GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        "<HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n\0\0\u{6}\u{4}\0",
        ">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    &[
        ">CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n",
        "<HTTP/1.1 200 Connection established\r\n\r\n",
        ">\u{16}\u{3}\u{1}\0\u{2}",
    ],
    &[
        ">OPTIONS * HTTP/1.1\r\nHost: x\r\nForwarded: for=\"[2001:db8::1]:4711\";proto=https;host=shop.example, for=192.0.2.1\r\n\r\n",
        "<HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        ">PROPFIND http://u:p@h.example:81/dav/?sig=1&x=2 HTTP/1.1\r\nHost: h.example\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nX-Forwarded-Proto: https\r\nUser-Agent: a\r\n folded\r\nContent-Length: 3, 3\r\n\r\nabc",
        "<HTTP/1.1 207 Multi-Status\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        ">POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1\r\n\r\n.",
        "<HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\nno",
    ],
];

/// HTTP conversations.
#[must_use]
pub fn http() -> Vec<Calls> {
    let call = |call: &&str| (side(call), call.as_bytes().get(1..).unwrap_or_default().to_vec());
    HTTP.iter().map(|calls| calls.iter().map(call).collect()).collect()
}

/// MySQL and MariaDB conversations.
#[must_use]
pub fn mysql() -> Vec<Calls> {
    of(&fixtures("mysql"))
}

/// Redis conversations.
#[must_use]
pub fn redis() -> Vec<Calls> {
    of(&fixtures("redis"))
}

/// The conversation in a protocol's fixture of this name; empty if there is none.
#[must_use]
pub fn named(protocol: &str, name: &str) -> Calls {
    let path = directory(protocol).join(format!("{name}.txt"));
    calls(&fs::read_to_string(path).unwrap_or_default())
}

/// The conversation in a text: lines of `C` or `S` and hexadecimal digits, or of `>` or `<` and escaped text.
#[must_use]
pub fn calls(text: &str) -> Calls {
    let call = |line: &str| {
        let moved = line.get(2..).unwrap_or_default();
        match line.chars().next()? {
            'C' | 'S' => Some((side(line), hex(moved))),
            '>' | '<' => Some((side(line), unescape(moved))),
            _ => None,
        }
    };
    text.lines().filter_map(call).collect()
}

fn of(texts: &[String]) -> Vec<Calls> {
    texts.iter().map(|text| calls(text)).filter(|calls| !calls.is_empty()).collect()
}

/// All conversations.
#[must_use]
pub fn all() -> Vec<Calls> {
    [http(), mysql(), redis()].concat()
}

fn directory(protocol: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../../tracer/src/protocol").join(protocol).join("fixtures")
}

/// The texts of a protocol's fixtures.
fn fixtures(protocol: &str) -> Vec<String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory(protocol))
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// `>` and `C` mark what the client sent.
fn side(line: &str) -> Side {
    if line.starts_with(['>', 'C']) { Side::Request } else { Side::Response }
}

fn hex(digits: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    digits.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// `\r`, `\n`, `\xHH`; any other escaped character stands for itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, byte == b'\\') {
            (_, true) => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b'x') => {
                    let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                    hex(&String::from_utf8_lossy(&digits)).first().copied().unwrap_or(0)
                }
                other => other.unwrap_or(b'\\'),
            },
            (byte, false) => byte,
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_recordings() {
        assert!(http().len() >= 6 && mysql().len() >= 10 && redis().len() >= 6);
        let (side, greeting) = &mysql()[0][0];
        assert_eq!((*side, greeting[4]), (Side::Response, 10), "a greeting of protocol 10");
        assert!(redis().iter().flatten().any(|(side, bytes)| *side == Side::Request && bytes[0] == b'*'));
    }
}
