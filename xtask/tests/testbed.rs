//! The testbed itself: servers start, every route of the backend does what its table says, nothing is left behind.

use serde_json::json;
use xtask::http::{Address, Client};
use xtask::process::is_alive;
use xtask::testbed::{Backend, BackendOptions, Bind, DatabaseRoute, Nginx, Server, Testbed, WorkerClass};

fn testbed() -> Testbed {
    Testbed::start("testbed").unwrap_or_else(|error| panic!("{error:#}"))
}

fn backend(testbed: &Testbed, options: BackendOptions) -> Backend {
    testbed.backend(&options).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn every_route_answers_and_logs() {
    let testbed = testbed();
    let backend = backend(&testbed, BackendOptions::default());
    let mut client = backend.connect().unwrap();
    let post = |client: &mut Client, path: &str, body| client.post(path, &body).unwrap();

    let stored =
        post(&mut client, "/api/db/message", json!({"sender": "a", "body": "b", "request_id": "r1"}));
    assert_eq!(stored.status, 201, "{stored:?}");
    assert_eq!(stored.json().unwrap()["id"], 1);
    let without_id = post(&mut client, "/api/db/message", json!({"sender": "a", "body": "'quoted'"}));
    assert_eq!(without_id.json().unwrap()["id"], 2);
    let listed = client.get("/api/db/messages?request_id=r2").unwrap().json().unwrap();
    assert_eq!(listed["messages"][0]["body"], "'quoted'");

    let secret = json!({"user": "jiwoo", "password": "planted-user-password", "request_id": "r3"});
    assert_eq!(post(&mut client, "/api/login", secret).json().unwrap()["token"], "r3");
    assert_eq!(post(&mut client, "/api/login", json!({"user": "jiwoo", "password": "x"})).status, 401);
    assert_eq!(post(&mut client, "/api/logout", json!({"token": "r3"})).status, 200);
    assert_eq!(post(&mut client, "/api/logout", json!({"token": "r3"})).status, 401);

    let logs = client.get("/api/logs/redis?request_id=r1").unwrap().json().unwrap();
    assert_eq!(logs["logs"][0]["request_id"], "r1");
    for (path, error) in [
        ("/api/fail", "RuntimeError"),
        ("/api/sql-error?request_id=r4", "ProgrammingError"),
        ("/api/redis-error?request_id=r5", "ResponseError"),
    ] {
        let answer = client.get(path).unwrap();
        assert_eq!((answer.status, answer.json().unwrap()["error"].as_str()), (500, Some(error)));
    }
    assert_eq!(client.get("/healthz?request_id=a%20b").unwrap().status, 400);

    let log = std::fs::read_to_string(backend.output()).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 11, "{log}");
    assert_eq!(lines[0]["message"], "message stored id=1 request_id=r1");
    assert!(log.contains("no_such_table") && log.contains("1146") && log.contains("WRONGTYPE"), "{log}");
}

#[test]
fn other_servers_and_transports() {
    let testbed = testbed();
    let unix = BackendOptions {
        name: "unix".to_owned(),
        bind: Bind::Unix,
        stores: DatabaseRoute::Unix,
        server: Server::Gunicorn { workers: 2, threads: 1, class: WorkerClass::Sync },
        ..BackendOptions::default()
    };
    let flask =
        BackendOptions { name: "flask".to_owned(), server: Server::Flask, ..BackendOptions::default() };
    let gevent = BackendOptions {
        name: "gevent".to_owned(),
        server: Server::Gunicorn { workers: 1, threads: 1, class: WorkerClass::Gevent },
        ..BackendOptions::default()
    };
    let mut all = vec![backend(&testbed, unix), backend(&testbed, flask), backend(&testbed, gevent)];
    if xtask::testbed::has_ipv6() {
        all.push(backend(
            &testbed,
            BackendOptions {
                name: "ipv6".to_owned(),
                bind: Bind::Ipv6,
                stores: DatabaseRoute::Ipv6,
                ..BackendOptions::default()
            },
        ));
    }
    for backend in &all {
        let answer = backend.post("/api/db/message", &json!({"body": "x"})).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    let port = xtask::testbed::free_port().unwrap();
    let proxy = Address::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into());
    let servers =
        format!("server {{ listen {proxy}; location / {{ proxy_pass http://{}:; }} }}", all[0].address());
    let _nginx = Nginx::start(testbed.directory(), "nginx", &servers, &proxy).unwrap();
    assert_eq!(Client::connect(&proxy).unwrap().get("/api/db/messages").unwrap().status, 200);
}

#[test]
fn nothing_is_left_behind() {
    let testbed = testbed();
    let backend = backend(&testbed, BackendOptions::default());
    let processes = [testbed.mariadb.id(), testbed.redis.id(), backend.id()];
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", backend.id())).unwrap();
    let workers: Vec<u32> = children.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert_eq!(workers.len(), 1);
    let data = testbed.directory().data("mariadb");
    drop((backend, testbed));
    for process in processes.into_iter().chain(workers) {
        assert!(!is_alive(process), "{process}");
    }
    assert!(!data.exists());
}
