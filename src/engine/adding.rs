//! What the answer to a request gets besides what the upstream, or a refusal, says.

use super::{Engine, Outcome};
use crate::response::Quota;
use crate::time::Timestamp;
use crate::token::renewal::Secret;

/// See the module.
#[derive(Debug, Default)]
pub struct Added {
    /// The values of `Set-Cookie`.
    pub cookies: Vec<Secret>,
    /// Headers that replace those of their name; `None` takes them away.
    pub headers: Vec<(Box<str>, Option<String>)>,
}

impl Added {
    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty() && self.headers.is_empty()
    }
}

impl Engine {
    /// What the answer to a request gets. The cookies are taken out of the outcome.
    pub fn added(&self, outcome: &mut Outcome<'_>, now: Timestamp) -> Added {
        let cookies =
            outcome.renewing.as_mut().map(|renewing| std::mem::take(&mut renewing.cookies));
        let mut added = Added { cookies: cookies.unwrap_or_default(), headers: Vec::new() };
        if outcome.refusal.is_some() || outcome.preflight.is_some() {
            return added;
        }
        let exp = outcome.token.as_ref().and_then(|token| token.times().exp);
        if let Some(name) = &self.responses.expires_in_header {
            // No upstream says it in the filter's stead.
            let left = exp.map(|exp| exp.saturating_sub(now.as_millis()).max(0) / 1000);
            added.headers.push((name.clone(), left.map(|secs| secs.to_string())));
        }
        if self.responses.ratelimit_headers
            && let Some(headers) = Quota::headers(self.quotas(outcome))
        {
            added.headers.extend(headers.map(|(name, value)| (name.into(), Some(value))));
        }
        added
    }
}
