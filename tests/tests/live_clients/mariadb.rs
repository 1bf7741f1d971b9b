//! Clients of MariaDB.

use std::fmt::Write as _;
use std::process::Command;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::text;
use xtask::testbed::{MariaDb, RunDirectory};

use super::client::{Client, node, python, tool};
use super::counts::Counts;
use super::database;
use super::run::{SERVER, Told, at_once, trace, trace_unattended};

#[test]
fn drivers_in_python_and_node_are_told_as_they_count_themselves() {
    let directory = RunDirectory::create("clients-mariadb").unwrap();
    let mariadb = database::start(&directory);
    let mut clients = [
        ("pymysql", python("pymysql_client.py", &[])),
        ("connector-pure", python("connector_client.py", &["pure"])),
        ("connector-c", python("connector_client.py", &["c"])),
        ("mysql2", node("mysql2_client.js", &[])),
        ("mariadb-node", node("mariadb_client.js", &[])),
    ]
    .map(|(name, command)| hold(&directory, &mariadb, name, command));
    let told = trace(&directory, &mut clients, &[mariadb.id()], &[], at_once);
    let served = clients.iter().fold(Counts::default(), |sum, client| sum.and(&client.account()));
    told.require_accounts(&clients);
    told.require(&[(SERVER, served, told.server(SERVER))]);
}

#[test]
fn commands_that_drivers_seldom_send_are_told_with_what_they_are_about() {
    let directory = RunDirectory::create("clients-mariadb-commands").unwrap();
    let mariadb = database::start(&directory);
    let mut clients = [hold(&directory, &mariadb, "commands", python("commands_client.py", &[]))];
    let told = trace(&directory, &mut clients, &[mariadb.id()], &[], at_once);
    let done = clients[0].account();
    told.require(&[("commands", done.clone(), told.client("commands")), (SERVER, done, told.server(SERVER))]);
    for spans in [told.spans("commands", SpanKind::Client), told.spans(SERVER, SpanKind::Server)] {
        // Values that were sent before EXECUTE, and cursors, are executions of the same text.
        let insert = "INSERT INTO notes (body, size) VALUES (?, ?)";
        assert_eq!(texts(&spans, "INSERT notes"), [insert]);
        assert_eq!(texts(&spans, "PREPARE INSERT notes"), [insert]);
        assert_eq!(texts(&spans, "SELECT items"), ["SELECT id, name FROM items WHERE id > ?"; 3]);
        assert_eq!(texts(&spans, "EXECUTE"), [""; 0]);
        let several = "SELECT id FROM items WHERE id <= ?; DELETE FROM notes WHERE body = ?; SELECT name FROM many LIMIT ?";
        assert_eq!(texts(&spans, "SELECT items DELETE notes SELECT many"), [several]);
        // The current database before and after INIT_DB and CHANGE_USER, whether they succeed or not.
        let ours = database::DATABASE;
        let names = ["information_schema", "not_there", ours];
        assert_eq!(namespaces(&spans, "INIT_DB"), names);
        assert_eq!(namespaces(&spans, "PING"), [ours, ours]);
        assert_eq!(namespaces(&spans, "CHANGE_USER"), [ours, ours]);
        assert_eq!(namespaces(&spans, "CONNECT"), [ours, "not_there"]);
    }
}

/// `db.query.text` of the spans of this name.
fn texts<'a>(spans: &[&'a Span], name: &str) -> Vec<&'a str> {
    attributes(spans, name, "db.query.text")
}

fn namespaces<'a>(spans: &[&'a Span], name: &str) -> Vec<&'a str> {
    attributes(spans, name, "db.namespace")
}

/// In the order in which they began.
fn attributes<'a>(spans: &[&'a Span], name: &str, key: &str) -> Vec<&'a str> {
    let mut spans: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans.iter().filter_map(|span| text(&span.attributes, key)).collect()
}

#[test]
fn the_command_line_client_is_told_statement_by_statement() {
    let directory = RunDirectory::create("clients-mariadb-cli").unwrap();
    let mariadb = database::start(&directory);
    let told = run_script(&directory, &mariadb, &[]);
    assert_eq!(told.outcome.exchanges_without_span(), 0, "{}", told.outcome.summary());
}

#[test]
fn a_compressed_connection_is_told_like_any_other() {
    let directory = RunDirectory::create("clients-mariadb-compressed").unwrap();
    let mariadb = database::start(&directory);
    run_script(&directory, &mariadb, &["--compress"]);
}

/// Before user space has asked for whole calls: with its process stopped, it never has.
#[test]
fn long_compressed_statements_are_told_from_the_first_on() {
    let directory = RunDirectory::create("clients-mariadb-long").unwrap();
    let mariadb = database::start(&directory);
    let mut clients = [Client::hold(&directory, "mariadb-cli", &command_line(&mariadb, &["--compress"]))];
    let mut script = String::new();
    for number in 1..=5 {
        let body = incompressible(number, 40_000);
        writeln!(script, "INSERT INTO notes (body, size) VALUES ('planted {body}', {number});").unwrap();
    }
    let told = trace_unattended(&directory, &mut clients, &[mariadb.id()], |clients| {
        clients[0].release(&script);
        clients[0].finish();
    });
    let mut done = Counts::default();
    done.add("INSERT notes", 5);
    // By kind: of a process that is gone already nobody can ask its name.
    let spans = &told.outcome.telemetry;
    told.require(&[
        ("made", done.clone(), Counts::of(spans.clients())),
        ("answered", done, Counts::of(spans.servers())),
    ]);
}

/// Hexadecimal digits without order, which become no shorter than half.
fn incompressible(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        write!(text, "{state:016x}").unwrap();
    }
    text
}

/// Has `mariadb` run a script; its output is the account of the rows.
fn run_script(directory: &RunDirectory, mariadb: &MariaDb, options: &[&str]) -> Told {
    let mut clients = [Client::hold(directory, "mariadb-cli", &command_line(mariadb, options))];
    let (script, done) = script();
    let mut lines = 0;
    let told = trace(directory, &mut clients, &[mariadb.id()], &[], |clients| {
        clients[0].release(&script);
        lines = clients[0].finish().lines().count() as u64;
    });
    let rows = |rows: u64| done.get(&format!("SELECT items rows={rows}")) * rows;
    assert_eq!(lines, (1..=database::ITEMS).map(rows).sum::<u64>(), "the client itself was given other rows");
    told.require(&[
        ("mariadb-cli", done.clone(), told.client("mariadb-cli")),
        (SERVER, done, told.server(SERVER)),
    ]);
    told
}

fn command_line(mariadb: &MariaDb, options: &[&str]) -> Command {
    let mut command = tool("mariadb", &[]);
    command.args(database::login(mariadb)).args(["--batch", "--skip-column-names", "--force"]).args(options);
    command
}

/// Statements, and what must be told of them.
fn script() -> (String, Counts) {
    let mut script = String::new();
    let mut done = Counts::default();
    for number in 1..=100 {
        let rows = number * 3;
        writeln!(script, "SELECT id, name FROM items WHERE id <= {rows};").unwrap();
        done.add(format!("SELECT items rows={rows}"), 1);
        writeln!(script, "INSERT INTO notes (body, size) VALUES ('planted {number}', {number});").unwrap();
        done.add("INSERT notes", 1);
    }
    script.push_str("SELECT 'planted' FROM missing;\n");
    done.add("SELECT missing error=1146", 1);
    (script, done)
}

pub fn hold(directory: &RunDirectory, mariadb: &MariaDb, name: &str, mut command: Command) -> Client {
    database::reach(&mut command, mariadb);
    Client::hold(directory, name, &command)
}
