//! The routes of each service, bounded.

use std::num::NonZeroUsize;

use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::enrich::Resource;
use crate::span::http::{RouteMode, RouteOptions, RouteTable};
use crate::span::{Span, SpanKind};

/// Services whose routes are remembered; the one that has not answered for longest is forgotten, and may have as
/// many routes again.
const MAX_SERVICES: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The routes that services have shown so far.
#[derive(Debug)]
pub(super) struct Routes {
    /// By `service.name`, which the cap is for: a service's processes share it, also in several pods.
    services: LruCache<String, RouteTable, FxBuildHasher>,
    options: RouteOptions,
    /// Spans that lost their route to the cap.
    pub(super) refused: u64,
}

impl Routes {
    pub(super) fn new(options: RouteOptions) -> Self {
        Self { services: LruCache::with_hasher(MAX_SERVICES, FxBuildHasher), options, refused: 0 }
    }

    /// Takes a guessed route out of a server's span if its service has too many.
    pub(super) fn limit(&mut self, resource: &Resource, span: &mut Span) {
        // Configured patterns are as many as the user wrote.
        if span.kind != SpanKind::Server || self.options.mode != RouteMode::Heuristic {
            return;
        }
        let name = resource.service_name();
        let table = self.services.get_or_insert_mut_ref(name, || RouteTable::new(&self.options));
        let before = table.refused();
        table.limit(&mut span.description);
        self.refused += table.refused() - before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{Attribute, Description, Scope, SpanId, Status, TraceId};

    fn resource(service: &str) -> Resource {
        Resource { attributes: vec![Attribute::new("service.name", service.to_owned())] }
    }

    /// The name that a span for `path` keeps.
    fn named(routes: &mut Routes, service: &str, kind: SpanKind, path: &str) -> String {
        let mut span = Span {
            trace_id: TraceId::default(),
            span_id: SpanId::default(),
            parent: None,
            remote_parent: false,
            trace_state: String::new(),
            sampled: true,
            kind,
            start_unix_ns: 1,
            end_unix_ns: 2,
            first_byte_unix_ns: None,
            links: Vec::new(),
            description: Description {
                name: format!("GET {path}").into(),
                attributes: vec![Attribute::new("http.route", path.to_owned())],
                status: Status::Unset,
                scope: Scope::Http,
            },
        };
        routes.limit(&resource(service), &mut span);
        span.description.name.into_string()
    }

    fn routes(mode: RouteMode) -> Routes {
        Routes::new(RouteOptions { mode, max_per_service: 1, ..RouteOptions::default() })
    }

    #[test]
    fn each_service_has_a_cap_of_its_own() {
        let mut routes = routes(RouteMode::Heuristic);
        assert_eq!(named(&mut routes, "shop", SpanKind::Server, "/a"), "GET /a");
        assert_eq!(named(&mut routes, "shop", SpanKind::Server, "/b"), "GET");
        assert_eq!(named(&mut routes, "shop", SpanKind::Server, "/a"), "GET /a");
        assert_eq!(named(&mut routes, "chat", SpanKind::Server, "/b"), "GET /b");
        assert_eq!(named(&mut routes, "shop", SpanKind::Client, "/c"), "GET /c");
        assert_eq!(routes.refused, 1);
    }

    #[test]
    fn configured_patterns_are_not_counted() {
        let mut routes = routes(RouteMode::Patterns);
        assert_eq!(named(&mut routes, "shop", SpanKind::Server, "/a"), "GET /a");
        assert_eq!(named(&mut routes, "shop", SpanKind::Server, "/b"), "GET /b");
    }

    #[test]
    fn services_are_bounded() {
        let mut routes = routes(RouteMode::Heuristic);
        for number in 0..2 * MAX_SERVICES.get() {
            named(&mut routes, &number.to_string(), SpanKind::Server, "/a");
        }
        assert_eq!(routes.services.len(), MAX_SERVICES.get());
    }
}
