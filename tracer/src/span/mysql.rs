//! MySQL and MariaDB spans.
//! <https://opentelemetry.io/docs/specs/semconv/database/mysql/>,
//! <https://opentelemetry.io/docs/specs/semconv/database/mariadb/>

use std::sync::Arc;

use super::sql::{Backslashes, Read, Statement};
use super::{Attribute, Description, Scope, SpanOptions, SqlText, Status};
use crate::event::{Endpoints, Role};
use crate::protocol::mysql::{Command, Completeness, Flavor, MysqlExchange, QueryText};
use crate::text::Text;

/// The port that goes without saying.
const DEFAULT_PORT: u16 = 3306;
/// Attributes that a span has at most, but for odd ones: the list need not grow.
const USUAL_ATTRIBUTES: usize = 14;
/// Our own attribute: only the beginning of the statement was captured.
const TEXT_TRUNCATED: &str = "tracer.db.query.text.truncated";
/// Our own attribute: there was a result set, but not all of it was captured, so its rows were not counted.
const ROWS_UNKNOWN: &str = "tracer.db.response.returned_rows.unknown";
/// Our own attributes: what the server states beside rows; absent when zero.
const AFFECTED_ROWS: &str = "tracer.db.response.affected_rows";
const WARNINGS: &str = "tracer.db.response.warnings";
/// Our own attribute: SQLSTATE; `db.response.status_code` is MySQL's own number.
const SQLSTATE: &str = "tracer.db.response.sqlstate";
/// Our own attribute: the answer's outcome was not captured; the absence of an error says nothing.
const OUTCOME_UNKNOWN: &str = "tracer.db.response.unknown";

/// Describes an exchange.
#[must_use]
pub fn describe(
    exchange: &MysqlExchange,
    role: Role,
    endpoints: &Endpoints,
    options: &SpanOptions,
) -> Description {
    let system = match exchange.flavor {
        Some(Flavor::Mariadb) => "mariadb",
        // Unknown: both speak MySQL's protocol.
        Some(Flavor::Mysql) | None => "mysql",
    };
    let mut attributes = Vec::with_capacity(USUAL_ATTRIBUTES);
    attributes.push(Attribute::new("db.system.name", system));
    if let Some(database) = &exchange.database {
        attributes.push(Attribute::new("db.namespace", Arc::clone(database)));
    }
    let (summary, shown) = match &exchange.text {
        Some(text) => {
            let read = statement(exchange, text).read();
            let summary = summary(exchange, &read);
            // The span's name is the same text.
            (Text::Shared(summary.into()), shown_text(exchange, text, &read, options.sql_text))
        }
        None => (Text::default(), None),
    };
    let dup = options.database_dup.then(|| shown.clone());
    push_statement(&mut attributes, exchange, &summary, shown);
    push_outcome(&mut attributes, exchange);
    push_endpoints(&mut attributes, role, endpoints);
    if let Some(shown) = dup {
        push_old_names(&mut attributes, exchange, system, shown);
    }
    Description {
        name: name(exchange, summary, system),
        attributes,
        status: if error_type(exchange).is_some() { Status::Error(None) } else { Status::Unset },
        scope: Scope::Mysql,
    }
}

/// `db.query.summary`; empty when the statement's words are not known.
fn summary(exchange: &MysqlExchange, read: &Read<'_>) -> String {
    let words = read.summary();
    if exchange.command != Command::Prepare {
        return words;
    }
    let summary = format!("{} {words}", Command::Prepare.name());
    if words.is_empty() || summary.chars().count() > super::sql::MAX_SUMMARY {
        String::new()
    } else {
        summary
    }
}

fn statement<'a>(exchange: &MysqlExchange, text: &'a QueryText) -> Statement<'a> {
    Statement {
        text: &text.text,
        truncated: text.truncated,
        backslashes: match exchange.literal_backslashes {
            Some(false) => Backslashes::Escape,
            Some(true) => Backslashes::Literal,
            None => Backslashes::Unknown,
        },
    }
}

/// The statement as it may leave the node. A text with placeholders, prepared on the server, is shown as it was written:
/// who wrote it sends the values apart. But strings and long numbers are hidden in it too: not everybody who uses a
/// placeholder uses one for everything.
fn shown_text(
    exchange: &MysqlExchange,
    text: &QueryText,
    read: &Read<'_>,
    choice: SqlText,
) -> Option<String> {
    match choice {
        SqlText::Off => None,
        SqlText::Raw => Some(text.text.to_string()),
        SqlText::Sanitized if exchange.prepared && read.has_placeholder() => Some(read.mask()),
        SqlText::Sanitized => Some(read.sanitise()),
    }
}

/// The name of a command whose text does not say what it does.
fn operation(exchange: &MysqlExchange) -> Option<&'static str> {
    match exchange.command {
        Command::Query => None,
        Command::Execute | Command::BulkExecute if exchange.text.is_some() => None,
        command => Some(command.name()),
    }
}

fn name(exchange: &MysqlExchange, summary: Text, system: &'static str) -> Text {
    match operation(exchange) {
        _ if !summary.is_empty() => summary,
        Some(operation) => operation.into(),
        None => system.into(),
    }
}

fn push_statement(
    attributes: &mut Vec<Attribute>,
    exchange: &MysqlExchange,
    summary: &Text,
    shown: Option<String>,
) {
    if let Some(operation) = operation(exchange) {
        attributes.push(Attribute::new("db.operation.name", operation));
    }
    if !summary.is_empty() {
        attributes.push(Attribute::new("db.query.summary", summary.clone()));
    }
    if let Some(text) = shown {
        attributes.push(Attribute::new("db.query.text", text));
        if exchange.text.as_ref().is_some_and(|text| text.truncated) {
            attributes.push(Attribute::new(TEXT_TRUNCATED, true));
        }
    }
}

/// The server's error number, or how the connection ended.
fn error_type(exchange: &MysqlExchange) -> Option<String> {
    /// Linux's errno numbers, the same on every architecture that is supported.
    const EPIPE: u16 = 32;
    const ECONNRESET: u16 = 104;
    const ETIMEDOUT: u16 = 110;
    match exchange.error.map(|error| error.code) {
        Some(0) => return Some("_OTHER".to_owned()),
        Some(code) => return Some(code.to_string()),
        None => {}
    }
    let Completeness::Aborted(errno) = exchange.completeness else { return None };
    let word = match errno {
        Some(ECONNRESET) => "connection_reset",
        Some(EPIPE) => "broken_pipe",
        Some(ETIMEDOUT) => "timeout",
        _ => "connection_closed",
    };
    Some(word.to_owned())
}

fn push_outcome(attributes: &mut Vec<Attribute>, exchange: &MysqlExchange) {
    if let Some(error) = exchange.error.filter(|error| error.code != 0) {
        attributes.push(Attribute::new("db.response.status_code", error.code.to_string()));
        if let Some(state) = error.sqlstate.and_then(|state| String::from_utf8(state.to_vec()).ok()) {
            attributes.push(Attribute::new(SQLSTATE, state));
        }
    }
    if let Some(error) = error_type(exchange) {
        attributes.push(Attribute::new("error.type", error));
    }
    if let Some(rows) = exchange.rows.and_then(|rows| i64::try_from(rows).ok()) {
        attributes.push(Attribute::new("db.response.returned_rows", rows));
    }
    if exchange.rows_missed {
        attributes.push(Attribute::new(ROWS_UNKNOWN, true));
    }
    if let Some(affected) =
        exchange.affected_rows.and_then(|rows| i64::try_from(rows).ok()).filter(|rows| *rows > 0)
    {
        attributes.push(Attribute::new(AFFECTED_ROWS, affected));
    }
    if let Some(warnings) = exchange.warnings.filter(|warnings| *warnings > 0) {
        attributes.push(Attribute::new(WARNINGS, i64::from(warnings)));
    }
    if exchange.completeness == Completeness::Unknown {
        attributes.push(Attribute::new(OUTCOME_UNKNOWN, true));
    }
}

fn push_endpoints(attributes: &mut Vec<Attribute>, role: Role, endpoints: &Endpoints) {
    let server = match role {
        Role::Client => &endpoints.peer,
        Role::Server => &endpoints.local,
    };
    if let Some(server) = server {
        attributes.push(Attribute::new("server.address", Arc::clone(&server.name)));
        if let Some(port) = server.port().filter(|port| *port != DEFAULT_PORT) {
            attributes.push(Attribute::new("server.port", port));
        }
    }
    if let Some((peer, port)) = endpoints.peer.as_ref().and_then(|peer| Some((peer, peer.port()?))) {
        if role == Role::Server {
            attributes.push(Attribute::new("client.address", Arc::clone(&peer.name)));
        }
        attributes.push(Attribute::new("network.peer.address", Arc::clone(&peer.name)));
        attributes.push(Attribute::new("network.peer.port", port));
    }
    if endpoints.unix {
        attributes.push(Attribute::new("network.transport", "unix"));
    }
}

/// The names before semantic conventions 1.26, which dashboards may still expect.
fn push_old_names(
    attributes: &mut Vec<Attribute>,
    exchange: &MysqlExchange,
    system: &'static str,
    shown: Option<String>,
) {
    attributes.push(Attribute::new("db.system", system));
    if let Some(database) = &exchange.database {
        attributes.push(Attribute::new("db.name", Arc::clone(database)));
    }
    if let Some(text) = shown {
        attributes.push(Attribute::new("db.statement", text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Address;
    use crate::protocol::mysql::ServerError;
    use crate::span::Value;

    fn query(text: &str) -> MysqlExchange {
        MysqlExchange {
            command: Command::Query,
            flavor: Some(Flavor::Mariadb),
            database: Some("shop".into()),
            text: Some(QueryText { text: text.into(), truncated: false }),
            prepared: false,
            literal_backslashes: Some(false),
            rows: None,
            rows_missed: false,
            affected_rows: None,
            warnings: None,
            error: None,
            completeness: Completeness::Whole,
        }
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

    #[test]
    fn a_query_is_told_in_the_conventions_names() {
        let mut exchange = query("SELECT * FROM messages WHERE id = 7");
        exchange.rows = Some(3);
        let description = describe(&exchange, Role::Client, &tcp(3306), &SpanOptions::default());
        assert_eq!(description.name, "SELECT messages");
        assert_eq!(description.status, Status::Unset);
        assert_eq!(description.scope, Scope::Mysql);
        let expected = [
            "db.system.name=mariadb",
            "db.namespace=shop",
            "db.query.summary=SELECT messages",
            "db.query.text=SELECT * FROM messages WHERE id = ?",
            "db.response.returned_rows=Int(3)",
            "server.address=10.0.0.2",
            "network.peer.address=10.0.0.2",
            "network.peer.port=Int(3306)",
        ];
        assert_eq!(told(&description), expected);
    }

    #[test]
    fn a_refusal_is_an_error_with_its_number() {
        let mut exchange = query("SELECT 1 FROM missing");
        exchange.error = Some(ServerError { code: 1146, sqlstate: Some(*b"42S02") });
        let description = describe(&exchange, Role::Client, &tcp(3307), &SpanOptions::default());
        assert_eq!(description.status, Status::Error(None));
        let told = told(&description);
        for expected in ["db.response.status_code=1146", "error.type=1146", "server.port=Int(3307)"] {
            assert!(told.iter().any(|each| each == expected), "{expected} in {told:?}");
        }
    }

    #[test]
    fn an_unfinished_exchange_says_how_the_connection_ended() {
        for (errno, word) in
            [(None, "connection_closed"), (Some(104), "connection_reset"), (Some(110), "timeout")]
        {
            let exchange = MysqlExchange { completeness: Completeness::Aborted(errno), ..query("SELECT 1") };
            let description = describe(&exchange, Role::Client, &tcp(3306), &SpanOptions::default());
            assert_eq!(description.status, Status::Error(None));
            assert!(told(&description).contains(&format!("error.type={word}")));
        }
    }

    #[test]
    fn commands_without_text_are_named_after_themselves() {
        let exchange = MysqlExchange { command: Command::Ping, text: None, flavor: None, ..query("") };
        let description = describe(&exchange, Role::Client, &tcp(3306), &SpanOptions::default());
        assert_eq!(description.name, "PING");
        let told = told(&description);
        assert_eq!(told[0], "db.system.name=mysql");
        assert!(told.contains(&"db.operation.name=PING".to_owned()));
        assert!(!told.iter().any(|each| each.starts_with("db.query.")));
    }

    #[test]
    fn prepared_text_with_placeholders_is_shown_as_it_is() {
        let prepared = |command, text: &str| {
            let exchange = MysqlExchange { command, prepared: true, ..query(text) };
            let description = describe(&exchange, Role::Client, &tcp(3306), &SpanOptions::default());
            (description.name.clone(), told(&description))
        };
        let (name, attributes) = prepared(Command::Execute, "SELECT a FROM t WHERE b = ? LIMIT 5");
        assert_eq!(name, "SELECT t");
        assert!(attributes.contains(&"db.query.text=SELECT a FROM t WHERE b = ? LIMIT 5".to_owned()));
        let beside = "SELECT a, -1 FROM t WHERE b IN (?, ?) AND c = 'secret' AND d = 4242424242 -- secret";
        let (_, attributes) = prepared(Command::Execute, beside);
        let masked = "db.query.text=SELECT a, -1 FROM t WHERE b IN (?, ?) AND c = ? AND d = ? ";
        assert!(attributes.contains(&masked.to_owned()), "{attributes:?}");
        let (name, attributes) = prepared(Command::Prepare, "SELECT a FROM t WHERE b = 'secret'");
        assert_eq!(name, "PREPARE SELECT t");
        assert!(attributes.contains(&"db.query.text=SELECT a FROM t WHERE b = ?".to_owned()));
        assert!(attributes.contains(&"db.operation.name=PREPARE".to_owned()));
    }

    #[test]
    fn options_choose_the_text_and_the_old_names() {
        let exchange = query("SET a = 'secret'");
        let with = |options: &SpanOptions| told(&describe(&exchange, Role::Client, &tcp(3306), options));
        let off = with(&SpanOptions { sql_text: SqlText::Off, ..SpanOptions::default() });
        assert!(!off.iter().any(|each| each.starts_with("db.query.text")));
        assert!(off.contains(&"db.query.summary=SET".to_owned()));
        let raw = with(&SpanOptions { sql_text: SqlText::Raw, ..SpanOptions::default() });
        assert!(raw.contains(&"db.query.text=SET a = 'secret'".to_owned()));
        let dup = with(&SpanOptions { database_dup: true, ..SpanOptions::default() });
        for expected in ["db.system=mariadb", "db.name=shop", "db.statement=SET a = ?"] {
            assert!(dup.contains(&expected.to_owned()), "{expected}");
        }
    }

    #[test]
    fn truncated_text_is_marked() {
        let text = Some(QueryText { text: "INSERT INTO t VALUES ('secr".into(), truncated: true });
        let exchange = MysqlExchange { text, completeness: Completeness::Unknown, ..query("") };
        let told = told(&describe(&exchange, Role::Client, &tcp(3306), &SpanOptions::default()));
        assert!(told.contains(&"db.query.text=INSERT INTO t VALUES (?".to_owned()));
        assert!(told.contains(&format!("{TEXT_TRUNCATED}=Bool(true)")));
        assert!(told.contains(&format!("{OUTCOME_UNKNOWN}=Bool(true)")));
    }

    #[test]
    fn addresses_follow_the_role_and_the_transport() {
        let server = told(&describe(&query("COMMIT"), Role::Server, &tcp(3306), &SpanOptions::default()));
        for expected in ["server.address=10.0.0.1", "server.port=Int(40000)", "client.address=10.0.0.2"] {
            assert!(server.contains(&expected.to_owned()), "{expected} in {server:?}");
        }
        let socket = Endpoints {
            peer: Some(Address::Unix("/run/my.sock".to_owned()).into()),
            unix: true,
            local: None,
        };
        let unix = told(&describe(&query("COMMIT"), Role::Client, &socket, &SpanOptions::default()));
        assert!(unix.contains(&"server.address=/run/my.sock".to_owned()));
        assert!(unix.contains(&"network.transport=unix".to_owned()));
        assert!(!unix.iter().any(|each| each.starts_with("network.peer")));
    }
}
