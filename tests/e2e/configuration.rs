//! The forms in which a configuration arrives, and where its secrets come from.

use serde_json::{Value, json};

use crate::harness::keys::{self, Key, P256};
use crate::harness::{Delivery, Proxy, Request, Setup, Table, changed, claims, filter};

const DELIVERIES: [Delivery; 3] = [Delivery::StringValue, Delivery::BytesValue, Delivery::Struct];

#[test]
#[rustfmt::skip]
fn every_form_means_the_same() {
    let config = json!({
        "version": 1,
        "x-anchors": {"anything": [1, null, {"goes": true}]},
        "name": "edge",
        "issuers": {"corp": {
            "issuer": "https://idp.test", "audiences": ["logs-api"], "keys": [{"jwks": {"keys": [P256.jwk]}}],
            "clock_skew": "10s", "require_claims": ["jti"],
        }},
        "defaults": {"issuers": ["corp"], "methods": ["GET", "HEAD"]},
        "conditions": {"senior": {"all": [
            {"claim": "level", "at_least": 2.5}, {"claim": "level", "at_most": 3_000_000_000_u64},
        ]}},
        "audit": {"allowed": 0.999},
        "max_token_bytes": 8192,
        "routes": [
            {"name": "health", "paths": ["/healthz"], "token": "none"},
            {"name": "logs", "paths": ["/logs/{env}"], "require": {"all": [
                {"ref": "senior"}, {"claim": "envs", "any_of": ["${path.env}"]}, {"claim": "active", "equals": true},
            ]}},
        ],
        "identity": {"headers": {"x-user-id": {"attribute": "subject"}}},
    });
    let good = claims().with("level", 3).with("active", true).with("envs", json!(["prod"]));
    let mut table = Table::new();
    let proxy = Proxy::start(Setup::new(open_to_tokens()).pushed());
    for delivery in DELIVERIES {
        proxy.push_setup(&Setup::new(config.clone()).delivered_as(delivery)).unwrap();
        for (name, request, expected) in [
            ("no token needed", Request::get("/healthz"), "allowed"),
            ("another method", Request::new("POST", "/healthz"), "method_not_allowed"),
            ("no token", Request::get("/logs/prod"), "token_missing"),
            ("a good token", Request::get("/logs/prod").bearer(good.clone().sign(&P256)), "allowed"),
            ("another place", Request::get("/logs/dev").bearer(good.clone().sign(&P256)), "claims_insufficient"),
            (
                "too low",
                Request::get("/logs/prod").bearer(good.clone().with("level", 2).sign(&P256)),
                "claims_insufficient",
            ),
            (
                "inactive",
                Request::get("/logs/prod").bearer(good.clone().with("active", 1).sign(&P256)),
                "claims_insufficient",
            ),
            ("no jti", Request::get("/logs/prod").bearer(good.clone().without("jti").sign(&P256)), "claim_missing"),
            ("too large", Request::get("/logs/prod").bearer("x".repeat(9000)), "token_too_large"),
        ] {
            table.row(format!("{delivery:?}: {name}"), proxy.send(request).outcome(), expected);
        }
    }
    table.check();
}

/// The usual issuer's tokens open every path.
fn open_to_tokens() -> Value {
    filter(json!([{"name": "all", "paths": ["/**"]}]))
}

/// The same with a secret as the issuer's only key.
fn with_secret(secret: Value) -> Value {
    let keys = json!([{"secret": secret, "algorithms": ["HS256"]}]);
    changed(open_to_tokens(), json!({"issuers": {"corp": {"keys": keys}}}))
}

#[test]
fn a_missing_variable_keeps_envoy_from_starting() {
    let setup = Setup::new(with_secret(json!({"env": "JWT_SECRET"})))
        .env("OTHER_SECRET", &keys::SECRET.pem);
    let log = Proxy::refusal(&setup);
    assert!(log.contains("issuers.corp.keys[0].secret") && log.contains("JWT_SECRET"), "{log}");
}

#[test]
fn a_refused_configuration_keeps_envoy_from_starting() {
    let config = changed(open_to_tokens(), json!({"isuers": {}}));
    let log = Proxy::refusal(&Setup::new(config));
    assert!(log.contains("isuers"), "{log}");
}

#[test]
fn what_is_refused_is_refused_in_every_form() {
    let proxy = Proxy::start(Setup::new(open_to_tokens()).pushed());
    for (delivery, wrong) in DELIVERIES.into_iter().zip(["isuers", "isssuers", "issuerz"]) {
        let broken = Setup::new(changed(open_to_tokens(), json!({wrong: {}})));
        let log = proxy.push_setup(&broken.delivered_as(delivery)).unwrap_err();
        assert!(log.contains(wrong), "{delivery:?}: {log}");
    }
}

#[test]
fn an_integer_that_a_struct_cannot_hold_is_refused() {
    let id = 9_007_199_254_740_995_u64;
    let precise = filter(json!([
        {"name": "all", "paths": ["/**"], "require": {"claim": "id", "equals": id}},
    ]));
    let proxy = Proxy::start(Setup::new(open_to_tokens()).pushed());
    let as_struct = Setup::new(precise.clone()).delivered_as(Delivery::Struct);
    let log = proxy.push_setup(&as_struct).unwrap_err();
    assert!(log.contains("routes[0].require"), "{log}");
    proxy.push(precise).unwrap();
    proxy.send(Request::get("/").bearer(claims().with("id", id).sign(&P256))).allowed();
}

#[test]
#[rustfmt::skip]
fn a_secret_is_read_from_the_environment_or_inline() {
    let key = Key::secret("hs");
    // Before 1.38 a VM keeps the variables that it began with: a push brings it none.
    let with_variables =
        |config| Setup::new(config).env("S", &key.pem).env("S64", &keys::base64(&key.pem));
    let proxy = Proxy::start(with_variables(open_to_tokens()).pushed());
    let mut table = Table::new();
    for (name, secret) in [
        ("env", json!({"env": "S"})),
        ("env, utf8", json!({"env": "S", "encoding": "utf8"})),
        ("env, base64", json!({"env": "S64", "encoding": "base64"})),
        ("utf8", json!({"utf8": key.pem})),
        ("base64", json!({"base64": keys::base64(&key.pem)})),
    ] {
        proxy.push_setup(&with_variables(with_secret(secret))).unwrap();
        table.row(name, proxy.send(Request::get("/").bearer(claims().sign(&key))).outcome(), "allowed");
        let other = claims().sign(&Key::secret("hs"));
        table.row(name, proxy.send(Request::get("/").bearer(other)).outcome(), "signature_invalid");
    }
    table.check();
}

#[test]
fn a_key_set_may_hold_keys_that_are_of_no_use() {
    let odd = json!([
        {}, {"kty": "EC"}, {"kty": "EC", "crv": "P-256", "x": "!", "y": ""}, {"kty": "new", "kid": "n"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"}, keys::SECRET.jwk, {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": keys::base64url([1; 32]), "y": keys::base64url([2; 32])}, P256.jwk,
    ]);
    let patch = json!({"issuers": {"corp": {"keys": [{"jwks": {"keys": odd, "extra": 1}}]}}});
    let proxy = Proxy::start(Setup::new(changed(open_to_tokens(), patch)));
    proxy.send(Request::get("/").bearer(claims().sign(&P256))).allowed();
}
