//! Head sampling: which traces are exported, decided when their first span begins.

use crate::span::TraceId;

/// `OTEL_TRACES_SAMPLER` (OpenTelemetry specification, "General SDK Configuration").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    share: Share,
    /// A caller's decision counts before our own.
    parent_based: bool,
}

/// Which traces are sampled where no caller's decision counts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Share {
    All,
    None,
    /// Those whose id's last 63 bits are below this: the same for every span of a trace, and for every process that
    /// decides by the same share, the SDKs included.
    Below(u64),
}

/// `parentbased_always_on`, the specification's default.
impl Default for Sampler {
    fn default() -> Self {
        Self { share: Share::All, parent_based: true }
    }
}

/// A variable whose value means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// Not the name of a sampler.
    #[error(
        "OTEL_TRACES_SAMPLER is `{0}`, but must be one of: always_on, always_off, traceidratio, \
         parentbased_always_on, parentbased_always_off, parentbased_traceidratio"
    )]
    Name(String),
    /// Not a share of traces.
    #[error(
        "OTEL_TRACES_SAMPLER_ARG is `{0}`, but must be a number from 0 to 1: the share of traces to sample"
    )]
    Ratio(String),
}

impl Sampler {
    /// Reads `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`. Unset or empty means the default.
    ///
    /// # Errors
    /// A value that means nothing.
    pub fn from_variables(name: Option<&str>, argument: Option<&str>) -> Result<Self, SamplerError> {
        let set = |value: Option<&str>| {
            value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let Some(name) = set(name) else { return Ok(Self::default()) };
        let (base, parent_based) = match name.strip_prefix("parentbased_") {
            Some(base) => (base, true),
            None => (name.as_str(), false),
        };
        let share = match base {
            "always_on" => Share::All,
            "always_off" => Share::None,
            "traceidratio" => {
                let text = set(argument).unwrap_or_else(|| "1".to_owned());
                text.parse().ok().and_then(ratio).ok_or(SamplerError::Ratio(text))?
            }
            _ => return Err(SamplerError::Name(name)),
        };
        Ok(Self { share, parent_based })
    }

    /// Every trace, whatever callers decided.
    #[must_use]
    pub fn always_on() -> Self {
        Self { share: Share::All, parent_based: false }
    }

    /// This share of traces, from 0 to 1, whatever callers decided; `None` for anything else.
    #[must_use]
    pub fn of_share(share: f64) -> Option<Self> {
        ratio(share).map(|share| Self { share, parent_based: false })
    }

    /// Whether callers' decisions count.
    #[must_use]
    pub fn heeds_callers(&self) -> bool {
        self.parent_based
    }

    /// Whether a trace is sampled. `told` is the caller's decision, if there is one.
    #[must_use]
    pub fn samples(&self, trace: TraceId, told: Option<bool>) -> bool {
        match told.filter(|_| self.parent_based) {
            Some(sampled) => sampled,
            None => self.share.holds(trace),
        }
    }
}

impl Share {
    fn holds(self, trace: TraceId) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Below(bound) => {
                let [_, _, _, _, _, _, _, _, low @ ..] = trace.0;
                u64::from_be_bytes(low) >> 1 < bound
            }
        }
    }
}

fn ratio(share: f64) -> Option<Share> {
    match share {
        1.0 => Some(Share::All),
        // Below 2^63, which a double holds; what is cut off are parts of one id.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^63")]
        _ if (0.0..1.0).contains(&share) => Some(Share::Below((share * (1_u64 << 63) as f64) as u64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::ids::IdGenerator;

    fn sampler(name: &str, argument: &str) -> Sampler {
        Sampler::from_variables(Some(name), Some(argument)).unwrap()
    }

    #[test]
    fn every_sampler_of_the_specification() {
        let trace = TraceId([1; 16]);
        for (name, alone, told_no, told_yes) in [
            ("", true, false, true),
            ("always_on", true, true, true),
            ("always_off", false, false, false),
            ("traceidratio", true, true, true),
            ("parentbased_always_on", true, false, true),
            ("parentbased_always_off", false, false, true),
            ("parentbased_traceidratio", true, false, true),
        ] {
            let sampler = sampler(name, "");
            let told = [None, Some(false), Some(true)].map(|told| sampler.samples(trace, told));
            assert_eq!(told, [alone, told_no, told_yes], "{name}");
        }
    }

    #[test]
    fn a_share_of_traces() {
        let mut ids = IdGenerator::new([3; 32]);
        let traces: Vec<_> = (0..10_000).map(|_| ids.trace_id()).collect();
        let share = |argument: &str| {
            let sampler = sampler("traceidratio", argument);
            traces.iter().filter(|trace| sampler.samples(**trace, None)).count()
        };
        assert_eq!([share("0"), share("1"), share("1.0")], [0, 10_000, 10_000]);
        assert!((2_300..2_700).contains(&share("0.25")), "{}", share("0.25"));
        // A trace in a smaller share is in every greater one.
        let (few, many) = (sampler("traceidratio", "0.1"), sampler("traceidratio", "0.2"));
        assert!(traces.iter().all(|trace| many.samples(*trace, None) || !few.samples(*trace, None)));
    }

    #[test]
    fn the_bound_is_that_of_the_sdks() {
        // OpenTelemetry Go: the last 8 bytes, shifted right by one, below share * 2^63.
        let trace = |low: u64| {
            let mut id = [0xff; 16];
            id[8..].copy_from_slice(&low.to_be_bytes());
            TraceId(id)
        };
        let half = sampler("traceidratio", "0.5");
        assert!(half.samples(trace(0x7fff_ffff_ffff_ffff), None));
        assert!(!half.samples(trace(0x8000_0000_0000_0000), None));
    }

    #[test]
    fn errors_are_sentences() {
        let error =
            |name, argument| Sampler::from_variables(Some(name), Some(argument)).unwrap_err().to_string();
        assert!(
            error("jaeger_remote", "")
                .starts_with("OTEL_TRACES_SAMPLER is `jaeger_remote`, but must be one of")
        );
        for bad in ["1.1", "-0.1", "half", "NaN", "inf"] {
            assert!(error("traceidratio", bad).contains(&format!("OTEL_TRACES_SAMPLER_ARG is `{bad}`")));
        }
        assert!(
            Sampler::from_variables(Some("always_on"), Some("x")).is_ok(),
            "an argument that is not used"
        );
    }
}
