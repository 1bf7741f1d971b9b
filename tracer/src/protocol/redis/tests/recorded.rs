//! Recordings against what was read out of them by hand, in every segmentation.

use super::*;

const EXPECTED: &str = include_str!("../fixtures/expected.txt");

fn whole(name: &str) -> Run {
    let mut run = Run::new(true);
    for call in fixture(name) {
        run.call(&call);
    }
    run
}

/// The commands without their grouping.
fn commands(run: &Run) -> Vec<Command> {
    run.exchanges().flat_map(|(_, exchange)| exchange.commands.clone()).collect()
}

#[test]
fn recordings_give_the_expected_exchanges() {
    let mut text = String::new();
    for (name, _) in FIXTURES {
        let mut run = whole(name);
        text.push_str(&format!("== {name} {:?}\n", run.abandoned()));
        for line in run.lines() {
            text.push_str(&line);
            text.push('\n');
        }
        run.check();
    }
    assert!(text == EXPECTED, "{text}");
}

#[test]
fn every_split_point_gives_the_same_exchanges() {
    for (name, _) in FIXTURES {
        let calls = fixture(name);
        let expected = whole(name);
        for split_call in 0..calls.len() {
            let (side, bytes) = &calls[split_call];
            for at in 1..bytes.len() {
                let mut run = Run::new(true);
                for (index, call) in calls.iter().enumerate() {
                    if index != split_call {
                        run.call(call);
                        continue;
                    }
                    run.next_call();
                    run.part(*side, &bytes[..at], true);
                    run.part(*side, &bytes[at..], false);
                }
                let same = match *name {
                    // Commands that nothing answers are over when their bytes are.
                    "modes" => commands(&run) == commands(&expected),
                    _ => run.lines() == expected.lines(),
                };
                assert!(same, "{name}: call {split_call} split at {at}");
            }
        }
    }
}

#[test]
fn byte_by_byte_gives_the_same_commands() {
    for (name, _) in FIXTURES {
        let mut run = Run::new(true);
        for (side, bytes) in fixture(name) {
            run.next_call();
            for (at, byte) in bytes.iter().enumerate() {
                run.part(side, std::slice::from_ref(byte), at == 0);
            }
        }
        assert!(commands(&run) == commands(&whole(name)), "{name}: {:?}", run.lines());
        run.check();
    }
}

#[test]
fn a_connection_older_than_the_tracer_is_followed_after_its_first_exchange() {
    let calls = fixture("ordinary");
    let mut run = Run::new(false);
    run.active = Some(ActiveId(7));
    for call in &calls[6..] {
        run.call(call);
    }
    let lines = run.lines();
    assert_eq!(lines.first().map(String::as_str), Some("SET ok"), "the database is unknown");
    assert_eq!(lines.len(), calls[6..].len() / 2);
    run.check();
}

#[test]
fn secrets_are_nowhere_in_an_exchange() {
    for (name, _) in FIXTURES {
        let run = whole(name);
        for (_, exchange) in run.exchanges() {
            let text = format!("{exchange:?}");
            assert!(
                !text.contains("hunter2") && !text.contains(&format!("{:?}", b"hunter2")),
                "{name}: {text}"
            );
        }
    }
}
