//! What loads, and is likely not meant, or weaker than it need be.

use super::duration;
use crate::config::error::{Place, Warning};
use crate::config::raw::{self, Condition, Config};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How far references are followed; what nests deeper is refused elsewhere.
const MAX_DEPTH: usize = 32;

/// How many warnings there are at most: a named condition may be referred to very often.
const MAX_WARNINGS: usize = 256;

/// Looks at a configuration as it is written.
pub(super) fn of(config: &Config) -> Vec<Warning> {
    let top = Place::default();
    let mut warnings = Vec::new();
    for (name, issuer) in &config.issuers {
        issuer_advice(issuer, &top.key("issuers").key(name), &mut warnings);
    }
    relaxations(&config.path_safety, &top.key("path_safety"), &mut warnings);
    for (index, route) in config.routes.iter().enumerate() {
        let place = top.key("routes").index(index);
        relaxations(&route.path_safety, &place.key("path_safety"), &mut warnings);
        if route.token == Some(raw::Token::Lenient) {
            warnings.push(place.key("token").warning(
                "`lenient` lets an expired or forged token pass as none: `optional` refuses it",
            ));
        }
    }
    limit_advice(config, &top.key("limits"), &mut warnings);
    identity_advice(&config.identity, &top.key("identity").key("headers"), &mut warnings);
    let absence = Absence { named: &config.conditions, present: always_present(config) };
    for (name, condition) in &config.conditions {
        absence.visit(condition, &top.key("conditions").key(name), false, 0, &mut warnings);
    }
    for (index, route) in config.routes.iter().enumerate() {
        let place = top.key("routes").index(index).key("require");
        if let Some(condition) = &route.require {
            absence.visit(condition, &place, false, 0, &mut warnings);
        }
    }
    warnings
}

/// Limits that can never refuse.
fn limit_advice(config: &Config, place: &Place, warnings: &mut Vec<Warning>) {
    for (index, limit) in config.limits.iter().enumerate() {
        let place = place.index(index);
        let named = |route: &raw::Route| match (&limit.routes, &route.name) {
            (Some(names), Some(name)) => names.contains(name),
            (Some(_), None) => false,
            (None, _) => !route.deny,
        };
        let mut routes = config.routes.iter().filter(|route| named(route)).peekable();
        if routes.peek().is_none() {
            warnings.push(place.warning("no route has it, so that it never refuses anything"));
        } else if limit.count == Some(raw::Count::Refused)
            && routes.all(|route| route.token == Some(raw::Token::None))
        {
            warnings.push(place.key("count").warning(
                "no token is looked at on any of its routes, so that none is ever refused there",
            ));
        }
    }
}

fn issuer_advice(issuer: &raw::Issuer, place: &Place, warnings: &mut Vec<Warning>) {
    let mut warn = |name: &str, reason: &str| warnings.push(place.key(name).warning(reason));
    if issuer.any_audience {
        warn("any_audience", "a token that was made for another service opens this one too");
    }
    if issuer.allow_no_expiry {
        warn("allow_no_expiry", "a token without `exp` that leaks is good until the keys change");
    }
    let skew = issuer.clock_skew.as_deref().and_then(|text| duration(text, place).ok());
    if skew.is_some_and(|skew| skew > Duration::from_secs(300)) {
        warn("clock_skew", "every token lives longer by more than five minutes: let clocks be set");
    }
    let mut plain = |place: Place, url: Option<&String>, what: &str| {
        if url.is_some_and(|url| url.starts_with("http://")) {
            warnings.push(place.key("url").warning(format!(
                "plain text: whoever is on the way can {what}, unless the cluster speaks TLS"
            )));
        }
    };
    for (index, source) in issuer.keys.iter().enumerate() {
        let url = source.remote.as_ref().and_then(|remote| remote.url.as_ref());
        plain(place.key("keys").index(index).key("remote"), url, "put its own keys in");
    }
    let list = issuer.revocation.as_ref().and_then(|lists| lists.remote.as_ref());
    let list = list.and_then(|remote| remote.url.as_ref());
    plain(place.key("revocation").key("remote"), list, "take back what it likes, or nothing");
    let renewal = issuer.renew.as_ref().and_then(|renew| renew.url.as_ref());
    plain(place.key("renew"), renewal, "read refresh tokens and the client's secret");
    for (index, from) in issuer.token_from.iter().flatten().enumerate() {
        if from.query.is_some() {
            let place = place.key("token_from").index(index).key("query");
            warnings.push(place.warning(
                "a token in a URL stays in histories, referrers and the logs of whatever stands before",
            ));
        }
    }
}

/// Whether a secret is words that are tried first, or of few different bytes.
pub(super) fn is_guessable(secret: &[u8]) -> bool {
    const WORDS: [&str; 5] = ["secret", "password", "changeme", "change-me", "example"];
    let text = String::from_utf8_lossy(secret).to_ascii_lowercase();
    let different: BTreeSet<&u8> = secret.iter().collect();
    // Thirty-two random bytes have about thirty, and as hexadecimal digits about fourteen.
    different.len() < 10 || WORDS.iter().any(|word| text.contains(word))
}

fn relaxations(raw: &raw::PathSafety, place: &Place, warnings: &mut Vec<Warning>) {
    let relaxed = [
        (
            "encoded_slash",
            raw.encoded_slash,
            "an upstream that decodes `%2f` sees more segments than the policy",
        ),
        (
            "parameters",
            raw.parameters,
            "an upstream that cuts `;` off sees another path than the policy",
        ),
        (
            "empty_segment",
            raw.empty_segment,
            "an upstream that merges `//` sees another path than the policy",
        ),
    ];
    for (name, relaxation, risk) in relaxed {
        if relaxation == Some(raw::Relaxation::Allow) {
            warnings.push(place.key(name).warning(risk));
        }
    }
}

/// Claims that are lists or objects by their specification (RFC 7519, 7800, 8176, 8693, OpenID Connect) or by custom.
const LISTS: [&str; 12] = [
    "act",
    "address",
    "amr",
    "cnf",
    "entitlements",
    "events",
    "groups",
    "may_act",
    "realm_access",
    "resource_access",
    "roles",
    "scp",
];

fn identity_advice(identity: &raw::Identity, place: &Place, warnings: &mut Vec<Warning>) {
    for (name, header) in &identity.headers {
        let text = matches!(header.format, None | Some(raw::Format::Text));
        let claim = header.claim.as_deref().unwrap_or_default();
        let last = claim.strip_prefix('/').and_then(|path| path.rsplit('/').next());
        if text && LISTS.contains(&last.unwrap_or(claim)) {
            warnings.push(place.key(name).warning(format!(
                "`{claim}` is no single value as a rule, and text carries none but such: say `format: \
                 csv` or `json`"
            )));
        }
    }
}

/// The claims that every token has which verifies.
fn always_present(config: &Config) -> Vec<&str> {
    let mut issuers = config.issuers.values();
    let first = issuers.next().map(|issuer| issuer.require_claims.as_slice()).unwrap_or_default();
    let rest: Vec<&raw::Issuer> = issuers.collect();
    let common = first
        .iter()
        .filter(|claim| rest.iter().all(|issuer| issuer.require_claims.contains(claim)));
    let mut present: Vec<&str> = common.map(String::as_str).collect();
    present.push("iss");
    if !config.issuers.values().any(|issuer| issuer.allow_no_expiry) {
        present.push("exp");
    }
    present
}

/// Finds leaves that absence alone makes refuse, where the words sound as if it would not.
struct Absence<'c> {
    named: &'c BTreeMap<String, Condition>,
    present: Vec<&'c str>,
}

impl Absence<'_> {
    fn visit(
        &self,
        condition: &Condition,
        place: &Place,
        negated: bool,
        depth: usize,
        warnings: &mut Vec<Warning>,
    ) {
        if depth > MAX_DEPTH || warnings.len() > MAX_WARNINGS {
            return;
        }
        for (name, parts) in [("all", &condition.all), ("any", &condition.any)] {
            for (index, part) in parts.iter().flatten().enumerate() {
                self.visit(part, &place.key(name).index(index), negated, depth + 1, warnings);
            }
        }
        if let Some(part) = &condition.not {
            self.visit(part, &place.key("not"), true, depth + 1, warnings);
        }
        for (name, part) in condition.by_issuer.iter().flatten() {
            self.visit(part, &place.key("by_issuer").key(name), negated, depth + 1, warnings);
        }
        // By itself a named condition is looked at where it stands.
        if let Some(part) = condition.r#ref.as_ref().filter(|_| negated) {
            let part = self.named.get(part);
            let mut own = Vec::new();
            part.into_iter().for_each(|part| self.visit(part, place, true, depth + 1, &mut own));
            warnings.extend(own.into_iter().next());
        }
        if condition.absent.is_some() || condition.present.is_some() {
            return;
        }
        let Some(subject) = self.subject(condition) else { return };
        let word = match (condition.none_of.is_some(), negated) {
            (true, _) => "none_of",
            (false, true) => "not",
            (false, false) => return,
        };
        warnings.push(place.warning(format!(
            "`{word}` refuses where {subject} is absent, too: say what that means by `absent: true` or \
             `absent: false`"
        )));
    }

    /// What a leaf reads, where it may be absent.
    fn subject(&self, condition: &Condition) -> Option<String> {
        let Condition { claim, attribute, header, query, cookie, peer, .. } = condition;
        let claim = claim.as_deref().filter(|claim| !self.present.contains(claim));
        let attribute = attribute.as_deref().filter(|name| *name != "issuer");
        let named = [
            ("claim", claim),
            ("attribute", attribute),
            ("header", header.as_deref()),
            ("query parameter", query.as_deref()),
            ("cookie", cookie.as_deref()),
        ];
        let named = named.iter().find_map(|(what, name)| Some(format!("{what} `{}`", (*name)?)));
        let scopes = condition.scopes.is_some() || condition.any_scope.is_some();
        named
            .or_else(|| peer.map(|_| "the client certificate".to_owned()))
            .or_else(|| scopes.then(|| "the scope".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::decode;
    use crate::json;
    use serde_json::{Value, json};

    /// The places of the warnings of a configuration, with the first words of each.
    fn advice(mut patch: Value) -> String {
        let Value::Object(members) = &mut patch else { panic!("{patch}") };
        let issuer = json!({"a": {"require_claims": ["tenant"]}});
        let issuers = members.remove("issuer");
        members.insert("issuers".into(), issuers.map_or(issuer, |issuer| json!({"a": issuer})));
        let text = patch.to_string();
        let config = decode::mirror(&json::parse(text.as_bytes()).unwrap()).unwrap();
        of(&config).iter().map(|warning| warning.to_string() + "\n").collect()
    }

    #[test]
    fn tells_guessable_secrets() {
        let cases = [
            ("a-string-secret-at-least-256-bits-long", true),
            ("My-Password-that-is-long-enough-0123", true),
            ("01010101010101010101010101010101", true),
            ("3f9a1c07be58d264a7e0c19b5d83f246", false),
            ("q8Zt1vX0LrYw5mKc2HnBj7PsEd4Gf9Ua", false),
        ];
        for (secret, want) in cases {
            assert_eq!(is_guessable(secret.as_bytes()), want, "{secret}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn advises() {
        let route = |route: Value| json!({"routes": [route]});
        let require = |condition: Value| route(json!({"require": condition}));
        let header = |header: Value| json!({"identity": {"headers": {"x": header}}});
        let roles = || json!({"claim": "roles", "any_of": ["x"]});
        let open = || json!({"name": "open", "token": "none"});
        let limited = |limit: Value, routes: Value| json!({"limits": [limit], "routes": routes});
        let cases = [
            (json!({}), ""),
            (json!({"issuer": {"any_audience": true}}), "issuers.a.any_audience: "),
            (json!({"issuer": {"allow_no_expiry": true}}), "issuers.a.allow_no_expiry: "),
            (json!({"issuer": {"clock_skew": "5m"}}), ""),
            (json!({"issuer": {"clock_skew": "6m"}}), "issuers.a.clock_skew: "),
            (json!({"issuer": {"keys": [{"remote": {"url": "http://x"}}]}}), "issuers.a.keys[0].remote.url: plain text"),
            (json!({"issuer": {"keys": [{"remote": {"url": "https://x"}}]}}), ""),
            (json!({"issuer": {"renew": {"url": "http://x"}}}), "issuers.a.renew.url: plain text"),
            (json!({"issuer": {"renew": {"url": "https://x"}}}), ""),
            (json!({"issuer": {"revocation": {"remote": {"url": "http://x"}}}}), "issuers.a.revocation.remote.url: plain text"),
            (json!({"issuer": {"token_from": [{"query": "t"}]}}), "issuers.a.token_from[0].query: "),
            (json!({"path_safety": {"encoded_slash": "allow"}}), "path_safety.encoded_slash: "),
            (json!({"path_safety": {"encoded_slash": "refuse"}}), ""),
            (route(json!({"path_safety": {"parameters": "allow"}})), "routes[0].path_safety.parameters: "),
            (route(json!({"path_safety": {"empty_segment": "allow"}})), "routes[0].path_safety.empty_segment: "),
            (route(json!({"token": "lenient"})), "routes[0].token: "),
            (route(json!({"token": "optional"})), ""),
            (header(json!("roles")), "identity.headers.x: `roles` is no single value"),
            (header(json!({"claim": "/realm_access/roles"})), "identity.headers.x: `/realm_access/roles`"),
            (header(json!({"claim": "/realm_access/roles", "format": "csv"})), ""),
            (header(json!("email")), ""),
            (require(roles()), ""),
            (require(json!({"not": roles()})), "routes[0].require.not: `not` refuses where claim `roles` is absent"),
            (require(json!({"not": {"claim": "tenant", "any_of": ["x"]}})), ""),
            (require(json!({"not": {"claim": "exp", "at_least": 1}})), ""),
            (require(json!({"not": {"claim": "roles", "any_of": ["x"], "absent": false}})), ""),
            (require(json!({"not": {"claim": "roles", "present": true}})), ""),
            (require(json!({"not": {"any": [roles()]}})), "routes[0].require.not.any[0]: `not`"),
            (require(json!({"not": {"scopes": ["x"]}})), "routes[0].require.not: `not` refuses where the scope is absent"),
            (require(json!({"not": {"path": "x", "any_of": ["x"]}})), ""),
            (require(json!({"claim": "roles", "none_of": ["x"]})), "routes[0].require: `none_of` refuses where claim `roles`"),
            (require(json!({"all": [{"header": "h", "none_of": ["x"]}]})), "routes[0].require.all[0]: `none_of` refuses where header `h`"),
            (require(json!({"attribute": "issuer", "none_of": ["x"]})), ""),
            (json!({"conditions": {"c": roles()}, "routes": [{"require": {"not": {"ref": "c"}}}]}), "routes[0].require.not: `not`"),
            (json!({"conditions": {"c": {"claim": "roles", "none_of": ["x"]}}, "routes": [{"require": {"ref": "c"}}]}), "conditions.c: `none_of`"),
            (json!({"conditions": {"c": {"not": {"ref": "c"}}}}), ""),
            (limited(json!({}), json!([open()])), ""),
            (limited(json!({}), json!([])), "limits[0]: no route has it, so that it never refuses anything"),
            (limited(json!({}), json!([{"name": "shut", "deny": true}])), "limits[0]: no route has it"),
            (limited(json!({"count": "refused"}), json!([open(), {"name": "b"}])), ""),
            (limited(json!({"count": "refused"}), json!([open()])), "limits[0].count: no token is looked at"),
            (limited(json!({"count": "refused", "routes": ["open"]}), json!([open(), {"name": "b"}])), "limits[0].count: no token"),
            (limited(json!({"count": "refused", "routes": ["b"]}), json!([open(), {"name": "b"}])), ""),
        ];
        for (config, want) in cases {
            let got = advice(config.clone());
            let lines = got.lines().count();
            assert!(got.starts_with(want) && lines == usize::from(!want.is_empty()), "{config}: {got}, wanted {want}");
        }
    }
}
