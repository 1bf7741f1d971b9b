//! Conversations that no server at hand speaks.

use super::*;
use crate::protocol::mysql::Flavor;
use crate::protocol::{AbandonReason, Window};

pub(super) const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const OK_MORE: &[u8] = b"\0\x01\0\x0a\0\0\0";
pub(super) const EOF: &[u8] = b"\xfe\0\0\x02\0";
pub(super) const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\x03\x81\0\0\0\0";
const REFUSED: &[u8] = b"\xff\x7a\x04#42S02Table 'planted-secret' doesn't exist";

/// A greeting of MySQL 8 with these capabilities.
pub(super) fn greeting(capabilities: u32) -> Step {
    let low = (capabilities as u16).to_le_bytes();
    let high = ((capabilities >> 16) as u16).to_le_bytes();
    let head = b"\x0a8.0.36\0\x2a\0\0\0abcdefgh\0";
    let tail = b"\x15\0\0\0\0\0\0\0\0\0\0planted-auth\0caching_sha2_password\0";
    (Side::Response, packet(0, &[&head[..], &low, b"\xff\x02\0", &high, tail].concat()))
}

/// A client's answer to it.
pub(super) fn login(capabilities: u32) -> Step {
    let head = [&capabilities.to_le_bytes()[..], b"\0\0\0\x01\xff", &[0; 23], b"root\0\x07planted"].concat();
    (Side::Request, packet(1, &[&head[..], b"shop\0caching_sha2_password\0"].concat()))
}

pub(super) const CLIENT: u32 = 0x200 | 0x8000 | 8 | 1;

fn query(text: &[u8]) -> Step {
    command(3, text)
}

fn logged_in() -> Vec<Step> {
    vec![greeting(CLIENT), login(CLIENT), (Side::Response, packet(2, OK))]
}

#[test]
fn mysql_8_authenticates_in_several_turns() {
    let mut steps = vec![greeting(CLIENT | 1 << 24), login(CLIENT | 1 << 24)];
    steps.push((Side::Response, packet(2, b"\xfecaching_sha2_password\0saltsaltsaltsaltsalt\0")));
    steps.push((Side::Request, packet(3, b"planted-scramble")));
    steps.push((Side::Response, packet(4, b"\x01\x04")));
    steps.push((Side::Request, packet(5, b"planted-password\0")));
    steps.push((Side::Response, packet(6, OK)));
    steps.push(query(b"SELECT 1"));
    steps.push(answer(&[b"\x01", COLUMN, b"\x011", b"\xfe\0\0\x02\0\0\0"]));
    let out = play(&steps, true);
    assert_eq!(lines(&out), ["QUERY [SELECT 1] in shop rows=1"]);
    assert_eq!(exchanges(&out).next().unwrap().1.flavor, Some(Flavor::Mysql));
    assert!(!format!("{out:?}").contains("planted"));
}

#[test]
fn tls_is_recognised_and_left_alone() {
    let request = [&(CLIENT | 0x800).to_le_bytes()[..], b"\0\0\0\x01\xff", &[0; 23]].concat();
    let mut player = Player::new(true);
    for (side, bytes) in [greeting(CLIENT | 0x800), (Side::Request, packet(1, &request))] {
        player.call(side, &bytes);
    }
    assert_eq!(player.window(), Window::Nothing);
    player.call(Side::Request, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03");
    player.call(Side::Response, b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03");
    let out = player.close();
    let encrypted =
        |progress: &_| matches!(progress, Progress::Abandoned { reason: AbandonReason::Encrypted, .. });
    assert_eq!((lines(&out).len(), out.iter().filter(|progress| encrypted(progress)).count()), (0, 1));
}

#[test]
fn a_refusal_instead_of_the_greeting_is_a_failed_connect() {
    let out = play(&[(Side::Response, packet(0, b"\xff\x10\x04Too many connections"))], true);
    assert_eq!(lines(&out), ["CONNECT error=1040/"]);
}

#[test]
fn a_user_is_changed() {
    let mut steps = logged_in();
    steps.push(command(0x11, b"app\0\x03abcother\0\x2d\0"));
    steps.push((Side::Response, packet(1, b"\xfemysql_native_password\0salt")));
    steps.push((Side::Request, packet(2, b"planted")));
    steps.push((Side::Response, packet(3, OK)));
    steps.extend([query(b"COMMIT"), answer(&[OK])]);
    steps.push(command(0x11, b"app\0\x03abcthird\0\x2d\0"));
    steps.push((Side::Response, packet(1, b"\xff\x15\x04#28000Access denied")));
    let expected =
        ["CHANGE_USER in other", "QUERY [COMMIT] in other", "CHANGE_USER in third error=1045/28000"];
    assert_eq!(lines(&play(&steps, true)), expected);
}

#[test]
fn progress_reports_are_not_the_end() {
    let mut steps = logged_in();
    steps.push(query(b"ALTER TABLE t ENGINE=InnoDB"));
    steps.push(answer(&[
        b"\xff\xff\xff\x01\x01\x02\x10\x27\0\x05stage",
        b"\xff\xff\xff\x01\x02\x02\x10\x27\0\0",
        OK,
    ]));
    assert_eq!(lines(&play(&steps, true)), ["QUERY [ALTER TABLE t ENGINE=InnoDB] in shop"]);
    let out = play(&steps[3..], false);
    assert_eq!(exchanges(&out).next().unwrap().1.flavor, Some(Flavor::Mariadb));
}

#[test]
fn long_results_wrap_their_sequence_numbers() {
    let mut steps = logged_in();
    let rows: Vec<Vec<u8>> = (0..1000).map(|row| format!("\x04{row:04}").into_bytes()).collect();
    let mut payloads: Vec<&[u8]> = vec![b"\x01", COLUMN, EOF];
    payloads.extend(rows.iter().map(Vec::as_slice));
    payloads.push(b"\xfe\x03\0\x02\0");
    steps.extend([query(b"SELECT n FROM t"), answer(&payloads), query(b"COMMIT"), answer(&[OK])]);
    let expected = ["QUERY [SELECT n FROM t] rows=1000 warnings=3", "QUERY [COMMIT]"];
    let plain =
        |out: &[Progress]| lines(out).iter().map(|line| line.replace(" in shop", "")).collect::<Vec<_>>();
    assert_eq!(plain(&play(&steps, true)), expected);
    assert_eq!(plain(&play(&steps[3..], false)), expected);
}

#[test]
fn payloads_of_sixteen_mebibytes_are_stepped_over() {
    let big = vec![b'x'; 0x00ff_ffff + 10];
    let chain = |first: u8, payload: &[u8]| {
        let packets = payload.chunks(0x00ff_ffff).enumerate();
        packets.map(|(index, part)| packet(first + index as u8, part)).collect::<Vec<_>>().concat()
    };
    let mut steps = logged_in();
    steps.push((Side::Request, chain(0, &[b"\x03INSERT INTO t VALUES ('", &big[..], b"')"].concat())));
    steps.push((Side::Response, packet(2, OK)));
    steps.push(query(b"SELECT a FROM t"));
    let mut result = answer(&[b"\x01", COLUMN, EOF]);
    // A row whose only value needs a length of eight bytes: its first byte is that of an EOF.
    let row = [&[0xfe][..], &(big.len() as u64).to_le_bytes(), &big].concat();
    result.1.extend(chain(4, &row));
    result.1.extend(packet(6, EOF));
    steps.push(result);
    let out = play(&steps, true);
    let told = lines(&out);
    assert!(
        told[0].starts_with("QUERY [INSERT INTO t VALUES ('xxx") && told[0].contains("…]"),
        "{}",
        &told[0][..80]
    );
    assert_eq!(exchanges(&out).next().unwrap().1.text.as_ref().unwrap().text.len(), 16 * 1024);
    assert!(told[0].ends_with("…] in shop"), "{}", &told[0][told[0].len() - 40..]);
    assert!(told[1].ends_with("rows=1"), "{}", told[1]);
    assert!(lines(&play(&steps[3..], false))[0].ends_with("…]"));
}

#[test]
fn query_attributes_come_before_the_text() {
    let attributed = CLIENT | 1 << 27;
    let mut steps = vec![greeting(attributed), login(attributed), (Side::Response, packet(2, OK))];
    steps.extend([query(b"\0\x01SELECT a"), answer(&[REFUSED])]);
    steps.extend([query(b"\x01\x01\0\x01\xfe\0\x01k\x07plantedSELECT b"), answer(&[REFUSED])]);
    let expected = ["QUERY [SELECT a] error=1146/42S02", "QUERY [SELECT b] error=1146/42S02"];
    let plain =
        |out: &[Progress]| lines(out).iter().map(|line| line.replace(" in shop", "")).collect::<Vec<_>>();
    assert_eq!(plain(&play(&steps, true)), expected);
    let out = play(&steps[3..], false);
    assert_eq!(plain(&out), expected);
    assert!(exchanges(&out).all(|(_, exchange)| exchange.flavor == Some(Flavor::Mysql)));
    assert!(!format!("{out:?}").contains("planted"));
}

#[test]
fn pipelined_commands_get_their_own_answers() {
    let mut steps = logged_in();
    let requests =
        [query(b"SELECT 1").1, query(b"DELETE FROM a").1, command(0x0e, b"").1, query(b"USE b").1].concat();
    let answers = [
        answer(&[b"\x01", COLUMN, EOF, b"\x011", EOF]).1,
        answer(&[b"\0\x05\0\x02\0\0\0"]).1,
        answer(&[REFUSED]).1,
        answer(&[OK]).1,
    ];
    steps.push((Side::Request, requests));
    steps.push((Side::Response, answers.concat()));
    steps.extend([query(b"COMMIT"), answer(&[OK])]);
    let expected = [
        "QUERY [SELECT 1] rows=1",
        "QUERY [DELETE FROM a] affected=5",
        "PING error=1146/42S02",
        "QUERY [USE b]",
        "QUERY [COMMIT] in b",
    ];
    let told: Vec<_> = lines(&play(&steps, true)).iter().map(|line| line.replace(" in shop", "")).collect();
    assert_eq!(told, expected);
}

#[test]
fn answers_reported_before_their_requests_wait() {
    let mut steps = logged_in();
    steps.extend([answer(&[b"\0\x05\0\x02\0\0\0"]), query(b"DELETE FROM a")]);
    steps.extend([query(b"COMMIT"), answer(&[OK])]);
    let expected = ["QUERY [DELETE FROM a] affected=5", "QUERY [COMMIT]"];
    let plain =
        |out: &[Progress]| lines(out).iter().map(|line| line.replace(" in shop", "")).collect::<Vec<_>>();
    assert_eq!(plain(&play(&steps, true)), expected);
    // On a connection that is older than the tracer an answer without a request is someone else's.
    let late = play(&steps[3..], false);
    assert_eq!(plain(&late), ["QUERY [COMMIT] Unknown"]);
}

#[test]
fn early_answers_are_bounded() {
    let mut player = Player::new(true);
    logged_in().iter().for_each(|(side, bytes)| player.call(*side, bytes));
    for _ in 0..100 {
        player.call(Side::Response, &[1; 10_000]);
    }
    player.call(Side::Request, &query(b"COMMIT").1);
    player.call(Side::Response, &answer(&[OK]).1);
    assert_eq!(lines(&player.close()), ["QUERY [COMMIT] in shop"]);
}

#[test]
fn a_refusal_may_come_before_the_request_is_complete() {
    let mut player = Player::new(true);
    logged_in().iter().for_each(|(side, bytes)| player.call(*side, bytes));
    player.call(Side::Request, b"\xff\xff\0\0\x03INSERT INTO t VALUES (");
    player.call(Side::Response, &answer(&[b"\xff\x81\x04#08S01Got a packet bigger than"]).1);
    let told = lines(&player.close());
    assert_eq!(told, ["QUERY [INSERT INTO t VALUES (…] in shop error=1153/08S01"]);
}

#[test]
fn the_end_of_the_connection_ends_what_is_open() {
    let mut steps = logged_in();
    steps.extend([query(b"SELECT SLEEP(100)")]);
    assert_eq!(lines(&play(&steps, true)), ["QUERY [SELECT SLEEP(100)] in shop Aborted(None)"]);
}

#[test]
fn too_many_unanswered_commands_are_given_up() {
    let mut player = Player::new(true);
    logged_in().iter().for_each(|(side, bytes)| player.call(*side, bytes));
    (0..4097).for_each(|_| player.call(Side::Request, &command(0x0e, b"").1));
    let limited = player
        .out
        .iter()
        .filter(|progress| matches!(progress, Progress::Abandoned { reason: AbandonReason::Limit, .. }));
    assert_eq!(limited.count(), 4096);
    player.close();
}

#[test]
fn unanswered_commands_keep_a_bounded_length_of_text() {
    let mut player = Player::new(true);
    logged_in().iter().for_each(|(side, bytes)| player.call(*side, bytes));
    let long = [b"SELECT ", &[b'x'; 10_000][..]].concat();
    for _ in 0..2 {
        (0..200).for_each(|_| player.call(Side::Request, &query(&long).1));
        (0..200).for_each(|_| player.call(Side::Response, &answer(&[OK]).1));
    }
    let told = lines(&player.close());
    let cut = "QUERY […] in shop";
    let whole = told.iter().filter(|line| line.len() > 10_000).count();
    assert_eq!((told.len(), whole), (400, 2 * 104), "1 MiB of texts of 10,007 bytes");
    assert!(told.iter().all(|line| line.len() > 10_000 || line == cut));
}

#[test]
fn results_follow_results() {
    let mut steps = logged_in();
    steps.push(query(b"INSERT INTO t VALUES (1); SELECT a FROM t; nonsense"));
    // An empty first column, which begins like an OK, and an empty row set, then an error.
    let rows = [&b"\x02"[..], COLUMN, COLUMN, EOF, b"\0\x01b", b"\xfe\0\0\x0a\0"];
    let mut payloads = vec![OK_MORE];
    payloads.extend(rows);
    payloads.push(REFUSED);
    steps.push(answer(&payloads));
    let expected = [
        "QUERY [INSERT INTO t VALUES (1); SELECT a FROM t; nonsense] in shop rows=1 affected=1 error=1146/42S02",
    ];
    let out = play(&steps, true);
    assert_eq!(lines(&out), expected);
    assert!(!format!("{out:?}").contains("planted"));
}

#[test]
fn definitions_may_be_left_out() {
    let mut steps = logged_in();
    steps.extend([query(b"SELECT a FROM t"), answer(&[b"\x01\0", EOF, b"\x01a", EOF])]);
    assert_eq!(lines(&play(&steps, true)), ["QUERY [SELECT a FROM t] in shop rows=1"]);
}

#[test]
fn backslashes_are_literal_where_the_server_says_so() {
    let mut steps = logged_in();
    steps.extend([query(b"SET sql_mode=NO_BACKSLASH_ESCAPES"), answer(&[b"\0\0\0\x02\x02\0\0"])]);
    steps.extend([query(b"SELECT 1"), answer(&[REFUSED])]);
    let out = play(&steps, true);
    assert!(exchanges(&out).nth(1).unwrap().1.literal_backslashes == Some(true));
}

/// `0x1d` is a command that servers keep for themselves, `0x42` is none yet.
#[test]
fn unknown_commands_are_told_and_cost_nothing_else() {
    const UNKNOWN: &[u8] = b"\xff\x17\x04#08S01Unknown command";
    for byte in [0x1d, 0x42] {
        let mut steps = logged_in();
        steps.extend([query(b"COMMIT"), answer(&[OK])]);
        steps.extend([command(byte, b"planted"), answer(&[UNKNOWN])]);
        steps.extend([command(0x0e, b""), answer(&[OK])]);
        steps.extend([command(byte, b""), answer(&[OK])]);
        steps.extend([query(b"SELECT 1"), answer(&[b"\x01", COLUMN, EOF, b"\x011", EOF])]);
        let told = lines(&play(&steps, true));
        let expected =
            ["QUERY [COMMIT] in shop", "UNKNOWN in shop error=1047/08S01", "PING in shop", "UNKNOWN in shop"];
        assert_eq!(told, [&expected[..], &["QUERY [SELECT 1] in shop rows=1"]].concat());
        let told = lines(&play(&steps[3..], false));
        assert_eq!(
            told,
            ["QUERY [COMMIT]", "UNKNOWN error=1047/08S01", "PING", "UNKNOWN", "QUERY [SELECT 1] rows=1"]
        );
    }
}
