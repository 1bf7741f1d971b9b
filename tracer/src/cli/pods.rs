//! Options that select pods: checked, and made into rules.

use serde::Deserialize;

use super::CliError;
use super::options::Options;
use crate::kubernetes::rules::NameGlob;
use crate::kubernetes::selector::{Selector, is_dns_label};
use crate::kubernetes::{PodRule, PodRules};

/// One rule of the configuration file's list `pods`.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuleOptions {
    /// A label selector; absent for any labels.
    pub selector: Option<String>,
    /// Namespaces; absent for all.
    pub namespaces: Vec<String>,
    /// Patterns of containers' names; absent for all.
    pub containers: Vec<String>,
}

/// The rules that the options make: one a `--pod-selector`, each with all `--namespace` and `--container`, and those of
/// the file.
pub(super) fn rules(options: &Options) -> Result<PodRules, CliError> {
    let Options { pod_selector, namespace, container, pods, .. } = options;
    let mut rules = Vec::new();
    if pod_selector.is_empty() {
        if !namespace.is_empty() {
            rules.push(rule(None, namespace, container)?);
        } else if !container.is_empty() {
            return Err(CliError::ContainerOfNoPod);
        }
    }
    for selector in pod_selector {
        rules.push(rule(Some(selector), namespace, container)?);
    }
    for of_file in pods {
        let RuleOptions { selector, namespaces, containers } = of_file;
        if selector.is_none() && namespaces.is_empty() {
            return Err(CliError::RuleForAllPods);
        }
        rules.push(rule(selector.as_ref(), namespaces, containers)?);
    }
    Ok(PodRules(rules))
}

fn rule(
    selector: Option<&String>,
    namespaces: &[String],
    containers: &[String],
) -> Result<PodRule, CliError> {
    let selector = selector.map(|text| {
        text.parse::<Selector>().map_err(|source| CliError::Selector { selector: text.clone(), source })
    });
    if let Some(name) = namespaces.iter().find(|name| !is_dns_label(name)) {
        return Err(CliError::Namespace(name.clone()));
    }
    let containers = containers.iter().map(|pattern| {
        let glob = NameGlob::new(pattern).ok().filter(|_| !pattern.is_empty());
        glob.ok_or_else(|| CliError::Container(pattern.clone()))
    });
    Ok(PodRule {
        selector: selector.transpose()?,
        namespaces: namespaces.to_vec(),
        containers: containers.collect::<Result<_, _>>()?,
    })
}

/// `KEY=VALUE`.
pub(super) fn attribute(text: &str) -> Result<(String, String), CliError> {
    let pair = text.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
    match pair {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(CliError::Attribute(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sentence;

    fn options(selectors: &[&str], namespaces: &[&str], containers: &[&str]) -> Options {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Options {
            pod_selector: own(selectors),
            namespace: own(namespaces),
            container: own(containers),
            ..Options::default()
        }
    }

    #[test]
    fn one_rule_a_selector() {
        let PodRules(made) = rules(&options(&["a=b", "c in (d)"], &["x", "y"], &["app*"])).unwrap();
        assert_eq!(made.len(), 2);
        assert!(made.iter().all(|rule| rule.namespaces.len() == 2 && rule.containers.len() == 1));
        let PodRules(made) = rules(&options(&[], &["x"], &[])).unwrap();
        assert_eq!((made.len(), made[0].selector.as_ref()), (1, None));
        assert!(rules(&Options::default()).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        let told = |options: &Options| sentence(&rules(options).unwrap_err());
        assert_eq!(
            told(&options(&[], &[], &["app"])),
            "--container narrows pods that are selected: give --pod-selector or --namespace too"
        );
        assert!(told(&options(&["a=b"], &[], &["a["])).contains("\"a[\" is not a pattern"));
        assert!(told(&options(&["a=-"], &[], &[])).contains("is not a label value"));
        let all = Options { pods: vec![RuleOptions::default()], ..Options::default() };
        assert_eq!(
            told(&all),
            "a rule of pods: in the configuration file selects every pod: give it a selector or namespaces"
        );
    }

    #[test]
    fn attributes_are_pairs() {
        assert_eq!(attribute("cloud.provider = azure").unwrap(), ("cloud.provider".into(), "azure".into()));
        for text in ["cloud.provider", "=x", "a=", ""] {
            assert!(attribute(text).is_err(), "{text}");
        }
    }
}
