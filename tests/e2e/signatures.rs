//! Which key a token is verified with, and what a signature has to be.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::keys::{self, Key};
use crate::harness::token::{self, Claims};
use crate::harness::{Proxy, Request, Setup, Table, claims};

static OLD: LazyLock<Key> = LazyLock::new(|| Key::p256("old"));
static NEW: LazyLock<Key> = LazyLock::new(|| Key::p256("new"));
static ANONYMOUS: LazyLock<Key> = LazyLock::new(|| Key::p256("anonymous"));
static STRANGER: LazyLock<Key> = LazyLock::new(|| Key::p256("old"));

/// `corp` has keys of every kind with a `kid`; `partner` has one without; `other` is an issuer that no route takes.
static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let mut nameless = ANONYMOUS.jwk.clone();
    nameless.as_object_mut().unwrap().remove("kid");
    let mut encryption = Key::p256("encryption").jwk;
    encryption["use"] = json!("enc");
    let keys = json!([OLD.jwk, NEW.jwk, keys::RSA.jwk_for("RS256"), {"kty": "odd", "kid": "odd"}, keys::SECRET.jwk, encryption]);
    let issuer = |issuer: &str, keys| json!({"issuer": issuer, "audiences": ["logs-api"], "keys": [{"jwks": {"keys": keys}}]});
    Proxy::start(Setup::new(json!({
        "issuers": {
            "corp": issuer("https://idp.test", keys),
            "partner": issuer("https://partner.test", json!([OLD.jwk, nameless])),
            "other": issuer("https://other.test", json!([OLD.jwk])),
        },
        "defaults": {"issuers": ["corp", "partner"]},
        "routes": [{"name": "all", "paths": ["/**"]}],
    })))
});

fn outcome(token: &str) -> String {
    PROXY.send(Request::get("/").bearer(token)).outcome()
}

fn partner() -> Claims {
    claims().with("iss", "https://partner.test")
}

#[test]
#[rustfmt::skip]
fn the_key_is_chosen_by_issuer_kid_and_algorithm() {
    let mut table = Table::new();
    let es256 = |kid: &str| json!({"alg": "ES256", "kid": kid});
    for (name, token, expected) in [
        ("the first key", claims().sign(&OLD), "allowed"),
        ("the second key", claims().sign(&NEW), "allowed"),
        ("no kid, the first key", claims().sign_under(&OLD, &json!({"alg": "ES256"})), "allowed"),
        ("no kid, the second key", claims().sign_under(&NEW, &json!({"alg": "ES256"})), "allowed"),
        ("no kid, another key", claims().sign_under(&STRANGER, &json!({"alg": "ES256"})), "signature_invalid"),
        ("the kid of another key", claims().sign_under(&OLD, &es256("new")), "signature_invalid"),
        ("a forged kid", claims().sign(&STRANGER), "signature_invalid"),
        ("an unknown kid", claims().sign_under(&OLD, &es256("unknown")), "key_unknown"),
        ("a kid that differs in case", claims().sign_under(&OLD, &es256("OLD")), "key_unknown"),
        ("the kid of a skipped key", claims().sign_under(&OLD, &es256("odd")), "key_unknown"),
        ("a key for encryption", claims().sign_under(&OLD, &es256("encryption")), "key_unknown"),
        ("an oct key in a JWK Set", claims().sign(&keys::SECRET), "key_unknown|algorithm_not_allowed"),
        ("a key of another kind", claims().sign_under(&OLD, &es256("rsa-1")), "algorithm_not_allowed"),
        ("any kid where a key has none", partner().sign_under(&ANONYMOUS, &es256("whatever")), "allowed"),
        ("no kid where a key has none", partner().sign_under(&ANONYMOUS, &json!({"alg": "ES256"})), "allowed"),
        ("only keys of the issuer count", partner().sign(&NEW), "signature_invalid|key_unknown"),
        ("an issuer of no route", claims().with("iss", "https://other.test").sign(&OLD), "issuer_unknown"),
        ("an issuer of nobody", claims().with("iss", "https://evil.test").sign(&OLD), "issuer_unknown"),
        ("an issuer that differs by a slash", claims().with("iss", "https://idp.test/").sign(&OLD), "issuer_unknown"),
        ("an issuer that differs in case", claims().with("iss", "https://IDP.test").sign(&OLD), "issuer_unknown"),
        ("no issuer", claims().without("iss").sign(&OLD), "issuer_unknown"),
    ] {
        table.row(name, outcome(&token), expected);
    }
    table.check();
}

#[test]
fn keys_that_a_token_brings_along_are_not_trusted() {
    let mut table = Table::new();
    for (name, extra) in [
        ("jwk", STRANGER.jwk.clone()),
        ("jku", json!("https://evil.test/jwks.json")),
        ("x5u", json!("https://evil.test/cert.pem")),
        ("x5c", json!([keys::base64(STRANGER.pem.as_bytes())])),
    ] {
        let header = json!({"alg": "ES256", "kid": "old", name: extra});
        table.row(name, outcome(&claims().sign_under(&STRANGER, &header)), "signature_invalid");
    }
    table.check();
}

#[test]
fn a_signature_has_exactly_one_form() {
    let (header, payload, _) = token::split(&claims().sign(&OLD));
    let signed = format!("{header}.{payload}");
    let good = OLD.sign("ES256", signed.as_bytes());
    let zeros = [0; 64];
    let order = [&[0xff; 32][..], &[0xff; 32]].concat();
    let longer = [&good[..], &[0]].concat();
    let der = [&[0x30, 0x44, 2, 0x20], &good[..32], &[2, 0x20], &good[32..]].concat();
    let mut table = Table::new();
    for (name, signature) in [
        ("all zero", &zeros[..]),
        ("beyond the group's order", &order),
        ("too short", &good[..63]),
        ("too long", &longer),
        ("one byte", &[7]),
        ("DER", &der),
    ] {
        table.row(name, outcome(&token::assemble(&signed, signature)), "signature_invalid");
    }
    table.check();
}

#[test]
fn a_signature_covers_header_and_payload() {
    let (header, payload, signature) = token::split(&claims().sign(&OLD));
    let (_, other, _) = token::split(&claims().with("sub", "root").sign(&OLD));
    PROXY
        .send(Request::get("/").bearer(format!("{header}.{other}.{signature}")))
        .refused("signature_invalid");
    let header = keys::base64url(json!({"alg": "ES256", "kid": "old", "typ": "other"}).to_string());
    PROXY
        .send(Request::get("/").bearer(format!("{header}.{payload}.{signature}")))
        .refused("signature_invalid");
}

#[test]
fn a_cached_token_does_not_lend_its_standing_to_a_forged_one() {
    let genuine = claims().sign(&OLD);
    let (header, payload, _) = token::split(&genuine);
    let forged =
        token::assemble(&format!("{header}.{payload}"), &STRANGER.sign("ES256", b"something else"));
    for _ in 0..3 {
        PROXY.send(Request::get("/").bearer(&genuine)).allowed();
        PROXY.send(Request::get("/").bearer(&forged)).refused("signature_invalid");
    }
}

#[test]
#[rustfmt::skip]
fn the_algorithm_none_is_never_accepted() {
    let mut table = Table::new();
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256 ", "es256", "RS1", "ES256\u{0}"] {
        let (_, payload, signature) = token::split(&claims().sign(&OLD));
        let header = keys::base64url(json!({"alg": alg, "kid": "old"}).to_string());
        let signed = outcome(&format!("{header}.{payload}.{signature}"));
        table.row(format!("`{}`, signed", alg.escape_debug()), signed, "algorithm_not_allowed");
        let unsigned = outcome(&format!("{header}.{payload}."));
        table.row(format!("`{}`, unsigned", alg.escape_debug()), unsigned, "algorithm_not_allowed|token_malformed");
    }
    table.check();
}
