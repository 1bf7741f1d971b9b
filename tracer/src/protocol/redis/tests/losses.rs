//! What is told where bytes were missed, or moved before anybody looked.

use super::pairing::{GET_A, GET_B, OK, fresh};
use super::*;

#[test]
fn a_gap_inside_a_value_costs_nothing() {
    let mut run = Run::new(true);
    run.call(&request("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\nxyz"));
    run.gap(Side::Request, 99_000);
    run.part(Side::Request, &[b'x'; 997], false);
    run.part(Side::Request, b"\r\n", false);
    run.call(&response("+OK\r\n"));
    run.call(&request(GET_A));
    run.call(&response("$100000\r\n"));
    run.gap(Side::Response, 100_002);
    assert_eq!(run.lines(), ["SET ok @0", "GET ok @0"]);
    assert_eq!(run.abandoned(), []);
}

/// A server that writes a long reply in two calls, of which only the beginnings are captured.
fn long_reply(first: &str, rest: &str) -> Run {
    let mut run = Run::with_role(Role::Server, true);
    run.call(&request("*2\r\n$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n"));
    run.call(&response(first));
    run.gap(Side::Response, 60_000);
    run.call(&response(rest));
    run.gap(Side::Response, 9000);
    run
}

#[test]
fn a_reply_whose_end_was_not_captured_is_over_when_the_next_command_begins() {
    let mut run = long_reply("*480\r\n$3\r\nacl\r\n*2\r\n", "$-1\r\n$5\r\n");
    assert_eq!(run.lines(), [""; 0]);
    run.time += 5_000_000;
    for call in [request(GET_A), response("$-1\r\n"), request(GET_B), response(OK)] {
        run.call(&call);
    }
    assert_eq!(run.lines(), ["COMMAND ok @0", "GET nil @0", "GET ok @0"]);
    let ends: Vec<_> = run.exchanges().map(|(exchange, _)| exchange.times.end.call).collect();
    assert_eq!(ends, [3, 5, 7]);
    run.check();
}

#[test]
fn a_reply_whose_end_was_not_captured_is_over_when_its_connection_is() {
    let mut run = long_reply("%480\r\n$3\r\nacl\r\n", "+x");
    run.end(Side::Request, End::Finished);
    assert_eq!(run.lines(), [""; 0]);
    run.end(Side::Response, End::Finished);
    assert_eq!(run.lines(), ["COMMAND ok @0"]);
    run.check();
}

#[test]
fn a_lost_end_is_not_guessed_where_more_depends_on_it() {
    // A client that does not wait for its replies.
    let mut run = fresh(&[request(GET_A), request(GET_B), response(OK), response(OK)]);
    run.call(&request("KEYS *\r\n"));
    run.call(&response("*1000\r\n$1\r\na\r\n"));
    run.gap(Side::Response, 60_000);
    assert_eq!(run.abandoned(), [AbandonReason::Gap]);
    // Two replies are due; a request is lost; an error may follow; a reply was stamped before its command.
    for lost in 0..4 {
        let mut run = Run::new(true);
        run.call(&request(if lost == 0 { "PING\r\nKEYS *\r\n" } else { "KEYS *\r\n" }));
        run.call(&response(if lost == 2 { "$9\r\nab" } else { "*1000\r\n$1\r\na\r\n" }));
        run.gap(Side::Response, 60_000);
        if lost == 1 {
            run.gap(Side::Request, 9);
        }
        if lost == 3 {
            run.call(&request(GET_A));
            run.time -= 500;
            run.part(Side::Response, b"$1\r\nb\r\n", true);
            assert_eq!(run.lines(), ["KEYS ok @0"]);
        }
        assert_eq!(run.abandoned(), [AbandonReason::Gap], "{lost}");
    }
}

#[test]
fn a_gap_in_the_replies_abandons_what_is_open() {
    let mut run = fresh(&[request(GET_A), request(GET_B)]);
    run.gap(Side::Response, 10);
    run.call(&response("-E2 x\r\n"));
    assert_eq!(run.lines(), [""; 0]);
    assert_eq!(run.abandoned(), [AbandonReason::Gap]);
    run.end(Side::Request, End::Finished);
    run.call(&response("-E3 x\r\n"));
    run.end(Side::Response, End::Finished);
    assert_eq!(run.abandoned(), [AbandonReason::Gap, AbandonReason::Gap], "the reply was an earlier one's");
    run.check();
}

#[test]
fn a_lost_reply_costs_a_client_that_waits_only_its_own_command() {
    let calls = |third: &str| {
        let mut run = fresh(&[request(GET_A), request(GET_B)]);
        run.gap(Side::Response, 10);
        for call in [response("-E2 x\r\n"), request(GET_A), response("-E3 x\r\n"), response(third)] {
            run.call(&call);
        }
        run.end(Side::Request, End::Finished);
        run.end(Side::Response, End::Finished);
        run.check();
        run.lines()
    };
    assert_eq!(calls(""), ["GET E2", "GET E3"]);
    assert_eq!(calls("-E4 x\r\n"), [""; 0], "one more than was sent");
}

#[test]
fn what_is_held_back_is_given_up_with_the_run() {
    let mut run = fresh(&[request(GET_A)]);
    run.gap(Side::Request, 21);
    for call in [response("-E1 x\r\n"), response("-E2 x\r\n"), request(GET_A), response("-E3 x\r\n")] {
        run.call(&call);
    }
    assert_eq!((run.lines().len(), run.abandoned().len()), (1, 0));
    // Two commands at once, as the reply to one of them shows.
    for call in [request(GET_A), request(GET_B)] {
        run.call(&call);
    }
    assert_eq!((run.lines().len(), run.abandoned().len()), (1, 0));
    run.call(&response(OK));
    assert_eq!((run.lines().len(), run.abandoned().len()), (1, 3));
    run.check();
}

#[test]
fn what_a_missed_command_may_have_been_answered_is_not_told() {
    let run = |missed: usize| {
        // The replies to two commands are missed, and perhaps a third command; its reply is not.
        let mut run = fresh(&[request(GET_A), request(GET_B)]);
        run.gap(Side::Response, 10);
        run.call(&response("-E1 x\r\n"));
        run.gap(Side::Request, missed);
        run.time += 30_000_000;
        run.call(&request(GET_A));
        run.call(&response("-E2 x\r\n"));
        run.end(Side::Request, End::Finished);
        run.end(Side::Response, End::Finished);
        run.check();
        run.lines()
    };
    assert_eq!(run(0), ["GET E1", "GET E2"]);
    assert_eq!(run(21), [""; 0]);
    // Nor if nothing comes that would tell.
    let mut run = fresh(&[request(GET_A), request(GET_B)]);
    run.gap(Side::Response, 10);
    run.call(&response("-E1 x\r\n"));
    run.time += 30_000_000;
    run.check();
    assert_eq!(run.lines(), [""; 0]);
}

#[test]
fn a_reply_that_is_missed_in_doubt_does_not_make_a_client_one_that_does_not_wait() {
    let mut run = Run::new(true);
    for _ in 0..32 {
        run.call(&request(GET_A));
        run.call(&response(OK));
    }
    run.call(&request(GET_A));
    for _ in 0..3 {
        run.call(&request(GET_B));
        run.gap(Side::Response, 5);
    }
    for call in [response("$-1\r\n"), request(GET_A), response(OK)] {
        run.call(&call);
    }
    assert_eq!(run.lines()[32..], ["GET nil", "GET ok"]);
    run.check();
}

#[test]
fn a_gap_in_the_requests_keeps_what_was_sent_before() {
    let mut run = fresh(&[request(GET_A)]);
    run.gap(Side::Request, 21);
    run.call(&response("-E1 x\r\n"));
    run.call(&response("-E2 x\r\n"));
    assert_eq!(run.lines(), ["GET E1"]);
    run.check();
}

#[test]
fn a_gap_among_a_commands_arguments_does_not_cost_its_reply() {
    let mut run = Run::new(true);
    run.active = Some(ActiveId(1));
    run.call(&request("*9\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb"));
    run.gap(Side::Request, 40);
    run.call(&response(OK));
    assert_eq!(run.lines(), ["MSET ok"]);
    // What comes next shows whether something is on its way; then it goes on.
    for call in [request(GET_A), response(OK)] {
        run.call(&call);
    }
    assert_eq!(run.lines()[1..], [""; 0]);
    for call in [request(GET_B), response("$-1\r\n")] {
        run.call(&call);
    }
    assert_eq!(run.lines()[1..], ["GET ok", "GET nil"]);
    run.check();
}

#[test]
fn an_old_unbound_connection_is_followed_after_a_quiet_moment() {
    let mut run = Run::new(false);
    for call in [request(GET_A), response(OK), request(GET_A), response(OK)] {
        run.call(&call);
    }
    assert_eq!(run.lines(), [""; 0], "turns alone prove nothing");
    run.time += 20_000_000;
    run.call(&request(GET_B));
    run.call(&response("$-1\r\n"));
    assert_eq!(run.lines(), ["GET ok", "GET ok", "GET nil"], "what came before it was right as well");
    run.check();
}

#[test]
fn a_reply_of_something_unseen_is_not_paired() {
    let mut run = Run::new(false);
    run.active = Some(ActiveId(1));
    run.call(&request(GET_A));
    run.call(&response("-E0 x\r\n-E1 x\r\n"));
    assert_eq!(run.lines(), [""; 0]);
    run.check();
}
