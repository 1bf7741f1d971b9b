//! Requests that only ask how the server is.

use std::sync::{Arc, LazyLock};

/// What the kubelet's `User-Agent` begins with (kubernetes, `pkg/probe/http/request.go`).
const KUBELET: &str = "kube-probe/";

/// Where frameworks and Kubernetes' own components answer health checks.
const USUAL_PATHS: [&str; 13] = [
    "/healthz",
    "/readyz",
    "/livez",
    "/health",
    "/health/live",
    "/health/ready",
    "/healthcheck",
    "/-/healthy",
    "/-/ready",
    "/actuator/health",
    "/actuator/health/liveness",
    "/actuator/health/readiness",
    "/q/health",
];

/// How a request shows that it only asks whether the server is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// A prober sent it: `User-Agent: kube-probe/…`, or another one that was named.
    Prober,
    /// Its path is one that such requests have.
    Path,
}

/// By what health checks are recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPatterns {
    /// What the `User-Agent` of probers begins with.
    agents: Vec<String>,
    /// Paths of health routes.
    paths: Vec<PathPattern>,
}

/// A path, or with a `*` at its end all paths that begin like this.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PathPattern {
    text: String,
    begins: bool,
}

/// The kubelet, and the usual paths.
static USUAL: LazyLock<Arc<HealthPatterns>> = LazyLock::new(|| Arc::new(HealthPatterns::new(&[], &[])));

impl HealthPatterns {
    /// The kubelet and these probers; these paths, or the usual ones if there are none.
    #[must_use]
    pub fn new(agents: &[String], paths: &[String]) -> Self {
        let agents = [KUBELET.to_owned()].into_iter().chain(agents.iter().cloned()).collect();
        let pattern = |path: &str| match path.strip_suffix('*') {
            Some(text) => PathPattern { text: text.to_owned(), begins: true },
            None => PathPattern { text: path.to_owned(), begins: false },
        };
        let paths = if paths.is_empty() {
            USUAL_PATHS.into_iter().map(pattern).collect()
        } else {
            paths.iter().map(|path| pattern(path)).collect()
        };
        Self { agents, paths }
    }

    /// The kubelet and the usual paths.
    #[must_use]
    pub fn usual() -> Arc<Self> {
        Arc::clone(&USUAL)
    }

    /// What a request with these is. `target` may have a query.
    #[must_use]
    pub fn judge(&self, method: &str, target: &str, agent: Option<&str>) -> Option<HealthCheck> {
        if agent.is_some_and(|agent| self.agents.iter().any(|prober| agent.starts_with(prober))) {
            return Some(HealthCheck::Prober);
        }
        let path = path(target);
        let fits = |pattern: &PathPattern| {
            (path.len() == pattern.text.len() || pattern.begins) && path.starts_with(&pattern.text)
        };
        let asks = matches!(method, "GET" | "HEAD") && self.paths.iter().any(fits);
        asks.then_some(HealthCheck::Path)
    }
}

/// A request target without its query.
pub(super) fn path(target: &str) -> &str {
    let end = memchr::memchr2(b'?', b'#', target.as_bytes());
    end.and_then(|end| target.get(..end)).unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_usual_ones() {
        let usual = HealthPatterns::usual();
        assert_eq!(usual.judge("GET", "/any", Some("kube-probe/1.33")), Some(HealthCheck::Prober));
        assert_eq!(usual.judge("HEAD", "/healthz?verbose", None), Some(HealthCheck::Path));
        for (method, target, agent) in
            [("POST", "/healthz", None), ("GET", "/healthz/x", None), ("GET", "/", Some("not kube-probe/1"))]
        {
            assert_eq!(usual.judge(method, target, agent), None, "{method} {target}");
        }
    }

    #[test]
    fn named_probers_come_in_addition_and_named_paths_instead() {
        let named = HealthPatterns::new(&own(&["ELB-HealthChecker/"]), &own(&["/ping", "/internal/*"]));
        let judge = |target, agent| named.judge("GET", target, agent);
        assert_eq!(judge("/", Some("ELB-HealthChecker/2.0")), Some(HealthCheck::Prober));
        assert_eq!(judge("/", Some("kube-probe/1.33")), Some(HealthCheck::Prober));
        assert_eq!(judge("/internal/a/b", None), Some(HealthCheck::Path));
        assert_eq!(judge("/ping?x", None), Some(HealthCheck::Path));
        for other in ["/healthz", "/pings", "/internal"] {
            assert_eq!(judge(other, None), None, "{other}");
        }
    }
}
