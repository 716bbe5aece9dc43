//! A moment in time, handed in by whoever has a clock.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch, as the host counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the Unix epoch; saturates in the year 2554.
    pub fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        // 2^64 ns are 1.8e13 ms: always fits.
        (self.0 / 1_000_000) as i64
    }
}

/// RFC 3339 in UTC with milliseconds, as the audit record prints it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(self.0)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_341_600_123_456_789, "2026-11-22T10:00:00.123Z"),
            (u64::MAX, "2554-07-21T23:34:33.709Z"),
        ];
        for (nanos, want) in cases {
            assert_eq!(Timestamp::from_nanos(nanos).to_string(), want);
        }
    }
}
