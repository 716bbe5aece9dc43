//! Every algorithm, from every form of key.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::keys::{self, Key};
use crate::harness::{Proxy, Request, Setup, Table, claims};

/// The asymmetric algorithms and a key for each.
static ASYMMETRIC: [(&str, &LazyLock<Key>); 11] = [
    ("RS256", &keys::RSA),
    ("RS384", &keys::RSA),
    ("RS512", &keys::RSA),
    ("PS256", &keys::RSA),
    ("PS384", &keys::RSA),
    ("PS512", &keys::RSA),
    ("ES256", &keys::P256),
    ("ES384", &keys::P384),
    ("ES512", &keys::P521),
    ("ES256K", &keys::K256),
    ("EdDSA", &keys::ED25519),
];
const HMAC: [&str; 3] = ["HS256", "HS384", "HS512"];

/// One issuer for each form of key; the issuer's name is the host of its `iss`.
static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let all: [&Key; 6] =
        [&keys::RSA, &keys::P256, &keys::P384, &keys::P521, &keys::K256, &keys::ED25519];
    let issuer = |name: &str, keys: Value| json!({"issuer": format!("https://{name}"), "any_audience": true, "keys": keys});
    let jwks: Vec<&Value> = all.iter().map(|key| &key.jwk).collect();
    let bound: Vec<Value> = ASYMMETRIC
        .iter()
        .map(|(algorithm, key)| {
            let mut jwk = key.jwk_for(algorithm);
            jwk["kid"] = json!(format!("{}-{algorithm}", key.kid));
            jwk
        })
        .collect();
    let pems: Vec<Value> = all.iter().map(|key| json!({"pem": key.pem, "kid": key.kid})).collect();
    let anonymous: Vec<Value> = all.iter().map(|key| json!({"pem": key.pem})).collect();
    let secret = |encoding: &str, env: &str| json!([{"secret": {"env": env, "encoding": encoding}, "algorithms": HMAC}]);
    let config = json!({
        "issuers": {
            "jwks": issuer("jwks", json!([{"jwks": {"keys": jwks}}])),
            "bound": issuer("bound", json!([{"jwks": {"keys": bound}}])),
            "pem": issuer("pem", json!(pems)),
            "anonymous": issuer("anonymous", json!(anonymous)),
            "pkcs1": issuer("pkcs1", json!([{"pem": keys::RSA.pkcs1}])),
            "secret-utf8": issuer("secret-utf8", secret("utf8", "SECRET_TEXT")),
            "secret-base64": issuer("secret-base64", secret("base64", "SECRET_BASE64")),
            "secret-inline": issuer("secret-inline", json!([
                {"secret": {"base64": keys::base64(&keys::SECRET.pem)}, "algorithms": HMAC},
            ])),
            "narrow": issuer("narrow", json!([{"pem": keys::RSA.pem, "algorithms": ["RS256"]}])),
            "narrow-issuer": {
                "issuer": "https://narrow-issuer", "any_audience": true, "algorithms": ["PS384", "ES256"],
                "keys": [{"jwks": {"keys": jwks}}],
            },
        },
        "defaults": {"issuers": [
            "jwks", "bound", "pem", "anonymous", "pkcs1", "secret-utf8", "secret-base64", "secret-inline", "narrow",
            "narrow-issuer",
        ]},
        "routes": [{"name": "all", "paths": ["/**"]}],
    });
    let setup = Setup::new(config);
    Proxy::start(
        setup
            .env("SECRET_TEXT", &keys::SECRET.pem)
            .env("SECRET_BASE64", &keys::base64(&keys::SECRET.pem)),
    )
});

fn outcome(issuer: &str, key: &Key, algorithm: &str) -> String {
    let token = claims().with("iss", format!("https://{issuer}")).sign_as(key, algorithm);
    PROXY.send(Request::get("/").bearer(token)).outcome()
}

#[test]
fn every_asymmetric_algorithm_verifies_with_every_form_of_key() {
    let mut table = Table::new();
    for (algorithm, key) in &ASYMMETRIC {
        for issuer in ["jwks", "pem", "anonymous"] {
            table.row(
                format!("{algorithm} with {issuer}"),
                outcome(issuer, key, algorithm),
                "allowed",
            );
        }
    }
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        table.row(
            format!("{algorithm} with PKCS#1"),
            outcome("pkcs1", &keys::RSA, algorithm),
            "allowed",
        );
    }
    table.check();
}

#[test]
fn a_jwk_bound_to_an_algorithm_verifies_it() {
    let mut table = Table::new();
    for (algorithm, key) in &ASYMMETRIC {
        let header = json!({"alg": algorithm, "kid": format!("{}-{algorithm}", key.kid)});
        let token = claims().with("iss", "https://bound").sign_under(key, &header);
        table.row(*algorithm, PROXY.send(Request::get("/").bearer(token)).outcome(), "allowed");
    }
    table.check();
}

#[test]
fn a_jwk_bound_to_an_algorithm_admits_no_other() {
    let header = json!({"alg": "PS256", "kid": "rsa-1-RS256"});
    let token = claims().with("iss", "https://bound").sign_under(&keys::RSA, &header);
    PROXY.send(Request::get("/").bearer(token)).refused("algorithm_not_allowed");
}

#[test]
fn every_hmac_verifies_with_a_secret_in_every_encoding() {
    let mut table = Table::new();
    for algorithm in HMAC {
        for issuer in ["secret-utf8", "secret-base64", "secret-inline"] {
            table.row(
                format!("{algorithm} with {issuer}"),
                outcome(issuer, &keys::SECRET, algorithm),
                "allowed",
            );
        }
    }
    table.check();
}

#[test]
fn a_damaged_signature_is_invalid_for_every_algorithm() {
    let mut table = Table::new();
    let hmac = HMAC.map(|algorithm| (algorithm, &keys::SECRET));
    for (algorithm, key) in ASYMMETRIC.iter().copied().chain(hmac) {
        let issuer = if algorithm.starts_with("HS") { "secret-utf8" } else { "jwks" };
        let token = claims().with("iss", format!("https://{issuer}")).sign_as(key, algorithm);
        let (signed, _) = token.rsplit_once('.').unwrap();
        let mut signature = key.sign(algorithm, signed.as_bytes());
        signature[20] ^= 4;
        let damaged = crate::harness::token::assemble(signed, &signature);
        table.row(
            algorithm,
            PROXY.send(Request::get("/").bearer(damaged)).outcome(),
            "signature_invalid",
        );
    }
    table.check();
}

#[test]
#[rustfmt::skip]
fn a_key_admits_only_the_algorithms_it_is_narrowed_to() {
    let mut table = Table::new();
    for (issuer, algorithm, key, expected) in [
        ("narrow", "RS256", &keys::RSA, "allowed"),
        ("narrow", "RS384", &keys::RSA, "algorithm_not_allowed"),
        ("narrow", "PS256", &keys::RSA, "algorithm_not_allowed"),
        ("narrow-issuer", "PS384", &keys::RSA, "allowed"),
        ("narrow-issuer", "ES256", &keys::P256, "allowed"),
        ("narrow-issuer", "RS256", &keys::RSA, "algorithm_not_allowed"),
        ("narrow-issuer", "EdDSA", &keys::ED25519, "algorithm_not_allowed"),
    ] {
        table.row(format!("{algorithm} with {issuer}"), outcome(issuer, key, algorithm), expected);
    }
    table.check();
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    let mut table = Table::new();
    for issuer in ["jwks", "pem", "pkcs1"] {
        for secret in
            [&keys::RSA.pem, keys::RSA.pkcs1.as_ref().unwrap(), &keys::RSA.pem.trim().to_owned()]
        {
            let confused = Key::of_secret("rsa-1", secret);
            table.row(issuer, outcome(issuer, &confused, "HS256"), "algorithm_not_allowed");
        }
    }
    table.check();
}
