//! The limits and their counters: all of it Limitador's.

use std::collections::HashMap;

use limitador::RateLimiter;
use limitador::limit::{Context, Limit};

use crate::protocol::{HeaderValue, RateLimitRequest};

/// How many counters are kept at once.
const COUNTERS: u64 = 10_000;

/// Limits as Limitador's file has them, with counters in memory.
pub struct Limits(RateLimiter);

/// What a request is told.
pub struct Verdict {
    /// Whether it is over one of the limits that apply.
    pub limited: bool,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`; none where no limit applies.
    pub headers: Vec<HeaderValue>,
}

impl Limits {
    /// Reads a file of limits.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let limits: Vec<Limit> = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        let limiter = RateLimiter::new(COUNTERS);
        for limit in limits {
            // Equal but for the number: Limitador would keep the first and drop the other without a word.
            let told = format!("{limit:?}");
            if !limiter.add_limit(limit) {
                return Err(format!("a limit is there twice: {told}"));
            }
        }
        Ok(Limits(limiter))
    }

    /// Counts a request, unless it is over a limit.
    pub fn decide(&self, request: &RateLimitRequest) -> Result<Verdict, String> {
        let maps = request.descriptors.iter().map(|descriptor| {
            let entries = descriptor.entries.iter();
            entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect()
        });
        let maps: Vec<HashMap<String, String>> = maps.collect();
        let mut context = Context::default();
        context.list_binding("descriptors".to_owned(), maps);
        // The protocol's 0 is a number that is not given.
        let hits = u64::from(request.hits_addend.max(1));
        let domain = request.domain.as_str().into();
        let decided = self.0.check_rate_limited_and_update(&domain, &context, hits);
        let mut result = decided.map_err(|error| error.to_string())?;
        let headers = result.response_header().into_iter();
        let mut headers: Vec<HeaderValue> =
            headers.map(|(key, value)| HeaderValue { key, value }).collect();
        headers.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Verdict { limited: result.limited, headers })
    }
}
