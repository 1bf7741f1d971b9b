//! Clients of Redis.

use std::process::Command;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::text;
use xtask::testbed::{Redis, RunDirectory};

use super::client::{Client, node, python, tool};
use super::counts::Counts;
use super::run::{SERVER, at_once, trace};

#[test]
fn drivers_in_python_and_node_are_told_as_they_count_themselves() {
    let directory = RunDirectory::create("clients-redis").unwrap();
    let redis = Redis::start(&directory).unwrap();
    let mut clients = [
        ("redis-py-2", python("redis_py_client.py", &["2"])),
        ("redis-py-3", python("redis_py_client.py", &["3"])),
        ("ioredis", node("ioredis_client.js", &[])),
        ("node-redis-2", node("node_redis_client.js", &["2"])),
        ("node-redis-3", node("node_redis_client.js", &["3"])),
    ]
    .map(|(name, command)| hold(&directory, &redis, name, command));
    let told = trace(&directory, &mut clients, &[redis.id()], &[], at_once);
    told.require_accounts(&clients);
    let served = clients.iter().fold(Counts::default(), |sum, client| sum.and(&client.account()));
    told.require(&[(SERVER, served.commands(), told.server(SERVER).commands())]);
}

/// One of the commands that `redis-cli` sends, and the error that it is answered with.
const COMMANDS: [(&str, &str, Option<&str>); 20] = [
    ("SET", "SET text planted-value", None),
    ("LPUSH", "LPUSH text planted-value", Some("WRONGTYPE")),
    ("XGROUP", "XGROUP CREATE stream group $ MKSTREAM", None),
    ("XGROUP", "XGROUP CREATE stream group $", Some("BUSYGROUP")),
    ("MULTI", "MULTI", None),
    ("SET", "SET text", Some("ERR")),
    ("EXEC", "EXEC", Some("EXECABORT")),
    ("EVALSHA", "EVALSHA 0123456789012345678901234567890123456789 0", Some("NOSCRIPT")),
    ("EVAL", "EVAL \"return redis.error_reply('MINE planted-text')\" 0", Some("MINE")),
    ("CONFIG", "CONFIG SET maxmemory 1", None),
    ("SET", "SET other planted-value", Some("OOM")),
    ("CONFIG", "CONFIG SET maxmemory 0", None),
    ("CONFIG", "CONFIG SET requirepass planted-password", None),
    ("RESET", "RESET", None),
    ("GET", "GET text", Some("NOAUTH")),
    ("AUTH", "AUTH planted-wrong-password", Some("WRONGPASS")),
    ("AUTH", "AUTH planted-password", None),
    ("GET", "GET text", None),
    ("CONFIG", "CONFIG SET requirepass ''", None),
    ("DEL", "DEL text", None),
];

#[test]
fn each_error_is_told_by_its_own_word() {
    let directory = RunDirectory::create("clients-redis-errors").unwrap();
    let redis = Redis::start(&directory).unwrap();
    let port = redis.port().to_string();
    let mut clients = [Client::hold(&directory, "redis-cli", &tool("redis-cli", &["-p", &port]))];
    let script: String = COMMANDS.iter().map(|(_, line, _)| format!("{line}\n")).collect();
    let mut replies = String::new();
    let told = trace(&directory, &mut clients, &[redis.id()], &[], |clients| {
        clients[0].release(&script);
        replies = clients[0].finish();
    });
    let mut done = Counts::default();
    for (name, line, error) in COMMANDS {
        let entry = error.map_or_else(|| name.to_owned(), |error| format!("{name} error={error}"));
        done.add(entry, 1);
        // The client was told the same.
        assert!(error.is_none_or(|error| replies.contains(error)), "{line}: {replies}");
    }
    // It first asks for the documentation of all commands. The server writes that from more pieces than are captured:
    // it is over when the next command comes, with its last byte, and what is told from then on is exact.
    done.add("COMMAND", 1);
    told.require(&[
        ("redis-cli", done.clone(), told.client("redis-cli")),
        (SERVER, done, told.server(SERVER)),
    ]);
    let mut served = told.spans(SERVER, SpanKind::Server);
    served.sort_by_key(|span| span.start_time_unix_nano);
    let [documentation, next, ..] = served.as_slice() else { panic!("{served:?}") };
    assert_eq!(documentation.name, "COMMAND");
    assert!(documentation.end_time_unix_nano < next.start_time_unix_nano, "{documentation:?} {next:?}");
    for span in told.spans("redis-cli", SpanKind::Client) {
        let error = text(&span.attributes, "error.type");
        assert_eq!(text(&span.attributes, "db.response.status_code"), error, "{span:?}");
    }
}

#[test]
fn each_command_of_the_benchmarks_pipelines_is_told() {
    const REQUESTS: u64 = 20_000;
    let directory = RunDirectory::create("clients-redis-benchmark").unwrap();
    let redis = Redis::start(&directory).unwrap();
    let (port, requests) = (redis.port().to_string(), REQUESTS.to_string());
    let benchmark =
        ["-p", &port, "-P", "50", "-n", &requests, "-d", "200", "-c", "10", "-t", "set,get", "--csv"];
    let mut clients = [Client::hold(&directory, "redis-benchmark", &tool("redis-benchmark", &benchmark))];
    let told = trace(&directory, &mut clients, &[redis.id()], &[], at_once);
    let mut done = Counts::default();
    done.add("SET", REQUESTS);
    done.add("GET", REQUESTS);
    // It looks up how the server is set.
    done.add("CONFIG", 2);
    told.require(&[
        ("redis-benchmark", done.clone(), told.client("redis-benchmark").commands()),
        (SERVER, done, told.server(SERVER).commands()),
    ]);
}

#[test]
fn commands_beside_long_values_and_replies_are_told_at_both_ends() {
    let directory = RunDirectory::create("clients-redis-volume").unwrap();
    let redis = Redis::start(&directory).unwrap();
    let mut clients = [hold(&directory, &redis, "redis-volume", python("redis_volume_client.py", &[]))];
    // Room for all of it: where the ring is in use, less of a call is captured.
    let told = trace(&directory, &mut clients, &[redis.id()], &["--ring-size", "128MiB"], at_once);
    told.require_accounts(&clients);
    let done = clients[0].account();
    told.require(&[(SERVER, done.commands(), told.server(SERVER).commands())]);
}

fn hold(directory: &RunDirectory, redis: &Redis, name: &str, mut command: Command) -> Client {
    command.env("REDIS_PORT", redis.port().to_string());
    Client::hold(directory, name, &command)
}
