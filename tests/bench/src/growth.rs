//! Inputs that grow: the work may grow with them, and not faster.

use std::hint::black_box;

use tracer::correlate::{log_json, severity};
use tracer::event::{Role, Side};
use tracer::span::sql::Statement;

use crate::measured_work;
use crate::stage::{Records, pipeline};

/// A case: what to do with an input of a size.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    make: fn(usize) -> Work,
}

/// What is measured.
enum Work {
    Records(Records),
    Text(String, fn(&str)),
}

pub(crate) const CASES: &[Case] = &[
    Case { name: "http-head-bytewise", make: http_head },
    Case { name: "http-chunks", make: http_chunks },
    Case { name: "http-body", make: http_body },
    Case { name: "http-body-large", make: |size| http_body(LARGE * size) },
    Case { name: "http-body-bytewise", make: http_body_bytewise },
    Case { name: "http-pipeline", make: http_pipeline },
    Case { name: "http-open-threads", make: |size| http_open(Role::Server, size, |sock| sock) },
    Case { name: "http-open-loop", make: |size| http_open(Role::Server, size, |_| 1) },
    Case { name: "http-open-proxied", make: http_open_proxied },
    Case { name: "http-open-client", make: |size| http_open(Role::Client, size, |_| 1) },
    Case { name: "mysql-rows", make: |size| mysql_rows(size, CALL) },
    Case { name: "mysql-rows-large", make: |size| mysql_rows(LARGE * size, LARGEST_CALL) },
    Case { name: "mysql-rows-bytewise", make: |size| mysql_rows(size / LARGE, 1) },
    Case { name: "mysql-statement", make: mysql_statement },
    Case { name: "redis-pipeline", make: redis_pipeline },
    Case { name: "redis-array", make: |size| redis_array(size, CALL) },
    Case { name: "redis-array-large", make: |size| redis_array(LARGE * size, LARGEST_CALL) },
    Case { name: "redis-array-bytewise", make: |size| redis_array(size / LARGE, 1) },
    Case { name: "redis-arguments", make: redis_arguments },
    Case { name: "log-lines", make: log_lines },
    Case { name: "log-pieces", make: log_pieces },
    Case {
        name: "sql-values",
        make: |size| {
            Work::Text(format!("SELECT a FROM t WHERE b IN ({}1)", "'x''y', ".repeat(size / 8)), sql)
        },
    },
    Case {
        name: "sql-joins",
        make: |size| Work::Text(format!("SELECT * FROM a{}", " JOIN b USING (c)".repeat(size / 17)), sql),
    },
    Case { name: "sql-quotes", make: |size| Work::Text("'\\".repeat(size / 2), sql) },
    Case { name: "sql-comments", make: |size| Work::Text("/*/**".repeat(size / 5), sql) },
    Case { name: "sql-nested", make: |size| Work::Text("(SELECT ".repeat(size / 8), sql) },
    Case {
        name: "json",
        make: |size| {
            Work::Text(format!("{{{}\"level\": 1}}", "\"a\\u0041\": [{\"b\": 1}], ".repeat(size / 24)), line)
        },
    },
    Case { name: "text", make: |size| Work::Text("12 info:err ".repeat(size / 12), line) },
];

fn sql(text: &str) {
    for truncated in [false, true] {
        let statement = Statement { truncated, ..Statement::new(text) }.read();
        let _ = black_box((statement.sanitise(), statement.summary()));
    }
}

fn line(text: &str) {
    let _ = black_box((log_json::read(text), severity::of(text)));
}

/// Bytes that the probe hands over of one call as it is set.
const CALL: usize = 8 * 1024;

/// The same where a protocol asks for whole calls.
const LARGEST_CALL: usize = 16 * 1024;

/// So many times larger are some inputs, and so many times smaller those that come byte by byte.
const LARGE: usize = 16;

/// One exchange whose request and response move in calls of at most `piece` bytes.
fn exchange(role: Role, request: &[u8], response: &[u8], piece: usize) -> Work {
    let mut records = Records::default();
    records.open(1, role);
    request.chunks(piece).for_each(|bytes| records.call(1, role, Side::Request, bytes));
    response.chunks(piece).for_each(|bytes| records.call(1, role, Side::Response, bytes));
    Work::Records(records)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A header block of up to 64 KiB, in calls of seven bytes.
fn http_head(size: usize) -> Work {
    let fields = "X-Field: some value\r\n".repeat(size / 21);
    exchange(Role::Server, format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes(), OK, 7)
}

fn http_chunks(size: usize) -> Work {
    let response = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        "2;x=y\r\nab\r\n".repeat(size / 11)
    );
    exchange(Role::Server, b"GET / HTTP/1.1\r\n\r\n", response.as_bytes(), CALL)
}

fn http_body(size: usize) -> Work {
    let response = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(size));
    exchange(Role::Server, b"GET / HTTP/1.1\r\n\r\n", response.as_bytes(), CALL)
}

fn http_body_bytewise(size: usize) -> Work {
    let body = "x".repeat(size / LARGE);
    let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    exchange(Role::Server, request.as_bytes(), OK, 1)
}

fn http_pipeline(size: usize) -> Work {
    let count = size / 64;
    let mut records = Records::default();
    records.open(1, Role::Server);
    for _ in 0..count.div_ceil(100) {
        records.call(1, Role::Server, Side::Request, &b"GET /a HTTP/1.1\r\n\r\n".repeat(100));
        records.call(1, Role::Server, Side::Response, &OK.repeat(100));
    }
    Work::Records(records)
}

/// Requests that are all open before the first one is answered, each on a connection of its own, by the threads that
/// `thread` says.
fn http_open(role: Role, size: usize, thread: fn(u64) -> u64) -> Work {
    let connections = 1..=size as u64 / 64;
    let mut records = Records::default();
    for sock in connections.clone() {
        records.open(sock, role);
        records.call_by(thread(sock), sock, role, Side::Request, b"GET /a HTTP/1.1\r\n\r\n");
    }
    for sock in connections {
        records.call_by(thread(sock), sock, role, Side::Response, OK);
    }
    Work::Records(records)
}

/// A proxy's loop has many requests of different clients open, and passes each of them on.
fn http_open_proxied(size: usize) -> Work {
    let requests = 0..size as u64 / 256;
    let mut records = Records::default();
    let request = |from: u64, behind: &str| {
        format!("GET /a HTTP/1.1\r\nX-Forwarded-For: 10.0.{}.{}{behind}\r\n\r\n", from >> 8, from & 0xff)
    };
    for from in requests.clone() {
        records.open(1 + 2 * from, Role::Server);
        records.call_by(1, 1 + 2 * from, Role::Server, Side::Request, request(from, "").as_bytes());
    }
    for from in requests.clone() {
        let bytes = request(from, ", 127.0.0.1");
        records.open(2 + 2 * from, Role::Client);
        records.call_by(1, 2 + 2 * from, Role::Client, Side::Request, bytes.as_bytes());
    }
    for from in requests {
        records.call_by(1, 2 + 2 * from, Role::Client, Side::Response, OK);
        records.call_by(1, 1 + 2 * from, Role::Server, Side::Response, OK);
    }
    Work::Records(records)
}

/// A packet of the MySQL protocol.
fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    [length.get(..3).unwrap_or_default(), &[sequence], payload].concat()
}

/// A connection that has logged in, as PyMySQL does.
fn logged_in() -> Records {
    let mut records = Records::default();
    records.open(1, Role::Client);
    for (side, bytes) in fuzz::recordings::named("mysql", "pymysql").iter().take(3) {
        records.call(1, Role::Client, *side, bytes);
    }
    records
}

/// A text result set of one column and `size` bytes of rows, in calls of `piece` bytes.
fn mysql_rows(size: usize, piece: usize) -> Work {
    let mut records = logged_in();
    records.call(1, Role::Client, Side::Request, &packet(0, b"\x03SELECT a FROM t"));
    let column = b"\x03def\x01d\x01t\x01t\x01a\x01a\x0c\x3f\x00\x0b\x00\x00\x00\x03\x00\x00\x00\x00\x00";
    let eof = b"\xfe\x00\x00\x02\x00";
    let mut response = [packet(1, b"\x01"), packet(2, column), packet(3, eof)].concat();
    for number in 0..size / 14 {
        response.extend(packet((4 + number) as u8, b"\x09123456789"));
    }
    response.extend(packet((4 + size / 14) as u8, eof));
    response.chunks(piece).for_each(|bytes| records.call(1, Role::Client, Side::Response, bytes));
    Work::Records(records)
}

fn mysql_statement(size: usize) -> Work {
    let mut records = logged_in();
    let text = format!("\x03INSERT INTO t (a) VALUES {}('z')", "('some value'), ".repeat(size / 16));
    packet(0, text.as_bytes())
        .chunks(CALL)
        .for_each(|bytes| records.call(1, Role::Client, Side::Request, bytes));
    records.call(1, Role::Client, Side::Response, &packet(1, b"\x00\x01\x00\x02\x00\x00\x00"));
    Work::Records(records)
}

fn redis_pipeline(size: usize) -> Work {
    let count = size / 27;
    exchange(
        Role::Client,
        &b"*2\r\n$3\r\nGET\r\n$5\r\nabcde\r\n".repeat(count),
        &b"$-1\r\n".repeat(count),
        CALL,
    )
}

fn redis_array(size: usize, piece: usize) -> Work {
    let response = format!("*{}\r\n{}", size / 9, "$3\r\nabc\r\n".repeat(size / 9));
    exchange(Role::Client, b"*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n", response.as_bytes(), piece)
}

fn redis_arguments(size: usize) -> Work {
    let request = format!("*{}\r\n$4\r\nMGET\r\n{}", 1 + size / 9, "$3\r\nabc\r\n".repeat(size / 9));
    exchange(Role::Client, request.as_bytes(), b"*0\r\n", CALL)
}

fn log_lines(size: usize) -> Work {
    let mut records = Records::default();
    b"{\"level\": \"INFO\", \"message\": \"stored\"}\n"
        .repeat(size / 39)
        .chunks(CALL)
        .for_each(|text| records.log(text));
    Work::Records(records)
}

/// A line written piece by piece.
fn log_pieces(size: usize) -> Work {
    let mut records = Records::default();
    (0..size / 16).for_each(|_| records.log(b"a piece of a line"));
    records.log(b"\n");
    Work::Records(records)
}

/// Does the work of a case once. `false` if there is no such case.
pub(crate) fn count(name: &str, size: u64) -> bool {
    let Some(case) = CASES.iter().find(|case| case.name == name) else { return false };
    let work = (case.make)(size as usize);
    let mut pipeline = pipeline();
    measured_work(&mut || match &work {
        Work::Records(records) => records.feed(&mut pipeline),
        Work::Text(text, take) => take(text),
    });
    true
}
