//! A little mixed traffic: what the backend's users do, and what goes wrong for them.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use xtask::http::Response;
use xtask::testbed::Backend;

/// One kind of request, with the status that the backend must answer.
struct Step {
    method: &'static str,
    path: &'static str,
    status: u16,
}

const STEPS: [Step; 9] = [
    Step { method: "POST", path: "/api/db/message", status: 201 },
    Step { method: "GET", path: "/api/db/messages", status: 200 },
    Step { method: "POST", path: "/api/login", status: 200 },
    Step { method: "POST", path: "/api/logout", status: 200 },
    Step { method: "GET", path: "/api/logs/redis", status: 200 },
    Step { method: "GET", path: "/api/fail", status: 500 },
    Step { method: "GET", path: "/api/sql-error", status: 500 },
    Step { method: "GET", path: "/api/redis-error", status: 500 },
    Step { method: "GET", path: "/healthz", status: 200 },
];

/// Goes through the steps again and again.
pub(super) struct Traffic<'a> {
    backend: &'a Backend,
    sent: usize,
    token: String,
}

impl<'a> Traffic<'a> {
    pub(super) fn new(backend: &'a Backend) -> Self {
        Self { backend, sent: 0, token: String::new() }
    }

    /// Sends the next request and checks the answer: the traced application must not fail.
    pub(super) fn send_next(&mut self) -> Result<()> {
        let step = STEPS.get(self.sent % STEPS.len()).context("no steps")?;
        let answer = match step.method {
            "POST" => self.backend.post(step.path, &self.body(step.path)),
            _ => self.backend.get(step.path),
        }?;
        if answer.status != step.status {
            bail!("{} {} was answered {}, not {}", step.method, step.path, answer.status, step.status);
        }
        if step.path == "/api/login" {
            self.token = token(&answer)?;
        }
        self.sent += 1;
        Ok(())
    }

    fn body(&self, path: &str) -> Value {
        match path {
            "/api/login" => json!({ "user": "jiwoo", "password": "planted-user-password" }),
            "/api/logout" => json!({ "token": self.token }),
            _ => json!({ "sender": "jiwoo", "body": format!("message {}", self.sent) }),
        }
    }
}

fn token(answer: &Response) -> Result<String> {
    let answer = answer.json()?;
    let token =
        answer.get("token").and_then(Value::as_str).context("the login was answered without a token")?;
    Ok(token.to_owned())
}
