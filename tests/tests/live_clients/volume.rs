//! Results and statements that are long.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::{text, value};
use xtask::testbed::RunDirectory;

use super::client::python;
use super::database::{self, MANY};
use super::mariadb::hold;
use super::run::{SERVER, Told, at_once, trace};

/// Bytes of a statement's text that are kept; what is longer is cut and flagged.
const MAX_TEXT: usize = 16 * 1024;

#[test]
fn a_hundred_thousand_rows_take_as_long_as_their_transfer_and_are_counted() {
    let directory = RunDirectory::create("clients-volume").unwrap();
    let mariadb = database::start(&directory);
    let mut clients = [hold(&directory, &mariadb, "volume", python("volume_client.py", &[]))];
    let told = trace(&directory, &mut clients, &[mariadb.id()], &[], at_once);
    let account = clients[0].account();
    let (start, end) = (account.get("start"), account.get("end"));
    let done = account.without("start").without("end");
    told.require(&[("volume", done.clone(), told.client("volume")), (SERVER, done, told.server(SERVER))]);
    let select = one(&told, "SELECT many");
    let (from, until) = (select.start_time_unix_nano, select.end_time_unix_nano);
    println!("{MANY} rows: {} ns by the client's clock, {} ns told", end - start, until - from);
    assert!(start <= from && until <= end, "{start}..{end} by the client's clock, {from}..{until} told");
    assert!(until - from >= (end - start) / 10 * 9, "the span ends before the transfer does");
    let insert = one(&told, "INSERT notes");
    let written = text(&insert.attributes, "db.query.text").unwrap();
    // Further rows are not written, so that the text of the longest one is short; but it was not all seen.
    assert_eq!(written, "INSERT INTO notes (body, size) VALUES (?, ?), ...");
    assert_eq!(value(&insert.attributes, "tracer.db.query.text.truncated"), Some(&Value::BoolValue(true)));
    // It is as long as it can be where there is nothing to be left out.
    let long = one(&told, "SELECT");
    let written = text(&long.attributes, "db.query.text").unwrap();
    assert!(written.starts_with("SELECT name, name, name") && written.len() == MAX_TEXT, "{}", written.len());
    assert_eq!(value(&long.attributes, "tracer.db.query.text.truncated"), Some(&Value::BoolValue(true)));
}

#[test]
fn rows_that_were_not_all_captured_are_not_counted_and_the_next_statements_are_told() {
    let directory = RunDirectory::create("clients-gap").unwrap();
    let mariadb = database::start(&directory);
    let mut clients = [hold(&directory, &mariadb, "gap", python("gap_client.py", &[]))];
    let told = trace(&directory, &mut clients, &[], &[], at_once);
    told.require_accounts(&clients);
    let select = one(&told, "SELECT many");
    let marked = value(&select.attributes, "tracer.db.response.returned_rows.unknown");
    assert_eq!(marked, Some(&Value::BoolValue(true)), "{select:?}");
}

fn one<'a>(told: &'a Told, name: &str) -> &'a Span {
    let spans = told.outcome.telemetry.of_kind(SpanKind::Client);
    let found: Vec<&Span> = spans.filter(|span| span.name == name).collect();
    let [span] = found[..] else { panic!("{} spans {name}", found.len()) };
    span
}
