//! Posts of telemetry (OTLP over HTTP). They never become spans: neither the tracer's own, nor those of a target's
//! SDK, which they give away. <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request>

use crate::event::Role;
use crate::protocol::http::HttpExchange;
use crate::protocol::{Detail, Exchange};

/// What a post of telemetry says of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryPost {
    /// An SDK in it sends spans.
    OfSpans,
    /// It takes posts of others, as a collector does, or a proxy before one.
    Taken,
}

/// Whether the exchange is such a post.
pub(super) fn is_telemetry_post(exchange: &Exchange) -> bool {
    match &exchange.detail {
        Detail::Http(http) => http.otlp_export,
        Detail::Mysql(_) | Detail::Redis(_) => false,
        #[cfg(test)]
        Detail::Line(line) => line.starts_with("?otlp"),
    }
}

/// What such a post says of the process that plays `role` in it, if anything.
pub(super) fn judge(exchange: &Exchange, role: Role) -> Option<TelemetryPost> {
    match (&exchange.detail, role) {
        (_, Role::Server) => Some(TelemetryPost::Taken),
        (Detail::Http(http), Role::Client) => is_of_spans(http).then_some(TelemetryPost::OfSpans),
        #[cfg(test)]
        (Detail::Line(_), Role::Client) => Some(TelemetryPost::OfSpans),
        (_, Role::Client) => None,
    }
}

/// Whether an exporter of an SDK posts spans: its name begins so in every language
/// (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/#user-agent>). Others forward what they were sent.
fn is_of_spans(http: &HttpExchange) -> bool {
    const EXPORTER: &[u8] = b"otel";
    let path = http.target.split(['?', '#']).next().unwrap_or_default();
    let agent = http.user_agent.as_deref().unwrap_or_default().as_bytes();
    path.ends_with("/v1/traces")
        && agent.get(..EXPORTER.len()).is_some_and(|start| start.eq_ignore_ascii_case(EXPORTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exporter_is_known_by_its_name_and_what_it_posts() {
        for (target, agent, expected) in [
            ("/v1/traces", Some("OTel-OTLP-Exporter-Python/1.45.1"), true),
            ("http://collector:4318/otlp/v1/traces", Some("OTel OTLP Exporter Go/1.38.0"), true),
            ("/v1/logs", Some("OTel-OTLP-Exporter-Python/1.45.1"), false),
            ("/v1/traces", Some("Mozilla/5.0"), false),
            ("/v1/traces", Some("OT"), false),
            ("/v1/traces", None, false),
        ] {
            let user_agent = agent.map(str::to_owned);
            let http = HttpExchange { target: target.to_owned(), user_agent, ..HttpExchange::default() };
            assert_eq!(is_of_spans(&http), expected, "{http:?}");
        }
    }
}
