//! The names of the metrics, in one place.
//!
//! Envoy's metrics have a name only: labels are encoded in it as `key=.=value;.;`, before the name
//! proper, as Istio's own do, so that one `stats_tags` rule a label takes them out again.

/// A counter's name with its labels. The values hold no separator: names of the operator's are
/// letters, digits, `-` and `_`, codes and outcomes are the filter's own.
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
/// Always 1, by `version`.
pub const INFO: &str = "claimgate_info";

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
}
