//! Redis and Valkey exchanges in the words of the semantic conventions.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/db/redis/>.

mod text;

use std::sync::Arc;

use smallvec::smallvec;

use super::{Attribute, Description, Descriptions, Scope, SpanOptions, Status};
use crate::event::{Endpoint, Endpoints, Role};
use crate::protocol::redis::{Command, OTHER_NAMES, Outcome, PORT, RedisExchange, Tally};
use crate::text::Text;

/// Distinct names listed of a batch's commands.
const MAX_NAMES: usize = 32;

/// Attributes that a span has at most, but for odd ones: the list need not grow.
const USUAL_ATTRIBUTES: usize = 12;

/// Describes an exchange: one span for the commands of one write, or with `redis_batch_commands` one for each.
#[must_use]
pub fn describe(
    exchange: &RedisExchange,
    role: Role,
    endpoints: &Endpoints,
    options: &SpanOptions,
) -> Descriptions {
    let describe = |told: Told<'_>| told.description(exchange, role, endpoints, options);
    match exchange.commands.as_slice() {
        [command] if exchange.omitted.is_empty() => smallvec![describe(Told::command(command))],
        commands if options.redis_batch_commands => {
            let each = commands.iter().map(Told::command);
            // The rest of a very long pipeline is told together.
            let rest = (!exchange.omitted.is_empty()).then(|| Told::batch(&[], exchange));
            each.chain(rest).map(describe).collect()
        }
        commands => smallvec![describe(Told::batch(commands, exchange))],
    }
}

/// What a span tells: a command or a batch.
struct Told<'a> {
    commands: &'a [Command],
    operation: Text,
    /// Operations of a batch that is one.
    size: Option<u64>,
    failures: Option<u32>,
    omitted: &'a [Tally],
    error: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn command(command: &'a Command) -> Self {
        Self {
            commands: std::slice::from_ref(command),
            operation: command.name.clone().into(),
            size: None,
            failures: None,
            omitted: &[],
            error: failure(command),
        }
    }

    /// `PIPELINE`, or `MULTI` for one whole transaction; with the command's name when all have the same.
    fn batch(commands: &'a [Command], exchange: &'a RedisExchange) -> Self {
        let (word, operations) = operations(commands);
        let kept = operations.iter().map(|command| &command.name);
        let mut names = kept.chain(exchange.omitted.iter().map(|tally| &tally.name));
        let operation = match names.next() {
            Some(first) if names.all(|name| name == first) => format!("{word} {first}").into(),
            _ => word.into(),
        };
        let size = operations.len() as u64 + exchange.omitted();
        Self {
            commands,
            operation,
            // A batch of one is none, by convention.
            size: (size != 1).then_some(size),
            failures: Some(exchange.failures),
            omitted: &exchange.omitted,
            error: exchange.error.as_deref(),
        }
    }

    fn description(
        &self,
        exchange: &RedisExchange,
        role: Role,
        endpoints: &Endpoints,
        options: &SpanOptions,
    ) -> Description {
        let omitted = self.omitted.iter().map(|tally| u64::from(tally.commands)).sum();
        let text = text::text(self.commands, omitted, options.mask_redis_keys);
        let mut attributes = Vec::with_capacity(USUAL_ATTRIBUTES);
        attributes.push(Attribute::new("db.system.name", "redis"));
        attributes.push(Attribute::new("db.operation.name", self.operation.clone()));
        if let Some(database) = exchange.database {
            attributes.push(Attribute::new("db.namespace", number(database)));
        }
        self.add_batch(&mut attributes);
        if options.database_dup {
            add_old_names(&mut attributes, &self.operation, &text, exchange.database);
        }
        attributes.push(Attribute::new("db.query.text", text));
        self.add_error(&mut attributes);
        add_addresses(&mut attributes, role, endpoints);
        Description {
            name: self.operation.clone(),
            attributes,
            status: if self.error.is_some() { Status::Error(None) } else { Status::Unset },
            scope: Scope::Redis,
        }
    }

    fn add_batch(&self, attributes: &mut Vec<Attribute>) {
        if let Some(size) = self.size {
            attributes
                .push(Attribute::new("db.operation.batch.size", i64::try_from(size).unwrap_or(i64::MAX)));
        }
        if let Some(failures) = self.failures {
            attributes.push(Attribute::new("redis.batch.commands", names(self.commands, self.omitted)));
            if failures > 0 {
                attributes.push(Attribute::new("redis.batch.failures", i64::from(failures)));
            }
        }
    }

    fn add_error(&self, attributes: &mut Vec<Attribute>) {
        let Some(word) = self.error else { return };
        // The server's own prefixes are in upper case; a lost connection has a word of ours and no code.
        if word.starts_with(|first: char| first.is_ascii_uppercase()) {
            attributes.push(Attribute::new("db.response.status_code", word.to_owned()));
        }
        attributes.push(Attribute::new("error.type", word.to_owned()));
    }
}

fn failure(command: &Command) -> Option<&str> {
    let executed = || command.executed.iter().find_map(|(_, outcome)| outcome.failure());
    command.reply.failure().or_else(executed)
}

/// What a batch does, without the commands that only frame a transaction.
fn operations(commands: &[Command]) -> (&'static str, &[Command]) {
    match commands {
        [first, inner @ .., last] if first.name == "MULTI" && matches!(&*last.name, "EXEC" | "DISCARD") => {
            ("MULTI", inner)
        }
        all => ("PIPELINE", all),
    }
}

/// The batch's distinct names with how many of each got a reply: `GET x50`.
fn names(commands: &[Command], omitted: &[Tally]) -> Vec<String> {
    let mut counts: Vec<(&str, u64)> = Vec::new();
    let answered = |command: &Command| !matches!(command.reply, Outcome::NoReply | Outcome::Unanswered(_));
    let kept = commands.iter().map(|command| (&*command.name, u64::from(answered(command))));
    let counted = omitted.iter().map(|tally| (&*tally.name, u64::from(tally.answered)));
    for (name, count) in kept.chain(counted) {
        let known = counts.iter().position(|(known, _)| *known == name);
        // With more names than are told, the last place is for all others.
        let at = known.unwrap_or(counts.len().min(MAX_NAMES));
        match counts.get_mut(at) {
            Some((_, sum)) => *sum += count,
            None => counts.push((if at == MAX_NAMES { OTHER_NAMES } else { name }, count)),
        }
    }
    counts.into_iter().map(|(name, count)| format!("{name} x{count}")).collect()
}

/// The names before the conventions became stable.
fn add_old_names(attributes: &mut Vec<Attribute>, operation: &Text, text: &str, database: Option<u32>) {
    attributes.push(Attribute::new("db.system", "redis"));
    attributes.push(Attribute::new("db.operation", operation.clone()));
    attributes.push(Attribute::new("db.statement", text.to_owned()));
    if let Some(database) = database {
        attributes.push(Attribute::new("db.redis.database_index", i64::from(database)));
    }
}

fn add_addresses(attributes: &mut Vec<Attribute>, role: Role, endpoints: &Endpoints) {
    let server = match role {
        Role::Client => endpoints.peer.as_ref(),
        Role::Server => endpoints.local.as_ref(),
    };
    add_address(attributes, server, "server.address", Some(("server.port", PORT)));
    if role == Role::Server {
        add_address(attributes, endpoints.peer.as_ref(), "client.address", None);
    }
    add_address(attributes, endpoints.peer.as_ref(), "network.peer.address", Some(("network.peer.port", 0)));
    if endpoints.unix {
        attributes.push(Attribute::new("network.transport", "unix"));
    }
}

/// A small number as text. A server has sixteen databases, unless it is told otherwise.
fn number(number: u32) -> Text {
    const USUAL: [&str; 16] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    let usual = usize::try_from(number).ok().and_then(|number| USUAL.get(number));
    usual.map_or_else(|| number.to_string().into(), |text| Text::Static(text))
}

/// An address, and its port unless that is the usual one.
fn add_address(
    attributes: &mut Vec<Attribute>,
    end: Option<&Endpoint>,
    name: &'static str,
    port: Option<(&'static str, u16)>,
) {
    let Some(end) = end.filter(|end| !end.name.is_empty()) else { return };
    attributes.push(Attribute::new(name, Arc::clone(&end.name)));
    if let (Some((key, usual)), Some(port)) = (port, end.port())
        && port != usual
    {
        attributes.push(Attribute::new(key, port));
    }
}

#[cfg(test)]
mod tests;
