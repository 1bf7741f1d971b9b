//! Which pods, and which of their containers, are meant.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use super::pod::Pod;
use super::selector::Selector;

/// One rule: all that it says must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodRule {
    /// What the pod's labels must be; `None` for any.
    pub selector: Option<Selector>,
    /// The namespaces it may be in; empty for all.
    pub namespaces: Vec<String>,
    /// The names of its containers that are meant; empty for all.
    pub containers: Vec<NameGlob>,
}

impl PodRule {
    fn holds(&self, pod: &Pod) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(&pod.namespace))
            && self.selector.as_ref().is_none_or(|selector| selector.matches(&pod.labels))
    }
}

/// All rules: a pod that any of them selects is a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodRules(pub Vec<PodRule>);

impl PodRules {
    /// Whether no pod can be selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which containers of a pod are meant; `None` when the pod is not. A pod that opted out never is.
    #[must_use]
    pub fn select(&self, pod: &Pod) -> Option<Containers> {
        if pod.opted_out {
            return None;
        }
        let mut wanted: Option<Containers> = None;
        for rule in self.0.iter().filter(|rule| rule.holds(pod)) {
            let names = Containers::of(&rule.containers);
            wanted = Some(wanted.map_or_else(|| names.clone(), |others| others.or(names.clone())));
        }
        wanted
    }
}

/// Which containers of a selected pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Containers {
    /// All.
    All,
    /// Those with such names.
    Named(Vec<NameGlob>),
}

impl Containers {
    fn of(names: &[NameGlob]) -> Self {
        if names.is_empty() { Self::All } else { Self::Named(names.to_vec()) }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Named(mut names), Self::Named(more)) => {
                names.extend(more);
                Self::Named(names)
            }
            _ => Self::All,
        }
    }

    /// Whether a container of this name is meant.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(globs) => globs.iter().any(|glob| glob.matches(name)),
        }
    }
}

/// A pattern for names of containers: `app`, `app-*`.
#[derive(Clone, Debug)]
pub struct NameGlob(GlobMatcher);

impl NameGlob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// When it is none; the error tells why.
    pub fn new(pattern: &str) -> Result<Self, globset::Error> {
        Ok(Self(GlobBuilder::new(pattern).build()?.compile_matcher()))
    }

    /// Whether the pattern fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl PartialEq for NameGlob {
    fn eq(&self, other: &Self) -> bool {
        self.0.glob() == other.0.glob()
    }
}

impl fmt::Display for NameGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.glob().glob())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(selector: &str, namespaces: &[&str], containers: &[&str]) -> PodRule {
        PodRule {
            selector: (!selector.is_empty()).then(|| selector.parse().unwrap()),
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            containers: containers.iter().map(|name| NameGlob::new(name).unwrap()).collect(),
        }
    }

    fn pod(namespace: &str, labels: &[(&str, &str)]) -> Pod {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Pod { namespace: namespace.to_owned(), labels, ..Pod::default() }
    }

    #[test]
    fn any_rule_is_enough_and_all_of_it_must_hold() {
        let rules =
            PodRules(vec![rule("app=a", &["x", "y"], &[]), rule("app=b", &[], &[]), rule("", &["z"], &[])]);
        let selected = |namespace, app| rules.select(&pod(namespace, &[("app", app)])).is_some();
        assert!(selected("x", "a") && selected("y", "a") && selected("q", "b") && selected("z", "c"));
        assert!(!selected("q", "a") && !selected("x", "c"));
        assert!(PodRules::default().select(&pod("x", &[])).is_none());
    }

    #[test]
    fn containers_of_all_rules_that_hold() {
        let rules = PodRules(vec![
            rule("app=a", &[], &["web*"]),
            rule("tier=b", &[], &["db"]),
            rule("all", &[], &[]),
        ]);
        let of = |labels: &[(&str, &str)]| rules.select(&pod("x", labels)).unwrap();
        let one = of(&[("app", "a")]);
        assert!(one.contains("web-1") && !one.contains("db") && !one.contains("aweb"));
        let both = of(&[("app", "a"), ("tier", "b")]);
        assert!(both.contains("web") && both.contains("db") && !both.contains("proxy"));
        assert_eq!(of(&[("app", "a"), ("all", "")]), Containers::All);
    }

    #[test]
    fn a_pod_can_opt_out() {
        let rules = PodRules(vec![rule("", &["x"], &[])]);
        let pod = pod("x", &[]);
        assert!(rules.select(&pod).is_some());
        assert!(rules.select(&Pod { opted_out: true, ..pod }).is_none());
    }
}
