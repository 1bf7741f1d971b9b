//! What is exported of processes that export by themselves.

use super::script::{Conn, SDK_LOGS, SDK_SKIPPED, Script};

/// One request with a line in it, served by a process.
fn served(tgid: u32) -> Script {
    const WEB: Conn = (1, 1);
    let mut s = Script::new();
    s.tgid = tgid;
    s.accept(1, WEB);
    s.recv(1, WEB, "?a\n");
    s.log(1, "during a\n");
    s.send(1, WEB, "!\n");
    s
}

#[test]
fn others_are_exported_whole() {
    let s = served(100);
    s.assert_line("during a", Some("a"));
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.exported_by_target, stats.logs.exported_by_target), (0, 0));
}

#[test]
fn nothing_is_exported_twice() {
    let s = served(SDK_SKIPPED);
    assert_eq!(s.telemetry.len(), 0);
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.exported, stats.spans.exported_by_target), (0, 1));
    assert_eq!((stats.logs.exported, stats.logs.exported_by_target), (0, 1));
    let told = stats.to_string();
    assert!(told.contains("1 exchanges became no span because their process exports its own."), "{told}");
    assert!(told.contains("1 log lines were not exported"), "{told}");
}

#[test]
fn lines_alone_carry_no_ids_of_spans_that_nobody_gets() {
    let s = served(SDK_LOGS);
    assert_eq!(s.names().len(), 0);
    s.assert_line("during a", None);
    assert_eq!(s.pipeline.stats().logs.exported_by_target, 0);
}

#[test]
fn the_other_end_in_another_process_is_exported() {
    const DB: Conn = (2, 2);
    let mut s = served(SDK_SKIPPED);
    s.tgid = 300;
    s.connect(9, DB);
    s.send(9, DB, "?b\n");
    s.recv(9, DB, "!\n");
    s.assert_root("b");
}
