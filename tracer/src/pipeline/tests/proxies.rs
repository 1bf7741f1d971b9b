//! A proxy that tells by `X-Forwarded-For` for whom it asks.

use super::hops::{BACK, UP, WEB, WEB2, as_backend, links, pair, scene, settle};
use super::script::Script;
use crate::span::{Attribute, LinkKind};

/// A proxy's event loop takes requests for `paths` on connections of their own, and passes the first one on, saying for
/// whom.
fn pass_on(paths: [&str; 2], call: &str) -> Script {
    let mut s = scene();
    s.accept(1, WEB2);
    s.recv(1, WEB, &format!("?one {}\n", paths[0]));
    s.recv(1, WEB2, &format!("?two {}\n", paths[1]));
    s.epoll(1);
    s.send(1, UP, &format!("?ask_ {call}\n"));
    as_backend(&mut s, |s| {
        s.recv(3, BACK, &format!("?serve {call}\n"));
        s.send(3, BACK, "!ok\n");
    });
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    s.send(1, WEB2, "!ok\n");
    settle(&mut s);
    s
}

#[test]
fn a_proxy_that_says_for_whom_it_asks_asks_for_that_request() {
    // All of the script's peers are at 10.0.0.2.
    for paths in [["path=/a", "path=/b"], ["path=/a", "path=/a for=192.0.2.1"]] {
        let s = pass_on(paths, "path=/a for=10.0.0.2");
        if paths[1] == "path=/b" {
            s.assert_child("ask_", "one");
            assert!(pair(&s, "ask_", "serve"));
            assert_eq!(s.span("serve").trace_id, s.span("one").trace_id);
            let evidence = Attribute::new("tracer.correlation", "forwarded_for");
            assert!(s.span("ask_").description.attributes.contains(&evidence));
        } else {
            // The second one can be passed on under its sender's address alone.
            s.assert_root("one");
            assert_eq!(s.span("ask_").parent, None);
            let candidates = [("one", LinkKind::PossibleParent), ("two", LinkKind::PossibleParent)];
            assert_eq!(links(&s, "ask_"), candidates);
        }
    }
}

#[test]
fn a_call_for_somebody_else_is_for_no_open_request() {
    for call in ["path=/a", "path=/a for=192.0.2.1", "path=/c for=10.0.0.2", "path=/a for=10.0.0.2,10.0.0.3"]
    {
        let s = pass_on(["path=/a", "path=/b"], call);
        assert_eq!(s.span("ask_").parent, None, "{call}");
        assert!(s.span("ask_").links.is_empty(), "{call}");
    }
}
