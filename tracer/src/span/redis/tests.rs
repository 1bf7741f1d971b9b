use super::*;
use crate::event::Address;
use crate::protocol::redis::Argument;
use crate::span::Value;

fn shown(text: &str) -> Argument {
    Argument::Shown(text.as_bytes().into())
}

fn command(name: &'static str, args: &[Argument], reply: Outcome) -> Command {
    Command { name: name.into(), args: args.to_vec(), args_omitted: 0, reply, executed: Vec::new() }
}

fn lpush() -> Command {
    command("LPUSH", &[shown("api_logs"), Argument::Hidden], Outcome::Ok)
}

fn batch(commands: Vec<Command>) -> RedisExchange {
    RedisExchange { commands, ..RedisExchange::default() }
}

fn tcp(port: u16) -> Endpoints {
    Endpoints {
        local: Some(Address::Ip("10.0.0.1:40000".parse().unwrap()).into()),
        peer: Some(Address::Ip(format!("10.0.0.2:{port}").parse().unwrap()).into()),
        unix: false,
    }
}

/// `key=value` of every attribute.
fn told(description: &Description) -> Vec<String> {
    let value = |value: &Value| match value {
        Value::Str(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    description.attributes.iter().map(|each| format!("{}={}", each.key, value(&each.value))).collect()
}

fn client(exchange: &RedisExchange, options: &SpanOptions) -> Vec<Description> {
    describe(exchange, Role::Client, &tcp(6379), options).into_vec()
}

#[test]
fn a_command_is_told_in_the_conventions_names() {
    let exchange = RedisExchange { database: Some(2), ..batch(vec![lpush()]) };
    let [description] = client(&exchange, &SpanOptions::default()).try_into().unwrap();
    assert_eq!((description.name.as_str(), description.scope), ("LPUSH", Scope::Redis));
    assert_eq!(description.status, Status::Unset);
    let expected = [
        "db.system.name=redis",
        "db.operation.name=LPUSH",
        "db.namespace=2",
        "db.query.text=LPUSH api_logs ?",
        "server.address=10.0.0.2",
        "network.peer.address=10.0.0.2",
        "network.peer.port=Int(6379)",
    ];
    assert_eq!(told(&description), expected);
}

#[test]
fn secrets_and_masked_keys_are_placeholders() {
    let text = |command, options: &SpanOptions| {
        let told = told(&client(&batch(vec![command]), options)[0]);
        told.into_iter().find(|each| each.starts_with("db.query.text=")).unwrap()
    };
    // Even if the protocol stage had kept them.
    for name in ["AUTH", "HELLO", "CONFIG", "ACL", "NOSUCH"] {
        let command = command(name, &[shown("secret"), shown("secret")], Outcome::Ok);
        assert_eq!(text(command, &SpanOptions::default()), format!("db.query.text={name} ? ?"));
    }
    let masked = SpanOptions { mask_redis_keys: true, ..SpanOptions::default() };
    assert_eq!(text(lpush(), &masked), "db.query.text=LPUSH ? ?");
    let odd = command("GET", &[shown("a \"key\"")], Outcome::Nil);
    assert_eq!(text(odd, &SpanOptions::default()), "db.query.text=GET \"a \\\"key\\\"\"");
}

#[test]
fn a_batch_is_one_span_or_one_a_command() {
    let failed = command("GET", &[shown("list")], Outcome::Error("WRONGTYPE".into()));
    let exchange =
        RedisExchange { error: Some("WRONGTYPE".into()), failures: 1, ..batch(vec![lpush(), failed]) };
    let [description] = client(&exchange, &SpanOptions::default()).try_into().unwrap();
    assert_eq!((description.name.as_str(), &description.status), ("PIPELINE", &Status::Error(None)));
    for expected in [
        "db.operation.batch.size=Int(2)",
        "redis.batch.failures=Int(1)",
        "db.query.text=LPUSH api_logs ?; GET list",
        "db.response.status_code=WRONGTYPE",
        "error.type=WRONGTYPE",
    ] {
        assert!(told(&description).contains(&expected.to_owned()), "{expected}");
    }
    let apart = SpanOptions { redis_batch_commands: true, ..SpanOptions::default() };
    let names: Vec<_> = client(&exchange, &apart).into_iter().map(|each| (each.name, each.status)).collect();
    assert_eq!(names, [("LPUSH".into(), Status::Unset), ("GET".into(), Status::Error(None))]);
}

#[test]
fn batches_are_named_after_what_they_do() {
    let name = |commands| client(&batch(commands), &SpanOptions::default())[0].name.clone();
    let bare = |name| command(name, &[], Outcome::Ok);
    assert_eq!(name(vec![lpush(), lpush()]), "PIPELINE LPUSH");
    assert_eq!(name(vec![bare("MULTI"), lpush(), bare("INCR"), bare("EXEC")]), "MULTI");
    assert_eq!(name(vec![bare("MULTI"), lpush(), bare("EXEC")]), "MULTI LPUSH");
}

#[test]
fn a_lost_connection_has_no_status_code() {
    let lost = command("GET", &[shown("a")], Outcome::Unanswered("connection_reset"));
    let [description] = client(&batch(vec![lost]), &SpanOptions::default()).try_into().unwrap();
    let told = told(&description);
    assert!(told.contains(&"error.type=connection_reset".to_owned()));
    assert!(!told.iter().any(|each| each.starts_with("db.response.status_code")));
}

#[test]
fn addresses_follow_the_role_and_the_transport() {
    let exchange = batch(vec![lpush()]);
    let server = told(&describe(&exchange, Role::Server, &tcp(6380), &SpanOptions::default())[0]);
    for expected in ["server.address=10.0.0.1", "server.port=Int(40000)", "client.address=10.0.0.2"] {
        assert!(server.contains(&expected.to_owned()), "{expected} in {server:?}");
    }
    let socket =
        Endpoints { peer: Some(Address::Unix("/run/r.sock".to_owned()).into()), unix: true, local: None };
    let unix = told(&describe(&exchange, Role::Client, &socket, &SpanOptions::default())[0]);
    for expected in ["server.address=/run/r.sock", "network.transport=unix"] {
        assert!(unix.contains(&expected.to_owned()), "{expected} in {unix:?}");
    }
}
