//! Batches, order, modes and ends.

use super::*;

pub(super) const GET_A: &str = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
pub(super) const GET_B: &str = "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n";
pub(super) const OK: &str = "+OK\r\n";

pub(super) fn fresh(calls: &[Call]) -> Run {
    let mut run = Run::new(true);
    for call in calls {
        run.call(call);
    }
    run
}

#[test]
fn commands_of_one_call_are_one_exchange() {
    let run = fresh(&[request(&format!("{GET_A}{GET_B}")), response("$1\r\nx\r\n"), response("$-1\r\n")]);
    assert_eq!(run.lines(), ["GET ok, GET nil @0"]);
    let times = run.exchanges().next().unwrap().0.times;
    let marks = [times.request_first, times.request_last, times.response_first.unwrap(), times.end];
    assert_eq!(marks.map(|mark| mark.call), [1, 1, 2, 3]);
}

#[test]
fn separate_calls_are_one_exchange_only_for_one_binding() {
    let run = |first: Option<u64>, second: Option<u64>, second_thread: u32| {
        let mut run = Run::new(true);
        run.active = first.map(ActiveId);
        run.call(&request(GET_A));
        run.active = second.map(ActiveId);
        run.thread.tid = second_thread;
        run.call(&request(GET_B));
        run.call(&response("+1\r\n+2\r\n"));
        run.lines().len()
    };
    assert_eq!(run(Some(1), Some(1), 1), 1);
    assert_eq!(run(Some(1), Some(2), 1), 2, "another request's");
    assert_eq!(run(Some(1), Some(1), 2), 2, "another thread's");
    assert_eq!(run(None, None, 1), 2, "unknown bindings are never merged");
}

#[test]
fn what_a_multiplexing_client_writes_in_one_call_stays_apart() {
    let run = |role, multiplexed, commands: &str| {
        let mut run = Run::with_role(role, true);
        run.multiplexed = multiplexed;
        run.call(&request(commands));
        run.call(&response(&OK.repeat(6)));
        run.lines()
    };
    let two = format!("{GET_A}{GET_B}");
    assert_eq!(run(Role::Client, true, &two), ["GET ok @0", "GET ok @0"]);
    assert_eq!(run(Role::Client, false, &two), ["GET ok, GET ok @0"]);
    assert_eq!(run(Role::Server, true, &two), ["GET ok, GET ok @0"], "a server reads what one client wrote");
    let mut run = Run::new(true);
    run.multiplexed = true;
    run.call(&request(&format!("{GET_A}MULTI\r\n{GET_A}EXEC\r\n{GET_B}")));
    run.call(&response("+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n$-1\r\n"));
    assert_eq!(run.lines(), ["GET ok @0", "MULTI ok, GET nil, EXEC ok @0", "GET nil @0"]);
    let mut run = Run::new(true);
    run.multiplexed = true;
    run.call(&request(&format!("CLIENT REPLY OFF\r\n{GET_A}{GET_B}")));
    assert_eq!(run.lines(), ["CLIENT noreply", "GET noreply", "GET noreply"]);
    run.check();
}

#[test]
fn commands_beyond_the_limit_take_no_room_from_later_ones() {
    let open = 4096;
    let beyond = 2200;
    let long = format!("*2\r\n$3\r\nGET\r\n$128\r\n{}\r\n", "k".repeat(128));
    let mut run = Run::new(true);
    for index in 0..open + beyond {
        run.call(&request(if index < open { GET_A } else { &long }));
    }
    run.call(&response(&OK.repeat(open + beyond)));
    run.call(&request(GET_B));
    run.call(&response(OK));
    let last = run.exchanges().last().unwrap().1;
    assert_eq!(last.commands[0].args, [Argument::Shown((*b"b").into())]);
}

#[test]
fn a_reply_in_between_separates() {
    let mut run = Run::new(true);
    run.active = Some(ActiveId(1));
    for call in [request(GET_A), response(OK), request(GET_B), response(OK)] {
        run.call(&call);
    }
    assert_eq!(run.lines(), ["GET ok @0", "GET ok @0"]);
}

#[test]
fn a_multiplexed_connection_pairs_in_order() {
    let run = fresh(&[
        request(GET_A),
        request(GET_B),
        response("-E1 x\r\n"),
        request(GET_A),
        response("-E2 x\r\n-E3 x\r\n"),
    ]);
    assert_eq!(run.lines(), ["GET E1 @0", "GET E2 @0", "GET E3 @0"]);
}

#[test]
fn begun_comes_with_the_first_byte_and_touched_once_an_input() {
    let mut run = Run::new(true);
    run.next_call();
    run.part(Side::Request, b"*", true);
    assert!(matches!(run.out.as_slice(), [Progress::Begun { mark, .. }] if mark.call == 1));
    run.call(&request(&GET_A[1..]));
    run.call(&response("$3\r\nab"));
    run.call(&response("c\r\n"));
    let kinds: Vec<_> = run
        .out
        .iter()
        .map(|progress| match progress {
            Progress::Begun { .. } => "begun",
            Progress::Touched { side: Side::Request, .. } => "request",
            Progress::Touched { side: Side::Response, .. } => "response",
            Progress::Ended { .. } => "ended",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["begun", "request", "response", "response", "ended"]);
}

#[test]
fn a_reply_whose_event_came_first_waits_for_its_command() {
    let mut run = fresh(&[response("+PONG\r\n"), request("PING\r\n")]);
    assert_eq!(run.lines(), ["PING ok @0"]);
    run.check();
    let mut run = Run::new(false);
    for call in [response("+PONG\r\n"), request("PING\r\n")] {
        run.call(&call);
    }
    assert_eq!(run.lines(), [""; 0], "only while nothing was missed");
}

#[test]
fn a_transaction_in_separate_calls_stays_separate() {
    let set = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
    let run = fresh(&[
        request("MULTI\r\n"),
        response(OK),
        request(set),
        response("+QUEUED\r\n"),
        request("EXEC\r\n"),
        response("*1\r\n-WRONGTYPE x\r\n"),
    ]);
    assert_eq!(run.lines(), ["MULTI ok @0", "SET queued @0", "EXEC ok [SET WRONGTYPE] @0"]);
    assert_eq!(run.exchanges().last().unwrap().1.error.as_deref(), Some("WRONGTYPE"));
}

#[test]
fn a_list_that_looks_like_a_message_is_a_reply() {
    let list = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n";
    let run = fresh(&[request("LRANGE l 0 -1\r\n"), response(list), request(GET_A), response("$-1\r\n")]);
    assert_eq!(run.lines(), ["LRANGE ok @0", "GET nil @0"]);
}

#[test]
fn pushes_come_between_without_harm() {
    let run = fresh(&[
        request(GET_A),
        response(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n$1\r\n1\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n"),
        response(">2\r\n$10\r\ninvalidate\r\n_\r\n"),
        request(GET_B),
        response("$-1\r\n"),
    ]);
    assert_eq!(run.lines(), ["GET ok @0", "GET nil @0"]);
}

#[test]
fn a_refused_subscription_has_one_reply() {
    let run =
        fresh(&[request("SUBSCRIBE a b c\r\n"), response("-NOAUTH x\r\n"), request(GET_A), response(OK)]);
    assert_eq!(run.lines(), ["SUBSCRIBE NOAUTH @0", "GET ok @0"]);
}

#[test]
fn a_lost_connection_leaves_its_commands_unanswered() {
    let mut run = fresh(&[request(&format!("{GET_A}{GET_B}")), response(OK)]);
    run.end(Side::Response, End::Failed(104));
    assert_eq!(run.lines(), ["GET ok, GET connection_reset @0"]);
    run.check();
    let mut run = fresh(&[request(GET_A)]);
    run.end(Side::Request, End::Closed);
    assert_eq!(run.abandoned(), [AbandonReason::NoSpan], "perhaps only forgotten");
}

#[test]
fn a_replica_that_is_older_than_the_tracer_is_left_alone() {
    let mut run = Run::new(false);
    for time in 0..4 {
        run.time += 1_000_000_000 * time;
        run.call(&request("*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$2\r\n14\r\n"));
        run.call(&response("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"));
    }
    assert_eq!(run.lines(), [""; 0]);
    run.check();
}

#[test]
fn messages_of_an_older_subscription_are_no_replies() {
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n";
    let mut run = Run::new(false);
    run.active = Some(ActiveId(1));
    run.call(&request("PING\r\n"));
    run.call(&response(message));
    run.call(&response("*2\r\n$4\r\npong\r\n$0\r\n\r\n"));
    assert_eq!(run.lines(), [""; 0]);
    run.check();
}

#[test]
fn a_subscription_that_the_server_takes_back_is_no_reply() {
    let taken = "*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:1\r\n";
    let run = fresh(&[
        request("SSUBSCRIBE a b\r\n"),
        response("*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$10\r\nssubscribe\r\n$1\r\nb\r\n:2\r\n"),
        request("PING\r\n"),
        response(taken),
        response("*3\r\n$8\r\nsmessage\r\n$1\r\nb\r\n$1\r\nx\r\n"),
        response("*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        request("SUNSUBSCRIBE\r\n"),
        response(&taken.replace(":1", ":0")),
        request(GET_A),
        response("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"),
    ]);
    assert_eq!(run.lines(), ["SSUBSCRIBE ok @0", "PING ok @0", "SUNSUBSCRIBE ok @0", "GET ok @0"]);
}

#[test]
fn reply_modes_follow_the_server() {
    let run = |commands: &str, replies: &str| fresh(&[request(commands), response(replies)]).lines();
    let skipped = run("CLIENT REPLY SKIP\r\nCLIENT REPLY NONSENSE\r\nGET a\r\n", "$-1\r\n");
    assert_eq!(skipped, ["CLIENT noreply, CLIENT noreply, GET nil @0"]);
    let off = run(
        "CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nGET a\r\nCLIENT REPLY ON\r\nGET a\r\n",
        "+OK\r\n$-1\r\n",
    );
    assert_eq!(off, ["CLIENT noreply, CLIENT noreply, GET noreply, CLIENT ok, GET nil @0"]);
    assert_eq!(run("CLIENT REPLY OFF x\r\nGET a\r\n", "-ERR syntax\r\n$-1\r\n"), ["CLIENT ERR, GET nil @0"]);
    assert_eq!(
        run("CLIENT REPLY OFF\r\nRESET\r\nGET a\r\n", "+RESET\r\n$-1\r\n"),
        ["CLIENT noreply, RESET ok, GET nil @0"]
    );
}

#[test]
fn a_transaction_that_reset_ends_is_not_executed() {
    let run = fresh(&[
        request("MULTI\r\nSET a 1\r\nRESET\r\nGET a\r\n"),
        response("+OK\r\n+QUEUED\r\n+RESET\r\n$-1\r\n"),
    ]);
    assert_eq!(run.lines(), ["MULTI ok, SET notexecuted, RESET ok, GET nil @0"]);
}

#[test]
fn a_second_monitor_is_passed_over() {
    let line = "+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n";
    let run = fresh(&[
        request("MONITOR\r\nMONITOR\r\nPING\r\n"),
        response(&format!("+OK\r\n{line}+PONG\r\n")),
        request("MONITOR\r\n"),
        request("PING\r\n"),
        response(&format!("{line}+PONG\r\n")),
    ]);
    assert_eq!(run.lines(), ["MONITOR ok, MONITOR noreply, PING ok @0", "MONITOR noreply @0", "PING ok @0"]);
}

#[test]
fn a_server_that_is_told_to_shut_down_owes_no_reply() {
    let mut run = fresh(&[request("SHUTDOWN NOSAVE\r\n")]);
    run.end(Side::Response, End::Finished);
    assert_eq!(run.lines(), ["SHUTDOWN noreply"]);
    assert_eq!(run.exchanges().next().unwrap().1.error, None);
}

#[test]
fn a_transaction_that_was_aborted_is_named_so() {
    let run = fresh(&[
        request("MULTI\r\nNOSUCH\r\nEXEC\r\n"),
        response("+OK\r\n-ERR unknown command\r\n-EXECABORT Transaction discarded\r\n"),
    ]);
    assert_eq!(run.exchanges().next().unwrap().1.error.as_deref(), Some("EXECABORT"));
}

#[test]
fn replication_ends_the_interest() {
    let mut run = fresh(&[
        request("*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"),
        response("+FULLRESYNC x 0\r\n$5\r\nab"),
    ]);
    assert_eq!(run.abandoned(), [AbandonReason::NoSpan]);
    run.check();
}

#[test]
fn malformed_bytes_abandon() {
    let mut run = fresh(&[request(GET_A), response("hello\r\n")]);
    assert_eq!(run.abandoned(), [AbandonReason::Malformed]);
    run.check();
    let mut run = fresh(&[request("*2\r\n$3\r\nGET\r\n:1\r\n")]);
    assert_eq!(run.abandoned(), [AbandonReason::Malformed]);
    run.check();
}

#[test]
fn a_pipeline_of_any_length_is_counted() {
    let count = 30_000;
    let run = fresh(&[request(&GET_A.repeat(count)), response(&"-WRONGTYPE x\r\n".repeat(count))]);
    let (_, exchange) = run.exchanges().next().unwrap();
    assert_eq!(exchange.commands.len() as u64 + exchange.omitted(), count as u64);
    let [tally] = exchange.omitted.as_slice() else { panic!("{:?}", exchange.omitted) };
    assert_eq!((&*tally.name, tally.answered), ("GET", tally.commands));
    assert_eq!(exchange.failures as usize, count);
}

#[test]
fn too_many_replies_due_end_in_resynchronisation() {
    let mut run = fresh(&[request(&GET_A.repeat(70_000))]);
    assert_eq!(run.abandoned(), [AbandonReason::Limit]);
    run.check();
    let mut run = Run::new(true);
    for _ in 0..5000 {
        run.call(&request(GET_A));
    }
    run.call(&response(&OK.repeat(5000)));
    run.call(&request(GET_B));
    run.call(&response("$-1\r\n"));
    assert_eq!(run.exchanges().count(), 4097, "later ones are abandoned, but their replies are counted");
    run.check();
}
