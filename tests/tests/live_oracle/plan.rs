//! What is asked of the backend, and what the backend does for it: `tests/backend/app.py` in the terms of spans.

use serde_json::{Value, json};

/// One request, and all that it causes.
#[derive(Clone, Debug)]
pub struct Request {
    /// Stands in everything that the backend does for it.
    pub id: String,
    /// The method.
    pub method: &'static str,
    /// The path, which is the route too.
    pub path: &'static str,
    /// Sent as JSON.
    pub body: Option<Value>,
    /// The status that the backend must answer.
    pub status: u16,
    /// What the backend asks of its stores, in this order.
    pub calls: Vec<Call>,
    /// Severity of the line that the backend logs about it, and how its message begins.
    pub line: Option<(&'static str, &'static str)>,
}

/// A statement or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `db.system.name`.
    pub system: &'static str,
    /// The span's name.
    pub name: String,
    /// `db.query.text`, without any value.
    pub text: String,
    /// The store's refusal: `db.response.status_code`.
    pub error: Option<String>,
}

impl Request {
    /// The path with the id in its query.
    pub fn target(&self) -> String {
        format!("{}?{}", self.path, self.query())
    }

    /// The query.
    pub fn query(&self) -> String {
        format!("request_id={}", self.id)
    }
}

/// What the users of the backend do; with each kind of failure.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Message,
    Messages,
    Login,
    LoginRefused,
    Logout,
    LogoutRefused,
    Logs,
    Health,
    Fail,
    SqlError,
    RedisError,
}

/// A login comes before each logout.
const MIX: [Kind; 13] = [
    Kind::Message,
    Kind::Messages,
    Kind::Login,
    Kind::Message,
    Kind::Logs,
    Kind::SqlError,
    Kind::Logout,
    Kind::Health,
    Kind::Fail,
    Kind::LoginRefused,
    Kind::Messages,
    Kind::RedisError,
    Kind::LogoutRefused,
];

/// Requests for each client, which all begin elsewhere in the mix.
pub fn plan(requests: usize, clients: usize) -> Vec<Vec<Request>> {
    let share = requests.div_ceil(clients);
    let numbers: Vec<usize> = (0..requests).collect();
    numbers.chunks(share).map(of_client).collect()
}

fn of_client(numbers: &[usize]) -> Vec<Request> {
    let mut session: Option<String> = None;
    let mut requests = Vec::new();
    for number in numbers {
        let id = format!("r{number:05}");
        let request = match (MIX[number % MIX.len()], session.take()) {
            (Kind::Logout, Some(token)) => logout(id, &token),
            // The client began in the mix after its login.
            (Kind::Logout, None) => logout_refused(id),
            (kind, kept) => {
                session = if matches!(kind, Kind::Login) { Some(id.clone()) } else { kept };
                other(kind, id)
            }
        };
        requests.push(request);
    }
    requests
}

fn other(kind: Kind, id: String) -> Request {
    match kind {
        Kind::Message => message(id),
        Kind::Messages => messages(id),
        Kind::Login => login(id),
        Kind::LoginRefused => login_refused(id),
        Kind::Logout | Kind::LogoutRefused => logout_refused(id),
        Kind::Logs => logs(id),
        Kind::Health => plain(id, "/healthz", 200, None),
        Kind::Fail => plain(id, "/api/fail", 500, Some(("ERROR", "request failed: deliberate failure"))),
        Kind::SqlError => sql_error(id),
        Kind::RedisError => redis_error(id),
    }
}

fn plain(id: String, path: &'static str, status: u16, line: Option<(&'static str, &'static str)>) -> Request {
    Request { id, method: "GET", path, body: None, status, calls: Vec::new(), line }
}

fn message(id: String) -> Request {
    let insert = format!("INSERT INTO messages (sender, body) VALUES (?, ?) RETURNING id AS `req_{id}`");
    let mut calls = connect();
    calls.extend([
        sql("INSERT messages", insert),
        sql("COMMIT", "COMMIT".to_owned()),
        redis("LPUSH", format!("LPUSH api_logs:{id} ?")),
        redis("LTRIM", format!("LTRIM api_logs:{id} ? ?")),
    ]);
    let body = json!({ "sender": "planted-sender", "body": format!("planted-body-{id}") });
    let line = Some(("INFO", "message stored"));
    Request { id, method: "POST", path: "/api/db/message", body: Some(body), status: 201, calls, line }
}

fn messages(id: String) -> Request {
    let select = format!("SELECT id, sender, body AS `req_{id}` FROM messages ORDER BY id DESC LIMIT ?");
    let mut request = plain(id, "/api/db/messages", 200, Some(("INFO", "messages listed")));
    request.calls = connect();
    request.calls.push(sql("SELECT messages", select));
    request
}

fn login(id: String) -> Request {
    let mut calls = look_up(&id);
    calls.push(redis("SETEX", format!("SETEX session:{id} ? ?")));
    let body = json!({ "user": "jiwoo", "password": "planted-user-password" });
    let line = Some(("INFO", "login user_id="));
    Request { id, method: "POST", path: "/api/login", body: Some(body), status: 200, calls, line }
}

fn login_refused(id: String) -> Request {
    let calls = look_up(&id);
    let body = json!({ "user": format!("planted-user-{id}"), "password": "planted-wrong-password" });
    let line = Some(("WARNING", "login refused"));
    Request { id, method: "POST", path: "/api/login", body: Some(body), status: 401, calls, line }
}

fn look_up(id: &str) -> Vec<Call> {
    let select = format!("SELECT id AS `req_{id}` FROM users WHERE name = ? AND password_hash = ?");
    let mut calls = connect();
    calls.push(sql("SELECT users", select));
    calls
}

fn logout(id: String, token: &str) -> Request {
    let calls =
        vec![redis("GET", format!("GET session:{token}")), redis("DEL", format!("DEL session:{token}"))];
    let body = json!({ "token": token });
    let line = Some(("INFO", "logout"));
    Request { id, method: "POST", path: "/api/logout", body: Some(body), status: 200, calls, line }
}

fn logout_refused(id: String) -> Request {
    let token = format!("none-{id}");
    let calls = vec![redis("GET", format!("GET session:{token}"))];
    let body = json!({ "token": token });
    let line = Some(("WARNING", "logout refused"));
    Request { id, method: "POST", path: "/api/logout", body: Some(body), status: 401, calls, line }
}

fn logs(id: String) -> Request {
    let range = format!("LRANGE api_logs:{id} ? ?");
    let mut request = plain(id, "/api/logs/redis", 200, Some(("INFO", "logs listed")));
    request.calls = vec![redis("LRANGE", range)];
    request
}

fn sql_error(id: String) -> Request {
    let select = format!("SELECT ? AS `req_{id}` FROM no_such_table");
    let mut request = plain(id, "/api/sql-error", 500, Some(("ERROR", "request failed: (1146,")));
    request.calls = connect();
    request.calls.push(Call { error: Some("1146".to_owned()), ..sql("SELECT no_such_table", select) });
    request
}

fn redis_error(id: String) -> Request {
    let push = redis("LPUSH", format!("LPUSH api_string:{id} ?"));
    let set = redis("SET", format!("SET api_string:{id} ?"));
    let mut request = plain(id, "/api/redis-error", 500, Some(("ERROR", "request failed: WRONGTYPE")));
    request.calls = vec![set, Call { error: Some("WRONGTYPE".to_owned()), ..push }];
    request
}

/// What PyMySQL sends by itself on a new connection.
fn connect() -> Vec<Call> {
    ["SET NAMES utf8mb4", "SET AUTOCOMMIT = ?"].map(|text| sql("SET", text.to_owned())).to_vec()
}

fn sql(name: &str, text: String) -> Call {
    Call { system: "mariadb", name: name.to_owned(), text, error: None }
}

fn redis(name: &str, text: String) -> Call {
    Call { system: "redis", name: name.to_owned(), text, error: None }
}
