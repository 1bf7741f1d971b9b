//! What the units of a capture's time stamps are worth.

use crate::event::Nanos;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Units per second, and where their count begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resolution {
    units: u64,
    offset_seconds: i64,
}

impl Resolution {
    /// `10^digits` units per second.
    pub(super) fn decimal(digits: u32) -> Self {
        Self { units: 10_u64.saturating_pow(digits), offset_seconds: 0 }
    }

    /// From pcapng's `if_tsresol` (the first bit tells whether the rest is an exponent of 2 or of 10) and
    /// `if_tsoffset`; `None` when there are more units in a second than can be counted.
    pub(super) fn coded(resolution: u8, offset_seconds: i64) -> Option<Self> {
        let exponent = u32::from(resolution & 0x7f);
        let units = if resolution & 0x80 == 0 { 10_u64 } else { 2 }.checked_pow(exponent)?;
        Some(Self { units, offset_seconds })
    }

    /// Nanoseconds since the epoch.
    pub(super) fn nanos(self, units: u64) -> Nanos {
        let nanos = u128::from(units) * u128::from(NANOS_PER_SECOND) / u128::from(self.units);
        let offset = i128::from(self.offset_seconds) * i128::from(NANOS_PER_SECOND);
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX).saturating_add(offset);
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }

    /// Nanoseconds of whole seconds.
    pub(super) fn seconds(self, seconds: u32) -> Nanos {
        u64::from(seconds) * NANOS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_nanoseconds() {
        assert_eq!(Resolution::decimal(6).nanos(5), 5000);
        assert_eq!(Resolution::coded(9, 0).unwrap().nanos(5), 5);
        assert_eq!(Resolution::coded(0, 10).unwrap().nanos(5), 15 * NANOS_PER_SECOND);
        assert_eq!(Resolution::coded(0x80 | 10, 0).unwrap().nanos(1536), 1_500_000_000);
        assert_eq!(Resolution::coded(19, 0).unwrap().nanos(u64::MAX), 1_844_674_407);
        assert_eq!(Resolution::coded(0, -5).unwrap().nanos(3), 0);
        assert_eq!(Resolution::coded(0, i64::MIN).unwrap().nanos(1), 0);
        assert_eq!(Resolution::coded(0, i64::MAX).unwrap().nanos(u64::MAX), u64::MAX);
        for resolution in [20, 127, 0x80 | 64, 0xff] {
            assert_eq!(Resolution::coded(resolution, 0), None);
        }
    }
}
