//! Requests: arbitrary lines as method, host, path and headers, against the policy of `policy.json`.

use super::naive;
use super::policy::{NOW, Policy, RULES, sign};
use claimgate::audit::Verdict;
use claimgate::engine::{Edit, Outcome};
use claimgate::policy::route::Mode;
use serde_json::json;
use std::sync::LazyLock;

type Owned = (Vec<u8>, Vec<u8>);

/// What a route of the policy keeps to, whatever way a server reads the path.
const OPEN: [(&str, &str); 5] = [
    ("health", "/healthz"),
    ("open", "/public"),
    ("optional", "/optional"),
    ("lenient", "/lenient"),
    ("trial", "/trial"),
];
const CLOSED: [&str; 2] = ["/public/secret", "/internal"];

pub fn check(data: &[u8]) {
    let headers = headers(data);
    let borrowed: Vec<(&[u8], &[u8])> = borrow(&headers);
    Policy::fixed(|policy| {
        let outcome = policy.decide(&borrowed);
        let after = apply(policy, &headers, &outcome);
        for (name, _) in after.iter().filter(|(name, _)| policy.manages(name)) {
            let own = policy.added(&outcome).iter().any(|(added, _)| added.as_bytes() == name);
            assert!(own, "the client's {}", String::from_utf8_lossy(name));
        }
        check_token(policy, &headers, &outcome);
        if outcome.verdict() == Verdict::Allowed {
            check_path(policy, &headers, &outcome);
        }
        // Decided anew, what passed shows no token any more, unless its issuer forwards it.
        let stays = outcome.token.as_ref().is_some_and(|token| policy.forwards(token));
        if outcome.refusal.is_none() && !stays {
            let borrowed = borrow(&after);
            let again = policy.decide(&borrowed);
            assert_eq!(again.route, outcome.route);
            assert!(!again.token_sent, "the service behind gets the token");
        }
        // And so for the path of a refused request, which the access log prints.
        if outcome.refusal.is_some() {
            let path = value(&after, b":path");
            let query = path.split(|byte| *byte == b'?').skip(1).collect::<Vec<_>>().join(&b'?');
            let named = |pair: &[u8]| {
                naive::percent(pair.split(|byte| *byte == b'=').next().unwrap()) == b"access_token"
            };
            assert!(!query.split(|byte| *byte == b'&').any(named), "the access log gets the token");
        }
        let again = policy.decide(&borrowed);
        // All but how the token was judged: the second time it is remembered.
        let told = |mut outcome: Outcome<'_>| {
            if let Some(seen) = &mut outcome.seen {
                seen.recall = None;
            }
            format!("{outcome:?}")
        };
        assert_eq!(told(outcome), told(again), "decided twice");
    });
}

/// Whoever passes as somebody carried one of the tokens that were signed, and not the other ones.
fn check_token(policy: &Policy, headers: &[Owned], outcome: &Outcome<'_>) {
    let Some(token) = &outcome.token else { return };
    let id = token.claims()["jti"].as_str().unwrap();
    let (_, text) = TOKENS.iter().find(|(name, _)| *name == id).unwrap();
    let carries = |(_, value): &Owned| {
        let decoded = naive::percent(value);
        let text = text.as_bytes();
        [value, &decoded]
            .into_iter()
            .any(|value| value.windows(text.len()).any(|part| part == text))
    };
    assert!(headers.iter().any(carries), "{id} is in no header");
    assert!(!["$forged", "$expired"].contains(&id), "{id}");
    let route = policy.route(outcome).unwrap();
    let only_plain = ["lenient", "trial", "tenant", "socket"].contains(&&*route.name);
    assert!(!only_plain || id == "$plain", "{} took {id}", route.name);
}

/// No server finds another place behind a path than the one that the route is for.
fn check_path(policy: &Policy, headers: &[Owned], outcome: &Outcome<'_>) {
    let path = value(headers, b":path");
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let route = policy.route(outcome).unwrap();
    let beneath = |path: &str, root: &str| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for reading in naive::readings(path) {
        if let Some((name, root)) = OPEN.iter().find(|(name, _)| *name == &*route.name) {
            assert!(beneath(&reading, root), "{name} opens {reading}");
        }
        assert!(
            !CLOSED.iter().any(|root| beneath(&reading, root)),
            "{} opens {reading}",
            route.name
        );
    }
    if outcome.mode == Mode::Enforce && OPEN.iter().all(|(name, _)| *name != &*route.name) {
        assert!(outcome.token.is_some(), "{} is open", route.name);
    }
}

/// The tokens that an input names: `$plain` stands for that of the issuer `plain`.
static TOKENS: LazyLock<[(&str, String); 5]> = LazyLock::new(|| {
    let token = |name: &'static str, issuer: usize, exp: u64, secret: usize| {
        let payload = json!({
            "iss": RULES[issuer].iss, "exp": exp, "iat": NOW - 60, "aud": "api", "jti": name,
            "sub": "alice\r\n", "tenant": "acme", "envs": ["dev", "prod"], "a": {"b": 5},
            "roles": ["admin"], "scope": "read write",
        });
        let payload = payload.to_string();
        (name, sign(br#"{"alg":"HS256"}"#, payload.as_bytes(), RULES[secret].secret))
    };
    [
        token("$plain", 0, NOW + 60, 0),
        token("$strict", 1, NOW + 60, 1),
        token("$loose", 2, NOW + 60, 2),
        token("$expired", 0, NOW - 60, 0),
        token("$forged", 0, NOW + 60, 1),
    ]
});

/// The headers as Envoy would hand them over: names in lower case, no control characters that HTTP refuses.
fn headers(data: &[u8]) -> Vec<Owned> {
    let mut lines = data.split(|byte| *byte == b'\n').map(|line| {
        let mut line: Vec<u8> =
            line.iter().copied().filter(|byte| !matches!(byte, b'\r' | 0)).collect();
        for (name, token) in TOKENS.iter() {
            line = replace(&line, name.as_bytes(), token.as_bytes());
        }
        line
    });
    let mut headers: Vec<Owned> = [&b":method"[..], b":authority", b":path"]
        .into_iter()
        .zip(&mut lines)
        .map(|(name, value)| (name.to_vec(), value))
        .collect();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = line[..colon].to_ascii_lowercase();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if !name.is_empty() && name.iter().all(plain) {
            headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
    }
    headers
}

fn replace(line: &[u8], name: &[u8], by: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), line);
    while let Some(at) = rest.windows(name.len()).position(|part| part == name) {
        out.extend([&rest[..at], by].concat());
        rest = &rest[at + name.len()..];
    }
    out.extend(rest);
    out
}

/// The headers after the edits, as the filter has Envoy make them.
fn apply(policy: &Policy, headers: &[Owned], outcome: &Outcome<'_>) -> Vec<Owned> {
    let mut headers = headers.to_vec();
    for edit in &outcome.edits {
        match edit {
            Edit::Remove(name) => headers.retain(|(other, _)| other[..] != name[..]),
            Edit::Replace(name, value) => {
                headers.retain(|(other, _)| other != name.as_bytes());
                headers.push((name.as_bytes().to_vec(), value.clone()));
            }
        }
    }
    let added = policy.added(outcome).iter();
    headers.extend(added.map(|(name, value)| (name.as_bytes().to_vec(), value.clone().into())));
    headers
}

fn borrow(headers: &[Owned]) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (&name[..], &value[..])).collect()
}

fn value<'a>(headers: &'a [Owned], name: &[u8]) -> &'a [u8] {
    headers.iter().find(|(other, _)| other == name).map_or(&[], |(_, value)| value)
}
