//! Connections that are older than the tracer.

use serde_json::json;
use tests::live::text;
use xtask::testbed::{MariaDb, Redis};

use super::http;
use super::peer::Service;
use super::scene::{Scene, accepted, call, serve};
use super::seen::{assert_whole, called, echoed, served};

#[test]
fn http_connections_that_were_kept_alive() {
    let scene = Scene::new("older");
    let mut hands = scene.hands("hands");
    let mut client = accepted(&mut hands, "served");
    serve(&mut hands, "served", &mut client, "/before");
    let service = Service::inet();
    hands.ask("connect", json!({ "name": "called", "port": service.port() }));
    let mut server = service.accept();
    call(&mut hands, "called", &mut server, "/before");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    for path in ["/first", "/second"] {
        serve(&mut hands, "served", &mut client, path);
        call(&mut hands, "called", &mut server, path);
    }
    let outcome = tracer.stop();
    let expected = ["/first", "/second"].map(echoed);
    assert_eq!(served(&outcome), expected);
    assert_eq!(called(&outcome), expected);
    assert_whole(&outcome);
}

#[test]
fn a_request_that_was_half_read_at_attach_does_not_disturb_the_next() {
    let scene = Scene::new("older-half");
    let mut hands = scene.hands("hands");
    let mut client = accepted(&mut hands, "served");
    client.send("POST /half HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234");
    hands.receive("served");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    client.send("56789");
    hands.receive("served");
    hands.send("served", &http::ok("half"));
    client.expect(&http::ok("half"));
    for path in ["/first", "/second"] {
        serve(&mut hands, "served", &mut client, path);
    }
    let outcome = tracer.stop();
    let whole: Vec<_> = served(&outcome).into_iter().filter(|seen| seen.path != "/half").collect();
    assert!(whole.ends_with(&[echoed("/second")]), "{whole:?}");
    assert!(whole.len() <= 2, "nothing is made up: {whole:?}");
}

#[test]
fn a_mariadb_and_a_redis_connection() {
    let scene = Scene::new("older-stores");
    let mariadb = MariaDb::start(&scene.directory).unwrap();
    let redis = Redis::start(&scene.directory).unwrap();
    let mut hands = scene.hands("hands");
    for (name, port, path) in [("tcp", Some(mariadb.port()), None), ("unix", None, Some(mariadb.socket()))] {
        hands.ask("mysql_connect", json!({ "name": name, "port": port, "path": path }));
    }
    for (name, port, path) in [("r-tcp", Some(redis.port()), None), ("r-unix", None, Some(redis.socket()))] {
        hands.ask("redis_connect", json!({ "name": name, "port": port, "path": path }));
    }
    let mut peer = accepted(&mut hands, "served");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    peer.send(&http::get("/stores"));
    hands.receive("served");
    // The last connection of each kind is made while the tracer looks.
    hands.ask("mysql_connect", json!({ "name": "new", "path": mariadb.socket() }));
    for name in ["tcp", "unix", "new"] {
        let sql = format!("SELECT 'secret', 41 + 1 AS {name}_answer");
        assert_eq!(hands.ask("mysql_query", json!({ "name": name, "sql": sql })), json!([["secret", 42]]));
    }
    hands.ask("redis_connect", json!({ "name": "r-new", "path": redis.socket() }));
    for name in ["r-tcp", "r-unix", "r-new"] {
        hands.ask("redis_do", json!({ "name": name, "words": ["SET", format!("key:{name}"), "secret"] }));
    }
    hands.send("served", &http::ok("/stores"));
    peer.expect(&http::ok("/stores"));
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), [echoed("/stores")]);
    let told: Vec<String> = outcome
        .telemetry
        .children(outcome.telemetry.servers().next().unwrap())
        .filter_map(|span| text(&span.attributes, "db.query.text").map(str::to_owned))
        .collect();
    let count = |wanted: &str| told.iter().filter(|query| query.contains(wanted)).count();
    for name in ["tcp", "unix", "new"] {
        assert_eq!(count(&format!("SELECT ?, ? + ? AS {name}_answer")), 1, "{name}: {told:?}");
        assert_eq!(count(&format!("SET key:r-{name}")), 1, "{name}: {told:?}");
    }
    assert_eq!(count("secret"), 0, "{told:?}");
    assert_whole(&outcome);
}
