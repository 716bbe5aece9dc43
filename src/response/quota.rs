//! How a client's limits stand, in the headers of the IETF draft (draft-ietf-httpapi-ratelimit-headers-10).

use std::fmt::Write;

/// How one limit stands for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota<'a> {
    /// The limit's name: lower-case letters, digits, `-` and `_`.
    pub limit: &'a str,
    /// How many requests pass at once.
    pub burst: u32,
    /// How long an empty bucket takes to be full, in nanoseconds.
    pub window: u64,
    /// How many more pass at once.
    pub left: u32,
    /// How long until the bucket is full, in nanoseconds.
    pub refill: u64,
}

impl Quota<'_> {
    /// `RateLimit-Policy` and `RateLimit` of all that apply; `None` where none does.
    pub fn headers<'a>(
        quotas: impl Iterator<Item = Quota<'a>> + Clone,
    ) -> Option<[(&'static str, String); 2]> {
        let secs = |nanos: u64| nanos.div_ceil(1_000_000_000);
        let (mut policy, mut stands) = (String::new(), String::new());
        for quota in quotas {
            let comma = if policy.is_empty() { "" } else { ", " };
            let Quota { limit, burst, window, left, refill } = quota;
            // Writing to a string cannot fail.
            let _ = write!(policy, r#"{comma}"{limit}";q={burst};w={}"#, secs(window));
            let _ = write!(stands, r#"{comma}"{limit}";r={left};t={}"#, secs(refill));
        }
        (!policy.is_empty()).then_some([("ratelimit-policy", policy), ("ratelimit", stands)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_every_limit() {
        let one = Quota {
            limit: "per-user",
            burst: 100,
            window: 60_000_000_000,
            left: 0,
            refill: 59_000_000_001,
        };
        let two = Quota { limit: "slow", burst: 1, window: 500_000_000, left: 1, refill: 0 };
        assert_eq!(Quota::headers(std::iter::empty()), None);
        let headers = Quota::headers([one, two].into_iter()).unwrap();
        assert_eq!(headers[0].1, r#""per-user";q=100;w=60, "slow";q=1;w=1"#);
        assert_eq!(headers[1].1, r#""per-user";r=0;t=60, "slow";r=1;t=0"#);
    }
}
