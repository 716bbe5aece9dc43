//! The names of the metrics, in one place; docs/metrics.md explains them.
//!
//! Envoy's metrics have a name only: labels are encoded in it as `key=.=value;.;`, before the name
//! proper, as Istio's own do, so that one `stats_tags` rule a label takes them out again.

use std::borrow::Cow;
use std::fmt::Write;

/// A metric's name with its labels. The values hold no separator: names of the operator's are
/// letters, digits, `-` and `_`, codes and outcomes are the filter's own, and what others chose
/// went through [`kid`].
pub fn name(metric: &str, labels: &[(&str, &str)]) -> String {
    let mut name = String::with_capacity(64);
    for (key, value) in labels {
        name.push_str(key);
        name.push_str("=.=");
        name.push_str(value);
        name.push_str(";.;");
    }
    name.push_str(metric);
    name
}

/// Requests by `filter`, `route`, `outcome` (`allowed`, `denied`, `shadow_denied`) and `code`.
pub const REQUESTS: &str = "claimgate_requests_total";
/// Requests that the candidate would have decided otherwise, by its `route`.
pub const DIFFERENCES: &str = "claimgate_candidate_differences_total";
/// Tokens by `filter`, `issuer`, `kid` and `outcome` ([`VALID`], or the code of their refusal).
pub const TOKENS: &str = "claimgate_tokens_total";
/// How tokens were judged, by `outcome`: `hit`, `refused_hit`, `miss`, `unchecked`.
pub const TOKEN_CACHE: &str = "claimgate_token_cache_total";
/// Histogram of how long tokens took whose signature was checked, in microseconds, of a few each
/// second.
pub const VERIFY: &str = "claimgate_verify_microseconds";
/// Fetches of key sets, by `issuer` and `outcome` ([`KeySetOutcome`]).
pub const KEY_SETS: &str = "claimgate_key_sets_total";
/// When the keys of an `issuer` were last fetched, in seconds since the Unix epoch.
pub const KEY_SET_SUCCESS: &str = "claimgate_key_set_last_success_seconds";
/// How many keys of an `issuer` can be used.
pub const KEYS: &str = "claimgate_keys";
/// How many entries the lists of an `issuer`'s revoked tokens have.
pub const REVOCATIONS: &str = "claimgate_revocations";
/// When the list of an `issuer`'s revoked tokens was last fetched, in seconds since the Unix epoch.
pub const REVOCATION_SUCCESS: &str = "claimgate_revocation_last_success_seconds";
/// Renewals of sessions, by `issuer` and `outcome` ([`RenewalOutcome`]).
pub const RENEWALS: &str = "claimgate_renewals_total";
/// Requests past a limit, by `limit` and its `mode` (`enforce`, `shadow`).
pub const LIMITED: &str = "claimgate_limited_total";
/// Identities that took over the debt of another one, since the limits' table was full where they belong.
pub const LIMIT_EVICTIONS: &str = "claimgate_limit_evictions_total";
/// How many requests wait for keys, for such a list, or for the renewal of their session.
pub const WAITING: &str = "claimgate_waiting_requests";
/// What became of audit records, by `outcome` ([`AuditOutcome`]).
pub const AUDIT: &str = "claimgate_audit_total";
/// Configurations, by `outcome` ([`LoadOutcome`]), counted by every thread of Envoy.
pub const CONFIG_LOADS: &str = "claimgate_config_loads_total";
/// When the last configuration was accepted, in seconds since the Unix epoch.
pub const CONFIG_LOADED: &str = "claimgate_config_loaded_seconds";
/// How many threads of Envoy have this `version` of the filter with this `config`.
pub const INFO: &str = "claimgate_info";

/// The `outcome` of a token that verified.
pub const VALID: &str = "valid";
/// The value of a label where there is nothing to name.
pub const NONE: &str = "none";
/// The `kid` of keys past the first 16 ids of an issuer.
pub const OTHER: &str = "other";
/// The `issuer` of a token that names none of the configured ones.
pub const UNKNOWN: &str = "unknown";

/// What became of a fetch of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySetOutcome {
    /// It brought other keys.
    Changed,
    /// It brought the same keys.
    Unchanged,
    /// It brought nothing that is of use; the keys that were there stay.
    Failed,
    /// The keys were older than `max_stale`, and went.
    Expired,
}

impl KeySetOutcome {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// What became of the renewal of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenewalOutcome {
    /// The provider gave a token that continues it.
    Renewed,
    /// The provider refused the refresh token.
    Refused,
    /// The provider did not answer, or nothing of use.
    Failed,
}

impl RenewalOutcome {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What became of the audit record of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It is in Envoy's log.
    Written,
    /// The configuration asks for a part of the records only, and this was not among them.
    SampledOut,
    /// There were more than may be written in a second, or the host refused the line.
    Dropped,
}

impl AuditOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Written, Self::SampledOut, Self::Dropped];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::SampledOut => "sampled_out",
            Self::Dropped => "dropped",
        }
    }
}

/// What became of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadOutcome {
    /// It serves.
    Accepted,
    /// Something is wrong with it.
    Refused,
    /// The host denies what decisions need: every request is refused.
    Closed,
}

impl LoadOutcome {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Closed => "closed",
        }
    }
}

/// The longest value that a key id may become, in bytes.
const MAX_KID: usize = 64;

/// A key id as a label: an issuer may choose any characters, so all but letters, digits, `-`, `_`
/// and `.` are percent-encoded, and so is the first one of an id that is a word of the filter's own.
/// A longer one than 64 bytes is cut.
pub fn kid(kid: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let taken = matches!(kid, NONE | OTHER);
    if !kid.is_empty() && kid.len() <= MAX_KID && !taken && kid.bytes().all(plain) {
        return Cow::Borrowed(kid);
    }
    let mut label = String::with_capacity(MAX_KID);
    for (place, byte) in kid.bytes().enumerate() {
        let clear = plain(byte) && !(taken && place == 0);
        if label.len() + if clear { 1 } else { 3 } > MAX_KID {
            break;
        }
        if clear {
            label.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(label, "%{byte:02X}");
        }
    }
    if label.is_empty() {
        // A key may have the empty string for its id; Prometheus takes that for no label.
        label.push('%');
    }
    Cow::Owned(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_before_the_name() {
        assert_eq!(
            name(REQUESTS, &[("filter", "edge"), ("code", "allowed")]),
            "filter=.=edge;.;code=.=allowed;.;claimgate_requests_total"
        );
    }

    #[test]
    fn a_key_id_breaks_no_name() {
        let (long, cut) = ("k".repeat(65), "k".repeat(64));
        let wide = "\u{e9}".repeat(40);
        let cases = [
            ("2026-11_a.1", "2026-11_a.1"),
            ("NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4", "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4"),
            ("a=.=b;.;c", "a%3D.%3Db%3B.%3Bc"),
            ("a/b+c d", "a%2Fb%2Bc%20d"),
            ("50%", "50%25"),
            ("a\"\\\n\u{0}", "a%22%5C%0A%00"),
            ("https://x:1", "https%3A%2F%2Fx%3A1"),
            ("none", "%6Eone"),
            ("other", "%6Fther"),
            ("others", "others"),
            ("", "%"),
            (&long, &cut),
            (&wide, &"%C3%A9".repeat(10)),
        ];
        for (given, want) in cases {
            let got = kid(given);
            assert!(got.len() <= MAX_KID, "{got}");
            if given == wide {
                assert!(got.starts_with(want), "{got}");
            } else {
                assert_eq!(got, want, "{given:?}");
            }
        }
    }
}
