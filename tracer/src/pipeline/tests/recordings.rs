//! Conversations of the real protocols: recordings of real servers, and HTTP written out.

use std::sync::LazyLock;

use crate::event::Side;

/// What each call of a conversation moved.
pub(super) type Calls = Vec<(Side, Vec<u8>)>;

const REDIS: [&str; 6] = [
    include_str!("../../protocol/redis/fixtures/ordinary.txt"),
    include_str!("../../protocol/redis/fixtures/pipelines.txt"),
    include_str!("../../protocol/redis/fixtures/pubsub2.txt"),
    include_str!("../../protocol/redis/fixtures/resp3.txt"),
    include_str!("../../protocol/redis/fixtures/auth.txt"),
    include_str!("../../protocol/redis/fixtures/monitor.txt"),
];

const MYSQL: [&str; 7] = [
    include_str!("../../protocol/mysql/fixtures/pymysql.txt"),
    include_str!("../../protocol/mysql/fixtures/cli.txt"),
    include_str!("../../protocol/mysql/fixtures/multi.txt"),
    include_str!("../../protocol/mysql/fixtures/prepared_eof.txt"),
    include_str!("../../protocol/mysql/fixtures/prepared_no_eof.txt"),
    include_str!("../../protocol/mysql/fixtures/local_infile.txt"),
    include_str!("../../protocol/mysql/fixtures/login_refused.txt"),
];

/// `>` begins a request's call, `<` a response's.
const HTTP: [&[&str]; 3] = [
    &[
        ">GET /a?q=1 HTTP/1.1\r\nHost: x\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
        "<HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ">POST /users/42 HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{\"a\": true}",
        "<HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n",
        "<3;x=y\r\n!!!\r\n0\r\nTrailer: 1\r\n\r\n",
        ">HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n",
        "<HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ">GET /close HTTP/1.0\r\n\r\n",
        "<HTTP/1.0 200 OK\r\n\r\nas much as there is",
    ],
    &[
        ">PUT /big HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        "<HTTP/1.1 100 Continue\r\n\r\n",
        ">4\r\nbody\r\n0\r\n\r\n",
        "<HTTP/1.1 204 No Content\r\n\r\n",
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
];

/// All conversations.
pub(super) static ALL: LazyLock<Vec<Calls>> = LazyLock::new(|| {
    let http = HTTP.iter().map(|calls| calls.iter().map(|call| http_call(call)).collect());
    let mysql = MYSQL.iter().map(|text| {
        text.lines().filter(|line| !line.starts_with('#')).map(|line| (side(line), hex(&line[2..]))).collect()
    });
    let redis =
        REDIS.iter().map(|text| text.lines().map(|line| (side(line), unescape(&line[2..]))).collect());
    http.chain(mysql).chain(redis).collect()
});

fn http_call(call: &str) -> (Side, Vec<u8>) {
    (side(call), call.as_bytes()[1..].to_vec())
}

/// `>` and `C` mark what the client sent.
fn side(line: &str) -> Side {
    if line.starts_with(['>', 'C']) { Side::Request } else { Side::Response }
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// `\r`, `\n`, `\xHH`; any other escaped character stands for itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            other => other,
        });
    }
    bytes
}
