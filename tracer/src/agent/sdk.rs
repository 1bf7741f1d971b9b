//! Targets that export by themselves: `--sdk-targets`.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use lru::LruCache;
use tracing::{info, warn};

use crate::correlate::telemetry_post::TelemetryPost;
use crate::enrich::sdk::{SdkEvidence, SdkTargets};
use crate::enrich::table::ProcessKey;
use crate::pipeline::Exports;

/// Services whose finding is remembered, so that it is told once; of any more nothing is told.
const MAX_TOLD: usize = 1024;

/// Processes that were seen to post or to take telemetry and are remembered. One that is forgotten is known again by
/// its next post.
const MAX_POSTERS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Decides what is exported of processes with an SDK inside, and tells the user.
#[derive(Debug)]
pub struct SdkPolicy {
    mode: SdkTargets,
    told: HashSet<(String, bool)>,
    posts: LruCache<ProcessKey, TelemetryPost>,
}

impl SdkPolicy {
    /// A policy that has told nothing yet.
    #[must_use]
    pub fn new(mode: SdkTargets) -> Self {
        Self { mode, told: HashSet::new(), posts: LruCache::new(MAX_POSTERS) }
    }

    /// A process posted or took telemetry. Returns whether it is known from now on, and not before, as one that
    /// exports by itself. One that takes posts of others may only pass them on: it never is.
    pub fn on_post(&mut self, process: ProcessKey, post: TelemetryPost) -> bool {
        match (self.posts.get(&process), post) {
            (None, TelemetryPost::OfSpans) => {
                self.posts.push(process, post);
                true
            }
            (Some(_), TelemetryPost::OfSpans) => false,
            (_, TelemetryPost::Taken) => {
                self.posts.push(process, post);
                false
            }
        }
    }

    /// The process runs another program, or has ended.
    pub fn forget(&mut self, process: ProcessKey) {
        self.posts.pop(&process);
    }

    /// What is exported of a process with this evidence in its environment.
    pub fn exports(&mut self, process: ProcessKey, evidence: Option<&SdkEvidence>) -> Exports {
        let posts = self.posts.get(&process) == Some(&TelemetryPost::OfSpans);
        self.decide(evidence.filter(|_| !posts).or(posts.then_some(&SdkEvidence::Posts)))
    }

    fn decide(&self, evidence: Option<&SdkEvidence>) -> Exports {
        match (evidence.is_some_and(SdkEvidence::is_certain), self.mode) {
            (false, _) | (true, SdkTargets::Trace) => Exports::ALL,
            (true, SdkTargets::Logs) => Exports { spans: false, logs: true },
            (true, SdkTargets::Skip) => Exports { spans: false, logs: false },
        }
    }

    /// Tells the user of a finding: once a service.
    pub fn tell(&mut self, service: &str, pid: u32, evidence: &SdkEvidence) {
        if let Some(sentence) = self.sentence(service, pid, evidence) {
            if self.decide(Some(evidence)) == Exports::ALL {
                info!("{sentence}");
            } else {
                warn!("{sentence}");
            }
        }
    }

    fn sentence(&mut self, service: &str, pid: u32, evidence: &SdkEvidence) -> Option<String> {
        let finding = (service.to_owned(), evidence.is_certain());
        if self.told.contains(&finding) || self.told.len() >= MAX_TOLD {
            return None;
        }
        self.told.insert(finding);
        let reason = match evidence {
            SdkEvidence::Agent { place, what } => format!("{what} is in its {place}"),
            SdkEvidence::Posts => "an SDK inside it posts spans".to_owned(),
            SdkEvidence::Endpoint { variable } => {
                return Some(format!(
                    "{service} (process {pid}) is traced, but its {variable} is set: if an SDK inside it exports too, \
                     its requests appear twice"
                ));
            }
        };
        let outcome = match self.mode {
            SdkTargets::Skip => {
                "so nothing of it is exported a second time; --sdk-targets logs or trace would"
            }
            SdkTargets::Logs => "so of it only log lines are exported, as --sdk-targets logs says",
            SdkTargets::Trace => "and it is traced all the same, as --sdk-targets trace says",
        };
        Some(format!("{service} (process {pid}) exports by itself, for {reason}, {outcome}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> SdkEvidence {
        SdkEvidence::Agent { place: "PYTHONPATH".to_owned(), what: "opentelemetry/instrumentation" }
    }

    const ENDPOINT: SdkEvidence = SdkEvidence::Endpoint { variable: "OTEL_EXPORTER_OTLP_ENDPOINT" };

    #[test]
    fn only_certain_evidence_counts() {
        let exports = |mode, evidence: Option<&SdkEvidence>| {
            let Exports { spans, logs } = SdkPolicy::new(mode).decide(evidence);
            (spans, logs)
        };
        for mode in [SdkTargets::Skip, SdkTargets::Logs, SdkTargets::Trace] {
            assert_eq!(exports(mode, None), (true, true));
            assert_eq!(exports(mode, Some(&ENDPOINT)), (true, true));
        }
        assert_eq!(exports(SdkTargets::Skip, Some(&agent())), (false, false));
        assert_eq!(exports(SdkTargets::Logs, Some(&agent())), (false, true));
        assert_eq!(exports(SdkTargets::Trace, Some(&agent())), (true, true));
    }

    #[test]
    fn who_posts_spans_exports_by_itself_unless_it_takes_posts_of_others() {
        let mut policy = SdkPolicy::new(SdkTargets::Logs);
        let [sdk, proxy] = [7, 8].map(|tgid| ProcessKey { tgid, start: 1 });
        assert!(policy.on_post(sdk, TelemetryPost::OfSpans));
        assert!(!policy.on_post(sdk, TelemetryPost::OfSpans));
        assert_eq!(policy.exports(sdk, Some(&ENDPOINT)), Exports { spans: false, logs: true });
        assert_eq!(policy.exports(ProcessKey { start: 2, ..sdk }, None), Exports::ALL);
        policy.forget(sdk);
        assert_eq!(policy.exports(sdk, None), Exports::ALL);
        // What it passes on was posted by another's SDK, and is complete before the other's post is.
        assert!(policy.on_post(proxy, TelemetryPost::OfSpans));
        assert!(!policy.on_post(proxy, TelemetryPost::Taken));
        assert!(!policy.on_post(proxy, TelemetryPost::OfSpans));
        assert_eq!(policy.exports(proxy, None), Exports::ALL);
    }

    #[test]
    fn each_finding_is_told_once() {
        let mut policy = SdkPolicy::new(SdkTargets::Skip);
        let sentence = policy.sentence("shop", 7, &agent()).unwrap();
        assert_eq!(
            sentence,
            "shop (process 7) exports by itself, for opentelemetry/instrumentation is in its PYTHONPATH, so nothing of \
             it is exported a second time; --sdk-targets logs or trace would"
        );
        assert_eq!(policy.sentence("shop", 8, &agent()), None);
        let sentence = policy.sentence("shop", 9, &ENDPOINT).unwrap();
        assert!(sentence.contains("is traced, but its OTEL_EXPORTER_OTLP_ENDPOINT is set"), "{sentence}");
        assert!(policy.sentence("other", 10, &agent()).is_some());
        for number in 0..2 * MAX_TOLD {
            let _ = policy.sentence(&number.to_string(), 1, &agent());
        }
        assert_eq!(policy.told.len(), MAX_TOLD);
    }
}
