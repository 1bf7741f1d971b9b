//! Simple exchanges: short requests and responses, as real clients and servers wrote them, on many connections.

use std::time::Duration;

use fuzz::recordings::{self, Calls};
use tracer::event::{Role, Side};

use crate::stage::{Records, pipeline};
use crate::{measured_work, processor_time};

/// Connections that take turns, each on a thread of its own.
const CONNECTIONS: u64 = 32;

/// Exchanges of one round.
const EXCHANGES: u64 = 20_000;

/// How long rounds are repeated.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// A case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    role: Role,
    recording: fn() -> Recording,
}

pub(crate) const CASES: &[Case] = &[
    Case { name: "http-server", role: Role::Server, recording: http },
    Case { name: "http-client", role: Role::Client, recording: http },
    Case { name: "mysql", role: Role::Client, recording: mysql },
    Case { name: "redis", role: Role::Client, recording: redis },
];

/// What a connection begins with, and the exchanges that follow over and over.
struct Recording {
    opening: Calls,
    cycle: Calls,
}

const HTTP: &str = include_str!("../recordings/http.txt");

fn http() -> Recording {
    Recording { opening: Vec::new(), cycle: recordings::calls(HTTP) }
}

/// PyMySQL against MariaDB: the statements that it sent, after the login.
fn mysql() -> Recording {
    const COM_QUERY: u8 = 3;
    let calls = recordings::named("mysql", "pymysql");
    let is_query =
        |(side, bytes): &(Side, Vec<u8>)| *side == Side::Request && bytes.get(4) == Some(&COM_QUERY);
    let first = calls.iter().position(is_query).unwrap_or(0);
    let (opening, rest) = calls.split_at(first);
    let pairs = rest.chunks_exact(2).filter(|pair| pair.first().is_some_and(is_query));
    Recording { opening: opening.to_vec(), cycle: pairs.flatten().cloned().collect() }
}

/// redis-py against Redis.
fn redis() -> Recording {
    let calls = recordings::named("redis", "ordinary");
    // Without its set-up, which is not repeated.
    Recording { opening: Vec::new(), cycle: calls.get(6..).unwrap_or_default().to_vec() }
}

/// The records of so many exchanges.
pub(crate) fn records(case: &Case, exchanges: u64) -> Records {
    let Recording { opening, cycle } = (case.recording)();
    let mut records = Records::default();
    for sock in 1..=CONNECTIONS {
        records.open(sock, case.role);
        opening.iter().for_each(|(side, bytes)| records.call(sock, case.role, *side, bytes));
    }
    let pairs: Vec<_> = cycle.chunks(2).collect();
    for number in 0..exchanges {
        let sock = 1 + number % CONNECTIONS;
        let pair = pairs.get((number / CONNECTIONS) as usize % pairs.len()).copied().unwrap_or_default();
        pair.iter().for_each(|(side, bytes)| records.call(sock, case.role, *side, bytes));
    }
    records
}

/// Prints exchanges and bytes a second. `false` if there is no such case.
pub(crate) fn time(name: &str) -> bool {
    let Some(case) = CASES.iter().find(|case| case.name == name) else { return false };
    let records = records(case, EXCHANGES);
    let (mut rounds, mut spans, mut best, mut total) = (0_u32, 0, Duration::MAX, Duration::ZERO);
    while total < LONG_ENOUGH || rounds < 3 {
        let mut pipeline = pipeline();
        let start = processor_time();
        records.feed(&mut pipeline);
        records.finish(&mut pipeline);
        let took = processor_time() - start;
        spans = pipeline.stats().spans.exported;
        (rounds, best, total) = (rounds + 1, best.min(took), total + took);
    }
    let second = |duration: Duration, count: u64| (count as f64 / duration.as_secs_f64()) as u64;
    println!(
        "{name}: {} exchanges and {} MB a second (mean of {rounds} rounds; best: {}), {spans} spans of {EXCHANGES} exchanges",
        second(total / rounds, EXCHANGES),
        second(total / rounds, records.bytes) / 1_000_000,
        second(best, EXCHANGES),
    );
    true
}

/// Does the work of `exchanges` exchanges once.
pub(crate) fn count(name: &str, exchanges: u64) -> bool {
    let Some(case) = CASES.iter().find(|case| case.name == name) else { return false };
    let records = records(case, exchanges);
    let mut pipeline = pipeline();
    measured_work(&mut || records.feed(&mut pipeline));
    true
}
