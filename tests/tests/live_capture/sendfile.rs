//! Bytes that never pass through the application's memory: sendfile and splice.

use std::fs;

use serde_json::json;
use tests::live::text;
use xtask::http::{Address, Client};
use xtask::testbed::{Nginx, free_port};

use super::http;
use super::scene::{Scene, accepted, serve};
use super::seen::{Seen, assert_whole, echoed, losses, seen, served};

const SIZE: usize = 1 << 20;

#[test]
fn a_static_file_of_nginx() {
    let scene = Scene::new("sendfile-nginx");
    let root = scene.directory.data("www");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("large"), vec![b'x'; SIZE]).unwrap();
    fs::write(root.join("small"), "small").unwrap();
    let port = free_port().unwrap();
    let servers = format!("sendfile on; server {{ listen 127.0.0.1:{port}; root {}; }}", root.display());
    let listens = Address::Tcp(([127, 0, 0, 1], port).into());
    let nginx = Nginx::start(&scene.directory, "nginx", &servers, &listens).unwrap();
    let tracer = scene.trace(&["--pid", &nginx.id().to_string()]);
    let mut client = Client::connect(&listens).unwrap();
    let paths = ["/large", "/small", "/none", "/large", "/small"];
    let answers = paths.map(|path| client.get(path).unwrap());
    let outcome = tracer.stop();
    let expected = [0, 1, 2, 3, 4].map(|index| {
        let answer = &answers[index];
        let response = Some(i64::try_from(answer.body.len()).unwrap());
        Seen { path: paths[index].to_owned(), status: Some(answer.status.into()), request: Some(0), response }
    });
    assert_eq!(served(&outcome), expected);
    assert_eq!(answers[0].body.len(), SIZE);
    let lines = |wanted| {
        let streams = outcome.telemetry.logs.iter().map(|log| text(&log.item.attributes, "log.iostream"));
        streams.filter(|stream| *stream == Some(wanted)).count()
    };
    assert_eq!(lines("stdout"), 5, "nginx opens /dev/stdout again for its access log");
    assert_eq!(lines("stderr"), 1, "the file that is not there");
    assert_eq!(outcome.lost_in_kernel(), losses(&[]));
}

#[test]
fn python_sends_a_file_by_sendfile_and_by_splice() {
    let scene = Scene::new("sendfile");
    let file = scene.directory.data("file");
    fs::write(&file, vec![b'x'; SIZE]).unwrap();
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    for how in ["sendfile", "splice"] {
        let path = format!("/{how}");
        peer.send(&http::get(&path));
        hands.receive("c");
        let head = http::head(200, SIZE);
        let command = json!({ "do": how, "name": "c", "path": file, "data": head });
        hands.ask("begin", json!({ "name": "t", "command": command }));
        peer.expect(&head);
        peer.receive(SIZE);
        hands.ask("finish", json!({ "name": "t" }));
        serve(&mut hands, "c", &mut peer, &format!("{path}/next"));
    }
    let outcome = tracer.stop();
    let size = i64::try_from(SIZE).unwrap();
    let expected = [
        seen("/sendfile", 0, size),
        echoed("/sendfile/next"),
        seen("/splice", 0, size),
        echoed("/splice/next"),
    ];
    assert_eq!(served(&outcome), expected);
    assert_whole(&outcome);
}
