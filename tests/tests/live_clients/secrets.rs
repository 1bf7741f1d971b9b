//! What must not leave the node: secrets are planted wherever applications have them, and nothing that the agent exports
//! or says has one in it. (A recording holds them all, and says so: README.)

use std::fs;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::text;
use xtask::http;
use xtask::testbed::{Redis, free_port};

use super::client::python;
use super::database;
use super::http::Scene;
use super::run::{SERVER, at_once, trace};

/// What every secret has in it, in lower case: a word, the same in hexadecimal and in Base64, and a number.
const SECRETS: [&str; 4] = ["planted", "706c616e746564", "dxnlcjpw", "424242424242"];

#[test]
fn planted_secrets_appear_in_nothing_that_leaves() {
    let scene = Scene::start("clients-secrets");
    let directory = &scene.directory;
    let (mariadb, redis) = (database::start(directory), Redis::start(directory).unwrap());
    let mut command = python("secrets_client.py", &[]);
    database::reach(&mut command, &mariadb);
    command.env("REDIS_PORT", redis.port().to_string());
    let mut clients = [scene.hold("secretive", command)];
    let own = free_port().unwrap();
    let listen = format!("127.0.0.1:{own}");
    let options = ["--log-level", "debug", "--export", "console", "--listen", &listen];
    let mut metrics = String::new();
    let servers = [mariadb.id(), redis.id(), scene.server.id()];
    let told = trace(directory, &mut clients, &servers, &options, |clients| {
        at_once(clients);
        let address = http::Address::Tcp(([127, 0, 0, 1], own).into());
        let answer = http::Client::connect(&address).unwrap().get("/metrics").unwrap();
        metrics = String::from_utf8(answer.body).unwrap();
    });
    // All of it was told: what is not there cannot show that it is hidden.
    let account = clients[0].account();
    let spans = told.spans("secretive", SpanKind::Client);
    for (what, key, value) in [
        ("redis", "db.system.name", Some("redis")),
        ("mariadb", "db.system.name", Some("mariadb")),
        ("web", "db.system.name", None),
    ] {
        let told: Vec<_> = spans.iter().filter(|span| text(&span.attributes, key) == value).collect();
        println!("{what}: {} done, {} spans", account.get(what), told.len());
        // Drivers send more on their own.
        assert!(told.len() as u64 >= account.get(what), "{what}: {} spans", told.len());
    }
    assert!(
        !told.spans(SERVER, SpanKind::Server).is_empty() && !told.spans("node", SpanKind::Server).is_empty()
    );
    assert!(metrics.contains("spans") && told.outcome.stderr.contains("DEBUG"), "{metrics}");
    for span in told.outcome.telemetry.spans.iter() {
        require_none(&format!("{span:?}"));
    }
    for log in told.outcome.telemetry.logs.iter() {
        require_none(&format!("{log:?}"));
    }
    let console = fs::read_to_string(directory.logs().join("tracer.out")).unwrap();
    assert!(console.contains("CREATE USER"), "{console}");
    [console, told.outcome.stderr, metrics].iter().flat_map(|said| said.lines()).for_each(require_none);
}

#[track_caller]
fn require_none(said: &str) {
    let lower = said.to_lowercase();
    for secret in SECRETS {
        assert!(!lower.contains(secret), "{secret}: {said}");
    }
}
