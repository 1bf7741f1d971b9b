//! Options on health checks: checked, and made into a rule.

use std::sync::Arc;

use super::CliError;
use super::options::Options;
use crate::correlate::health::{HealthChecks, HealthMode};
use crate::correlate::sampler::Sampler;
use crate::protocol::HealthPatterns;

/// What the options say.
pub(super) fn rules(options: &Options) -> Result<HealthChecks, CliError> {
    let Options { health_checks, health_path, health_agent, health_sample, .. } = options;
    let is_path = |path: &str| path.starts_with('/') && path.find('*').is_none_or(|at| at + 1 == path.len());
    if let Some(path) = health_path.iter().find(|path| !is_path(path)) {
        return Err(CliError::HealthPath(path.clone()));
    }
    if health_agent.iter().any(|agent| agent.trim().is_empty()) {
        return Err(CliError::HealthAgent);
    }
    // Whoever names paths wants them dropped.
    let mode = if health_path.is_empty() { HealthMode::default() } else { HealthMode::DropAll };
    let sampler = health_sample.map(|share| Sampler::of_share(share).ok_or(CliError::HealthSample(share)));
    Ok(HealthChecks {
        mode: health_checks.unwrap_or(mode),
        patterns: Arc::new(HealthPatterns::new(health_agent, health_path)),
        sampler: sampler.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sentence;

    fn options(paths: &[&str], agents: &[&str], sample: Option<f64>) -> Options {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Options {
            health_path: own(paths),
            health_agent: own(agents),
            health_sample: sample,
            ..Options::default()
        }
    }

    #[test]
    fn naming_paths_means_dropping_them() {
        assert_eq!(rules(&options(&[], &[], None)).unwrap(), HealthChecks::default());
        assert_eq!(rules(&options(&["/ping"], &[], None)).unwrap().mode, HealthMode::DropAll);
        let kept = Options { health_checks: Some(HealthMode::Keep), ..options(&["/ping"], &[], None) };
        assert_eq!(rules(&kept).unwrap().mode, HealthMode::Keep);
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        let told = |options: Options| sentence(&rules(&options).unwrap_err());
        assert!(told(options(&["ping"], &[], None)).contains("must begin with a slash"));
        assert!(told(options(&["/a*b"], &[], None)).contains("at its end only"));
        assert!(told(options(&[], &[" "], None)).contains("--health-agent"));
        for share in [1.5, -0.1, f64::NAN] {
            assert!(told(options(&[], &[], Some(share))).contains("from 0 to 1"));
        }
    }
}
