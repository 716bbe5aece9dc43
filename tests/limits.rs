//! Limits of whole configurations, natively: what is counted together, what is counted at all, and who is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::audit::Verdict;
use claimgate::config;
use claimgate::engine::Outcome;
use claimgate::request::{CertificateField, Header, Peer, Request};
use claimgate::response::{Code, Response};
use claimgate::time::Timestamp;
use claimgate::token::signature::Portable;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

const SECRETS: [&str; 2] = [
    "the first secret of these tests, of 32 bytes",
    "the other secret of these tests, of 32 bytes",
];
const NOW: u64 = 1_800_000_000;

/// A configuration with the issuers `a` and `b`, and these limits.
fn configuration(limits: Value) -> Value {
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
fn limit(changes: Value) -> Value {
    let mut limit = json!({"name": "three", "by": ["subject"], "requests": 3, "per": "1h"});
    for (name, value) in changes.as_object().unwrap() {
        limit[name] = value.clone();
    }
    limit
}

/// The only limit is one of three requests an hour, with these changes.
fn three(changes: Value) -> Gate {
    Gate::of(configuration(json!([limit(changes)])))
}

struct Gate(config::Loaded);

fn load(configuration: Value) -> Result<config::Loaded, String> {
    config::load_value(configuration, "test", &|_| None, &Portable)
        .map_err(|error| error.to_string())
}

/// A request, to `/one` at [`NOW`] from 192.0.2.1 unless it says otherwise.
#[derive(Clone)]
struct Ask {
    path: &'static str,
    method: &'static str,
    token: Option<String>,
    address: Option<IpAddr>,
    headers: Vec<(&'static str, String)>,
    nanos: u64,
}

fn ask(token: Option<&str>) -> Ask {
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
fn by(subject: &str) -> Ask {
    ask(Some(&token("a", &json!({"sub": subject}))))
}

impl Ask {
    fn to(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn from(self, address: &str) -> Self {
        Self { address: Some(address.parse().unwrap()), ..self }
    }

    fn after(self, secs: u64) -> Self {
        Self { nanos: self.nanos + secs * 1_000_000_000, ..self }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
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
    fn of(configuration: Value) -> Self {
        let gate = Self(load(configuration).unwrap());
        // As the filter does.
        gate.0.engine.trust.borrow_mut().remember(7);
        gate
    }

    fn decide<T>(&self, ask: &Ask, look: impl FnOnce(&Request<'_>, Outcome<'_>) -> T) -> T {
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
    fn send(&self, ask: &Ask) -> String {
        self.decide(ask, |_, outcome| match (&outcome.refusal, &outcome.shadowed) {
            (Some(refusal), _) => refusal.code.name().to_owned(),
            (None, Some(refusal)) => format!("shadow {}", refusal.code.name()),
            (None, None) => "allowed".to_owned(),
        })
    }

    /// How many of so many pass; the others are all `rate_limited`.
    fn passed(&self, ask: &Ask, of: usize) -> usize {
        let sent = (0..of).map(|_| self.send(ask));
        let passed = |word: String| match &*word {
            "allowed" => true,
            "rate_limited" => false,
            other => panic!("{other}"),
        };
        sent.map(passed).filter(|passed| *passed).count()
    }

    fn answer(&self, ask: &Ask) -> Response {
        self.decide(ask, |request, outcome| self.0.engine.answer(request, &outcome).unwrap())
    }

    /// The limits in shadow mode that were over, after a word of the decision.
    fn in_shadow(&self, ask: &Ask) -> (Verdict, Vec<String>) {
        self.decide(ask, |_, outcome| {
            let limits = self.0.engine.limits_in_shadow(&outcome);
            (outcome.verdict(), limits.map(|limit| limit.name.to_string()).collect())
        })
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of `a` or `b` with these further claims; `null` removes one.
fn token(issuer: &str, claims: &Value) -> String {
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
fn together(gate: &Gate, first: &Ask, others: &[(&str, Ask, bool)]) {
    assert_eq!(gate.passed(first, 4), 3);
    for (name, other, counts_with_it) in others {
        let want = if *counts_with_it { "rate_limited" } else { "allowed" };
        assert_eq!(gate.send(other), want, "{name}");
    }
}

#[test]
fn a_subject_is_counted_with_its_issuer_whatever_its_token() {
    let bob = ask(Some(&token("b", &json!({"sub": "alice"}))));
    together(
        &three(json!({})),
        &by("alice"),
        &[
            ("the same of another issuer", bob, false),
            ("another one", by("alice2"), false),
            ("another token", ask(Some(&token("a", &json!({"jti": "2"})))), true),
            ("another address", by("alice").from("203.0.113.9"), true),
            ("another route", by("alice").to("/two"), true),
            ("no subject", ask(Some(&token("a", &json!({"sub": null})))), false),
            ("nobody", ask(None).to("/open"), false),
        ],
    );
}

#[test]
fn an_issuer_is_counted_by_the_name_that_the_operator_gave_it() {
    let of_b = ask(Some(&token("b", &json!({}))));
    let gate = three(json!({"by": ["issuer"]}));
    together(
        &gate,
        &by("alice"),
        &[("another subject", by("bob"), true), ("another one", of_b, false)],
    );
}

#[test]
fn a_token_is_counted_by_what_is_signed() {
    let one = token("a", &json!({"jti": "1"}));
    let gate = three(json!({"by": ["token"]}));
    let other = token("a", &json!({"jti": "2"}));
    together(
        &gate,
        &ask(Some(&one)),
        &[
            ("elsewhere", ask(Some(&one)).to("/two").from("203.0.113.9"), true),
            ("another token", ask(Some(&other)), false),
        ],
    );
    // Whoever has one ECDSA signature can make another one.
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let mut configuration = configuration(json!([limit(json!({"by": ["token"]}))]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)});
    configuration["issuers"]["a"]["keys"] = json!([{"jwks": {"keys": [jwk]}}]);
    let payload = json!({"iss": "a", "sub": "alice", "exp": NOW + 60}).to_string();
    let input = format!("{}.{}", encode(br#"{"alg":"ES256"}"#), encode(payload.as_bytes()));
    let signature: Signature = key.sign(input.as_bytes());
    let (r, s) = signature.split_scalars();
    let mirrored = Signature::from_scalars(r, -s).unwrap();
    assert_ne!(signature, mirrored);
    let [one, other] = [signature, mirrored]
        .map(|signature| ask(Some(&format!("{input}.{}", encode(&signature.to_bytes())))));
    together(&Gate::of(configuration.clone()), &one, &[("mirrored", other.clone(), true)]);
    assert_eq!(Gate::of(configuration).send(&other), "allowed", "it verifies");
}

#[test]
fn an_address_of_version_4_is_one_client_and_one_of_version_6_its_network_of_64_bits() {
    let gate = || three(json!({"by": ["client_address"]}));
    together(
        &gate(),
        &by("alice"),
        &[
            ("the same for another subject", by("bob"), true),
            ("the same without a token", ask(None).to("/open"), true),
            ("its neighbour", by("alice").from("192.0.2.2"), false),
            ("one of version 6", by("alice").from("2001:db8::c000:201"), false),
        ],
    );
    together(
        &gate(),
        &by("alice").from("2001:db8:0:1::1"),
        &[
            ("the same network", by("alice").from("2001:db8:0:1:ffff:ffff:ffff:ffff"), true),
            ("the next one", by("alice").from("2001:db8:0:2::1"), false),
        ],
    );
    let unknown = Ask { address: None, ..by("alice") };
    together(&gate(), &unknown, &[("as unknown", Ask { address: None, ..by("bob") }, true)]);
}

#[test]
fn a_route_is_counted_by_its_name_and_parts_are_counted_together() {
    together(
        &three(json!({"by": ["route"]})),
        &by("alice"),
        &[("another subject", by("bob"), true), ("another route", by("alice").to("/two"), false)],
    );
    together(
        &three(json!({"by": ["subject", "route"]})),
        &by("alice"),
        &[
            ("another subject", by("bob"), false),
            ("another route", by("alice").to("/two"), false),
            ("another address", by("alice").from("203.0.113.9"), true),
        ],
    );
}

#[test]
fn a_claim_is_counted_by_its_value_and_its_type() {
    let of = |tenant: Value| ask(Some(&token("a", &json!({"tenant": tenant}))));
    let gate = || three(json!({"by": [{"claim": "tenant"}]}));
    let other_issuer = ask(Some(&token("b", &json!({"tenant": "1"}))));
    together(
        &gate(),
        &of(json!("1")),
        &[
            ("a number", of(json!(1)), false),
            ("another text", of(json!("1 ")), false),
            ("another issuer", other_issuer, true),
            ("another address", of(json!("1")).from("203.0.113.9"), true),
        ],
    );
    together(
        &gate(),
        &of(json!({"a": [1, true]})),
        &[
            ("the same", of(json!({"a": [1, true]})), true),
            ("another one", of(json!({"a": [1, false]})), false),
        ],
    );
    let deep = three(json!({"by": [{"claim": "/org/id"}]}));
    let of = |id: &str| ask(Some(&token("a", &json!({"org": {"id": id}}))));
    together(&deep, &of("x"), &[("another one", of("y"), false)]);
}

#[test]
fn what_is_not_there_is_counted_by_the_address_and_apart_from_what_is() {
    let without = |claim: &str| ask(Some(&token("a", &json!({ claim: null }))));
    for (by, path, absent) in [
        (json!(["subject"]), "/one", without("sub")),
        (json!(["subject"]), "/optional", ask(None)),
        (json!(["issuer"]), "/optional", ask(None)),
        (json!(["token"]), "/optional", ask(None)),
        (json!(["token"]), "/open", ask(Some("not.looked.at"))),
        (json!([{"claim": "tenant"}]), "/one", without("tenant")),
    ] {
        let gate = three(json!({ "by": by }));
        together(
            &gate,
            &absent.clone().to(path),
            &[
                ("another address", absent.clone().to(path).from("203.0.113.9"), false),
                ("one that has it", ask(Some(&token("a", &json!({"tenant": "t"})))), false),
            ],
        );
    }
    // What did not verify identifies nobody.
    let forged = |subject: &str| {
        let token = token("a", &json!({ "sub": subject }));
        ask(Some(&format!("{token}x"))).to("/lenient")
    };
    together(
        &three(json!({})),
        &forged("alice"),
        &[
            ("another name", forged("bob"), true),
            ("the true one", by("alice").to("/lenient"), false),
        ],
    );
}

#[test]
fn a_bucket_is_refilled_one_by_one() {
    let gate = three(json!({"requests": 60, "per": "1m", "burst": 5}));
    assert_eq!(gate.passed(&by("alice"), 9), 5);
    assert_eq!(gate.passed(&by("alice").after(1), 9), 1);
    assert_eq!(gate.passed(&by("alice").after(4), 9), 3);
    assert_eq!(gate.passed(&by("alice").after(3600), 9), 5, "never more than the burst");
}

#[test]
fn a_claim_says_how_much_passes() {
    let gate = || {
        let tiers = json!({
            "free": {"requests": 2, "per": "1h"},
            "pro": {"requests": 5, "per": "1h"},
            "odd": {"requests": 1, "per": "1h", "burst": 4},
            "default": {"requests": 1, "per": "1h"},
        });
        let limit =
            json!({"name": "plans", "by": ["subject"], "tier": {"claim": "plan"}, "tiers": tiers});
        Gate::of(configuration(json!([limit])))
    };
    for (plan, want) in [
        (json!("free"), 2),
        (json!("pro"), 5),
        (json!("odd"), 4),
        (json!("default"), 1),
        (json!("Pro"), 1),
        (json!(["pro"]), 1),
        (json!(5), 1),
        (json!(null), 1),
    ] {
        let of = ask(Some(&token("a", &json!({ "plan": plan }))));
        assert_eq!(gate().passed(&of, 9), want, "{plan}");
    }
    assert_eq!(gate().passed(&ask(None).to("/open"), 9), 1, "nobody has a plan");
    // Who changes the plan keeps the debt, as far as the new bucket has room for it.
    let [free, pro] = ["free", "pro"].map(|plan| ask(Some(&token("a", &json!({ "plan": plan })))));
    let gate = gate();
    assert_eq!(gate.passed(&free, 9), 2);
    assert!(gate.passed(&pro, 9) < 5);
}

#[test]
fn a_limit_is_for_what_its_condition_does_not_exclude() {
    let of = |claims: Value| ask(Some(&token("a", &claims)));
    let gate = || three(json!({"when": {"claim": "internal", "equals": false}}));
    assert_eq!(gate().passed(&of(json!({"internal": false})), 9), 3, "true");
    assert_eq!(gate().passed(&of(json!({})), 9), 3, "unknown");
    assert_eq!(gate().passed(&of(json!({"internal": true})), 9), 9, "false");
    assert_eq!(gate().passed(&ask(None).to("/open"), 9), 3, "unknown without a token");
    let gate = three(json!({"when": {"client_address": ["192.0.2.0/24"]}}));
    assert_eq!(gate.passed(&by("alice"), 9), 3);
    assert_eq!(gate.passed(&by("alice").from("203.0.113.9"), 9), 9);
    let gate = three(json!({"when": {"method": true, "equals": "POST"}}));
    assert_eq!(gate.passed(&by("alice"), 9), 9);
    assert_eq!(gate.passed(&Ask { method: "POST", ..by("alice") }, 9), 3);
}

#[test]
fn a_limit_is_for_its_routes() {
    let gate = three(json!({"routes": ["two", "open", "two"]}));
    assert_eq!(gate.passed(&by("alice"), 9), 9);
    assert_eq!(gate.passed(&by("alice").to("/two"), 9), 3);
    assert_eq!(gate.passed(&ask(None).to("/open"), 9), 3);
}

#[test]
fn what_is_refused_for_another_reason_is_not_counted() {
    let gate = three(json!({}));
    let refused = [
        (ask(None), "token_missing"),
        (by("alice").to("/closed"), "route_denied"),
        (by("alice").to("/nowhere"), "no_route"),
        (by("alice").to("/admins"), "claims_insufficient"),
        (by("alice").after(90_000), "token_expired"),
    ];
    for (refused, want) in refused {
        for _ in 0..9 {
            assert_eq!(gate.send(&refused), want);
        }
    }
    assert_eq!(gate.passed(&by("alice"), 9), 3);
}

#[test]
fn a_limit_in_shadow_mode_refuses_nothing_and_tells_it() {
    let gate = three(json!({"mode": "shadow"}));
    for _ in 0..3 {
        assert_eq!(gate.in_shadow(&by("alice")), (Verdict::Allowed, vec![]));
    }
    assert_eq!(gate.in_shadow(&by("alice")), (Verdict::Allowed, vec!["three".to_owned()]));
    let told = gate.decide(&by("alice"), |request, outcome| {
        let engine = &gate.0.engine;
        let identity = engine.identity_headers(&outcome);
        assert_eq!(identity, [("x-user-id".into(), "alice".to_owned())]);
        assert_eq!(engine.quotas(&outcome).count(), 0, "clients are told nothing of it");
        let note = engine.note(&outcome);
        engine.draft(request, &outcome, &note, "node", None, Timestamp::from_secs(NOW))
    });
    assert!(format!("{told:?}").contains("limits_in_shadow"), "{told:?}");
    // Its bucket is not emptied further by what another limit refuses.
    let both = json!([limit(json!({"mode": "shadow"})), {"name": "two", "by": ["subject"], "requests": 2, "per": "1h"}]);
    let gate = Gate::of(configuration(both));
    assert_eq!(gate.passed(&by("alice"), 9), 2);
    assert_eq!(gate.in_shadow(&by("alice")), (Verdict::Denied, vec![]));
}

#[test]
fn a_route_or_a_filter_in_shadow_mode_lets_pass_what_is_over() {
    let gate = three(json!({}));
    let trial = by("alice").to("/trial");
    for _ in 0..3 {
        assert_eq!(gate.send(&trial), "allowed");
    }
    assert_eq!(gate.send(&trial), "shadow rate_limited");
    assert_eq!(gate.send(&by("alice")), "rate_limited", "it is the same bucket");
    let mut shadow = configuration(json!([limit(json!({}))]));
    shadow["mode"] = json!("shadow");
    let gate = Gate::of(shadow);
    for _ in 0..3 {
        assert_eq!(gate.send(&by("alice")), "allowed");
    }
    for _ in 0..3 {
        assert_eq!(gate.send(&by("alice")), "shadow rate_limited");
    }
    gate.decide(&by("alice"), |_, outcome| {
        assert!(gate.0.engine.identity_headers(&outcome).is_empty(), "it passed not every check");
        assert_eq!(gate.0.engine.quotas(&outcome).count(), 0);
    });
    // A preflight is not counted here either, where it passes.
    let preflight = preflight("/two").from("203.0.113.9");
    for _ in 0..9 {
        assert_eq!(gate.send(&preflight), "allowed");
    }
}

#[test]
fn a_request_takes_of_every_limit_or_of_none() {
    let limits = json!([
        {"name": "wide", "by": ["issuer"], "requests": 10, "per": "1h"},
        {"name": "narrow", "by": ["subject"], "requests": 2, "per": "1h"},
    ]);
    let gate = Gate::of(configuration(limits));
    assert_eq!(gate.passed(&by("alice"), 50), 2);
    assert_eq!(gate.passed(&by("bob"), 50), 2);
    let others = (0..20).map(|other| gate.passed(&by(&format!("other-{other}")), 1));
    assert_eq!(others.sum::<usize>(), 6, "what was refused took nothing of the wide one");
}

fn preflight(path: &'static str) -> Ask {
    let ask = Ask { method: "OPTIONS", ..ask(None) }.to(path);
    ask.header("origin", "https://app.test").header("access-control-request-method", "GET")
}

#[test]
fn preflights_are_not_counted() {
    let gate = three(json!({"by": ["client_address"]}));
    for _ in 0..9 {
        let answered = gate.decide(&preflight("/one"), |_, outcome| outcome.preflight.is_some());
        assert!(answered);
    }
    assert_eq!(gate.passed(&by("alice"), 9), 3);
}

#[test]
fn a_candidate_counts_nothing() {
    let mut configuration = configuration(json!([limit(json!({})), guesses(json!({}))]));
    configuration["candidate"] = json!({"routes": [
        {"name": "one", "paths": ["/**"]},
    ]});
    let gate = Gate::of(configuration);
    let differs = |ask: &Ask| {
        gate.decide(ask, |_, outcome| {
            let code = outcome.difference.map(|difference| difference.code.map(Code::name));
            (outcome.refusal.map(|refusal| refusal.code.name()), code)
        })
    };
    for _ in 0..3 {
        assert_eq!(differs(&by("alice")), (None, None));
    }
    assert_eq!(differs(&by("alice")), (Some("rate_limited"), None), "that is no difference");
    for guess in 0..3 {
        assert_eq!(differs(&forged(guess)), (Some("signature_invalid"), None));
    }
    // It is not tried, so that its signature is not checked after all.
    assert_eq!(differs(&forged(3)), (Some("rate_limited"), None));
}

/// A limit of three refused tokens an hour.
fn guesses(changes: Value) -> Value {
    let mut limit = limit(json!({"name": "guesses", "by": ["client_address"], "count": "refused"}));
    for (name, value) in changes.as_object().unwrap() {
        limit[name] = value.clone();
    }
    limit
}

/// A token that nobody signed.
fn forged(serial: u32) -> Ask {
    let token = token("b", &json!({ "jti": serial }));
    let (input, tag) = token.rsplit_once('.').unwrap();
    let other = if tag.starts_with('A') { "B" } else { "A" };
    ask(Some(&format!("{input}.{other}{}", &tag[1..])))
}

#[test]
fn who_guesses_is_refused_before_any_signature_is_checked() {
    let gate = Gate::of(configuration(json!([guesses(json!({}))])));
    let known = by("alice");
    assert_eq!(gate.send(&known), "allowed");
    for serial in 0..3 {
        assert_eq!(gate.send(&forged(serial)), "signature_invalid");
    }
    let (code, recall) = gate.decide(&forged(3), |_, outcome| {
        (outcome.refusal.map(|refusal| refusal.code), outcome.seen)
    });
    assert_eq!((code, recall), (Some(Code::RateLimited), None), "no token was judged");
    for (name, ask, want) in [
        ("a token that is not known", by("bob"), "rate_limited"),
        ("one that is", known, "allowed"),
        ("elsewhere", forged(4).to("/two"), "rate_limited"),
        ("no token", ask(None), "token_missing"),
        ("no token, where none is needed", ask(None).to("/optional"), "allowed"),
        ("where it is not looked at", forged(5).to("/open"), "allowed"),
        ("lenient", forged(6).to("/lenient"), "rate_limited"),
        ("another address", forged(7).from("203.0.113.9"), "signature_invalid"),
        ("later", by("bob").after(1200), "allowed"),
        ("later, a guess", forged(8).after(1200), "signature_invalid"),
        ("later, another guess", forged(9).after(1200), "rate_limited"),
    ] {
        assert_eq!(gate.send(&ask), want, "{name}");
    }
}

#[test]
fn every_token_that_is_refused_is_a_guess_also_where_lenience_passes_over_it() {
    let limit = || Gate::of(configuration(json!([guesses(json!({}))])));
    let two = by("alice").header("authorization", "Bearer x.y.z");
    for (ask, want) in [
        (ask(Some("nonsense")), "token_malformed"),
        (by("alice").after(90_000), "token_expired"),
        (two, "token_ambiguous"),
        (forged(1).to("/lenient"), "allowed"),
        (forged(1).to("/optional"), "signature_invalid"),
        (forged(1).to("/trial"), "shadow signature_invalid"),
    ] {
        let gate = limit();
        for _ in 0..3 {
            assert_eq!(gate.send(&ask), want);
        }
        let over = gate.send(&ask);
        assert_eq!(over.trim_start_matches("shadow "), "rate_limited", "after {want}");
    }
    // Refused for what it may do, not for what it is.
    let gate = limit();
    for _ in 0..9 {
        assert_eq!(gate.send(&by("alice").to("/admins")), "claims_insufficient");
        assert_eq!(gate.send(&ask(None)), "token_missing");
    }
    let gate = Gate::of(configuration(json!([guesses(json!({"mode": "shadow"}))])));
    for _ in 0..3 {
        assert_eq!(gate.in_shadow(&forged(1)), (Verdict::Denied, vec![]));
    }
    assert_eq!(gate.in_shadow(&forged(1)), (Verdict::Denied, vec!["guesses".to_owned()]));
    assert_eq!(gate.send(&forged(1)), "signature_invalid");
    assert_eq!(gate.send(&by("bob")), "allowed");
}

#[test]
fn who_is_refused_is_told_when_to_come_again() {
    let slow = json!({"name": "slow", "by": ["issuer"], "requests": 3, "per": "1h"});
    let mut configuration =
        configuration(json!([limit(json!({"requests": 60, "per": "1m", "burst": 3})), slow]));
    let plain = Gate::of(configuration.clone());
    assert_eq!(plain.passed(&by("alice"), 3), 3);
    let answer = plain.answer(&by("alice"));
    let header = |answer: &Response, name: &str| {
        let values = answer.headers.iter().filter(|(own, _)| *own == name);
        values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(answer.status, 429);
    assert_eq!(header(&answer, "retry-after"), ["1200"], "the longest wait of all");
    assert!(header(&answer, "ratelimit").is_empty());
    assert!(header(&answer, "www-authenticate").is_empty());
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&body["status"], &body["code"]), (&json!(429), &json!("rate_limited")));
    let half = plain.answer(&Ask { nanos: by("alice").nanos + 1_199_500_000_000, ..by("alice") });
    assert_eq!(header(&half, "retry-after"), ["1"], "rounded up");
    let grpc = plain.answer(&by("alice").header("content-type", "application/grpc"));
    assert_eq!(grpc.grpc_status, Some(8));

    configuration["responses"]["ratelimit_headers"] = json!(true);
    let telling = Gate::of(configuration);
    assert_eq!(telling.passed(&by("alice"), 3), 3);
    let answer = telling.answer(&by("alice"));
    assert_eq!(header(&answer, "ratelimit-policy"), [r#""three";q=3;w=3, "slow";q=3;w=3600"#]);
    assert_eq!(header(&answer, "ratelimit"), [r#""three";r=0;t=3, "slow";r=0;t=3600"#]);
    let missing = telling.answer(&ask(None));
    assert!(header(&missing, "ratelimit").is_empty(), "no limit was asked");
}

#[test]
#[rustfmt::skip]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let tiers = |tiers: Value| {
        configuration(json!([{"name": "x", "by": ["subject"], "tier": {"claim": "plan"}, "tiers": tiers}]))
    };
    let rate = || json!({"requests": 1, "per": "1m"});
    let one = |changes: Value| configuration(json!([limit(changes)]));
    let identities = |count: Value| {
        let mut configuration = one(json!({}));
        configuration["limit_identities"] = count;
        configuration
    };
    let bare = |limit: Value| configuration(json!([limit]));
    let many: Vec<Value> = (0..65).map(|n| limit(json!({"name": format!("l{n}")}))).collect();
    let path = json!({"path": "env", "equals": "x"});
    let host = json!({"not": {"host": "tenant", "equals": "x"}});
    let cases = [
        (identities(json!(7)), "limit_identities: expected between 8 and 4194304"),
        (identities(json!(4_194_305)), "limit_identities: expected between 8 and 4194304"),
        (configuration(json!(many)), "limits: more than 64: each costs every request"),
        (configuration(json!([limit(json!({})), limit(json!({}))])), "limits[1].name: two limits are called `three`"),
        (bare(json!({"by": ["subject"], "requests": 1, "per": "1m"})), "limits[0]: `name` is missing"),
        (one(json!({"name": "Three"})), "limits[0].name: "),
        (bare(json!({"name": "x", "requests": 1, "per": "1m"})), "limits[0]: `by` is missing: what is counted together"),
        (one(json!({"by": []})), "limits[0].by: "),
        (one(json!({"by": ["user"]})), "limits[0].by[0]"),
        (one(json!({"by": ["subject", "subject"]})), "limits[0].by[1]: is there twice"),
        (one(json!({"by": [{"claim": "a"}, {"claim": "a"}]})), "limits[0].by[1]: is there twice"),
        (one(json!({"by": [{}]})), "limits[0].by[0]: `claim` is missing"),
        (one(json!({"by": [{"claim": "/a/*"}]})), "limits[0].by[0].claim: `*` names several values"),
        (one(json!({"by": [{"clam": "a"}]})), "limits[0].by[0]"),
        (one(json!({"count": "refused"})), "limits[0].by: with `count: refused` it is `[client_address]`"),
        (one(json!({"count": "refused", "by": ["client_address", "route"]})), "limits[0].by: with `count: refused`"),
        (
            bare(json!({"name": "x", "by": ["client_address"], "count": "refused", "tier": {"claim": "p"}, "tiers": {"default": rate()}})),
            "limits[0].tier: a refused token is of no tier",
        ),
        (one(json!({"count": "all"})), "limits[0].count"),
        (one(json!({"mode": "off"})), "limits[0].mode"),
        (one(json!({"when": path})), "limits[0].when: reads a capture, which not every route has"),
        (one(json!({"when": host})), "limits[0].when: reads a capture, which not every route has"),
        (one(json!({"when": {"claim": "x"}})), "limits[0].when"),
        (one(json!({"routes": []})), "limits[0].routes: "),
        (one(json!({"routes": ["one", "nowhere"]})), "limits[0].routes[1]: no route `nowhere`, there are: `one`"),
        (one(json!({"routes": ["closed"]})), "limits[0].routes[0]: route `closed` lets nothing pass"),
        (one(json!({"requests": 0})), "limits[0].requests: found 0, expected at least 1"),
        (one(json!({"burst": 0})), "limits[0].burst: found 0, expected at least 1"),
        (one(json!({"requests": -1})), "limits[0].requests"),
        (bare(json!({"name": "x", "by": ["subject"], "per": "1m"})), "limits[0]: `requests` is missing"),
        (bare(json!({"name": "x", "by": ["subject"], "requests": 1})), "limits[0]: `per` is missing, as `1m`"),
        (one(json!({"per": "999ms"})), "limits[0].per: "),
        (one(json!({"per": "31d"})), "limits[0].per: "),
        (one(json!({"per": "a minute"})), "limits[0].per: "),
        (one(json!({"requests": 1, "per": "1d", "burst": 367})), "limits[0]: a full bucket takes more than a year"),
        (one(json!({"tiers": {"default": rate()}})), "limits[0].tiers: goes with `tier`"),
        (one(json!({"tier": {"claim": "plan"}, "tiers": {"default": rate()}})), "limits[0].requests: contradicts `tier`"),
        (tiers(json!({})), "limits[0].tiers: `default` is missing"),
        (tiers(json!({"free": rate()})), "limits[0].tiers: `default` is missing"),
        (tiers(json!({"default": {"per": "1m"}})), "limits[0].tiers.default: `requests` is missing"),
        (tiers(json!({"default": rate(), "free": {"requests": 1}})), "limits[0].tiers.free: `per` is missing"),
        (tiers(json!({"default": rate(), "free": {"requests": 0, "per": "1m"}})), "limits[0].tiers.free.requests: found 0"),
    ];
    for (configuration, want) in cases {
        let error = load(configuration).err().unwrap_or_else(|| panic!("loads: {want}"));
        assert!(error.starts_with(want), "{error}, wanted {want}");
    }
    for fine in [identities(json!(8)), one(json!({"per": "1s"})), one(json!({"per": "30d"}))] {
        assert!(load(fine).is_ok());
    }
}
