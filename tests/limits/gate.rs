//! A policy with limits, and what is asked of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::audit::Verdict;
use claimgate::config;
use claimgate::engine::Outcome;
use claimgate::request::{CertificateField, Header, Peer, Request};
use claimgate::response::Response;
use claimgate::time::Timestamp;
use claimgate::token::signature::Portable;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

pub const SECRETS: [&str; 2] = [
    "the first secret of these tests, of 32 bytes",
    "the other secret of these tests, of 32 bytes",
];
pub const NOW: u64 = 1_800_000_000;

/// A configuration with the issuers `a` and `b`, and these limits.
pub fn configuration(limits: Value) -> Value {
    let issuer = |name: &str, secret: &str| {
        json!({
            "issuer": name,
            "any_audience": true,
            "keys": [{"secret": {"utf8": secret}, "algorithms": ["HS256"]}],
        })
    };
    json!({
        "issuers": {"a": issuer("a", SECRETS[0]), "b": issuer("b", SECRETS[1])},
        "defaults": {"issuers": ["a", "b"]},
        "identity": {"headers": {"x-user-id": {"attribute": "subject"}}},
        "responses": {"cors": {"allow_origins": ["https://app.test"]}},
        "routes": [
            {"name": "one", "paths": ["/one"]},
            {"name": "two", "paths": ["/two"]},
            {"name": "open", "paths": ["/open"], "token": "none"},
            {"name": "optional", "paths": ["/optional"], "token": "optional"},
            {"name": "lenient", "paths": ["/lenient"], "token": "lenient"},
            {"name": "trial", "paths": ["/trial"], "mode": "shadow"},
            {"name": "admins", "paths": ["/admins"], "require": {"claim": "admin", "equals": true}},
            {"name": "closed", "paths": ["/closed"], "deny": true},
        ],
        "limits": limits,
    })
}

/// A limit of three requests an hour, with these changes.
pub fn limit(changes: Value) -> Value {
    let mut limit = json!({"name": "three", "by": ["subject"], "requests": 3, "per": "1h"});
    for (name, value) in changes.as_object().unwrap() {
        limit[name] = value.clone();
    }
    limit
}

/// The only limit is one of three requests an hour, with these changes.
pub fn three(changes: Value) -> Gate {
    Gate::of(configuration(json!([limit(changes)])))
}

pub struct Gate(pub config::Loaded);

pub fn load(configuration: Value) -> Result<config::Loaded, String> {
    config::load_value(configuration, "test", &|_| None, &Portable)
        .map_err(|error| error.to_string())
}

/// A request, to `/one` at [`NOW`] from 192.0.2.1 unless it says otherwise.
#[derive(Clone)]
pub struct Ask {
    pub path: &'static str,
    pub method: &'static str,
    pub token: Option<String>,
    pub address: Option<IpAddr>,
    pub headers: Vec<(&'static str, String)>,
    pub nanos: u64,
}

pub fn ask(token: Option<&str>) -> Ask {
    Ask {
        path: "/one",
        method: "GET",
        token: token.map(str::to_owned),
        address: Some([192, 0, 2, 1].into()),
        headers: Vec::new(),
        nanos: NOW * 1_000_000_000,
    }
}

/// A request with a token of `a` for this subject.
pub fn by(subject: &str) -> Ask {
    ask(Some(&token("a", &json!({"sub": subject}))))
}

impl Ask {
    pub fn to(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    pub fn from(self, address: &str) -> Self {
        Self { address: Some(address.parse().unwrap()), ..self }
    }

    pub fn after(self, secs: u64) -> Self {
        Self { nanos: self.nanos + secs * 1_000_000_000, ..self }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl Peer for Ask {
    fn client_address(&self) -> Option<IpAddr> {
        self.address
    }

    fn certificate(&self, _: CertificateField) -> Option<String> {
        None
    }
}

impl Gate {
    pub fn of(configuration: Value) -> Self {
        let gate = Self(load(configuration).unwrap());
        // As the filter does.
        gate.0.engine.trust.borrow_mut().remember(7);
        gate
    }

    pub fn decide<T>(&self, ask: &Ask, look: impl FnOnce(&Request<'_>, Outcome<'_>) -> T) -> T {
        let bearer = ask.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers: Vec<Header<'_>> = vec![
            (b":method", ask.method.as_bytes()),
            (b":authority", b"app.test"),
            (b":path", ask.path.as_bytes()),
        ];
        headers.extend(bearer.as_ref().map(|value| (&b"authorization"[..], value.as_bytes())));
        headers.extend(ask.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let request = Request::new(&headers, ask);
        let outcome = self.0.engine.decide(&request, Timestamp::from_nanos(ask.nanos));
        look(&request, outcome)
    }

    /// The code of the refusal, or `allowed`; `shadow` before one that refuses nothing.
    pub fn send(&self, ask: &Ask) -> String {
        self.decide(ask, |_, outcome| match (&outcome.refusal, &outcome.shadowed) {
            (Some(refusal), _) => refusal.code.name().to_owned(),
            (None, Some(refusal)) => format!("shadow {}", refusal.code.name()),
            (None, None) => "allowed".to_owned(),
        })
    }

    /// How many of so many pass; the others are all `rate_limited`.
    pub fn passed(&self, ask: &Ask, of: usize) -> usize {
        let sent = (0..of).map(|_| self.send(ask));
        let passed = |word: String| match &*word {
            "allowed" => true,
            "rate_limited" => false,
            other => panic!("{other}"),
        };
        sent.map(passed).filter(|passed| *passed).count()
    }

    pub fn answer(&self, ask: &Ask) -> Response {
        self.decide(ask, |request, outcome| self.0.engine.answer(request, &outcome).unwrap())
    }

    /// The limits in shadow mode that were over, after a word of the decision.
    pub fn in_shadow(&self, ask: &Ask) -> (Verdict, Vec<String>) {
        self.decide(ask, |_, outcome| {
            let limits = self.0.engine.limits_in_shadow(&outcome);
            (outcome.verdict(), limits.map(|limit| limit.name.to_string()).collect())
        })
    }
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of `a` or `b` with these further claims; `null` removes one.
pub fn token(issuer: &str, claims: &Value) -> String {
    let mut payload = Map::new();
    payload.extend([("iss".into(), json!(issuer)), ("exp".into(), json!(NOW + 86_400))]);
    payload.insert("sub".into(), json!("alice"));
    payload.extend(claims.as_object().unwrap().clone());
    payload.retain(|_, value| !value.is_null());
    let payload = Value::Object(payload).to_string();
    let input = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(payload.as_bytes()));
    let secret = if issuer == "a" { SECRETS[0] } else { SECRETS[1] };
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), secret.as_bytes());
    format!("{input}.{}", encode(&tag))
}

/// Takes three of the first, and tells which of the others go on counting with it.
pub fn together(gate: &Gate, first: &Ask, others: &[(&str, Ask, bool)]) {
    assert_eq!(gate.passed(first, 4), 3);
    for (name, other, counts_with_it) in others {
        let want = if *counts_with_it { "rate_limited" } else { "allowed" };
        assert_eq!(gate.send(other), want, "{name}");
    }
}

/// A limit of three refused tokens an hour.
pub fn guesses(changes: Value) -> Value {
    let mut limit = limit(json!({"name": "guesses", "by": ["client_address"], "count": "refused"}));
    for (name, value) in changes.as_object().unwrap() {
        limit[name] = value.clone();
    }
    limit
}

/// A token that nobody signed.
pub fn forged(serial: u32) -> Ask {
    let token = token("b", &json!({ "jti": serial }));
    let (input, tag) = token.rsplit_once('.').unwrap();
    let other = if tag.starts_with('A') { "B" } else { "A" };
    ask(Some(&format!("{input}.{other}{}", &tag[1..])))
}
