//! What a program writes to its standard output and error, wherever these lead.

use std::process::Command;

use serde_json::json;
use tests::live::{Outcome, text};

use super::hands::Hands;
use super::http;
use super::scene::{Scene, accepted};
use super::seen::assert_whole;

/// Bodies and streams in the order of the lines.
fn lines(outcome: &Outcome) -> Vec<(String, String)> {
    let logs = outcome.telemetry.logs.iter();
    logs.map(|log| {
        let stream = text(&log.item.attributes, "log.iostream").unwrap().to_owned();
        let body = log.item.body.clone().unwrap().value.unwrap();
        let opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(body) = body else {
            panic!("{body:?}");
        };
        (body, stream)
    })
    .collect()
}

fn say(hands: &mut Hands, text: &str, fd: u32) {
    hands.ask("say", json!({ "text": text, "fd": fd }));
}

/// A program started by a shell script that names it `"$@"`.
fn by_script(scene: &Scene, script: &str) -> Hands {
    Hands::start_by(&scene.directory, "hands", |python, arguments| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", python]).args(arguments);
        command
    })
}

fn expected(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(body, stream)| ((*body).to_owned(), (*stream).to_owned())).collect()
}

#[test]
fn regular_files() {
    let scene = Scene::new("logs-file");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    say(&mut hands, "to a file", 1);
    say(&mut hands, "to another", 2);
    let outcome = tracer.stop();
    assert_eq!(lines(&outcome), expected(&[("to a file", "stdout"), ("to another", "stderr")]));
    assert_whole(&outcome);
}

#[test]
fn pipes() {
    let scene = Scene::new("logs-pipe");
    let mut hands = by_script(&scene, "{ \"$@\" 2>&1 >&3 | cat; } 3>&1 | cat");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    say(&mut hands, "to a pipe", 1);
    say(&mut hands, "to another", 2);
    let outcome = tracer.stop();
    assert_eq!(lines(&outcome), expected(&[("to a pipe", "stdout"), ("to another", "stderr")]));
    assert_whole(&outcome);
}

#[test]
fn a_terminal() {
    let scene = Scene::new("logs-tty");
    let mut hands = Hands::start_by(&scene.directory, "hands", |python, arguments| {
        let mut command = Command::new("script");
        let inner = std::iter::once(python).chain(arguments.iter().map(String::as_str));
        let inner: Vec<String> = inner.map(|word| format!("'{word}'")).collect();
        command.args(["-q", "-e", "-c", &inner.join(" "), "/dev/null"]);
        command
    });
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    say(&mut hands, "to a terminal", 1);
    say(&mut hands, "to the same terminal", 2);
    let outcome = tracer.stop();
    let expected = expected(&[("to a terminal", "stdout"), ("to the same terminal", "stderr")]);
    assert_eq!(lines(&outcome), expected, "one file: the descriptor tells the stream");
    assert_whole(&outcome);
}

#[test]
fn nothing_goes_to_dev_null() {
    let scene = Scene::new("logs-null");
    let mut hands = by_script(&scene, "exec \"$@\" >/dev/null 2>/dev/null");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let rounds = 20;
    for _ in 0..rounds {
        say(&mut hands, "to nobody", 1);
        say(&mut hands, "to nobody", 2);
    }
    let outcome = tracer.stop();
    assert_eq!(lines(&outcome), []);
    let summary = outcome.summary();
    let (_, rest) = summary.split_once(" of sockets, ").unwrap();
    let events: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(events, 0, "what goes nowhere costs no event");
    assert_whole(&outcome);
}

/// A subprocess whose output the program reads is not the program's log; one that writes where the program does is.
#[test]
fn subprocesses() {
    let scene = Scene::new("logs-subprocess");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    for round in ["first", "second"] {
        let text = format!("{round}-captured");
        assert_eq!(hands.ask("run_captured", json!({ "text": text })), format!("{text}\n"));
        hands.ask("run_inherited", json!({ "text": format!("{round}-inherited") }));
    }
    say(&mut hands, "own", 1);
    let outcome = tracer.stop();
    let expected =
        expected(&[("first-inherited", "stdout"), ("second-inherited", "stdout"), ("own", "stdout")]);
    assert_eq!(lines(&outcome), expected);
    assert_whole(&outcome);
}

#[test]
fn a_line_belongs_to_the_request_of_its_thread() {
    let scene = Scene::new("logs-request");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    say(&mut hands, "before", 1);
    peer.send(&http::get("/logged"));
    hands.receive("c");
    say(&mut hands, "during", 1);
    hands.send("c", &http::ok("/logged"));
    peer.expect(&http::ok("/logged"));
    let outcome = tracer.stop();
    let span = outcome.telemetry.servers().next().unwrap();
    assert_eq!(outcome.telemetry.lines(span).count(), 1);
    assert_eq!(lines(&outcome), expected(&[("before", "stdout"), ("during", "stdout")]));
    assert_whole(&outcome);
}
