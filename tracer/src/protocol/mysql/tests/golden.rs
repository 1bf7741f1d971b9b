//! Captured conversations and what they must tell, whole and cut at every point.

use super::captures::FIXTURES;
use super::*;
use crate::protocol::AbandonReason;
use crate::protocol::mysql::Flavor;

/// The lines without the database, which a conversation that is joined late does not know.
fn without_database(lines: &[impl AsRef<str>]) -> Vec<String> {
    let cut = |line: &str| line.replace(" in shop", "").replace(" in mysql", "");
    lines.iter().map(|line| cut(line.as_ref())).collect()
}

/// The steps after the set-up.
pub(super) fn after_setup(steps: &[Step]) -> &[Step] {
    let first = steps.iter().position(|(side, bytes)| *side == Side::Request && bytes[3] == 0);
    &steps[first.unwrap_or(steps.len())..]
}

#[test]
fn captures_tell_their_exchanges() {
    for (text, expected) in FIXTURES {
        assert_eq!(lines(&play(&fixture(text), true)), *expected, "{}", text.lines().next().unwrap());
    }
}

#[test]
fn the_greeting_tells_the_product() {
    for (text, _) in FIXTURES {
        let out = play(&fixture(text), true);
        assert!(exchanges(&out).all(|(_, exchange)| exchange.flavor == Some(Flavor::Mariadb)));
    }
}

#[test]
fn every_split_of_every_call_tells_the_same() {
    for (text, expected) in FIXTURES {
        let steps = fixture(text);
        for cut in 0..steps.len() {
            for at in 1..steps[cut].1.len() {
                let mut player = Player::new(true);
                for (index, (side, bytes)) in steps.iter().enumerate() {
                    let (head, tail) = bytes.split_at(if index == cut { at } else { bytes.len() });
                    player.call(*side, head);
                    // Odd cuts lie between two calls, even ones within one.
                    match tail {
                        [] => {}
                        _ if at % 2 == 1 => player.call(*side, tail),
                        _ => player.part(*side, tail, false),
                    }
                }
                assert_eq!(lines(&player.close()), *expected, "step {cut} cut at {at}");
            }
        }
    }
}

#[test]
fn bytes_one_by_one_tell_the_same() {
    for (text, expected) in FIXTURES {
        let mut player = Player::new(true);
        for (side, bytes) in &fixture(text) {
            bytes.iter().for_each(|byte| player.call(*side, &[*byte]));
        }
        assert_eq!(lines(&player.close()), *expected);
    }
}

#[test]
fn a_conversation_that_is_joined_late_tells_the_same() {
    for (text, expected) in FIXTURES {
        let steps = fixture(text);
        let out = play(after_setup(&steps), false);
        let logins = expected.iter().filter(|line| line.starts_with("CONNECT")).count();
        assert_eq!(without_database(&lines(&out)), without_database(&expected[logins..]));
        // And cut in two calls, wherever the cut lies in the response.
        for (index, (side, bytes)) in after_setup(&steps).iter().enumerate() {
            for at in (1..bytes.len()).step_by(3).filter(|_| *side == Side::Response) {
                let mut cut = after_setup(&steps).to_vec();
                let tail = cut[index].1.split_off(at);
                cut.insert(index + 1, (*side, tail));
                let out = play(&cut, false);
                assert_eq!(
                    without_database(&lines(&out)),
                    without_database(&expected[logins..]),
                    "{index} at {at}"
                );
            }
        }
    }
}

#[test]
fn a_login_that_succeeds_is_no_span_and_quit_neither() {
    let out = play(&fixture(FIXTURES[0].0), true);
    let reasons: Vec<_> = out
        .iter()
        .filter_map(|progress| match progress {
            Progress::Abandoned { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [AbandonReason::NoSpan, AbandonReason::NoSpan]);
}

#[test]
fn moments_are_those_of_the_calls() {
    let steps = fixture(FIXTURES[0].0);
    let out = play(&steps, true);
    let (times, exchange) = exchanges(&out).nth(4).unwrap();
    assert_eq!(exchange.rows, Some(3));
    let request =
        steps.iter().position(|(_, bytes)| bytes.windows(9).any(|text| text == b"SELECT id")).unwrap();
    let call = |index: usize| (index + 1) as u64;
    assert_eq!(times.request_first.call, call(request));
    assert_eq!(times.request_last.call, call(request));
    assert_eq!(times.response_first.map(|mark| mark.call), Some(call(request + 1)));
    assert_eq!(times.end.call, call(request + 1));
}

#[test]
fn secrets_of_the_login_are_nowhere() {
    for (text, _) in FIXTURES {
        let told = format!("{:?}", play(&fixture(text), true));
        assert!(!told.contains("apppass") && !told.contains("mysql_native_password"));
    }
}

/// MariaDB's server reads a packet's header and its payload in two calls.
#[test]
fn headers_may_be_read_apart_from_payloads() {
    for (text, expected) in FIXTURES {
        for fresh in [true, false] {
            let steps = fixture(text);
            let steps = if fresh { &steps } else { after_setup(&steps) };
            let mut player = Player::new(fresh);
            for (side, bytes) in steps {
                let mut rest = bytes.as_slice();
                while *side == Side::Request && rest.len() > 4 {
                    let size = 4 + u32::from_le_bytes([rest[0], rest[1], rest[2], 0]) as usize;
                    player.call(*side, &rest[..4]);
                    player.call(*side, &rest[4..size]);
                    rest = &rest[size..];
                }
                player.call(*side, rest);
            }
            let told = without_database(&lines(&player.close()));
            let logins = expected.iter().filter(|line| !fresh && line.starts_with("CONNECT")).count();
            // Of two commands sent together the calls show two: on an old connection nothing tells that the first
            // one's answer was not missed.
            if fresh || !expected.contains(&"PREPARE *[SELECT id FROM items WHERE id < ?] in shop") {
                assert_eq!(told, without_database(&expected[logins..]), "{}", text.lines().next().unwrap());
            }
        }
    }
}
