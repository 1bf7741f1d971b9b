//! What Redis refuses, and why.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tests::live::text;
use xtask::testbed::{Redis, RunDirectory, free_port};

use super::client::{Client, python, tool};
use super::run::{SERVER, Told, at_once, trace};

/// How long two nodes may take to agree that they are a cluster: a node waits two seconds before it serves.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn each_refusal_of_a_server_is_an_error_with_its_word() {
    let directory = RunDirectory::create("clients-redis-refusals").unwrap();
    // Scripts are slow after 20 ms. What loads data looks for clients between any two keys.
    let options = ["--busy-reply-threshold", "20", "--loading-process-events-interval-bytes", "1024"];
    let debug = ["--enable-debug-command", "yes"];
    let redis = Redis::start_with(&directory, "redis", &[&options[..], &debug].concat()).unwrap();
    let mut command = python("redis_errors_client.py", &["single"]);
    command.env("REDIS_PORT", redis.port().to_string());
    let (words, _) = refusals(&directory, command, &redis);
    let expected = [
        "BUSY",
        "BUSYGROUP",
        "BUSYKEY",
        "ERR",
        "EXECABORT",
        "LOADING",
        "MASTERDOWN",
        "MINE",
        "NOAUTH",
        "NOGROUP",
        "NOPERM",
        "NOPROTO",
        "NOREPLICAS",
        "NOSCRIPT",
        "NOTBUSY",
        "OOM",
        "READONLY",
        "WRONGPASS",
        "WRONGTYPE",
    ];
    assert_eq!(words, expected.map(str::to_owned).into());
}

#[test]
fn each_refusal_of_a_cluster_is_an_error_with_its_word() {
    let directory = RunDirectory::create("clients-redis-cluster").unwrap();
    let nodes = ["node-1", "node-2"].map(|name| {
        let bus = free_port().unwrap();
        let options = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-port"];
        let redis = Redis::start_with(&directory, name, &[&options[..], &[&bus.to_string()]].concat());
        (redis.unwrap(), bus)
    });
    let [(first, _), (second, bus)] = &nodes;
    ask(first, &["cluster", "addslotsrange", "0", "8191"]);
    ask(second, &["cluster", "addslotsrange", "8192", "16383"]);
    ask(first, &["cluster", "meet", "127.0.0.1", &second.port().to_string(), &bus.to_string()]);
    let id = ask(second, &["cluster", "myid"]);
    let end = Instant::now() + PATIENCE;
    let is_made = || {
        let info = ask(first, &["cluster", "info"]);
        info.contains("cluster_state:ok") && info.contains("cluster_slots_assigned:16384")
    };
    while !is_made() {
        assert!(Instant::now() < end, "the nodes make no cluster: {}", ask(first, &["cluster", "nodes"]));
        thread::sleep(Duration::from_millis(20));
    }
    let mut command = python("redis_errors_client.py", &["cluster"]);
    command.env("REDIS_PORT", first.port().to_string()).env("OTHER_ID", id.trim());
    let (words, told) = refusals(&directory, command, first);
    let expected = ["ASK", "CLUSTERDOWN", "CROSSSLOT", "EXECABORT", "MOVED", "TRYAGAIN"];
    assert_eq!(words, expected.map(str::to_owned).into());
    // The bus between the nodes is no Redis connection: it makes no spans.
    let servers: BTreeSet<_> = told.spans(SERVER, SpanKind::Client).iter().map(|span| &span.name).collect();
    assert_eq!(servers, BTreeSet::new());
}

/// Traces this client and its server, and compares them with its account; the errors' words.
fn refusals(directory: &RunDirectory, command: Command, redis: &Redis) -> (BTreeSet<String>, Told) {
    let mut clients = [Client::hold(directory, "refused", &command)];
    let told = trace(directory, &mut clients, &[redis.id()], &[], at_once);
    let done = clients[0].account();
    told.require(&[("refused", done.clone(), told.client("refused")), (SERVER, done, told.server(SERVER))]);
    let mut words = BTreeSet::new();
    for (service, kind) in [("refused", SpanKind::Client), (SERVER, SpanKind::Server)] {
        for span in told.spans(service, kind) {
            let code = text(&span.attributes, "db.response.status_code");
            assert_eq!(text(&span.attributes, "error.type"), code, "{span:?}");
            let status = span.status.as_ref().map_or(StatusCode::Unset, |status| status.code());
            let expected = if code.is_some() { StatusCode::Error } else { StatusCode::Unset };
            assert_eq!(status, expected, "{span:?}");
            words.extend(code.map(str::to_owned));
        }
    }
    (words, told)
}

/// What `redis-cli` answers.
fn ask(redis: &Redis, words: &[&str]) -> String {
    let output = tool("redis-cli", &["-p", &redis.port().to_string()]).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
