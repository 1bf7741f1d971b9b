//! Random commands against a real Redis: what the parser makes of the bytes must agree with the server's own counts
//! (`INFO commandstats`, `INFO errorstats`), and every reply that names its command must be that command's.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

mod commands;
mod dialogue;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use tracer::protocol::redis::{Argument, Command, Outcome, RedisExchange};
use xtask::testbed::{Redis, RunDirectory};

use commands::Generator;
use dialogue::Dialogue;

/// Connections, each with a dialogue of its own.
const CONNECTIONS: u64 = 250;

/// Writes on each.
const WRITES: u64 = 12;

type Counts = BTreeMap<String, u64>;

#[test]
fn random_commands_are_counted_like_the_server_counts_them() {
    let directory = RunDirectory::create("redis-server").unwrap();
    let server = Redis::start(&directory).unwrap();
    let mut control = Control::connect(server.address());
    let mut kinds = BTreeSet::new();
    for seed in 0..CONNECTIONS {
        control.run("CONFIG RESETSTAT");
        let exchanges = converse(seed, server.address(), &mut control);
        let ours = Seen::of(&exchanges);
        // The first RESETSTAT is counted after it has run.
        let theirs = control.counts("commandstats");
        let errors = control.counts("errorstats");
        let told = || exchanges.iter().flat_map(|exchange| &exchange.commands).map(told).collect::<Vec<_>>();
        assert_eq!(ours.commands, theirs, "seed {seed}: {:#?}", told());
        assert_eq!(ours.errors, errors, "seed {seed}: {:#?}", told());
        kinds.extend(exchanges.iter().flat_map(|exchange| &exchange.commands).map(kind));
    }
    let all = ["error", "executed", "nil", "no reply", "not executed", "ok", "queued"];
    assert!(kinds.iter().eq(&all), "{kinds:?}");
}

fn kind(command: &Command) -> &'static str {
    match &command.reply {
        _ if !command.executed.is_empty() => "executed",
        Outcome::Error(_) => "error",
        Outcome::Nil => "nil",
        Outcome::NoReply => "no reply",
        Outcome::NotExecuted => "not executed",
        Outcome::Ok => "ok",
        Outcome::Queued => "queued",
        Outcome::Unanswered(_) => "unanswered",
    }
}

fn told(command: &Command) -> String {
    format!("{} {:?} {:?}", command.name, command.reply, command.executed)
}

/// One connection from its first byte to its last.
fn converse(seed: u64, address: SocketAddr, control: &mut Control) -> Vec<RedisExchange> {
    let mut generator = Generator::new(seed);
    let mut dialogue = Dialogue::connect(address, seed);
    for _ in 0..WRITES {
        let bytes = generator.write();
        dialogue.send(&bytes);
        if generator.chance(3) {
            control.disturb(&mut generator);
        }
        dialogue.receive_some(generator.below(3));
    }
    dialogue.finish();
    dialogue.exchanges()
}

/// What the exchanges say in the server's terms.
#[derive(Debug, Default)]
struct Seen {
    commands: Counts,
    errors: Counts,
}

impl Seen {
    fn of(exchanges: &[RedisExchange]) -> Self {
        let mut seen = Self::default();
        for command in exchanges.iter().flat_map(|exchange| &exchange.commands) {
            seen.count(&command.name, &command.reply);
            for (name, outcome) in &command.executed {
                seen.count(name, outcome);
            }
            assert_own_reply(command);
        }
        seen
    }

    fn count(&mut self, name: &str, outcome: &Outcome) {
        match outcome {
            // It runs with its `EXEC`, or never.
            Outcome::Queued | Outcome::NotExecuted => return,
            Outcome::Unanswered(word) => panic!("{name}: {word}"),
            Outcome::Error(prefix) => *self.errors.entry(prefix.to_string()).or_default() += 1,
            Outcome::NoReply | Outcome::Ok | Outcome::Nil => {}
        }
        if name != commands::UNKNOWN {
            *self.commands.entry(name.to_ascii_lowercase()).or_default() += 1;
        }
    }
}

/// A script's error is its key: an error of that kind belongs to the command with that key.
fn assert_own_reply(command: &Command) {
    let Outcome::Error(prefix) = &command.reply else { return };
    if !prefix.starts_with("E") || !prefix.ends_with(|last: char| last.is_ascii_digit()) {
        return;
    }
    let key = Argument::Shown(prefix.as_bytes().into());
    assert!(command.name == "EVAL" && command.args.contains(&key), "{command:?}");
}

/// A connection that looks at the server, and disturbs what the other is doing.
struct Control(BufReader<TcpStream>);

impl Control {
    fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    /// A command's reply: a line, or a bulk string's text.
    fn run(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let Some(length) = line.strip_prefix('$') else { return line };
        let mut text = vec![0; length.trim_end().parse::<usize>().unwrap() + 2];
        self.0.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Something that makes the server push messages, by commands that only this connection uses.
    fn disturb(&mut self, generator: &mut Generator) {
        let number = generator.below(3);
        self.run(&format!("PUBLISH channel{number} hello"));
        self.run(&format!("SPUBLISH shard{number} hello"));
        self.run(&format!("SETRANGE noise{number} 0 x"));
    }

    /// The counters of a section of `INFO`, without this connection's own commands.
    fn counts(&mut self, section: &str) -> Counts {
        const OWN: [&str; 5] = ["config", "info", "publish", "spublish", "setrange"];
        let mut counts = Counts::new();
        for line in self.run(&format!("INFO {section}")).lines() {
            let Some((name, values)) = line.split_once(':') else { continue };
            let name = name.trim_start_matches("cmdstat_").trim_start_matches("errorstat_");
            let name = name.split('|').next().unwrap();
            let value = |key: &str| {
                let of_key = |pair: &str| pair.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok();
                values.split(',').find_map(of_key).unwrap_or(0)
            };
            let count = value("calls") + value("rejected_calls") + value("count");
            if !OWN.contains(&name) && count > 0 {
                *counts.entry(name.to_owned()).or_default() += count;
            }
        }
        counts
    }
}
