//! How it stands with the API server: told in a sentence when it changes, shown by `/readyz` and `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use kube::core::Status;
use tracing::{debug, info, warn};

use crate::cli::sentence;

/// Why a list or a watch failed.
#[derive(Debug)]
pub enum Failure {
    /// 401.
    Unauthorized,
    /// 403.
    Denied,
    /// 410: the version is too old to go on from.
    Expired,
    /// No answer in time.
    Slow,
    /// More pods than one node can have.
    TooMany,
    /// No connection, a broken one, or an answer that makes no sense.
    Broken(String),
}

impl Failure {
    /// Number of kinds.
    pub const COUNT: usize = 6;

    /// The kinds' names in metrics, in the order of [`Self::index`].
    pub const NAMES: [&'static str; Self::COUNT] =
        ["unauthorized", "denied", "expired", "slow", "too_many_pods", "broken"];

    fn index(&self) -> usize {
        match self {
            Self::Unauthorized => 0,
            Self::Denied => 1,
            Self::Expired => 2,
            Self::Slow => 3,
            Self::TooMany => 4,
            Self::Broken(_) => 5,
        }
    }

    /// What the server's status object stands for.
    pub(super) fn from_status(status: &Status) -> Self {
        match status.code {
            401 => Self::Unauthorized,
            403 => Self::Denied,
            410 => Self::Expired,
            code => Self::Broken(format!("it answered {code} {}", status.message)),
        }
    }

    /// What it means, and what happens next.
    fn sentence(&self) -> String {
        let what = match self {
            Self::Unauthorized => {
                "the API server does not accept the agent's token: it may have expired; its file is read again"
            }
            Self::Denied => {
                "the API server does not let the agent list and watch pods: its service account needs a ClusterRole \
                 with the verbs list and watch on pods, and a ClusterRoleBinding"
            }
            Self::Expired => {
                "the API server has forgotten where the watch of pods stood: all are listed again"
            }
            Self::Slow => "the API server does not answer in time",
            Self::TooMany => {
                "the API server tells of more pods than a node can have: is NODE_NAME the node's name?"
            }
            Self::Broken(reason) => return format!("the API server cannot be asked for pods: {reason}"),
        };
        what.to_owned()
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from_status(&status),
            other => Self::Broken(sentence(&other)),
        }
    }
}

/// Shared by the watch, which sets it, and whoever asks.
#[derive(Debug, Default)]
pub struct ApiStatus {
    state: Mutex<State>,
    failures: [AtomicU64; Failure::COUNT],
    lists: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// All pods were listed once.
    listed: bool,
    /// The failure that was told last, with its sentence, while it lasts.
    failing: Option<(usize, String)>,
}

impl ApiStatus {
    /// An attempt failed. A broken watch is resumed at once: only what follows it is worth a sentence.
    pub(super) fn failed(&self, failure: &Failure) {
        self.failures[failure.index()].fetch_add(1, Ordering::Relaxed);
        let sentence = failure.sentence();
        if matches!(failure, Failure::Expired) {
            debug!("{sentence}");
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = failure.index();
        if state.failing.as_ref().map(|(told, _)| *told) != Some(kind) {
            let meanwhile = if state.listed {
                "what is traced stays so, and new pods wait"
            } else {
                "no pod is traced until it does"
            };
            warn!("{sentence}; it is tried again, meanwhile {meanwhile}");
        }
        state.failing = Some((kind, sentence));
    }

    /// All pods were listed.
    pub(super) fn listed(&self) {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).listed = true;
    }

    /// A watch is open.
    pub(super) fn watching(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failing.take().is_some() {
            info!("the API server answers again: pods are followed");
        }
    }

    /// Why the pods of this node are not known; `None` when they are. An API server that fails after the first list
    /// does not make the agent unready: it goes on with what it knows.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (&state.failing, state.listed) {
            (Some((kind, sentence)), listed) if !listed || *kind == Failure::Denied.index() => {
                Some(sentence.clone())
            }
            (_, true) => None,
            _ => Some("the pods of this node have not been listed yet".to_owned()),
        }
    }

    /// Whether the last attempt went well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.listed && state.failing.is_none()
    }

    /// Failures so far, by kind, and complete lists.
    #[must_use]
    pub fn counts(&self) -> (Vec<(&'static str, u64)>, u64) {
        let failures = Failure::NAMES.iter().zip(&self.failures);
        let failures = failures.map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect();
        (failures, self.lists.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_listed_and_not_while_denied() {
        let status = ApiStatus::default();
        assert!(status.unready().unwrap().contains("not been listed yet"));
        status.failed(&Failure::Denied);
        assert!(status.unready().unwrap().contains("ClusterRole"), "{:?}", status.unready());
        status.listed();
        status.watching();
        assert_eq!((status.unready(), status.is_well()), (None, true));
        status.failed(&Failure::Broken("x".to_owned()));
        assert_eq!((status.unready(), status.is_well()), (None, false));
        status.failed(&Failure::Denied);
        assert!(status.unready().is_some());
        let (failures, lists) = status.counts();
        assert_eq!((failures[1], failures[5], lists), (("denied", 2), ("broken", 1), 1));
    }
}
